//! What newcomers may cost the others, however many of them there are.

use sim::{world::World, zoo};
use swarm::{Kind, Member, Notice, Rules, SignedRecord};

fn rules(rounds: u32) -> Rules {
    Rules { rounds, ..zoo::rules() }
}

/// The records of a run that this attack was tried on, as the first founder has them.
fn chain(world: &World) -> &[SignedRecord] {
    world.nodes[0].node.as_ref().expect("it runs").chain()
}

fn attacked(name: &str, rules: &Rules) -> World {
    let case = zoo::all().into_iter().find(|case| case.name == name).expect("a known attack");
    let world = zoo::attacked(&case, 0, 0, rules);
    assert!(world.nodes[0].finished.is_some(), "{name} stops the run");
    world
}

fn repairs(world: &World) -> Vec<u32> {
    let repairs = chain(world).iter().map(SignedRecord::record).filter(|r| r.kind == Kind::Repair);
    repairs.map(|r| r.round).collect()
}

#[test]
fn a_lie_that_weighed_nothing_takes_no_repair() {
    let world = attacked("fresh keys (F7)", &rules(10));
    let out = chain(&world).iter().flat_map(|r| r.record().culprits()).count();
    assert!(out >= 3, "{out} liars are out");
    assert_eq!(repairs(&world), [0; 0]);
    // Nor does anybody wait for one, which no rule would let pass.
    let tried =
        |(n, notice): &&(usize, Notice)| *n < 4 && matches!(notice, Notice::WorkFailed { .. });
    let tried: Vec<_> = world.notices.iter().filter(tried).collect();
    assert!(tried.is_empty(), "{tried:?}");
}

#[test]
fn newcomers_have_one_advance_in_nine_repaired_at_most() {
    let world = attacked("in turns", &rules(24));
    // Liars in one advance may come to light one after the other.
    let mut repaired = repairs(&world);
    repaired.dedup();
    assert!(!repaired.is_empty(), "nobody cheated with work that weighed something");
    assert!(
        repaired.windows(2).all(|two| two[1] - two[0] > 8),
        "repairs after rounds {repaired:?}"
    );
}

#[test]
fn a_newcomer_that_does_not_audit_is_credited_with_nothing_more() {
    let rules = rules(16);
    let world = attacked("silent voters", &rules);
    let last = chain(&world).last().expect("records").record();
    let silent = |m: &&Member| world.nodes.iter().skip(4).any(|p| p.identity.id() == m.id);
    let voting = last.members.iter().filter(silent).filter(|m| m.votes(&rules));
    let clean: Vec<u32> = voting.map(|m| m.clean).collect();
    assert!(!clean.is_empty(), "none came far enough to vote");
    // One more may have been confirmed for what it did before it knew that it votes.
    assert!(clean.iter().all(|clean| *clean <= rules.probation + 1), "{clean:?}");
}

#[test]
fn a_newcomer_that_withholds_begins_again() {
    let rules = rules(16);
    let world = attacked("closed", &rules);
    let mut again = 0;
    for peer in world.nodes.iter().skip(4) {
        let id = peer.identity.id();
        let line = |r: &SignedRecord| r.record().members.iter().find(|m| m.id == id).copied();
        let lines: Vec<Member> = chain(&world).iter().filter_map(line).collect();
        let clean: Vec<u32> = lines.iter().map(|m| m.clean).collect();
        // It has a vote, its work is checked by single steps, and what these take it keeps back.
        again += clean.windows(2).filter(|two| two[1] < two[0]).count();
        assert!(clean.iter().all(|clean| *clean <= rules.probation + 2), "{clean:?}");
        assert!(lines.iter().all(|m| !m.is_settled(&rules)));
    }
    assert!(again > 0, "nobody has withheld anything");
}
