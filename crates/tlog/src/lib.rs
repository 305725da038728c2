//! The transparency log: a Merkle tree that only grows, checkpoints signed by whoever keeps it,
//! witnesses who cosign that it only grew, and proofs that anybody can check.
//!
//! Pure functions and state machines: no file, socket or clock. The formats are those of
//! RFC 6962 and of the C2SP specifications signed-note, tlog-checkpoint, tlog-cosignature,
//! tlog-witness, tlog-tiles and tlog-proof, so that other programs read, witness and check the
//! same log.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod checkpoint;
mod hash;
mod logged;
mod note;
mod policy;
mod proof;
mod reader;
mod split;
mod tile;
mod tree;
mod witness;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, WrongCosignature};
pub use hash::Hash;
pub use logged::{MAX_EXTRA, MAX_TLOG_PROOF, NotLogged, TlogProof, TlogProofError};
pub use note::{
    KeyKind, KeyName, MAX_NOTE, MAX_SIGNATURES, Note, NoteError, NoteSignature, Signed, VerifierKey,
};
pub use policy::{MAX_WITNESSES, Policy, PolicyError, Witnessed};
pub use proof::{
    MAX_PROOF, ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion,
};
pub use reader::{ReadError, TileReader};
pub use split::{CompareError, MAX_SPLIT_PROOF, SplitError, SplitProof};
pub use tile::{Bundle, CHECKPOINT_PATH, MAX_BUNDLE, MAX_ENTRY, TILE_WIDTH, Tile, TileError};
pub use tree::{
    Frontier, MAX_SIZE, MemoryTree, NoSuchNode, Node, Nodes, TreeError, append, append_all, root,
};
pub use witness::{
    AddCheckpoint, Answer, MAX_REQUEST, RequestError, Response, ResponseError, Witness,
};
