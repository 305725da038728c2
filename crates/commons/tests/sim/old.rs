//! Logs of older versions of the rules mean what they meant, and go on as forks only.

use crate::town::*;
use commons::{
    Archive, Body, Home, author,
    state::{State, Status},
    statement::{Claim, Genesis, ParentLog, RULES_VERSION},
};
use ids::Hash;

/// A log of version 1, written by the program before version 2: `u32` length (little endian) and
/// bytes of each statement. In it a question sleeps for 400 days, a panel has no secrets, a tie of
/// open ballots is drawn, and a vouch is taken back.
const LOG: &[u8] = include_bytes!("../golden/log-rules-1.bin");

fn old(dir: &std::path::Path) -> (Home, State) {
    let statements = statements_of(LOG);
    let home = Home::create(dir, &statements[0], None).unwrap();
    let archive = home.archive().unwrap();
    archive.append(&statements[1..]).unwrap();
    let log = archive.snapshot().unwrap();
    let state = home.state(&log).unwrap();
    drop((log, archive));
    (home, state)
}

fn hash(hex: &str) -> Hash {
    hex.parse().unwrap()
}

#[test]
fn a_log_of_version_1_means_what_it_meant() {
    let dir = tempfile::tempdir().unwrap();
    let (_, state) = old(dir.path());
    assert_eq!((state.version, state.size), (1, 49));
    let id = hash("4e5cc90310280d0d52c0434d5886ff7f0c7801a3db09dca444e663881e1f9e2e");
    assert_eq!(state.id, id);
    assert_eq!(state.voids, []);
    assert_eq!(state.members.values().filter(|m| m.is_member).count(), 6);
    assert_eq!(state.charter, Hash::of(b"be kinder"));
    let won = |question: &str| match &state.proposals[&hash(question)].status {
        Status::Passed { winners, closed, in_force: true, .. } => (winners.clone(), *closed),
        other => panic!("{question}: {other:?}"),
    };
    let sleeper = won("b1f61b27985ad5dcd7a6c23aab29d330e6392fcf0f0befa3fee180d574623f3d");
    assert_eq!(sleeper, (vec![0], 1_834_905_670));
    let panel = won("0558228c3889328d4b5dca7511320df73fba8b699d2f4d9ea347bd673ede3ed0");
    assert_eq!(panel, (vec![0, 4, 6], 1_800_086_470));
    let tie = won("e93989e26e8c239ffa372c4c02bf8a1a697c64f5953d9f32aeb96e4c1d449572");
    assert_eq!(tie, (vec![1], 1_800_259_270));
    let charter = won("2a6ef27e98d8e92f92b2dac62f2f3769b9097a80ddb304193dcd052a305d74b0");
    assert_eq!(charter, (vec![0], 1_800_259_270));
}

/// The digests of this log's views, with one statement that comes a second time and so is void:
/// another version of the program has the same, whatever it calls what it shows.
#[test]
fn the_views_of_a_log_have_the_digests_that_they_had() {
    let dir = tempfile::tempdir().unwrap();
    let (home, mut state) = old(dir.path());
    let archive = home.archive().unwrap();
    let log = archive.snapshot().unwrap();
    state.apply(&log.statement(7).unwrap(), &log).unwrap();
    assert_eq!(state.voids.len(), 1);
    let digests = commons::view::digests(&state);
    let all: String = digests.iter().map(|(name, digest)| format!("{name} {digest}\n")).collect();
    assert_eq!(all, include_str!("../golden/digests-rules-1.txt"));
}

#[test]
fn nothing_new_is_written_into_an_old_log_and_a_fork_takes_it_over() {
    let dir = tempfile::tempdir().unwrap();
    let (home, state) = old(&dir.path().join("old"));
    let archive = home.archive().unwrap();
    let anna = Person::new(0);
    let name = about(&anna, Claim::Person { name: "Anne".into() });
    let refused = archive.write(&state, &anna.key, name.clone()).unwrap_err().to_string();
    assert!(refused.contains("version 1") && refused.contains("commons fork"), "{refused}");
    let root = archive.snapshot().unwrap().root_at(state.size).unwrap().0;
    drop(archive);
    let operator = identity(8_000, 0);
    let fork = home
        .fork::<commons::HomeError>(&dir.path().join("new"), state.size, |parent, _| {
            assert_eq!(parent, ParentLog { id: state.id, size: state.size, root });
            let body = genesis(std::slice::from_ref(&anna), operator.id(), rules());
            let body = Genesis { parent: Some(parent), ..body };
            Ok(author::found(&anna.key, &operator, body).unwrap())
        })
        .unwrap();
    let archive = fork.archive().unwrap();
    let new = fork.state(&archive.snapshot().unwrap()).unwrap();
    assert_eq!((new.version, new.edges.len()), (RULES_VERSION, state.edges.len()));
    let [a, b] = [&new, &state].map(|s| s.proposals.values().map(|p| p.status.clone()));
    assert!(a.eq(b), "what was settled stays as it was");
    archive.write(&new, &anna.key, name).unwrap();
}

#[test]
fn a_genesis_of_an_unknown_version_is_refused_by_name() {
    let town = Town::new(1);
    let Body::Genesis(body) = &town.genesis.body else { panic!("a genesis") };
    let next = Genesis { version: Some(9), ..body.clone() };
    let refused = author::found(&town.people[0].key, &town.operator, next).unwrap_err().to_string();
    assert!(refused.contains("version of the rules is 9"), "{refused}");
    let unnamed = Genesis { version: None, ..body.clone() };
    let (old, _) = author::found(&town.people[0].key, &town.operator, unnamed).unwrap();
    let state = State::begin(&old, None).unwrap();
    assert!(state.check_version().unwrap_err().to_string().contains("commons fork"));
    let archive =
        Archive::with_backend(redb::backends::InMemoryBackend::new(), Some(&old)).unwrap();
    assert!(
        archive
            .write(
                &state,
                &town.people[0].key,
                about(&town.people[0], Claim::Person { name: "x".into() })
            )
            .is_err()
    );
}
