//! The past that a joiner is shown. While the newest record that it knows of, by its ticket or by a
//! commons, is not in it, nothing of it counts: whoever has old keys can write another history that
//! ends before that record, and a joiner that took it up could not come back from it.

use super::{Checkpoint, Core, Node};
use crate::{ChainState, SignedRecord, Time};
use ids::{Hash, PeerId};

/// Peers from which a past is taken at a time.
const MAX_SHOWN: usize = 4;
/// Pauses after which the slowest peer gives its place to another that has something to show.
const PATIENCE: u64 = 10;

/// What one peer has shown.
pub struct Shown {
    /// The node's own records when it began.
    base: u64,
    chain: ChainState,
    records: Vec<SignedRecord>,
    /// When it began, and how many bytes it has shown since.
    began: Time,
    bytes: u64,
}

impl Core {
    /// The newest record that a past must have, while this node's own does not reach it.
    pub fn unproven(&self) -> Option<Checkpoint> {
        let newest = self.arrival.checkpoints.iter().max_by_key(|known| known.height);
        newest.copied().filter(|known| self.records.len() as u64 <= known.height)
    }

    /// Whether a record at this height may be the run's, by all that is known of it.
    ///
    /// Errors: the run is known to have another one there.
    pub(super) fn fits(&self, height: u64, record: Hash) -> Result<(), String> {
        let mut known = self.arrival.checkpoints.iter().filter(|known| known.height == height);
        match known.find(|known| known.record != record) {
            None => Ok(()),
            Some(known) => Err(format!(
                "record {height} is {}, but the run is known to have {} there: this is another \
                 history of the run",
                record.short(),
                known.record.short()
            )),
        }
    }

    /// The height of the first record that this node lacks of what `peer` has shown.
    pub fn lacks_of(&self, peer: &PeerId) -> u64 {
        let base = self.records.len() as u64;
        let shown = self.shown.get(peer).filter(|shown| shown.base == base);
        base + shown.map_or(0, |shown| shown.records.len() as u64)
    }

    /// After a message of so many bytes.
    pub fn note_shown(&mut self, from: PeerId, bytes: usize) {
        if let Some(shown) = self.shown.get_mut(&from) {
            shown.bytes = shown.bytes.saturating_add(bytes as u64);
        }
    }

    /// Whether one more peer's past can be taken, if need be in the place of the slowest: whoever
    /// shows little at a time keeps no place from others, even if it is all true.
    fn has_place(&mut self) -> bool {
        let (now, patience) = (self.now, PATIENCE * self.run.rules.retry_ms());
        let rate = |s: &Shown| s.bytes.saturating_mul(1000) / now.since(s.began).max(1);
        let had_time = self.shown.iter().filter(|(_, s)| now.since(s.began) > patience);
        let slowest = had_time.min_by_key(|(_, s)| rate(s)).map(|(id, _)| *id);
        if let Some(slowest) = slowest.filter(|_| self.shown.len() >= MAX_SHOWN) {
            self.shown.remove(&slowest);
        }
        self.shown.len() < MAX_SHOWN
    }
}

impl Node {
    /// Takes the next record from a peer; whether it was taken.
    ///
    /// Errors: it does not follow what the peer showed before, or is not the one that the run is
    /// known to have there.
    pub(super) fn take(&mut self, record: SignedRecord, from: PeerId) -> Result<bool, String> {
        let Some(known) = self.core.unproven() else {
            return self.follow(record, Some(from)).map(|()| true);
        };
        let Some(height) = self.show_past(&record, from)? else { return Ok(false) };
        let shown = &mut self.core.shown;
        if height == known.height {
            let records = shown.remove(&from).map_or(Vec::new(), |shown| shown.records);
            shown.clear();
            let mut proven = records.into_iter().chain([record]);
            return proven.try_for_each(|r| self.follow(r, Some(from))).map(|()| true);
        }
        if let Some(shown) = shown.get_mut(&from) {
            shown.records.push(record);
        }
        Ok(true)
    }

    /// Follows what a peer shows apart from this node's own records; the height it leads to, or
    /// nothing if there is no place for one more peer.
    fn show_past(&mut self, record: &SignedRecord, from: PeerId) -> Result<Option<u64>, String> {
        let base = self.core.records.len() as u64;
        self.core.shown.retain(|_, shown| shown.base == base);
        if !self.core.shown.contains_key(&from) && !self.core.has_place() {
            return Ok(None);
        }
        let before = self.core.shown.get(&from).map(|s| &s.chain).or(self.chain_state());
        let next = match ChainState::follow(before, &self.core.run, record, &self.core.cache) {
            Ok(next) => next,
            Err(error) => {
                self.core.shown.remove(&from);
                return Err(error.to_string());
            }
        };
        let core = &mut self.core;
        if let Err(why) = core.fits(next.height, next.hash) {
            core.shown.remove(&from);
            core.shun(&from);
            return Err(why);
        }
        let (height, began, records) = (next.height, core.now, Vec::new());
        match core.shown.get_mut(&from) {
            Some(shown) => shown.chain = next,
            None => {
                core.shown.insert(from, Shown { base, chain: next, records, began, bytes: 0 });
            }
        }
        Ok(Some(height))
    }
}
