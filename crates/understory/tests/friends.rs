//! A run among friends as processes on this machine: invitations, and who is refused.

mod common;

use common::{Peer, say, text, tiny_config};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// The members of a peer's newest record with what they weigh, from `swarm status`, once it is
/// written.
fn weights(folder: &Path) -> Vec<(String, u64)> {
    let line = |m: &serde_json::Value| {
        (m["id"].as_str().expect("a key").to_owned(), m["weight"].as_u64().expect("a number"))
    };
    for _ in 0..300 {
        let said = say(&["swarm", "status", text(folder), "--json"]);
        let status: serde_json::Value = serde_json::from_str(&said.out).expect("one object");
        let members = status["peer"]["node"]["members"].as_array().expect("a list").clone();
        if !members.is_empty() {
            return members.iter().map(line).collect();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the status has no members");
}

fn key(folder: &Path) -> String {
    say(&["swarm", "key", "--dir", text(folder)]).out.trim().to_owned()
}

#[test]
fn an_invitation_makes_one_key_a_founding_voter_and_a_second_use_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = |name: &str| folder.path().join(name);
    let config = tiny_config(folder.path(), 1);
    let start = ["start", text(&config), "--friends", "2"];
    let founder = Peer::spawn(&start, &dir("founder"), 1, &[]);
    let invitations = founder.invitations();
    assert_eq!(invitations.len(), 2);
    assert_eq!(mode(&dir("founder/invitations")), 0o600);
    let status = fs::read_to_string(dir("founder/status.json")).expect("it is written");
    assert!(!status.contains("secret"), "status is for everybody");

    let first = Peer::spawn(&["join", &invitations[0]], &dir("first"), 2, &[]);
    // Printed again with the addresses known by now, so the text is another one.
    assert_eq!(founder.invitations().len(), 1, "one is used");
    assert_eq!(mode(&dir("first/ticket")), 0o600);
    // Somebody else with the same invitation: the run does not begin for it, and not without the
    // second friend.
    let thief = Peer::spawn(&["join", &invitations[0]], &dir("thief"), 3, &[]);
    thief.wait_for("\"connection\"");
    let second = Peer::spawn(&["join", &invitations[1]], &dir("second"), 4, &[]);
    for peer in [&founder, &first, &second] {
        peer.wait_for("\"finished\"");
    }
    for (peer, works) in [(&founder, &["learning", "tokenizing"][..]), (&second, &["fetching"])] {
        for work in works {
            let told = common::told(&peer.errors(), work);
            let last = told.last().unwrap_or_else(|| panic!("{work}: {}", peer.errors()));
            assert_eq!(last["done"], last["total"], "{work}: {}", peer.errors());
        }
    }
    drop(second);
    drop(thief);
    let weights = weights(&dir("founder"));
    assert_eq!(weights.iter().filter(|(_, weight)| *weight > 0).count(), 3, "{weights:?}");
}

#[test]
fn a_forged_invitation_and_one_of_another_run_count_for_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = |name: &str| folder.path().join(name);
    let config = tiny_config(folder.path(), 1);
    let one = Peer::spawn(&["start", text(&config), "--friends", "1"], &dir("one"), 1, &[]);
    let other = Peer::spawn(&["start", text(&config), "--friends", "1"], &dir("other"), 2, &[]);
    let (mine, theirs) = (one.invitations().remove(0), other.invitations().remove(0));
    drop(other);
    // A ticket of the one run with the secret of the other's invitation.
    let (mine_read, theirs_read): (net::swarm::Admission, net::swarm::Admission) =
        (mine.parse().expect("reads"), theirs.parse().expect("reads"));
    let secret = *theirs_read.secret().expect("it has one");
    let ticket = mine_read.ticket().clone();
    let forged = net::swarm::Invitation { ticket, secret }.to_secret_text();
    let liar = Peer::spawn(&["join", &forged], &dir("liar"), 3, &[]);
    liar.wait_for("\"connection\"");
    let friend = Peer::spawn(&["join", &mine], &dir("friend"), 4, &[]);
    for peer in [&one, &friend] {
        peer.wait_for("\"finished\"");
    }
    let voting = weights(&dir("one")).into_iter().filter(|(_, weight)| *weight > 0).count();
    assert_eq!(voting, 2, "the founder and the friend");
}

#[test]
fn a_peers_key_is_made_once_and_taken_over_from_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = |name: &str| folder.path().join(name);
    let made = key(&dir("a"));
    assert_eq!(made.len(), 64);
    assert_eq!(key(&dir("a")), made, "the same key again");
    assert_eq!(mode(&dir("a/key")), 0o600);
    assert_ne!(key(&dir("b")), made);
    let pem = fs::read_to_string(dir("a/key")).expect("a key");
    let seed = ids::key_file::from_pem(&pem).expect("PKCS#8");
    assert_eq!(ids::Identity::from_seed(*seed).id().to_string(), made);
    // Earlier versions kept it in hex.
    fs::create_dir(dir("c")).expect("makes it");
    fs::write(dir("c/key"), format!("{}\n", ids::Hash(*seed))).expect("writes");
    assert_eq!(key(&dir("c")), made);
    let taken = text(&dir("a")).to_owned() + "/key";
    let no = say(&["swarm", "join", "--dir", text(&dir("b")), "--key", &taken]);
    assert!(no.err.contains("holds another key"), "{}", no.err);
}

#[test]
fn a_key_that_cannot_be_read_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hex = "ab".repeat(32);
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(hex.bytes().flat_map(|b| [b, 0])).collect();
    let damaged: [(&str, &[u8]); 4] = [
        ("utf16", &utf16),
        ("empty", b""),
        ("short", &hex.as_bytes()[..62]),
        ("binary", &[0xab; 32]),
    ];
    for (name, bytes) in damaged {
        let dir = folder.path().join(name);
        fs::create_dir(&dir).expect("makes it");
        fs::write(dir.join("key"), bytes).expect("writes");
        for args in [["swarm", "key"], ["swarm", "start"], ["swarm", "join"]] {
            let said = say(&[args[0], args[1], "--dir", text(&dir)]);
            assert_eq!(said.code, Some(2), "{name}: {}", said.err);
            assert!(said.err.contains("holds no key"), "{name}: {}", said.err);
            assert_eq!(fs::read(dir.join("key")).expect("it is there"), bytes, "{name}");
        }
    }
    // A link that leads nowhere, and a folder in its place.
    let (link, inside) = (folder.path().join("link"), folder.path().join("folder"));
    fs::create_dir_all(&link).expect("makes it");
    std::os::unix::fs::symlink("nowhere", link.join("key")).expect("links");
    fs::create_dir_all(inside.join("key")).expect("makes it");
    for dir in [&link, &inside] {
        let said = say(&["swarm", "key", "--dir", text(dir)]);
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains("cannot read") && said.err.contains("hint"), "{}", said.err);
    }
    assert!(fs::symlink_metadata(link.join("key")).expect("it is there").is_symlink());
}

#[test]
fn a_key_that_others_can_read_is_told_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = key(folder.path());
    let file = folder.path().join("key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("sets them");
    let said = say(&["swarm", "key", "--dir", text(folder.path())]);
    assert_eq!(said.out.trim(), made);
    assert!(said.err.contains("chmod 600"), "{}", said.err);
}
