//! Hashes of files.

use std::io::Read;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::DigestError;

/// What a file's bytes must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// SHA-256, 64 lower-case hex digits: what hubs say of large files.
    Sha256(String),
    /// SHA-1 of git's blob, 40 lower-case hex digits: what hubs say of small files.
    GitBlob(String),
}

/// The hashes of a file, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Its length.
    pub bytes: u64,
    /// BLAKE3, 64 digits.
    pub blake3: String,
    /// SHA-256, 64 digits.
    pub sha256: String,
    /// For a length that was known beforehand.
    pub git_blob: Option<String>,
}

/// Takes in a file piece by piece.
pub(super) struct Hashing {
    bytes: u64,
    blake3: blake3::Hasher,
    sha256: Sha256,
    git_blob: Option<sha1_smol::Sha1>,
}

impl Expected {
    /// Reads a hash as servers write it; anything but 40 or 64 hex digits is refused.
    pub fn parse(text: &str) -> Result<Expected, DigestError> {
        let lower = text.to_ascii_lowercase();
        match (lower.len(), lower.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            (64, true) => Ok(Expected::Sha256(lower)),
            (40, true) => Ok(Expected::GitBlob(lower)),
            _ => Err(DigestError::NoHash(text.chars().take(80).collect())),
        }
    }

    /// The hex digits.
    pub fn hex(&self) -> &str {
        match self {
            Expected::Sha256(hex) | Expected::GitBlob(hex) => hex,
        }
    }

    /// Fails unless `digests` are of this file.
    pub fn check(&self, digests: &Digests) -> Result<(), DigestError> {
        let (kind, found) = match self {
            Expected::Sha256(_) => ("SHA-256", Some(&digests.sha256)),
            Expected::GitBlob(_) => ("git blob id", digests.git_blob.as_ref()),
        };
        match found {
            Some(found) if found == self.hex() => Ok(()),
            Some(found) => {
                let (found, wanted) = (found.clone(), self.hex().to_owned());
                Err(DigestError::Differs { kind, found, wanted })
            }
            None => Err(DigestError::NotComputed(kind)),
        }
    }
}

impl Hashing {
    /// For a file of `length` bytes, so that git's hash is computed too.
    pub fn new(expected: Option<&Expected>, length: u64) -> Hashing {
        let git_blob = matches!(expected, Some(Expected::GitBlob(_)));
        Hashing {
            bytes: 0,
            blake3: blake3::Hasher::new(),
            sha256: Sha256::new(),
            // Git hashes a blob with its kind and length before it.
            git_blob: git_blob.then(|| sha1_smol::Sha1::from(format!("blob {length}\0"))),
        }
    }

    /// Bytes taken in.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.blake3.update(piece);
        self.sha256.update(piece);
        if let Some(sha1) = &mut self.git_blob {
            sha1.update(piece);
        }
    }

    /// Takes in all that `from` has; `each` hears how many bytes a piece had.
    pub fn read_all(
        &mut self,
        mut from: impl Read,
        each: &mut dyn FnMut(u64),
    ) -> std::io::Result<()> {
        let mut piece = vec![0; 1 << 18];
        loop {
            match from.read(&mut piece)? {
                0 => return Ok(()),
                count => {
                    self.update(&piece[..count]);
                    each(count as u64);
                }
            }
        }
    }

    /// The hashes of what was taken in.
    pub fn finish(self) -> Digests {
        Digests {
            bytes: self.bytes,
            blake3: self.blake3.finalize().to_hex().to_string(),
            sha256: HEXLOWER.encode(&self.sha256.finalize()),
            git_blob: self.git_blob.map(|sha1| sha1.digest().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_other_programs() {
        // `printf 'hello\n' | git hash-object --stdin`, `sha256sum`.
        let git = Expected::parse("CE013625030ba8dba906f756967f9e9ca394464a").expect("40 digits");
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let mut hashing = Hashing::new(Some(&git), 6);
        let mut read = 0;
        hashing.read_all(&b"hello\n"[..], &mut |count| read += count).expect("memory");
        assert_eq!(read, 6);
        let digests = hashing.finish();
        git.check(&digests).expect("the same");
        Expected::parse(sha256).expect("64 digits").check(&digests).expect("the same");
        assert_eq!(digests.blake3, blake3::hash(b"hello\n").to_hex().to_string());
        let other = Expected::parse(&sha256.replace('5', "6")).expect("64 digits");
        assert!(other.check(&digests).is_err());
    }

    #[test]
    fn only_hashes_are_taken_for_hashes() {
        for text in ["", "abc", "../../../../etc/passwd", &"g".repeat(64), &"a".repeat(41), "é"] {
            assert!(Expected::parse(text).is_err(), "{text}");
        }
    }
}
