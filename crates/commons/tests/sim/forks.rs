//! Forks: the history stays, checkable; nothing crosses over.

use crate::town::*;
use commons::{
    Home, HomeError, author,
    statement::{Claim, Derive, Genesis, Reproducible},
    view,
};
use ids::Hash;

#[derive(Debug)]
struct Failed;

impl From<HomeError> for Failed {
    fn from(e: HomeError) -> Self {
        panic!("{e}")
    }
}

fn home_of(town: &Town, dir: &std::path::Path) -> Home {
    let log = town.archive.snapshot().unwrap();
    let head = log.checkpoint_before(1).unwrap();
    let home = Home::create(dir, &town.genesis, head.as_ref()).unwrap();
    let statements: Vec<_> = (1..log.size()).map(|i| log.statement(i).unwrap()).collect();
    let archive = home.archive().unwrap();
    archive.append(&statements).unwrap();
    for checkpoint in log.checkpoints().unwrap() {
        archive.keep_checkpoint(&checkpoint.unwrap()).unwrap();
    }
    drop(archive);
    home
}

fn fork(home: &Home, dir: &std::path::Path, size: u64, people: &[Person]) -> Home {
    let operator = people[0].key.clone();
    home.fork::<Failed>(dir, size, |parent, _| {
        let body = Genesis {
            name: "fork".into(),
            parent: Some(parent),
            ..genesis(&people[..2], operator.id(), rules())
        };
        Ok(author::found(&people[0].key, &operator, body).unwrap())
    })
    .unwrap()
}

#[test]
fn a_fork_at_every_size_keeps_the_history_up_to_there() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    town.must(&people[0].key, about(&people[0], Claim::Person { name: "Anna".into() }));
    town.must(
        &people[1].key,
        Derive {
            child: Hash::of(b"model"),
            parents: vec![],
            recipe: Hash::of(b"recipe"),
            tool: "understory".into(),
            reproducible: Reproducible::Exact,
        },
    );
    town.tick(60);
    let dir = tempfile::tempdir().unwrap();
    let home = home_of(&town, &dir.path().join("old"));
    let (state, reports) = home.verify(&mut |_| ()).unwrap();
    assert_eq!(views(&state), views(&town.state));
    assert!(reports[0].is_covered());
    let size = town.state.size;
    for at in 1..=size {
        let fork = fork(&home, &dir.path().join(format!("fork-{at}")), at, &people);
        let (state, reports) = fork.verify(&mut |_| ()).unwrap();
        assert_eq!(reports.iter().map(|r| r.statements).collect::<Vec<_>>(), [at, 1]);
        let old = home.state_at(&home.archive().unwrap().snapshot().unwrap(), at).unwrap();
        let (a, b) =
            (view::lineage(&state, view::Bounds::NONE), view::lineage(&old, view::Bounds::NONE));
        assert_eq!(format!("{:?}", (a.nodes, a.edges)), format!("{:?}", (b.nodes, b.edges)));
        assert_ne!(state.id, town.state.id);
        assert!(state.is_member(&people[0].id) && !state.is_member(&people[2].id));
    }
}

#[test]
fn nothing_said_in_one_counts_in_the_other_and_a_changed_history_is_noticed() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    town.must(&people[0].key, about(&people[0], Claim::Person { name: "Anna".into() }));
    let dir = tempfile::tempdir().unwrap();
    let home = home_of(&town, &dir.path().join("old"));
    let new = fork(&home, &dir.path().join("new"), town.state.size, &people);
    let archive = new.archive().unwrap();
    let state = new.state(&archive.snapshot().unwrap()).unwrap();
    // Anna goes on in both, from the same place in her chain.
    let name = || about(&people[0], Claim::Person { name: "Anna of the fork".into() });
    let there = archive.write(&state, &people[0].key, name()).unwrap();
    let here = town.archive.write(&town.state, &people[0].key, name()).unwrap();
    assert_eq!(there.seq, here.seq);
    assert!(town.archive.hold(&there).is_err() && archive.hold(&here).is_err());
    drop(archive);
    // A fork of a fork has both behind it.
    let third = fork(&new, &dir.path().join("third"), 1, &people);
    assert_eq!(third.verify(&mut |_| ()).unwrap().1.len(), 3);
    // Without its history, or with another one, a fork is nothing.
    let path = new.ancestor_path(&town.state.id);
    let shorter = fork(&home, &dir.path().join("shorter"), 2, &people);
    std::fs::copy(shorter.ancestor_path(&town.state.id), &path).unwrap();
    assert!(new.verify(&mut |_| ()).is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(new.verify(&mut |_| ()).unwrap_err().to_string().contains("missing"));
}
