//! Which object is asked of whom next, and when a transfer is given up: no clock and no socket,
//! only events and time in, orders out. The network layer carries the orders out; a simulation
//! does so with made-up bytes.
//!
//! What others may do here is bounded:
//!
//! - A transfer has to keep up with a least rate, so it ends within [`Limits::most_ms`] of its
//!   length, and one that stops is noticed within [`Limits::start_ms`] wherever it stops.
//! - Every connected provider always finds a slot of its own; more than one it gets only while
//!   slots are left over for all others.
//! - Bytes held in memory are bounded, in all and per provider. When they run out, transfers that
//!   had their time and are slow give way; small objects need not wait for that.
//! - An object that was paid [`Limits::patience`] times the time it may take is missing, whatever
//!   its providers promise.

mod partial;
mod providers;
#[cfg(test)]
mod tests;

use crate::{ObjectRef, Time, Urgency};
use ids::PeerId;
pub use partial::{Compared, Partial, Suspect};
use providers::Providers;
use std::collections::{BTreeMap, BTreeSet};

/// Bounds of everything that is fetched at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Transfers in all; at least as many as peers are connected at a time.
    pub transfers: usize,
    /// Transfers from one provider.
    pub per_provider: usize,
    /// Bytes held of objects that are not whole. One larger object is fetched when none is held.
    pub memory: u64,
    /// Bytes per second below which a transfer is given up.
    pub least_rate: u64,
    /// How far a transfer may be behind the least rate, from its beginning on.
    pub start_ms: u64,
    /// Bytes per second from which on a transfer does not have to give way.
    pub fast_rate: u64,
    /// How often providers are asked for one object, with growing pauses between.
    pub rounds: u32,
    /// How many are asked in the first round at most, in each further one but the last four times
    /// as many: who has an object in a moment is not asked again only after crowds without it.
    pub first_asked: usize,
    /// The first of these pauses; each one doubles it.
    pub pause_ms: u64,
    /// How many times the longest honest transfer may be spent on one object.
    pub patience: u64,
    /// What waits so long counts as more urgent by one step.
    pub age_ms: u64,
    /// A provider that was too slow is asked last for so long.
    pub remember_ms: u64,
    /// Rounds over all others before such a provider is asked, where there are others: who has an
    /// object in a moment is asked again before somebody who only says that it is here.
    pub rounds_before_slow: u32,
    /// A provider caught lying so often is asked no more.
    pub lies: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transfers: 128,
            per_provider: 4,
            memory: 256 << 20,
            least_rate: 32 << 10,
            start_ms: 8_000,
            fast_rate: 1 << 20,
            rounds: 5,
            first_asked: 8,
            pause_ms: 200,
            patience: 8,
            age_ms: 60_000,
            remember_ms: 600_000,
            rounds_before_slow: 2,
            lies: 3,
        }
    }
}

impl Limits {
    /// The longest that one transfer of so many bytes can take.
    pub fn most_ms(&self, len: u64) -> u64 {
        self.start_ms.saturating_add(self.ms_for(len))
    }

    /// Transfer time after which an object of so many bytes counts as missing.
    pub fn patience_ms(&self, len: u64) -> u64 {
        self.patience.saturating_mul(self.most_ms(len))
    }

    /// The most bytes held of objects that are not whole.
    pub fn most_memory(&self) -> u64 {
        self.memory.saturating_add(self.own_memory().saturating_mul(self.transfers as u64))
    }

    /// What every provider may have held of its first transfer even when memory has run out.
    fn own_memory(&self) -> u64 {
        self.memory / 256
    }

    /// How long a transfer may be slow before it has to give way, and how far behind the least rate
    /// one from who was slow of late may be.
    fn grace_ms(&self) -> u64 {
        self.start_ms / 4
    }

    fn ms_for(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(1000) / self.least_rate.max(1)
    }
}

