//! What to do about an error of a peer: hints for whoever reads it here.

use crate::hint::hinted;
use anyhow::{Error, Result};
use cotrain::{
    config::{ConfigError, RunConfig},
    continuing::OldRunError,
    founding::FoundingError,
    invitations::{Invitations, InvitationsError},
    marks::TwoHistories,
    peer::PeerError,
};
use recipe::CorpusError;
use std::path::Path;

/// The configuration in a file.
pub fn run_config(path: &Path) -> Result<RunConfig> {
    RunConfig::read(path).map_err(|error| {
        let hint = match error {
            ConfigError::Read { .. } => {
                "`understory swarm config` prints a configuration to begin from"
            }
            ConfigError::Text { .. } => {
                "`understory swarm config` prints every field with its default"
            }
        };
        hinted(error, hint)
    })
}

/// The invitations of the peer in `dir`.
pub fn invitations(dir: &Path) -> Result<Invitations> {
    Invitations::read(dir).map_err(|error| for_peer(error.into()))
}

/// An error with what to do about it, where that can be told.
pub fn for_peer(error: PeerError) -> Error {
    match hint_for(&error) {
        Some(hint) => hinted(error, hint),
        None => error.into(),
    }
}

fn hint_for(error: &PeerError) -> Option<&'static str> {
    Some(match error {
        PeerError::Joined { .. } => "go on with `understory swarm join`, or choose another --dir",
        PeerError::Text(CorpusError::Store(_)) => "nothing was begun; make room and say it again",
        PeerError::Text(_) => {
            "more text helps: name more files and folders, and see what is left out"
        }
        PeerError::Founding(FoundingError::TooMany { .. }) => {
            "set rounds.max_members higher, or name fewer"
        }
        PeerError::Founding(FoundingError::Name { .. }) => ids::name::HINT,
        PeerError::Founding(
            FoundingError::Text(_) | FoundingError::Run(_) | FoundingError::Rules(_),
        ) => "`understory swarm config` explains every setting",
        PeerError::Invitations(InvitationsError::Line { .. }) => {
            "put the file back from a copy; without it nobody new can use an invitation"
        }
        PeerError::OldRun(OldRunError::NothingWhole(_)) => {
            "name the folder of another of its peers"
        }
        PeerError::OldRun(OldRunError::NoModel) => "begin a run with `understory swarm start`",
        _ => return None,
    })
}

/// An error of who joins a run.
pub fn for_joining(error: PeerError) -> Error {
    match error {
        PeerError::OtherRun { .. } => hinted(error, "choose another --dir for another run"),
        error => for_peer(error),
    }
}

/// An error of who goes on from an old run.
pub fn for_continuing(error: PeerError) -> Error {
    match error {
        PeerError::OtherRun { .. } => hinted(
            error,
            "name a new folder with --dir; a run that was begun goes on with `understory swarm \
             start --dir DIR`",
        ),
        error => for_peer(error),
    }
}

/// An error of who goes on from an old run with the settings in the file `named`, if one is.
pub fn for_changes(error: PeerError, named: Option<&Path>) -> Error {
    let PeerError::Changes(error) = error else { return for_continuing(error) };
    let of = named.unwrap_or(Path::new("the old run")).display().to_string();
    hinted(
        Error::from(error).context(of),
        "name only what is to change: name, seed, [inner], [outer], [rounds], as \
         `understory swarm config` prints them",
    )
}

/// Two histories of one run.
pub fn for_histories(error: TwoHistories) -> Error {
    let hint = match error {
        TwoHistories::Members { .. } => {
            "one of the histories is false, and only people can tell which: ask them; what a \
             member said counts no more once the members have removed it"
        }
        TwoHistories::Ticket { .. } => {
            "one of the two is of another history: ask whoever gave you the ticket"
        }
    };
    hinted(error, hint)
}
