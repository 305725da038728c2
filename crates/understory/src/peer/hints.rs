//! What to do about an error of a peer that depends on what was asked for.

use crate::hint::hinted;
use anyhow::Error;
use cotrain::peer::PeerError;
use std::path::Path;

/// An error of who joins a run.
pub fn for_joining(error: PeerError) -> Error {
    match error {
        PeerError::OtherRun { .. } => hinted(error, "choose another --dir for another run"),
        error => error.into(),
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
        error => error.into(),
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
