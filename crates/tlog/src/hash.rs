//! SHA-256 hashes of leaves and nodes.

use base64::{Engine, engine::general_purpose::STANDARD};
use ids::ParseHashError;
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// 32 bytes of SHA-256: a leaf, a node or the root of a Merkle tree.
///
/// As text 64 lower-case hex digits; in notes and proofs [`base64`](Self::base64).
///
/// Encoding: in CBOR a byte string of 32, `5820` then the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Hash(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl Hash {
    /// The root of the tree without leaves: the hash of nothing.
    ///
    /// Source: RFC 6962, section 2.1.
    pub const EMPTY_TREE: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// The hash of a leaf that holds `entry`: SHA-256 of `00` and the entry.
    ///
    /// Source: RFC 6962, section 2.1.
    pub fn of_leaf(entry: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
    }

    /// The hash of the node over `left` and `right`: SHA-256 of `01` and both.
    ///
    /// Source: RFC 6962, section 2.1.
    pub fn of_node(left: &Self, right: &Self) -> Self {
        let mut bytes = [1; 65];
        bytes[1..33].copy_from_slice(&left.0);
        bytes[33..].copy_from_slice(&right.0);
        Self(Sha256::digest(bytes).into())
    }

    /// 44 characters of base64, as the text formats of logs have it.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`base64`](Self::base64) writes, and no other spelling of it.
    pub fn from_base64(text: &str) -> Option<Self> {
        // The length is checked first so that nothing long is decoded.
        let bytes = if text.len() == 44 { STANDARD.decode(text).ok()? } else { return None };
        Some(Self(bytes.try_into().ok()?))
    }

    /// The first eight hex digits, for people.
    pub fn short(&self) -> String {
        ids::Hash(self.0).short()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&ids::Hash(self.0), f)
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
        Ok(Self(text.parse::<ids::Hash>()?.0))
    }
}

ids::serde_as_text!(Hash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_rfc_6962() {
        assert_eq!(Hash(Sha256::digest([]).into()), Hash::EMPTY_TREE);
        let empty_leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(Hash::of_leaf(b"").to_string(), empty_leaf);
        let (a, b) = (Hash::of_leaf(b"a"), Hash::of_leaf(b"b"));
        let parts = [&[1], &a.0[..], &b.0[..]].concat();
        assert_eq!(Hash::of_node(&a, &b), Hash(Sha256::digest(parts).into()));
    }

    #[test]
    fn prints_and_reads_back_in_both_alphabets() {
        let hash = Hash::of_leaf(b"soil");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(Hash::from_base64(&hash.base64()), Some(hash));
        assert!("".parse::<Hash>().is_err());
    }

    #[test]
    fn base64_has_one_spelling() {
        let text = Hash([0; 32]).base64();
        assert!(text.ends_with("AA="));
        assert_eq!(Hash::from_base64(&text.replace("AA=", "AB=")), None, "trailing bits");
        assert_eq!(Hash::from_base64(text.trim_end_matches('=')), None, "padding");
        assert_eq!(Hash::from_base64(&text.replacen('A', "-", 1)), None, "alphabet");
        assert_eq!(Hash::from_base64(&text.replacen('A', "\n", 1)), None, "white space");
        assert_eq!(Hash::from_base64(&text[4..]), None, "length");
    }

    #[test]
    fn cbor_is_a_byte_string_of_32() {
        let bytes = ids::canonical::encode(&Hash([7; 32]));
        assert_eq!(bytes[..3], [0x58, 0x20, 7]);
        assert_eq!(ids::canonical::decode("hash", &bytes, 64), Ok(Hash([7; 32])));
    }
}
