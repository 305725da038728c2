//! A network of nodes in one process, on a virtual clock: delay, loss, duplicates, reordering,
//! partitions, crashes in the middle of what a node was about to do, skewed clocks.

mod line;

use crate::{
    attack::{Saying, Scene, Shared},
    rng::Rng,
    transfers::{self, Moved, Transfers},
    work::{self, Objects},
};
use ids::{Hash, Identity, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use swarm::{
    Action, Arrival, AuditOutcome, Event, Kind, LogEntry, Message, Node, Notice, Phase, Rules, Run,
    SignatureCache, State, Time, TrainJob,
};

/// How the network treats messages.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    /// Least and most milliseconds that a message takes.
    pub delay: (u64, u64),
    /// How often one is lost.
    pub loss_percent: u64,
    /// How often one comes twice.
    pub double_percent: u64,
    /// Old messages sent once more, by whoever feels like it.
    pub replay_percent: u64,
}

impl Net {
    /// A good one.
    pub const GOOD: Self =
        Self { delay: (1, 20), loss_percent: 0, double_percent: 0, replay_percent: 0 };
    /// A bad one.
    pub const BAD: Self =
        Self { delay: (1, 400), loss_percent: 15, double_percent: 10, replay_percent: 5 };
}

/// Something that happens to the world at a time.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The node loses what was not persisted, after carrying out this many more actions.
    Crash {
        /// Index of the node.
        node: usize,
        /// Actions that it still carries out.
        after_actions: usize,
    },
    /// A node that crashed starts again from what was persisted.
    Restart {
        /// Index of the node.
        node: usize,
    },
    /// Only nodes of the same side hear each other.
    Split {
        /// The side of each node, by index.
        sides: Vec<usize>,
    },
    /// All nodes hear each other again.
    Heal,
    /// Starts a node that was not there from the beginning.
    Arrive {
        /// Index of the node.
        node: usize,
    },
}

/// Who a peer is.
#[derive(Clone)]
pub struct Role {
    /// Votes from the beginning.
    pub founds: bool,
    /// Does as it likes.
    pub attack: Option<Shared>,
}

impl Role {
    /// An honest founding voter.
    pub fn honest() -> Self {
        Self { founds: true, attack: None }
    }

    /// A founding voter with a strategy.
    pub fn rogue(attack: &Shared) -> Self {
        Self { founds: true, attack: Some(attack.clone()) }
    }
}

/// Everything that a simulation is.
pub struct World {
    /// What all randomness comes from.
    pub seed: u64,
    /// The peers; a node's index is its place here.
    pub nodes: Vec<Peer>,
    /// The time in milliseconds since the beginning.
    pub now: u64,
    /// The record that honest nodes decided on, by height.
    pub decided: BTreeMap<u64, Hash>,
    /// Every event of every node, for comparing two runs.
    pub trace: Option<blake3::Hasher>,
    /// What the nodes told, each with the index of the node, in order.
    pub notices: Vec<(usize, Notice)>,
    /// Signatures that were found good, shared by all nodes.
    pub signatures: SignatureCache,
    /// Least and most milliseconds of a re-run.
    pub audit_ms: (u64, u64),
    /// Milliseconds of an inner step, trained or re-run; a machine does not gain by doing both at
    /// once. 0: training and audits take any time, and nothing from each other.
    pub step_ms: u64,
    rng: Rng,
    run: Run,
    net: Net,
    queue: BTreeMap<(u64, u64), Happening>,
    next: u64,
    heard: Vec<(usize, Vec<u8>)>,
    sides: Vec<usize>,
    /// Pairs of which one has closed the connection to the other for good.
    closed: BTreeSet<(usize, usize)>,
}

