//! Committees whose seats end at different times: who holds one already is known from the log.

use crate::{attacks::*, town::*, voting::*};
use commons::{
    state::Status,
    statement::{Effect, HeldSeat, HeldSeats, Method, ProposalType, Propose, Rules},
};
use ids::{Hash, PeerId};

fn seated(town: &Town) -> Vec<PeerId> {
    town.state.stewards.iter().map(|s| s.member).collect()
}

/// Stewards in three groups, elected once: their terms end after one, two and three thirds.
fn staggered() -> (Town, Vec<Person>) {
    let mut town =
        Town::with_rules(7, Rules { steward_groups: Some(3), steward_term: 300 * DAY, ..rules() });
    let people = town.people.clone();
    decide(
        &mut town,
        |town| council(town, decide::Method::Committee, &people[..4]),
        &[0, 1, 2, 3, 4],
    );
    let terms: Vec<u64> = town.state.stewards.iter().map(|s| (s.until - town.now) / DAY).collect();
    assert_eq!(terms, [300, 200, 100]);
    (town, people)
}

/// An election of those seats that end, for which these stand.
fn part(town: &Town, seats: u16, candidates: &[Person]) -> Propose {
    Propose { seats, ..council(town, decide::Method::Committee, candidates) }
}

#[test]
fn only_the_seats_that_end_are_elected_and_the_others_stay() {
    let (mut town, people) = staggered();
    town.tick(110 * DAY);
    let key = people[6].key.clone();
    assert!(town.void(&key, part(&town, 2, &people[3..6])).contains("those whose terms end"));
    assert!(town.void(&key, part(&town, 1, &people[..3])).contains("has a seat already"));
    let asked = decide(&mut town, |town| part(town, 1, &people[3..6]), &[1, 0, 2, 3]);
    assert!(matches!(status(&town, asked), Status::Passed { in_force: true, .. }));
    assert_eq!(seated(&town), [people[0].id, people[1].id, people[4].id]);
    let last = town.state.stewards.last().unwrap().until;
    assert_eq!((last - town.now) / DAY, 300, "with a whole term");
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// A company has one of three seats already; it wins the election of the next.
#[test]
fn an_employers_cap_counts_the_seats_that_are_held() {
    let (mut town, people) = staggered();
    town.tick(110 * DAY);
    for at in [0, 4] {
        town.work_at(&people[at], "Acme");
    }
    decide(&mut town, |town| part(town, 1, &people[3..6]), &[1, 0, 2, 3]);
    assert_eq!(seated(&town), [people[0].id, people[1].id, people[3].id], "the next best");
}

/// The same company asks for the cap of its own: a part of the seats that are elected alone.
#[test]
fn whoever_asks_says_nothing_about_the_seats_that_are_held() {
    let (mut town, people) = staggered();
    town.tick(110 * DAY);
    let key = people[6].key.clone();
    let own = Propose { held: Some(Hash::of(b"mine")), ..part(&town, 1, &people[3..6]) };
    assert!(town.void(&key, own).contains("known from their elections"));
    for at in [0, 4] {
        town.work_at(&people[at], "Acme");
    }
    let generous = |town: &Town| Propose { cap: Some((1, 1)), ..part(town, 1, &people[3..6]) };
    decide(&mut town, generous, &[1, 0, 2, 3]);
    assert!(!seated(&town).contains(&people[4].id));
}

fn list(town: &Town, seats: &[(&str, Option<&str>, u64)]) -> Propose {
    let seat = |&(name, org, until): &(&str, Option<&str>, u64)| HeldSeat {
        name: name.into(),
        org: org.map(str::to_owned),
        until,
    };
    let seats = seats.iter().map(seat).collect();
    let effect = Effect::Seats(HeldSeats { committee: "steering".into(), seats });
    question(town, ProposalType::Question, vec![choice("as listed", effect), no_change()])
}

/// Two seats of three candidates, of whom the first works for Acme.
fn election(town: &Town, held: Option<Hash>) -> Propose {
    let names = ["a", "b", "c"].map(|name| choice(name, Effect::None));
    let mut options = names.to_vec();
    options.push(no_change());
    Propose {
        method: Method::Counted(decide::Method::Committee),
        seats: 2,
        cap: Some((1, 2)),
        held,
        ..question(town, ProposalType::Question, options)
    }
}

/// Seats of a committee outside the log: from a list that the members decided, and only from that.
#[test]
fn a_list_counts_once_the_members_decided_it_and_until_they_decide_another() {
    let mut town = Town::new(5);
    let key = town.people[0].key.clone();
    let (soon, late) = (town.now + 10 * DAY, town.now + 500 * DAY);
    let listed = [("Emil", Some("Acme"), late), ("Kaja", None, soon), ("Ivo", None, late)];
    let first = town.must(&key, list(&town, &listed));
    assert!(town.void(&key, election(&town, Some(first))).contains("not listed by a decision"));
    vote_all(&mut town, first, &[0, 1]);
    town.tick(DAY);
    town.tick(DAY + 60);
    let asked = town.must(&key, election(&town, Some(first)));
    let held = |town: &Town, asked: &Hash| town.state.proposals[asked].held.len();
    assert_eq!(held(&town, &asked), 3);
    town.tick(10 * DAY);
    let asked = town.must(&key, election(&town, Some(first)));
    assert_eq!(held(&town, &asked), 2, "one seat has ended");
    let count = town.state.count(&town.state.proposals[&asked]).unwrap().unwrap();
    let election_now = &count.houses[0].election;
    assert_eq!(election_now.held, [Some("Acme".to_owned()), None]);
    assert_eq!((election_now.all_seats(), election_now.cap()), (4, 2));
    // A new list takes the place of the old one; nobody goes back to the one it likes better.
    let second = decide(&mut town, |town| list(town, &[("Emil", Some("Acme"), late)]), &[0, 1]);
    assert!(town.void(&key, election(&town, Some(first))).contains("not listed by a decision"));
    town.must(&key, election(&town, Some(second)));
    // One house alone lists nothing, and nothing is listed without a majority.
    let users = Propose { houses: vec![commons::statement::House::Users], ..list(&town, &listed) };
    assert!(town.void(&key, users).contains("all members together"));
    let open = Propose { default: None, ..list(&town, &listed) };
    assert!(town.void(&key, open).contains("default option"));
}
