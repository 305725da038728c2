//! What providers can do to those who fetch from them, which only a real scheduler can show.

use ids::Hash;
use sim::{
    attack::{self, Attack, Scene, Serve},
    work::rules,
    world::{Fault, Net, Role, World},
};
use swarm::{Notice, Rules};

/// Works as it should, and serves whatever it is asked for so.
struct Serves(Serve);

impl Attack for Serves {
    fn serves(&mut self, _: &mut Scene, _: &Hash, _: usize) -> Serve {
        self.0
    }
}

/// A run of four honest voters and a fifth one, whose key is any among theirs, that serves whatever
/// it is asked for like this; it has ended for the four.
fn with_one_that(serve: Serve, seed: u64) -> World {
    let mut roles = vec![Role::honest(); 5];
    roles[seed as usize % 5] = Role::rogue(&attack::shared(Serves(serve)));
    let rules = Rules { min_members: 5, rounds: 6, ..rules() };
    let mut world = World::new(seed, roles, rules, Net::GOOD);
    (0..5).for_each(|n| world.start(n));
    let done = |world: &World| {
        let honest = |n: &usize| world.is_honest(*n);
        (0..5).filter(honest).all(|n| world.nodes[n].finished.is_some())
    };
    world.run(10 * 60 * 1000, done);
    assert!(done(&world), "seed {seed}: {serve:?} stops the run");
    world
}

/// Whatever one provider does, honest work is added up and every round ends.
#[test]
fn one_provider_stops_nobody() {
    for serve in [Serve::Dripping, Serve::Half, Serve::Lying, Serve::Spoiling] {
        for seed in 0..5 {
            let world = with_one_that(serve, seed);
            let last = world.notices.iter().rev().find_map(|(_, notice)| match notice {
                Notice::Decided(summary) if !summary.contributions.is_empty() => Some(summary),
                _ => None,
            });
            let count = last.map_or(0, |summary| summary.contributions.len());
            assert!(count >= 4, "seed {seed}: {serve:?}: {count} contributions are in");
        }
    }
}

/// A joiner knows nobody yet, so the peer with the first key is the first that it asks for the
/// newest state. That peer costs it one wait, and not the run.
#[test]
fn a_joiner_gets_in_past_the_first_peer_it_asks() {
    for serve in [Serve::Dripping, Serve::Half, Serve::Lying, Serve::Spoiling] {
        for seed in 0..3 {
            let first = (0..5).min_by_key(|n| sim::world::identity(seed, *n).id());
            let mut roles = vec![Role::honest(); 6];
            roles[first.expect("five")] = Role::rogue(&attack::shared(Serves(serve)));
            roles[5].founds = false;
            let rules = Rules { min_members: 5, rounds: 8, ..rules() };
            let mut world = World::new(seed, roles, rules, Net::GOOD);
            (0..5).for_each(|n| world.start(n));
            world.at(1500, Fault::Arrive { node: 5 });
            world.run(10 * 60 * 1000, |world| world.contributions(5) > 0);
            assert!(world.contributions(5) > 0, "seed {seed}: {serve:?} keeps the joiner out");
        }
    }
}
