//! A commons that a member keeps in a folder, read again as its log grows.

use std::sync::{Mutex, PoisonError};

use ::commons::view::Beside;
use ::commons::{Home, HomeError, StateCache};
use net::BoxError;

use super::{Commons, Reading, version};

/// The commons in a folder, for [`super::serve`].
///
/// The log's file is open only while it is read, so that others can write it in between; from one
/// reading to the next only what is new is read, unless the log was cut back.
#[derive(Debug)]
pub struct Folder {
    home: Home,
    state: Mutex<StateCache>,
}

impl Folder {
    /// Reads nothing yet.
    pub fn new(home: Home) -> Self {
        Self { home, state: Mutex::default() }
    }

    fn newest_version(&self) -> Result<String, HomeError> {
        let archive = self.home.archive()?;
        Ok(version(&archive.snapshot()?)?)
    }

    fn newest(&self) -> Result<Reading, HomeError> {
        let archive = self.home.archive()?;
        let log = archive.snapshot()?;
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = known.take(&self.home, &log)?;
        let beside = Beside::of(&self.home, &log, &state)?;
        known.keep(state.clone(), &log)?;
        Ok(Reading { state, beside })
    }
}

impl Commons for Folder {
    fn version(&self) -> Result<String, BoxError> {
        Ok(self.newest_version()?)
    }

    fn read(&self) -> Result<Reading, BoxError> {
        Ok(self.newest()?)
    }
}
