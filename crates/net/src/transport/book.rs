//! The address book: whom to dial, where, and when next.

use crate::transport::address::{AddrRecord, PeerAddr};
use ids::{Hash, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use store::file::Readers;

/// The most peers remembered.
const MAX_BOOK: usize = 256;
/// The most peers written to disk.
const MAX_SAVED: usize = 64;
const MAX_FILE: u64 = 256 << 10;
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Members of the run are tried at least this often, others four times less.
const LAST_RETRY: Duration = Duration::from_secs(8);
/// A peer that changes its address more often than this is not followed through others.
const RECORD_INTERVAL: Duration = Duration::from_secs(2);

/// What is known of where peers are. Bounded: strangers are forgotten before members.
#[derive(Debug)]
pub(crate) struct Book {
    me: PeerId,
    entries: BTreeMap<PeerId, Entry>,
    members: BTreeSet<PeerId>,
}

#[derive(Debug)]
struct Entry {
    at: PeerAddr,
    record: Option<AddrRecord>,
    learnt: Option<Instant>,
    failures: u32,
    next: Instant,
    dialling: bool,
}

/// From whom an address record came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// From the peer whose address it is.
    FromItself,
    /// From somebody else.
    FromOthers,
}

/// Who may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Members of the run alone.
    Members,
    /// Members first, and strangers.
    Everybody,
}

/// How an attempt to dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dial {
    /// There was a connection.
    Connected,
    /// There was none.
    Failed,
}

impl Book {
    pub fn new(me: PeerId) -> Self {
        Self { me, entries: BTreeMap::new(), members: BTreeSet::new() }
    }

    /// Takes an address from a ticket or from disk; a signed one replaces it.
    pub fn hint(&mut self, at: PeerAddr, now: Instant) {
        if at.peer == self.me || !at.is_valid() {
            return;
        }
        match self.entries.get_mut(&at.peer) {
            Some(entry) if entry.record.is_none() => merge(&mut entry.at, at),
            Some(_) => {}
            None => self.insert(at, None, now),
        }
    }

    /// Takes a record whose signature was checked. Returns whether it said something new.
    pub fn learn(&mut self, record: AddrRecord, heard: Heard, now: Instant) -> bool {
        if record.at.peer == self.me {
            return false;
        }
        let Some(entry) = self.entries.get_mut(&record.at.peer) else {
            self.insert(record.at.clone(), Some(record), now);
            return true;
        };
        let newer = entry.record.as_ref().is_none_or(|old| old.time < record.time);
        let calm = entry.learnt.is_none_or(|at| now.duration_since(at) >= RECORD_INTERVAL);
        if !newer || !(heard == Heard::FromItself || calm) {
            return false;
        }
        if entry.at != record.at {
            (entry.failures, entry.next) = (0, now);
        }
        entry.at = record.at.clone();
        entry.record = Some(record);
        entry.learnt = Some(now);
        true
    }

    fn insert(&mut self, at: PeerAddr, record: Option<AddrRecord>, now: Instant) {
        if self.entries.len() >= MAX_BOOK && !self.forget_one() {
            return;
        }
        let learnt = record.is_some().then_some(now);
        let entry = Entry { record, learnt, failures: 0, next: now, dialling: false, at };
        self.entries.insert(entry.at.peer, entry);
    }

    /// Makes room by the stranger that failed most often.
    fn forget_one(&mut self) -> bool {
        let strangers = self.entries.iter().filter(|(peer, _)| !self.members.contains(peer));
        let worst = strangers.max_by_key(|(_, entry)| entry.failures).map(|(peer, _)| *peer);
        worst.is_some_and(|peer| self.entries.remove(&peer).is_some())
    }

    /// Names the members of the run: dialled first, forgotten last.
    pub fn set_members(&mut self, members: BTreeSet<PeerId>) {
        self.members = members;
    }

    pub fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    pub fn is_member(&self, peer: PeerId) -> bool {
        self.members.contains(&peer)
    }

    /// Whether a member says that it can be reached at this address.
    pub fn is_member_at(&self, addr: SocketAddr) -> bool {
        let at = |peer| self.entries.get(peer).is_some_and(|e: &Entry| e.at.addrs.contains(&addr));
        self.members.iter().any(at)
    }

