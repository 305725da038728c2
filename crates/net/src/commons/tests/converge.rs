//! Honest members: whatever happens, they come to have the same.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_and_a_witness_converge() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let first = Member::new(folder, 1, |c| c.operator = Some(operator())).await;
    let peers = vec![first.at()];
    let mut others = Vec::new();
    for seed in 2..4 {
        others.push(Member::copy(&home, seed, |c| c.peers = peers.clone()).await);
    }
    let cosigns = |c: &mut Config| (c.peers, c.witness) = (peers.clone(), Some(witness(0)));
    others.push(Member::copy(&home, 4, cosigns).await);
    for member in &others {
        member.until("following", |s| s.covered >= 1).await;
    }
    let said = [
        say(&others[0].home, &founder(0), named(0, "Anna")),
        say(&first.home, &founder(1), named(1, "Bert")),
        say(&others[1].home, &founder(2), named(2, "Cleo")),
    ];
    // The genesis, three statements and a mark over all of them.
    let size = first.until("a mark", |s| s.size >= 5 && s.time > 1_700_000_000).await.size;
    for member in &others {
        member.until("the same log", |s| s.covered >= size && s.waiting == 0).await;
    }
    let state = state(&others[0].home);
    for hash in said {
        assert!(state.place(&hash).is_some());
    }
    assert_eq!(state.members[&founder(2).id()].name, "Cleo");
    let expected = views(&first.home);
    for member in &others {
        assert_eq!(views(&member.home), expected);
        member.home.verify(|_, _| ()).expect("verifies");
    }
}
