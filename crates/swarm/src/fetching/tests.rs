//! Providers of every kind on a virtual clock, honest ones among them.

use super::*;
use ids::Hash;

/// The step of the virtual clock.
const STEP: u64 = 50;

/// What a provider does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Sends so many bytes per second.
    Sends(u64),
    /// Does not have it.
    Lacks,
    /// Says that it comes, and sends nothing.
    Promises,
    /// Sends at a rate until so many bytes, then nothing.
    StopsAt(u64, u64),
    /// Sends at a rate until so many bytes, then ends.
    BreaksAt(u64, u64),
    /// Sends wrong bytes at a rate.
    Junk(u64),
    /// Sends wrong bytes at a rate until so many, then ends.
    JunkBreaksAt(u64, u64),
    /// One byte each time before a limit on silence would be reached.
    Drips,
}

/// One node that fetches, and its providers.
struct World {
    fetching: Fetching,
    now: u64,
    kinds: BTreeMap<PeerId, Kind>,
    moving: BTreeMap<u64, Moving>,
    /// What is held of each object: who sent how much, and whether all of it is right.
    held: BTreeMap<ObjectRef, (u64, bool, BTreeSet<PeerId>)>,
    done: BTreeMap<u64, (bool, u64)>,
    asked: BTreeMap<PeerId, u32>,
    most_moving: BTreeMap<PeerId, usize>,
    most_memory: u64,
    limits: Limits,
    rng: u64,
}

struct Moving {
    peer: PeerId,
    object: ObjectRef,
    since: u64,
    sent: u64,
}

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn object(n: u64, len: u64) -> ObjectRef {
    ObjectRef { hash: Hash::of(&n.to_le_bytes()), len }
}

fn limits() -> Limits {
    Limits { memory: 16 << 20, ..Limits::default() }
}

impl World {
    fn new(limits: Limits, kinds: &[Kind]) -> Self {
        let kinds: BTreeMap<_, _> =
            kinds.iter().enumerate().map(|(n, kind)| (peer(n as u8 + 1), *kind)).collect();
        let mut world = Self {
            fetching: Fetching::new(limits),
            now: 0,
            kinds,
            moving: BTreeMap::new(),
            held: BTreeMap::new(),
            done: BTreeMap::new(),
            asked: BTreeMap::new(),
            most_moving: BTreeMap::new(),
            most_memory: 0,
            limits,
            rng: 1,
        };
        let linked = world.kinds.keys().copied().collect();
        world.tell(Input::Linked(linked));
        world
    }

    fn want(&mut self, id: u64, task: u64, object: ObjectRef, urgency: Urgency, from: &[PeerId]) {
        let providers = from.to_vec();
        self.tell(Input::Want(Request { id, task, object, urgency, providers }));
    }

