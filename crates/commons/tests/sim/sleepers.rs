//! Questions and results that somebody files today to have them decided by yesterday's members.

use crate::{attacks::*, town::*, voting::*};
use commons::{
    state::Status,
    statement::{Effect, House, ProposalType, Propose, Rules},
};

/// C2: an election that closes in a year, by those who are members today.
#[test]
fn no_question_is_open_for_longer_than_the_rules_say() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let longest = town.state.rules.longest_open.unwrap();
    let sleeper = Propose {
        close: town.now + longest + 1,
        ..council(&town, decide::Method::Committee, &people)
    };
    assert!(town.void(&people[0].key, sleeper.clone()).contains("at the latest"));
    town.must(&people[0].key, Propose { close: town.now + longest, ..sleeper });
}

/// The same with sealed ballots: voting ends soon, and they are revealed next year.
#[test]
fn nor_are_its_ballots_sealed_for_longer() {
    let mut town = Town::new(3);
    let key = town.people[0].key.clone();
    let sealed = Propose { reveal: Some(town.now + 400 * DAY), ..plain(&town) };
    assert!(town.void(&key, sealed).contains("at the latest"));
    let panel = Propose { reveal: Some(town.now + 400 * DAY), ..lottery(&town, 3, &[]) };
    assert!(town.void(&key, panel).contains("at the latest"));
}

/// Today's majority makes the bound itself long.
#[test]
fn the_bound_has_a_bound() {
    let mut town = Town::new(3);
    let key = town.people[0].key.clone();
    let ask = |town: &Town, rules: Rules| Propose {
        houses: vec![House::Users, House::Contributors],
        ..question(
            town,
            ProposalType::Rules,
            vec![choice("new", Effect::Rules(rules)), no_change()],
        )
    };
    for (rules, why) in [
        (Rules { longest_open: Some(91 * DAY), ..rules() }, "at most 90 days"),
        (Rules { longest_open: Some(DAY), ..rules() }, "twice the notice"),
        (Rules { longest_open: None, ..rules() }, "lack one"),
        (Rules { exit_period: 400 * DAY, ..rules() }, "more than a year"),
        (Rules { appeal_period: 400 * DAY, ..rules() }, "more than a year"),
        (Rules { draw_secrets: Some(0), ..rules() }, "a secret"),
        (Rules { steward_groups: Some(9), ..rules() }, "each group"),
    ] {
        let reason = town.void(&key, ask(&town, rules));
        assert!(reason.contains(why), "{why}: {reason}");
    }
    town.must(&key, ask(&town, Rules { longest_open: Some(90 * DAY), ..rules() }));
}

/// Nothing was said for a year, and the log's time stands still. Whoever wakes it asks a question
/// whose close is long over by the real time: the next mark would close it before anybody saw it.
#[test]
fn a_commons_that_wakes_up_gives_everybody_the_notice() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let stale = town.state.now();
    town.now += 365 * DAY;
    let ask = Propose { close: stale + DAY + 1, ..plain(&town) };
    let asked = town.must(&people[0].key, ask);
    town.must(&people[0].key, rank(asked, &[0, 1]));
    town.tick(60);
    town.tick(60);
    assert_eq!(status(&town, asked), Status::Open);
    let proposal = &town.state.proposals[&asked];
    assert_eq!(proposal.close, proposal.opened.unwrap() + town.state.rules.notice);
    for person in &people[1..] {
        town.must(&person.key, rank(asked, &[1, 0]));
    }
    town.tick(60);
    town.tick(DAY);
    assert!(matches!(status(&town, asked), Status::Failed { .. }), "the others were heard");
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// A result that was withheld, and that nobody appealed against, is not upheld years later.
#[test]
fn a_withheld_result_lapses() {
    let mut town = Town::with_rules(5, Rules { margin_floor: 2, ..rules() });
    let people = town.people.clone();
    let asked = town.must(&people[0].key, plain(&town));
    for (at, person) in people.iter().enumerate() {
        town.must(&person.key, rank(asked, if at < 3 { &[0, 1] } else { &[1, 0] }));
    }
    town.tick(DAY);
    town.tick(2 * DAY);
    assert!(matches!(status(&town, asked), Status::Withheld { .. }));
    let before = appeal(&town, asked);
    town.tick(6 * DAY);
    assert!(matches!(status(&town, asked), Status::Failed { .. }));
    let ask = lottery(&town, 3, &[]);
    drawn(&mut town, ask);
    let late = Propose { close: town.now + DAY + 1, ..before };
    assert!(town.void(&people[0].key, late).contains("not decided"));
}

/// Who was a member when a question was asked votes on it, whatever happens to its vouches; the
/// question is over before that says much.
#[test]
fn a_vouch_taken_back_silences_nobody_and_the_question_ends_soon() {
    let mut town = Town::new(3);
    let dora = town.join(3, &[0, 1]);
    let anna = town.people[0].key.clone();
    let longest = town.state.rules.longest_open.unwrap();
    let ask = Propose { close: town.now + longest, ..plain(&town) };
    let asked = town.must(&anna, ask);
    town.must(&anna, withdraw(&dora.id));
    assert!(!town.state.is_member(&dora.id));
    town.must(&dora.key, rank(asked, &[1, 0]));
    town.tick(60);
    town.tick(longest);
    let count = town.state.proposals[&asked].count.as_ref().unwrap();
    assert_eq!(count.houses[0].outcome.ballots, 1);
}
