//! Honest members: whatever happens, they come to have the same.

use super::*;
use commons::statement::Rights;
use tlog::{Checkpoint, Hash as TreeHash};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_and_a_witness_converge() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let first = Member::new(folder, 1, |c| c.operator = Some(operator_key())).await;
    let peers = vec![first.at()];
    let mut others = Vec::new();
    for seed in 2..4 {
        others.push(Member::copy(&home, seed, |c| c.peers = peers.clone()).await);
    }
    let cosigns = |c: &mut Config| (c.peers, c.witness) = (peers.clone(), Some(witness(0).0));
    others.push(Member::copy(&home, 4, cosigns).await);
    for member in &others {
        member.until("following", |s| s.covered >= 1).await;
    }
    let said = [
        say(&others[0].home, &founder(0), named(0, "Anna")),
        say(&first.home, &founder(1), named(1, "Bert")),
        say(&others[1].home, &founder(2), named(2, "Cleo")),
    ];
    let placed = || said.iter().all(|hash| state(&first.home).place(hash).is_some());
    let marked = |s: &Status| s.time > 1_700_000_000;
    let size = first.until("places and a mark", |s| marked(s) && placed()).await.size;
    for member in &others {
        member.until("the same log", |s| s.covered >= size && s.waiting == 0).await;
    }
    let views = |home: &Home| {
        let archive = home.archive().expect("opens");
        let log = archive.snapshot().expect("reads");
        commons::view::digests(&home.state_at(&log, size).expect("a state"))
    };
    assert_eq!(state(&others[0].home).members[&founder(2).id()].name, "Cleo");
    let expected = views(&first.home);
    for member in &others {
        assert_eq!(views(&member.home), expected);
        member.home.verify(&mut |_| ()).expect("verifies");
    }
}

fn hand_over(to: PeerId) -> Rights {
    Rights::to_operate(to)
}

/// The operator vanishes; two of three stewards name another member's key, which goes on from
/// what it has. Members that were there follow, and so does one that comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stewards_hand_the_log_to_another_member_when_its_operator_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let first = Member::new(folder, 11, |c| c.operator = Some(operator_key())).await;
    let peers = vec![first.at()];
    let successor = identity("successor", 0);
    let heir = Member::copy(&home, 12, |c| {
        (c.peers, c.operator) = (peers.clone(), Some(successor.clone()));
    })
    .await;
    let peers = vec![first.at(), heir.at()];
    let seer = Member::copy(&home, 13, |c| {
        (c.peers, c.witness) = (peers.clone(), Some(witness(0).0));
    })
    .await;
    say(&first.home, &founder(0), named(0, "Anna"));
    let size = first.until("a mark", |s| s.size >= 3 && s.time > 1_700_000_000).await.size;
    for member in [&heir, &seer] {
        member.until("the log", |s| s.covered >= size).await;
    }
    first.handle.stop().await;
    say(&seer.home, &founder(0), hand_over(successor.id()));
    say(&heir.home, &founder(1), hand_over(successor.id()));
    let named = [successor.id(), successor.id()];
    assert!(!heir.handle.status().borrow().operating);
    for (member, key) in [&heir, &seer].into_iter().zip(named) {
        member.until("the new operator", |s| s.operator == key && s.covered > size).await;
    }
    say(&seer.home, &founder(2), super::named(2, "Cleo"));
    let now = seer.until("its statement", |s| s.waiting == 0 && s.covered > size + 2).await;
    let peers = vec![seer.at()];
    let late = Member::copy(&home, 14, |c| c.peers = peers).await;
    late.until("all of it", |s| s.covered >= now.covered && s.operator == successor.id()).await;
    let (_, reports) = late.home.verify(&mut |_| ()).expect("verifies");
    assert!(reports[0].statements >= now.covered);
    assert_eq!(state(&late.home).members[&founder(2).id()].name, "Cleo");
}

