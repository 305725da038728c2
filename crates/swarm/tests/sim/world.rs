//! A network of nodes in one process, on a virtual clock: delay, loss, duplicates, reordering,
//! partitions, crashes in the middle of what a node was about to do, skewed clocks.

use crate::{
    babble::Words,
    rng::Rng,
    work::{self, Habit},
};
use std::collections::{BTreeMap, BTreeSet};
use store::Hash;
use swarm::{
    Action, Commit, Event, Identity, LogEntry, Message, Node, Notice, PeerId, Phase, Proposal,
    Record, Rules, Run, SignatureCache, Signed, State, Step, Time, TrainJob, Vote,
};

/// How the network treats messages.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    pub delay: (u64, u64),
    pub loss_percent: u64,
    pub double_percent: u64,
    /// Old messages sent once more, by whoever feels like it.
    pub replay_percent: u64,
}

impl Net {
    pub const GOOD: Self =
        Self { delay: (1, 20), loss_percent: 0, double_percent: 0, replay_percent: 0 };
    pub const BAD: Self =
        Self { delay: (1, 400), loss_percent: 15, double_percent: 10, replay_percent: 5 };
}

/// Something that happens to the world at a time.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The node loses what was not persisted, after carrying out this many more actions.
    Crash {
        node: usize,
        after_actions: usize,
    },
    Restart {
        node: usize,
    },
    /// Only nodes of the same side hear each other.
    Split {
        sides: Vec<usize>,
    },
    Heal,
    /// Starts a node that was not there from the beginning.
    Arrive {
        node: usize,
    },
}

pub struct World {
    pub seed: u64,
    pub nodes: Vec<Peer>,
    pub now: u64,
    pub decided: BTreeMap<u64, Hash>,
    /// Every event of every node, for comparing two runs.
    pub trace: Option<blake3::Hasher>,
    pub notices: Vec<(usize, Notice)>,
    pub signatures: SignatureCache,
    rng: Rng,
    run: Run,
    net: Net,
    queue: BTreeMap<(u64, u64), Happening>,
    next: u64,
    heard: Vec<(usize, Vec<u8>)>,
    sides: Vec<usize>,
}

pub struct Peer {
    pub identity: Identity,
    pub habit: Habit,
    pub node: Option<Node>,
    pub log: Vec<LogEntry>,
    pub finished: Option<State>,
    pub fatal: Option<String>,
    store: BTreeSet<Hash>,
    epoch: u64,
    clock: (u64, u64),
    dies_after: Option<usize>,
    training: Option<u64>,
    seen: Vec<Commit>,
}

enum Happening {
    Fault(Fault),
    Tell { to: usize, epoch: u64, event: Event },
    Trained { to: usize, epoch: u64, id: u64, job: TrainJob },
    Fetch { to: usize, epoch: u64, id: u64, objects: Vec<Hash> },
}

