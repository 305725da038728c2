//! [`store::file`] with errors that name the file.

use crate::hint::WithHint;
use anyhow::{Context, Result};
use ids::key_file::MAX_KEY_FILE;
use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};
use store::file::{self, Readers};
use zeroize::Zeroizing;

/// Writes a file that all users may read, in the place of the one that is there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    file::write_atomically(path, bytes, Readers::All).with_context(|| cannot_write(path))
}

/// The same, readable by its owner alone.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    file::write_atomically(path, bytes, Readers::Owner).with_context(|| cannot_write(path))
}

/// Writes a secret where there is none: what cannot be made again is never replaced.
pub fn create_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let made = file::create(path, bytes, Readers::Owner);
    let taken = made.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists);
    let made = made.with_context(|| cannot_write(path));
    match taken {
        true => made.hint("what is there is not replaced; move it away if it is of no use"),
        false => made,
    }
}

/// Reads a secret key's file, no further than a key can be long, and tells where other users can
/// read it too.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let most = MAX_KEY_FILE + 1;
    // With room for all of it, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    let read = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(mode)
    };
    let mode = { read }().with_context(|| format!("cannot read {}", path.display()))?;
    if mode & 0o077 != 0 {
        eprintln!("warning: other users can read the key in {0}; chmod 600 {0}", path.display());
    }
    Ok(bytes)
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
