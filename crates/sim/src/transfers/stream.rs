//! Bytes on their way from one peer, and what may happen to them.

use crate::attack::Serve;
use ids::PeerId;
use std::collections::VecDeque;
use swarm::{
    ObjectRef,
    fetching::{Limits, Partial, Suspect},
};

/// Bytes that a line carries in a millisecond, beside the time of a small object.
const BYTES_A_MS: u64 = 10 << 10;

/// Bytes that come from one peer.
#[derive(Debug)]
pub(crate) struct Stream {
    pub peer: PeerId,
    pub object: ObjectRef,
    offset: u64,
    /// What is still to come.
    pub bytes: VecDeque<u8>,
    /// Bytes that come at once, and how long after those before.
    pub piece: usize,
    pub pause_ms: u64,
    /// Whether its end is said.
    pub ends: bool,
}

/// Something that happens on a line.
pub(crate) enum Moved {
    /// The scheduler looks at its clock.
    Tick,
    /// A request is answered by the peer of this number.
    Answer { transfer: u64, by: usize },
    /// More bytes of a transfer come.
    Bytes { transfer: u64 },
    /// All bytes of an object are here to be compared with its name.
    Whole { object: ObjectRef, partial: Partial, earlier: Vec<Suspect> },
}

impl Stream {
    pub fn new(peer: PeerId, object: ObjectRef, offset: u64) -> Self {
        let bytes = VecDeque::new();
        Self { peer, object, offset, bytes, piece: 1, pause_ms: 0, ends: true }
    }

    /// What comes of it from a peer that serves it so and has these bytes. `half_ms`: how long an
    /// honest half takes. `None`: it is said that it is not here.
    pub fn serve(
        &mut self,
        serve: Serve,
        own: Option<&Vec<u8>>,
        limits: &Limits,
        half_ms: u64,
    ) -> Option<()> {
        let len = (self.object.len - self.offset) as usize;
        let half = len.div_ceil(2);
        let own = own.filter(|bytes| bytes.len() as u64 == self.object.len);
        let right = own.map(|bytes| bytes[self.offset as usize..].to_vec());
        // Other bytes than those of the object, whatever they are.
        let mut wrong = right.clone().unwrap_or(vec![7; len]);
        wrong.iter_mut().for_each(|byte| *byte = !*byte);
        let quick_ms = half_ms + half as u64 / BYTES_A_MS;
        let (bytes, piece, pause_ms, ends) = match serve {
            Serve::Never => return None,
            Serve::Honestly => (right?, half, quick_ms, true),
            Serve::Dripping => (right.unwrap_or(wrong), 1, limits.start_ms / 3, true),
            Serve::Crawling => (right?, 1, 900 / limits.least_rate, true),
            Serve::Half => (right.unwrap_or(wrong)[..half].to_vec(), half, quick_ms, false),
            Serve::Lying => (wrong, half, quick_ms, true),
            Serve::Spoiling => (wrong[..half].to_vec(), half, quick_ms, true),
        };
        (self.bytes, self.piece, self.pause_ms, self.ends) =
            (bytes.into(), piece.max(1), pause_ms, ends);
        Some(())
    }
}
