//! Following a log that somebody else keeps: ranges of statements come from any member, each with
//! a proof that they lead to a signed head. What was checked stays; a liar costs one range.

use crate::{
    Archive, ArchiveError, Body, Snapshot, Statement, StatementError,
    state::{ReplayError, Roots, State},
};
use std::{collections::BTreeMap, num::NonZero, thread};
use tlog::{
    Hash as TreeHash, Node, Nodes, ProofError, SignedCheckpoint, consistency_proof,
    verify_consistency,
};

/// Bytes of statements in a range.
pub const MAX_RANGE_BYTES: usize = 4 << 20;
/// Statements in a range.
pub const MAX_RANGE: usize = 16_384;

/// Statements of a log that lead to one of its heads.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub struct RangeProof {
    /// The index of the first.
    #[n(0)]
    pub first: u64,
    /// Their bytes.
    #[n(1)]
    pub entries: Vec<minicbor::bytes::ByteVec>,
    /// That the log with them grows into the head.
    #[n(2)]
    pub proof: Vec<TreeHash>,
}

/// Why a range or head is refused.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log's file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The log's state.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A statement in it.
    #[error("statement {index} of the range: {why}")]
    Statement {
        /// Its index in the log.
        index: u64,
        /// What is wrong with it.
        why: StatementError,
    },
    /// It does not begin where the log ends, has too much, or nothing.
    #[error("a range of {len} statements from {first}, {expected} were asked for")]
    Range {
        /// Where it begins.
        first: u64,
        /// Its statements.
        len: usize,
        /// Where it should.
        expected: u64,
    },
    /// It does not lead to the head.
    #[error("the range does not lead to the head: {0}")]
    Proof(#[from] ProofError),
    /// The head is signed by nobody who may.
    #[error("the head of size {size} is not signed by the log's operator, nor by its witnesses")]
    Unsigned {
        /// Its size.
        size: u64,
    },
    /// Another log's.
    #[error("the head is of {origin:?}")]
    Foreign {
        /// Whose.
        origin: String,
    },
    /// The head contradicts what is here.
    #[error("the head of size {size} is of another history of this log")]
    Split {
        /// Its size.
        size: u64,
    },
}

/// Reads a range out of a log, for a member whose log has `first` statements and who knows `head`:
/// at most `most` bytes of statements and never more than [`MAX_RANGE_BYTES`], but at least one.
///
/// Errors: the log does not reach from the one to the other.
pub fn range(
    log: &Snapshot,
    first: u64,
    head: u64,
    most: usize,
) -> Result<RangeProof, ArchiveError> {
    if first >= head || head > log.size() {
        return Err(ArchiveError::Missing { index: first, size: log.size().min(head) });
    }
    let most = most.min(MAX_RANGE_BYTES);
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for entry in log.entries(first..head)? {
        let entry = entry?;
        bytes += entry.len();
        if entries.len() == MAX_RANGE || (bytes > most && !entries.is_empty()) {
            break;
        }
        entries.push(entry.into());
    }
    let proof = consistency_proof(first + entries.len() as u64, head, log)?;
    Ok(RangeProof { first, entries, proof })
}

/// Whether a head may be followed, as far as can be known before its statements are here: signed
/// by the operator this member knows, or by enough of the witnesses it knows.
///
/// Errors: [`FollowError::Unsigned`], [`FollowError::Foreign`]; [`FollowError::Split`] if it is of
/// a size that the log has, and differs.
pub fn check_head(
    log: &Snapshot,
    state: &State,
    head: &SignedCheckpoint,
) -> Result<(), FollowError> {
    let checkpoint = head.checkpoint();
    let size = checkpoint.size;
    if checkpoint.origin != crate::origin(&state.id) {
        return Err(FollowError::Foreign { origin: checkpoint.origin.chars().take(80).collect() });
    }
    let (signed, witnessed) = (state.is_signed(head), state.is_witnessed(head));
    if !signed && !witnessed {
        return Err(FollowError::Unsigned { size });
    }
    if size > log.size() {
        return Ok(());
    }
    match log.root_at(size)? == checkpoint.root {
        // Whatever witnesses say, of what is here it is known who may sign it.
        true if !signed => Err(FollowError::Unsigned { size }),
        true => Ok(()),
        false => Err(FollowError::Split { size }),
    }
}

/// Takes a range in: every signature, the proof, and the state that follows. `state` is that of
/// the whole log, and stays so. When the range reaches the head, the head is kept.
///
/// Errors: the range changes nothing in the log. After [`FollowError::Unsigned`] the log was cut
/// back to its last head ([`Archive::cut_back`]). The state may have taken statements in that the
/// log does not have: replay it.
pub fn take_in(
    archive: &Archive,
    state: &mut State,
    range: &RangeProof,
    head: &SignedCheckpoint,
) -> Result<(), FollowError> {
    let log = archive.snapshot()?;
    let statements = parse_range(archive, range, log.size())?;
    let overlay = Overlay::new(&log, &statements)?;
    let size = log.size() + statements.len() as u64;
    let checkpoint = head.checkpoint();
    let root = overlay.root_at(size)?;
    verify_consistency(size, &root, checkpoint.size, &checkpoint.root, &range.proof)?;
    state.apply_all(&statements, &overlay)?;
    if size < checkpoint.size {
        archive.append(&statements)?;
        return Ok(());
    }
    if !state.is_signed(head) {
        archive.cut_back()?;
        return Err(FollowError::Unsigned { size });
    }
    archive.adopt(&statements, head)?;
    Ok(())
}

