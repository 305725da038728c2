//! [`store::file`] with errors that name the file.

use crate::hint::WithHint;
use anyhow::{Context, Result};
use std::{io::ErrorKind, path::Path};
use store::file::{self, Readers};

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

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
