//! That a peer is one's own, said in a commons.

use super::{cli::Place, opening};
use crate::units::now;
use anyhow::Result;
use ids::PeerId;

/// Says in the commons of `place` that the peer with `key` is one's own, unless one has said so.
/// Returns whether it was said now.
///
/// Errors: the commons cannot be read or written, or one is no member of it.
pub fn name_peer_key(place: &Place, key: PeerId) -> Result<bool> {
    Ok(opening::to_sign(place)?.name_peer_key(key, now())?)
}