impl World {
    pub fn new(seed: u64, habits: &[Habit], rules: Rules, net: Net) -> Self {
        let mut rng = Rng::new(seed);
        let identity = |n: usize| {
            let mut bytes = [n as u8 + 1; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            Identity::from_seed(bytes)
        };
        let run = Run {
            id: Hash::of_parts("run", &[&seed.to_le_bytes()]),
            founder: identity(0).id(),
            rules,
            initial: work::initial(),
        };
        let peer = |(n, habit): (usize, &Habit)| Peer {
            identity: identity(n),
            habit: *habit,
            node: None,
            log: Vec::new(),
            finished: None,
            fatal: None,
            store: [run.initial.model.hash, run.initial.outer.hash].into(),
            epoch: 0,
            // Clocks start anywhere and run up to 10 % fast or slow.
            clock: (rng.range(0, 1_000_000), rng.range(90, 110)),
            dies_after: None,
            training: None,
            seen: Vec::new(),
        };
        let nodes: Vec<Peer> = habits.iter().enumerate().map(peer).collect();
        let sides = vec![0; nodes.len()];
        Self {
            seed,
            nodes,
            now: 0,
            decided: BTreeMap::new(),
            trace: None,
            notices: Vec::new(),
            signatures: SignatureCache::default(),
            rng,
            run,
            net,
            queue: BTreeMap::new(),
            next: 0,
            heard: Vec::new(),
            sides,
        }
    }

    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub fn run_of(&self) -> &Run {
        &self.run
    }

    pub fn at(&mut self, time: u64, fault: Fault) {
        self.schedule(time, Happening::Fault(fault));
    }

    fn schedule(&mut self, time: u64, what: Happening) {
        self.next += 1;
        self.queue.insert((time, self.next), what);
    }

    fn index(&self, id: &PeerId) -> Option<usize> {
        self.nodes.iter().position(|p| p.identity.id() == *id)
    }

    fn clock(&self, n: usize) -> Time {
        let (offset, rate) = self.nodes[n].clock;
        Time(offset + self.now * rate / 100)
    }

    /// Lets time pass until `done`, at most until `limit`.
    pub fn run(&mut self, limit: u64, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let Some(((time, _), what)) = self.queue.pop_first() else { return };
            if time > limit {
                return;
            }
            self.now = time;
            self.happen(what);
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Fault(fault) => self.fault(fault),
            Happening::Tell { to, epoch, event } => {
                if self.nodes[to].epoch == epoch {
                    self.tell(to, event);
                }
            }
            Happening::Trained { to, epoch, id, job } => {
                let peer = &mut self.nodes[to];
                if peer.epoch != epoch || peer.training != Some(id) {
                    return;
                }
                peer.training = None;
                let output = work::train(peer.habit, &job, &peer.identity, &peer.seen);
                let made = output.leaves.iter().chain([&output.update, &output.carry]);
                peer.store.extend(made.map(|o| o.hash));
                self.tell(to, Event::Trained { height: job.height, result: Ok(output) });
            }
            Happening::Fetch { to, epoch, id, objects } => self.fetch(to, epoch, id, &objects),
        }
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { node, after_actions: 0 } => self.crash(node),
            Fault::Crash { node, after_actions } => {
                self.nodes[node].dies_after = Some(after_actions);
            }
            Fault::Restart { node } | Fault::Arrive { node } => self.start(node),
            Fault::Split { sides } => self.sides = sides,
            Fault::Heal => self.sides = vec![0; self.nodes.len()],
        }
    }

    fn crash(&mut self, n: usize) {
        let peer = &mut self.nodes[n];
        if peer.node.take().is_none() {
            return;
        }
        (peer.epoch, peer.dies_after, peer.training) = (peer.epoch + 1, None, None);
        for other in 0..self.nodes.len() {
            self.tell(other, Event::PeerDown(self.nodes[n].identity.id()));
        }
    }

    /// Starts a node from its log; nothing happens if it runs.
    pub fn start(&mut self, n: usize) {
        let offset = self.rng.range(0, 1_000_000);
        let peer = &mut self.nodes[n];
        if peer.node.is_some() {
            return;
        }
        peer.clock.0 = offset;
        let (identity, run, log) = (peer.identity.clone(), self.run.clone(), peer.log.clone());
        let node = Node::with_cache(identity, run, log, self.signatures.clone());
        peer.node = Some(node.expect("a log written by a node restores it"));
        self.tell(n, Event::Start);
        for other in (0..self.nodes.len()).filter(|o| *o != n) {
            if self.nodes[other].node.is_some() {
                let (a, b) = (self.nodes[n].identity.id(), self.nodes[other].identity.id());
                self.tell(n, Event::PeerUp(b));
                self.tell(other, Event::PeerUp(a));
            }
        }
    }

    fn tell(&mut self, n: usize, event: Event) {
        let time = self.clock(n);
        let peer = &mut self.nodes[n];
        let Some(node) = &mut peer.node else { return };
        if let Some(trace) = &mut self.trace {
            trace.update(&self.now.to_le_bytes());
            trace.update(format!("{n} {event:?}").as_bytes());
        }
        if let (Habit::Copy, Event::Message { bytes, .. }) = (peer.habit, &event)
            && let Ok(Message::Commit(commit)) = swarm::parse_message(bytes)
        {
            peer.seen.push(commit.body().clone());
        }
        let actions = node.handle(time, event);
        for action in actions {
            if self.nodes[n].dies_after == Some(0) {
                return self.crash(n);
            }
            if let Some(left) = &mut self.nodes[n].dies_after {
                *left -= 1;
            }
            self.carry_out(n, action);
        }
    }

    fn carry_out(&mut self, n: usize, action: Action) {
        let epoch = self.nodes[n].epoch;
        match action {
            Action::Send { to, bytes } => {
                if let Some(to) = self.index(&to) {
                    self.post(n, to, bytes);
                }
            }
            Action::Broadcast { bytes } => self.broadcast(n, &bytes),
            Action::Persist(entry) => self.nodes[n].log.push(entry),
            Action::Train(job) => {
                let slow = if self.nodes[n].habit == Habit::Copy { 500 } else { 0 };
                let took = match self.run.rules.target_ms {
                    0 => self.rng.range(100, 400) + slow,
                    // Node 0 is the fastest.
                    _ => u64::from(job.steps) * (10 + 10 * n as u64),
                };
                let time = self.now + took;
                self.next += 1;
                let id = self.next;
                self.nodes[n].training = Some(id);
                self.schedule(time, Happening::Trained { to: n, epoch, id, job });
            }
            Action::CancelTrain => self.nodes[n].training = None,
            Action::Audit(job) => {
                let peer = &self.nodes[n];
                let outcome = work::audit(peer.habit, &job, &peer.store);
                let time = self.now + self.rng.range(50, 150);
                let event = Event::Audited { id: job.id, result: Ok(outcome) };
                self.schedule(time, Happening::Tell { to: n, epoch, event });
            }
            Action::Aggregate(job) => {
                let result = work::aggregate(&job, &self.nodes[n].store);
                if let Ok(output) = &result {
                    let made = [output.state.model.hash, output.state.outer.hash];
                    self.nodes[n].store.extend(made);
                }
                let time = self.now + self.rng.range(5, 30);
                let event = Event::Aggregated { id: job.id, result };
                self.schedule(time, Happening::Tell { to: n, epoch, event });
            }
            Action::Fetch { id, objects, models, .. } => {
                let objects = models.iter().chain(&objects).map(|o| o.hash).collect();
                let time = self.now + self.rng.range(5, 60);
                self.schedule(time, Happening::Fetch { to: n, epoch, id, objects });
            }
            Action::WakeAt(at) => {
                let (offset, rate) = self.nodes[n].clock;
                let time = (at.0.saturating_sub(offset) * 100).div_ceil(rate).max(self.now + 1);
                let event = Event::Tick;
                self.schedule(time, Happening::Tell { to: n, epoch, event });
            }
            Action::Notice(notice) => self.note(n, notice),
            Action::Finished { state, .. } => self.nodes[n].finished = Some(state),
            Action::Fatal(why) => self.nodes[n].fatal = Some(why),
            Action::CancelFetch { .. }
            | Action::Keep { .. }
            | Action::Drop { .. }
            | Action::Disconnect { .. } => {}
        }
    }

    /// Every decision of every node, honest or not, is compared: there is one chain.
    fn note(&mut self, n: usize, notice: Notice) {
        if let Notice::Decided(summary) = &notice {
            let known = self.decided.entry(summary.height).or_insert(summary.record);
            assert_eq!(
                *known, summary.record,
                "seed {}: node {n} decided another record {}",
                self.seed, summary.height
            );
        }
        self.notices.push((n, notice));
    }

    fn fetch(&mut self, to: usize, epoch: u64, id: u64, objects: &[Hash]) {
        if self.nodes[to].epoch != epoch {
            return;
        }
        let mut missing = None;
        for hash in objects {
            let has = |n: usize| {
                let here =
                    n == to || self.nodes[n].node.is_some() && self.sides[n] == self.sides[to];
                here && self.nodes[n].store.contains(hash)
            };
            if (0..self.nodes.len()).any(has) {
                self.nodes[to].store.insert(*hash);
            } else {
                missing.get_or_insert(*hash);
            }
        }
        let event = match missing {
            None => Event::Fetched { id },
            Some(missing) => Event::FetchFailed { id, missing },
        };
        self.tell(to, event);
    }

    fn broadcast(&mut self, n: usize, bytes: &[u8]) {
        if self.nodes[n].habit == Habit::Babbler {
            for babble in self.babble(n) {
                (0..self.nodes.len()).filter(|to| *to != n).for_each(|to| {
                    self.post(n, to, babble.clone());
                });
            }
        }
        let other = match self.nodes[n].habit {
            Habit::TwoFaced => self.second_face(n, bytes),
            _ => None,
        };
        for to in (0..self.nodes.len()).filter(|to| *to != n) {
            match &other {
                Some(other) if to % 2 == 0 => self.post(n, to, other.clone()),
                _ => self.post(n, to, bytes.to_vec()),
            }
        }
    }

    fn babble(&mut self, n: usize) -> Vec<Vec<u8>> {
        let everybody: Vec<PeerId> = self.nodes.iter().map(|p| p.identity.id()).collect();
        let Some(node) = &self.nodes[n].node else { return Vec::new() };
        let height = node.status().height.unwrap_or(0);
        let words =
            Words { identity: &self.nodes[n].identity, run: self.run.id, height, everybody };
        (0..3).map(|_| words.one(&mut self.rng).to_bytes()).collect()
    }

    /// A second, different statement in place of one that may be made only once.
    fn second_face(&self, n: usize, bytes: &[u8]) -> Option<Vec<u8>> {
        let (identity, run) = (&self.nodes[n].identity, &self.run.id);
        let message = match swarm::parse_message(bytes).ok()? {
            Message::Proposal { header, record } if header.author() == identity.id() => {
                let mut record = Record::from_bytes(&record).ok()?;
                record.verdicts.pop();
                record.joins.clear();
                let body = record.to_bytes();
                let value = Record::hash_of(&body);
                let header = Signed::seal(identity, run, Proposal { value, ..*header.body() });
                Message::Proposal { header, record: body.into() }
            }
            Message::Vote(vote) if vote.author() == identity.id() => {
                let value = match (vote.body().value, vote.body().step) {
                    (Some(_), _) => None,
                    (None, Step::Prevote) => Some(Hash::of(b"something else")),
                    (None, Step::Precommit) => return None,
                };
                Message::Vote(Signed::seal(identity, run, Vote { value, ..*vote.body() }))
            }
            _ => return None,
        };
        Some(message.to_bytes())
    }

    fn post(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let joins = || matches!(swarm::parse_message(&bytes), Ok(Message::Join(_)));
        let silent = self.nodes[from].habit == Habit::Silent && !joins();
        let cut = self.sides[from] != self.sides[to] || self.nodes[to].node.is_none();
        if silent || cut || self.rng.chance(self.net.loss_percent) {
            return;
        }
        if self.net.replay_percent > 0 {
            self.heard.push((to, bytes.clone()));
            if self.rng.chance(self.net.replay_percent) {
                let at = self.rng.range(0, self.heard.len() as u64 - 1) as usize;
                let (to, bytes) = self.heard[at].clone();
                let from = self.nodes[from].identity.id();
                let event = Event::Message { from, bytes };
                let epoch = self.nodes[to].epoch;
                self.schedule(self.now + 1, Happening::Tell { to, epoch, event });
            }
        }
        let copies = if self.rng.chance(self.net.double_percent) { 2 } else { 1 };
        for _ in 0..copies {
            let time = self.now + self.rng.range(self.net.delay.0, self.net.delay.1);
            let event =
                Event::Message { from: self.nodes[from].identity.id(), bytes: bytes.clone() };
            let epoch = self.nodes[to].epoch;
            self.schedule(time, Happening::Tell { to, epoch, event });
        }
    }

    pub fn phase(&self, n: usize) -> Option<Phase> {
        self.nodes[n].node.as_ref().map(|node| node.status().phase)
    }

    pub fn is_ejected(&self, n: usize) -> bool {
        let id = self.nodes[n].identity.id();
        let chains = self.nodes.iter().filter_map(|p| p.node.as_ref()?.chain_state());
        let longest = chains.max_by_key(|c| c.height);
        longest.is_some_and(|c| c.ejected.contains(&id))
    }
}
