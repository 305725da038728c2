//! The bytes of an object that came so far, and whose fault it is if they are not the object.

use ids::{Hash, PeerId};
use std::ops::Range;

/// The bytes received so far.
#[derive(Debug, Default)]
pub struct Partial {
    bytes: Vec<u8>,
    /// Who sent what follows from which byte on.
    senders: Vec<(PeerId, usize)>,
}

/// A part of bytes that turned out wrong as a whole, to find its sender's guilt later.
#[derive(Debug)]
pub struct Suspect {
    /// Who sent it.
    pub peer: PeerId,
    range: Range<usize>,
    hash: Hash,
}

/// What bytes are beside an object's name.
#[derive(Debug)]
pub enum Compared {
    /// They are the object; these peers sent other bytes before.
    Right(Vec<PeerId>),
    /// They are not; who sent which part, and who was suspected before.
    Wrong(Vec<Suspect>, Vec<Suspect>),
}

impl Partial {
    /// The bytes, from the object's beginning on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

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

    /// Whether the bytes are the object of this name, and whose `earlier` parts differ from it.
    pub fn compare(&self, hash: &Hash, earlier: Vec<Suspect>) -> Compared {
        if Hash::of(&self.bytes) != *hash {
            return Compared::Wrong(self.suspects(), earlier);
        }
        let differs = |s: &&Suspect| Hash::of(&self.bytes[s.range.clone()]) != s.hash;
        Compared::Right(earlier.iter().filter(differs).map(|s| s.peer).collect())
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
