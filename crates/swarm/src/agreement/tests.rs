use super::*;
use ids::Identity;

const RUN: Hash = Hash([7; 32]);

fn peers() -> Vec<Identity> {
    let mut peers: Vec<Identity> = (1..=4).map(|n| Identity::from_seed([n; 32])).collect();
    peers.sort_unstable_by_key(Identity::id);
    peers
}

fn voters() -> Electorate {
    Electorate::from_weights(peers().iter().map(|p| (p.id(), 10)).collect())
}

fn agreement(me: usize) -> Agreement {
    Agreement::new(1, voters(), peers()[me].id(), RUN, 1000)
}

/// What decides on a value that ejects some.
fn ruling(culprits: &[PeerId]) -> Ruling {
    let voters = voters();
    let excluded: BTreeSet<PeerId> = culprits.iter().copied().collect();
    let needed = match voters.weight_of(culprits.iter().copied()) {
        0 => voters.quorum(),
        weight => voters.repair_quorum(weight),
    };
    Ruling { excluded, needed }
}

/// A peer that neither proposes in view 0 nor in view 1.
fn bystander() -> usize {
    let probe = agreement(0);
    let busy = [probe.proposer(0), probe.proposer(1)];
    peers().iter().position(|p| !busy.contains(&Some(p.id()))).expect("four peers, two proposers")
}

fn vote(by: usize, view: u32, step: Step, value: Option<Hash>) -> Signed<Vote> {
    Signed::seal(&peers()[by], &RUN, Vote { height: 1, view, step, value })
}

fn value(text: &str) -> (Hash, Vec<u8>) {
    (Hash::of(text.as_bytes()), text.as_bytes().to_vec())
}

/// Hands in the proposal of `text` by whoever's turn it is, already judged valid.
fn propose(agreement: &mut Agreement, view: u32, valid_view: Option<u32>, text: &str) -> Hash {
    let (hash, body) = value(text);
    let proposer = agreement.proposer(view).expect("there are voters");
    let identity = peers().into_iter().find(|p| p.id() == proposer).expect("a peer");
    let proposal = Proposal { height: 1, view, valid_view, value: hash };
    let header = Signed::seal(&identity, &RUN, proposal);
    assert_eq!(agreement.propose(header, body, Some(ruling(&[]))), Taken::New);
    agreement.judge(&hash, Validity::Valid);
    hash
}

/// Runs until nothing more comes, signing votes as the node does; gives what was put out.
fn drive(agreement: &mut Agreement, me: usize, now: u64) -> Vec<Output> {
    let mut all = Vec::new();
    loop {
        let outputs = agreement.run(Time(now));
        if outputs.is_empty() {
            return all;
        }
        for output in &outputs {
            if let Output::Vote { view, step, value } = output {
                agreement.vote(vote(me, *view, *step, *value));
            }
        }
        all.extend(outputs);
    }
}

fn others(me: usize) -> impl Iterator<Item = usize> {
    (0..4).filter(move |n| *n != me)
}

#[test]
fn a_valid_proposal_is_prevoted_locked_precommitted_and_decided() {
    let me = bystander();
    let mut a = agreement(me);
    let hash = propose(&mut a, 0, None, "A");
    let prevote = Output::Vote { view: 0, step: Step::Prevote, value: Some(hash) };
    assert_eq!(drive(&mut a, me, 0), [prevote]);
    for n in others(me).take(2) {
        a.vote(vote(n, 0, Step::Prevote, Some(hash)));
    }
    let lock = Output::Lock { view: 0, value: hash };
    let precommit = Output::Vote { view: 0, step: Step::Precommit, value: Some(hash) };
    assert_eq!(drive(&mut a, me, 1), [lock, precommit]);
    a.vote(vote(others(me).next().expect("others"), 0, Step::Precommit, Some(hash)));
    assert_eq!(drive(&mut a, me, 2), [], "two of four decide nothing");
    a.vote(vote(others(me).nth(1).expect("others"), 0, Step::Precommit, Some(hash)));
    assert_eq!(drive(&mut a, me, 3), [Output::Decided { view: 0, value: hash }]);
    assert_eq!(a.precommits(0, &hash).len(), 3);
}

/// Locked on A in view 0, now in view 1.
fn locked_on_a(me: usize) -> (Agreement, Hash) {
    let mut a = agreement(me);
    let hash = propose(&mut a, 0, None, "A");
    for n in others(me).take(2) {
        a.vote(vote(n, 0, Step::Prevote, Some(hash)));
    }
    drive(&mut a, me, 0);
    for n in others(me).take(2) {
        a.vote(vote(n, 0, Step::Precommit, None));
    }
    drive(&mut a, me, 1);
    drive(&mut a, me, 10_000);
    assert_eq!(a.view(), 1);
    (a, hash)
}

#[test]
fn a_locked_voter_prevotes_nothing_else_without_a_newer_quorum() {
    let me = bystander();
    let (mut a, _) = locked_on_a(me);
    propose(&mut a, 1, None, "B");
    let nil = Output::Vote { view: 1, step: Step::Prevote, value: None };
    assert_eq!(drive(&mut a, me, 10_001), [nil]);
}

