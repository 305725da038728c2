//! A proof that an entry is in a log, as a file: its place, the way from it to the root, and the
//! checkpoint that has the root.
//!
//! Source: C2SP, tlog-proof.

use super::{
    Hash, MAX_NOTE, MAX_PROOF,
    checkpoint::{CheckpointError, SignedCheckpoint, WrongCosignature, parse_size},
    note::{VerifierKey, beginning},
    policy::{Policy, Witnessed},
    proof::{ProofError, verify_inclusion},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt;

/// How many bytes of extra data a proof may carry.
pub const MAX_EXTRA: usize = 256 << 10;

/// How many bytes a proof may have.
pub const MAX_TLOG_PROOF: usize = 64 + MAX_EXTRA.div_ceil(3) * 4 + MAX_PROOF * 45 + MAX_NOTE;

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// That an entry is in a log, for somebody who knows the entry, the log's key and its witnesses.
///
/// Encoding: printed as the file; what was read prints as the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Whatever goes with it; nothing signs it.
    pub extra: Option<Vec<u8>>,
    /// The entry's place in the log, from 0.
    pub index: u64,
    /// The hashes from its leaf's sibling up to the root's child.
    pub hashes: Vec<Hash>,
    /// The head of the log that has the entry.
    pub checkpoint: SignedCheckpoint,
}

/// Why text is not a proof.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TlogProofError {
    /// More bytes than are read.
    #[error("a proof of {len} bytes, at most {MAX_TLOG_PROOF} are read")]
    TooLong {
        /// How many bytes there are.
        len: usize,
    },
    /// Not the first line of one, or no empty line before the checkpoint.
    #[error("a proof is a header, an index, lines of hashes, an empty line and a checkpoint")]
    Shape,
    /// A line is not what it has to be.
    #[error("a proof's {line} is wrong: {text:?}")]
    Line {
        /// Which line.
        line: &'static str,
        /// Its beginning.
        text: String,
    },
    /// More hashes than any tree has levels.
    #[error("a proof of more than {MAX_PROOF} hashes")]
    TooManyHashes,
    /// What follows the empty line is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why a proof does not hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotLogged {
    /// It is about another log.
    #[error("the checkpoint is of {found:?}, not of {expected:?}")]
    Origin {
        /// The checkpoint's origin.
        found: String,
        /// The log's.
        expected: String,
    },
    /// No key of the log signed the checkpoint, or a line that claims so is wrong.
    #[error("the checkpoint of size {size} is not signed by a key that operates the log")]
    Unsigned {
        /// Its size.
        size: u64,
    },
    /// A cosignature that is wrong.
    #[error(transparent)]
    Cosignature(#[from] WrongCosignature),
    /// Too few witnesses cosigned.
    #[error("{have} of the known witnesses cosigned the checkpoint, {need} must")]
    TooFew {
        /// How many did.
        have: usize,
        /// How many must.
        need: usize,
    },
    /// The entry is not where the proof says.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl TlogProof {
    /// Reads a proof. Nothing is verified.
    ///
    /// Errors: [`TlogProofError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > MAX_TLOG_PROOF {
            return Err(TlogProofError::TooLong { len: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TlogProofError::Shape)?;
        let text = text.strip_prefix(HEADER).ok_or(TlogProofError::Shape)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(TlogProofError::Shape)?;
        let mut lines = head.split('\n').peekable();
        let extra =
            lines.next_if(|line| line.starts_with("extra ")).map(parse_extra).transpose()?;
        let line = lines.next().unwrap_or_default();
        let index = line.strip_prefix("index ").and_then(parse_size);
        let index = index.ok_or_else(|| wrong("index", line))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_PROOF {
                return Err(TlogProofError::TooManyHashes);
            }
            hashes.push(Hash::from_base64(line).ok_or_else(|| wrong("hash", line))?);
        }
        let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        Ok(Self { extra, index, hashes, checkpoint })
    }

    /// Checks that `leaf` is in the log `origin`, whose keys are `logs`, and that enough witnesses
    /// of `policy` cosigned the head that has it. Returns who did, and when.
    ///
    /// Errors: [`NotLogged`].
    pub fn verify(
        &self,
        leaf: &Hash,
        origin: &str,
        logs: &[VerifierKey],
        policy: &Policy,
    ) -> Result<Witnessed, NotLogged> {
        let head = self.checkpoint.checkpoint();
        if head.origin != origin {
            let (found, expected) = (beginning(&head.origin), origin.to_owned());
            return Err(NotLogged::Origin { found, expected });
        }
        if !self.checkpoint.signed_by_one_of(logs) {
            return Err(NotLogged::Unsigned { size: head.size });
        }
        let witnessed = policy.witnessed(&self.checkpoint)?;
        if !witnessed.holds() {
            let (have, need) = (witnessed.count(), witnessed.threshold);
            return Err(NotLogged::TooFew { have, need });
        }
        verify_inclusion(leaf, self.index, head.size, &head.root, &self.hashes)?;
        Ok(witnessed)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", hash.base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn parse_extra(line: &str) -> Result<Vec<u8>, TlogProofError> {
    let data = line.strip_prefix("extra ").and_then(|data| STANDARD.decode(data).ok());
    data.filter(|data| data.len() <= MAX_EXTRA).ok_or_else(|| wrong("extra data", line))
}

fn wrong(line: &'static str, text: &str) -> TlogProofError {
    TlogProofError::Line { line, text: beginning(text) }
}
