//! Proofs as files.

use super::{MAX_PORTABLE, Portable};
use std::{
    io,
    path::{Path, PathBuf},
};
use store::file::{Readers, write_atomically};

/// Why a proof's file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ProofFileError {
    /// Something else would be replaced.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It cannot be read, or is longer than a proof can be.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl ProofFileError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Exists(_) => Some("name another file with --out"),
            Self::Read { .. } => Some("give a file that `understory commons prove` wrote"),
            Self::Write { .. } => None,
        }
    }
}

impl Portable {
    /// A name by which the proof is known again.
    pub fn file_name(&self) -> PathBuf {
        let id = self.commons().short();
        match self {
            Self::Logged(logged) => format!("{id}-{}.tlog-proof", logged.proof.index).into(),
            Self::Split(_) => format!("{id}-split.proof").into(),
        }
    }

    /// Writes the proof to a file that is not there yet.
    ///
    /// Errors: it is, or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ProofFileError> {
        if path.symlink_metadata().is_ok() {
            return Err(ProofFileError::Exists(path.to_owned()));
        }
        write_atomically(path, &self.to_bytes(), Readers::All)
            .map_err(|source| ProofFileError::Write { path: path.to_owned(), source })
    }
}

/// The bytes of a file that may hold a proof, for [`Portable::parse`].
///
/// Errors: it cannot be read, or is longer than a proof can be.
pub fn read(path: &Path) -> Result<Vec<u8>, ProofFileError> {
    bounded::read_named(path, MAX_PORTABLE as u64)
        .map_err(|source| ProofFileError::Read { path: path.to_owned(), source })
}
