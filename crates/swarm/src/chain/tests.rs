//! Single rules of a record, each broken by itself.

use super::*;
use crate::{
    Evidence,
    agreement::model::cast::{FAULTY, HEIGHT, RUN, World},
};

fn commit(world: &World, by: usize, change: impl Fn(&mut Commit)) -> Signed<Commit> {
    let mut body = *world.commit(by, HEIGHT).body();
    change(&mut body);
    Signed::seal(&world.keys[by], &RUN, body)
}

#[test]
fn a_commit_fits_its_height_its_base_its_author_and_its_sizes() {
    let world = World::new();
    let fits = |by, change: fn(&mut Commit)| {
        world.chain.check_commit(&world.run, &commit(&world, by, change)).is_ok()
    };
    assert!(fits(0, |_| {}));
    let wrong: [fn(&mut Commit); 8] = [
        |c| c.height += 1,
        |c| c.round += 1,
        |c| c.base = Hash::of(b"elsewhere"),
        |c| (c.steps, c.trail.len) = (3, 32 * 3),
        |c| c.trail.len += 32,
        |c| c.update.len += 1,
        |c| c.carry.len += 1,
        |c| c.carry_before = Some(c.carry),
    ];
    for (n, change) in wrong.into_iter().enumerate() {
        assert!(!fits(0, change), "change {n}");
    }
}

#[test]
fn a_newcomer_in_probation_takes_the_fewest_steps() {
    let mut world = World::new();
    let more: fn(&mut Commit) = |c| (c.steps, c.trail.len) = (8, 32 * 8);
    let fits = |world: &World, change: fn(&mut Commit)| {
        world.chain.check_commit(&world.run, &commit(world, 2, change)).is_ok()
    };
    assert!(fits(&world, more), "it has a vote");
    let id = world.keys[2].id();
    let line = world.chain.members.iter_mut().find(|m| m.id == id);
    line.expect("a member").clean = 0;
    assert!(fits(&world, |_| {}) && !fits(&world, more));
}

/// A verdict by one on another's contribution to the newest advance.
fn verdict(world: &World, by: usize, on: usize, scope: Scope, finding: Finding) -> Signed<Verdict> {
    let contributor = world.keys[on].id();
    let body = Verdict { height: HEIGHT - 1, contributor, scope, finding };
    Signed::seal(&world.keys[by], &RUN, body)
}

fn sorted(mut verdicts: Vec<Signed<Verdict>>) -> Vec<Signed<Verdict>> {
    verdicts.sort_unstable_by_key(Signed::author);
    verdicts
}

fn proves(world: &World, peer: usize, evidence: &Evidence, culprits: &[usize]) -> bool {
    let culprits = culprits.iter().map(|n| world.keys[*n].id()).collect();
    let (peer, cache) = (world.keys[peer].id(), SignatureCache::default());
    world.chain.check_evidence(&world.run, &peer, evidence, &culprits, &cache).is_ok()
}

#[test]
fn a_mismatch_is_proven_by_two_others_of_weight_that_stay() {
    let world = World::new();
    let wrong = Finding::Mismatch { part: 0 };
    let mismatch = |height: u64, scope: Scope, finding: Finding, by: &[usize]| {
        let verdicts = by.iter().map(|n| verdict(&world, *n, FAULTY, scope, finding)).collect();
        Evidence::Mismatch { height, verdicts: sorted(verdicts) }
    };
    let good = mismatch(HEIGHT - 1, Scope::Drawn, wrong, &[0, 1]);
    assert!(proves(&world, FAULTY, &good, &[FAULTY]));
    assert!(proves(&world, FAULTY, &mismatch(HEIGHT - 1, Scope::Drawn, wrong, &[1, 2]), &[FAULTY]));
    assert!(!proves(&world, FAULTY, &good, &[FAULTY, 1]), "a witness goes with it");
    assert!(!proves(&world, 0, &good, &[0]), "about somebody else");
    for by in [&[][..], &[0], &[0, 0], &[0, FAULTY]] {
        let evidence = mismatch(HEIGHT - 1, Scope::Drawn, wrong, by);
        assert!(!proves(&world, FAULTY, &evidence, &[FAULTY]), "by {by:?}");
    }
    let confirmed = Finding::Confirmed { digest: Hash::default() };
    let recheck = Scope::Recheck { auditor: world.keys[2].id() };
    for evidence in [
        mismatch(HEIGHT - 1, Scope::Drawn, confirmed, &[0, 1]),
        mismatch(HEIGHT - 1, recheck, wrong, &[0, 1]),
        mismatch(HEIGHT, Scope::Drawn, wrong, &[0, 1]),
    ] {
        assert!(!proves(&world, FAULTY, &evidence, &[FAULTY]), "{evidence:?}");
    }
}

#[test]
fn what_is_too_long_ago_proves_nothing() {
    let mut world = World::new();
    let wrong = Finding::Mismatch { part: 0 };
    let verdicts = [0, 1].map(|n| verdict(&world, n, FAULTY, Scope::Drawn, wrong)).to_vec();
    let evidence = Evidence::Mismatch { height: HEIGHT - 1, verdicts: sorted(verdicts) };
    world.chain.previous = world.chain.last.take();
    assert!(proves(&world, FAULTY, &evidence, &[FAULTY]), "the advance before the last");
    world.chain.previous = None;
    assert!(!proves(&world, FAULTY, &evidence, &[FAULTY]));
}

#[test]
fn an_accusation_is_refuted_by_two_that_are_neither_accuser_nor_accused() {
    let world = World::new();
    let (part, dispute) = (1, Scope::Dispute { part: 1 });
    let confirmed = Finding::Confirmed { digest: Hash::default() };
    let refuted = |by: &[usize], scope: Scope| {
        let contradictions = by.iter().map(|n| verdict(&world, *n, 0, scope, confirmed)).collect();
        let accusation = verdict(&world, FAULTY, 0, Scope::Drawn, Finding::Mismatch { part });
        let evidence =
            Evidence::FalseAccusation { accusation, contradictions: sorted(contradictions) };
        proves(&world, FAULTY, &evidence, &[FAULTY])
    };
    assert!(refuted(&[1, 2], dispute));
    assert!(!refuted(&[1], dispute), "one alone");
    assert!(!refuted(&[0, 1], dispute), "the accused itself");
    assert!(!refuted(&[1, FAULTY], dispute), "the accuser itself");
    assert!(!refuted(&[1, 2], Scope::Drawn), "of another part");
    assert!(!refuted(&[1, 2], Scope::Dispute { part: 2 }), "of another part");
}

#[test]
fn a_join_counts_for_a_while_and_not_of_members_or_ejected() {
    let mut world = World::new();
    world.chain.height = 100;
    let stranger = crate::Identity::from_seed([9; 32]);
    let join = |who: &crate::Identity, height: u64| {
        let (nonce, chain) = (Hash::default(), Hash::default());
        Signed::seal(who, &RUN, Join { nonce, height, chain, invitation: None })
    };
    assert!(world.chain.may_join(&join(&stranger, 100)));
    assert!(world.chain.may_join(&join(&stranger, 85)));
    assert!(!world.chain.may_join(&join(&stranger, 84)), "too long ago");
    assert!(!world.chain.may_join(&join(&stranger, 101)), "not yet");
    assert!(!world.chain.may_join(&join(&world.keys[0], 100)), "a member");
    world.chain.ejected.insert(stranger.id());
    assert!(!world.chain.may_join(&join(&stranger, 100)), "ejected");
}
