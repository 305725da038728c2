//! Why a peer cannot begin or cannot go on.

use crate::{
    continuing::{ChangesError, OldRunError},
    founding::FoundingError,
    invitations::InvitationsError,
    status::StatusError,
};
use ids::Hash;
use recipe::{CorpusError, RunError};
use std::{io, path::PathBuf};
use store::StoreError;

impl PeerError {
    /// What can be done about it, where that is known. What else to name with --dir where there is
    /// another run depends on what was asked for.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Joined { .. } => {
                Some("go on with `understory swarm join`, or choose another --dir")
            }
            Self::Text(CorpusError::Store(_)) => {
                Some("nothing was begun; make room and say it again")
            }
            Self::Text(_) => {
                Some("more text helps: name more files and folders, and see what is left out")
            }
            Self::Founding(error) => error.todo(),
            Self::Invitations(error) => error.todo(),
            Self::OldRun(error) => error.todo(),
            _ => None,
        }
    }
}

/// Why a peer cannot begin or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Its folder is that of a peer which joined a run.
    #[error("{folder} joined run {}", run.short())]
    Joined {
        /// The folder.
        folder: PathBuf,
        /// That run.
        run: Hash,
    },
    /// Its folder is that of a peer of another run.
    #[error("{folder} holds run {}", run.short())]
    OtherRun {
        /// The folder.
        folder: PathBuf,
        /// That run.
        run: Hash,
    },
    /// The text gives no corpus.
    #[error(transparent)]
    Text(CorpusError),
    /// No run can be founded like this.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// No new run can begin from the old one.
    #[error(transparent)]
    OldRun(#[from] OldRunError),
    /// The new run cannot have these settings.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// The invitations cannot be read or kept.
    #[error(transparent)]
    Invitations(#[from] InvitationsError),
    /// A file of its folder cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The status cannot be written.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest of its run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The corpus of its run cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The network cannot be used.
    #[error(transparent)]
    Start(#[from] net::swarm::StartError),
    /// A task of its own ended early.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
    /// The run failed for this peer.
    #[error("{0}")]
    Failed(String),
}