    fn tell(&mut self, input: Input) {
        let orders = self.fetching.handle(Time(self.now), input);
        for order in orders {
            self.obey(order);
        }
        self.check();
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Ask { transfer, peer, object, offset } => {
                let held = self.held.get(&object).map_or(0, |held| held.0);
                assert_eq!(offset, held, "asks for what is missing");
                *self.asked.entry(peer).or_default() += 1;
                let since = self.now;
                self.moving.insert(transfer, Moving { peer, object, since, sent: 0 });
            }
            Order::Stop { transfer } => drop(self.moving.remove(&transfer)),
            Order::Discard { object } => drop(self.held.remove(&object)),
            Order::Done { request, here } => {
                let twice = self.done.insert(request, (here, self.now));
                assert_eq!(twice, None, "a request ends once");
            }
        }
    }

    /// What holds at every moment, whatever the providers do.
    fn check(&mut self) {
        let mut by_peer: BTreeMap<PeerId, (usize, u64)> = BTreeMap::new();
        for moving in self.moving.values() {
            let (count, bytes) = by_peer.entry(moving.peer).or_default();
            (*count, *bytes) = (*count + 1, *bytes + moving.object.len);
            let most = self.limits.most_ms(moving.object.len) + STEP;
            assert!(self.now - moving.since <= most, "a transfer ends in the time of its bytes");
        }
        let idle = self.kinds.len() - by_peer.len();
        assert!(self.moving.len() + idle <= self.limits.transfers, "a slot for who has none");
        for (peer, (count, bytes)) in by_peer {
            assert!(count <= self.limits.per_provider, "{peer:?} has {count} slots");
            let share = self.limits.memory / self.limits.per_provider as u64;
            assert!(count == 1 || bytes <= share, "{peer:?} has {bytes} bytes");
            let most = self.most_moving.entry(peer).or_default();
            *most = count.max(*most);
        }
        self.most_memory = self.most_memory.max(self.fetching.memory());
        let objects: BTreeSet<_> = self.moving.values().map(|m| m.object).collect();
        assert_eq!(objects.len(), self.moving.len(), "one transfer an object");
    }

    fn random(&mut self, most: u64) -> u64 {
        self.rng = self.rng.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.rng >> 33) % most
    }

    fn step(&mut self) {
        self.now += STEP;
        let ids: Vec<u64> = self.moving.keys().copied().collect();
        for id in ids {
            self.send(id);
        }
        self.tell(Input::Tick);
    }

    /// What a provider does with its transfer in one step of the clock.
    fn send(&mut self, id: u64) {
        let Some(moving) = self.moving.get(&id) else { return };
        let (peer, object, age) = (moving.peer, moving.object, self.now - moving.since);
        let at = |rate: u64| age * rate / 1000;
        let (upto, ends, right) = match self.kinds[&peer] {
            Kind::Sends(rate) => (at(rate), false, true),
            Kind::Lacks => (0, true, true),
            Kind::Promises => (0, false, true),
            Kind::StopsAt(rate, most) => (at(rate).min(most), false, true),
            Kind::BreaksAt(rate, most) => (at(rate).min(most), at(rate) >= most, true),
            Kind::Junk(rate) => (at(rate), false, false),
            Kind::JunkBreaksAt(rate, most) => (at(rate).min(most), at(rate) >= most, false),
            Kind::Drips => (age / (self.limits.start_ms - STEP), false, true),
        };
        let held = self.held.get(&object).map_or(0, |held| held.0);
        let fresh = upto.saturating_sub(moving.sent).min(object.len - held);
        if let Some(moving) = self.moving.get_mut(&id) {
            moving.sent = upto;
        }
        if fresh > 0 {
            let held = self.held.entry(object).or_insert((0, true, BTreeSet::new()));
            (held.0, held.1) = (held.0 + fresh, held.1 && right);
            held.2.insert(peer);
            self.tell(Input::Received { transfer: id, bytes: fresh });
        }
        if held + fresh == object.len {
            self.whole(id, object);
        } else if ends {
            self.moving.remove(&id);
            self.tell(Input::Ended { transfer: id, end: End::Elsewhere });
        }
    }

    fn whole(&mut self, id: u64, object: ObjectRef) {
        self.moving.remove(&id);
        self.tell(Input::Ended { transfer: id, end: End::Whole });
        let (_, right, senders) = self.held.remove(&object).expect("held");
        if right {
            return self.tell(Input::Stored { object });
        }
        let mixed = senders.len() > 1;
        if let Some(liar) = senders.first().filter(|_| !mixed) {
            self.tell(Input::Lied(*liar));
        }
        self.tell(Input::Wrong { object, mixed });
    }

    /// Lets time pass until every request is over; returns when it was.
    fn run(&mut self, most_ms: u64) -> u64 {
        let until = self.now + most_ms;
        while !self.fetching.is_idle() && self.now < until {
            self.step();
        }
        assert!(self.fetching.is_idle(), "not over after {most_ms} ms");
        assert_eq!(self.fetching.memory(), 0, "nothing is held");
        assert!(self.moving.is_empty() && self.held.is_empty());
        self.now
    }

    fn here(&self, request: u64) -> bool {
        self.done[&request].0
    }

    fn took(&self, request: u64) -> u64 {
        self.done[&request].1
    }
}