/// Takes in a range that reaches a head signed by an operator whom only the range itself names:
/// the log was handed over in it. Returns the state after it; `state` is that of the whole log.
///
/// Errors: nothing is changed. [`FollowError::Unsigned`] if the log was not handed over to whoever
/// signed the head, [`FollowError::Range`] if the range ends before it.
pub fn take_hand_over(
    archive: &Archive,
    state: &State,
    range: &RangeProof,
    head: &SignedCheckpoint,
) -> Result<State, FollowError> {
    let log = archive.snapshot()?;
    let statements = parse_range(archive, range, log.size())?;
    let overlay = Overlay::new(&log, &statements)?;
    let checkpoint = head.checkpoint();
    let size = log.size() + statements.len() as u64;
    if size != checkpoint.size {
        let (first, len) = (range.first, statements.len());
        return Err(FollowError::Range { first, len, expected: log.size() });
    }
    verify_consistency(size, &overlay.root_at(size)?, size, &checkpoint.root, &range.proof)?;
    let mut next = state.clone();
    next.apply_all(&statements, &overlay)?;
    if !next.is_signed(head) {
        return Err(FollowError::Unsigned { size });
    }
    archive.adopt(&statements, head)?;
    Ok(next)
}

/// Takes in a range of a log of which `root` over its first `size` statements is known and no head
/// is needed: the log that a fork comes from. Returns how many statements are there.
///
/// Errors: nothing is changed.
pub fn take_history(
    archive: &Archive,
    range: &RangeProof,
    size: u64,
    root: &TreeHash,
) -> Result<u64, FollowError> {
    let log = archive.snapshot()?;
    let statements = parse_range(archive, range, log.size())?;
    let overlay = Overlay::new(&log, &statements)?;
    let reached = log.size() + statements.len() as u64;
    verify_consistency(reached, &overlay.root_at(reached)?, size, root, &range.proof)?;
    drop(log);
    Ok(archive.append(&statements)?)
}

fn parse_range(
    archive: &Archive,
    range: &RangeProof,
    expected: u64,
) -> Result<Vec<Statement>, FollowError> {
    let (first, len) = (range.first, range.entries.len());
    let bytes: usize = range.entries.iter().map(|e| e.len()).sum();
    let most = MAX_RANGE_BYTES + crate::statement::MAX_STATEMENT;
    if first != expected || len == 0 || len > MAX_RANGE || bytes > most {
        return Err(FollowError::Range { first, len, expected });
    }
    let entries: Vec<&[u8]> = range.entries.iter().map(|e| e.as_slice()).collect();
    let statements = parse_all(&entries, first)?;
    let version = match &archive.genesis().body {
        Body::Genesis(genesis) => genesis.rules_version(),
        _ => unreachable!("a log begins with a genesis"),
    };
    for (index, statement) in (first..).zip(&statements) {
        let known = statement.check_version(version);
        known.map_err(|why| FollowError::Statement { index, why })?;
    }
    Ok(statements)
}

/// Parses statements and checks every signature, on all threads.
pub(crate) fn parse_all<T: AsRef<[u8]> + Sync>(
    entries: &[T],
    first: u64,
) -> Result<Vec<Statement>, FollowError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let part = entries.len().div_ceil(threads).max(64);
    let parse = |at: usize, entries: &[T]| -> Result<Vec<Statement>, FollowError> {
        let indexed = (first + at as u64..).zip(entries);
        indexed
            .map(|(index, bytes)| {
                Statement::parse(bytes.as_ref())
                    .map_err(|why| FollowError::Statement { index, why })
            })
            .collect()
    };
    let parts: Vec<Result<Vec<Statement>, FollowError>> = thread::scope(|scope| {
        let spawn = |(at, chunk)| scope.spawn(move || parse(at * part, chunk));
        let running: Vec<_> = entries.chunks(part).enumerate().map(spawn).collect();
        running.into_iter().map(|t| t.join().expect("parsing does not panic")).collect()
    });
    let mut statements = Vec::with_capacity(entries.len());
    for part in parts {
        statements.extend(part?);
    }
    Ok(statements)
}

/// A log with statements that are not in it yet.
pub(crate) struct Overlay<'a> {
    log: &'a Snapshot,
    nodes: BTreeMap<(u8, u64), TreeHash>,
    size: u64,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(log: &'a Snapshot, statements: &[Statement]) -> Result<Self, ArchiveError> {
        let leaves = statements.iter().map(|s| TreeHash::of_leaf(s.bytes()));
        let made = tlog::append_all(log.size(), leaves, log)?;
        let nodes = made.into_iter().map(|Node { level, index, hash }| ((level, index), hash));
        Ok(Self { log, nodes: nodes.collect(), size: log.size() + statements.len() as u64 })
    }
}

impl Nodes for Overlay<'_> {
    type Error = ArchiveError;

    fn node(&self, level: u8, index: u64) -> Result<TreeHash, ArchiveError> {
        match self.nodes.get(&(level, index)) {
            Some(hash) => Ok(*hash),
            None => self.log.node(level, index),
        }
    }
}

impl Roots for Overlay<'_> {
    fn root_at(&self, size: u64) -> Result<TreeHash, ArchiveError> {
        if size > self.size {
            return Err(ArchiveError::Missing { index: size - 1, size: self.size });
        }
        Ok(tlog::root(size, self)?)
    }
}
