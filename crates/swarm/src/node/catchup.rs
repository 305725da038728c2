//! Other peers: how far they are, what they lack, what this one lacks.

use super::{Life, Node};
use crate::{Action, Lobby, MAX_RECORDS, Message, Notice, PeerId, SignedRecord, Time};
use minicbor::bytes::ByteVec;
use store::Hash;

/// Broken rules after which a peer is not listened to any more.
const MAX_STRIKES: u32 = 8;
/// Bytes of records in one answer.
pub(super) const PAGE: usize = 192 * 1024;
/// Answers with records that one peer gets between two of this node's own rounds of repeats.
const ANSWERS: u32 = 32;
/// And one that is no member.
const STRANGER_ANSWERS: u32 = 8;
/// And all of those together: asking costs them little, and whoever comes has time.
const STRANGERS_ANSWERS: u32 = 32;
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
    head: Option<u64>,
    elapsed_ms: u64,
    /// Not before this time is it asked for records again.
    ask_at: Time,
    /// Answers it has had since the last repeat.
    answers: u32,
}

impl Node {
    pub(super) fn peer_up(&mut self, peer: PeerId) {
        if !self.know(peer) {
            return;
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            known.up = true;
        }
        for message in self.repeats() {
            self.send(peer, &message);
        }
    }

