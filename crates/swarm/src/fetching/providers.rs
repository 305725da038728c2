//! What is remembered of those who are asked.

use super::Limits;
use crate::Time;
use ids::PeerId;
use std::collections::{BTreeMap, BTreeSet};

/// The most peers whose faults are remembered.
const MAX_REMEMBERED: usize = 1024;

/// Who is connected, and who was caught lying or being slow.
#[derive(Debug, Default)]
pub(super) struct Providers {
    linked: BTreeSet<PeerId>,
    /// Who of them has ever given a whole object: goes before those who only are there.
    gave: BTreeSet<PeerId>,
    faults: BTreeMap<PeerId, Faults>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    lies: u32,
    slow: u32,
    slow_at: Time,
}

impl Providers {
    pub fn set_linked(&mut self, linked: BTreeSet<PeerId>) {
        self.linked = linked;
        self.gave.retain(|peer| self.linked.contains(peer));
    }

    pub fn linked(&self) -> impl Iterator<Item = &PeerId> {
        self.linked.iter()
    }

    /// Everybody connected who is asked at all.
    pub fn candidates(&self, limits: &Limits) -> impl Iterator<Item = PeerId> {
        let most = limits.lies;
        self.linked
            .iter()
            .filter(move |p| self.faults.get(p).is_none_or(|f| f.lies < most))
            .copied()
    }

    /// How often a peer lied, and how often it was too slow of late: who has fewer goes first.
    pub fn faults(&self, peer: PeerId, now: Time, limits: &Limits) -> (u32, u32) {
        let Some(faults) = self.faults.get(&peer) else { return (0, 0) };
        let of_late = now.since(faults.slow_at) < limits.remember_ms;
        (faults.lies, if of_late { faults.slow } else { 0 })
    }

    pub fn has_given(&mut self, peer: PeerId) {
        if self.linked.contains(&peer) {
            self.gave.insert(peer);
        }
    }

    pub fn gave(&self, peer: &PeerId) -> bool {
        self.gave.contains(peer)
    }

    pub fn lied(&mut self, peer: PeerId) {
        let faults = self.entry(peer);
        faults.lies = faults.lies.saturating_add(1);
    }

    /// Slowness counts up while the last time is remembered.
    pub fn was_slow(&mut self, peer: PeerId, now: Time) {
        let faults = self.entry(peer);
        (faults.slow, faults.slow_at) = (faults.slow.saturating_add(1), now);
    }

    /// Keys that come and go push out those who are gone, with the fewest lies first.
    fn entry(&mut self, peer: PeerId) -> &mut Faults {
        if self.faults.len() >= MAX_REMEMBERED && !self.faults.contains_key(&peer) {
            let gone = self.faults.iter().filter(|(peer, _)| !self.linked.contains(peer));
            let least = gone.min_by_key(|(_, f)| (f.lies, f.slow_at)).map(|(peer, _)| *peer);
            if let Some(least) = least {
                self.faults.remove(&least);
            }
        }
        self.faults.entry(peer).or_default()
    }
}
