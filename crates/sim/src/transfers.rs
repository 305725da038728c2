//! Objects on their way between simulated peers. Whom a peer asks for what, and when it gives up,
//! is for [`swarm::fetching`] to say, as it is over real connections; here its orders are carried
//! out with bytes from the others' stores, which take their time.

mod stream;

use ids::{Hash, PeerId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
pub(crate) use stream::Moved;
use stream::Stream;
use swarm::{
    ObjectRef, Rules, Time, Urgency,
    fetching::{Compared, End, Fetching, Input, Limits, Order, Partial, Request, Suspect},
};

/// How long the audits of a real run take at most, by default.
const REAL_AUDIT_MS: u64 = 60_000;
/// Objects of one fetch that are asked for at a time, as over real connections.
const WINDOW: usize = 32;

/// The scheduler's bounds in a run with these rules: its times are as much shorter than a real
/// run's as those of the audits, for which transfers must leave time.
pub fn limits(rules: &Rules) -> Limits {
    let real = Limits::default();
    let shorter = |ms: u64| (ms * rules.audit_timeout_ms / REAL_AUDIT_MS).max(1);
    Limits {
        start_ms: shorter(real.start_ms),
        pause_ms: shorter(real.pause_ms),
        age_ms: shorter(real.age_ms),
        remember_ms: shorter(real.remember_ms),
        // A training state may take as long as audits have, as that of a small model does.
        least_rate: (rules.state_len * 1000 / rules.audit_timeout_ms.max(1)).max(1),
        ..real
    }
}

/// All that one peer fetches: lost when it crashes.
#[derive(Debug)]
pub(crate) struct Transfers {
    pub fetching: Fetching,
    /// What an attacker goes by.
    pub limits: Limits,
    fetches: BTreeMap<u64, Fetch>,
    /// Which fetch a request is for, and which object.
    requests: BTreeMap<u64, (u64, Hash)>,
    pub streams: BTreeMap<u64, Stream>,
    pub partials: BTreeMap<ObjectRef, Partial>,
    pub suspects: BTreeMap<ObjectRef, Vec<Suspect>>,
    pub wakes_at: Option<u64>,
    next: u64,
}

/// What one action of a node asks for.
#[derive(Debug)]
struct Fetch {
    urgency: Urgency,
    providers: Vec<PeerId>,
    /// Not asked for yet.
    left: VecDeque<ObjectRef>,
    running: BTreeSet<u64>,
    /// Objects that were not here when it began.
    lacking: Vec<Hash>,
}

/// How a fetch ended.
#[derive(Debug)]
pub(crate) struct Over {
    pub id: u64,
    /// What nobody gave.
    pub missing: Option<Hash>,
    pub lacking: Vec<Hash>,
}

/// What the scheduler's answer comes to for the world.
#[derive(Debug)]
pub(crate) enum Task {
    /// Something is to be asked of a peer.
    Ask {
        transfer: u64,
        peer: PeerId,
    },
    Over(Over),
}

impl Transfers {
    pub fn new(limits: Limits) -> Self {
        Self {
            fetching: Fetching::new(limits),
            limits,
            fetches: BTreeMap::new(),
            requests: BTreeMap::new(),
            streams: BTreeMap::new(),
            partials: BTreeMap::new(),
            suspects: BTreeMap::new(),
            wakes_at: None,
            next: 0,
        }
    }

    /// Begins a fetch of what is not here of what is wanted.
    pub fn begin(
        &mut self,
        now: Time,
        id: u64,
        (left, lacking): (VecDeque<ObjectRef>, Vec<Hash>),
        (providers, urgency): (Vec<PeerId>, Urgency),
    ) -> Vec<Task> {
        let fetch = Fetch { urgency, providers, left, running: BTreeSet::new(), lacking };
        self.fetches.insert(id, fetch);
        self.go_on(now, id)
    }

    /// Nobody waits for a fetch any more.
    pub fn cancel(&mut self, now: Time, id: u64) -> Vec<Task> {
        let Some(fetch) = self.fetches.remove(&id) else { return Vec::new() };
        let running = fetch.running.into_iter();
        running.flat_map(|request| self.tell(now, Input::Cancel { request })).collect()
    }

    /// Asks for as much of a fetch as may be asked for at a time; it is over if nothing is left.
    fn go_on(&mut self, now: Time, id: u64) -> Vec<Task> {
        let mut wants = Vec::new();
        let Some(fetch) = self.fetches.get_mut(&id) else { return Vec::new() };
        while fetch.running.len() < WINDOW
            && let Some(object) = fetch.left.pop_front()
        {
            self.next += 1;
            fetch.running.insert(self.next);
            self.requests.insert(self.next, (id, object.hash));
            let (urgency, providers) = (fetch.urgency, fetch.providers.clone());
            wants.push(Request { id: self.next, task: id, object, urgency, providers });
        }
        if fetch.running.is_empty() {
            return self.end(id, None).into_iter().collect();
        }
        wants.into_iter().flat_map(|want| self.tell(now, Input::Want(want))).collect()
    }

    fn end(&mut self, id: u64, missing: Option<Hash>) -> Option<Task> {
        let lacking = self.fetches.remove(&id)?.lacking;
        Some(Task::Over(Over { id, missing, lacking }))
    }

    /// Tells the scheduler what happened and takes in what it orders.
    pub fn tell(&mut self, now: Time, input: Input) -> Vec<Task> {
        let orders = self.fetching.handle(now, input);
        let mut done = Vec::new();
        let mut tasks = Vec::new();
        for order in orders {
            match order {
                Order::Ask { transfer, peer, object, offset } => {
                    self.streams.insert(transfer, Stream::new(peer, object, offset));
                    tasks.push(Task::Ask { transfer, peer });
                }
                Order::Stop { transfer } => drop(self.streams.remove(&transfer)),
                Order::Discard { object } => drop(self.partials.remove(&object)),
                Order::Done { request, here } => done.push((request, here)),
            }
        }
        let fetching = &self.fetching;
        self.suspects.retain(|object, _| fetching.is_wanted(object));
        // What follows from an end is told only now: an order that is obeyed late would be one of
        // before.
        tasks.extend(done.into_iter().flat_map(|(request, here)| self.done(now, request, here)));
        tasks
    }

    /// A request is over. A fetch needs all of its objects, so one that is missing ends it.
    fn done(&mut self, now: Time, request: u64, here: bool) -> Vec<Task> {
        let Some((id, hash)) = self.requests.remove(&request) else { return Vec::new() };
        let Some(fetch) = self.fetches.get_mut(&id) else { return Vec::new() };
        fetch.running.remove(&request);
        if here {
            return self.go_on(now, id);
        }
        let others = std::mem::take(&mut fetch.running);
        let over = self.end(id, Some(hash));
        let cancelled = others.into_iter();
        let tasks = cancelled.flat_map(|request| self.tell(now, Input::Cancel { request }));
        tasks.collect::<Vec<_>>().into_iter().chain(over).collect()
    }

    /// Who is linked now: transfers from others are over.
    pub fn relink(&mut self, now: Time, linked: BTreeSet<PeerId>) -> Vec<Task> {
        let broken = self.streams.iter().filter(|(_, stream)| !linked.contains(&stream.peer));
        let broken: Vec<u64> = broken.map(|(transfer, _)| *transfer).collect();
        let mut tasks = self.tell(now, Input::Linked(linked));
        for transfer in broken {
            tasks.extend(self.ended(now, transfer, End::Elsewhere));
        }
        tasks
    }

    /// A transfer ended by itself.
    pub fn ended(&mut self, now: Time, transfer: u64, end: End) -> Vec<Task> {
        self.streams.remove(&transfer);
        self.tell(now, Input::Ended { transfer, end })
    }

    /// Takes in the bytes of an object, compared with its name: they are returned if they are
    /// kept.
    pub fn check(
        &mut self,
        now: Time,
        object: ObjectRef,
        partial: &Partial,
        earlier: Vec<Suspect>,
    ) -> (Option<Vec<u8>>, Vec<Task>) {
        let mut tasks = Vec::new();
        let (bytes, input) = match partial.compare(&object.hash, earlier) {
            Compared::Right(liars) => {
                let lied = liars.into_iter().flat_map(|liar| self.tell(now, Input::Lied(liar)));
                tasks.extend(lied.collect::<Vec<_>>());
                (Some(partial.bytes().to_vec()), Input::Stored { object })
            }
            Compared::Wrong(parts, earlier) => {
                let mixed = parts.len() > 1;
                if let [part] = &parts[..] {
                    tasks.extend(self.tell(now, Input::Lied(part.peer)));
                }
                self.suspects.insert(object, if mixed { parts } else { earlier });
                (None, Input::Wrong { object, mixed })
            }
        };
        tasks.extend(self.tell(now, input));
        (bytes, tasks)
    }
}
