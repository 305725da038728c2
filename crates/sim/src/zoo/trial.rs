//! One attack in one world, next to the same world without it.

use super::{Case, Place, Plan, shards};
use crate::{
    work::{self, put},
    world::{Fault, Net, Peer, Role, World},
};
use ids::{Hash, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};
use swarm::{Kind, Member, Notice, Rules, SignedRecord};

/// Founding voters.
pub const PEERS: usize = 10;
/// The most virtual time of a trial, in milliseconds.
const LIMIT: u64 = 20 * 60 * 1000;

/// Milliseconds of an inner step.
const STEP_MS: u64 = 100;

/// The rules of every trial: with the times as long, beside a round's training, as in the default
/// rules of a real run.
pub fn rules() -> Rules {
    let (steps_min, steps_max) = (2, 16);
    let (commit_timeout_ms, audit_timeout_ms, draw_timeout_ms) = (4000, 4000, 700);
    Rules {
        rounds: 10,
        max_members: 64,
        steps_min,
        steps_max,
        commit_timeout_ms,
        audit_timeout_ms,
        draw_timeout_ms,
        view_timeout_ms: 300,
        ..work::rules()
    }
}

/// What came of one attack in one world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trial {
    /// Attackers, and how many of them were ejected.
    pub attackers: u32,
    /// See [`Trial::attackers`].
    pub ejected: u32,
    /// Honest peers that were ejected.
    pub honest_ejected: u32,
    /// Honest peers that did not come to the end.
    pub stalled: u32,
    /// Roots among honest peers, but for the one there has to be.
    pub forks: u32,
    /// Objects that honest peers removed and should have.
    pub lost: u32,
    /// The part of their first standing that honest peers have lost.
    pub robbed: f64,
    /// Contributions that attackers got in until they were ejected, of those that were.
    pub caught_after: u32,
    /// Rounds a minute of virtual time.
    pub pace: f64,
    /// Inner steps re-run by honest peers, and inner steps trained by all.
    pub audited: u64,
    /// See [`Trial::audited`].
    pub trained: u64,
    /// How far the last state is from the goal.
    pub loss: f64,
}

impl Trial {
    /// Both together.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            attackers: self.attackers + other.attackers,
            ejected: self.ejected + other.ejected,
            honest_ejected: self.honest_ejected + other.honest_ejected,
            stalled: self.stalled + other.stalled,
            forks: self.forks + other.forks,
            lost: self.lost + other.lost,
            robbed: self.robbed + other.robbed,
            caught_after: self.caught_after + other.caught_after,
            pace: self.pace + other.pace,
            audited: self.audited + other.audited,
            trained: self.trained + other.trained,
            loss: self.loss + other.loss,
        }
    }
}

/// A trial next to the same world without attackers.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// With them.
    pub attacked: Trial,
    /// Without.
    pub baseline: Trial,
}

/// Worlds without attackers, which are the same for every attack.
static BASELINES: Mutex<BTreeMap<(Place, u64), Trial>> = Mutex::new(BTreeMap::new());

/// Tries one attack with `share` of ten founding voters (or with the case's newcomers).
pub fn verdict(case: &Case, share: usize, seed: u64) -> Verdict {
    let known = || BASELINES.lock().ok()?.get(&(case.place, seed)).copied();
    let baseline = known().unwrap_or_else(|| {
        let baseline = trial(case, share, seed, false);
        BASELINES.lock().map(|mut all| all.insert((case.place, seed), baseline)).ok();
        baseline
    });
    Verdict { attacked: trial(case, share, seed, true), baseline }
}

