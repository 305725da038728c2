//! Questions, ballots, houses, panels, appeals.

use crate::town::*;
use commons::{
    state::Status,
    statement::{
        Choice, Effect, House, Method, ProposalType, Propose, Quota, Rules, TieRule, Unranked,
        Vote, VoteBody,
    },
    view,
};
use ids::{Hash, Identity};

pub fn choice(name: &str, effect: Effect) -> Choice {
    Choice { name: name.into(), digest: None, ratio: (1, 1), effect }
}

pub fn question(town: &Town, topic: ProposalType, options: Vec<Choice>) -> Propose {
    closing(town.now + 2 * DAY, topic, options)
}

/// A question that closes then.
pub fn closing(close: u64, topic: ProposalType, options: Vec<Choice>) -> Propose {
    Propose {
        topic,
        title: "a question".into(),
        text: String::new(),
        default: Some(options.len() as u16 - 1),
        options,
        houses: vec![],
        method: Method::Counted(decide::Method::Schulze),
        unranked: Unranked::Last,
        tie: TieRule::Listed,
        seats: 1,
        cap: None,
        quotas: vec![],
        close,
        reveal: None,
        appeals: None,
        held: None,
    }
}

/// A panel that is drawn from secrets, which are committed to for a day and revealed for another.
pub fn lottery(town: &Town, seats: u16, quotas: &[(&str, u16, u16)]) -> Propose {
    let quota =
        |&(stratum, min, max): &(&str, u16, u16)| Quota { stratum: stratum.into(), min, max };
    Propose {
        method: Method::Lot,
        options: vec![],
        default: None,
        seats,
        quotas: quotas.iter().map(quota).collect(),
        close: town.now + DAY,
        reveal: Some(town.now + 2 * DAY),
        ..question(town, ProposalType::Panel, vec![no_change()])
    }
}

/// What somebody keeps secret in a draw.
pub fn secret(asked: &Hash, person: &Person) -> Hash {
    Hash::of_parts("secret", &[&asked.0, &person.id.0])
}

pub fn commit_secret(asked: Hash, person: &Person) -> Vote {
    let digest = commit(&asked, &person.id, &secret(&asked, person), &[]);
    Vote { proposal: asked, ballot: VoteBody::Commit(digest) }
}

pub fn reveal_secret(asked: Hash, person: &Person) -> Vote {
    let ballot = VoteBody::Reveal { groups: vec![], salt: secret(&asked, person) };
    Vote { proposal: asked, ballot }
}

/// Lets a draw take place: these commit to secrets and reveal them.
pub fn give_secrets(town: &mut Town, asked: Hash, people: &[Person]) {
    town.each_says(people, |p| commit_secret(asked, p));
    town.tick(1);
    town.tick(DAY + 1);
    town.each_says(people, |p| reveal_secret(asked, p));
    town.tick(60);
    town.tick(DAY);
}

/// Asks for a panel and has it drawn, with everybody's secrets. It takes two days and a minute.
pub fn drawn(town: &mut Town, ask: Propose) -> Hash {
    let key = town.people[0].key.clone();
    let asked = town.must(&key, ask);
    give_secrets(town, asked, &town.people.clone());
    assert!(matches!(status(town, asked), Status::Passed { .. }), "{:?}", status(town, asked));
    asked
}

pub fn rank(proposal: Hash, options: &[u16]) -> Vote {
    let groups = options.iter().map(|&option| vec![option]).collect();
    Vote { proposal, ballot: VoteBody::Ranking(groups) }
}

pub fn vote_all(town: &mut Town, proposal: Hash, options: &[u16]) {
    let keys: Vec<Identity> = town.people.iter().map(|p| p.key.clone()).collect();
    for key in keys {
        town.must(&key, rank(proposal, options));
    }
}

/// An election of three stewards.
pub fn council(town: &Town, method: decide::Method, candidates: &[Person]) -> Propose {
    let mut options: Vec<Choice> = candidates
        .iter()
        .map(|p| choice(&format!("member {}", p.id.short()), Effect::Seat(p.id)))
        .collect();
    options.push(choice("none of these", Effect::None));
    let default = (method != decide::Method::Stv).then_some(candidates.len() as u16);
    let method = Method::Counted(method);
    Propose { method, seats: 3, default, ..question(town, ProposalType::Stewards, options) }
}

