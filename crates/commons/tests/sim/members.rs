//! Who becomes a member, and what a statement of somebody who is none counts for.

use crate::town::*;
use commons::{
    statement::{Claim, Derive, Reproducible, Verdict, Work, WorkType},
    view,
};
use ids::Hash;

fn derive(child: &[u8]) -> Derive {
    Derive {
        child: Hash::of(child),
        parents: vec![],
        recipe: Hash::of(b"recipe"),
        tool: "understory".into(),
        reproducible: Reproducible::Exact,
    }
}

#[test]
fn two_vouches_make_a_member_and_one_does_not() {
    let mut town = Town::new(3);
    let dora = town.start(3);
    town.must(&dora.key, about(&dora, Claim::Person { name: "Dora".into() }));
    assert!(town.void(&dora.key, derive(b"a")).contains("not a member"));
    let (anna, bert) = (town.people[0].key.clone(), town.people[1].key.clone());
    town.must(&anna, vouch(&dora.id));
    assert!(!town.state.is_member(&dora.id));
    assert!(town.void(&anna, vouch(&dora.id)).contains("already"));
    town.must(&bert, vouch(&dora.id));
    assert!(town.state.is_member(&dora.id));
    town.must(&dora.key, derive(b"a"));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn a_budget_bounds_what_one_member_can_vouch_for() {
    let mut town = Town::new(3);
    let anna = town.people[0].key.clone();
    for number in 10..15 {
        let fake = town.start(number);
        town.must(&anna, vouch(&fake.id));
    }
    let sixth = town.start(15);
    assert!(town.void(&anna, vouch(&sixth.id)).contains("5 vouches"));
}

#[test]
fn a_removed_voucher_takes_its_fakes_along() {
    let mut town = Town::new(3);
    let mole = town.join(3, &[0, 1]);
    let second = town.join(4, &[0, 1]);
    let fakes: Vec<Person> = (20..23)
        .map(|number| {
            let fake = town.start(number);
            town.must(&mole.key, vouch(&fake.id));
            town.must(&second.key, vouch(&fake.id));
            fake
        })
        .collect();
    assert!(fakes.iter().all(|fake| town.state.is_member(&fake.id)));
    let electorate = town.state.electorate();
    let at = electorate.position(&mole.id).unwrap();
    let mut fallen: Vec<_> =
        electorate.dependants(at).iter().map(|&e| electorate.electors[e as usize].member).collect();
    let mut expected: Vec<_> = fakes.iter().map(|fake| fake.id).collect();
    fallen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(fallen, expected);
    // A withdrawn vouch does the same.
    let withdraw = commons::statement::Attest {
        subject: fakes[0].id,
        claim: Claim::Vouch { withdrawn: true },
    };
    town.must(&mole.key, withdraw);
    assert!(!town.state.is_member(&fakes[0].id));
    assert!(town.state.is_member(&fakes[1].id));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn an_edge_is_declared_then_confirmed_then_disputed() {
    let mut town = Town::new(5);
    let keys: Vec<_> = town.people.iter().map(|p| p.key.clone()).collect();
    let people = town.people.clone();
    town.work_at(&people[1], "Acme");
    town.work_at(&people[2], "Acme");
    let edge = town.must(&keys[0], derive(b"model"));
    let verdict = |town: &Town| {
        format!("{:?}", view::lineage(&town.state, view::Bounds::NONE).edges[0].verdict)
    };
    assert_eq!(verdict(&town), "Declared");
    assert!(town.void(&keys[0], check(edge, Verdict::Confirmed)).contains("itself"));
    town.must(&keys[1], check(edge, Verdict::Confirmed));
    town.must(&keys[2], check(edge, Verdict::Confirmed));
    assert_eq!(verdict(&town), "Declared", "two of one employer count once");
    town.must(&keys[3], check(edge, Verdict::Confirmed));
    assert_eq!(verdict(&town), "Confirmed");
    town.must(&keys[4], check(edge, Verdict::Mismatch));
    assert_eq!(verdict(&town), "Disputed");
    town.must(&keys[4], check(edge, Verdict::Confirmed));
    assert_eq!(verdict(&town), "Confirmed", "a checker may correct itself");
}

#[test]
fn work_counts_once_somebody_else_has_checked_it() {
    let mut town = Town::new(3);
    let dora = town.join(3, &[0, 1]);
    let work = Work {
        task: Hash::of(b"task"),
        work: WorkType::Compute,
        quantity: 7,
        unit: "GPU-hour".into(),
        inputs: vec![],
        output: Hash::of(b"out"),
    };
    let done = town.must(&dora.key, work);
    let stands = |town: &Town| town.state.stands(&town.state.work[0]);
    assert!(!stands(&town));
    let anna = town.people[0].key.clone();
    town.must(&anna, check(done, Verdict::Confirmed));
    assert!(stands(&town));
}
