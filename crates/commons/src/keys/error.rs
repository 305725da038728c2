//! What can be wrong with a folder of keys, and what to do about it.

use ids::key_file::KeyFileError;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a key cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or the folder.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was to be done: `write`, `rename`, `make`, `lock`.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system gives no randomness.
    #[error(transparent)]
    Random(io::Error),
    /// No public key of this role.
    #[error("no key in {}", dir.display())]
    NoKey {
        /// The folder.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No secret key of this role.
    #[error("cannot read {}", path.display())]
    NoSecret {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A public key's file holds none.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: ids::ParsePeerIdError,
    },
    /// A secret key's file does not open.
    #[error("cannot open {}", path.display())]
    Closed {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: KeyFileError,
    },
    /// Public and secret part do not belong together.
    #[error("{} and the .pub file beside it are of two keys", path.display())]
    TwoKeys {
        /// The secret part.
        path: PathBuf,
    },
    /// A key would be replaced.
    #[error("{} is there already", path.display())]
    Exists {
        /// Its file.
        path: PathBuf,
    },
    /// A secret that belongs to another public key than the one here.
    #[error("this is not the secret key of {}", path.display())]
    Other {
        /// The public key's file.
        path: PathBuf,
    },
    /// The secret part is kept somewhere else.
    #[error("{} is there and its secret key is not", path.display())]
    Elsewhere {
        /// The public key's file.
        path: PathBuf,
    },
    /// A key of an earlier version.
    #[error("{} is an age file, which earlier versions wrote", path.display())]
    Old {
        /// Its file.
        path: PathBuf,
        /// Its folder.
        dir: PathBuf,
    },
    /// There is nobody to ask for the passphrase.
    #[error("the keys in {} need a passphrase", dir.display())]
    Nobody {
        /// The folder.
        dir: PathBuf,
        /// What can be done about it.
        todo: String,
    },
    /// The passphrase cannot be had.
    #[error(transparent)]
    Passphrase(PassphraseError),
    /// An empty passphrase.
    #[error("an empty passphrase protects nothing")]
    Empty,
}

/// Why a passphrase cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// There is nobody to ask.
    #[error("there is nobody to ask for the passphrase")]
    Nobody {
        /// What can be done about it.
        todo: String,
    },
    /// A new one was typed differently the second time.
    #[error("the two are not the same")]
    Differs,
    /// Reading it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a text is no card.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// Not two parts.
    #[error("a card is two numbers of 64 hex digits with a dot between")]
    Shape,
    /// The key.
    #[error(transparent)]
    Key(#[from] ids::ParsePeerIdError),
    /// The digest of the next key.
    #[error(transparent)]
    Next(#[from] ids::ParseHashError),
}

impl KeyError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<String> {
        let fixed = match self {
            Self::NoKey { .. } => {
                "make one with `understory key create`, or name its folder with --keys"
            }
            Self::NoSecret { .. } => {
                "make a key with `understory key create`, or name its folder with --keys"
            }
            Self::Closed { .. } => "is the passphrase right?",
            Self::TwoKeys { .. } => {
                "`understory key rotate` finishes a rotation that was cut short"
            }
            Self::Exists { .. } => "a key is never replaced; --keys names another folder",
            Self::Other { .. } => {
                "--as names another of your keys (next, operator, witness), --keys another folder"
            }
            Self::Elsewhere { .. } => {
                "a key is never replaced: bring the secret key back from where it is kept, or name \
                 another folder with --keys"
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                "what is there is not replaced; move it away if it is of no use"
            }
            Self::Old { path, dir } => {
                return Some(format!(
                    "take it over with: age -d {} | understory key import --keys {}",
                    path.display(),
                    dir.display()
                ));
            }
            Self::Nobody { todo, .. } => return Some(todo.clone()),
            _ => return None,
        };
        Some(fixed.to_owned())
    }
}

/// [`KeyError::Io`] about what was to be done with a file.
pub(super) fn cannot(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { what, path, source }
}

/// [`cannot`] write.
pub(super) fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    cannot("write", path)
}
