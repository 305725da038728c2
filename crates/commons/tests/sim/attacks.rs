//! Members who use the rules against the others.

use crate::{town::*, voting::*};
use commons::{
    state::{Status, VoidReason},
    statement::{
        Claim, DeviceKey, Effect, House, Key, KeyOp, ProposalType, Propose, Publish, Rights,
        Verdict, Vote, VoteBody,
    },
    view,
};
use decide::panel_seed;
use ids::{Hash, Identity, PeerId};

pub fn withdraw(subject: &PeerId) -> commons::statement::Attest {
    let claim = Claim::Vouch { withdrawn: true };
    commons::statement::Attest { subject: *subject, claim }
}

pub fn plain(town: &Town) -> Propose {
    question(town, ProposalType::Question, vec![choice("yes", Effect::None), no_change()])
}

pub fn removal(town: &Town, member: &PeerId) -> Propose {
    let effect = Effect::Remove(*member, Hash::of(b"evidence"));
    question(town, ProposalType::Removal, vec![choice("remove", effect), no_change()])
}

pub fn appeal(town: &Town, asked: Hash) -> Propose {
    let options =
        vec![choice("overturn", Effect::Overturn), choice("uphold", Effect::None), no_change()];
    Propose {
        appeals: Some(asked),
        close: town.now + DAY + 1,
        ..question(town, ProposalType::Appeal, options)
    }
}

/// Asks, has everybody vote the same, and waits until it is closed.
pub fn decide(town: &mut Town, ask: impl Fn(&Town) -> Propose, ballot: &[u16]) -> Hash {
    let key = town.people[0].key.clone();
    let asked = town.must(&key, ask(town));
    vote_all(town, asked, ballot);
    town.tick(DAY);
    town.tick(DAY + 60);
    asked
}

/// Draws a panel, appeals to it, and has it vote.
fn overturn(town: &mut Town, asked: Hash) {
    let key = town.people[0].key.clone();
    let ask = lottery(town, 3, &[]);
    drawn(town, ask);
    let heard = town.must(&key, appeal(town, asked));
    panel_votes(town, heard, &[0]);
    town.tick(60);
    town.tick(DAY + 60);
    assert!(matches!(status(town, asked), Status::Overturned { .. }));
}

pub fn panel_votes(town: &mut Town, heard: Hash, ballot: &[u16]) {
    for person in town.people.clone() {
        if town.state.proposals[&heard].electorate.position(&person.id).is_some() {
            town.must(&person.key, rank(heard, ballot));
        }
    }
}

/// Gives somebody a second device; the next key is used up.
fn second_device(town: &mut Town, person: &Person, device: &Identity) {
    let bind = |key| DeviceKey::bind(key, &town.state.id, &person.id);
    let rotate = Key {
        member: person.id,
        op: KeyOp::Rotate,
        keys: vec![bind(&person.key), bind(device)],
        next: Key::digest(&identity(900, 9).id()),
        guardians: vec![],
        threshold: 0,
    };
    town.must(&person.next, rotate);
}

#[test]
fn a_voucher_silences_nobody_in_the_middle_of_a_vote() {
    let mut town = Town::new(3);
    let dora = town.join(3, &[0, 1]);
    let anna = town.people[0].key.clone();
    let asked = town.must(&anna, plain(&town));
    town.must(&anna, withdraw(&dora.id));
    assert!(!town.state.is_member(&dora.id));
    town.must(&dora.key, rank(asked, &[1, 0]));
    let next = town.must(&anna, plain(&town));
    assert!(town.void(&dora.key, rank(next, &[0])).contains("may not vote"));
}

#[test]
fn a_thief_does_not_use_up_ballots() {
    let mut town = Town::new(3);
    let anna = town.people[0].clone();
    let asked = town.must(&anna.key, plain(&town));
    for _ in 0..300 {
        town.say(&anna.key, rank(asked, &[0, 1]));
    }
    second_device(&mut town, &anna, &identity(900, 0));
    town.must(&identity(900, 0), rank(asked, &[1, 0]));
    town.tick(DAY);
    let counts = town.state.count(&town.state.proposals[&asked]).unwrap().unwrap();
    assert_eq!(counts.houses[0].ballots[0].groups, [[1], [0]]);
}

