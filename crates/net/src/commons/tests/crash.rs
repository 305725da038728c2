//! Processes that are killed: what they promised is there, and they go on.

use super::{visits::visit, *};
use crate::commons::{Ticket, join, replica::Replica};
use std::process::{Child, Command, Stdio};
use tlog::Response;

const FOLDER: &str = "UNDERSTORY_TEST_FOLDER";
const TICKET: &str = "UNDERSTORY_TEST_TICKET";

/// What the killed process does; as a test of its own it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_joins() {
    let (Ok(folder), Ok(ticket)) = (std::env::var(FOLDER), std::env::var(TICKET)) else { return };
    let ticket: Ticket = ticket.parse().expect("a ticket");
    join(&ticket, Path::new(&folder), &visit(82), |_| ()).await.expect("joined");
}

fn child(folder: &Path, ticket: &Ticket) -> Child {
    let exe = std::env::current_exe().expect("this program");
    Command::new(exe)
        .args(["--exact", "commons::tests::crash::child_that_joins"])
        .env(FOLDER, folder)
        .env(TICKET, ticket.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

/// Kills a catch-up wherever it happens to be, again and again, until one comes to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catch_up_that_is_killed_goes_on() {
    const SIZE: usize = 9_000;
    let folder = tempfile::tempdir().expect("a folder");
    let truth = grown(folder.path(), SIZE);
    let member = Member::new(folder, 81, |_| ()).await;
    let ticket = member.handle.ticket();
    let copy = tempfile::tempdir().expect("a folder");
    let dir = copy.path().join("copy");
    let mut sizes = Vec::new();
    loop {
        let mut process = child(&dir, &ticket);
        let before = sizes.last().copied().unwrap_or(0);
        // Killed as soon as it has more than the one before.
        let ended = loop {
            if let Some(ended) = process.try_wait().expect("a process") {
                break Some(ended);
            }
            if seen(&dir) > before {
                process.kill().expect("killed");
                process.wait().expect("gone");
                break None;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        if let Some(ended) = ended {
            assert!(ended.success());
            break;
        }
        sizes.push(seen(&dir).max(before));
    }
    assert!(!sizes.is_empty(), "at least one was killed");
    let copy = Home::open(&dir).expect("a commons");
    let (_, reports) = copy.verify(&mut |_| ()).expect("verifies");
    assert_eq!(reports[0].statements, SIZE as u64);
    assert_eq!(views(&copy), views(&truth));
}

/// The bytes of the log's file: reading it would keep the process from it.
fn seen(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("log.redb")).map_or(0, |m| m.len())
}

/// What a witness cosigned is on disk before it answers: a fresh process refuses to go back.
#[test]
fn a_witness_remembers_what_it_cosigned() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = grown(folder.path(), 10);
    let first = Replica::open(home.clone()).expect("opens");
    let head = first.newest().expect("reads").expect("a head").0;
    let request = first.cosign_request(0, &head).expect("a request");
    let answer = first.cosign(&witness(0).0, request.as_bytes(), 1_800_000_000).expect("answers");
    assert!(matches!(answer, Response::Cosigned(_)));
    drop(first);
    let second = Replica::open(home).expect("opens");
    let answer = second.cosign(&witness(0).0, request.as_bytes(), 1_800_000_001).expect("answers");
    assert_eq!(answer, Response::Conflict { size: 10 });
    let request = second.cosign_request(10, &head).expect("a request");
    let answer = second.cosign(&witness(0).0, request.as_bytes(), 1_800_000_002).expect("answers");
    assert!(matches!(answer, Response::Cosigned(_)));
    let other = second.cosign(&witness(1).0, request.as_bytes(), 1_800_000_003).expect("answers");
    assert_eq!(other, Response::Conflict { size: 0 }, "each key has a memory of its own");
}
