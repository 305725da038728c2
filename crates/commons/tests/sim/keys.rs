//! Keys that are lost, stolen and recovered.

use crate::town::*;
use commons::statement::{Claim, DeviceKey, Key, KeyOp, Verdict};
use ids::{Identity, PeerId};

fn rotation(town: &Town, member: &PeerId, keys: &[&Identity], next: &Identity, op: KeyOp) -> Key {
    Key {
        member: *member,
        op,
        keys: keys.iter().map(|k| DeviceKey::bind(k, &town.state.id, member)).collect(),
        next: Key::digest(&next.id()),
        guardians: vec![],
        threshold: 0,
    }
}

fn name(person: &Person, name: &str) -> commons::statement::Attest {
    about(person, Claim::Person { name: name.into() })
}

#[test]
fn a_thief_with_the_current_key_cannot_rotate_and_the_owner_can() {
    let mut town = Town::new(3);
    let anna = town.people[0].clone();
    let thief = identity(666, 0);
    // Signed with the stolen key, with the thief's own, both are not the key committed to.
    for key in [&anna.key, &thief] {
        let theft = rotation(&town, &anna.id, &[&thief], &identity(666, 1), KeyOp::Rotate);
        assert!(town.void(key, theft).contains("committed"));
    }
    let fresh = identity(0, 2);
    let rotate = rotation(&town, &anna.id, &[&anna.next, &fresh], &identity(0, 3), KeyOp::Rotate);
    town.must(&anna.next, rotate);
    assert!(town.void(&anna.key, name(&anna, "thief")).contains("in force"));
    town.must(&anna.next, name(&anna, "Anna"));
    town.must(&fresh, name(&anna, "Anna on her other device"));
    assert_eq!(town.state.members[&anna.id].name, "Anna on her other device");
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn nobody_can_claim_the_key_of_somebody_else() {
    let mut town = Town::new(3);
    let (anna, bert) = (town.people[0].clone(), town.people[1].clone());
    let mut theft = rotation(&town, &anna.id, &[&anna.next], &identity(0, 2), KeyOp::Rotate);
    // Without the key's own word …
    theft.keys.push(DeviceKey { key: bert.id, proof: theft.keys[0].proof });
    assert!(town.void(&anna.next, theft).contains("does not say"));
    // … and with it, because a key has one owner.
    let both = rotation(&town, &anna.id, &[&anna.next, &bert.key], &identity(0, 2), KeyOp::Rotate);
    assert!(town.void(&anna.next, both).contains("somebody else's"));
}

/// Anna has Bert, Cleo and Dino as guardians, two of whom it takes.
fn guarded() -> (Town, Person) {
    let mut town = Town::new(5);
    let anna = town.people[0].clone();
    let guardians = town.people[1..4].iter().map(|p| p.id).collect();
    let key = Key {
        guardians,
        threshold: 2,
        ..rotation(&town, &anna.id, &[&anna.key], &identity(0, 2), KeyOp::Rotate)
    };
    town.must(&anna.next, key);
    (town, Person { next: identity(0, 2), ..anna })
}

#[test]
fn guardians_give_a_lost_key_a_successor_after_a_delay() {
    let (mut town, anna) = guarded();
    let fresh = identity(0, 10);
    let recovery = rotation(&town, &anna.id, &[&fresh], &identity(0, 11), KeyOp::Recover);
    let asked = town.must(&fresh, recovery);
    let keys: Vec<_> = town.people.iter().map(|p| p.key.clone()).collect();
    assert!(town.void(&keys[4], check(asked, Verdict::Confirmed)).contains("not a guardian"));
    town.must(&keys[1], check(asked, Verdict::Confirmed));
    town.tick(10 * DAY);
    assert_eq!(town.state.keys_of(&anna.id), [anna.key.id()], "one guardian is not enough");
    town.must(&keys[2], check(asked, Verdict::Confirmed));
    town.tick(2 * DAY);
    assert_eq!(town.state.keys_of(&anna.id), [anna.key.id()], "the delay is not over");
    town.tick(2 * DAY);
    assert_eq!(town.state.keys_of(&anna.id), [fresh.id()]);
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn the_owner_vetoes_a_recovery_with_the_key_it_committed_to() {
    let (mut town, anna) = guarded();
    let evil = identity(0, 10);
    let recovery = rotation(&town, &anna.id, &[&evil], &identity(0, 11), KeyOp::Recover);
    let asked = town.must(&evil, recovery);
    for guardian in 1..3 {
        let key = town.people[guardian].key.clone();
        town.must(&key, check(asked, Verdict::Confirmed));
    }
    let rotate = rotation(&town, &anna.id, &[&anna.next], &identity(0, 3), KeyOp::Rotate);
    town.must(&anna.next, rotate);
    town.tick(30 * DAY);
    assert_eq!(town.state.keys_of(&anna.id), [anna.next.id()]);
    assert!(town.void(&evil, name(&anna, "evil")).contains("in force"));
}

#[test]
fn a_key_can_end_itself_and_the_next_one_begins_again() {
    let mut town = Town::new(3);
    let anna = town.people[0].clone();
    let revoke = Key { keys: vec![], ..rotation(&town, &anna.id, &[], &anna.next, KeyOp::Revoke) };
    town.must(&anna.key, revoke);
    assert!(town.void(&anna.key, name(&anna, "x")).contains("in force"));
    let rotate = rotation(&town, &anna.id, &[&anna.next], &identity(0, 2), KeyOp::Rotate);
    town.must(&anna.next, rotate);
    town.must(&anna.next, name(&anna, "Anna"));
}
