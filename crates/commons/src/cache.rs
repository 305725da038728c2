//! The state of a log that other processes write too, kept in memory from one look to the next.

use crate::{ArchiveError, Home, HomeError, Snapshot, state::State};
use tlog::Hash as TreeHash;

/// The state after the last look, so that the next one reads only what is new.
#[derive(Debug, Default)]
pub struct StateCache {
    /// The state, and the root of the log there.
    known: Option<(State, TreeHash)>,
}

impl StateCache {
    /// Takes the state of the whole log out. What is known is brought forward, unless the log was
    /// cut back or is of another history: then all of it is read anew. [`Self::keep`] puts the state
    /// back; whoever does not, because something failed, has it read anew the next time.
    ///
    /// Errors: the log, or one that it was forked from, is missing or damaged.
    pub fn take(&mut self, home: &Home, log: &Snapshot) -> Result<State, HomeError> {
        let Some((mut state, root)) = self.known.take() else { return home.state(log) };
        if state.size > log.size() || log.root_at(state.size)? != root {
            return home.state(log);
        }
        state.advance(log, log.size())?;
        Ok(state)
    }

    /// Keeps the state of a log's first [`State::size`] statements for the next look.
    ///
    /// Errors: the log is shorter or cannot be read; then nothing is kept.
    pub fn keep(&mut self, state: State, log: &Snapshot) -> Result<(), ArchiveError> {
        self.known = None;
        let root = log.root_at(state.size)?;
        self.known = Some((state, root));
        Ok(())
    }
}
