//! How many bytes went where: what a round costs on the wire.

use ids::PeerId;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Bytes exchanged, above QUIC (which adds a few per cent): frames and objects with their headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Traffic {
    /// Bytes of protocol messages received.
    pub messages_in: u64,
    /// Bytes of protocol messages sent.
    pub messages_out: u64,
    /// Bytes of objects received.
    pub objects_in: u64,
    /// Bytes of objects sent.
    pub objects_out: u64,
    /// Messages received beyond the rate allowed to one peer, and not handled.
    pub dropped_in: u64,
    /// Messages not sent because the peer reads too slowly.
    pub dropped_out: u64,
}

impl Traffic {
    fn plus(self, other: Self) -> Self {
        Self {
            messages_in: self.messages_in + other.messages_in,
            messages_out: self.messages_out + other.messages_out,
            objects_in: self.objects_in + other.objects_in,
            objects_out: self.objects_out + other.objects_out,
            dropped_in: self.dropped_in + other.dropped_in,
            dropped_out: self.dropped_out + other.dropped_out,
        }
    }
}

/// One peer's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub messages_in: AtomicU64,
    pub messages_out: AtomicU64,
    pub objects_in: AtomicU64,
    pub objects_out: AtomicU64,
    pub dropped_in: AtomicU64,
    pub dropped_out: AtomicU64,
}

impl Counters {
    fn read(&self) -> Traffic {
        Traffic {
            messages_in: self.messages_in.load(Relaxed),
            messages_out: self.messages_out.load(Relaxed),
            objects_in: self.objects_in.load(Relaxed),
            objects_out: self.objects_out.load(Relaxed),
            dropped_in: self.dropped_in.load(Relaxed),
            dropped_out: self.dropped_out.load(Relaxed),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Relaxed);
}

/// All peers' counters. Peers seen beyond [`MAX_COUNTED`] share one set of counters.
#[derive(Debug, Default)]
pub(crate) struct TrafficTable {
    peers: Mutex<BTreeMap<PeerId, Arc<Counters>>>,
    others: Arc<Counters>,
}

const MAX_COUNTED: usize = 256;

impl TrafficTable {
    pub fn of(&self, peer: PeerId) -> Arc<Counters> {
        let mut peers = self.peers.lock().expect("no holder of this lock panics");
        if peers.len() >= MAX_COUNTED && !peers.contains_key(&peer) {
            return self.others.clone();
        }
        peers.entry(peer).or_default().clone()
    }

    /// Each peer's traffic since the start, by key.
    pub fn read(&self) -> BTreeMap<PeerId, Traffic> {
        let peers = self.peers.lock().expect("no holder of this lock panics");
        peers.iter().map(|(peer, counters)| (*peer, counters.read())).collect()
    }

    /// The sum over all peers.
    pub fn total(&self) -> Traffic {
        self.read().values().fold(self.others.read(), |sum, one| sum.plus(*one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_beyond_the_bound_cost_no_memory_and_are_still_counted() {
        let table = TrafficTable::default();
        for i in 0..2 * MAX_COUNTED {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&(i as u64).to_le_bytes());
            add(&table.of(PeerId(key)).messages_in, 3);
        }
        assert_eq!(table.read().len(), MAX_COUNTED);
        assert_eq!(table.total().messages_in, 2 * MAX_COUNTED as u64 * 3);
    }
}
