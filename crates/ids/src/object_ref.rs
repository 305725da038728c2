//! A hash with its length: what a peer may ask another for without risking its memory.

use crate::Hash;

/// An object named by hash, with the exact length in bytes that its owner stated.
///
/// Encoding: a CBOR array `[hash, len]`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(deny_unknown_fields)]
pub struct ObjectRef {
    /// BLAKE3 of the bytes.
    #[n(0)]
    pub hash: Hash,
    /// Length in bytes.
    #[n(1)]
    pub len: u64,
}

impl ObjectRef {
    /// Names `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: Hash::of(bytes), len: bytes.len() as u64 }
    }
}
