//! What all peers said, put together into what a screen or a page shows.

mod rounds;

use cotrain::{
    cheat::Cheat,
    events::{PeerEvent, Standing},
};
use ids::PeerId;
use progress::At;
use serve::{Baseline, Peer, Snapshot, Summary};
use std::{collections::BTreeMap, time::Instant};
use swarm::{Notice, RecordSummary};

/// What is known of a swarm by what its peers said.
#[derive(Debug)]
pub struct Board {
    snapshot: Snapshot,
    start: Instant,
    /// How long the run was asked to take; 0 where its steps are fixed instead.
    minutes: f64,
    step_tokens: u64,
    parameters: u64,
    /// Index of each peer by its key.
    index: BTreeMap<PeerId, usize>,
    decided: BTreeMap<u64, RecordSummary>,
    /// Height of the record that the standing shown is of.
    standing_height: u64,
    norms: BTreeMap<u64, (Vec<f32>, Vec<bool>)>,
    last_decision_s: f64,
    sent_before: u64,
    work: Vec<(f64, f64)>,
    /// Tokens and time of each peer's last progress, for its rate.
    rates: Vec<(u64, Instant)>,
}

impl Board {
    /// A board for peers of which each was told to cheat as `cheats` has it. `minutes`: how long the
    /// run was asked to take; 0 where its steps are fixed instead.
    pub fn new(cheats: &[Option<Cheat>], minutes: f64) -> Self {
        let peers = cheats.len();
        let peer = |n: usize| Peer {
            name: format!("peer {}", n + 1),
            status: "joined".to_owned(),
            cheat: cheats[n].map(|c| c.to_string()),
            ..Peer::default()
        };
        let snapshot = Snapshot {
            phase: "preparing".to_owned(),
            peers: (0..peers).map(peer).collect(),
            ..Snapshot::default()
        };
        let now = Instant::now();
        Self {
            snapshot,
            start: now,
            minutes,
            step_tokens: 0,
            parameters: 1,
            index: BTreeMap::new(),
            decided: BTreeMap::new(),
            standing_height: 0,
            norms: BTreeMap::new(),
            last_decision_s: 0.0,
            sent_before: 0,
            work: vec![(0.0, 0.0); peers],
            rates: vec![(0, now); peers],
        }
    }

    /// What there is to show now.
    pub fn snapshot(&mut self) -> Snapshot {
        let elapsed = self.start.elapsed().as_secs_f64();
        self.snapshot.elapsed_s = elapsed;
        if self.snapshot.summary.is_none() && self.snapshot.rounds > 0 {
            self.snapshot.remaining_s = self.remaining(elapsed);
        } else {
            self.snapshot.remaining_s = None;
        }
        self.snapshot.clone()
    }

    /// From the pace of the rounds so far; from the asked-for minutes before there is one.
    fn remaining(&self, elapsed: f64) -> Option<f64> {
        let done = self.snapshot.rounds_done.iter().filter(|r| r.kind == "advance").count() as f64;
        let left = f64::from(self.snapshot.rounds) - done;
        if done >= 1.0 && self.minutes == 0.0 {
            let pace = self.last_decision_s / done;
            return Some((left * pace - (elapsed - self.last_decision_s)).max(0.0));
        }
        (self.minutes > 0.0).then(|| (self.minutes * 60.0 - elapsed).max(0.0))
    }

