//! The operator: gives waiting statements their place in the log, and signs the new head. It adds
//! nothing of its own and can leave out nobody for long without an alarm.

mod promise;

pub use promise::promise;

use crate::{
    Archive, ArchiveError, Body, Pending, Statement,
    author::AuthorError,
    follow::{MAX_RANGE_BYTES, Overlay},
    state::{ReplayError, Roots, State, Status},
    statement::{Asset, Candidate, Check, Evidence, Subject, Verdict},
};
use ids::{Hash, Identity, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use tlog::{Checkpoint, CheckpointError, SignedCheckpoint};

/// Statements that one batch takes in. Their bytes fit into one range: members follow a hand-over
/// only if they get the whole batch that it is in.
const BATCH: usize = 4096;

/// Why the operator cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The log's file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The log's state.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A checkpoint cannot be signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A statement cannot be written.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// Somebody else operates the log.
    #[error("the log's operator is {0}")]
    NotOperator(PeerId),
}

/// What a batch did.
#[derive(Debug, Default)]
pub struct Batch {
    /// Statements that got their place.
    pub taken: usize,
    /// Statements that can have none any more, and why.
    pub refused: Vec<(Hash, String)>,
    /// The new head, if there is one.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// Takes in all that waits and signs the new head. `state` is that of the whole log, and stays so.
///
/// Errors: `operator` is not the log's operator once the batch is in; the log cannot be written.
pub fn integrate(
    archive: &Archive,
    state: &mut State,
    operator: &Identity,
) -> Result<Batch, OperatorError> {
    integrate_some(archive, state, operator, &mut |_| true)
}

/// [`integrate`] of what members say and of as much from others as `admit` lets in: that is asked
/// of each of their statements that is ready for its place. It is the operator's policy and no part
/// of what the log means: what is not let in waits on.
///
/// Errors: as [`integrate`].
pub fn integrate_some(
    archive: &Archive,
    state: &mut State,
    operator: &Identity,
    admit: &mut dyn FnMut(&Statement) -> bool,
) -> Result<Batch, OperatorError> {
    let log = archive.snapshot()?;
    let mut batch = Batch::default();
    let mut pending = log.pending()?;
    let is_own = |p: &Pending| p.receipt.is_some_and(|r| r.operator == operator.id());
    share_out(&mut pending, is_own);
    if state.operator() != operator.id() {
        hand_over_first(&mut pending, &operator.id());
    }
    let mut lets_in =
        |p: &Pending| is_own(p) || is_members(state, &p.statement) || admit(&p.statement);
    let (ready, refused) = admissible(&pending, state, &mut lets_in);
    batch.refused = refused;
    drop(log);
    if !batch.refused.is_empty() {
        let gone: Vec<Hash> = batch.refused.iter().map(|(hash, _)| *hash).collect();
        archive.drop_pending(&gone)?;
    }
    if ready.is_empty() {
        return Ok(batch);
    }
    // The head must be signed by whoever operates the log after the batch: a hand-over is in it.
    let (next, checkpoint) = append_signed(archive, &ready, state, operator)?;
    *state = next;
    batch.taken = ready.len();
    batch.checkpoint = Some(checkpoint);
    Ok(batch)
}

/// Appends statements and keeps the checkpoint that `operator` signs over the log with them, in one
/// change. Returns the state after them.
///
/// Errors: `operator` does not operate the log that has them.
fn append_signed(
    archive: &Archive,
    statements: &[Statement],
    state: &State,
    operator: &Identity,
) -> Result<(State, SignedCheckpoint), OperatorError> {
    let log = archive.snapshot()?;
    let overlay = Overlay::new(&log, statements)?;
    let mut next = state.clone();
    next.apply_all(statements, &overlay)?;
    if next.operator() != operator.id() {
        return Err(OperatorError::NotOperator(next.operator()));
    }
    let head = Checkpoint::new(archive.origin(), next.size, overlay.root_at(next.size)?);
    let checkpoint = head.sign(operator)?;
    archive.adopt(statements, &checkpoint)?;
    Ok((next, checkpoint))
}

/// Signs a checkpoint of the log as it is.
///
/// Errors: `operator` is not the log's operator.
pub fn sign_head(
    archive: &Archive,
    state: &State,
    operator: &Identity,
) -> Result<SignedCheckpoint, OperatorError> {
    if state.operator() != operator.id() {
        return Err(OperatorError::NotOperator(state.operator()));
    }
    let log = archive.snapshot()?;
    let root = log.root_at(log.size())?;
    let checkpoint = Checkpoint::new(archive.origin(), log.size(), root).sign(operator)?;
    archive.keep_checkpoint(&checkpoint)?;
    Ok(checkpoint)
}

/// The statement that enters a cosigned checkpoint into the log as a mark, unless a newer mark is
/// there. Anybody may write it; mostly the operator does.
///
/// Errors: the log cannot be read or written.
pub fn mark(
    archive: &Archive,
    state: &State,
    author: &Identity,
    checkpoint: &SignedCheckpoint,
) -> Result<Option<Statement>, OperatorError> {
    if !state.would_mark(checkpoint) {
        return Ok(None);
    }
    let evidence = Evidence::Checkpoint(checkpoint.to_string());
    let check = Check { subject: Subject::Log, verdict: Verdict::Confirmed, evidence };
    Ok(Some(archive.write(state, author, check)?))
}

/// Whom a statement names as the log's operator.
pub fn named(statement: &Statement) -> Option<PeerId> {
    match &statement.body {
        Body::Rights(rights) if rights.asset == Asset::Log => match rights.holder {
            Candidate::Key(key) => Some(key),
            _ => None,
        },
        _ => None,
    }
}

/// Puts first whoever names `heir`, and of those who wrote least: without them in it a batch is
/// no hand-over, however much else waits.
fn hand_over_first(pending: &mut [Pending], heir: &PeerId) {
    let mut bytes: BTreeMap<PeerId, usize> = BTreeMap::new();
    let mut naming = BTreeSet::new();
    for Pending { statement, .. } in pending.iter() {
        *bytes.entry(statement.author).or_default() += statement.bytes().len();
        if named(statement) == Some(*heir) {
            naming.insert(statement.author);
        }
    }
    pending.sort_by_key(|p| {
        let author = &p.statement.author;
        (!naming.contains(author), bytes.get(author).copied())
    });
}

/// Puts first what is promised, then each author's in turn by how much of it comes before: nobody
/// keeps others waiting by saying much, or by a key that sorts before theirs.
fn share_out(pending: &mut Vec<Pending>, is_promised: impl Fn(&Pending) -> bool) {
    let mut before: BTreeMap<PeerId, usize> = BTreeMap::new();
    let keyed = std::mem::take(pending).into_iter().map(|p| {
        let sum = before.entry(p.statement.author).or_default();
        *sum += p.statement.bytes().len();
        ((!is_promised(&p), *sum), p)
    });
    let mut keyed: Vec<_> = keyed.collect();
    keyed.sort_by_key(|(key, _)| *key);
    pending.extend(keyed.into_iter().map(|(_, p)| p));
}

/// Whether a statement is a member's word, which no rate holds back: signed by a key in force for
/// a member, by the log's operator, by the key that a member committed to as its next, or a ballot
/// of somebody who may vote though it is no member any more.
pub fn is_members(state: &State, statement: &Statement) -> bool {
    let author = &statement.author;
    if state.operator() == *author {
        return true;
    }
    if let Body::Key(key) = &statement.body
        && state
            .members
            .get(&key.member)
            .is_some_and(|m| m.is_member && m.next == crate::statement::Key::digest(author))
    {
        return true;
    }
    let Some(member) = state.member_of(author) else { return false };
    let may_vote = || match &statement.body {
        Body::Vote(vote) => state.proposals.get(&vote.proposal).is_some_and(|question| {
            question.status == Status::Open && question.electorate.position(&member).is_some()
        }),
        _ => false,
    };
    state.is_member(&member) || may_vote()
}

type Sorted = (Vec<Statement>, Vec<(Hash, String)>);

/// What can be appended now, in an order in which each author's chain holds; and what never can.
fn admissible(
    pending: &[Pending],
    state: &State,
    lets_in: &mut dyn FnMut(&Pending) -> bool,
) -> Sorted {
    let mut heads: BTreeMap<PeerId, (u64, Option<Hash>)> = BTreeMap::new();
    let (mut ready, mut refused, mut bytes) = (Vec::new(), Vec::new(), 0);
    for waiting in pending {
        let statement = &waiting.statement;
        if state.place(&statement.hash()).is_some() {
            continue;
        }
        let head =
            heads.entry(statement.author).or_insert_with(|| state.chain_head(&statement.author));
        if statement.seq > head.0 || statement.seen.is_some_and(|seen| seen.size > state.size) {
            // Its predecessor, or what it has seen, may still come.
            continue;
        }
        if ready.len() == BATCH || bytes + statement.bytes().len() > MAX_RANGE_BYTES {
            break;
        }
        let follows = statement.seq < head.0 || statement.prev == head.1;
        if follows && !lets_in(waiting) {
            continue;
        }
        bytes += statement.bytes().len();
        if statement.seq == head.0 && statement.prev == head.1 {
            *head = (statement.seq + 1, Some(statement.hash()));
            ready.push(statement.clone());
        } else if statement.seq < head.0 {
            // A second word in one place: it goes in, because there it is proof.
            ready.push(statement.clone());
        } else {
            refused.push((statement.hash(), "it does not follow its author's last".to_owned()));
        }
    }
    (ready, refused)
}