/// More views than the model looks at.
#[test]
fn a_quorum_older_than_the_lock_frees_nobody() {
    let probe = agreement(0);
    let busy: Vec<_> = (0..3).map(|view| probe.proposer(view)).collect();
    let me = peers().iter().position(|p| !busy.contains(&Some(p.id()))).expect("a fourth");
    let mut a = agreement(me);
    let go_on = |a: &mut Agreement, view: u32, now: u64| {
        for n in others(me) {
            a.vote(vote(n, view, Step::Precommit, None));
        }
        drive(a, me, now);
        drive(a, me, now + 10_000);
        assert_eq!(a.view(), view + 1);
    };
    let b = propose(&mut a, 0, None, "B");
    drive(&mut a, me, 0);
    go_on(&mut a, 0, 1);
    let hash = propose(&mut a, 1, None, "A");
    for n in others(me).take(2) {
        a.vote(vote(n, 1, Step::Prevote, Some(hash)));
    }
    drive(&mut a, me, 10_001);
    assert_eq!(a.locked, Some((1, hash)));
    go_on(&mut a, 1, 10_002);
    for n in others(me).take(2) {
        a.vote(vote(n, 0, Step::Prevote, Some(b)));
    }
    propose(&mut a, 2, Some(0), "B");
    let nil = Output::Vote { view: 2, step: Step::Prevote, value: None };
    assert_eq!(drive(&mut a, me, 20_003), [nil]);
}

#[test]
fn a_locked_voter_prevotes_what_it_is_locked_on() {
    let me = bystander();
    let (mut a, hash) = locked_on_a(me);
    assert_eq!(propose(&mut a, 1, Some(0), "A"), hash);
    let again = Output::Vote { view: 1, step: Step::Prevote, value: Some(hash) };
    assert_eq!(drive(&mut a, me, 10_001), [again]);
}

#[test]
fn a_restored_voter_repeats_nothing_and_keeps_its_lock() {
    let me = bystander();
    let mut a = agreement(me);
    let (hash, body) = value("A");
    a.restore_view(0);
    a.vote(vote(me, 0, Step::Prevote, Some(hash)));
    a.vote(vote(me, 0, Step::Precommit, Some(hash)));
    a.restore_lock(0, hash, body, ruling(&[]));
    a.resume(Time(0));
    propose(&mut a, 0, None, "B");
    assert_eq!(drive(&mut a, me, 5000), [], "it has voted in this view");
    for n in others(me).take(2) {
        a.vote(vote(n, 1, Step::Prevote, None));
    }
    assert_eq!(drive(&mut a, me, 6000), [Output::View(1)], "f + 1 others are further");
    propose(&mut a, 1, None, "B");
    let nil = Output::Vote { view: 1, step: Step::Prevote, value: None };
    assert!(drive(&mut a, me, 6001).contains(&nil), "locked on A");
}

#[test]
fn a_silent_proposer_costs_one_view() {
    let me = bystander();
    let mut a = agreement(me);
    a.begin(Time(0));
    assert_eq!(drive(&mut a, me, 999), []);
    assert_eq!(a.deadline(), Some(Time(1000)));
    let nil = |step| Output::Vote { view: 0, step, value: None };
    assert_eq!(drive(&mut a, me, 1000), [nil(Step::Prevote)]);
    for n in others(me).take(2) {
        a.vote(vote(n, 0, Step::Prevote, None));
        a.vote(vote(n, 0, Step::Precommit, None));
    }
    assert_eq!(drive(&mut a, me, 1001), [nil(Step::Precommit)]);
    assert_eq!(drive(&mut a, me, 1501), [Output::View(1)]);
    assert_eq!(a.deadline(), Some(Time(3501)), "later views are longer");
}

#[test]
fn contradictions_are_found_and_far_views_ignored() {
    let me = bystander();
    let mut a = agreement(me);
    let by = others(me).next().expect("others");
    let first = vote(by, 0, Step::Prevote, None);
    assert_eq!(a.vote(first.clone()), Taken::New);
    assert_eq!(a.vote(first.clone()), Taken::Ignored);
    let second = vote(by, 0, Step::Prevote, Some(Hash::of(b"A")));
    assert_eq!(a.vote(second), Taken::Contradicts(first.envelope().clone()));
    assert_eq!(a.vote(vote(by, u32::MAX, Step::Prevote, None)), Taken::Ignored);
    let stranger = Identity::from_seed([9; 32]);
    let body = Vote { height: 1, view: 0, step: Step::Prevote, value: None };
    assert_eq!(a.vote(Signed::seal(&stranger, &RUN, body)), Taken::Ignored);
    // Votes for views ahead are bounded; the newest stay.
    for view in 1..100 {
        a.vote(vote(by, view, Step::Prevote, None));
    }
    let author = peers()[by].id();
    let kept = (1..100).filter(|v| a.known_vote(*v, Step::Prevote, &author).is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [96, 97, 98, 99]);
}