#[test]
fn one_house_alone_decides_nothing_for_all() {
    let mut town = Town::new(4);
    let anna = town.people[0].key.clone();
    let victim = town.people[3].id;
    let ask = Propose { houses: vec![House::Users], ..removal(&town, &victim) };
    assert!(town.void(&anna, ask).contains("one house"));
    town.must(&anna, Propose { houses: vec![House::Users], ..plain(&town) });
}

/// Two of five put themselves to the vote, and nobody else.
#[test]
fn candidates_without_rivals_can_be_refused() {
    for method in [decide::Method::Stv, decide::Method::Committee, decide::Method::Approval] {
        let mut town = Town::new(6);
        let people = town.people.clone();
        let own = &people[3..];
        let before = town.state.stewards.clone();
        let key = people[3].key.clone();
        let alone = council(&town, method, own);
        let no_choice =
            Propose { options: alone.options[..3].to_vec(), default: None, ..alone.clone() };
        assert!(town.void(&key, no_choice).contains("none of them"));
        let one = Propose { seats: 1, ..alone.clone() };
        assert!(town.void(&key, one).contains("3 stewards"));
        let asked = town.must(&key, alone);
        for (at, person) in people.iter().enumerate() {
            let ballot: &[u16] = if at < 4 { &[3] } else { &[0, 1, 2] };
            let vote = match method {
                decide::Method::Approval => {
                    Vote { proposal: asked, ballot: VoteBody::Approve(ballot.to_vec()) }
                }
                _ => rank(asked, ballot),
            };
            town.must(&person.key, vote);
        }
        town.tick(DAY);
        town.tick(2 * DAY);
        assert!(matches!(status(&town, asked), Status::Failed { .. }), "{method:?}");
        assert_eq!(town.state.stewards, before);
    }
}

#[test]
fn secret_ballots_can_be_revealed_for_as_long_as_the_notice() {
    let mut town = Town::new(3);
    let anna = town.people[0].key.clone();
    let hasty = Propose { reveal: Some(town.now + 2 * DAY + 1), ..plain(&town) };
    assert!(town.void(&anna, hasty).contains("less than the notice"));
}

