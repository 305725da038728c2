//! What a peer writes about itself once a second, for other processes.

use crate::{
    Cause,
    invitations::{Invitations, InvitationsError},
};
use net::swarm::NetStatus;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The file in a peer's folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Process that wrote it; 0 once it has ended in order.
    pid: u32,
    /// For others to join with.
    pub ticket: String,
    /// What the network and the protocol say.
    pub peer: NetStatus,
}

const FILE: &str = "status.json";
/// Most bytes of it that are read.
const MAX_BYTES: u64 = 16 << 20;

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The file cannot be read.
    #[error("no peer in {folder}")]
    NoPeer {
        /// Where it should be.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no status.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Cause,
    },
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl StatusError {
    /// Whether the same may go well later, as when the disk has room again.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Write { source, .. } if store::file::may_pass(source))
    }
}

impl Status {
    /// Of a running peer.
    pub(crate) fn of(net: &NetStatus, ticket: &str) -> Self {
        Self { pid: std::process::id(), ticket: ticket.to_owned(), peer: net.clone() }
    }

    /// The same, of a peer that has ended.
    pub(crate) fn ended(self) -> Self {
        Self { pid: 0, ..self }
    }

    /// Replaces the file in `dir`.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), StatusError> {
        let text = serde_json::to_vec(self).expect("a status has a JSON form");
        let (unfinished, path) = (dir.join(".status.json.unfinished"), dir.join(FILE));
        // No fsync: it is stale in a second anyway.
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .inspect_err(|_| drop(fs::remove_file(&unfinished)))
            .map_err(|source| StatusError::Write { path, source })
    }

    /// The one that the peer in `dir` wrote last.
    ///
    /// Errors: there is no peer, or its file is damaged.
    pub fn read(dir: &Path) -> Result<Self, StatusError> {
        let path = dir.join(FILE);
        let bytes = bounded::read(&path, MAX_BYTES)
            .map_err(|source| StatusError::NoPeer { folder: dir.to_owned(), source })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| StatusError::Damaged { path, source: error.into() })
    }

    /// The texts of the invitations that the peer in `dir` handed out and nobody has used yet; none
    /// once its run has begun.
    ///
    /// Errors: they cannot be read.
    pub fn unused_invitations(&self, dir: &Path) -> Result<Vec<String>, InvitationsError> {
        let lobby = self.peer.node.as_ref().and_then(|node| node.lobby.as_ref());
        let (Some(lobby), Ok(ticket)) = (lobby, self.ticket.parse()) else {
            return Ok(Vec::new());
        };
        Ok(Invitations::read(dir)?.texts(&ticket, &lobby.unused))
    }

    /// Whether the process that wrote it still runs.
    pub fn is_running(&self) -> bool {
        self.pid != 0 && Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a peer that fetches what its run begins from.
    fn peer() -> NetStatus {
        NetStatus {
            me: ids::PeerId([1; 32]),
            run: ids::Hash([2; 32]),
            stage: net::swarm::Stage::Fetching,
            node: None,
            linked: Vec::new(),
            clock: None,
            total: net::Traffic::default(),
            traffic: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_status_is_of_a_process_that_runs_until_it_has_ended() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let none = Status::read(folder.path());
        assert!(matches!(none, Err(StatusError::NoPeer { .. })));
        let (pid, ticket) = (std::process::id(), "ticket".to_owned());
        let status = Status { pid, ticket, peer: peer() };
        status.write(folder.path()).expect("written");
        let read = Status::read(folder.path()).expect("read");
        assert!(read.is_running() && read.peer == status.peer);
        read.ended().write(folder.path()).expect("written");
        assert!(!Status::read(folder.path()).expect("read").is_running());
        fs::write(folder.path().join(FILE), "{").expect("written");
        let damaged = Status::read(folder.path());
        assert!(matches!(damaged, Err(StatusError::Damaged { .. })));
    }
}