const FAST: Kind = Kind::Sends(10 << 20);

#[test]
fn an_object_comes_from_who_has_it_and_nobody_else_holds_it_up() {
    let mut world = World::new(limits(), &[Kind::Lacks, Kind::Lacks, FAST]);
    world.want(1, 1, object(1, 1 << 20), Urgency::Round, &[]);
    assert!(world.run(2_000) < 500);
    assert!(world.here(1));
}

/// The attack of the issue: eight objects of providers that send a byte before each stall.
#[test]
fn eight_dripping_providers_keep_nobody_from_fetching_and_are_given_up() {
    let mut world = World::new(limits(), &[[Kind::Drips; 8].as_slice(), &[FAST]].concat());
    for n in 0..64u64 {
        let from = peer(n as u8 % 8 + 1);
        world.want(n, 1, object(n, 1 << 20), Urgency::Round, &[from]);
    }
    for _ in 0..20 {
        world.step();
    }
    world.want(100, 2, object(100, 50_000), Urgency::Audit, &[peer(9)]);
    let asked = world.now;
    world.run(60_000);
    assert!(world.took(100) - asked < 1_000, "an honest provider has its own slot");
    // Each dripper costs its start time once; then everything comes from the honest one.
    assert!((0..64).all(|n| world.here(n)));
    assert!((1..=8).all(|n| world.asked[&peer(n)] <= 4));
}

#[test]
fn one_provider_never_holds_more_than_its_share() {
    for kind in [Kind::Promises, Kind::Drips, Kind::Sends(32 << 10), Kind::Junk(64 << 10)] {
        let mut world = World::new(limits(), &[kind, Kind::Lacks, FAST]);
        for n in 0..500 {
            world.want(n, 1, object(n, 10_000), Urgency::Round, &[peer(1)]);
        }
        world.want(500, 2, object(500, 10_000), Urgency::Round, &[peer(3)]);
        world.run(60_000);
        assert!(world.took(500) < 3_000, "{kind:?}: {}", world.took(500));
        assert!(world.most_moving[&peer(1)] <= limits().per_provider);
        assert!((0..501).all(|n| world.here(n)), "{kind:?}");
    }
}

#[test]
fn a_drip_at_exactly_the_least_rate_ends_in_the_time_of_its_bytes() {
    let (limits, len) = (limits(), 1 << 20);
    let mut world = World::new(limits, &[Kind::Sends(limits.least_rate)]);
    world.want(1, 1, object(1, len), Urgency::Audit, &[peer(1)]);
    let took = world.run(limits.most_ms(len) + STEP);
    assert!(world.here(1) && world.asked[&peer(1)] == 1, "never given up");
    assert!(took >= len * 1000 / limits.least_rate);
}

#[test]
fn a_drip_under_the_least_rate_is_given_up_and_the_rest_comes_from_the_next() {
    let limits = limits();
    let slow = Kind::Sends(limits.least_rate / 2);
    let mut world = World::new(limits, &[slow, FAST]);
    world.want(1, 1, object(1, 4 << 20), Urgency::Audit, &[peer(1)]);
    let took = world.run(60_000);
    assert!(world.here(1));
    assert!(took <= 2 * limits.start_ms + 1_000, "{took}");
    // The bytes it did send were not asked for again.
    world.want(2, 1, object(2, 4 << 20), Urgency::Audit, &[peer(1)]);
    let before = world.asked[&peer(1)];
    world.run(10_000);
    assert_eq!(world.asked[&peer(1)], before, "who was slow is asked last");
}

#[test]
fn a_fast_beginning_buys_no_long_silence() {
    let limits = limits();
    let stops = Kind::StopsAt(8 << 20, 7 << 20);
    let mut world = World::new(limits, &[stops, FAST]);
    world.want(1, 1, object(1, 8 << 20), Urgency::Audit, &[peer(1)]);
    let took = world.run(60_000);
    assert!(world.here(1));
    assert!(took <= 1_000 + limits.start_ms + 1_000, "{took}: seven MiB bought it no hours");
}

