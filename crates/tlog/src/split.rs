//! Proof that a log shows two histories.

use super::{
    Hash, MAX_NOTE, MAX_PROOF,
    checkpoint::SignedCheckpoint,
    note::{Signed, VerifierKey},
    proof::{ProofError, consistency_proof, verify_consistency},
    tree::{Nodes, TreeError, root},
};
use ids::{DecodeError, canonical};
use minicbor::{Decode, Encode};

/// How many bytes a proof in CBOR may have.
pub const MAX_SPLIT_PROOF: usize = 2 * MAX_NOTE + 64 + MAX_PROOF * 34;

/// Two checkpoints that one key signed and of which neither continues the other.
///
/// Whoever knows the log's key can check it, with nothing else at hand.
///
/// Encoding: a CBOR array of both notes as text, the root or null, and the array of hashes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SplitProof {
    /// The smaller checkpoint; of two of one size that with the lower root.
    #[n(0)]
    pub a: SignedCheckpoint,
    /// The other.
    #[n(1)]
    pub b: SignedCheckpoint,
    /// The root that `b`'s tree had at the size of `a`; none if they have one size.
    #[n(2)]
    pub root_at_a: Option<Hash>,
    /// That `b`'s tree had that root; empty if they have one size.
    #[n(3)]
    pub proof: Vec<Hash>,
}

/// Why a proof of two histories proves nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SplitError {
    /// The checkpoints are of two logs.
    #[error("checkpoints of two logs, {a:?} and {b:?}")]
    Origins {
        /// The first one's origin.
        a: String,
        /// The second one's.
        b: String,
    },
    /// No key of the log signed both checkpoints.
    #[error("no key of {origin:?} signed both checkpoints")]
    Unsigned {
        /// The log.
        origin: String,
    },
    /// The parts are not in the one order or number that is read.
    #[error("checkpoints of sizes {a} and {b} in the wrong order, or with parts that do not fit")]
    Shape {
        /// The first one's size.
        a: u64,
        /// The second one's.
        b: u64,
    },
    /// The checkpoints agree.
    #[error("both checkpoints have root {root} at size {size}")]
    Same {
        /// The smaller size.
        size: u64,
        /// The root there.
        root: Hash,
    },
    /// The larger tree did not have that root.
    #[error("of the larger tree: {0}")]
    Proof(#[from] ProofError),
}

/// Why two checkpoints cannot be compared.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CompareError<E> {
    /// They are of two logs, or not both signed by the key.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The nodes are not those of the larger checkpoint.
    #[error("the larger checkpoint has root {expected}, the nodes at hand lead to {found}")]
    OtherNodes {
        /// The checkpoint's root.
        expected: Hash,
        /// The root of the nodes at its size.
        found: Hash,
    },
    /// A node cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError<E>),
}

impl SplitProof {
    /// Compares two checkpoints that `log` signed; the proof if neither continues the other, none
    /// if one does. `nodes` are those of the larger one; for two of one size none are read.
    ///
    /// Errors: [`CompareError`].
    pub fn compare<N: Nodes>(
        log: &VerifierKey,
        x: &SignedCheckpoint,
        y: &SignedCheckpoint,
        nodes: &N,
    ) -> Result<Option<Self>, CompareError<N::Error>> {
        let (a, b) = in_order(log, x, y);
        signer(&a, &b, std::slice::from_ref(log))?;
        let (old, new) = (a.checkpoint(), b.checkpoint());
        if old.size == new.size {
            let split = old.root != new.root;
            return Ok(split.then_some(Self { a, b, root_at_a: None, proof: vec![] }));
        }
        let found = root(new.size, nodes)?;
        if found != new.root {
            return Err(CompareError::OtherNodes { expected: new.root, found });
        }
        let root_at_a = root(old.size, nodes)?;
        if root_at_a == old.root {
            return Ok(None);
        }
        let proof = consistency_proof(old.size, new.size, nodes)?;
        Ok(Some(Self { a, b, root_at_a: Some(root_at_a), proof }))
    }

    /// The proof from two checkpoints of one size that `log` signed and that have two roots.
    pub fn of_one_size(
        log: &VerifierKey,
        x: &SignedCheckpoint,
        y: &SignedCheckpoint,
    ) -> Option<Self> {
        // Cheap to see, before any signature is verified.
        let (size, root) = (x.checkpoint().size, x.checkpoint().root);
        if size != y.checkpoint().size || root == y.checkpoint().root {
            return None;
        }
        let (a, b) = in_order(log, x, y);
        let proof = Self { a, b, root_at_a: None, proof: vec![] };
        proof.verify(std::slice::from_ref(log)).is_ok().then_some(proof)
    }

    /// Checks that it proves two histories, and says which of `keys`, those that may sign for
    /// the log, signed both.
    ///
    /// Errors: [`SplitError`].
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<&'k VerifierKey, SplitError> {
        let key = signer(&self.a, &self.b, keys)?;
        let (a, b) = (self.a.checkpoint(), self.b.checkpoint());
        let shape = SplitError::Shape { a: a.size, b: b.size };
        let Some(at_a) = self.root_at_a else {
            if a.size != b.size || a.root > b.root || !self.proof.is_empty() {
                return Err(shape);
            }
            return if a.root == b.root { Err(same(a.size, a.root)) } else { Ok(key) };
        };
        if a.size >= b.size {
            return Err(shape);
        }
        if at_a == a.root {
            return Err(same(a.size, a.root));
        }
        if a.size > 0 {
            verify_consistency(a.size, &at_a, b.size, &b.root, &self.proof)?;
        } else if at_a != Hash::EMPTY_TREE || !self.proof.is_empty() {
            // Every tree had this root at size 0, and needs no proof of it.
            return Err(shape);
        }
        Ok(key)
    }

    /// The proof in CBOR.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Reads a proof; [`verify`](Self::verify) says whether it is one.
    ///
    /// Errors: not what [`to_bytes`](Self::to_bytes) writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        canonical::decode("a proof of two histories", bytes, MAX_SPLIT_PROOF)
    }
}

/// Both checkpoints, with the signatures of `log` alone, in the order of a proof.
fn in_order(
    log: &VerifierKey,
    x: &SignedCheckpoint,
    y: &SignedCheckpoint,
) -> (SignedCheckpoint, SignedCheckpoint) {
    let place = |c: &SignedCheckpoint| (c.checkpoint().size, c.checkpoint().root);
    let (a, b) = if place(x) <= place(y) { (x, y) } else { (y, x) };
    let keys = std::slice::from_ref(log);
    (a.only(keys), b.only(keys))
}

/// Which of `keys` signed both checkpoints, which are of one log. A key is one of a log's under
/// the log's origin as its name: under another name it may sign for another log.
fn signer<'k>(
    a: &SignedCheckpoint,
    b: &SignedCheckpoint,
    keys: &'k [VerifierKey],
) -> Result<&'k VerifierKey, SplitError> {
    let (origin, other) = (&a.checkpoint().origin, &b.checkpoint().origin);
    if origin != other {
        return Err(SplitError::Origins { a: origin.clone(), b: other.clone() });
    }
    let signed = |key: &&VerifierKey| {
        let both = a.signed_by(key) == Signed::Yes && b.signed_by(key) == Signed::Yes;
        key.name().as_str() == origin && both
    };
    let unsigned = || SplitError::Unsigned { origin: origin.clone() };
    keys.iter().find(signed).ok_or_else(unsigned)
}

fn same(size: u64, root: Hash) -> SplitError {
    SplitError::Same { size, root }
}