/// Somebody wants an object.
#[derive(Clone, Debug)]
pub struct Request {
    /// Comes back with the result; no other request has it.
    pub id: u64,
    /// What it belongs to: slots are shared out fairly among tasks.
    pub task: u64,
    /// What is wanted, of exactly this length.
    pub object: ObjectRef,
    /// What goes before what.
    pub urgency: Urgency,
    /// Whom to ask first; everybody connected is asked after them.
    pub providers: Vec<PeerId>,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All bytes came; [`Input::Stored`] or [`Input::Wrong`] has to follow.
    Whole,
    /// The provider does not have the object, is busy, or broke off.
    Elsewhere,
    /// More bytes came than the object has.
    TooLong,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody wants an object.
    Want(Request),
    /// Nobody waits for this request any more.
    Cancel {
        /// Number of the request.
        request: u64,
    },
    /// Who is connected now.
    Linked(BTreeSet<PeerId>),
    /// Bytes of an object came.
    Received {
        /// Number of the transfer.
        transfer: u64,
        /// How many came since the last such input.
        bytes: u64,
    },
    /// A transfer ended by itself.
    Ended {
        /// Number of the transfer.
        transfer: u64,
        /// How it ended.
        end: End,
    },
    /// The bytes were the object, and it is kept.
    Stored {
        /// The object.
        object: ObjectRef,
    },
    /// The bytes were the object but cannot be kept: no fault of who sent them.
    Failed {
        /// The object.
        object: ObjectRef,
    },
    /// The bytes were another object. `mixed`: they came from more than one provider, so that
    /// each is now asked for all of them.
    Wrong {
        /// The object that was asked for.
        object: ObjectRef,
        /// Whether the bytes came from more than one provider.
        mixed: bool,
    },
    /// A provider's bytes were compared with the object and differ.
    Lied(PeerId),
    /// Time has passed.
    Tick,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ask a provider for an object's bytes from an offset on, which is how many are held.
    Ask {
        /// Number of the new transfer.
        transfer: u64,
        /// Whom to ask.
        peer: PeerId,
        /// What to ask for.
        object: ObjectRef,
        /// First byte to ask for.
        offset: u64,
    },
    /// End a transfer; nothing that still comes of it counts.
    Stop {
        /// Number of the transfer.
        transfer: u64,
    },
    /// Forget the bytes held of an object.
    Discard {
        /// The object.
        object: ObjectRef,
    },
    /// A request is over: the object is kept, or cannot be had.
    Done {
        /// Number of the request.
        request: u64,
        /// Whether the object is kept.
        here: bool,
    },
}

/// All that is being fetched.
#[derive(Debug)]
pub struct Fetching {
    limits: Limits,
    items: BTreeMap<ObjectRef, Item>,
    requests: BTreeMap<u64, ObjectRef>,
    transfers: BTreeMap<u64, Transfer>,
    providers: Providers,
    /// Who is being asked at the moment, for how many objects and bytes.
    busy: BTreeMap<PeerId, (usize, u64)>,
    /// Something waits for memory.
    starved: bool,
    now: Time,
    next: u64,
    out: Vec<Order>,
}

/// One object that is wanted.
#[derive(Debug)]
struct Item {
    askers: BTreeMap<u64, Asker>,
    named: Vec<PeerId>,
    /// Asked in this round.
    asked: BTreeSet<PeerId>,
    round: u32,
    not_before: Time,
    received: u64,
    /// Parts of several did not fit together: only one peer's whole answer counts.
    alone: bool,
    spent_ms: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
struct Asker {
    task: u64,
    urgency: Urgency,
    since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Moving,
    Checking,
}

#[derive(Debug)]
struct Transfer {
    object: ObjectRef,
    peer: PeerId,
    since: Time,
    /// How far behind the least rate it may be.
    leash_ms: u64,
    /// When it falls behind the least rate if nothing more comes.
    late_at: Time,
    received: u64,
}

impl Item {
    fn new(now: Time) -> Self {
        Self {
            askers: BTreeMap::new(),
            named: Vec::new(),
            asked: BTreeSet::new(),
            round: 0,
            not_before: now,
            received: 0,
            alone: false,
            spent_ms: 0,
            stage: Stage::Waiting,
        }
    }

