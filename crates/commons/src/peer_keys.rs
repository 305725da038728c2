//! Which peer's key belongs to which member.
//!
//! A member's own keys lie under a passphrase and sign votes; a peer's key lies open on a machine
//! that trains for weeks. So they are not the same, and a member says which peer is its own: a
//! `Work` of nothing, whose task is fixed and whose output is the peer's key. The last one
//! counts. Nobody gains by naming a key that is somebody else's.

use crate::{
    Home, HomeError, Workspace, WorkspaceError,
    names::name_of,
    state::State,
    statement::{Work, WorkType},
};
use ids::{Hash, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

const UNIT: &str = "peer's key";

/// What such a statement is part of, for every commons alike.
fn task() -> Hash {
    Hash::of(b"understory commons: this peer's key is mine")
}

/// The peers of a commons' members.
pub struct PeerKeys {
    /// Their keys.
    pub keys: BTreeSet<PeerId>,
    /// Members that have named none, by name.
    pub without: Vec<String>,
}

impl PeerKeys {
    /// Those of the commons in the folder `dir`.
    ///
    /// Errors: there is none, or it cannot be read.
    pub fn in_folder(dir: &Path) -> Result<Self, HomeError> {
        let home = Home::open(dir)?;
        let log = home.archive()?.snapshot()?;
        Ok(of_members(&home.state(&log)?))
    }
}

/// The peers that the members of a commons have named as theirs.
pub fn of_members(state: &State) -> PeerKeys {
    let mut named: BTreeMap<PeerId, PeerId> = BTreeMap::new();
    for done in state.work.iter().filter(|done| done.work.task == task()) {
        named.insert(done.member, PeerId(done.work.output.0));
    }
    let (mut keys, mut without) = (BTreeSet::new(), Vec::new());
    for member in state.members.keys().filter(|id| state.is_member(id)) {
        match named.get(member) {
            Some(key) => _ = keys.insert(*key),
            None => without.push(name_of(state, member)),
        }
    }
    PeerKeys { keys, without }
}

impl Workspace {
    /// Says that the peer with `key` is one's own, unless one has said so. Returns whether it was
    /// said now.
    ///
    /// Errors: as [`Workspace::say`]; one is no member here.
    pub fn name_peer_key(&mut self, key: PeerId, now: u64) -> Result<bool, WorkspaceError> {
        let me = self.me()?;
        let ahead = self.ahead()?;
        let of_mine = ahead.work.iter().rev().find(|w| w.member == me && w.work.task == task());
        if of_mine.is_some_and(|w| w.work.output.0 == key.0) {
            return Ok(false);
        }
        let work = Work {
            task: task(),
            work: WorkType::Compute,
            quantity: 0,
            unit: UNIT.to_owned(),
            inputs: Vec::new(),
            output: Hash(key.0),
        };
        self.say(work, now)?;
        Ok(true)
    }
}
