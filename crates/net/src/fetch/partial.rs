//! The bytes of an object that came so far, and whose fault it is if they are not the object.

use std::ops::Range;
use store::{Hash, Store, StoreError};
use swarm::PeerId;

/// The bytes received so far.
#[derive(Debug, Default)]
pub(super) struct Partial {
    bytes: Vec<u8>,
    /// Who sent what follows from which byte on.
    senders: Vec<(PeerId, usize)>,
}

/// A part of bytes that turned out wrong as a whole, to find its sender's guilt later.
#[derive(Debug)]
pub(super) struct Suspect {
    pub peer: PeerId,
    range: Range<usize>,
    hash: Hash,
}

/// What became of bytes received.
pub(super) enum Kept {
    /// They are the object; these peers sent other bytes before.
    Stored(Vec<PeerId>),
    /// They are not; who sent which part, and who was suspected before.
    Wrong(Vec<Suspect>, Vec<Suspect>),
}

/// Stores the bytes if they are the object, and says whose earlier parts differ from it.
pub(super) fn keep(
    store: &Store,
    hash: &Hash,
    partial: &Partial,
    earlier: Vec<Suspect>,
) -> Result<Kept, StoreError> {
    if Hash::of(&partial.bytes) != *hash {
        return Ok(Kept::Wrong(partial.suspects(), earlier));
    }
    store.put(&partial.bytes)?;
    let differs = |s: &&Suspect| Hash::of(&partial.bytes[s.range.clone()]) != s.hash;
    Ok(Kept::Stored(earlier.iter().filter(differs).map(|s| s.peer).collect()))
}

impl Partial {
    /// Adds bytes of an object of `len` bytes.
    pub fn add(&mut self, peer: PeerId, bytes: &[u8], len: u64) {
        if self.bytes.capacity() == 0 {
            // Memory for so much was reserved; pages that nothing is written to cost none.
            self.bytes.reserve_exact(len as usize);
        }
        if self.senders.last().is_none_or(|(last, _)| *last != peer) {
            self.senders.push((peer, self.bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Each sender's part by hash. Bytes of length 0 have no sender and are never wrong.
    fn suspects(&self) -> Vec<Suspect> {
        let ends = self.senders.iter().skip(1).map(|(_, at)| *at).chain([self.bytes.len()]);
        let part = |((peer, start), end): (&(PeerId, usize), usize)| {
            let range = *start..end;
            Suspect { peer: *peer, hash: Hash::of(&self.bytes[range.clone()]), range }
        };
        self.senders.iter().zip(ends).map(part).collect()
    }
}
