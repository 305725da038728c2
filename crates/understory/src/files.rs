//! [`store::file`] with errors that name the file.

use crate::hint::WithHint;
use anyhow::{Context, Result};
use ids::key_file::MAX_KEY_FILE;
use std::{io::ErrorKind, path::Path};
use store::file::{self, Readers};
use zeroize::Zeroizing;

/// Writes a file that its owner alone may read, in the place of the one that is there.
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
    let secret = file::read_secret(path, MAX_KEY_FILE)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if secret.exposed {
        warn_exposed(path);
    }
    Ok(secret.bytes)
}

/// Tells that other users of the machine can read a secret key.
pub fn warn_exposed(path: &Path) {
    eprintln!("warning: other users can read the key in {0}; chmod 600 {0}", path.display());
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
