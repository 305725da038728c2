//! Joining, synchronising without a service, forks, payloads.

use super::*;
use crate::{
    commons::{Visit, VisitError, join, sync},
    transport::Relay,
};
use tlog::SignedCheckpoint;

pub(super) fn visit(seed: u8) -> Visit {
    Visit {
        seed: [seed; 32],
        bind: "127.0.0.1:0".parse().expect("an address"),
        relay: Relay::None,
        patience: PATIENCE,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_a_fork_has_the_old_logs_too() {
    let old = tempfile::tempdir().expect("a folder");
    let parent = grown(old.path(), 40);
    let folder = tempfile::tempdir().expect("a folder");
    parent
        .fork(folder.path(), 30, |from, _| {
            let genesis = Genesis { parent: Some(from), ..genesis("fork", 1) };
            let founded = author::found(&founder(0), &operator_key(), genesis).expect("founded");
            Ok::<(Statement, SignedCheckpoint), commons::HomeError>(founded)
        })
        .expect("forked");
    let home = Home::open(folder.path()).expect("a commons");
    grow(&home, &founder(0), 10);
    let member = Member::new(folder, 21, |_| ()).await;
    let copy = tempfile::tempdir().expect("a folder");
    let dir = copy.path().join("copy");
    let visited = join(&member.handle.ticket(), &dir, &visit(22), |_| ()).await.expect("joined");
    assert_eq!((visited.statements, visited.size), (10, 11));
    let copy = Home::open(&dir).expect("a commons");
    let (_, reports) = copy.verify(&mut |_| ()).expect("verifies");
    assert_eq!(reports.iter().map(|r| r.statements).collect::<Vec<_>>(), [30, 11]);
    assert_eq!(views(&copy), views(&home));
    // Again, with everything there.
    let again = join(&member.handle.ticket(), &dir, &visit(22), |_| ()).await.expect("again");
    assert_eq!((again.statements, again.size), (0, 11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_brings_what_it_wrote_and_gets_what_is_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = grown(folder.path(), 20);
    let other = tempfile::tempdir().expect("a folder");
    let copy = bare_copy(&home, other.path());
    let member = Member::new(folder, 23, |c| c.operator = Some(operator_key())).await;
    let peers = [member.at()];
    let first = sync(copy.clone(), &peers, &visit(24)).await.expect("synchronised");
    assert_eq!((first.members, first.statements, first.brought), (1, 19, 0));
    let said = say(&copy, &founder(1), named(1, "Bert"));
    let second = sync(copy.clone(), &peers, &visit(24)).await.expect("synchronised");
    // The member may have come for it, and even have placed it, by itself.
    assert!(second.brought <= 1 && second.refused.is_empty(), "{second:?}");
    member.until("its place", |s| s.covered >= 21 && s.waiting == 0).await;
    sync(copy.clone(), &peers, &visit(24)).await.expect("synchronised");
    assert!(state(&copy).place(&said).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let nowhere = crate::transport::PeerAddr {
        peer: id_of(26),
        addrs: vec!["127.0.0.1:1".parse().expect("an address")],
        relay: None,
    };
    let visit = Visit { patience: Duration::from_millis(300), ..visit(25) };
    let error = sync(home, std::slice::from_ref(&nowhere), &visit).await.expect_err("nobody");
    assert!(matches!(error, VisitError::Nobody { .. }), "{error}");
    let ticket = crate::commons::Ticket { commons: Hash::of(b"x"), peers: vec![nowhere] };
    let dir = folder.path().join("copy");
    let error = join(&ticket, &dir, &visit, |_| ()).await.expect_err("nobody");
    assert!(error.to_string().contains("the genesis"), "{error}");
    assert!(!dir.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_come_by_hash() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let charter = b"be kind".repeat(100_000);
    let hash = home.objects().expect("a store").put(&charter).expect("kept");
    let holder = Member::new(folder, 27, |_| ()).await;
    let peers = vec![holder.at()];
    let other = Member::copy(&home, 28, |c| c.peers = peers).await;
    other.until("a link", |s| s.covered == 1).await;
    assert!(other.handle.fetch(hash).await);
    assert_eq!(other.home.objects().expect("a store").get(&hash).expect("there"), charter);
    assert!(!other.handle.fetch(Hash::of(b"nobody has it")).await);
}
