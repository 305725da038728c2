//! Whether the log is well: double-dealing, witnesses, statements that wait too long.

use crate::{
    ArchiveError, Snapshot, Statement,
    operator::is_members,
    receipt::Receipt,
    state::{Coming, Equivocation, Operator, Promised, Split, State, Void, VoidReason},
};
use ids::{Hash, PeerId};

/// Void statements that a view of the health lists: the last ones.
const LAST_VOID: usize = 20;

/// The health of a log as its statements show it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Health {
    /// What is counted and what was found.
    #[serde(flatten)]
    pub log: LogHealth,
    /// The last of the statements that count for nothing.
    pub last_void: Vec<VoidView>,
}

/// What the statements of a log show of its health.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LogHealth {
    /// Statements that this is computed from.
    pub size: u64,
    /// Who operated the log, since which size.
    pub operators: Vec<Operator>,
    /// How many witnesses must cosign.
    pub threshold: u8,
    /// Of how many.
    pub witnesses: usize,
    /// Whether one witness alone decides the time, up to `step` seconds beyond what members have
    /// seen.
    pub one_decides: bool,
    /// How far that is.
    pub step: u64,
    /// The time of the newest mark that is too far ahead to count until members have seen it and
    /// another follows.
    pub held: Option<u64>,
    /// Witnesses that were decided on and of whom too few have cosigned.
    pub coming: Option<ComingWitnesses>,
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
    /// What an operator signed to have and left out, as receipts in the log show.
    pub left_out: Vec<Promised>,
    /// How many statements count for nothing.
    pub void: usize,
}

/// A statement that counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VoidView {
    /// Its index in the log.
    pub index: u64,
    /// Its hash.
    pub statement: Hash,
    /// Why.
    pub reason: Reason,
}

/// Why a statement counts for nothing: a code and its data for programs, words for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// The code and its data.
    #[serde(flatten)]
    pub why: VoidReason,
    /// The same in words, which another version of the program may choose otherwise.
    pub words: String,
}

impl From<&VoidReason> for Reason {
    fn from(why: &VoidReason) -> Self {
        Self { why: why.clone(), words: why.to_string() }
    }
}

impl From<&Void> for VoidView {
    fn from(void: &Void) -> Self {
        Self { index: void.index, statement: void.statement, reason: (&void.reason).into() }
    }
}

/// Witnesses who are not in force yet.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ComingWitnesses {
    /// How many must cosign.
    pub threshold: u8,
    /// Their names.
    pub names: Vec<String>,
    /// They are to cosign a head of more statements than this.
    pub since: u64,
}

/// A statement that should have its place in the log by now: its operator signed to have it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Overdue {
    /// The statement.
    pub statement: Hash,
    /// Its author.
    pub author: PeerId,
    /// Who signed to have it.
    pub operator: PeerId,
    /// Checkpoints since that left it out; none are counted beyond the rules' bound.
    pub checkpoints: u64,
}

/// A member's statement that waits without a receipt: nobody can be charged with it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Unanswered {
    /// The statement.
    pub statement: Hash,
    /// Its author.
    pub author: PeerId,
    /// Checkpoints since it came here.
    pub checkpoints: u64,
}

/// The health of a log.
pub fn health(state: &State) -> Health {
    let shown = state.voids.len().saturating_sub(LAST_VOID);
    let last_void = state.voids[shown..].iter().map(VoidView::from).collect();
    Health { log: log_health(state), last_void }
}

fn log_health(state: &State) -> LogHealth {
    LogHealth {
        size: state.size,
        operators: state.operators.clone(),
        threshold: state.witnesses.threshold,
        witnesses: state.witnesses.keys.len(),
        one_decides: state.one_decides(),
        step: state.step(),
        held: state.held_marks().last().map(|mark| mark.time),
        coming: state.coming.as_ref().map(coming),
        marks: state.marks.len(),
        last_mark: state.marks.last().map(|mark| mark.time),
        unwitnessed: state.size - state.marks.last().map_or(0, |mark| mark.size),
        equivocations: state.equivocations.clone(),
        splits: state.splits.clone(),
        left_out: state.left_out().cloned().collect(),
        void: state.voids.len(),
    }
}

fn coming(coming: &Coming) -> ComingWitnesses {
    ComingWitnesses {
        threshold: coming.witnesses.threshold,
        names: coming.witnesses.keys.iter().map(|witness| witness.name.clone()).collect(),
        since: coming.since,
    }
}

/// Statements that this member holds with a receipt and that more checkpoints than the rules allow
/// have left out since: the alarm that somebody is being kept out. What waits is not in the log, so
/// this is what one member knows, and no view of the log.
///
/// Errors: the log cannot be read.
pub fn overdue(log: &Snapshot, state: &State) -> Result<Vec<Overdue>, ArchiveError> {
    let least = u64::from(state.rules.overdue_after);
    let mut late = Vec::new();
    for waiting in log.pending()?.into_iter().filter(|p| is_ready(state, &p.statement)) {
        let Some(receipt) = waiting.receipt.filter(|receipt| receipt.is_of(state)) else {
            continue;
        };
        // Whoever operates the log since promised nothing.
        let end = state.operator_until(receipt.size);
        let checkpoints = log.checkpoints_within(receipt.size + 1..end, least)?;
        if checkpoints >= least {
            let Receipt { statement, operator, .. } = receipt;
            let author = waiting.statement.author;
            late.push(Overdue { statement, author, operator, checkpoints });
        }
    }
    Ok(late)
}

/// Members' statements that this member holds and for which the operator has given no receipt for
/// as many checkpoints: nobody can be charged, because they may not have reached it, but if it goes
/// on for one member, another operator is the answer.
///
/// Errors: the log cannot be read.
pub fn unanswered(log: &Snapshot, state: &State) -> Result<Vec<Unanswered>, ArchiveError> {
    let now = log.checkpoint_count()?;
    let late = log.pending()?.into_iter().filter_map(|waiting| {
        let checkpoints = now.saturating_sub(waiting.since);
        let statement = &waiting.statement;
        let promised =
            waiting.receipt.is_some_and(|r| r.is_of(state) && r.operator == state.operator());
        let is_late = checkpoints >= u64::from(state.rules.overdue_after)
            && is_ready(state, statement)
            && is_members(state, statement);
        (is_late && !promised).then(|| Unanswered {
            statement: statement.hash(),
            author: statement.author,
            checkpoints,
        })
    });
    Ok(late.collect())
}

/// A statement whose predecessor is missing, or whose author said something else in its place, is
/// not the operator's fault.
fn is_ready(state: &State, statement: &Statement) -> bool {
    (statement.seq, statement.prev) == state.chain_head(&statement.author)
}