    /// Up to `most` peers to dial now; each counts as being dialled until [`Book::dialled`].
    pub fn due(
        &mut self,
        linked: impl Fn(PeerId) -> bool,
        whom: Whom,
        most: usize,
        now: Instant,
    ) -> Vec<PeerAddr> {
        let ready = self
            .entries
            .iter()
            .filter(|(peer, entry)| !entry.dialling && entry.next <= now && !linked(**peer))
            .filter(|(peer, _)| whom == Whom::Everybody || self.members.contains(peer));
        let mut ready: Vec<_> = ready
            .map(|(peer, entry)| (!self.members.contains(peer), entry.failures, *peer))
            .collect();
        ready.sort();
        ready.truncate(most);
        let mut due = Vec::new();
        for (_, _, peer) in ready {
            if let Some(entry) = self.entries.get_mut(&peer) {
                entry.dialling = true;
                due.push(entry.at.clone());
            }
        }
        due
    }

    /// The attempt to dial `peer` is over.
    pub fn dialled(&mut self, peer: PeerId, dial: Dial, now: Instant) {
        let member = self.members.contains(&peer);
        let Some(entry) = self.entries.get_mut(&peer) else { return };
        entry.dialling = false;
        entry.failures = match dial {
            Dial::Connected => 0,
            Dial::Failed => entry.failures.saturating_add(1),
        };
        entry.next = now + retry_after(peer, entry.failures, member);
    }

    /// The link to `peer` is gone: try again soon.
    pub fn lost(&mut self, peer: PeerId, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&peer) {
            entry.next = now + retry_after(peer, 0, true);
        }
    }

    /// Signed records to pass on, members first.
    pub fn records(&self, most: usize) -> Vec<AddrRecord> {
        let mut all: Vec<_> = self.entries.values().filter_map(|e| e.record.as_ref()).collect();
        all.sort_by_key(|record| !self.members.contains(&record.at.peer));
        all.into_iter().take(most).cloned().collect()
    }

    /// Addresses to keep on disk or put into a ticket, members and reachable ones first.
    pub fn best(&self, most: usize) -> Vec<PeerAddr> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|(peer, e)| (!self.members.contains(peer), e.failures, **peer));
        all.into_iter().take(most).map(|(_, entry)| entry.at.clone()).collect()
    }
}

/// Doubling up to a bound, less up to a quarter that differs by peer and attempt, so that many
/// peers that lost one do not all knock at once.
fn retry_after(peer: PeerId, failures: u32, member: bool) -> Duration {
    let last = if member { LAST_RETRY } else { 4 * LAST_RETRY };
    let wait = FIRST_RETRY.saturating_mul(1 << failures.min(16)).min(last);
    let draw = Hash::of_parts("understory net retry jitter", &[&peer.0, &failures.to_le_bytes()]);
    wait - wait.mul_f64(f64::from(draw.0[0]) / 1024.0)
}

fn merge(known: &mut PeerAddr, new: PeerAddr) {
    let mut addrs = new.addrs;
    for addr in &known.addrs {
        if addrs.len() < crate::transport::address::MAX_ADDRS && !addrs.contains(addr) {
            addrs.push(*addr);
        }
    }
    known.addrs = addrs;
    known.relay = new.relay.or(known.relay.take());
}

/// What a node remembers between starts; losing it costs a new ticket at worst.
#[derive(Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub(crate) struct Saved {
    /// Where this node listened, to listen there again.
    #[n(0)]
    pub bound: Option<SocketAddr>,
    /// Peers to dial.
    #[n(1)]
    pub peers: Vec<PeerAddr>,
}

impl Saved {
    /// Reads the file; an absent, damaged or oversized one is as if nothing were known.
    pub fn read(path: &Path) -> Self {
        let bytes = bounded::read(path, MAX_FILE).unwrap_or_default();
        let mut saved: Self = minicbor::decode(&bytes).unwrap_or_default();
        saved.peers.truncate(MAX_SAVED);
        saved.peers.retain(PeerAddr::is_valid);
        saved
    }