/// Inner steps re-run for each inner step trained, once all members are past probation: seven
/// honest peers with fifty steps a round, and as many audits as a real run has.
pub fn steady(seed: u64) -> f64 {
    let (rounds, steps_min, steps_max) = (30, 50, 50);
    let rates = Rules { audit_rate_ppm: 10_000, recheck_ppm: 100_000, ..rules() };
    let rules = Rules { rounds, steps_min, steps_max, min_members: 7, ..rates };
    let mut world = World::new(seed, vec![Role::honest(); 7], rules, Net::GOOD);
    (0..7).for_each(|n| world.start(n));
    let steps = |world: &World| {
        let sum = |of: fn(&Peer) -> u64| world.nodes.iter().map(of).sum::<u64>();
        (sum(|p| p.audited_steps), sum(|p| p.trained_steps))
    };
    world.run(LIMIT, |world| world.height(0) >= 6);
    let before = steps(&world);
    world.run(LIMIT, |world| world.nodes.iter().all(|p| p.finished.is_some()));
    let after = steps(&world);
    (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64
}

/// Numbers of founding voters, of all peers, and of the attackers.
fn cast(place: Place, share: usize) -> (usize, usize, BTreeSet<usize>) {
    match place {
        Place::Founders => (PEERS, PEERS, (PEERS - share..PEERS).collect()),
        Place::BesideJoiner => (PEERS, PEERS + 1, (PEERS - share..PEERS).collect()),
        Place::Newcomers { keys, founders } => {
            (founders, founders + keys, (founders..founders + keys).collect())
        }
    }
}

/// The world of an attack, run to its end.
pub fn attacked(case: &Case, share: usize, seed: u64, rules: &Rules) -> World {
    play(case, share, seed, true, rules).0
}

fn trial(case: &Case, share: usize, seed: u64, attacked: bool) -> Trial {
    let (world, plan, honest) = play(case, share, seed, attacked, &rules());
    measure(&world, &plan, &honest, attacked)
}

/// The world at its end, who the attackers are, and the numbers of the honest peers.
fn play(
    case: &Case,
    share: usize,
    seed: u64,
    attacked: bool,
    rules: &Rules,
) -> (World, Plan, Vec<usize>) {
    let (founders, peers, friends) = cast(case.place, share);
    let plan = Plan::new(seed, friends);
    let attack = (case.make)(&plan);
    let sybils = matches!(case.place, Place::Newcomers { .. });
    let role = |n: usize| Role {
        founds: n < founders,
        attack: (attacked && plan.friends.contains(&n)).then(|| attack.clone()),
    };
    let rules = Rules { min_members: founders as u32, ..rules.clone() };
    let mut world = World::new(seed, (0..peers).map(role).collect(), rules, Net::GOOD);
    world.step_ms = STEP_MS;
    for peer in &mut world.nodes {
        shards().into_iter().for_each(|shard| {
            put(&mut peer.objects, shard);
        });
    }
    (0..founders).for_each(|n| world.start(n));
    // Newcomers of the baseline world stay away: what is compared is a run without them.
    for node in (founders..peers).filter(|_| attacked || !sybils) {
        world.at(300, Fault::Arrive { node });
    }
    let honest: Vec<usize> =
        (0..peers).filter(|n| !(plan.friends.contains(n) && (attacked || sybils))).collect();
    let done = |world: &World| {
        honest.iter().all(|n| world.nodes[*n].finished.is_some() || world.nodes[*n].fatal.is_some())
    };
    world.run(LIMIT, done);
    (world, plan, honest)
}

fn measure(world: &World, plan: &Plan, honest: &[usize], attacked: bool) -> Trial {
    let finished = honest.iter().filter_map(|n| world.nodes[*n].finished);
    let roots: BTreeSet<Hash> = finished.clone().map(|s| s.hash()).collect();
    let out = |n: &&usize| world.is_ejected(**n);
    let attackers: Vec<usize> = plan.friends.iter().copied().filter(|_| attacked).collect();
    let ejected: Vec<usize> = attackers.iter().filter(out).copied().collect();
    let minutes = world.now as f64 / 60e3;
    let rounds = world.nodes[honest[0]].node.as_ref().map_or(0, |n| n.status().round);
    let state = world.nodes[honest[0]].node.as_ref().map(|n| n.status().state);
    let loss = state.and_then(|s| work::loss(&world.nodes[honest[0]].objects, &s));
    Trial {
        attackers: attackers.len() as u32,
        ejected: ejected.len() as u32,
        honest_ejected: honest.iter().filter(out).count() as u32,
        stalled: (honest.len() - finished.count()) as u32,
        forks: (roots.len() as u32).saturating_sub(1),
        lost: lost(world, honest),
        robbed: robbed(world, honest),
        caught_after: ejected.iter().map(|n| world.contributions(*n) as u32).sum(),
        pace: f64::from(rounds) / minutes.max(1e-9),
        audited: honest.iter().map(|n| world.nodes[*n].audited_steps).sum(),
        trained: world.nodes.iter().map(|p| p.trained_steps).sum(),
        loss: f64::from(loss.unwrap_or(f32::NAN)),
    }
}

/// The part of their first standing that records took from honest peers.
fn robbed(world: &World, honest: &[usize]) -> f64 {
    let node = world.nodes[honest[0]].node.as_ref();
    let records = node.map_or(&[][..], |n| n.chain());
    let ids: Vec<PeerId> = honest.iter().map(|n| world.nodes[*n].identity.id()).collect();
    let standing = |record: &SignedRecord, id: &PeerId| {
        let line = record.record().members.iter().find(|m| m.id == *id);
        line.map_or(0, Member::standing)
    };
    let lost = |two: &[SignedRecord]| -> u64 {
        ids.iter().map(|id| standing(&two[0], id).saturating_sub(standing(&two[1], id))).sum()
    };
    let first: u64 = records.first().map_or(0, |r| ids.iter().map(|id| standing(r, id)).sum());
    records.windows(2).map(lost).sum::<u64>() as f64 / first.max(1) as f64
}

/// Objects that honest peers have removed, or lack, though a corpus, a decided state, a
/// contribution or a member's line names them.
fn lost(world: &World, honest: &[usize]) -> u32 {
    let shards: BTreeSet<Hash> = shards().iter().map(|s| Hash::of(s)).collect();
    let mut named = shards.clone();
    for (_, notice) in &world.notices {
        if let Notice::Decided(summary) = notice {
            named.extend([summary.state.model.hash, summary.state.outer.hash]);
        }
    }
    let node = world.nodes[honest[0]].node.as_ref();
    let records = node.map_or(&[][..], |n| n.chain());
    for record in records.iter().filter(|r| r.record().kind == Kind::Advance) {
        let record = record.record();
        named.extend(record.contributions.iter().map(|c| c.commit.body().update.hash));
        named.extend(record.members.iter().filter_map(|m| m.carry).map(|c| c.hash));
    }
    let of = |n: &usize| {
        let peer = &world.nodes[*n];
        let gone = peer.dropped.iter().filter(|h| named.contains(h)).count();
        let lacks = shards.iter().filter(|h| !peer.objects.contains_key(h)).count();
        (gone + lacks) as u32
    };
    honest.iter().map(of).sum()
}
