//! A BLAKE3 hash: the name of everything.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use minicbor::{Decode, Encode};
use std::{fmt, str::FromStr};

/// 32 bytes of BLAKE3, written as 64 lower-case hex digits.
///
/// Encoding: in CBOR a byte string of 32, `5820` then the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Hash(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// Text that is not 64 hex digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a hash is 64 hex digits, not {0:?}")]
pub struct ParseHashError(pub String);

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The hash of several parts, each preceded by its length, under a purpose no other use shares.
    pub fn of_parts(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(domain);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// The first eight hex digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", self.short())
    }
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        let mut bytes = [0; 32];
        let read = match text.len() == 2 * bytes.len() {
            true => HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut bytes).is_ok(),
            false => false,
        };
        match read {
            true => Ok(Self(bytes)),
            false => Err(ParseHashError(text.chars().take(80).collect())),
        }
    }
}

crate::serde_as_text!(Hash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_back() {
        let hash = Hash::of(b"understory");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("".parse::<Hash>().is_err());
        assert!("+1".repeat(32).parse::<Hash>().is_err());
        assert!("é".repeat(32).parse::<Hash>().is_err());
    }

    #[test]
    fn parts_do_not_run_together() {
        let a = Hash::of_parts("test", &[b"ab", b"c"]);
        assert_ne!(a, Hash::of_parts("test", &[b"a", b"bc"]));
        assert_ne!(a, Hash::of_parts("tost", &[b"ab", b"c"]));
    }

    #[test]
    fn cbor_is_a_byte_string_of_32() {
        let bytes = minicbor::to_vec(Hash([7; 32])).expect("writing to memory");
        assert_eq!(bytes[..3], [0x58, 0x20, 7]);
        assert_eq!(minicbor::decode::<Hash>(&bytes).expect("round trip"), Hash([7; 32]));
        assert!(minicbor::decode::<Hash>(&bytes[..20]).is_err());
    }
}