#[test]
fn a_promise_that_is_not_kept_ends_in_missing_within_the_bound_of_its_bytes() {
    let limits = limits();
    for kind in [Kind::Promises, Kind::Drips, Kind::Lacks, Kind::Junk(1 << 20)] {
        for providers in [1, 3, 40] {
            let mut world = World::new(limits, &vec![kind; providers]);
            let wanted = object(1, 100_000);
            world.want(1, 1, wanted, Urgency::Audit, &[peer(1)]);
            let pauses = limits.pause_ms * (1 << limits.rounds);
            let spent = limits.patience_ms(wanted.len) + limits.most_ms(wanted.len);
            world.run(spent + pauses + 1_000);
            assert!(!world.here(1), "{kind:?}");
        }
    }
}

#[test]
fn a_liar_is_asked_last_after_one_lie_and_not_at_all_after_three() {
    let mut world = World::new(limits(), &[Kind::Junk(10 << 20), FAST]);
    for n in 0..10 {
        world.want(n, 1, object(n, 100_000), Urgency::Round, &[peer(1)]);
        world.run(10_000);
        assert!(world.here(n));
    }
    assert_eq!(world.asked[&peer(1)], 1);
    world.kinds.insert(peer(2), Kind::Lacks);
    for n in 10..20 {
        world.want(n, 1, object(n, 100_000), Urgency::Round, &[peer(1)]);
        world.run(10_000);
        assert!(!world.here(n));
    }
    assert_eq!(world.asked[&peer(1)], 3);
}

#[test]
fn a_transfer_goes_on_across_providers_that_break_off() {
    let breaks = |at| Kind::BreaksAt(10 << 20, at);
    let kinds = [breaks(300_000), breaks(200_000), breaks(400_000), breaks(150_000)];
    let mut world = World::new(limits(), &kinds);
    world.want(1, 1, object(1, 1_000_000), Urgency::Round, &[peer(1), peer(2), peer(3)]);
    world.run(10_000);
    assert!(world.here(1), "each sent a part");
    assert!(world.asked.values().all(|n| *n == 1), "{:?}", world.asked);
}

/// The first part is junk, the rest is honest: the honest provider is asked alone, and trusted.
#[test]
fn a_wrong_part_does_not_spoil_the_object() {
    let mut world = World::new(limits(), &[Kind::Junk(10_000), FAST]);
    world.want(1, 1, object(1, 2_000_000), Urgency::Round, &[peer(1)]);
    world.run(60_000);
    assert!(world.here(1));
    // Junk at under the least rate, then the honest rest: wrong together; then the honest alone.
    assert_eq!(world.asked[&peer(2)], 2);
    assert_eq!(world.fetching.providers.faults(peer(2), Time(world.now), &limits()), (0, 0));
}

/// A wrong beginning from whoever is asked first, quickly and in each round, is no part of what
/// the honest provider is asked for.
#[test]
fn a_wrong_beginning_in_each_round_does_not_spoil_the_object() {
    let mut world = World::new(limits(), &[Kind::JunkBreaksAt(10 << 20, 100_000), FAST]);
    world.want(1, 1, object(1, 2_000_000), Urgency::Round, &[peer(1)]);
    world.run(60_000);
    assert!(world.here(1));
}

#[test]
fn who_has_given_something_is_asked_before_those_who_only_are_there() {
    let mut world = World::new(limits(), &[Kind::Lacks, Kind::Lacks, Kind::Lacks, FAST]);
    for n in 0..5 {
        world.want(n, n, object(n, 100_000), Urgency::Round, &[]);
        world.run(10_000);
        assert!(world.here(n));
    }
    assert_eq!((world.asked[&peer(1)], world.asked[&peer(4)]), (1, 5));
}