    pub(super) fn peer_down(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.up = false;
        }
    }

    pub(super) fn is_up(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|p| p.up)
    }

    pub(super) fn connected(&self) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, p)| p.up).map(|(id, _)| *id).collect()
    }

    /// Makes sure there is a line for a peer; false if there is no room for more.
    pub(super) fn know(&mut self, peer: PeerId) -> bool {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            let idle = self.peers.iter().find(|(_, p)| !p.up && p.strikes == 0).map(|(id, _)| *id);
            let Some(idle) = idle else { return false };
            self.peers.remove(&idle);
        }
        self.peers.entry(peer).or_default();
        true
    }

    pub(super) fn is_shunned(&self, peer: &PeerId) -> bool {
        let struck = self.peers.get(peer).is_some_and(|p| p.strikes >= MAX_STRIKES);
        struck || self.chain.as_ref().is_some_and(|c| c.ejected.contains(peer))
    }

    /// The next strike is the last.
    pub(super) fn shun(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.strikes = MAX_STRIKES - 1;
        }
    }

    /// A peer broke the protocol.
    pub(super) fn strike(&mut self, peer: PeerId, why: &str) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.strikes += 1;
        let out = known.strikes == MAX_STRIKES;
        let why = why.to_owned();
        self.notice(Notice::Misbehaved { peer, why: why.clone() });
        if out {
            self.out.push(Action::Disconnect { peer, why });
        }
    }

    pub(super) fn head(&self) -> Message {
        let (height, record) = match &self.chain {
            Some(chain) => (Some(chain.height), chain.hash),
            None => (None, Hash::default()),
        };
        let elapsed_ms = self.pace.elapsed_ms(self.now);
        Message::Head { run: self.run.id, height, record, elapsed_ms }
    }

    pub(super) fn on_head(&mut self, from: PeerId, height: Option<u64>, elapsed_ms: u64) {
        let mine = self.chain.as_ref().map(|c| c.height);
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
    pub(super) fn ask(&mut self, peer: PeerId) {
        let (now, pause) = (self.now, self.run.rules.retry_ms());
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.ask_at > now {
            return;
        }
        known.ask_at = now.after(pause);
        let from = self.lacks_of(&peer);
        self.send(peer, &Message::RecordsRequest { run: self.run.id, from });
    }

    pub(super) fn on_request(&mut self, to: PeerId, from: u64) {
        let stranger = self.is_stranger(&to);
        let strangers = |(id, peer): (&PeerId, &Peer)| self.is_stranger(id).then_some(peer.answers);
        let all: u32 = match stranger {
            true => self.peers.iter().filter_map(strangers).sum(),
            false => 0,
        };
        let Some(peer) = self.peers.get_mut(&to) else { return };
        let most = if stranger { STRANGER_ANSWERS } else { ANSWERS };
        let enough = peer.answers >= most || all >= STRANGERS_ANSWERS;
        if enough || from >= self.records.len() as u64 {
            return;
        }
        peer.answers += 1;
        let mut records: Vec<ByteVec> = Vec::new();
        let mut size = 0;
        for record in &self.records[from as usize..] {
            let bytes = record.to_bytes();
            size += bytes.len();
            if !records.is_empty() && size > PAGE || records.len() == MAX_RECORDS {
                break;
            }
            records.push(bytes.into());
        }
        self.send(to, &Message::Records { run: self.run.id, records });
    }

    pub(super) fn on_records(&mut self, from: PeerId, records: &[ByteVec]) {
        let mut grew = false;
        for bytes in records {
            let record = match SignedRecord::from_bytes(bytes) {
                Ok(record) => record,
                Err(error) => return self.strike(from, &error.to_string()),
            };
            if record.record().height != self.lacks_of(&from) {
                continue;
            }
            match self.take(record, from) {
                Ok(taken) => grew |= taken,
                Err(error) => return self.strike(from, &error),
            }
        }
        self.note_shown(from, records.len(), records.iter().map(|bytes| bytes.len()).sum());
        let lacks = self.lacks_of(&from);
        let more =
            self.peers.get(&from).is_some_and(|p| p.head.is_some_and(|height| height >= lacks));
        if grew && more {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.ask_at = self.now;
            }
            self.ask(from);
        }
    }

    /// The run's time by the word of the voters, the middle one by weight: whoever delivers a
    /// record has no say on it, and no third of the weight can move it.
    pub(super) fn adopt_clock(&mut self) {
        let Some(chain) = &self.chain else { return };
        let electorate = chain.electorate(&self.run);
        let head = |p: &Peer| p.head.is_some_and(|h| h.saturating_add(1) >= chain.height);
        let known = self.peers.iter().filter(|(_, p)| head(p));
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

    /// Repeats what may have been lost: at once, then more and more slowly while nothing changes.
    pub(super) fn resend_if_due(&mut self) {
        if self.resend_at > self.now {
            return;
        }
        let retry = self.run.rules.retry_ms();
        self.resend_at = self.now.after(self.resend_ms);
        self.resend_ms = (self.resend_ms * 2).min(retry * SLOWEST);
        for peer in self.peers.values_mut() {
            peer.answers = 0;
        }
        for message in self.repeats() {
            self.broadcast(&message);
        }
    }

    /// Something changed: repeats are frequent again.
    pub(super) fn hurry_resend(&mut self) {
        self.resend_ms = self.run.rules.retry_ms();
        self.resend_at = self.resend_at.min(self.now.after(self.resend_ms));
    }

    /// Everything of this node that others may lack.
    fn repeats(&self) -> Vec<Message> {
        let mut messages = vec![self.head()];
        if self.life != Life::Running {
            return messages;
        }
        if self.wants_in() {
            messages.push(Message::Join(self.own_join()));
        }
        let me = self.id();
        if let Some(work) = &self.work {
            messages.extend(work.commits.get(&me).map(|slot| Message::Commit(slot.commit.clone())));
            messages.extend(work.haves_of(&me).map(Message::Have));
            let (proposals, votes) = work.agreement.gossip();
            let proposal = |(header, record): (_, Vec<u8>)| Message::Proposal {
                header,
                record: record.into(),
            };
            messages.extend(proposals.into_iter().map(proposal));
            messages.extend(votes.into_iter().map(Message::Vote));
        }
        let shows = self.newest_book().and_then(|book| book.shows.get(&me));
        messages.extend(shows.map(|s| Message::Show(s.clone())));
        let verdicts = self.books.values().flat_map(|book| book.verdicts_by(&me));
        messages.extend(verdicts.map(Message::Verdict));
        messages.extend(self.evidence.values().filter_map(|evidence| {
            evidence.equivocator().map(|_| Message::Evidence(evidence.clone()))
        }));
        messages
    }

    /// Says so, once, when too few voters are connected to decide anything.
    pub(super) fn note_waiting(&mut self) {
        let why = self.what_is_missing();
        if self.waiting != why {
            self.waiting = why.clone();
            if let Some(why) = why {
                self.notice(Notice::Waiting { why });
            }
        }
    }

    fn what_is_missing(&self) -> Option<String> {
        if self.life != Life::Running {
            return None;
        }
        if let Some(known) = self.unproven() {
            return Some(format!(
                "no peer has shown a past yet with the record that the run is known to have ({} at \
                 height {})",
                known.record.short(),
                known.height
            ));
        }
        let Some(chain) = &self.chain else { return self.what_the_lobby_lacks() };
        if let Some(peer) = self.stalemate() {
            return Some(format!(
                "a re-run of the work of {} gives other bits here; between two voters nothing can \
                 be proven, so the run stops",
                peer.short()
            ));
        }
        let electorate = chain.electorate(&self.run);
        let here = |v: &PeerId| *v == self.id() || self.is_up(v);
        let (there, away): (Vec<PeerId>, Vec<PeerId>) = electorate.voters().partition(here);
        let (weight, needed) = (electorate.weight_of(there), electorate.quorum());
        (weight < needed).then(|| {
            let total = electorate.total().max(1);
            let percent = |w: u64| u128::from(w) * 100 / u128::from(total);
            let names: Vec<String> = away.iter().map(PeerId::short).collect();
            format!(
                "{} % of the standing is connected, {} % decide; away: {}",
                percent(weight),
                percent(needed) + 1,
                names.join(", ")
            )
        })
    }

    fn what_the_lobby_lacks(&self) -> Option<String> {
        let Lobby { here, awaited, unused } = self.lobby();
        let needed = self.run.rules.min_members as usize;
        if !awaited.is_empty() || !unused.is_empty() {
            let mut lacks: Vec<String> = awaited.iter().map(PeerId::short).collect();
            match unused.len() {
                0 => {}
                1 => lacks.push("whoever uses the last invitation".to_owned()),
                n => lacks.push(format!("whoever uses the {n} invitations left")),
            }
            let here: Vec<String> = here.iter().map(PeerId::short).collect();
            return Some(format!(
                "the run begins once all founding voters are here; here: {}; missing: {}",
                here.join(", "),
                lacks.join(", ")
            ));
        }
        let here = here.len();
        (here < needed).then(|| format!("{here} of {needed} members are here to begin"))
    }
}