    fn holds_memory(&self) -> bool {
        self.stage != Stage::Waiting || self.received > 0
    }

    /// The next round over all providers, after a pause.
    fn next_round(&mut self, limits: &Limits, now: Time) {
        let pause = limits.pause_ms.saturating_mul(1 << self.round.min(16));
        self.round += 1;
        self.asked.clear();
        self.not_before = now.after(pause);
    }
}

impl Transfer {
    /// Bytes per second so far.
    fn rate(&self, now: Time) -> u64 {
        self.received.saturating_mul(1000) / now.since(self.since).max(1)
    }
}

impl Fetching {
    /// Nothing is wanted yet, and nobody connected.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            items: BTreeMap::new(),
            requests: BTreeMap::new(),
            transfers: BTreeMap::new(),
            providers: Providers::default(),
            busy: BTreeMap::new(),
            starved: false,
            now: Time::default(),
            next: 0,
            out: Vec::new(),
        }
    }

    /// Takes in what happened and says what to do, in order.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Order> {
        self.now = now;
        match input {
            Input::Want(request) => self.want(now, request),
            Input::Cancel { request } => self.cancel(request),
            Input::Linked(linked) => self.providers.set_linked(linked),
            Input::Received { transfer, bytes } => {
                self.received(now, transfer, bytes);
                // Nothing becomes possible by it: no slot and no memory is free.
                return Vec::new();
            }
            Input::Ended { transfer, end } => self.ended(now, transfer, end),
            Input::Stored { object } => self.finish(object, true),
            Input::Failed { object } => self.finish(object, false),
            Input::Wrong { object, mixed } => self.wrong(now, object, mixed),
            Input::Lied(peer) => self.providers.lied(peer),
            Input::Tick => {}
        }
        self.stop_late(now);
        self.start_all(now);
        std::mem::take(&mut self.out)
    }

    /// When [`Input::Tick`] is due if nothing else happens; `None` where nothing is wanted.
    pub fn wake_at(&self) -> Option<Time> {
        let late = self.transfers.values().map(|t| t.late_at.after(1));
        let slow = self.transfers.values().map(|t| t.since.after(self.limits.grace_ms()));
        let waiting = self.items.values().filter(|i| i.stage == Stage::Waiting);
        let later = slow.filter(|_| self.starved).chain(waiting.map(|i| i.not_before));
        // What could have begun by now waits for a slot or for memory, not for time to pass.
        late.chain(later.filter(|at| *at > self.now)).min()
    }

    /// Whether nothing is wanted.
    pub fn is_idle(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether anybody waits for an object.
    pub fn is_wanted(&self, object: &ObjectRef) -> bool {
        self.items.contains_key(object)
    }

    /// Whether a transfer goes on: its bytes count.
    pub fn is_moving(&self, transfer: u64) -> bool {
        self.transfers.contains_key(&transfer)
    }

    /// Bytes reserved for objects that are not whole yet.
    pub fn memory(&self) -> u64 {
        let holding = self.items.iter().filter(|(_, item)| item.holds_memory());
        holding.fold(0, |sum, (object, _)| sum.saturating_add(object.len))
    }

    fn want(&mut self, now: Time, request: Request) {
        let Request { id, task, object, urgency, providers } = request;
        self.requests.insert(id, object);
        let item = self.items.entry(object).or_insert_with(|| Item::new(now));
        item.askers.insert(id, Asker { task, urgency, since: now });
        for peer in providers {
            if !item.named.contains(&peer) {
                item.named.push(peer);
            }
        }
    }

    fn cancel(&mut self, request: u64) {
        let Some(object) = self.requests.remove(&request) else { return };
        let Some(item) = self.items.get_mut(&object) else { return };
        item.askers.remove(&request);
        if item.askers.is_empty() {
            self.finish(object, false);
        }
    }

    /// Nothing more is done about an object.
    fn finish(&mut self, object: ObjectRef, here: bool) {
        let Some(item) = self.items.remove(&object) else { return };
        let moving = self.transfers.iter().find(|(_, t)| t.object == object);
        if let Some(transfer) = moving.map(|(id, _)| *id) {
            self.take(transfer);
            self.out.push(Order::Stop { transfer });
        }
        if !here {
            self.out.push(Order::Discard { object });
        }
        for request in item.askers.into_keys() {
            self.requests.remove(&request);
            self.out.push(Order::Done { request, here });
        }
    }

    /// Bytes win back what they were allowed to take, but never more than the allowance at the
    /// beginning: a provider that was fast cannot rest on it.
    fn received(&mut self, now: Time, transfer: u64, bytes: u64) {
        let Some(transfer) = self.transfers.get_mut(&transfer) else { return };
        transfer.received += bytes;
        let won = transfer.late_at.after(self.limits.ms_for(bytes));
        transfer.late_at = won.min(now.after(transfer.leash_ms));
        if let Some(item) = self.items.get_mut(&transfer.object) {
            item.received += bytes;
        }
    }

    fn ended(&mut self, now: Time, transfer: u64, end: End) {
        let Some(transfer) = self.take(transfer) else { return };
        match end {
            End::Whole => {
                self.providers.has_given(transfer.peer);
                if let Some(item) = self.items.get_mut(&transfer.object) {
                    item.stage = Stage::Checking;
                    item.spent_ms = item.spent_ms.saturating_add(now.since(transfer.since));
                }
            }
            End::Elsewhere => self.give_up(now, &transfer),
            End::TooLong => {
                self.providers.lied(transfer.peer);
                self.discard(transfer.object);
                self.give_up(now, &transfer);
            }
        }
    }

    /// Removes a transfer; its slot is free.
    fn take(&mut self, id: u64) -> Option<Transfer> {
        let transfer = self.transfers.remove(&id)?;
        if let Some((count, bytes)) = self.busy.get_mut(&transfer.peer) {
            *count -= 1;
            *bytes = bytes.saturating_sub(transfer.object.len);
            if *count == 0 {
                self.busy.remove(&transfer.peer);
            }
        }
        Some(transfer)
    }

    /// The object waits for its next provider; what came of it stays unless it is not trusted.
    fn give_up(&mut self, now: Time, transfer: &Transfer) {
        let Some(item) = self.items.get_mut(&transfer.object) else { return };
        item.stage = Stage::Waiting;
        item.spent_ms = item.spent_ms.saturating_add(now.since(transfer.since));
        let (alone, spent) = (item.alone, item.spent_ms);
        if spent >= self.limits.patience_ms(transfer.object.len) {
            self.finish(transfer.object, false);
        } else if alone {
            self.discard(transfer.object);
        }
    }

    fn discard(&mut self, object: ObjectRef) {
        let Some(item) = self.items.get_mut(&object) else { return };
        if item.received > 0 {
            item.received = 0;
            self.out.push(Order::Discard { object });
        }
    }

    fn wrong(&mut self, now: Time, object: ObjectRef, mixed: bool) {
        // A check of before the object was given up and wanted again tells nothing new.
        if self.items.get(&object).is_none_or(|item| item.stage != Stage::Checking) {
            return;
        }
        self.discard(object);
        let Some(item) = self.items.get_mut(&object) else { return };
        item.stage = Stage::Waiting;
        if mixed {
            item.alone = true;
            item.next_round(&self.limits, now);
        }
        if item.spent_ms >= self.limits.patience_ms(object.len) {
            self.finish(object, false);
        }
    }

    /// Ends the transfers that fell behind the least rate.
    fn stop_late(&mut self, now: Time) {
        let late: Vec<u64> =
            self.transfers.iter().filter(|(_, t)| t.late_at < now).map(|(id, _)| *id).collect();
        for id in late {
            self.stop(now, id);
        }
    }

    /// Ends a transfer whose provider is too slow; it is asked last from now on.
    fn stop(&mut self, now: Time, id: u64) {
        let Some(transfer) = self.take(id) else { return };
        self.out.push(Order::Stop { transfer: id });
        self.providers.was_slow(transfer.peer, now);
        self.give_up(now, &transfer);
    }

    /// Starts every transfer for which there is a provider, a slot and memory.
    fn start_all(&mut self, now: Time) {
        self.starved = false;
        let mut memory = self.memory();
        // One that is started is in its task's way only for the others: one pass is one sort.
        for object in self.in_turn(now) {
            let Some(peer) = self.choose(now, object) else { continue };
            let holds = self.items.get(&object).is_some_and(Item::holds_memory);
            let own = object.len <= self.limits.own_memory() && !self.busy.contains_key(&peer);
            if holds || own {
                memory = memory.saturating_add(if holds { 0 } else { object.len });
                self.start(now, object, peer);
                continue;
            }
            if !self.starved {
                memory = self.make_room(now, memory, object, peer);
            }
            let fits = memory == 0 || memory.saturating_add(object.len) <= self.limits.memory;
            if fits && !self.starved {
                self.start(now, object, peer);
                memory = memory.saturating_add(object.len);
            } else {
                // What is less urgent must not take the memory that this one waits for.
                self.starved = true;
            }
        }
    }

    /// The objects to start, the most urgent first, of these the tasks with the fewest transfers.
    fn in_turn(&self, now: Time) -> Vec<ObjectRef> {
        let mut moving: BTreeMap<u64, usize> = BTreeMap::new();
        for item in self.items.values().filter(|i| i.stage != Stage::Waiting) {
            for asker in item.askers.values() {
                *moving.entry(asker.task).or_default() += 1;
            }
        }
        let mut waiting: Vec<_> = self
            .items
            .iter()
            .filter(|(_, item)| item.stage == Stage::Waiting && item.not_before <= now)
            .filter_map(|(object, item)| {
                let rank = item.askers.iter().map(|(id, asker)| {
                    let steps = now.since(asker.since) / self.limits.age_ms.max(1);
                    ((asker.urgency as u64).saturating_sub(steps), asker.task, *id)
                });
                Some((rank.min()?, *object))
            })
            .collect();
        waiting.sort_unstable();
        let mut ranked = Vec::with_capacity(waiting.len());
        for ((urgency, task, id), object) in waiting {
            let turn = moving.entry(task).or_default();
            ranked.push((urgency, *turn, id, object));
            *turn += 1;
        }
        ranked.sort_unstable();
        ranked.into_iter().map(|(.., object)| object).collect()
    }

    /// Whom to ask for an object; where everybody was asked, the next round begins after a pause.
    fn choose(&mut self, now: Time, object: ObjectRef) -> Option<PeerId> {
        let limits = self.limits;
        let item = self.items.get(&object)?;
        let mut best = None;
        let mut unasked = false;
        let crowd = limits.first_asked.saturating_mul(1 << (2 * item.round.min(16)));
        let enough = item.asked.len() >= crowd && item.round + 1 < limits.rounds;
        // However many are slow, one of them at most is waited for in a round over all.
        let spared = self.has_others(now)
            && (item.round < limits.rounds_before_slow
                || item.asked.iter().any(|peer| self.is_slow(*peer, now)));
        for peer in self.providers.candidates(&limits) {
            if enough || item.asked.contains(&peer) || spared && self.is_slow(peer, now) {
                continue;
            }
            unasked = true;
            if self.has_slot(peer, object.len, now) {
                let at = item.named.iter().position(|named| *named == peer);
                let rank = (self.providers.faults(peer, now, &limits), at.is_none());
                let gave = self.providers.gave(&peer);
                let rank = (rank, !gave, self.busy.get(&peer).map_or(0, |busy| busy.0), at, peer);
                best = best.max(Some(std::cmp::Reverse(rank)));
            }
        }
        if !unasked {
            let item = self.items.get_mut(&object)?;
            item.next_round(&limits, now);
            if item.round >= limits.rounds {
                self.finish(object, false);
            }
        }
        best.map(|std::cmp::Reverse((.., peer))| peer)
    }

    fn is_slow(&self, peer: PeerId, now: Time) -> bool {
        self.providers.faults(peer, now, &self.limits).1 > 0
    }

    /// Whether anybody is connected who was not slow of late.
    fn has_others(&self, now: Time) -> bool {
        self.providers.candidates(&self.limits).any(|peer| !self.is_slow(peer, now))
    }

    /// Whether one more object may be asked of `peer`. The first always may; further ones only of
    /// who was not slow, within its share of slots and memory, and while a slot is left for
    /// everybody who has none.
    fn has_slot(&self, peer: PeerId, len: u64, now: Time) -> bool {
        let free = self.limits.transfers.saturating_sub(self.transfers.len());
        let Some((count, bytes)) = self.busy.get(&peer) else { return free > 0 };
        let idle = self.providers.linked().filter(|p| !self.busy.contains_key(p)).count();
        let share = self.limits.memory / self.limits.per_provider.max(1) as u64;
        *count < self.limits.per_provider
            && bytes.saturating_add(len) <= share
            && !self.is_slow(peer, now)
            && free > idle
    }

    /// Frees memory for an object if it can be: first what is only kept for later, then transfers
    /// that had their time and are slow. Returns what is in use then.
    fn make_room(&mut self, now: Time, memory: u64, object: ObjectRef, peer: PeerId) -> u64 {
        let limit = self.limits.memory;
        let fits = |left: u64| left == 0 || left.saturating_add(object.len) <= limit;
        let kept = self.kept_for_later(object).into_iter().map(|object| (None, object));
        let slow = self.giving_way(now, peer).into_iter().map(|(id, object)| (Some(id), object));
        let (mut left, mut gone) = (memory, Vec::new());
        for (transfer, object) in kept.chain(slow) {
            if fits(left) {
                break;
            }
            left = left.saturating_sub(object.len);
            gone.push((transfer, object));
        }
        if !fits(left) {
            return memory;
        }
        for (transfer, object) in gone {
            if let Some(id) = transfer {
                self.stop(now, id);
            }
            self.discard(object);
        }
        left
    }

    /// Objects that hold memory and wait.
    fn kept_for_later(&self, except: ObjectRef) -> Vec<ObjectRef> {
        let kept = |(object, item): &(&ObjectRef, &Item)| {
            item.stage == Stage::Waiting && item.received > 0 && **object != except
        };
        self.items.iter().filter(kept).map(|(object, _)| *object).collect()
    }

    /// Transfers that give way to one from `peer`, the slowest first. Who was slow itself makes
    /// nobody give way.
    fn giving_way(&self, now: Time, peer: PeerId) -> Vec<(u64, ObjectRef)> {
        if self.is_slow(peer, now) {
            return Vec::new();
        }
        let had_its_time = |t: &Transfer| now.since(t.since) >= self.limits.grace_ms();
        let mut found: Vec<_> = self
            .transfers
            .iter()
            .filter(|(_, t)| t.peer != peer && had_its_time(t))
            .map(|(id, t)| (t.rate(now), *id, t.object))
            .filter(|(rate, ..)| *rate < self.limits.fast_rate)
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id, object)| (id, object)).collect()
    }

    fn start(&mut self, now: Time, object: ObjectRef, peer: PeerId) {
        // Where everybody is slow there is nobody to hurry to.
        let leash_ms = match self.has_others(now) && self.is_slow(peer, now) {
            true => self.limits.grace_ms(),
            false => self.limits.start_ms,
        };
        let Some(item) = self.items.get_mut(&object) else { return };
        item.stage = Stage::Moving;
        item.asked.insert(peer);
        let offset = item.received;
        self.next += 1;
        let late_at = now.after(leash_ms);
        let transfer = Transfer { object, peer, since: now, leash_ms, late_at, received: 0 };
        self.transfers.insert(self.next, transfer);
        let (count, bytes) = self.busy.entry(peer).or_default();
        (*count, *bytes) = (*count + 1, bytes.saturating_add(object.len));
        self.out.push(Order::Ask { transfer: self.next, peer, object, offset });
    }
}
