//! Keys: who a peer is, and how it signs.

use crate::Hash;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use std::{fmt, str::FromStr};

/// A peer's ed25519 public key; the same bytes name its endpoint on the network.
///
/// Encoding: in CBOR a byte string of 32, `5820` then the bytes; as text 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct PeerId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// Text that is not a peer's key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a peer's key is 64 hex digits, not {0:?}")]
pub struct ParsePeerIdError(String);

/// An ed25519 signature.
///
/// Encoding: in CBOR a byte string of 64, `5840` then the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Signature(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 64]);

/// A peer's secret key.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
    id: PeerId,
}

impl Identity {
    /// The identity whose ed25519 secret is `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let id = PeerId(key.verifying_key().to_bytes());
        Self { key, id }
    }

    /// The public key.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Signs `message` as it is; whoever signs puts the domain in front.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.key.sign(message).to_bytes())
    }

    /// A value only this identity can compute, the same at every call: for secrets that a
    /// restarted peer has to find again.
    pub fn derive(&self, purpose: &str, parts: &[&[u8]]) -> Hash {
        let seed = self.key.to_bytes();
        let mut all: Vec<&[u8]> = vec![&seed, purpose.as_bytes()];
        all.extend_from_slice(parts);
        Hash::of_parts("understory swarm 1 derived secret", &all)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id.short())
    }
}

impl PeerId {
    /// The first eight hex digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }

    /// Whether `signature` is this peer's over `message` (strict: no malleable or weak-key forms).
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hash(self.0), f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, ParsePeerIdError> {
        let hash: Hash =
            text.parse().map_err(|_| ParsePeerIdError(text.chars().take(80).collect()))?;
        Ok(Self(hash.0))
    }
}

crate::serde_as_text!(PeerId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_refuses_every_flipped_bit() {
        let identity = Identity::from_seed([1; 32]);
        let signature = identity.sign(b"soil");
        assert!(identity.id().verifies(b"soil", &signature));
        assert!(!identity.id().verifies(b"sail", &signature));
        assert!(!Identity::from_seed([2; 32]).id().verifies(b"soil", &signature));
        for bit in 0..512 {
            let mut bad = signature;
            bad.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!identity.id().verifies(b"soil", &bad), "bit {bit}");
        }
    }

    #[test]
    fn prints_and_reads_back() {
        let id = Identity::from_seed([1; 32]).id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("12".parse::<PeerId>().is_err());
    }

    #[test]
    fn derived_secrets_are_stable_and_apart() {
        let (a, b) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        assert_eq!(a.derive("x", &[b"1"]), a.clone().derive("x", &[b"1"]));
        assert_ne!(a.derive("x", &[b"1"]), a.derive("x", &[b"2"]));
        assert_ne!(a.derive("x", &[b"1"]), a.derive("y", &[b"1"]));
        assert_ne!(a.derive("x", &[b"1"]), b.derive("x", &[b"1"]));
    }
}
