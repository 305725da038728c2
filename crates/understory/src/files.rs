//! Files of secrets.

use anyhow::{Context, Result};
use std::path::Path;
use store::file::{self, Readers};

/// Writes a file that its owner alone may read, in the place of the one that is there.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    file::write_atomically(path, bytes, Readers::Owner)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Tells that other users of the machine can read a secret key.
pub fn warn_exposed(path: &Path) {
    eprintln!("warning: other users can read the key in {0}; chmod 600 {0}", path.display());
}