    /// Takes in what the peer `from`, by its number from 0, tells.
    pub fn event(&mut self, from: usize, event: PeerEvent) {
        match event {
            PeerEvent::Preparing { what } => self.preparing(from, what),
            PeerEvent::Working(at) => self.working(from, at),
            PeerEvent::Corpus(corpus) => self.snapshot.corpus = corpus,
            PeerEvent::Started { run, name, peer, rounds, step_tokens, model, .. } => {
                self.index.insert(peer, from);
                self.step_tokens = step_tokens;
                self.parameters = model.params;
                let s = &mut self.snapshot;
                s.peers[from].id = peer.to_string();
                s.peers[from].work = None;
                (s.run, s.name, s.rounds, s.model) = (run.to_string(), name, rounds, model);
                if s.phase == "preparing" {
                    s.phase = "lobby".to_owned();
                    s.message = Some("peers are joining".to_owned());
                }
            }
            PeerEvent::Progress { step, steps, tokens, .. } => {
                self.progress(from, step, steps, tokens);
            }
            PeerEvent::Traffic { sent, received } => {
                let peer = &mut self.snapshot.peers[from];
                (peer.sent_bytes, peer.received_bytes) = (sent, received);
                self.snapshot.totals.bytes_sent =
                    self.snapshot.peers.iter().map(|p| p.sent_bytes).sum();
            }
            PeerEvent::Work { training_s, auditing_s, aggregating_s } => {
                self.work[from] = (training_s + aggregating_s, auditing_s);
                let (train, audit) =
                    self.work.iter().fold((0.0, 0.0), |a, w| (a.0 + w.0, a.1 + w.1));
                self.snapshot.totals.audit_share = audit / (train + audit).max(1e-9);
            }
            PeerEvent::Model { root, .. } => {
                self.snapshot.peers[from].root = Some(root.to_string());
                self.snapshot.peers[from].work = None;
            }
            PeerEvent::Standing { height, members } => self.standing(height, &members),
            PeerEvent::Failed { error, .. } => self.down(from, &error),
            PeerEvent::Stopped => self.down(from, "stopped"),
            PeerEvent::Protocol { notice } => self.notice(from, notice),
            PeerEvent::Connection { .. }
            | PeerEvent::LeftOut(_)
            | PeerEvent::NotWritten { .. }
            | PeerEvent::Clock { .. }
            | PeerEvent::Joining { .. }
            | PeerEvent::Lobby { .. }
            | PeerEvent::Invitations { .. }
            | PeerEvent::Marks { .. }
            | PeerEvent::Marked { .. }
            | PeerEvent::NotMarked { .. }
            | PeerEvent::MarkedOtherwise { .. }
            | PeerEvent::Recorded { .. }
            | PeerEvent::NotRecorded { .. } => {}
        }
    }

    /// What the newest record makes of the members; who is no member has no standing.
    fn standing(&mut self, height: u64, members: &[Standing]) {
        if height < self.standing_height {
            return;
        }
        self.standing_height = height;
        for peer in &mut self.snapshot.peers {
            (peer.standing, peer.vote) = (0, 0.0);
        }
        for member in members {
            if let Some(i) = self.index.get(&member.peer) {
                let peer = &mut self.snapshot.peers[*i];
                (peer.standing, peer.vote) = (member.steps, member.vote);
            }
        }
    }

    /// A peer's process has ended.
    pub fn down(&mut self, from: usize, why: &str) {
        let peer = &mut self.snapshot.peers[from];
        if peer.status != "ejected" {
            peer.status = "down".to_owned();
            peer.reason = Some(why.to_owned());
        }
        peer.tokens_per_s = 0.0;
        peer.work = None;
    }

    /// A peer that was down is started again.
    pub fn back(&mut self, peer: usize) {
        let peer = &mut self.snapshot.peers[peer];
        if peer.status != "ejected" {
            peer.status = "joined".to_owned();
            peer.reason = Some("started again, catching up".to_owned());
        }
    }

    /// What a compressor makes of the held-out text.
    pub fn baseline(&mut self, name: &str, bits_per_byte: f64) {
        self.snapshot.baselines.push(Baseline { name: name.to_owned(), bits_per_byte });
    }

    /// One sentence about what is going on.
    pub fn say(&mut self, phase: &str, message: Option<String>) {
        self.snapshot.phase = phase.to_owned();
        self.snapshot.message = message;
    }

    /// How it ended.
    pub fn finish(&mut self, summary: Summary) {
        self.snapshot.summary = Some(summary);
        self.say("finished", None);
    }

    /// The newest model in each peer's own store, by number.
    pub fn roots(&self) -> Vec<Option<String>> {
        self.snapshot.peers.iter().map(|p| p.root.clone()).collect()
    }

