//! A commons that a member keeps in a folder, read again as its log grows.

use std::sync::{Mutex, PoisonError};

use ::commons::state::State;
use ::commons::view::Beside;
use ::commons::{ArchiveError, Home, HomeError, Snapshot, Statement};
use net::BoxError;
use tlog::Hash as TreeHash;

use super::{Commons, Reading, version};

/// The commons in a folder, for [`super::serve`].
///
/// The log's file is open only while it is read, so that others can write it in between; from one
/// reading to the next only what is new is read, unless the log was cut back.
#[derive(Debug)]
pub struct Folder {
    home: Home,
    known: Mutex<Option<Known>>,
}

/// The state after the last reading, and the root of the log there.
#[derive(Debug)]
struct Known {
    state: State,
    root: TreeHash,
}

impl Folder {
    /// Reads nothing yet.
    pub fn new(home: Home) -> Self {
        Self { home, known: Mutex::new(None) }
    }

    fn newest_version(&self) -> Result<String, HomeError> {
        let archive = self.home.archive()?;
        Ok(version(&archive.snapshot()?)?)
    }

    fn newest(&self) -> Result<Reading, HomeError> {
        let archive = self.home.archive()?;
        let log = archive.snapshot()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match known.take() {
            Some(known) if known.is_of(&log)? => advance(known.state, &log)?,
            _ => self.home.state(&log)?,
        };
        let beside = Beside::of(&self.home, &log, &state)?;
        let root = log.root_at(state.size)?;
        *known = Some(Known { state: state.clone(), root });
        Ok(Reading { state, beside })
    }
}

impl Known {
    /// Whether the log goes on from here.
    fn is_of(&self, log: &Snapshot) -> Result<bool, ArchiveError> {
        Ok(self.state.size <= log.size() && log.root_at(self.state.size)? == self.root)
    }
}

fn advance(mut state: State, log: &Snapshot) -> Result<State, ArchiveError> {
    for (index, entry) in (state.size..).zip(log.entries(state.size..log.size())?) {
        let statement = Statement::parse_unsigned(&entry?)
            .map_err(|why| ArchiveError::Statement { index, why })?;
        state.apply(&statement, log)?;
    }
    Ok(state)
}

impl Commons for Folder {
    fn version(&self) -> Result<String, BoxError> {
        Ok(self.newest_version()?)
    }

    fn read(&self) -> Result<Reading, BoxError> {
        Ok(self.newest()?)
    }
}
