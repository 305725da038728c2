//! The log itself, a statement at a time.

use super::Reason;
use crate::{Kind, Statement, state::State};
use ids::{Hash, PeerId};

/// A statement in the log.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LogLine {
    /// Its index.
    pub index: u64,
    /// Its hash.
    pub statement: Hash,
    /// Its kind.
    pub kind: Kind,
    /// The key that signed it.
    pub author: PeerId,
    /// Its place in the key's chain.
    pub seq: u64,
    /// Not made before and not after, in Unix seconds of the witnesses' clock, as far as anybody can
    /// know.
    pub between: [Option<u64>; 2],
    /// Why it counts for nothing, if so.
    pub void: Option<Reason>,
}

/// A statement that waits for its place.
#[derive(Clone, Debug, serde::Serialize)]
pub struct WaitingLine {
    /// Its hash.
    pub statement: Hash,
    /// Its kind.
    pub kind: Kind,
    /// The key that signed it.
    pub author: PeerId,
}

/// The statement that is at `index` of the log.
pub fn log_line(state: &State, index: u64, statement: &Statement) -> LogLine {
    let when = state.interval(index, statement.seen.map_or(0, |seen| seen.size));
    let void = state.voids.binary_search_by_key(&index, |void| void.index);
    LogLine {
        index,
        statement: statement.hash(),
        kind: statement.body.kind(),
        author: statement.author,
        seq: statement.seq,
        between: [when.from, when.to],
        void: void.ok().map(|at| Reason::from(&state.voids[at].reason)),
    }
}

/// A statement that waits for its place.
pub fn waiting_line(statement: &Statement) -> WaitingLine {
    let (kind, author) = (statement.body.kind(), statement.author);
    WaitingLine { statement: statement.hash(), kind, author }
}
