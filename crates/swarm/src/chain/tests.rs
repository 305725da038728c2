//! Single rules of a record, each broken by itself.

use super::*;
use crate::{
    Evidence, Member, Sample, Step, Vote,
    agreement::model::cast::{FAULTY, HEIGHT, RUN, World},
    members::fresh_member,
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
fn an_accusation_is_refuted_only_of_work_that_is_there() {
    let mut world = World::new();
    let confirmed = Finding::Confirmed { digest: Hash::default() };
    let refuted = |world: &World| {
        let answer = |n| verdict(world, n, 0, Scope::Dispute { part: 1 }, confirmed);
        let accusation = verdict(world, FAULTY, 0, Scope::Drawn, Finding::Mismatch { part: 1 });
        let contradictions = sorted([1, 2].map(answer).to_vec());
        let evidence = Evidence::FalseAccusation { accusation, contradictions };
        proves(world, FAULTY, &evidence, &[FAULTY])
    };
    assert!(refuted(&world));
    let last = world.chain.last.take().expect("an advance");
    world.chain.last = Some(last.without(&BTreeSet::from([world.keys[0].id()])));
    assert!(!refuted(&world), "nobody can re-run it any more");
}

/// A world in which the record has a link of number 2 that draws single parts of the work of the
/// faulty one; the last part that it drew, and one that it did not draw.
fn drawn_by_two() -> (World, u32, u32) {
    let mut world = World::new();
    world.run.rules.audit_milli = 2000;
    let (auditor, author) = (world.keys[2].id(), world.keys[FAULTY].id());
    let link = crate::draw::own_link(&world.keys[2], &RUN, &world.run.rules, 1, HEIGHT - 2);
    let link = link.expect("the chain is long enough");
    let line = world.chain.members.iter_mut().find(|m| m.id == auditor).expect("a member");
    (line.link, line.link_at) = (link, HEIGHT - 1);
    let advance = world.chain.last.as_mut().expect("an advance");
    for line in advance.members.iter_mut().filter(|m| m.id == author) {
        line.clean = 100;
    }
    let claimed = advance.claimed(&author).expect("it has contributed").clone();
    for n in 0..10_000u32 {
        advance.record = Hash::of(&n.to_le_bytes());
        let drawn = advance.own_sample(&world.run, &auditor, &link, &claimed);
        let Some(Sample::Parts(parts)) = drawn else { continue };
        let other = (0..claimed.body().steps).find(|part| !parts.contains(part));
        if let (Some(part), Some(other)) = (parts.last(), other) {
            return (world, *part, other);
        }
    }
    panic!("nothing is drawn");
}

#[test]
fn what_was_wrong_is_held_against_whoever_had_drawn_and_confirmed_it() {
    let (mut world, drawn, other) = drawn_by_two();
    let confirmation =
        verdict(&world, 2, FAULTY, Scope::Drawn, Finding::Confirmed { digest: Hash::default() });
    let blind = |world: &World, by: &[usize], scope: Scope, part: u32| {
        let found = |n: &usize| verdict(world, *n, FAULTY, scope, Finding::Mismatch { part });
        let verdicts = sorted(by.iter().map(found).collect());
        let confirmation = confirmation.clone();
        proves(world, 2, &Evidence::BlindConfirmation { confirmation, verdicts }, &[2])
    };
    let steps = world.chain.last.as_ref().expect("an advance").contributions[0].body().steps;
    for gone in [false, true] {
        if gone {
            let culprit = BTreeSet::from([world.keys[FAULTY].id()]);
            let last = world.chain.last.take().expect("an advance");
            world.chain.last = Some(last.without(&culprit));
            world.chain.ejected = culprit;
        }
        for part in [drawn, steps] {
            assert!(blind(&world, &[0, 1], Scope::Drawn, part), "part {part}, gone: {gone}");
            assert!(blind(&world, &[0, 1], Scope::Dispute { part }, part), "answered");
        }
        assert!(!blind(&world, &[0, 1], Scope::Drawn, other), "it had drawn another part");
        assert!(!blind(&world, &[0], Scope::Drawn, drawn), "one alone");
        assert!(!blind(&world, &[0, 2], Scope::Drawn, drawn), "itself");
        assert!(!blind(&world, &[0, FAULTY], Scope::Drawn, drawn), "whose work it is");
        let recheck = Scope::Recheck { auditor: world.keys[1].id() };
        assert!(!blind(&world, &[0, 1], recheck, drawn), "about another confirmation");
    }
    let auditor = world.keys[2].id();
    let line = world.chain.members.iter_mut().find(|m| m.id == auditor).expect("a member");
    line.link_at = HEIGHT - 2;
    assert!(!blind(&world, &[0, 1], Scope::Drawn, drawn), "its link is in no record yet");
    line_joined_later(&mut world, &auditor);
    assert!(!blind(&world, &[0, 1], Scope::Drawn, drawn), "it was no member then");
}

/// It left and came back: its links are those of another chain.
fn line_joined_later(world: &mut World, id: &PeerId) {
    let line = world.chain.members.iter_mut().find(|m| m.id == *id).expect("a member");
    (line.joined, line.link_at) = (HEIGHT - 1, HEIGHT - 1);
}

#[test]
fn a_join_counts_for_a_while_and_not_of_members_or_ejected() {
    let mut world = World::new();
    world.chain.height = 100;
    let stranger = ids::Identity::from_seed([9; 32]);
    let join = |who: &ids::Identity, height: u64| {
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

/// Why a record may not follow, filled in as its proposer would.
fn refused(world: &World, mut record: Record, change: impl Fn(&mut Record)) -> Option<String> {
    world.chain.complete(&world.run, &mut record);
    change(&mut record);
    let (hash, cache) = (Record::hash_of(&record.to_bytes()), SignatureCache::default());
    world.chain.ruling_on(&world.run, &record, hash, &cache).err()
}

fn certified(world: &World, by: &[usize], run: &Hash) -> Result<ChainState, ChainError> {
    let mut record = world.advance(0);
    world.chain.complete(&world.run, &mut record);
    let body = record.to_bytes();
    let value = Some(Record::hash_of(&body));
    let vote = Vote { height: HEIGHT, view: 0, step: Step::Precommit, value };
    let stranger = ids::Identity::from_seed([9; 32]);
    let sign = |n: &usize| {
        let who = world.keys.get(*n).unwrap_or(&stranger);
        (who.id(), Signed::seal(who, run, vote).signature())
    };
    let mut signatures: Vec<_> = by.iter().map(sign).collect();
    signatures.sort_unstable();
    let record = SignedRecord::new(body, Certificate { view: 0, signatures }).expect("a record");
    ChainState::follow(Some(&world.chain), &world.run, &record, &SignatureCache::default())
}

#[test]
fn a_certificate_takes_a_quorum_of_voters() {
    let world = World::new();
    let follows = |by: &[usize]| certified(&world, by, &RUN).is_ok();
    assert!(follows(&[0, 1, FAULTY]) && follows(&[0, 1, 2, FAULTY]));
    assert!(!follows(&[]) && !follows(&[0, 1]) && !follows(&[0, 0, 0]));
    assert!(!follows(&[0, 1, FAULTY, 9]), "a stranger among them");
    assert!(certified(&world, &[0, 1, FAULTY], &Hash::of(b"another")).is_err());
}

#[test]
fn what_follows_from_a_record_is_in_it() {
    let world = World::new();
    let advance = || world.advance(0);
    assert_eq!(refused(&world, advance(), |_| ()), None);
    let wrong: [fn(&mut Record); 7] = [
        |r| r.members[0].grant += 1,
        |r| r.beacon = Hash::of(b"chosen"),
        |r| r.round += 1,
        |r| r.prev = Hash::of(b"elsewhere"),
        |r| r.run = Hash::of(b"another"),
        |r| r.contributions[0].haves.clear(),
        |r| r.contributions[0].haves.truncate(1),
    ];
    for (n, change) in wrong.into_iter().enumerate() {
        assert!(refused(&world, advance(), change).is_some(), "change {n}");
    }
}

#[test]
fn an_advance_has_work_and_the_end_comes_after_all_rounds() {
    let mut world = World::new();
    let idle = Record { contributions: Vec::new(), ..world.advance(0) };
    assert!(refused(&world, idle, |_| ()).expect("no work").contains("of any weight"));
    let end = |world: &World| refused(world, world.blank(Kind::Close), |_| ());
    assert!(end(&world).expect("too early").contains("rounds are done"));
    world.chain.round = world.run.rules.rounds;
    assert_eq!(end(&world), None);
}

/// Who weighs a third of a voter holds too little alone, and the author counts for nothing.
#[test]
fn holders_weigh_more_than_may_be_faulty() {
    let world = World::new();
    let holds = |by: &[usize]| {
        let holders = by.iter().map(|n| world.keys[*n].id());
        world.chain.enough_hold(&world.run, &world.keys[0].id(), holders)
    };
    assert!(holds(&[1, 2]) && holds(&[1, FAULTY]));
    assert!(!holds(&[2]) && !holds(&[0, 2]) && !holds(&[0]));
}

#[test]
fn a_repair_is_about_the_last_advance_and_does_nothing_else() {
    let mut world = World::new();
    let repair = |world: &World| world.repair(&[FAULTY], &[0, 1]);
    assert_eq!(refused(&world, repair(&world), |_| ()), None);
    let with_work = Record { contributions: world.advance(0).contributions, ..repair(&world) };
    assert!(refused(&world, with_work, |_| ()).is_some());
    assert!(refused(&world, Record { ejected: Vec::new(), ..repair(&world) }, |_| ()).is_some());
    // Without any contribution that is left, the model goes back to what it was.
    let all = world.repair(&[0, FAULTY], &[1, 2]);
    assert_eq!(refused(&world, all.clone(), |_| ()), None);
    let better = |r: &mut Record| r.state.model.hash = Hash::of(b"a better model");
    assert!(refused(&world, all, better).is_some());
    // What came to light late ejects, but does not redo.
    let late = repair(&world);
    let mut last = world.chain.last.clone().expect("an advance");
    world.chain.previous = Some(last.clone());
    last.height = HEIGHT;
    world.chain.last = Some(last);
    assert!(refused(&world, late, |_| ()).expect("it is too late").contains("no part in the last"));
}

#[test]
fn statements_in_a_record_are_signed_for_this_run() {
    let world = World::new();
    let other = Hash::of(b"another run");
    let commit = world.commit(0, HEIGHT);
    let unsigned = ids::Signature([0; 64]);
    let unsigned = Signed::assemble(&RUN, commit.author(), *commit.body(), unsigned);
    let record = world.advance_with(0, unsigned);
    assert!(refused(&world, record, |_| ()).expect("nobody's commit").contains("not signed"));
    let stranger = ids::Identity::from_seed([9; 32]);
    let join = Join { nonce: other, height: HEIGHT - 1, chain: other, invitation: None };
    let joins = |run: &Hash| vec![Signed::seal(&stranger, run, join)];
    let with = |run: &Hash| Record { joins: joins(run), ..world.advance(0) };
    assert_eq!(refused(&world, with(&RUN), |_| ()), None);
    assert!(refused(&world, with(&other), |_| ()).is_some(), "a join for another run");
    let wrong = Verdict {
        height: HEIGHT - 1,
        contributor: world.keys[FAULTY].id(),
        scope: Scope::Drawn,
        finding: Finding::Mismatch { part: 0 },
    };
    let forged = |n: usize| Signed::seal(&world.keys[n], &other, wrong);
    let evidence =
        Evidence::Mismatch { height: HEIGHT - 1, verdicts: sorted(vec![forged(0), forged(1)]) };
    assert!(!proves(&world, FAULTY, &evidence, &[FAULTY]), "verdicts for another run");
}

#[test]
fn a_confirmation_is_blind_if_those_who_made_it_again_say_so() {
    let world = World::new();
    let wrong = Finding::Mismatch { part: 0 };
    let blind = |of: usize| {
        let digest = Hash::default();
        let confirmation = verdict(&world, 0, FAULTY, Scope::Drawn, Finding::Confirmed { digest });
        let scope = Scope::Recheck { auditor: world.keys[of].id() };
        let verdicts = [1, 2].map(|n| verdict(&world, n, FAULTY, scope, wrong)).to_vec();
        let evidence = Evidence::BlindConfirmation { confirmation, verdicts: sorted(verdicts) };
        proves(&world, 0, &evidence, &[0])
    };
    assert!(blind(0));
    assert!(!blind(1), "they made somebody else's again");
}

#[test]
fn links_are_those_of_the_chains_committed_to_and_signed() {
    let mut world = World::new();
    let by = 1;
    let link = |after| {
        crate::draw::own_link(&world.keys[by], &RUN, &world.run.rules, 0, after).expect("in reach")
    };
    let (end, right) = (link(0), link(HEIGHT - 1));
    let id = world.keys[by].id();
    for m in world.chain.members.iter_mut().filter(|m| m.id == id) {
        m.link = end;
    }
    let shown = |link: Hash, run: &Hash| {
        let show = Signed::seal(&world.keys[by], run, Show { height: HEIGHT - 1, link });
        Record { shows: vec![show], ..world.advance(0) }
    };
    assert_eq!(refused(&world, shown(right, &RUN), |_| ()), None);
    assert!(refused(&world, shown(end, &RUN), |_| ()).is_some());
    assert!(refused(&world, shown(right, &Hash::of(b"another")), |_| ()).is_some());
}

/// The advance that the model of the agreement decides on takes standing from whoever showed no
/// link; what it takes to decide is by the standing before.
#[test]
fn who_decides_on_a_record_is_not_changed_by_it() {
    let world = World::new();
    let mut record = world.advance(0);
    world.chain.complete(&world.run, &mut record);
    let (hash, cache) = (Record::hash_of(&record.to_bytes()), SignatureCache::default());
    let after = ChainState::after(Some(&world.chain), &world.run, &record, hash, &cache);
    let (before, after) =
        (world.chain.electorate(&world.run), after.expect("it follows").electorate(&world.run));
    assert_ne!(before.weights(), after.weights());
    let ruling = world.chain.ruling_on(&world.run, &record, hash, &cache).expect("it follows");
    assert_eq!(ruling.needed, before.quorum());
    assert_ne!(ruling.needed, after.quorum());
}

#[test]
fn newcomers_links_change_no_beacon() {
    let world = World::new();
    let show = |by: usize, link: &[u8]| {
        let link = Hash::of(link);
        Signed::seal(&world.keys[by], &RUN, Show { height: HEIGHT - 1, link })
    };
    let beacon = |shows: Vec<Signed<Show>>| {
        world.chain.expected(&world.run, &Record { shows, ..world.advance(0) }).beacon
    };
    let alone = beacon(vec![show(0, b"a")]);
    assert_ne!(beacon(vec![show(0, b"b")]), alone);
    assert_eq!(beacon(vec![show(0, b"a"), show(2, b"c")]), alone, "number 2 is a newcomer");
    assert_ne!(beacon(vec![show(0, b"a"), show(1, b"c")]), alone);
    assert_ne!(beacon(vec![show(2, b"c")]), beacon(vec![show(2, b"d")]), "nobody else shows any");
}

#[test]
fn work_that_weighed_nothing_is_not_repaired() {
    let mut world = World::new();
    let repair = world.repair(&[FAULTY], &[0, 1]);
    assert_eq!(refused(&world, repair.clone(), |_| ()), None);
    let id = world.keys[FAULTY].id();
    let last = world.chain.last.as_mut().expect("an advance");
    for line in last.base_members.iter_mut().filter(|m| m.id == id) {
        (line.grant, line.clean) = (0, 0);
    }
    assert!(refused(&world, repair, |_| ()).is_some());
}

#[test]
fn after_a_repair_that_newcomers_caused_their_work_weighs_nothing_for_eight_rounds() {
    let mut world = World::new();
    let commits = [world.commit(0, HEIGHT), world.commit(2, HEIGHT)];
    let newcomers = |chain: &ChainState| chain.included(&world.run, &commits)[1].weight;
    assert!(newcomers(&world.chain) > 0);
    let id = world.keys[FAULTY].id();
    let line = world.chain.members.iter_mut().find(|m| m.id == id).expect("a member");
    (line.grant, line.clean) = (0, world.run.rules.probation);
    let mut after = world.chain.expected(&world.run, &world.repair(&[FAULTY], &[0, 1]));
    assert_eq!(newcomers(&after), 0);
    after.round += WARY_ROUNDS;
    assert!(newcomers(&after) > 0);
    let settled = world.chain.expected(&world.run, &world.repair(&[0], &[1, FAULTY]));
    assert!(newcomers(&settled) > 0, "a settled member's lie says nothing of newcomers");
}

#[test]
fn rounds_wait_for_settled_voters() {
    let world = World::new();
    let mut settled = [0, 1, FAULTY].map(|n| world.keys[n].id());
    settled.sort_unstable();
    assert_eq!(world.chain.awaited(&world.run), settled);
}

#[test]
fn who_withholds_from_more_than_may_be_faulty_is_in_probation_again() {
    let mut world = World::new();
    let id = world.keys[FAULTY].id();
    world.chain.members.iter_mut().filter(|m| m.id == id).for_each(|m| m.clean = 5);
    let clean_after = |by: &[usize]| {
        let missing = Finding::Unavailable { part: 0, missing: Hash::default() };
        let say = |n: &usize| verdict(&world, *n, FAULTY, Scope::Dispute { part: 0 }, missing);
        let verdicts = sorted(by.iter().map(say).collect());
        let mut record = Record { verdicts, ..world.advance(0) };
        world.chain.complete(&world.run, &mut record);
        let (hash, cache) = (Record::hash_of(&record.to_bytes()), SignatureCache::default());
        let after = ChainState::after(Some(&world.chain), &world.run, &record, hash, &cache);
        after.expect("it follows").member(&id).expect("it stays").clean
    };
    assert_eq!(clean_after(&[0, 1]), 0);
    assert_eq!(clean_after(&[2]), 5, "one newcomer says so");
}

#[test]
fn two_verdicts_on_one_drawn_audit_are_a_contradiction() {
    let world = World::new();
    let said = |on: usize, scope: Scope, digest: &[u8]| {
        let finding = Finding::Confirmed { digest: Hash::of(digest) };
        verdict(&world, 0, on, scope, finding).envelope().clone()
    };
    let proof = |a, b| Evidence::equivocation(&a, &b);
    let (drawn, dispute) = (Scope::Drawn, Scope::Dispute { part: 0 });
    let evidence = proof(said(1, drawn, b"one"), said(1, drawn, b"another"));
    assert!(proves(&world, 0, &evidence.expect("a contradiction"), &[0]));
    assert_eq!(proof(said(1, drawn, b"one"), said(1, drawn, b"one")), None);
    assert_eq!(proof(said(1, drawn, b"one"), said(2, drawn, b"another")), None, "other work");
    assert_eq!(proof(said(1, dispute, b"one"), said(1, dispute, b"another")), None);
}

#[test]
fn what_is_not_to_be_had_is_the_first_part_that_was_drawn() {
    let missing = |part: u32| Finding::Unavailable { part, missing: Hash::default() };
    let parts = Sample::Parts(vec![3, 5]);
    assert!(parts.allows(&missing(3)) && !parts.allows(&missing(5)) && !parts.allows(&missing(0)));
    assert!(Sample::All.allows(&missing(0)) && !Sample::All.allows(&missing(1)));
    assert!(parts.allows(&Finding::Mismatch { part: 0 }), "what is wrong may be anywhere");
}

#[test]
fn nobody_pays_for_audits_that_a_newcomer_that_votes_can_hold_up() {
    let world = World::new();
    let line =
        |clean: u32, grant: u64| Member { clean, grant, ..fresh_member(world.keys[0].id(), 0) };
    let rules = &world.run.rules;
    assert!(line(0, 0).is_audited_in_time(rules), "whoever votes has all that it takes");
    assert!(!line(rules.probation, 0).is_audited_in_time(rules));
    assert!(line(rules.tenure(), 0).is_audited_in_time(rules));
    assert!(line(0, 1).is_audited_in_time(rules));
}
