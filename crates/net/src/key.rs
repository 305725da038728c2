//! The secret key of an endpoint in a file. It lies open, as PKCS#8 in PEM ([`key_file`]), for its
//! owner alone: a machine that trains for weeks has nobody to type a passphrase.

use ids::{
    Hash,
    key_file::{self, KeyFileError, MAX_KEY_FILE},
};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};
use store::file::{self, Readers};
use zeroize::Zeroizing;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    /// Its file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its file holds none.
    #[error("{} holds no key", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyFileError,
    },
    /// A key would be replaced by another one.
    #[error("{} holds another key", .0.display())]
    Another(PathBuf),
    /// The system gives no randomness.
    #[error(transparent)]
    Random(io::Error),
    /// It cannot be kept.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl SecretKeyError {
    /// The file that it is about, where it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. } | Self::NoKey { path, .. } | Self::Write { path, .. } => {
                Some(path)
            }
            Self::Another(path) => Some(path),
            Self::Random(_) => None,
        }
    }

    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Read { .. } => {
                Some("a key is never replaced: mend what keeps it from being read, or move it away")
            }
            Self::NoKey { .. } => Some("restore it from a copy, or remove it to become a new peer"),
            Self::Another(_) => Some("leave out --key, or choose another --dir"),
            Self::Write { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                Some("what is there is not replaced; move it away if it is of no use")
            }
            Self::Random(_) | Self::Write { .. } => None,
        }
    }
}

/// Is told of a key's file that other users of the machine can read.
pub type Exposed<'a> = &'a mut dyn FnMut(&Path);

/// The key in the file `path`, made where there is none.
///
/// Errors: [`SecretKeyError`]. What is there is never written over: it may be somebody's only copy.
pub fn own(path: &Path, exposed: Exposed<'_>) -> Result<[u8; 32], SecretKeyError> {
    if !file::is_absent(path) {
        return read(path, exposed);
    }
    let seed = file::random().map_err(SecretKeyError::Random)?;
    create(path, &seed)?;
    Ok(seed)
}

/// The key in the file `from`, copied to the file `to`, unless it is there.
///
/// Errors: as [`read`]; there is another key in `to`.
pub fn take(from: &Path, to: &Path, exposed: Exposed<'_>) -> Result<[u8; 32], SecretKeyError> {
    let seed = read(from, exposed)?;
    if file::is_absent(to) {
        create(to, &seed)?;
    } else if read(to, exposed)? != seed {
        return Err(SecretKeyError::Another(to.to_owned()));
    }
    Ok(seed)
}

/// The key in a file.
///
/// Errors: it cannot be read, or holds no key.
pub fn read(path: &Path, exposed: Exposed<'_>) -> Result<[u8; 32], SecretKeyError> {
    let secret = file::read_secret(path, MAX_KEY_FILE)
        .map_err(|source| SecretKeyError::Read { path: path.to_owned(), source })?;
    if secret.exposed {
        exposed(path);
    }
    let text = str::from_utf8(&secret.bytes).unwrap_or_default();
    // Earlier versions wrote it in hex.
    let seed = match text.trim().parse::<Hash>() {
        Ok(hex) => Ok(Zeroizing::new(hex.0)),
        Err(_) => key_file::from_pem(text),
    };
    let seed = seed.map_err(|source| SecretKeyError::NoKey { path: path.to_owned(), source })?;
    Ok(*seed)
}

fn create(path: &Path, seed: &[u8; 32]) -> Result<(), SecretKeyError> {
    file::create(path, key_file::to_pem(seed).as_bytes(), Readers::Owner)
        .map_err(|source| SecretKeyError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn unseen(path: &Path) {
        panic!("{} can be read by others", path.display());
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let seed = own(&path, &mut unseen).expect("it is made");
        assert_eq!(own(&path, &mut unseen).expect("it is read"), seed);
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "worn").expect("written");
        assert!(matches!(own(&path, &mut unseen), Err(SecretKeyError::NoKey { .. })));
        assert_eq!(fs::read(&path).expect("it is there"), b"worn");
        fs::write(&path, vec![b'a'; MAX_KEY_FILE + 1]).expect("written");
        assert!(matches!(own(&path, &mut unseen), Err(SecretKeyError::NoKey { .. })), "too long");
        let folder = folder.path();
        assert!(matches!(own(folder, &mut |_| ()), Err(SecretKeyError::Read { .. })));
    }

    #[test]
    fn a_key_is_taken_over_unless_there_is_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let [old, new, other] = ["old", "new", "other"].map(|name| folder.path().join(name));
        let seed = own(&old, &mut unseen).expect("it is made");
        for _ in 0..2 {
            assert_eq!(take(&old, &new, &mut unseen).expect("it is taken"), seed);
        }
        assert_eq!(own(&new, &mut unseen).expect("it is read"), seed);
        let before = own(&other, &mut unseen).expect("it is made");
        let refused = take(&old, &other, &mut unseen);
        assert!(matches!(refused, Err(SecretKeyError::Another(path)) if path == other));
        assert_eq!(own(&other, &mut unseen).expect("it is read"), before);
    }

    #[test]
    fn hex_of_earlier_versions_is_read_and_a_file_that_others_can_read_is_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, format!("{}\n", Hash([7; 32]))).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it can be read");
        let mut told = Vec::new();
        let seed = own(&path, &mut |path| told.push(path.to_owned())).expect("it is read");
        assert_eq!((seed, told), ([7; 32], vec![path]));
    }
}
