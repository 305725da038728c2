//! The bytes of an object that came so far, and whose fault it is if they are not the object: what
//! the network layer does about a store, without one.

use std::ops::Range;
use store::Hash;
use swarm::PeerId;

/// The bytes received so far.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    bytes: Vec<u8>,
    /// Who sent what follows from which byte on.
    senders: Vec<(PeerId, usize)>,
}

/// A part of bytes that turned out wrong as a whole, to find its sender's guilt later.
#[derive(Debug)]
pub(crate) struct Suspect {
    pub peer: PeerId,
    range: Range<usize>,
    hash: Hash,
}

/// What became of bytes received.
pub(crate) enum Kept {
    /// They are the object; these peers sent other bytes before.
    Right(Vec<u8>, Vec<PeerId>),
    /// They are not; who sent which part, and who was suspected before.
    Wrong(Vec<Suspect>, Vec<Suspect>),
}

impl Partial {
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub fn add(&mut self, peer: PeerId, bytes: &[u8]) {
        if self.senders.last().is_none_or(|(last, _)| *last != peer) {
            self.senders.push((peer, self.bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether the bytes are the object, and whose earlier parts differ from it.
    pub fn compare(&self, hash: &Hash, earlier: Vec<Suspect>) -> Kept {
        if Hash::of(&self.bytes) != *hash {
            return Kept::Wrong(self.suspects(), earlier);
        }
        let differs = |s: &&Suspect| Hash::of(&self.bytes[s.range.clone()]) != s.hash;
        let liars = earlier.iter().filter(differs).map(|s| s.peer).collect();
        Kept::Right(self.bytes.clone(), liars)
    }

    fn suspects(&self) -> Vec<Suspect> {
        let ends = self.senders.iter().skip(1).map(|(_, at)| *at).chain([self.bytes.len()]);
        let part = |((peer, start), end): (&(PeerId, usize), usize)| {
            let range = *start..end;
            Suspect { peer: *peer, hash: Hash::of(&self.bytes[range.clone()]), range }
        };
        self.senders.iter().zip(ends).map(part).collect()
    }
}