    /// Replaces the file: afterwards it is the old one or the new one, never between.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let bytes = minicbor::to_vec(self).expect("writing to memory does not fail");
        store::file::write_atomically(path, &bytes, Readers::All)
    }

    pub fn of(book: &Book, bound: Option<SocketAddr>) -> Self {
        Self { bound, peers: book.best(MAX_SAVED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::address::peer_id;
    use iroh::SecretKey;
    use std::fs;

    fn key(seed: u32) -> SecretKey {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        SecretKey::from_bytes(&bytes)
    }

    fn at(seed: u32, port: u16) -> PeerAddr {
        let addrs = vec![SocketAddr::from(([127, 0, 0, 1], port))];
        PeerAddr { peer: peer_id(key(seed).public()), addrs, relay: None }
    }

    fn book() -> (Book, Instant) {
        (Book::new(peer_id(key(0).public())), Instant::now())
    }

    #[test]
    fn the_newest_record_wins_and_fast_changes_are_followed_only_from_the_peer_itself() {
        let (mut book, start) = book();
        let record = |port, time| AddrRecord::sign(at(1, port), time, &key(1));
        book.hint(at(1, 1), start);
        assert!(book.learn(record(2, 10), Heard::FromOthers, start));
        assert!(!book.learn(record(3, 9), Heard::FromItself, start), "older");
        assert!(!book.learn(record(3, 11), Heard::FromOthers, start), "too soon through others");
        assert!(book.learn(record(3, 11), Heard::FromItself, start));
        assert!(book.learn(record(4, 12), Heard::FromOthers, start + RECORD_INTERVAL));
        book.hint(at(1, 5), start);
        assert_eq!(book.best(9), [at(1, 4)]);
        let mine = AddrRecord::sign(at(0, 1), 1, &key(0));
        assert!(!book.learn(mine, Heard::FromItself, start), "own address");
    }

    #[test]
    fn retries_back_off_to_a_bound_and_begin_anew_after_a_loss() {
        let (mut book, mut now) = book();
        book.hint(at(1, 1), now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let due = book.due(|_| false, Whom::Everybody, 8, now);
            assert_eq!(due, [at(1, 1)]);
            assert!(
                book.due(|_| false, Whom::Everybody, 8, now).is_empty(),
                "already being dialled"
            );
            book.dialled(due[0].peer, Dial::Failed, now);
            let before = now;
            while book.due(|_| false, Whom::Everybody, 0, now).is_empty()
                && book.entries[&due[0].peer].next > now
            {
                now += Duration::from_millis(10);
            }
            waits.push(now - before);
        }
        assert!(waits[0] <= 2 * FIRST_RETRY && waits[11] <= 4 * LAST_RETRY);
        assert!(waits[11] >= 3 * LAST_RETRY, "{waits:?}");
        book.lost(at(1, 1).peer, now);
        assert_eq!(
            book.due(|_| true, Whom::Everybody, 8, now + FIRST_RETRY),
            [],
            "linked peers are not dialled"
        );
        assert_eq!(book.due(|_| false, Whom::Everybody, 8, now + FIRST_RETRY).len(), 1);
    }

    #[test]
    fn strangers_do_not_push_out_members() {
        let (mut book, now) = book();
        let members: BTreeSet<PeerId> = (1..5).map(|i| at(i, 1).peer).collect();
        book.set_members(members.clone());
        for i in 1..2 * MAX_BOOK as u32 {
            book.hint(at(i, 1), now);
        }
        assert_eq!(book.entries.len(), MAX_BOOK);
        assert!(members.iter().all(|peer| book.entries.contains_key(peer)));
        let first: BTreeSet<PeerId> =
            book.due(|_| false, Whom::Everybody, 4, now).iter().map(|a| a.peer).collect();
        assert_eq!(first, members);
        let rest = book.due(|_| false, Whom::Members, 99, now);
        assert_eq!(rest, [], "strangers are left out when there is no room for them");
    }

    #[test]
    fn the_file_reads_back_and_damage_to_it_is_harmless() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("peers");
        assert_eq!(Saved::read(&path), Saved::default());
        let saved = Saved { bound: Some(at(1, 7).addrs[0]), peers: vec![at(1, 7), at(2, 8)] };
        saved.write(&path).expect("write");
        assert_eq!(Saved::read(&path), saved);
        let bytes = fs::read(&path).expect("read the file");
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).expect("cut it");
            assert_eq!(Saved::read(&path), Saved::default());
        }
    }
}
