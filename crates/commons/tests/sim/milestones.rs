//! Marks of training runs' records: who may make one, and what becomes of two that disagree.

use crate::{attacks::withdraw, bare::Bare, town::*};
use commons::{
    ArchiveError, Body, Place, Statement, StatementError,
    state::{MarkedRecord, State},
    statement::{Check, Evidence, Genesis, Milestone, Subject, Verdict},
    view,
};
use ids::Hash;

fn milestone(height: u64, record: &[u8]) -> Milestone {
    Milestone { run: Hash::of(b"run"), height, record: Hash::of(record) }
}

fn marked(state: &State) -> Vec<MarkedRecord> {
    state.marked_records(&Hash::of(b"run"))
}

/// Heights, records, and how many say so.
fn short(state: &State) -> Vec<(u64, Hash, usize)> {
    marked(state).into_iter().map(|m| (m.height, m.record, m.by.len())).collect()
}

#[test]
fn members_mark_records_and_who_agrees_is_counted() {
    let mut town = Town::new(3);
    let [anna, bert, _] = &town.people.clone()[..] else { panic!("three people") };
    let first = town.must(&anna.key, milestone(16, b"sixteen"));
    town.must(&anna.key, milestone(0, b"genesis"));
    town.must(&bert.key, milestone(16, b"sixteen"));
    let found = [(0, Hash::of(b"genesis"), 1), (16, Hash::of(b"sixteen"), 2)];
    assert_eq!(short(&town.state), found);
    let by = &marked(&town.state)[1].by;
    assert!(by.contains(&(anna.id, town.state.place(&first).unwrap().0)));
    assert_eq!(town.state.marked_records(&Hash::of(b"another run")), []);
    assert_eq!(short(&town.replayed()), found, "a replay finds the same");
    assert!(town.void(&anna.key, milestone(16, b"sixteen")).contains("said so already"));
}

#[test]
fn a_strangers_mark_changes_nothing() {
    let mut town = Town::new(3);
    let anna = town.people[0].clone();
    let stranger = town.start(7);
    assert!(town.void(&stranger.key, milestone(16, b"false")).contains("not a member"));
    assert!(town.void(&identity(66, 0), milestone(16, b"false")).contains("in force for nobody"));
    assert_eq!(short(&town.state), []);
    town.must(&anna.key, milestone(16, b"right"));
    assert_eq!(short(&town.state), [(16, Hash::of(b"right"), 1)]);
}

#[test]
fn a_contradiction_stands_with_the_names_of_both() {
    let mut town = Town::new(3);
    let [anna, bert, _] = &town.people.clone()[..] else { panic!("three people") };
    town.must(&anna.key, milestone(16, b"right"));
    town.must(&bert.key, milestone(16, b"false"));
    // Somebody who contradicts itself is no better.
    town.must(&bert.key, milestone(32, b"one"));
    town.must(&bert.key, milestone(32, b"other"));
    let view = view::milestones(&town.state);
    assert_eq!(view.runs[0].contradicted, [16, 32]);
    let by: Vec<_> = view.runs[0].milestones[0].records.iter().flat_map(|r| &r.by).collect();
    assert!(by.contains(&&anna.id) && by.contains(&&bert.id), "{by:?}");
}

#[test]
fn what_somebody_marked_counts_no_more_once_it_is_no_member() {
    let mut town = Town::new(3);
    let dora = town.join(3, &[0, 1]);
    town.must(&dora.key, milestone(16, b"false"));
    assert_eq!(short(&town.state), [(16, Hash::of(b"false"), 1)]);
    let anna = town.people[0].key.clone();
    town.must(&anna, withdraw(&dora.id));
    assert!(!town.state.is_member(&dora.id));
    assert_eq!(short(&town.state), []);
    town.must(&anna, vouch(&dora.id));
    assert_eq!(short(&town.state), [(16, Hash::of(b"false"), 1)], "nor is it lost for good");
}

#[test]
fn what_a_key_said_that_contradicted_itself_counts_for_nothing() {
    let mut town = Town::new(3);
    let anna = town.people[0].clone();
    let (seq, prev) = town.state.chain_head(&anna.id);
    let place = Place { log: town.state.id, seq, prev, seen: Some(town.seen()) };
    let twice = [b"one", b"two"].map(|record| {
        Statement::sign(&anna.key, place, milestone(16, record)).unwrap().bytes().to_vec()
    });
    town.must(&anna.key, milestone(16, b"false"));
    let bert = town.people[1].key.clone();
    let [one, two] = twice;
    let check = Check {
        subject: Subject::Statement(Hash::of(b"anything")),
        verdict: Verdict::Equivocation,
        evidence: Evidence::TwoStatements(one, two),
    };
    town.must(&bert, check);
    assert_eq!(short(&town.state), []);
}

