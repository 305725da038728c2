//! Proofs that stand alone: what whoever has nothing but a file and the commons' id can check.

use crate::town::*;
use commons::{
    Seen, Statement,
    portable::{LoggedStatement, Portable, PortableError, PortableSplit, Trust, contradiction},
    state::log_key,
    statement::{Claim, Rights},
};
use ids::Identity;
use tlog::{
    Checkpoint, Hash as TreeHash, NotLogged, SignedCheckpoint, SplitError, SplitProof, TlogProof,
};

fn person(name: &str) -> Claim {
    Claim::Person { name: name.into() }
}

fn logged(town: &Town, hash: ids::Hash) -> Option<LoggedStatement> {
    let (index, _) = town.state.place(&hash).expect("it is in the log");
    LoggedStatement::new(&town.archive.snapshot().unwrap(), &town.state, index).unwrap()
}

fn read(bytes: &[u8]) -> LoggedStatement {
    match Portable::parse(bytes).unwrap() {
        Portable::Logged(logged) => *logged,
        Portable::Split(_) => panic!("it is a statement's"),
    }
}

fn founders(town: &Town) -> Trust {
    Trust::of_genesis(&town.genesis)
}

#[test]
fn a_statement_proves_itself_with_the_genesis_alone() {
    let mut town = Town::new(3);
    let anna = town.people[0].clone();
    let hash = town.must(&anna.key, about(&anna, person("Anna")));
    assert!(logged(&town, hash).is_none(), "nobody cosigned a head that has it");
    town.tick(60);
    let bytes = Portable::Logged(Box::new(logged(&town, hash).unwrap())).to_bytes();
    let file = Portable::parse(&bytes).unwrap();
    assert_eq!((file.commons(), file.to_bytes()), (town.state.id, bytes.clone()));
    let found = read(&bytes);
    assert_eq!(found.statement.hash(), hash);
    assert_eq!(found.check(&founders(&town)).unwrap().count(), 3);
    let first = Portable::Logged(Box::new(logged(&town, town.genesis.hash()).unwrap())).to_bytes();
    assert!(read(&first).check(&founders(&town)).is_ok(), "the genesis too");

    for at in (0..bytes.len()).step_by(5) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let Ok(file) = Portable::parse(&changed) else { continue };
        let (id, changed) = (file.commons(), read(&changed));
        if id == town.state.id && changed.check(&founders(&town)).is_ok() {
            // Of three cosignatures one may go.
            assert_eq!(changed.statement, found.statement);
            assert_eq!(changed.proof.index, found.proof.index);
            let head = |found: &LoggedStatement| found.proof.checkpoint.checkpoint().clone();
            assert_eq!(head(&changed), head(&found));
        }
    }
    let other = Town::with_rules(4, rules());
    assert!(matches!(found.check(&founders(&other)), Err(NotLogged::Origin { .. })));
    let mut bare = found.proof.clone();
    bare.extra = None;
    let bare = Portable::parse(bare.to_string().as_bytes());
    assert!(matches!(bare, Err(PortableError::NoExtra)));
}

#[test]
fn a_statement_of_another_commons_is_no_content() {
    let mut town = Town::new(3);
    let mut other = Town::with_rules(4, rules());
    let anna = town.people[0].clone();
    let mine = town.must(&anna.key, about(&anna, person("Anna")));
    let foreign = other.must(&anna.key, about(&anna, person("Anna")));
    town.tick(60);
    other.tick(60);
    let (mine, foreign) = (logged(&town, mine).unwrap(), logged(&other, foreign).unwrap());
    let TlogProof { index, hashes, checkpoint, .. } = mine.proof;
    let mixed =
        LoggedStatement::assemble(mine.genesis, foreign.statement, index, hashes, checkpoint);
    let found = Portable::parse(mixed.proof.to_string().as_bytes());
    assert!(matches!(found, Err(PortableError::Foreign { .. })));
}

