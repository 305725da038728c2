//! Which peer's key belongs to which member, by the folder of a commons.

use super::{cli::Place, opening};
use crate::units::now;
use anyhow::Result;
use commons::{
    Home,
    peer_keys::{PeerKeys, of_members},
};
use ids::PeerId;
use std::path::Path;

/// The peers that the members of the commons in `dir` have named as theirs.
///
/// Errors: there is no commons, or it cannot be read.
pub fn peer_keys(dir: &Path) -> Result<PeerKeys> {
    let home = Home::open(dir)?;
    let log = home.archive()?.snapshot()?;
    Ok(of_members(&home.state(&log)?))
}

/// Says in the commons of `place` that the peer with `key` is one's own, unless one has said so.
/// Returns whether it was said now.
///
/// Errors: the commons cannot be read or written, or one is no member of it.
pub fn name_peer_key(place: &Place, key: PeerId) -> Result<bool> {
    Ok(opening::to_sign(place)?.name_peer_key(key, now())?)
}