#[test]
fn memory_is_bounded_and_slow_holders_of_it_give_way() {
    let limits = Limits { memory: 4 << 20, ..limits() };
    // Just above the least rate: no deadline ends them for minutes.
    let slow = Kind::Sends(limits.least_rate * 2);
    let mut world = World::new(limits, &[slow, slow, slow, slow, FAST]);
    for n in 0..4u64 {
        world.want(n, 1, object(n, 1 << 20), Urgency::Round, &[peer(n as u8 + 1)]);
    }
    world.step();
    world.want(10, 2, object(10, 2 << 20), Urgency::Round, &[peer(5)]);
    world.run(120_000);
    assert!(world.took(10) <= limits.start_ms + 2_000, "{}", world.took(10));
    assert!((0..4).all(|n| world.here(n)), "what gave way came later");
    assert!(world.most_memory <= limits.most_memory());
}

#[test]
fn an_object_larger_than_the_memory_comes_alone() {
    let limits = Limits { memory: 1 << 20, ..limits() };
    let mut world = World::new(limits, &[FAST, FAST]);
    for n in 0..20 {
        world.want(n, n, object(n, if n == 7 { 3 << 20 } else { 200_000 }), Urgency::Round, &[]);
    }
    world.run(60_000);
    assert!((0..20).all(|n| world.here(n)));
    assert!(world.most_memory <= 3 << 20);
}

#[test]
fn the_urgent_goes_first_and_what_waits_long_goes_too() {
    let one = Limits { per_provider: 1, ..limits() };
    let mut world = World::new(one, &[Kind::Sends(1 << 20)]);
    let all = [Urgency::History, Urgency::Audit, Urgency::Checkpoint, Urgency::Round];
    world.want(99, 99, object(99, 1 << 20), Urgency::Round, &[]);
    for (n, urgency) in (0..).zip(all) {
        world.want(n, n, object(n, 1 << 20), urgency, &[]);
    }
    world.run(20_000);
    let order: Vec<u64> = (0..4).map(|n| world.took(n)).collect();
    assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
    // New updates for ever, more than can be had: history has its turn all the same.
    let begun = world.now;
    world.want(1999, 1999, object(1999, 1 << 20), Urgency::Round, &[]);
    world.want(1000, 1000, object(1000, 1 << 20), Urgency::History, &[]);
    for n in 0..400 {
        world.want(2000 + n, 2000 + n, object(2000 + n, 1 << 20), Urgency::Round, &[]);
        for _ in 0..15 {
            world.step();
        }
    }
    assert!(world.took(1000) - begun < 4 * limits().age_ms + 30_000);
}

#[test]
fn one_task_of_many_objects_does_not_hold_up_another_of_few() {
    let mut world = World::new(limits(), &[Kind::Sends(1 << 20)]);
    for n in 0..300 {
        world.want(n, 1, object(n, 100_000), Urgency::Audit, &[]);
    }
    world.want(1000, 2, object(1000, 100_000), Urgency::Audit, &[]);
    world.run(60_000);
    assert!(world.took(1000) < 1_000, "{}", world.took(1000));
}

#[test]
fn a_request_nobody_waits_for_stops_its_transfer_and_one_that_another_waits_for_goes_on() {
    let mut world = World::new(limits(), &[Kind::Sends(100_000)]);
    let wanted = object(1, 1_000_000);
    world.want(1, 1, wanted, Urgency::Round, &[]);
    world.want(2, 2, wanted, Urgency::Audit, &[]);
    world.step();
    world.tell(Input::Cancel { request: 1 });
    assert_eq!(world.moving.len(), 1, "the other still waits for it");
    world.tell(Input::Cancel { request: 2 });
    assert!(world.moving.is_empty() && world.fetching.is_idle());
    world.run(0);
}

