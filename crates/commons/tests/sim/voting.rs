//! Questions, ballots, houses, panels, appeals.

use crate::town::*;
use commons::{
    Identity,
    state::Status,
    statement::{
        Choice, Effect, House, Method, ProposalType, Propose, Quota, TieBreak, UnrankedRule, Vote,
        VoteBody,
    },
    view,
};
use store::Hash;

pub fn choice(name: &str, effect: Effect) -> Choice {
    Choice { name: name.into(), digest: None, ratio: (1, 1), effect }
}

pub fn question(town: &Town, topic: ProposalType, options: Vec<Choice>) -> Propose {
    Propose {
        topic,
        title: "a question".into(),
        text: String::new(),
        default: Some(options.len() as u16 - 1),
        options,
        houses: vec![],
        method: Method::Schulze,
        unranked: UnrankedRule::Last,
        tie: TieBreak::Listed,
        seats: 1,
        cap: None,
        quotas: vec![],
        close: town.now + 2 * DAY,
        reveal: None,
        appeals: None,
    }
}

pub fn rank(proposal: Hash, options: &[u16]) -> Vote {
    let groups = options.iter().map(|&option| vec![option]).collect();
    Vote { proposal, ballot: VoteBody::Ranking(groups) }
}

fn vote_all(town: &mut Town, proposal: Hash, options: &[u16]) {
    let keys: Vec<Identity> = town.people.iter().map(|p| p.key.clone()).collect();
    for key in keys {
        town.must(&key, rank(proposal, options));
    }
}

fn no_change() -> Choice {
    choice("no change", Effect::None)
}

fn status(town: &Town, proposal: Hash) -> Status {
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
    let tally = view::tally(&town.state, &town.state.proposals[&asked]);
    assert_eq!(tally.houses[0].outcome.ballots, 2);
    assert!(
        matches!(tally.status, Status::Passed { ref winners, in_force: true, .. } if *winners == [0])
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
    let seats = people.iter().map(|p| choice(&p.id.to_string(), Effect::Seat(p.id))).collect();
    let ask = Propose {
        method: Method::Committee,
        seats: 3,
        default: None,
        ..question(&town, ProposalType::Stewards, seats)
    };
    let asked = town.must(&people[0].key, ask);
    vote_all(&mut town, asked, &[0, 1, 2, 3, 4]);
    town.tick(DAY);
    town.tick(2 * DAY);
    let stewards: Vec<_> = town.state.stewards.iter().map(|s| s.member).collect();
    assert_eq!(stewards, [people[0].id, people[2].id, people[3].id], "one of Acme at most");
    assert_eq!(town.state.active_stewards().len(), 3);
    town.work_at(&people[2], "Acme");
    assert_eq!(town.state.active_stewards(), [people[0].id, people[3].id]);
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
    let draw = Propose {
        method: Method::Lot,
        options: vec![],
        default: None,
        seats: 3,
        close: town.now + DAY,
        ..question(&town, ProposalType::Panel, vec![no_change()])
    };
    let drawn = town.must(&accused.key, draw);
    town.tick(DAY + 1);
    let panel = view::panel(&town.state, &town.state.proposals[&drawn]).unwrap();
    assert_eq!(panel.seats.len(), 3);
    let options = vec![choice("overturn", Effect::Overturn), choice("uphold", Effect::None)];
    let ask = Propose {
        appeals: Some(asked),
        close: town.now + DAY + 1,
        ..question(&town, ProposalType::Appeal, options)
    };
    let appeal = town.must(&accused.key, ask);
    let seated: Vec<_> = panel.seats.iter().map(|seat| seat.member).collect();
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
    let tally = view::tally(&town.state, &town.state.proposals[&asked]);
    assert_eq!(tally.houses[0].outcome.ballots, 2);
    assert!(matches!(tally.status, Status::Passed { .. }));
}

#[test]
fn a_panel_meets_its_quotas() {
    let mut town = two_houses();
    let quota = |stratum: &str, min, max| Quota { stratum: stratum.into(), min, max };
    let draw = Propose {
        method: Method::Lot,
        options: vec![],
        default: None,
        seats: 2,
        quotas: vec![quota("users", 1, 1), quota("contributors", 1, 1)],
        ..question(&town, ProposalType::Panel, vec![no_change()])
    };
    let anna = town.people[0].key.clone();
    let asked = town.must(&anna, draw);
    town.tick(3 * DAY);
    let panel = view::panel(&town.state, &town.state.proposals[&asked]).unwrap();
    let houses: Vec<_> = panel.seats.iter().map(|seat| seat.house.unwrap()).collect();
    assert_eq!(houses.len(), 2);
    assert!(houses.contains(&House::Users) && houses.contains(&House::Contributors));
    assert_eq!(panel.possible.as_deref(), Some("6"));
}

/// A result that one voter decides waits until a panel has looked at it.
#[test]
fn a_close_result_is_withheld_until_a_panel_upholds_it() {
    let close = commons::statement::Rules { margin_floor: 2, ..rules() };
    let mut town = Town::with_rules(5, close);
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
    let draw = Propose {
        method: Method::Lot,
        options: vec![],
        default: None,
        seats: 1,
        close: town.now + DAY,
        ..question(&town, ProposalType::Panel, vec![no_change()])
    };
    let drawn = town.must(&people[0].key, draw);
    town.tick(DAY + 1);
    let panel = view::panel(&town.state, &town.state.proposals[&drawn]).unwrap();
    let options = vec![choice("overturn", Effect::Overturn), choice("uphold", Effect::None)];
    let ask = Propose {
        appeals: Some(asked),
        default: None,
        close: town.now + DAY + 1,
        ..question(&town, ProposalType::Appeal, options)
    };
    let appeal = town.must(&people[0].key, ask);
    let seated = people.iter().find(|p| p.id == panel.seats[0].member).unwrap();
    town.must(&seated.key, rank(appeal, &[1, 0]));
    town.tick(60);
    town.tick(DAY + 60);
    town.tick(60);
    assert!(matches!(status(&town, asked), Status::Passed { in_force: true, .. }));
    assert_eq!(views(&town.state), views(&town.replayed()));
}