#[test]
fn a_height_that_no_run_has_is_out_of_bounds() {
    let town = Town::new(1);
    let place = Place { log: town.state.id, seq: 0, prev: None, seen: Some(town.seen()) };
    let high = milestone(1 << 32, b"never");
    let refused = Statement::sign(&town.people[0].key, place, high).unwrap_err().to_string();
    assert!(refused.contains("height is 4294967296"), "{refused}");
}

#[test]
fn a_mark_costs_nobody_more_than_its_bytes() {
    let mut bare = Bare::new(3, rules());
    let anna = bare.people[0].key.clone();
    let before = bare.state.steps();
    for height in 0..2000 {
        bare.say(&anna, milestone(height % 50, &height.to_le_bytes())).unwrap();
    }
    assert_eq!(bare.state.steps(), before);
    assert_eq!(marked(&bare.state).len(), 2000);
}

#[test]
fn a_mark_has_these_bytes() {
    let town = Town::new(1);
    let place = Place { log: town.state.id, seq: 0, prev: None, seen: Some(town.seen()) };
    let said = Statement::sign(&town.people[0].key, place, milestone(16, b"record")).unwrap();
    // An array of three: run, height, record.
    let run: &[u8] = &Hash::of(b"run").0;
    let body = [b"\x58\x46\x83\x58\x20", run, b"\x10\x58\x20", &Hash::of(b"record").0].concat();
    let signature = 66;
    let before = &said.bytes()[..said.bytes().len() - signature];
    assert!(before.ends_with(&body));
    assert_eq!(said.body.kind().number(), 15);
    assert_eq!(Statement::parse(said.bytes()), Ok(said.clone()));
}

#[test]
fn a_fork_takes_the_marks_of_its_members_along() {
    let mut town = Town::new(3);
    let [anna, bert, _] = &town.people.clone()[..] else { panic!("three people") };
    town.must(&anna.key, milestone(16, b"hers"));
    town.must(&bert.key, milestone(32, b"his"));
    let Body::Genesis(body) = &town.genesis.body else { panic!("a genesis") };
    let root = town.archive.snapshot().unwrap().root_at(town.state.size).unwrap().0;
    let parent = commons::statement::ParentLog { id: town.state.id, size: town.state.size, root };
    let founders = body.founders[..1].to_vec();
    let body = Genesis { parent: Some(parent), founders, ..body.clone() };
    let (genesis, _) = commons::author::found(&anna.key, &town.operator, body).unwrap();
    let fork = State::begin(&genesis, Some(&town.state)).unwrap();
    assert_eq!(short(&fork), [(16, Hash::of(b"hers"), 1)]);
}

#[test]
fn a_log_of_version_1_has_no_such_statement() {
    let town = Town::new(1);
    let anna = &town.people[0];
    let Body::Genesis(body) = &town.genesis.body else { panic!("a genesis") };
    let unnamed = Genesis { version: None, ..body.clone() };
    let (old, head) = commons::author::found(&anna.key, &town.operator, unnamed).unwrap();
    let mut state = State::begin(&old, None).unwrap();
    let archive =
        commons::Archive::with_backend(redb::backends::InMemoryBackend::new(), Some(&old)).unwrap();
    archive.keep_checkpoint(&head).unwrap();
    let log = archive.snapshot().unwrap();
    let key = commons::state::log_key(&head.checkpoint().origin, town.operator.id());
    let seen = commons::Seen {
        size: 1,
        root: log.root_at(1).unwrap().0,
        signature: head.signature(&key).unwrap(),
    };
    let place = Place { log: state.id, seq: 0, prev: None, seen: Some(seen) };
    let marked = Statement::sign(&anna.key, place, milestone(16, b"record")).unwrap();
    let refused = state.apply(&marked, &log).unwrap_err();
    let why = StatementError::Kind { kind: 15, version: 1 };
    assert!(matches!(refused, ArchiveError::Statement { index: 1, why: w } if w == why));
    assert_eq!((state.size, state.voids.len()), (1, 0), "it has no place there");
    // Nor by way of another statement.
    let other = Statement::sign(&anna.key, place, milestone(16, b"other")).unwrap();
    let evidence = Evidence::TwoStatements(marked.bytes().to_vec(), other.bytes().to_vec());
    let subject = Subject::Statement(Hash::of(b"anything"));
    let check = Check { subject, verdict: Verdict::Equivocation, evidence };
    state.apply(&Statement::sign(&anna.key, place, check).unwrap(), &log).unwrap();
    assert!(
        state.voids[0].reason.to_string().contains("kind 15 is none of version 1"),
        "{:?}",
        state.voids
    );
    // Nor in a range that somebody sends.
    let range = commons::follow::RangeProof {
        first: 1,
        entries: vec![marked.bytes().to_vec().into()],
        proof: vec![],
    };
    drop(log);
    let mut state = State::begin(&old, None).unwrap();
    let refused = commons::follow::take_in(&archive, &mut state, &range, &head).unwrap_err();
    assert!(refused.to_string().contains("kind 15 is none of version 1"), "{refused}");
}
