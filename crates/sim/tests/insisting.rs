//! What honest voters make sure of, whoever proposes and however slowly somebody serves.

use sim::{world::World, zoo};
use std::collections::BTreeSet;
use swarm::{Kind, Member, PeerId, Record, Signed};

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
