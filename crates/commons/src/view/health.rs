//! Whether the log is well: double-dealing, witnesses, statements that wait too long.

use super::{Bounds, MarkedRun, Milestone, milestones};
use crate::{
    ArchiveError, Home, HomeError, Snapshot, Statement,
    operator::is_members,
    portable::PortableSplit,
    receipt::Receipt,
    state::{Coming, Equivocation, Operator, Promised, Split, State, Void, VoidReason},
    statement::ParentLog,
};
use ids::{Hash, PeerId};

/// Void statements that a view of the health lists: the last ones.
const LAST_VOID: usize = 20;

/// The health of a log: what its statements show, and what one member knows beside them.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Health {
    /// The commons' id.
    pub id: Hash,
    /// Its name.
    pub name: String,
    /// The charter's digest.
    pub charter: Hash,
    /// Where it was forked from.
    pub parent: Option<Parent>,
    /// The time of the last mark, in Unix seconds.
    pub now: u64,
    /// How many of each there are; the lists hold the newest.
    pub counts: Counts,
    /// What is counted and what was found.
    #[serde(flatten)]
    pub log: LogHealth,
    /// The last of the statements that count for nothing.
    pub last_void: Vec<VoidView>,
    /// What this member knows beside the log.
    #[serde(flatten)]
    pub beside: Beside,
    /// Runs of which members have marked records.
    pub runs: Vec<RunMarks>,
    /// Checkpoints after which a statement that waits is overdue.
    pub overdue_after: u32,
}

/// Where a commons was forked from.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Parent {
    /// The old commons' id.
    pub id: Hash,
    /// How many of its statements were taken over.
    pub size: u64,
}

/// How many there are of what is listed.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Counts {
    /// Who operated the log.
    pub operators: usize,
    /// Authors that said two things in one place.
    pub equivocations: usize,
    /// Proofs of a second history.
    pub splits: usize,
    /// Statements that this member holds and the log leaves out for too long.
    pub overdue: usize,
    /// What an operator signed to have and left out, as receipts in the log show.
    pub left_out: usize,
    /// Members' statements that wait without a receipt.
    pub unanswered: usize,
    /// Runs with marked records.
    pub runs: usize,
    /// Heights of runs of which members say different things.
    pub contradicted: usize,
}

/// What one member knows that no view of the log shows: others may know something else.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Beside {
    /// Statements that it holds and the log leaves out for too long.
    pub overdue: Vec<Overdue>,
    /// Members' statements that it holds without a receipt of the operator.
    pub unanswered: Vec<Unanswered>,
    /// Whether it can prove to others that the log has two histories.
    pub split_proof: bool,
}

/// The marked records of a run.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RunMarks {
    /// The run's id.
    pub run: Hash,
    /// How many heights have a mark.
    pub heights: usize,
    /// The highest.
    pub newest: Milestone,
    /// The newest heights of which members say different things.
    pub contradicted: Vec<u64>,
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

impl Beside {
    /// What a member knows by its folder.
    ///
    /// Errors: a file cannot be read.
    pub fn of(home: &Home, log: &Snapshot, state: &State) -> Result<Self, HomeError> {
        Ok(Self {
            overdue: overdue(log, state)?,
            unanswered: unanswered(log, state)?,
            split_proof: PortableSplit::new(log, state, home.splits()?)?.is_some(),
        })
    }
}

/// The health of a log.
pub fn health(state: &State, beside: &Beside, bounds: Bounds) -> Health {
    let (mut log, mut beside) = (log_health(state), beside.clone());
    let mut runs = milestones(state).runs;
    let counts = Counts {
        operators: log.operators.len(),
        equivocations: log.equivocations.len(),
        splits: log.splits.len(),
        overdue: beside.overdue.len(),
        left_out: log.left_out.len(),
        unanswered: beside.unanswered.len(),
        runs: runs.len(),
        contradicted: runs.iter().map(|run| run.contradicted.len()).sum(),
    };
    // Contradictions are not to be missed among many runs.
    runs.sort_by_key(|run| !run.contradicted.is_empty());
    newest(&mut runs, bounds);
    newest(&mut log.operators, bounds);
    newest(&mut log.equivocations, bounds);
    newest(&mut log.splits, bounds);
    newest(&mut log.left_out, bounds);
    beside.overdue.truncate(bounds.events);
    beside.unanswered.truncate(bounds.events);
    Health {
        id: state.id,
        name: state.name.clone(),
        charter: state.charter,
        parent: state.parent.map(|ParentLog { id, size, .. }| Parent { id, size }),
        now: state.now(),
        counts,
        log,
        last_void: last_void(state),
        beside,
        runs: runs.into_iter().filter_map(|run| run_marks(run, bounds)).collect(),
        overdue_after: state.rules.overdue_after,
    }
}

fn run_marks(run: MarkedRun, bounds: Bounds) -> Option<RunMarks> {
    let MarkedRun { run, mut contradicted, mut milestones } = run;
    newest(&mut contradicted, bounds);
    let heights = milestones.len();
    Some(RunMarks { run, heights, newest: milestones.pop()?, contradicted })
}

fn newest<T>(all: &mut Vec<T>, bounds: Bounds) {
    all.drain(..all.len().saturating_sub(bounds.events));
}

/// The last statements that count for nothing.
pub(super) fn last_void(state: &State) -> Vec<VoidView> {
    let shown = state.voids.len().saturating_sub(LAST_VOID);
    state.voids[shown..].iter().map(VoidView::from).collect()
}

/// What the statements of a log show of its health.
pub(super) fn log_health(state: &State) -> LogHealth {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_many_events_are_kept() {
        let mut all: Vec<usize> = (0..1000).collect();
        newest(&mut all, Bounds { events: 200, ..Bounds::NONE });
        assert_eq!(all, (800..1000).collect::<Vec<_>>());
    }
}