#[test]
fn providers_that_come_later_are_asked_and_without_any_it_ends() {
    let mut world = World::new(limits(), &[Kind::Lacks, FAST]);
    world.tell(Input::Linked(BTreeSet::new()));
    world.want(1, 1, object(1, 1000), Urgency::Round, &[peer(2)]);
    world.run(60_000);
    assert!(!world.here(1));
    world.want(2, 1, object(2, 1000), Urgency::Round, &[peer(2)]);
    world.step();
    world.tell(Input::Linked([peer(2)].into()));
    world.run(60_000);
    assert!(world.here(2));
}

/// Any mixture of providers, one honest among them that has everything: every request ends, in
/// time, and with the object.
#[test]
fn with_one_honest_provider_everything_comes_whatever_the_others_do() {
    for seed in 0..200 {
        let mut world = World::new(limits(), &[]);
        world.rng = seed;
        let mut kinds = BTreeMap::new();
        let count = 2 + world.random(12) as u8;
        for n in 1..=count {
            let rate = 1 + world.random(1 << 20);
            let at = world.random(1 << 20);
            let all = [
                Kind::Sends(rate),
                Kind::Lacks,
                Kind::Promises,
                Kind::StopsAt(rate, at),
                Kind::BreaksAt(rate, at),
                Kind::Junk(rate),
                Kind::Drips,
            ];
            kinds.insert(peer(n), all[world.random(7) as usize]);
        }
        kinds.insert(peer(100), FAST);
        world.kinds = kinds;
        let linked: BTreeSet<_> = world.kinds.keys().copied().collect();
        world.tell(Input::Linked(linked));
        let urgency = [Urgency::Round, Urgency::Audit, Urgency::History];
        for n in 0..40u64 {
            let (len, from) = (1 + world.random(1 << 20), 1 + world.random(u64::from(count)) as u8);
            let (task, urgency) = (world.random(5), urgency[world.random(3) as usize]);
            world.want(n, task, object(n, len), urgency, &[peer(from)]);
            if world.random(4) == 0 {
                world.step();
            }
        }
        world.run(600_000);
        let missing: Vec<u64> = (0..40).filter(|n| !world.here(*n)).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?} with {:?}", world.kinds);
        assert!(world.most_memory <= world.limits.most_memory(), "seed {seed}");
    }
}

#[test]
fn a_slot_is_left_for_everybody_who_has_none() {
    let few = Limits { transfers: 6, ..limits() };
    let mut world = World::new(few, &[Kind::Drips, Kind::Drips, Kind::Drips, Kind::Drips, FAST]);
    for n in 0..100u64 {
        let from: Vec<PeerId> = (1..=4).map(|at| peer((n as u8 + at) % 4 + 1)).collect();
        world.want(n, 1, object(n, 10_000), Urgency::Round, &from);
    }
    // The invariant is checked at every step.
    world.run(60_000);
    assert!((0..100).all(|n| world.here(n)));
}

#[test]
fn who_was_slow_has_one_slot_and_is_asked_first_again_after_a_while() {
    let limits = limits();
    let mut world = World::new(limits, &[Kind::Promises]);
    for n in 0..10 {
        world.want(n, n, object(n, 10_000), Urgency::Round, &[peer(1)]);
    }
    assert_eq!(world.moving.len(), limits.per_provider);
    while world.now <= limits.start_ms + STEP {
        world.step();
    }
    for _ in 0..20 {
        world.step();
        assert!(world.moving.len() <= 1, "{}", world.moving.len());
    }
    world.run(600_000);
    world.now += limits.remember_ms;
    for n in 10..20 {
        world.want(n, n, object(n, 10_000), Urgency::Round, &[peer(1)]);
    }
    assert_eq!(world.moving.len(), limits.per_provider, "forgotten");
}