pub fn no_change() -> Choice {
    choice("no change", Effect::None)
}

pub fn status(town: &Town, proposal: Hash) -> Status {
    town.state.proposals[&proposal].status.clone()
}

#[test]
fn the_last_ballot_before_the_close_counts_and_none_after() {
    let mut town = Town::new(3);
    let keys: Vec<Identity> = town.people.iter().map(|p| p.key.clone()).collect();
    let options = vec![choice("yes", Effect::None), no_change()];
    let asked = town.must(&keys[0], question(&town, ProposalType::Question, options));
    town.must(&keys[0], rank(asked, &[1]));
    town.must(&keys[0], rank(asked, &[0, 1]));
    town.must(&keys[1], rank(asked, &[0]));
    town.tick(DAY);
    town.must(&keys[2], rank(asked, &[1, 0]));
    // Witnessed only after the close: too late.
    town.tick(3 * DAY);
    let tally = view::tally(&town.state, &town.state.proposals[&asked], view::Bounds::NONE);
    assert_eq!(tally.counts[0].ballots, 2);
    assert!(
        matches!(tally.question.status, Status::Passed { ref winners, in_force: true, .. } if *winners == [0])
    );
    assert!(town.void(&keys[2], rank(asked, &[1])).contains("closed"));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn stewards_are_elected_under_the_cap_and_lose_their_say_when_they_change_jobs() {
    let mut town = Town::new(5);
    let people = town.people.clone();
    town.work_at(&people[0], "Acme");
    town.work_at(&people[1], "Acme");
    let asked = town.must(&people[0].key, council(&town, decide::Method::Committee, &people));
    vote_all(&mut town, asked, &[0, 1, 2, 3, 4]);
    town.tick(DAY);
    town.tick(2 * DAY);
    let stewards: Vec<_> = town.state.stewards.iter().map(|s| s.member).collect();
    assert_eq!(stewards, [people[0].id, people[2].id, people[3].id], "one of Acme at most");
    assert_eq!(town.state.active_stewards().len(), 3);
    town.work_at(&people[2], "Acme");
    assert_eq!(town.state.active_stewards(), [people[0].id, people[3].id]);
}

/// Of three seats, as many are given as candidates are preferred to none of them.
#[test]
fn stewards_whom_nobody_wants_get_no_seat() {
    for (ranking, elected) in [(&[2u16, 0, 3][..], 2), (&[3, 0, 1, 2], 0)] {
        let mut town = Town::new(4);
        let people = town.people.clone();
        let before = town.state.active_stewards();
        let asked =
            town.must(&people[0].key, council(&town, decide::Method::Committee, &people[..3]));
        vote_all(&mut town, asked, ranking);
        town.tick(DAY);
        town.tick(2 * DAY);
        let stewards: Vec<_> = town.state.stewards.iter().map(|s| s.member).collect();
        if elected == 2 {
            assert!(matches!(status(&town, asked), Status::Passed { in_force: true, .. }));
            assert_eq!(stewards, [people[2].id, people[0].id]);
        } else {
            assert!(matches!(status(&town, asked), Status::Failed { .. }));
            assert_eq!(stewards, before, "those who were elected before stay");
        }
    }
}

/// Two users and three contributors.
fn two_houses() -> Town {
    let mut town = Town::new(3);
    for number in 3..5 {
        let user = town.join(number, &[0, 1]);
        town.use_it(&user);
    }
    town
}

fn charter(town: &Town) -> Propose {
    let effect = Effect::Charter(Hash::of(b"be kinder"));
    Propose {
        houses: vec![House::Users, House::Contributors],
        ..question(town, ProposalType::Charter, vec![choice("new charter", effect), no_change()])
    }
}

#[test]
fn a_charter_needs_both_houses_and_waits_for_the_exit_period() {
    let mut town = two_houses();
    let anna = town.people[0].key.clone();
    let one_house = Propose { houses: vec![], ..charter(&town) };
    assert!(town.void(&anna, one_house).contains("both houses"));
    let hasty = Propose { close: town.now + 10, ..charter(&town) };
    assert!(town.void(&anna, hasty).contains("notice"));
    let asked = town.must(&anna, charter(&town));
    vote_all(&mut town, asked, &[0, 1]);
    town.tick(DAY);
    town.tick(2 * DAY);
    assert!(matches!(status(&town, asked), Status::Passed { in_force: false, .. }));
    assert_eq!(town.state.charter, Hash::of(b"be kind"));
    town.tick(11 * DAY);
    assert_eq!(town.state.charter, Hash::of(b"be kinder"));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn a_question_for_two_houses_that_cannot_be_counted_is_void() {
    let mut town = two_houses();
    let anna = town.people[0].key.clone();
    let ask = |town: &Town| Propose { topic: ProposalType::Question, ..charter(town) };
    let plain = vec![choice("yes", Effect::None), choice("maybe", Effect::None), no_change()];
    let ask = |town: &Town| Propose { options: plain.clone(), default: Some(2), ..ask(town) };
    for unfit in [
        Propose { default: None, ..ask(&town) },
        Propose { method: Method::Counted(decide::Method::Committee), seats: 2, ..ask(&town) },
        Propose { method: Method::Counted(decide::Method::Stv), default: None, ..ask(&town) },
    ] {
        let reason = town.void(&anna, unfit);
        assert!(reason.contains("both houses need"), "{reason}");
    }
    town.must(&anna, Propose { method: Method::Counted(decide::Method::Approval), ..ask(&town) });
}

/// Four contributors of whom one is against, and users who vote so; what the charter becomes.
fn divided(users: &[bool], rules: Rules) -> (Town, Hash) {
    let mut town = Town::with_rules(4, rules);
    for number in 0..users.len() as u32 {
        let user = town.join(4 + number, &[0, 1]);
        town.use_it(&user);
    }
    let people = town.people.clone();
    let asked = town.must(&people[0].key, charter(&town));
    for (person, yes) in people.iter().zip([true, true, true, false].iter().chain(users)) {
        town.must(&person.key, rank(asked, if *yes { &[0, 1] } else { &[1, 0] }));
    }
    town.tick(DAY);
    town.tick(2 * DAY);
    (town, asked)
}

fn margin(town: &Town, proposal: Hash) -> view::Margin {
    view::margin(&town.state, &town.state.proposals[&proposal], view::Bounds::NONE).unwrap()
}

#[test]
fn a_change_by_both_houses_is_withheld_by_the_margin_of_both() {
    // The contributors are 3 to 1, which one voter less is not; of the users three may be missing.
    let users = [true; 4];
    for (floor, withheld) in [(1, false), (2, true)] {
        let (town, asked) = divided(&users, Rules { margin_floor: floor, ..rules() });
        match status(&town, asked) {
            Status::Withheld { winners, margin: 1, .. } if withheld => assert_eq!(winners, [0]),
            Status::Passed { winners, .. } if !withheld => assert_eq!(winners, [0]),
            other => panic!("with a floor of {floor}: {other:?}"),
        }
        let margin = margin(&town, asked);
        assert_eq!((margin.winners, margin.voters), (vec![0], 8));
        assert_eq!((margin.least, margin.exact), (Some(1), true));
        let example = margin.example.unwrap();
        assert!(town.people[..3].iter().any(|p| example.who == [p.id]), "a contributor for it");
        assert!(example.winners.is_empty(), "nothing is adopted without");
        assert_eq!(views(&town.state), views(&town.replayed()));
    }
}

#[test]
fn the_margin_of_two_houses_is_not_the_smaller_of_theirs() {
    // One contributor less would change the contributors' result, and nothing else: the users are
    // against it. Without two of them both houses are for it.
    let (town, asked) = divided(&[true, true, false, false], rules());
    assert!(matches!(status(&town, asked), Status::Failed { .. }));
    let margin = margin(&town, asked);
    assert_eq!((margin.winners, margin.least, margin.exact), (vec![], Some(2), true));
    let example = margin.example.unwrap();
    assert_eq!(example.winners, [0]);
    let against: Vec<_> = town.people[6..].iter().map(|person| person.id).collect();
    assert!(against.iter().all(|id| example.who.contains(id)));
}

#[test]
fn stewards_and_contributors_alone_change_no_charter() {
    let mut town = two_houses();
    let people = town.people.clone();
    let asked = town.must(&people[0].key, charter(&town));
    for (at, person) in people.iter().enumerate() {
        let ballot: &[u16] = if at < 3 { &[0, 1] } else { &[1, 0] };
        town.must(&person.key, rank(asked, ballot));
    }
    town.tick(DAY);
    town.tick(20 * DAY);
    assert!(matches!(status(&town, asked), Status::Failed { .. }));
    assert_eq!(town.state.charter, Hash::of(b"be kind"));
}

#[test]
fn a_removal_needs_notice_and_can_be_appealed() {
    let mut town = Town::new(7);
    let people = town.people.clone();
    let accused = people[6].clone();
    let remove = |town: &Town, close| Propose {
        close,
        ..question(
            town,
            ProposalType::Removal,
            vec![choice("remove", Effect::Remove(accused.id, Hash::of(b"evidence"))), no_change()],
        )
    };
    let hidden = remove(&town, town.now + 60);
    assert!(town.void(&people[0].key, hidden).contains("notice"));
    let asked = town.must(&people[0].key, remove(&town, town.now + 2 * DAY));
    vote_all(&mut town, asked, &[0, 1]);
    town.tick(DAY);
    town.tick(2 * DAY);
    assert!(town.state.is_member(&accused.id), "there is time to appeal");
    // A panel of three is drawn, hears the appeal and overturns the removal.
    let ask = lottery(&town, 3, &[]);
    let asked_panel = drawn(&mut town, ask);
    let panel = view::panel(&town.state, &town.state.proposals[&asked_panel]).unwrap();
    assert_eq!((panel.drawn.len(), panel.secrets, panel.withheld), (3, 7, 0));
    let options = vec![choice("overturn", Effect::Overturn), choice("uphold", Effect::None)];
    let ask = Propose {
        appeals: Some(asked),
        close: town.now + DAY + 1,
        ..question(&town, ProposalType::Appeal, options)
    };
    let appeal = town.must(&accused.key, ask);
    let seated: Vec<_> = panel.drawn.iter().map(|seat| seat.member).collect();
    for person in &people {
        let vote = rank(appeal, &[0, 1]);
        if seated.contains(&person.id) {
            town.must(&person.key, vote);
        } else {
            assert!(town.void(&person.key, vote).contains("may not vote"));
        }
    }
    town.tick(60);
    town.tick(DAY + 60);
    assert!(matches!(status(&town, asked), Status::Overturned { .. }));
    town.tick(30 * DAY);
    assert!(town.state.is_member(&accused.id));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn a_removal_that_nobody_appeals_takes_place() {
    let mut town = Town::new(5);
    let people = town.people.clone();
    let effect = Effect::Remove(people[4].id, Hash::of(b"evidence"));
    let asked = town.must(
        &people[0].key,
        question(&town, ProposalType::Removal, vec![choice("remove", effect), no_change()]),
    );
    vote_all(&mut town, asked, &[0, 1]);
    town.tick(DAY);
    town.tick(2 * DAY);
    town.tick(6 * DAY);
    assert!(!town.state.is_member(&people[4].id));
}

#[test]
fn a_secret_ballot_counts_if_it_opens_what_was_committed() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let options = vec![choice("yes", Effect::None), no_change()];
    let ask = Propose {
        reveal: Some(town.now + 4 * DAY),
        ..question(&town, ProposalType::Question, options)
    };
    let asked = town.must(&people[0].key, ask);
    assert!(town.void(&people[0].key, rank(asked, &[0])).contains("kind of ballot"));
    let groups = [vec![vec![0u16], vec![1]], vec![vec![0], vec![1]], vec![vec![1], vec![0]]];
    let salt = Hash::of(b"salt");
    for (person, groups) in people.iter().zip(&groups) {
        let digest = commit(&asked, &person.id, &salt, groups);
        town.must(&person.key, Vote { proposal: asked, ballot: VoteBody::Commit(digest) });
    }
    town.tick(DAY);
    town.tick(2 * DAY);
    assert_eq!(status(&town, asked), Status::Open);
    // The third one opens it with other words.
    for (at, person) in people.iter().enumerate() {
        let groups = if at == 2 { groups[0].clone() } else { groups[at].clone() };
        town.must(&person.key, Vote { proposal: asked, ballot: VoteBody::Reveal { groups, salt } });
    }
    town.tick(60);
    town.tick(2 * DAY);
    let tally = view::tally(&town.state, &town.state.proposals[&asked], view::Bounds::NONE);
    assert_eq!(tally.counts[0].ballots, 2);
    assert!(matches!(tally.question.status, Status::Passed { .. }));
}

#[test]
fn a_panel_meets_its_quotas() {
    let mut town = two_houses();
    let ask = lottery(&town, 2, &[("users", 1, 1), ("contributors", 1, 1)]);
    let asked = drawn(&mut town, ask);
    let panel = view::panel(&town.state, &town.state.proposals[&asked]).unwrap();
    let houses: Vec<_> = panel.drawn.iter().map(|seat| seat.house.unwrap()).collect();
    assert_eq!(houses.len(), 2);
    assert!(houses.contains(&House::Users) && houses.contains(&House::Contributors));
    assert_eq!(panel.possible.as_deref(), Some("6"));
}

/// A result that one voter decides waits until a panel has looked at it: that it is right can be
/// said by an option, and by the default option.
#[test]
fn a_close_result_is_withheld_until_a_panel_upholds_it() {
    for default in [None, Some(1)] {
        let (mut town, asked) = withheld();
        let appeal = Propose { default, ..appeal(&mut town, asked) };
        let asker = town.people[0].key.clone();
        let appeal = town.must(&asker, appeal);
        for person in town.people.clone() {
            town.say(&person.key, rank(appeal, &[1, 0]));
        }
        town.integrate();
        town.tick(60);
        town.tick(DAY + 60);
        town.tick(60);
        assert!(matches!(status(&town, asked), Status::Passed { in_force: true, .. }));
        assert_eq!(views(&town.state), views(&town.replayed()));
    }
}

#[test]
fn a_panel_that_says_nothing_upholds_nothing() {
    let (mut town, asked) = withheld();
    let body = appeal(&mut town, asked);
    let asker = town.people[0].key.clone();
    let appeal = town.must(&asker, body);
    town.tick(60);
    town.tick(DAY + 60);
    assert!(matches!(status(&town, appeal), Status::Failed { .. }));
    assert!(matches!(status(&town, asked), Status::Withheld { .. }));
}

#[test]
fn an_appeal_may_not_make_one_answer_harder() {
    let (mut town, asked) = withheld();
    let asker = town.people[0].key.clone();
    let fair = appeal(&mut town, asked);
    let with = |options: Vec<Choice>| Propose { options, ..fair.clone() };
    let [overturn, uphold] = [fair.options[0].clone(), fair.options[1].clone()];
    let harder = Choice { ratio: (3, 1), ..overturn.clone() };
    for unfair in [
        with(vec![harder, uphold.clone()]),
        with(vec![choice("uphold it", Effect::None), uphold.clone()]),
        with(vec![uphold, overturn]),
        Propose { method: Method::Counted(decide::Method::Approval), ..fair.clone() },
    ] {
        let reason = town.void(&asker, unfair);
        assert!(reason.contains("an appeal asks"), "{reason}");
    }
    town.must(&asker, fair);
}

/// Five who are 3 to 2, where a result that one voter decides is withheld.
fn withheld() -> (Town, Hash) {
    let mut town = Town::with_rules(5, Rules { margin_floor: 2, ..rules() });
    let people = town.people.clone();
    let options = vec![choice("yes", Effect::None), no_change()];
    let asked = town.must(&people[0].key, question(&town, ProposalType::Question, options));
    for (at, person) in people.iter().enumerate() {
        let ballot: &[u16] = if at < 3 { &[0, 1] } else { &[1, 0] };
        town.must(&person.key, rank(asked, ballot));
    }
    town.tick(DAY);
    town.tick(2 * DAY);
    assert!(matches!(status(&town, asked), Status::Withheld { margin: 1, .. }));
    (town, asked)
}

/// Draws a panel of three; the question for it.
fn appeal(town: &mut Town, appealed: Hash) -> Propose {
    let ask = lottery(town, 3, &[]);
    drawn(town, ask);
    let options = vec![choice("overturn", Effect::Overturn), choice("uphold", Effect::None)];
    Propose {
        appeals: Some(appealed),
        close: town.now + DAY + 1,
        ..question(town, ProposalType::Appeal, options)
    }
}
