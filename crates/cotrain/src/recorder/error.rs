//! Why nothing can be said in a commons.

use commons::{ArchiveError, HomeError, WorkspaceError, author::AuthorError, keys::KeyError};
use ids::DecodeError;
use recipe::RunError;
use store::{LogError, StoreError};
use swarm::{ChainError, LogContentsError};

/// Why a run cannot say anything in a commons, or nothing can be read of it there.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The key is in force for nobody.
    #[error("your key is no member's in this commons")]
    NoMember,
    /// The key is in force for nobody any more.
    #[error("your key is no member's in this commons any more")]
    NoMemberAnyMore,
    /// The commons.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// Its folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its log.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A statement cannot be written.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// The peer's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run's manifest.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The peer's log.
    #[error("the log of the run")]
    Log(#[source] LogError),
    /// What is in that log.
    #[error(transparent)]
    LogContents(#[from] LogContentsError),
    /// There is nothing in it.
    #[error("the run has no record")]
    NoRecord,
    /// The record that the run began with.
    #[error("the run's first record")]
    FirstRecord(#[source] DecodeError),
    /// The run's chain of records.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// What a run did cannot be said.
    #[error("the commons")]
    Record(#[source] Box<Self>),
}

impl RecorderError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<String> {
        match self {
            Self::Workspace(error) => error.todo(),
            Self::Home(error) => error.todo().map(str::to_owned),
            Self::Key(error) => error.todo(),
            Self::Record(error) => error.todo(),
            _ => None,
        }
    }
}