/// Each by itself; the last one, which breaks nothing, is taken.
#[test]
fn what_is_not_for_this_agreement_is_ignored() {
    let mut a = agreement(bystander());
    let (value, body) = value("A");
    let whose = |a: &Agreement, view: u32| {
        let by = a.proposer(view).expect("there are voters");
        peers().into_iter().find(|p| p.id() == by).expect("a peer")
    };
    let mut taken = |by: &Identity, proposal: Proposal| {
        a.propose(Signed::seal(by, &RUN, proposal), body.clone(), Some(ruling(&[])))
    };
    let probe = agreement(bystander());
    let (first, far) = (whose(&probe, 0), whose(&probe, 9));
    let good = Proposal { height: 1, view: 0, valid_view: None, value };
    let stranger = Identity::from_seed([9; 32]);
    assert_eq!(taken(&first, Proposal { height: 2, ..good }), Taken::Ignored);
    assert_eq!(taken(&first, Proposal { valid_view: Some(0), ..good }), Taken::Ignored);
    assert_eq!(taken(&far, Proposal { view: 9, ..good }), Taken::Ignored, "too far ahead");
    assert_eq!(taken(&stranger, good), Taken::Ignored, "out of turn");
    assert_eq!(taken(&first, good), Taken::New);
    let other = Proposal { value: Hash::of(b"B"), ..good };
    assert!(matches!(taken(&first, other), Taken::Contradicts(_)));
    let vote = Vote { height: 2, view: 0, step: Step::Prevote, value: None };
    assert_eq!(a.vote(Signed::seal(&peers()[0], &RUN, vote)), Taken::Ignored);
}

#[test]
fn a_repair_is_decided_by_those_it_does_not_eject() {
    let me = bystander();
    let mut a = agreement(me);
    let (hash, body) = value("repair");
    let culprit = others(me).next().expect("others");
    let proposer = a.proposer(0).expect("there are voters");
    let identity = peers().into_iter().find(|p| p.id() == proposer).expect("a peer");
    let header = Proposal { height: 1, view: 0, valid_view: None, value: hash };
    let ruling = ruling(&[peers()[culprit].id()]);
    a.propose(Signed::seal(&identity, &RUN, header), body, Some(ruling));
    a.judge(&hash, Validity::Valid);
    a.vote(vote(culprit, 0, Step::Prevote, Some(hash)));
    assert_eq!(drive(&mut a, me, 0).len(), 1, "the culprit's vote does not count");
    a.vote(vote(others(me).nth(1).expect("others"), 0, Step::Prevote, Some(hash)));
    assert_eq!(drive(&mut a, me, 1).len(), 2, "two of three lock and precommit");
}

/// What a record claims changes nobody's electorate: no number of votes decides on one that breaks
/// the rules, and finding it valid later is not possible.
#[test]
fn votes_for_a_value_that_breaks_the_rules_do_not_count() {
    let me = bystander();
    let mut a = agreement(me);
    let (hash, body) = value("everybody else is out");
    let proposer = a.proposer(0).expect("there are voters");
    let identity = peers().into_iter().find(|p| p.id() == proposer).expect("a peer");
    let header = Proposal { height: 1, view: 0, valid_view: None, value: hash };
    a.propose(Signed::seal(&identity, &RUN, header), body, None);
    a.judge(&hash, Validity::Valid);
    for n in others(me) {
        for step in [Step::Prevote, Step::Precommit] {
            a.vote(vote(n, 0, step, Some(hash)));
        }
    }
    let outputs = drive(&mut a, me, 0);
    assert!(!outputs.iter().any(|o| matches!(o, Output::Decided { .. } | Output::Lock { .. })));
    assert!(outputs.contains(&Output::Vote { view: 0, step: Step::Prevote, value: None }));
}

#[test]
fn weight_decides_and_not_the_number_of_voters() {
    let ids: Vec<PeerId> = peers().iter().map(Identity::id).collect();
    let light = Electorate::from_weights(vec![(ids[0], 1), (ids[1], 1), (ids[2], 1), (ids[3], 9)]);
    let mut a = Agreement::new(1, light.clone(), ids[0], RUN, 1000);
    let (hash, body) = value("A");
    let proposer = a.proposer(0).expect("there are voters");
    let identity = peers().into_iter().find(|p| p.id() == proposer).expect("a peer");
    let header = Proposal { height: 1, view: 0, valid_view: None, value: hash };
    let needed = light.quorum();
    let ruling = Ruling { excluded: BTreeSet::new(), needed };
    a.propose(Signed::seal(&identity, &RUN, header), body, Some(ruling));
    for n in 0..3 {
        a.vote(vote(n, 0, Step::Precommit, Some(hash)));
    }
    assert!(!a.run(Time(0)).contains(&Output::Decided { view: 0, value: hash }), "three of twelve");
    a.vote(vote(3, 0, Step::Precommit, Some(hash)));
    assert_eq!(a.run(Time(0)).last(), Some(&Output::Decided { view: 0, value: hash }));
}