/// The old operator's last head reached one member only, and the log was handed over without it.
/// Once witnesses have seen the new operator's, that member gives way; what only it had waits
/// again, and gets its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_no_witness_saw_gives_way_to_one_that_they_did() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let first = Member::new(folder, 21, |c| c.operator = Some(operator_key())).await;
    let peers = vec![first.at()];
    let successor = identity("successor", 0);
    let heir = Member::copy(&home, 22, |c| {
        (c.peers, c.operator) = (peers.clone(), Some(successor.clone()));
        c.witness = Some(witness(0).0);
    })
    .await;
    let said = say(&first.home, &founder(0), named(0, "Anna"));
    let marked = |home: &Home| {
        let state = state(home);
        let place = state.place(&said).map(|(index, _)| index);
        place.is_some_and(|index| state.marks.last().is_some_and(|mark| mark.size > index))
    };
    first.until("a mark", |_| marked(&first.home)).await;
    heir.until("the mark", |s| s.covered == s.size && marked(&heir.home)).await;
    first.handle.stop().await;
    let size = state(&first.home).size;
    assert_eq!(state(&heir.home).size, size);
    let folder = tempfile::tempdir().expect("a folder");
    let log = first.home.dir().join("log.redb");
    std::fs::copy(log, folder.path().join("log.redb")).expect("copied");
    let home = Home::open(folder.path()).expect("a commons");
    grow(&home, &founder(2), 2);
    let archive = home.archive().expect("opens");
    let log = archive.snapshot().expect("reads");
    let lost: Vec<Hash> =
        (size..size + 2).map(|at| log.statement(at).expect("reads").hash()).collect();
    drop((log, archive));
    for number in 0..2 {
        say(&heir.home, &founder(number), hand_over(successor.id()));
    }
    let place = |home: &Home, hash: &Hash| state(home).place(hash).map(|(index, _)| index);
    heir.until("a mark of its own", |s| s.operating && s.covered > size + 2).await;
    let peers = vec![heir.at()];
    let member = Member::new(folder, 23, |c| c.peers = peers).await;
    let there = |home: &Home| lost.iter().all(|hash| place(home, hash).is_some());
    member.until("both histories in one", |s| s.operator == successor.id() && there(&home)).await;
    heir.until("what only one had", |_| there(&heir.home)).await;
    let places = |home: &Home| lost.iter().map(|hash| place(home, hash)).collect::<Vec<_>>();
    assert_eq!(places(&member.home), places(&heir.home));
    assert!(places(&heir.home)[0] > Some(size));
    member.home.verify(&mut |_| ()).expect("verifies");
}

/// The operator shows a member another history: both heads together prove it, in a file and in the
/// log, whichever of the two is the longer one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_histories_are_proven_when_their_members_meet() {
    for (mine, theirs) in [(3, 5), (5, 3), (4, 4)] {
        let folder = tempfile::tempdir().expect("a folder");
        let home = found(folder.path(), "town", 1);
        let other = tempfile::tempdir().expect("a folder");
        let twin = bare_copy(&home, other.path());
        let archive = twin.archive().expect("opens");
        let root = TreeHash::of_leaf(archive.genesis().bytes());
        let head =
            Checkpoint::new(archive.origin(), 1, root).sign(&operator_key()).expect("signed");
        archive.keep_checkpoint(&head).expect("kept");
        drop(archive);
        grow(&home, &founder(0), mine - 1);
        grow(&twin, &founder(1), theirs - 1);
        let b = Member::new(other, 16, |_| ()).await;
        let peers = vec![b.at()];
        let a = Member::new(folder, 15, |c| {
            (c.peers, c.member) = (peers, Some(founder(2)));
        })
        .await;
        let waiting = a.until("what it says about it", |s| s.waiting > 0).await;
        assert_eq!(waiting.size, mine as u64, "another history is not followed");
        let proofs = std::fs::read_dir(a.home.dir().join("splits")).expect("a folder").count();
        assert_eq!(proofs, 1);
        grow(&a.home, &founder(0), 1);
        a.until("the proof in the log", |s| s.splits == 1).await;
    }
}

/// Two statements at one place of a chain both get a place in the log, where they are proof; what
/// follows the one that came second gets none, and is forgotten everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_have_no_place_is_forgotten_everywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let other = tempfile::tempdir().expect("a folder");
    let copy = bare_copy(&home, other.path());
    let head = home.archive().expect("opens").snapshot().expect("reads").latest_checkpoint();
    let head = head.expect("reads").expect("a head");
    copy.archive().expect("opens").keep_checkpoint(&head).expect("kept");
    say(&home, &founder(1), named(1, "Bert"));
    say(&copy, &founder(1), named(1, "Robert"));
    say(&copy, &founder(1), named(1, "Bob"));
    let first = Member::new(folder, 17, |c| c.operator = Some(operator_key())).await;
    first.until("a place", |s| s.covered == 2).await;
    let peers = vec![first.at()];
    let second = Member::new(other, 18, |c| c.peers = peers).await;
    for member in [&first, &second] {
        member.until("nothing left", |s| s.covered == 3 && s.waiting == 0).await;
    }
    assert_eq!(state(&second.home).equivocations.len(), 1);
}
