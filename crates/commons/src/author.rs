//! Writing: a new statement with its right place in its author's chain, having seen the log's head.

use crate::{
    Archive, ArchiveError, Body, Place, Seen, Snapshot, Statement, StatementError,
    state::{OldRules, State},
    statement::Genesis,
};
use ids::{Hash, Identity, PeerId};
use tlog::{Checkpoint, CheckpointError, SignedCheckpoint};

/// Why a statement cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// The log's file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What it says is out of bounds.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// No checkpoint is known yet.
    #[error("no checkpoint of this log is known yet")]
    NoCheckpoint,
    /// The operator's own signature cannot be found on its checkpoint.
    #[error("the newest checkpoint is not signed by the log's operator")]
    Unsigned,
    /// A checkpoint cannot be signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The commons follows an older version of the rules.
    #[error(transparent)]
    OldRules(#[from] OldRules),
}

/// Begins a commons: its genesis, and the first checkpoint, signed by the operator's key if that
/// is here.
///
/// Errors: a genesis out of bounds.
pub fn found(
    founder: &Identity,
    operator: &Identity,
    genesis: Genesis,
) -> Result<(Statement, SignedCheckpoint), AuthorError> {
    let place = Place { log: Hash::default(), seq: 0, prev: None, seen: None };
    let statement = Statement::sign(founder, place, genesis)?;
    let id = statement.commons_id().expect("a genesis begins a commons");
    let root = tlog::Hash::of_leaf(statement.bytes());
    let checkpoint = Checkpoint::new(crate::origin(&id), 1, root).sign(operator)?;
    Ok((statement, checkpoint))
}

/// The head that a statement written now has seen: that of the newest checkpoint.
///
/// Errors: there is none, or it is not signed by the operator.
pub fn head(log: &Snapshot, state: &State) -> Result<Seen, AuthorError> {
    seen(&log.latest_checkpoint()?.ok_or(AuthorError::NoCheckpoint)?, state)
}

/// The head that a member whose clock says `now` has seen: the newest, unless a mark in it is ahead
/// of that clock and rests on one witness and the members' word. Then the head of that mark, which
/// was before it.
///
/// Errors: as [`head`].
pub fn head_at(log: &Snapshot, state: &State, now: u64) -> Result<Seen, AuthorError> {
    match state.doubtful(now) {
        Some(mark) => seen(&crate::portable::marked(log, mark)?, state),
        None => head(log, state),
    }
}

fn seen(signed: &SignedCheckpoint, state: &State) -> Result<Seen, AuthorError> {
    let checkpoint = signed.checkpoint();
    let key = state.log_key_at(checkpoint.size);
    let signature = signed.signature(&key).ok_or(AuthorError::Unsigned)?;
    let (size, root) = (checkpoint.size, checkpoint.root.0);
    Ok(Seen { size, root, signature })
}

/// The next place in an author's chain, counting what still waits.
///
/// Errors: the log cannot be read, or follows older rules.
pub fn next_place(log: &Snapshot, state: &State, author: &PeerId) -> Result<Place, AuthorError> {
    state.check_version()?;
    place_after(log, state, author, head(log, state)?)
}

fn place_after(
    log: &Snapshot,
    state: &State,
    author: &PeerId,
    seen: Seen,
) -> Result<Place, AuthorError> {
    let (mut seq, mut prev) = state.chain_head(author);
    for waiting in log.pending()? {
        let statement = waiting.statement;
        if statement.author == *author && statement.seq == seq && statement.prev == prev {
            (seq, prev) = (seq + 1, Some(statement.hash()));
        }
    }
    Ok(Place { log: state.id, seq, prev, seen: Some(seen) })
}

/// A signed statement in the next place of its author's chain, kept nowhere yet.
///
/// Errors: what it says is out of bounds; the log cannot be read.
pub fn draft(
    log: &Snapshot,
    state: &State,
    author: &Identity,
    body: impl Into<Body>,
) -> Result<Statement, AuthorError> {
    Ok(Statement::sign(author, next_place(log, state, &author.id())?, body)?)
}

/// [`draft`] by somebody whose clock says `now`, as [`head_at`] has it.
///
/// Errors: as [`draft`].
pub fn draft_at(
    log: &Snapshot,
    state: &State,
    author: &Identity,
    now: u64,
    body: impl Into<Body>,
) -> Result<Statement, AuthorError> {
    state.check_version()?;
    let place = place_after(log, state, &author.id(), head_at(log, state, now)?)?;
    Ok(Statement::sign(author, place, body)?)
}

impl Archive {
    /// [`Self::write`] by somebody whose clock says `now`, as [`head_at`] has it.
    ///
    /// Errors: as [`Self::write`].
    pub fn write_at(
        &self,
        state: &State,
        author: &Identity,
        now: u64,
        body: impl Into<Body>,
    ) -> Result<Statement, AuthorError> {
        let statement = draft_at(&self.snapshot()?, state, author, now, body)?;
        self.hold(&statement)?;
        Ok(statement)
    }

    /// Writes a statement and holds it until it has its place in the log.
    ///
    /// Errors: what it says is out of bounds; the log cannot be read or written.
    pub fn write(
        &self,
        state: &State,
        author: &Identity,
        body: impl Into<Body>,
    ) -> Result<Statement, AuthorError> {
        let statement = draft(&self.snapshot()?, state, author, body)?;
        self.hold(&statement)?;
        Ok(statement)
    }
}