    /// The newest record that anybody reported.
    pub fn newest(&self) -> Option<&RecordSummary> {
        self.decided.values().next_back()
    }

    fn preparing(&mut self, from: usize, what: String) {
        if from == 0 && self.snapshot.phase == "preparing" {
            self.snapshot.message = Some(what);
        }
    }

    /// How far a peer's work is; what is done is not shown any more.
    fn working(&mut self, from: usize, at: At) {
        self.snapshot.peers[from].work = (at.done < at.total).then_some(at);
    }

    fn progress(&mut self, from: usize, step: u32, steps: u32, tokens: u64) {
        let now = Instant::now();
        let (before, then) = self.rates[from];
        let peer = &mut self.snapshot.peers[from];
        let seconds = now.duration_since(then).as_secs_f64();
        // News that comes all at once, after a pause, says nothing about the speed.
        if seconds >= LEAST_SECONDS {
            if tokens > before {
                let rate = (tokens - before) as f64 / seconds;
                let old = if peer.tokens_per_s > 0.0 { peer.tokens_per_s } else { rate };
                peer.tokens_per_s = 0.7 * old + 0.3 * rate;
            }
            self.rates[from] = (tokens, now);
        }
        (peer.step, peer.steps) = (step, steps);
        if peer.status != "ejected" {
            peer.status = if step < steps { "training" } else { "waiting" }.to_owned();
            peer.reason = None;
        }
        self.snapshot.totals.tokens_per_s =
            self.snapshot.peers.iter().map(|p| p.tokens_per_s).sum();
    }

    fn notice(&mut self, from: usize, notice: Notice) {
        match notice {
            Notice::PhaseChanged { phase, .. } => self.phase(from, phase),
            Notice::Aggregated { height, norms, clipped } => {
                self.norms.entry(height).or_insert((norms, clipped));
                self.fill_norms(height);
            }
            Notice::Decided(record) | Notice::Resumed(record) => self.record(record),
            Notice::Verdict { height, contributor, auditor, kind, part, .. } => {
                self.verdict(height, contributor, auditor, kind, part);
            }
            Notice::Disputed { contributor, accuser, part, .. } => {
                let (a, b) = (self.name(&accuser), self.name(&contributor));
                let message = format!("{a} accuses {b}: everybody re-runs part {}", part + 1);
                self.say("repairing", Some(message));
            }
            Notice::Ejected { peer, height, evidence } => self.ejected(peer, height, evidence),
            Notice::Absent { peer, .. } => {
                if let Some(i) = self.index.get(&peer) {
                    let _ = self.snapshot.peers[*i].reason.insert("absent".to_owned());
                }
            }
            Notice::Waiting { why } if from == 0 => self.snapshot.message = Some(why),
            Notice::WorkFailed { why, .. } => {
                self.snapshot.peers[from].reason = Some(why);
            }
            _ => {}
        }
    }

    fn phase(&mut self, from: usize, phase: swarm::Phase) {
        use swarm::Phase::*;
        let status = match phase {
            Lobby | Watching | Syncing => "joined",
            Training => "training",
            Committed | Deciding | Finished | Left => "waiting",
            Auditing => "auditing",
            Ejected => "ejected",
        };
        let peer = &mut self.snapshot.peers[from];
        if peer.status != "ejected" {
            peer.status = status.to_owned();
        }
        if phase != Training {
            peer.tokens_per_s *= 0.5;
        } else {
            self.rates[from] = (0, Instant::now());
        }
        if from == 0 && self.snapshot.summary.is_none() {
            let words = match phase {
                Lobby | Watching | Syncing => "lobby",
                Training => "training",
                Auditing => "auditing",
                Committed | Deciding => "deciding",
                Finished | Left | Ejected => return,
            };
            self.say(words, None);
        }
    }

    /// A peer's name for people.
    pub fn name(&self, id: &PeerId) -> String {
        let index = self.index.get(id);
        index.map_or_else(|| id.short(), |i| self.snapshot.peers[*i].name.clone())
    }
}

/// Seconds over which a peer's speed is measured, at least.
const LEAST_SECONDS: f64 = 0.25;
