//! Whether the log is well: double-dealing, witnesses, statements that wait too long.

use crate::{
    ArchiveError, PeerId, Snapshot,
    state::{Equivocation, Operator, Split, State, Void},
};
use store::Hash;

/// The health of a log as its statements show it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Health {
    /// Statements that this is computed from.
    pub size: u64,
    /// Who operated the log, since which size.
    pub operators: Vec<Operator>,
    /// How many witnesses must cosign.
    pub threshold: u8,
    /// Of how many.
    pub witnesses: usize,
    /// Marks in the log.
    pub marks: usize,
    /// The time of the last one.
    pub last_mark: Option<u64>,
    /// Statements since the last witnessed size.
    pub unwitnessed: u64,
    /// Authors that said two things in one place.
    pub equivocations: Vec<Equivocation>,
    /// Proofs of a second history of this log.
    pub splits: Vec<Split>,
    /// How many statements count for nothing.
    pub void: usize,
    /// The last of them.
    pub last_void: Vec<Void>,
}

/// A statement that should have its place in the log by now.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Overdue {
    /// The statement.
    pub statement: Hash,
    /// Its author.
    pub author: PeerId,
    /// Checkpoints since it came.
    pub checkpoints: u64,
}

/// The health of a log.
pub fn health(state: &State) -> Health {
    let shown = state.voids.len().saturating_sub(20);
    Health {
        size: state.size,
        operators: state.operators.clone(),
        threshold: state.witnesses.threshold,
        witnesses: state.witnesses.keys.len(),
        marks: state.marks.len(),
        last_mark: state.marks.last().map(|mark| mark.time),
        unwitnessed: state.size - state.marks.last().map_or(0, |mark| mark.size),
        equivocations: state.equivocations.clone(),
        splits: state.splits.clone(),
        void: state.voids.len(),
        last_void: state.voids[shown..].to_vec(),
    }
}

/// Statements that this member holds and that more checkpoints than the rules allow have left
/// out: the alarm that somebody is being kept out. What waits is not in the log, so this is what
/// one member knows, and no view of the log.
///
/// Errors: the log cannot be read.
pub fn overdue(log: &Snapshot, state: &State) -> Result<Vec<Overdue>, ArchiveError> {
    let now = log.checkpoint_count()?;
    let late = log.pending()?.into_iter().filter_map(|waiting| {
        let checkpoints = now.saturating_sub(waiting.since);
        let statement = waiting.statement;
        // A statement whose predecessor is missing is not the operator's fault.
        let (seq, prev) = state.chain_head(&statement.author);
        let ready = (statement.seq, statement.prev) == (seq, prev);
        (ready && checkpoints >= u64::from(state.rules.overdue_after)).then(|| Overdue {
            statement: statement.hash(),
            author: statement.author,
            checkpoints,
        })
    });
    Ok(late.collect())
}