/// Somebody with two devices commits to two ballots, sees what the others reveal, and voids the
/// last one by contradicting itself: the first does not count in its place.
#[test]
fn nobody_chooses_between_two_commitments() {
    let mut town = Town::new(3);
    let mole = town.people[2].clone();
    let device = identity(900, 0);
    second_device(&mut town, &mole, &device);
    let ask = Propose { reveal: Some(town.now + 4 * DAY), ..plain(&town) };
    let asked = town.must(&mole.key, ask);
    let (salt, ballots) = (Hash::of(b"salt"), [vec![vec![0u16], vec![1]], vec![vec![1], vec![0]]]);
    let (seq, prev) = town.state.chain_head(&device.id());
    for (key, ballot) in [&mole.key, &device].into_iter().zip(&ballots) {
        let digest = commit(&asked, &mole.id, &salt, ballot);
        town.must(key, Vote { proposal: asked, ballot: VoteBody::Commit(digest) });
    }
    town.tick(2 * DAY);
    for groups in ballots.clone() {
        let ballot = VoteBody::Reveal { groups, salt };
        town.must(&mole.key, Vote { proposal: asked, ballot });
    }
    town.tick(60);
    let counted = |town: &Town| {
        let closing = town.state.count(&town.state.proposals[&asked]).unwrap().unwrap();
        closing.houses[0].ballots.first().map(|ballot| ballot.groups.clone())
    };
    assert_eq!(counted(&town), Some(vec![vec![1], vec![0]]));
    let name = about(&mole, Claim::Person { name: "Mole".into() });
    let contradiction = town.forge(&device, seq, prev, name);
    town.archive.hold(&contradiction).unwrap();
    town.tick(DAY);
    town.tick(3 * DAY);
    let closed = &town.state.proposals[&asked];
    assert_eq!(closed.count.as_ref().unwrap().houses[0].ballots, [], "neither counts");
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// The operator knows all secrets once they are revealed. Whatever it orders or adds from then on,
/// the panel is the same.
#[test]
fn the_operator_does_not_choose_the_root_after_the_secrets() {
    let drawn = |nonce: Option<&str>| {
        let mut town = Town::new(6);
        let people = town.people.clone();
        let asked = town.must(&people[0].key, lottery(&town, 2, &[]));
        town.each_says(&people, |p| commit_secret(asked, p));
        town.tick(1);
        town.tick(DAY + 1);
        let root = town.state.marks.last().unwrap().root;
        town.each_says(&people, |p| reveal_secret(asked, p));
        town.tick(60);
        if let Some(name) = nonce {
            town.must(&people[0].key, about(&people[0], Claim::Person { name: name.into() }));
        }
        town.tick(3 * DAY);
        let panel = town.state.proposals[&asked].panel.clone().unwrap();
        let secrets: Vec<[u8; 32]> = people.iter().map(|p| secret(&asked, p).0).collect();
        (panel.members, panel_seed(&asked.0, 1, &root.0, &secrets))
    };
    let honest = drawn(None);
    for nonce in ["a", "b", "c", "d"] {
        assert_eq!(drawn(Some(nonce)), honest);
    }
}

#[test]
fn a_panel_whose_asker_chose_who_sits_on_it_hears_no_appeal() {
    let slow = commons::statement::Rules { appeal_period: 9 * DAY, ..rules() };
    let mut town = Town::with_rules(8, slow);
    let people = town.people.clone();
    for person in &people[..2] {
        town.work_at(person, "Acme");
    }
    let asked = decide(&mut town, |town| removal(town, &people[7].id), &[0, 1]);
    let key = people[0].key.clone();
    type Quotas<'a> = &'a [(&'a str, u16, u16)];
    let tailored: [(u16, Quotas); 5] = [
        (1, &[]),
        (3, &[("Acme", 1, 1)]),
        (3, &[("contributors", 3, 3)]),
        (3, &[("users", 0, 0)]),
        (3, &[("Beta", 0, 0)]),
    ];
    let tailored: Vec<Hash> = tailored
        .iter()
        .map(|(seats, quotas)| town.must(&key, lottery(&town, *seats, quotas)))
        .collect();
    for &ask in &tailored[1..] {
        town.each_says(&people, |p| commit_secret(ask, p));
    }
    give_secrets(&mut town, tailored[0], &people);
    assert!(matches!(status(&town, tailored[0]), Status::Passed { .. }));
    assert!(town.void(&key, appeal(&town, asked)).contains("no panel"));
    let ask = lottery(&town, 3, &[("users", 0, 2), ("Acme", 0, 1)]);
    let fair = drawn(&mut town, ask);
    let heard = town.must(&key, appeal(&town, asked));
    let seats = |town: &Town, hash: &Hash| {
        let panel = view::panel(&town.state, &town.state.proposals[hash]).unwrap();
        panel.drawn.iter().map(|seat| seat.member).collect::<Vec<_>>()
    };
    let electors = &town.state.proposals[&heard].electorate.electors;
    let members: Vec<_> = electors.iter().map(|e| e.member).collect();
    assert_eq!(members, seats(&town, &fair));
    let ask = lottery(&town, 3, &[]);
    drawn(&mut town, ask);
    let again = town.must(&key, appeal(&town, asked));
    let electors = &town.state.proposals[&again].electorate.electors;
    let members: Vec<_> = electors.iter().map(|e| e.member).collect();
    assert_eq!(members, seats(&town, &fair), "the first panel, not the one that was liked better");
}

#[test]
fn an_appeal_asks_whether_and_ends_and_is_the_last_word() {
    let mut town = Town::new(5);
    let people = town.people.clone();
    let key = people[0].key.clone();
    let asked = decide(&mut town, |town| removal(town, &people[4].id), &[0, 1]);
    let ask = lottery(&town, 3, &[]);
    drawn(&mut town, ask);
    let options = vec![choice("overturn", Effect::Overturn)];
    let no_choice = Propose { options: options.clone(), default: None, ..appeal(&town, asked) };
    assert!(town.void(&key, no_choice).contains("whether to overturn"));
    let either_way = Propose { options, default: Some(0), ..appeal(&town, asked) };
    assert!(town.void(&key, either_way).contains("whether to overturn"));
    let endless = Propose { close: town.now + 1000 * DAY, ..appeal(&town, asked) };
    assert!(town.void(&key, endless).contains("at the latest"));
    let heard = town.must(&key, appeal(&town, asked));
    panel_votes(&mut town, heard, &[1]);
    town.tick(60);
    town.tick(DAY + 60);
    assert!(matches!(status(&town, heard), Status::Passed { .. }));
    assert!(town.void(&key, appeal(&town, heard)).contains("no appeal against an appeal"));
}

/// The removal is due while the appeal is heard; who is removed in the end comes back with all for
/// whom it vouched if that is overturned.
#[test]
fn a_removal_waits_for_the_appeal_against_it() {
    let mut town = Town::new(6);
    let people = town.people.clone();
    let victim = people[5].clone();
    let friend = town.join(9, &[4, 5]);
    let asked = decide(&mut town, |town| removal(town, &victim.id), &[0, 1]);
    let ask = lottery(&town, 3, &[]);
    drawn(&mut town, ask);
    town.tick(2 * DAY - 120);
    let close = town.now + 3 * DAY;
    let heard = town.must(&victim.key, Propose { close, ..appeal(&town, asked) });
    town.tick(2 * DAY);
    assert!(town.state.is_member(&victim.id), "due, but the appeal is open");
    panel_votes(&mut town, heard, &[2, 0]);
    town.tick(60);
    town.tick(2 * DAY);
    assert!(matches!(status(&town, asked), Status::Passed { in_force: true, .. }));
    assert!(!town.state.is_member(&victim.id) && !town.state.is_member(&friend.id));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn what_is_overturned_gives_back_what_it_took_and_undoes_nothing_later() {
    let slow = commons::statement::Rules { appeal_period: 40 * DAY, ..rules() };
    let mut town = Town::with_rules(6, slow);
    let people = town.people.clone();
    let friend = town.join(9, &[4, 5]);
    let first = decide(&mut town, |town| removal(town, &people[5].id), &[0, 1]);
    let second = decide(&mut town, |town| removal(town, &people[5].id), &[0, 1]);
    overturn(&mut town, first);
    town.tick(41 * DAY);
    assert!(!town.state.is_member(&people[5].id), "the second removal stands");
    assert!(!town.state.is_member(&friend.id));
    assert!(matches!(status(&town, second), Status::Passed { in_force: true, .. }));
    town.people.truncate(5);
    let (a, b) = (people[..3].to_vec(), people[2..5].to_vec());
    let old = decide(&mut town, |town| council(town, decide::Method::Stv, &b), &[0, 1, 2]);
    let new = decide(&mut town, |town| council(town, decide::Method::Stv, &a), &[0, 1, 2]);
    let seated = |town: &Town| town.state.stewards.iter().map(|s| s.member).collect::<Vec<_>>();
    let elected = seated(&town);
    overturn(&mut town, old);
    assert_eq!(seated(&town), elected, "later stewards stay");
    let key = people[0].key.clone();
    let heard = town.must(&key, appeal(&town, new));
    panel_votes(&mut town, heard, &[0]);
    town.tick(60);
    town.tick(DAY + 60);
    let founders: Vec<_> = people[..3].iter().map(|p| p.id).collect();
    assert_eq!(seated(&town), founders, "and what they replaced was overturned itself");
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn an_overturned_removal_brings_back_those_the_member_vouched_for() {
    let slow = commons::statement::Rules { appeal_period: 4 * DAY, ..rules() };
    let mut town = Town::with_rules(6, slow);
    let people = town.people.clone();
    let friend = town.join(9, &[4, 5]);
    let asked = decide(&mut town, |town| removal(town, &people[5].id), &[0, 1]);
    let key = people[0].key.clone();
    let ask = lottery(&town, 3, &[]);
    drawn(&mut town, ask);
    // Two appeals: the first is refused, and the removal is due while the second is heard.
    let close = town.now + 4 * DAY;
    let heard = town.must(&key, appeal(&town, asked));
    town.tick(60);
    town.tick(DAY + 60);
    assert!(town.state.is_member(&friend.id));
    let second = town.must(&key, Propose { close, ..appeal(&town, asked) });
    panel_votes(&mut town, second, &[0]);
    town.tick(60);
    town.tick(5 * DAY);
    assert!(matches!(status(&town, heard), Status::Failed { .. }));
    assert!(matches!(status(&town, asked), Status::Overturned { .. }));
    assert!(town.state.is_member(&people[5].id) && town.state.is_member(&friend.id));
}

/// Rules that ask for more vouches hold from the day on that was decided, not from whenever
/// somebody takes a vouch back.
#[test]
fn new_rules_hold_for_members_at_once() {
    let mut town = Town::new(4);
    let user = town.join(4, &[0, 1]);
    town.use_it(&user);
    let stricter = commons::statement::Rules { vouches_needed: 3, ..rules() };
    let options = vec![choice("stricter", Effect::Rules(stricter)), no_change()];
    let ask = |town: &Town| Propose {
        houses: vec![House::Users, House::Contributors],
        ..question(town, ProposalType::Rules, options.clone())
    };
    decide(&mut town, ask, &[0, 1]);
    assert!(town.state.is_member(&user.id));
    town.tick(11 * DAY);
    assert_eq!(town.state.rules.vouches_needed, 3);
    assert!(!town.state.is_member(&user.id));
    let cleo = town.people[2].key.clone();
    town.must(&cleo, vouch(&user.id));
    assert!(town.state.is_member(&user.id));
}

/// Two who vouch for each other do not hold each other up.
#[test]
fn a_circle_of_vouches_stands_on_nothing() {
    let mut town = Town::with_rules(1, commons::statement::Rules { vouches_needed: 1, ..rules() });
    let anna = town.people[0].key.clone();
    let (b, c) = (town.join(1, &[0]), town.join(2, &[1]));
    town.must(&c.key, vouch(&b.id));
    town.must(&anna, withdraw(&b.id));
    assert!(!town.state.is_member(&b.id) && !town.state.is_member(&c.id));
    town.must(&anna, vouch(&c.id));
    assert!(town.state.is_member(&b.id) && town.state.is_member(&c.id));
}

#[test]
fn a_word_for_an_operator_holds_for_one_hand_over() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let operate = |key: PeerId| Rights::to_operate(key);
    let first = town.operator.id();
    let name = |town: &mut Town, who: &[usize], key: &Identity| {
        for &at in who {
            town.say(&people[at].key, operate(key.id()));
        }
        town.operator = key.clone();
        town.integrate();
    };
    name(&mut town, &[0, 1], &identity(8_001, 0));
    name(&mut town, &[1, 2], &identity(8_002, 0));
    assert_eq!(town.state.operator(), identity(8_002, 0).id());
    // Anna's word for the operator before, and Bert's, are spent.
    town.must(&people[0].key, operate(identity(8_001, 0).id()));
    assert_eq!(town.state.operator(), identity(8_002, 0).id());
    assert_ne!(first, town.state.operator());
}

#[test]
fn a_statement_that_comes_twice_contradicts_nothing() {
    let mut town = Town::new(3);
    let anna = town.people[0].clone();
    let hash = town.must(&anna.key, about(&anna, Claim::Person { name: "Anna".into() }));
    let log = town.archive.snapshot().unwrap();
    let (index, _) = town.state.place(&hash).unwrap();
    let mut state = town.state.clone();
    state.apply(&log.statement(index).unwrap(), &log).unwrap();
    assert!(state.equivocations.is_empty());
    assert_eq!(state.voids.last().unwrap().reason, VoidReason::AlreadyInLog);
    // Digests cover that it is void, and neither what this version of the program calls the reason
    // nor in which words.
    let digests = commons::view::digests(&state);
    assert_ne!(digests, commons::view::digests(&town.state));
    state.voids.last_mut().unwrap().reason = VoidReason::AlreadyMarked;
    assert_eq!(digests, commons::view::digests(&state));
}

#[test]
fn nobody_rewrites_what_another_member_published() {
    let mut town = Town::new(3);
    let (anna, bert) = (town.people[0].key.clone(), town.people[1].key.clone());
    let publish = |name: &str, supersedes| Publish {
        name: name.into(),
        artifact: Hash::of(b"model"),
        components: vec![],
        supersedes,
    };
    let first = town.must(&anna, publish("spore", None));
    assert!(town.void(&bert, publish("mine", Some(first))).contains("somebody else"));
    town.must(&anna, publish("spore 2", Some(first)));
    assert_eq!(town.state.artifacts[&Hash::of(b"model")].name, "spore 2");
}

/// A second job does not make somebody independent of the first.
#[test]
fn whoever_shares_one_of_several_employers_is_not_independent() {
    let mut town = Town::new(4);
    let people = town.people.clone();
    for (at, jobs) in [(0, &["Acme"][..]), (1, &["Acme", "Bakery"]), (2, &["Bakery", "Choir"])] {
        jobs.iter().for_each(|org| town.work_at(&people[at], org));
    }
    let derive = commons::statement::Derive {
        child: Hash::of(b"model"),
        parents: vec![],
        recipe: Hash::of(b"recipe"),
        tool: "understory".into(),
        reproducible: commons::statement::Reproducible::Exact,
    };
    let edge = town.must(&people[0].key, derive);
    let confirmed = |town: &Town| town.state.edge_state(&town.state.edges[0]).confirmed;
    town.must(&people[1].key, check(edge, Verdict::Confirmed));
    assert_eq!(confirmed(&town), 0);
    town.must(&people[2].key, check(edge, Verdict::Confirmed));
    town.must(&people[3].key, check(edge, Verdict::Confirmed));
    assert_eq!(confirmed(&town), 2);
}

/// Three of one company contradict a contributor's work before they ask a question.
#[test]
fn one_company_takes_no_contributor_out_of_its_house() {
    let mut town = Town::new(5);
    let dora = town.join(5, &[0, 1]);
    let people = town.people.clone();
    let derive = commons::statement::Derive {
        child: Hash::of(b"model"),
        parents: vec![],
        recipe: Hash::of(b"recipe"),
        tool: "understory".into(),
        reproducible: commons::statement::Reproducible::Exact,
    };
    let edge = town.must(&dora.key, derive);
    let house = |town: &Town| {
        let electorate = town.state.electorate();
        electorate.electors[electorate.position(&dora.id).unwrap()].house
    };
    assert_eq!(house(&town), None);
    town.must(&people[0].key, check(edge, Verdict::Confirmed));
    assert_eq!(house(&town), Some(House::Contributors));
    for person in &people[1..4] {
        town.work_at(person, "Acme");
        town.must(&person.key, check(edge, Verdict::Mismatch));
    }
    assert_eq!(house(&town), Some(House::Contributors));
    town.must(&people[4].key, check(edge, Verdict::Disputed));
    assert_eq!(house(&town), None, "two who have nothing to do with each other do");
}

#[test]
fn nobody_floods_the_others_with_questions() {
    let mut town = Town::new(3);
    let key = town.people[0].key.clone();
    for _ in 0..16 {
        town.must(&key, plain(&town));
    }
    assert!(town.void(&key, plain(&town)).contains("16 questions"));
    town.tick(60);
    town.tick(3 * DAY);
    town.must(&key, plain(&town));
}