/// Memory for one of two objects, and only slow providers: they must not push each other out
/// until both are given up.
/// What a contributor is about to show: those that drip say that they have it already.
#[test]
fn who_was_slow_does_not_hold_up_what_another_has_in_a_moment() {
    for drips in [1, 40] {
        let mut kinds = vec![Kind::Drips; drips];
        kinds.push(Kind::Lacks);
        let mut world = World::new(limits(), &kinds);
        let last = peer(drips as u8 + 1);
        world.want(0, 0, object(9, 1 << 20), Urgency::Audit, &[last]);
        world.run(1_000_000);
        // Each has been slow once; what it takes to find that out is paid once in ten minutes.
        let all: Vec<PeerId> = world.kinds.keys().copied().filter(|p| *p != last).collect();
        for dripping in all {
            world.fetching.providers.was_slow(dripping, Time(world.now));
        }
        for (request, delay) in [(1, 100), (2, 1_000), (3, 2_500)] {
            let began = world.now;
            world.kinds.insert(last, Kind::Lacks);
            world.want(request, request, object(request, 1 << 20), Urgency::Audit, &[last]);
            while world.now < began + delay {
                world.step();
            }
            world.kinds.insert(last, FAST);
            world.run(20_000);
            assert!(world.here(request));
            let most = delay + world.limits.grace_ms() + 1_500;
            assert!(world.took(request) - began < most, "{drips}: {}", world.took(request) - began);
        }
    }
}

/// A crowd that has nothing is asked for what only one of them all has in a moment.
#[test]
fn a_crowd_with_nothing_does_not_hold_up_what_one_has_in_a_moment() {
    let mut kinds = vec![Kind::Lacks; 50];
    kinds.push(FAST);
    let mut world = World::new(limits(), &kinds);
    let last = peer(51);
    world.want(0, 0, object(0, 1 << 10), Urgency::Audit, &[last]);
    world.run(1_000);
    world.kinds.insert(last, Kind::Lacks);
    world.want(1, 1, object(1, 1 << 10), Urgency::Audit, &[last]);
    world.step();
    world.kinds.insert(last, FAST);
    let began = world.now;
    world.run(20_000);
    assert!(world.here(1));
    assert!(world.took(1) - began <= 9 * STEP + world.limits.pause_ms);
}

#[test]
fn slow_providers_do_not_push_out_one_another_for_ever() {
    let limits = Limits { memory: 2 << 20, ..limits() };
    let mut world = World::new(limits, &[Kind::Sends(64 << 10); 6]);
    world.want(1, 1, object(1, 3 << 19), Urgency::Round, &[peer(1)]);
    world.want(2, 2, object(2, 3 << 19), Urgency::Round, &[peer(2)]);
    world.run(300_000);
    assert!(world.here(1) && world.here(2), "{:?}", world.done);
}

/// The same where everybody was slow before: nobody is spared then, and nobody gives way.
#[test]
fn where_everybody_was_slow_nobody_is_pushed_out() {
    let limits = Limits { memory: 2 << 20, ..limits() };
    let mut world = World::new(limits, &[Kind::Promises; 6]);
    for n in 0..6 {
        world.want(10 + n, n, object(10 + n, 1000), Urgency::Round, &[peer(n as u8 + 1)]);
    }
    world.run(300_000);
    world.kinds.values_mut().for_each(|kind| *kind = Kind::Sends(64 << 10));
    world.want(1, 1, object(1, 3 << 19), Urgency::Round, &[peer(1)]);
    world.want(2, 2, object(2, 3 << 19), Urgency::Round, &[peer(2)]);
    world.run(120_000);
    assert!(world.here(1) && world.here(2), "{:?}", world.done);
}

#[test]
fn small_objects_without_end_do_not_take_the_memory_that_a_large_one_waits_for() {
    let limits = Limits { memory: 4 << 20, ..limits() };
    let mut world = World::new(limits, &[Kind::Sends(2 << 20); 6]);
    let mut id = 10;
    let mut more = |world: &mut World| {
        for _ in 0..2 {
            id += 1;
            world.want(id, id, object(id, 200_000), Urgency::Round, &[]);
        }
        world.step();
    };
    (0..20).for_each(|_| more(&mut world));
    world.want(1, 1, object(1, 15 << 18), Urgency::Round, &[]);
    (0..200).for_each(|_| more(&mut world));
    assert!(world.done.contains_key(&1) && world.here(1));
}