/// What is signed by a later operator says nothing to somebody who knows the genesis alone, so
/// older statements are proven with the heads of the first one.
#[test]
fn after_a_hand_over_the_log_has_to_judge() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let old = town.must(&people[0].key, about(&people[0], person("Anna")));
    town.tick(60);
    let bert = people[1].key.clone();
    let operate = Rights::to_operate(bert.id());
    town.say(&people[0].key, operate.clone());
    town.say(&people[1].key, operate);
    town.operator = bert.clone();
    town.integrate();
    let new = town.must(&people[2].key, about(&people[2], person("Cleo")));
    town.tick(60);

    let (old, new) = (logged(&town, old).unwrap(), logged(&town, new).unwrap());
    assert!(old.check(&founders(&town)).is_ok());
    let size = new.proof.checkpoint.checkpoint().size;
    assert_eq!(new.check(&founders(&town)), Err(NotLogged::Unsigned { size }));
    assert!(new.check(&founders(&town).and_operator(bert.id())).is_ok());
    assert!(new.check(&Trust::of_state(&town.state, size)).is_ok());
}

/// The head of another history that a member was shown.
fn shown(town: &Town, operator: &Identity) -> SignedCheckpoint {
    let size = town.state.size;
    let other = Checkpoint::new(town.archive.origin(), size, TreeHash::of_leaf(b"other"));
    other.sign(operator).unwrap()
}

#[test]
fn a_statement_that_crossed_from_another_history_becomes_a_proof_for_others() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let split = |town: &Town, kept| {
        PortableSplit::new(&town.archive.snapshot().unwrap(), &town.state, kept).unwrap()
    };
    assert!(split(&town, vec![]).is_none());
    let other = shown(&town, &town.operator);
    let key = log_key(&town.archive.origin(), town.operator.id());
    let head = other.checkpoint();
    let signature = other.signature(&key).unwrap();
    let seen = Seen { size: head.size, root: head.root.0, signature };
    let (seq, prev) = town.state.chain_head(&people[1].id);
    let place = commons::Place { log: town.state.id, seq, prev, seen: Some(seen) };
    let crossing =
        Statement::sign(&people[1].key, place, about(&people[1], person("Bert"))).unwrap();
    town.archive.hold(&crossing).unwrap();
    town.integrate();

    let bytes = Portable::Split(Box::new(split(&town, vec![]).unwrap())).to_bytes();
    let file = Portable::parse(&bytes).unwrap();
    assert_eq!((file.commons(), file.to_bytes()), (town.state.id, bytes));
    let Portable::Split(found) = file else { panic!("it is of two histories") };
    assert_eq!(found.check(&founders(&town)).unwrap(), town.operator.id());
    let stranger = Trust::of_genesis(&Town::with_rules(4, rules()).genesis);
    assert!(matches!(found.check(&stranger), Err(SplitError::Unsigned { .. })));
    // Shown the head itself, a member proves the same; of a forged one nothing follows.
    let log = town.archive.snapshot().unwrap();
    let proof = contradiction(&log, &town.state, &other).unwrap().unwrap();
    assert_eq!(proof, found.split);
    assert_eq!(contradiction(&log, &town.state, &shown(&town, &people[0].key)).unwrap(), None);
    let ours = log.latest_checkpoint().unwrap().unwrap();
    assert_eq!(contradiction(&log, &town.state, &ours).unwrap(), None);
}

/// Whoever operates two logs and shows two histories of one has not done so with the other.
#[test]
fn a_split_of_one_log_is_none_of_another_that_the_same_key_operates() {
    let town = Town::new(3);
    let key = log_key(&town.archive.origin(), town.operator.id());
    let head = |entry: &[u8]| {
        let elsewhere = Checkpoint::new("another log", 5, TreeHash::of_leaf(entry));
        let signature = town.operator.sign(elsewhere.to_string().as_bytes());
        SignedCheckpoint::with_signature(elsewhere, &key, &signature).unwrap()
    };
    assert_eq!(SplitProof::of_one_size(&key, &head(b"a"), &head(b"b")), None);
}
