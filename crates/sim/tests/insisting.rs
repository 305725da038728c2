//! What honest voters make sure of, whoever proposes and however slowly somebody serves.

use ids::{Hash, PeerId};
use sim::{
    attack::{Attack, Saying, Scene, shared},
    habits::Habit::{Honest, SignFlip},
    work,
    world::{Fault, Net, Role, World},
    zoo,
};
use std::collections::BTreeSet;
use swarm::{AuditJob, AuditOutcome, Kind, Member, Message, Record, Rules, Signed, Step};

const LIMIT: u64 = 3 * 60 * 1000;

/// Ten founding voters, of which the last three are attackers.
fn attacked(name: &str, seed: u64) -> World {
    let case = zoo::all().into_iter().find(|case| case.name == name).expect("a known attack");
    let world = zoo::attacked(&case, 3, seed, &zoo::rules());
    assert!(world.nodes[0].finished.is_some(), "{name} stops the run");
    world
}

fn records(world: &World) -> impl Iterator<Item = &Record> {
    let node = world.nodes[0].node.as_ref().expect("it runs");
    node.chain().iter().map(swarm::SignedRecord::record)
}

#[test]
fn no_record_lacks_the_links_of_honest_voters_however_late_its_view() {
    let (mut late, mut missing) = (0, Vec::new());
    for seed in 0..2 {
        let world = attacked("left out late (A2)", seed);
        let honest: BTreeSet<PeerId> = world.nodes[..7].iter().map(|p| p.identity.id()).collect();
        let chain = world.nodes[0].node.as_ref().expect("it runs").chain();
        late += chain.iter().filter(|r| r.certificate().view > 0).count();
        for record in records(&world).filter(|r| r.kind == Kind::Advance && r.height > 1) {
            let shown = record.shows.iter().map(Signed::author).collect();
            let lacks = honest.difference(&shown).count();
            missing.extend((lacks > 0).then_some((seed, record.height, lacks)));
        }
    }
    assert!(late > 2, "{late} records of late views: nobody tried");
    assert!(missing.is_empty(), "seed, height, links that are missing: {missing:?}");
}

#[test]
fn who_serves_too_slowly_loses_standing() {
    let world = attacked("crawl (A1)", 0);
    let standing = |record: &Record| -> u64 {
        let slow = |m: &&Member| world.nodes[7..].iter().any(|p| p.identity.id() == m.id);
        record.members.iter().filter(slow).map(Member::standing).sum()
    };
    let all: Vec<u64> = records(&world).map(standing).collect();
    let (first, last) = (all[0], all[all.len() - 1]);
    assert!(last < first * 3 / 4, "{first} at first, {last} at last");
}

/// Confirms whatever it draws; answers disputes truthfully. Once a cheat is out and a round has
/// gone by it says nothing, or nothing but prevotes, so that the others may be bound to a record that
/// is never decided.
struct Binder {
    prevotes: bool,
    confirmed: BTreeSet<(u64, PeerId)>,
}

fn binder(prevotes: bool) -> Role {
    Role::rogue(&shared(Binder { prevotes, confirmed: BTreeSet::new() }))
}

impl Attack for Binder {
    fn audit(&mut self, _: &mut Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        match honest {
            AuditOutcome::Mismatch { .. }
                if !self.prevotes && self.confirmed.insert((job.job.height, job.job.worker)) =>
            {
                AuditOutcome::Confirmed { digest: Hash::of(b"did not look") }
            }
            other => other,
        }
    }

    fn says(&mut self, scene: &mut Scene, _: usize, message: &Message) -> Option<Vec<Saying>> {
        let chain = scene.node.and_then(|n| n.chain_state());
        let late = chain.is_some_and(|c| !c.ejected.is_empty() && c.kind != Kind::Repair);
        let prevote = matches!(message, Message::Vote(vote) if vote.body().step == Step::Prevote);
        let silent = late && !(self.prevotes && prevote);
        silent.then(Vec::new)
    }
}

/// Two of the honest are away while a cheat is judged. Its work is gone when they are back, so they
/// cannot re-run it any more, and the others, of whom there are five of nine, are bound to a record
/// that ejects who confirmed it, by the prevote of one that then falls silent.
#[test]
fn who_cannot_re_run_what_is_gone_leaves_nobody_bound() {
    let rules = Rules { min_members: 10, audit_milli: 4000, recheck_ppm: 0, ..work::rules() };
    let mut bound = 0;
    for seed in 0..2 {
        let mut roles: Vec<Role> = (0..7).map(|_| Honest.role()).collect();
        roles.extend([binder(true), binder(false), SignFlip.role()]);
        let mut world = World::new(seed, roles, rules.clone(), Net::GOOD);
        (0..10).for_each(|n| world.start(n));
        world.run(LIMIT, |world| {
            let mut nodes = world.nodes.iter();
            nodes.any(|n| n.node.as_ref().is_some_and(|n| n.status().height > Some(0)))
        });
        for node in 0..2 {
            world.at(world.now, Fault::Crash { node, after_actions: 0 });
        }
        world.run(LIMIT, |world| world.is_ejected(9));
        for node in 0..2 {
            world.at(world.now, Fault::Restart { node });
        }
        world.run(LIMIT, |world| (0..7).all(|n| world.nodes[n].finished.is_some()));
        let done = (0..7).filter(|n| world.nodes[*n].finished.is_some()).count();
        assert!(done == 7, "seed {seed}: only {done} of 7 came to the end");
        bound += u32::from(world.is_ejected(8));
    }
    assert!(bound > 0, "nothing was at stake");
}