/// One peer of the world.
pub struct Peer {
    /// Its key.
    pub identity: Identity,
    /// Who it is.
    pub role: Role,
    /// The protocol's node, while the peer is up.
    pub node: Option<Node>,
    /// What it persisted and reads when it starts again.
    pub log: Vec<LogEntry>,
    /// State of the chain with which its run ended.
    pub finished: Option<State>,
    /// Why it stopped for good.
    pub fatal: Option<String>,
    /// The objects that it has.
    pub objects: Objects,
    /// Objects that its node told it to remove.
    pub dropped: Vec<Hash>,
    /// Inner steps of training that it did.
    pub trained_steps: u64,
    /// Inner steps of other peers' work that it re-ran.
    pub audited_steps: u64,
    pub(crate) transfers: Transfers,
    pub(crate) epoch: u64,
    clock: (u64, u64),
    dies_after: Option<usize>,
    training: Option<u64>,
    trains_until: u64,
    audits_until: u64,
}

pub(crate) enum Happening {
    Fault(Fault),
    Tell { to: usize, epoch: u64, event: Event },
    Trained { to: usize, epoch: u64, id: u64, job: TrainJob },
    Moved { to: usize, epoch: u64, moved: Moved },
}

/// The key of peer `n` in the world of a seed.
pub fn identity(seed: u64, n: usize) -> Identity {
    let mut bytes = [n as u8 + 1; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Identity::from_seed(bytes)
}

impl World {
    /// A world in which peers with these roles follow `rules` over `net`; the peer of index 0 founds
    /// the run. Nothing has started yet.
    pub fn new(seed: u64, roles: Vec<Role>, rules: Rules, net: Net) -> Self {
        let mut rng = Rng::new(seed);
        let identity = |n: usize| identity(seed, n);
        let (initial, objects) = work::initial();
        let founders = (0..roles.len()).filter(|n| roles[*n].founds);
        let run = Run {
            id: Hash::of_parts("run", &[&seed.to_le_bytes()]),
            founder: identity(0).id(),
            founders: founders.map(|n| identity(n).id()).collect(),
            invitations: Default::default(),
            rules,
            initial,
        };
        let limits = transfers::limits(&run.rules);
        let peer = |(n, role): (usize, Role)| Peer {
            identity: identity(n),
            role,
            node: None,
            log: Vec::new(),
            finished: None,
            fatal: None,
            objects: objects.clone(),
            dropped: Vec::new(),
            trained_steps: 0,
            audited_steps: 0,
            transfers: Transfers::new(limits),
            epoch: 0,
            // Clocks start anywhere and run up to 10 % fast or slow.
            clock: (rng.range(0, 1_000_000), rng.range(90, 110)),
            dies_after: None,
            training: None,
            trains_until: 0,
            audits_until: 0,
        };
        let nodes: Vec<Peer> = roles.into_iter().enumerate().map(peer).collect();
        let sides = vec![0; nodes.len()];
        Self {
            seed,
            nodes,
            now: 0,
            decided: BTreeMap::new(),
            trace: None,
            notices: Vec::new(),
            signatures: SignatureCache::default(),
            audit_ms: (50, 150),
            step_ms: 0,
            rng,
            run,
            net,
            queue: BTreeMap::new(),
            next: 0,
            heard: Vec::new(),
            sides,
            closed: BTreeSet::new(),
        }
    }

    /// The source of all randomness.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The run that all nodes take part in.
    pub fn run_of(&self) -> &Run {
        &self.run
    }

    /// The key of a node.
    pub fn id(&self, n: usize) -> PeerId {
        self.nodes[n].identity.id()
    }

    /// Whether a node follows the protocol.
    pub fn is_honest(&self, n: usize) -> bool {
        self.nodes[n].role.attack.is_none()
    }

    /// Has something happen at `time`, in milliseconds since the beginning.
    pub fn at(&mut self, time: u64, fault: Fault) {
        self.schedule(time, Happening::Fault(fault));
    }

    pub(crate) fn schedule(&mut self, time: u64, what: Happening) {
        self.next += 1;
        self.queue.insert((time, self.next), what);
    }

    pub(crate) fn index(&self, id: &PeerId) -> Option<usize> {
        self.nodes.iter().position(|p| p.identity.id() == *id)
    }

    pub(crate) fn clock(&self, n: usize) -> Time {
        let (offset, rate) = self.nodes[n].clock;
        Time(offset + self.now * rate / 100)
    }

    /// When a node's clock will have come to a time; never at once.
    pub(crate) fn due(&self, n: usize, at: Time) -> u64 {
        let (offset, rate) = self.nodes[n].clock;
        (at.0.saturating_sub(offset) * 100).div_ceil(rate).max(self.now + 1)
    }

    /// Whether two peers run and reach each other.
    pub(crate) fn is_linked(&self, a: usize, b: usize) -> bool {
        let run = self.nodes[a].node.is_some() && self.nodes[b].node.is_some();
        let closed = self.closed.contains(&(a.min(b), a.max(b)));
        a != b && run && !closed && self.sides[a] == self.sides[b]
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
                if peer.trains_until > self.now {
                    let due = peer.trains_until;
                    return self.schedule(due, Happening::Trained { to, epoch, id, job });
                }
                peer.training = None;
                peer.trained_steps += u64::from(job.steps);
                let trained = self.train(to, &job);
                self.tell(to, Event::Trained { height: job.height, result: Ok(trained) });
            }
            Happening::Moved { to, epoch, moved } => {
                if self.nodes[to].epoch == epoch {
                    self.moved(to, moved);
                }
            }
        }
    }

    /// Lets an attacker act; `None` for whoever is honest.
    pub(crate) fn act<T>(
        &mut self,
        n: usize,
        act: impl FnOnce(&mut dyn crate::attack::Attack, &mut Scene, &mut Objects) -> T,
    ) -> Option<T> {
        let attack = self.nodes[n].role.attack.clone()?;
        let everybody: Vec<PeerId> = self.nodes.iter().map(|p| p.identity.id()).collect();
        let mut rng = self.rng.clone();
        rng.next();
        self.rng.next();
        let peer = &mut self.nodes[n];
        let mut scene = Scene {
            me: n,
            identity: &peer.identity,
            node: peer.node.as_ref(),
            run: &self.run,
            everybody: &everybody,
            rng: &mut rng,
        };
        let mut attack = attack.borrow_mut();
        Some(act(&mut *attack, &mut scene, &mut peer.objects))
    }

    fn train(&mut self, n: usize, job: &TrainJob) -> swarm::Trained {
        let theirs = self.act(n, |attack, scene, objects| attack.train(scene, job, objects));
        theirs.unwrap_or_else(|| work::train(job, &mut self.nodes[n].objects))
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { node, after_actions: 0 } => self.crash(node),
            Fault::Crash { node, after_actions } => {
                self.nodes[node].dies_after = Some(after_actions);
            }
            Fault::Restart { node } | Fault::Arrive { node } => self.start(node),
            Fault::Split { sides } => self.split(sides),
            Fault::Heal => self.split(vec![0; self.nodes.len()]),
        }
    }

    fn split(&mut self, sides: Vec<usize>) {
        self.sides = sides;
        self.links_changed();
    }

    fn crash(&mut self, n: usize) {
        let peer = &mut self.nodes[n];
        if peer.node.take().is_none() {
            return;
        }
        (peer.epoch, peer.dies_after, peer.training) = (peer.epoch + 1, None, None);
        peer.transfers = Transfers::new(transfers::limits(&self.run.rules));
        self.links_changed();
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
        let arrival = Arrival::default();
        let node = Node::with_cache(identity, run, log, arrival, self.signatures.clone());
        peer.node = Some(node.expect("a log written by a node restores it"));
        // Who starts again knows of nobody that it had closed its door to.
        self.closed.retain(|(a, b)| *a != n && *b != n);
        self.links_changed();
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
        if peer.node.is_none() {
            return;
        }
        if let Some(trace) = &mut self.trace {
            trace.update(&self.now.to_le_bytes());
            trace.update(format!("{n} {event:?}").as_bytes());
        }
        let besides = event.clone();
        if peer.role.attack.is_some() && !self.hears(n, &besides) {
            return;
        }
        let Some(node) = &mut self.nodes[n].node else { return };
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
        let said = self.act(n, |attack, scene, _| attack.besides(scene, &besides));
        for (to, after, bytes) in said.unwrap_or_default() {
            self.post_after(n, to, after, bytes);
        }
    }

    /// When this machine has trained, if it does nothing else but the audits that it has begun.
    fn trains(&mut self, n: usize, took: u64) -> u64 {
        let peer = &mut self.nodes[n];
        peer.trains_until = peer.audits_until.max(self.now) + took;
        peer.trains_until
    }

    /// When this machine has done an audit that takes so long; training takes longer by that.
    fn audits(&mut self, n: usize, took: u64) -> u64 {
        let peer = &mut self.nodes[n];
        peer.audits_until = peer.audits_until.max(self.now) + took;
        peer.trains_until += took;
        peer.audits_until
    }

    fn hears(&mut self, n: usize, event: &Event) -> bool {
        let Event::Message { bytes, .. } = event else { return true };
        let Ok(message) = swarm::parse_message(bytes) else { return true };
        self.act(n, |attack, scene, _| attack.hears(scene, &message)).unwrap_or(true)
    }

    fn carry_out(&mut self, n: usize, action: Action) {
        let epoch = self.nodes[n].epoch;
        match action {
            Action::Send { to, bytes } => {
                if let Some(to) = self.index(&to) {
                    self.say(n, to, bytes);
                }
            }
            Action::Broadcast { bytes } => {
                for to in (0..self.nodes.len()).filter(|to| *to != n) {
                    self.say(n, to, bytes.clone());
                }
            }
            Action::Persist(entry) => self.nodes[n].log.push(entry),
            Action::Train(job) => {
                let took = match (self.step_ms, self.run.rules.target_ms) {
                    (0, 0) => self.rng.range(100, 400),
                    // Node 0 is the fastest.
                    (0, _) => u64::from(job.steps) * (10 + 10 * n as u64),
                    (ms, _) => u64::from(job.steps) * ms * self.rng.range(90, 110) / 100,
                };
                let time = self.trains(n, took);
                self.next += 1;
                let id = self.next;
                self.nodes[n].training = Some(id);
                self.schedule(time, Happening::Trained { to: n, epoch, id, job });
            }
            Action::CancelTrain => self.nodes[n].training = None,
            Action::Open(job) => {
                let opened = work::open(&job, &mut self.nodes[n].objects);
                let time = self.now + self.rng.range(20, 80);
                let event = Event::Opened { id: job.id, result: Ok(opened) };
                self.schedule(time, Happening::Tell { to: n, epoch, event });
            }
            Action::Audit(job) => {
                let audited = work::audit(&job, &self.nodes[n].objects);
                self.nodes[n].audited_steps += u64::from(audited.steps);
                let outcome = match audited.outcome {
                    needs @ AuditOutcome::Needs { .. } => needs,
                    honest => {
                        let theirs = honest.clone();
                        self.act(n, |attack, scene, _| attack.audit(scene, &job, theirs))
                            .unwrap_or(honest)
                    }
                };
                let time = match self.step_ms {
                    0 => self.now + self.rng.range(self.audit_ms.0, self.audit_ms.1),
                    ms => self.audits(n, u64::from(audited.steps.max(1)) * ms),
                };
                let event = Event::Audited { id: job.id, result: Ok(outcome) };
                self.schedule(time, Happening::Tell { to: n, epoch, event });
            }
            Action::Aggregate(job) => {
                let result = work::aggregate(&job, &mut self.nodes[n].objects);
                let time = self.now + self.rng.range(5, 30);
                let event = Event::Aggregated { id: job.id, result };
                self.schedule(time, Happening::Tell { to: n, epoch, event });
            }
            Action::Fetch { id, objects, models, providers, urgency } => {
                self.fetch(n, id, (objects, models), (providers, urgency));
            }
            Action::CancelFetch { id } => self.cancel_fetch(n, id),
            Action::WakeAt(at) => {
                let time = self.due(n, at);
                let event = Event::Tick;
                self.schedule(time, Happening::Tell { to: n, epoch, event });
            }
            Action::Notice(notice) => self.note(n, notice),
            Action::Finished { state, .. } => self.nodes[n].finished = Some(state),
            Action::Fatal(why) => self.nodes[n].fatal = Some(why),
            Action::Drop { objects } => {
                let peer = &mut self.nodes[n];
                objects.iter().for_each(|hash| {
                    peer.objects.remove(hash);
                });
                peer.dropped.extend(objects);
            }
            Action::Disconnect { peer, .. } => self.disconnect(n, &peer),
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

    /// Closes a connection for good: neither hears the other, nor gets objects of it.
    fn disconnect(&mut self, n: usize, peer: &PeerId) {
        let Some(other) = self.index(peer).filter(|other| *other != n) else { return };
        if !self.closed.insert((n.min(other), n.max(other))) {
            return;
        }
        self.links_changed();
        for (to, gone) in [(n, other), (other, n)] {
            let (epoch, event) = (self.nodes[to].epoch, Event::PeerDown(self.id(gone)));
            self.schedule(self.now + 1, Happening::Tell { to, epoch, event });
        }
    }

    fn say(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let message = swarm::parse_message(&bytes);
        let theirs = match message {
            Ok(message) => self.act(from, |attack, scene, _| attack.says(scene, to, &message)),
            Err(_) => None,
        };
        match theirs.flatten() {
            None => self.post(from, to, bytes),
            Some(sayings) => {
                for (to, after, bytes) in sayings {
                    self.post_after(from, to, after, bytes);
                }
            }
        }
    }

    fn post_after(&mut self, from: usize, to: usize, after: u64, bytes: Vec<u8>) {
        match after {
            0 => self.post(from, to, bytes),
            after => self.deliver(self.now + after, from, to, bytes),
        }
    }

    /// A message reaches `to` at `time`, if that one has not been started again by then.
    fn deliver(&mut self, time: u64, from: usize, to: usize, bytes: Vec<u8>) {
        let event = Event::Message { from: self.id(from), bytes };
        let epoch = self.nodes[to].epoch;
        self.schedule(time, Happening::Tell { to, epoch, event });
    }

    fn post(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let closed = self.closed.contains(&(from.min(to), from.max(to)));
        let cut = self.sides[from] != self.sides[to] || self.nodes[to].node.is_none();
        if cut || closed || self.rng.chance(self.net.loss_percent) {
            return;
        }
        if self.net.replay_percent > 0 {
            self.heard.push((to, bytes.clone()));
            if self.rng.chance(self.net.replay_percent) {
                let at = self.rng.range(0, self.heard.len() as u64 - 1) as usize;
                let (to, bytes) = self.heard[at].clone();
                self.deliver(self.now + 1, from, to, bytes);
            }
        }
        let copies = if self.rng.chance(self.net.double_percent) { 2 } else { 1 };
        for _ in 0..copies {
            let time = self.now + self.rng.range(self.net.delay.0, self.net.delay.1);
            self.deliver(time, from, to, bytes.clone());
        }
    }

    /// What a node does; `None` while it is down.
    pub fn phase(&self, n: usize) -> Option<Phase> {
        self.nodes[n].node.as_ref().map(|node| node.status().phase)
    }

    /// Height of a node's head; 0 before genesis too.
    pub fn height(&self, n: usize) -> u64 {
        self.nodes[n].node.as_ref().and_then(|x| x.status().height).unwrap_or(0)
    }

    /// Whether the longest chain of all nodes has ejected a node.
    pub fn is_ejected(&self, n: usize) -> bool {
        let id = self.nodes[n].identity.id();
        let chains = self.nodes.iter().filter_map(|p| p.node.as_ref()?.chain_state());
        let longest = chains.max_by_key(|c| c.height);
        longest.is_some_and(|c| c.ejected.contains(&id))
    }

    /// Rounds that count, as the first honest node sees them: how often each peer contributed.
    pub fn contributions(&self, n: usize) -> usize {
        let id = self.id(n);
        let observer = (0..self.nodes.len()).find(|m| self.is_honest(*m));
        let of = |(m, notice): &(usize, Notice)| match notice {
            Notice::Decided(summary) if Some(*m) == observer && summary.kind == Kind::Advance => {
                summary.contributions.iter().filter(|c| c.0 == id).count()
            }
            _ => 0,
        };
        self.notices.iter().map(of).sum()
    }
}

/// Says something to everybody else, at once.
pub fn to_all(scene: &Scene, message: &Message) -> Vec<Saying> {
    let others = (0..scene.everybody.len()).filter(|n| *n != scene.me);
    others.map(|n| (n, 0, message.to_bytes())).collect()
}
