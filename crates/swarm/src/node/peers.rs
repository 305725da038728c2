//! Other peers: how far they are, what they are asked for, and what they have broken.

use super::Core;
use crate::{Action, ChainState, Message, Notice, Time};
use ids::{Hash, PeerId};

/// Broken rules after which a peer is not listened to any more.
const MAX_STRIKES: u32 = 8;
/// Repeats slow down to this many times the first pause while nothing changes.
const SLOWEST: u64 = 4;
/// Peers that are remembered.
const MAX_PEERS: usize = 512;

/// What is known of another peer, connected or not.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    up: bool,
    strikes: u32,
    /// Its newest height, by its own word, and the run's time at it.
    pub head: Option<u64>,
    elapsed_ms: u64,
    /// Not before this time is it asked for records again.
    pub ask_at: Time,
    /// Answers it has had since the last repeat.
    pub answers: u32,
}

impl Core {
    /// A peer is connected; false if there is no room to know it.
    pub fn peer_up(&mut self, peer: PeerId) -> bool {
        if !self.know(peer) {
            return false;
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            known.up = true;
        }
        true
    }

    pub fn peer_down(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.up = false;
        }
    }

    pub fn is_up(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|p| p.up)
    }

    pub fn connected(&self) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, p)| p.up).map(|(id, _)| *id).collect()
    }

    /// Makes sure there is a line for a peer; false if there is no room for more.
    pub fn know(&mut self, peer: PeerId) -> bool {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            let idle = self.peers.iter().find(|(_, p)| !p.up && p.strikes == 0).map(|(id, _)| *id);
            let Some(idle) = idle else { return false };
            self.peers.remove(&idle);
        }
        self.peers.entry(peer).or_default();
        debug_assert!(self.peers.len() <= MAX_PEERS, "keys are free, memory is not");
        true
    }

    /// Whether a peer has broken so many rules that it is not listened to.
    pub fn is_struck_out(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|p| p.strikes >= MAX_STRIKES)
    }

    /// The next strike is the last.
    pub fn shun(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.strikes = MAX_STRIKES - 1;
        }
    }

    /// A peer broke the protocol.
    pub fn strike(&mut self, peer: PeerId, why: &str) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.strikes += 1;
        let out = known.strikes == MAX_STRIKES;
        let why = why.to_owned();
        self.notice(Notice::Misbehaved { peer, why: why.clone() });
        if out {
            self.out.push(Action::Disconnect { peer, why });
        }
    }

    /// How far this node is.
    pub fn head(&self) -> Message {
        let record = self.records.last().map_or(Hash::default(), |record| record.hash());
        let elapsed_ms = self.pace.elapsed_ms(self.now);
        Message::Head { run: self.run.id, height: self.height(), record, elapsed_ms }
    }

    pub fn on_head(&mut self, from: PeerId, height: Option<u64>, elapsed_ms: u64) {
        let mine = self.height();
        if let Some(peer) = self.peers.get_mut(&from) {
            (peer.head, peer.elapsed_ms) = (height, elapsed_ms);
        }
        if height > mine {
            self.ask(from);
        } else if height < mine {
            let head = self.head();
            self.send(from, &head);
        }
    }

    /// Asks a peer that is ahead for the records after this node's.
    pub fn ask(&mut self, peer: PeerId) {
        let (now, pause) = (self.now, self.run.rules.retry_ms());
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.ask_at > now {
            return;
        }
        known.ask_at = now.after(pause);
        let from = self.lacks_of(&peer);
        self.send(peer, &Message::RecordsRequest { run: self.run.id, from });
    }

    /// The run's time by the word of the voters, the middle one by weight: whoever delivers a
    /// record has no say on it, and no third of the weight can move it.
    pub fn adopt_clock(&mut self, chain: &ChainState) {
        let electorate = chain.electorate(&self.run);
        let near = |p: &Peer| p.head.is_some_and(|h| h.saturating_add(1) >= chain.height);
        let known = self.peers.iter().filter(|(_, p)| near(p));
        let mut times: Vec<(u64, u64)> =
            known.map(|(id, p)| (p.elapsed_ms, electorate.weight(id))).collect();
        times.sort_unstable();
        let told: u64 = times.iter().map(|(_, weight)| weight).sum();
        if told <= electorate.faults() {
            return;
        }
        let mut below = 0;
        let middle = times.into_iter().find(|(_, weight)| {
            below += weight;
            2 * below > told
        });
        if let Some((elapsed_ms, _)) = middle {
            // More than the whole run was meant to take is no information.
            self.pace.catch_up(self.now, elapsed_ms.min(self.run.rules.target_ms));
        }
    }

    /// Whether it is time to repeat what may have been lost: at once, then more and more slowly
    /// while nothing changes.
    pub fn resend_is_due(&mut self) -> bool {
        if self.resend_at > self.now {
            return false;
        }
        let retry = self.run.rules.retry_ms();
        self.resend_at = self.now.after(self.resend_ms);
        self.resend_ms = (self.resend_ms * 2).min(retry * SLOWEST);
        for peer in self.peers.values_mut() {
            peer.answers = 0;
        }
        true
    }

    /// Something changed: repeats are frequent again.
    pub fn hurry_resend(&mut self) {
        self.resend_ms = self.run.rules.retry_ms();
        self.resend_at = self.resend_at.min(self.now.after(self.resend_ms));
    }
}
