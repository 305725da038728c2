//! Processes as peers: how they end, that they are started again, that none is left.

use cotrain::events::PeerEvent;
use local::peers::{Ending, Founders, News, Options, PeerOptions, Peers, Signal};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A swarm of `count` peers in `folder`, of which the first does what `script` says.
fn swarm(folder: &Path, count: usize, script: &str) -> Peers {
    let config = folder.join("first.sh");
    fs::write(&config, script).expect("written");
    Peers::new(Options {
        program: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer.sh")),
        folder: folder.to_owned(),
        config,
        founders: Founders::Friends(0),
        threads: 1,
        once: false,
        peers: vec![PeerOptions::default(); count],
    })
}

async fn ending(peers: &mut Peers) -> Ending {
    loop {
        if let News::Ended(_, ending) = news(peers).await {
            return ending;
        }
    }
}

async fn news(peers: &mut Peers) -> News {
    tokio::time::timeout(Duration::from_secs(60), peers.next()).await.expect("it says something")
}

#[tokio::test]
async fn a_killed_peer_is_started_again_and_the_signal_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("mark");
    let script = format!(
        "if [ -e {0} ]; then echo '{{\"event\":\"stopped\"}}'; exit 0; fi; : >{0}; kill -9 $$",
        mark.display()
    );
    let mut peers = swarm(folder.path(), 1, &script);
    peers.begin().expect("starts");
    let again_in = Some(Duration::from_secs(5));
    let killed = Ending::Killed { signal: Signal { number: 9 }, again_in };
    assert_eq!(ending(&mut peers).await, killed);
    assert!(!peers.is_gone(0), "it comes back");
    let began = Instant::now();
    let back = loop {
        let back = peers.restart_the_killed().expect("starts");
        if !back.is_empty() {
            break back;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it never came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(back, [0]);
    assert!(began.elapsed() > Duration::from_secs(4), "not before its time");
    let News::Event(0, event) = news(&mut peers).await else { panic!("it speaks first") };
    assert_eq!(*event, PeerEvent::Stopped);
    assert_eq!(ending(&mut peers).await, Ending::Stopped);
    assert!(peers.is_gone(0));
    assert!(peers.restart_the_killed().expect("nothing to start").is_empty());
}

#[tokio::test]
async fn a_peer_that_fails_says_why_or_its_last_words_are_passed_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = r#"echo 'no event'; echo '{"event":"failed","error":"no text","hints":["add"]}'
        echo aside >&2; exit 2"#;
    let mut peers = swarm(folder.path(), 1, script);
    peers.begin().expect("starts");
    let (error, hints) = ("no text".to_owned(), vec!["add".to_owned()]);
    assert_eq!(ending(&mut peers).await, Ending::Failed { error, hints });

    let script = "i=0; while [ $i -lt 14 ]; do i=$((i+1)); echo line $i >&2; done; exit 3";
    let mut peers = swarm(folder.path(), 1, script);
    peers.begin().expect("starts");
    let Ending::Failed { error, .. } = ending(&mut peers).await else { panic!("it failed") };
    assert!(error.starts_with("it ended unexpectedly: line 3\nline 4\n"), "{error}");
    assert!(error.ends_with("line 14"), "{error}");
}

#[tokio::test]
async fn a_peer_that_writes_a_line_without_end_is_ended_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (to, stream) in [("1", "standard output"), ("2", "standard error")] {
        // The second peer; the first waits until it is asked to stop.
        let mut peers = swarm(folder.path(), 2, "cat >/dev/null");
        peers.begin().expect("starts");
        let endless = folder.path().join(format!("endless-{to}.sh"));
        let longest = 1 << 20;
        let script = format!(
            "head -c {longest} /dev/zero | tr '\\0' ' ' >&{to}; echo >&{to}
            echo '{{\"event\":\"stopped\"}}'; tr '\\0' x </dev/zero >&{to}; sleep 100"
        );
        fs::write(&endless, script).expect("written");
        peers.join(1, endless.to_str().expect("UTF-8")).expect("starts");
        let News::Event(1, event) = news(&mut peers).await else { panic!("it speaks first") };
        assert_eq!(*event, PeerEvent::Stopped, "the longest line is read over");
        let News::Ended(1, ending) = news(&mut peers).await else { panic!("it is ended") };
        let error = format!("it wrote a line of more than {longest} bytes on {stream}");
        assert_eq!(ending, Ending::Failed { error, hints: Vec::new() });
        assert!(peers.is_gone(1), "it is not started again");
        peers.stop().await;
    }
}

#[tokio::test]
async fn peers_stop_when_they_are_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let stopped = folder.path().join("stopped");
    let script = format!("cat >/dev/null; echo $2 >>{}", stopped.display());
    let mut peers = swarm(folder.path(), 3, &script);
    peers.begin().expect("starts");
    let ticket = folder.path().join("first.sh");
    peers.join_all(ticket.to_str().expect("UTF-8")).expect("start");
    peers.join_all("not there").expect("all run, so nothing is started");
    peers.stop().await;
    assert!((0..3).all(|peer| peers.is_gone(peer)));
    let said = fs::read_to_string(stopped).expect("all wrote");
    let mut said: Vec<&str> = said.lines().collect();
    said.sort_unstable();
    assert_eq!(said, ["join", "join", "start"]);
}

#[tokio::test]
async fn a_killer_leaves_no_process_of_those_that_ignore_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    let script = format!(
        "trap '' TERM; echo $$ >{0}.new; mv {0}.new {0}; while :; do sleep 1; done",
        pid.display()
    );
    let mut peers = swarm(folder.path(), 1, &script);
    peers.begin().expect("starts");
    while !pid.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let process = fs::read_to_string(&pid).expect("its number").trim().to_owned();
    let alive = || Path::new("/proc").join(&process).exists();
    assert!(alive());
    let killer = peers.killer();
    tokio::task::spawn_blocking(move || killer.kill()).await.expect("ends");
    assert!(!alive());
    let killed = |ending| matches!(ending, Ending::Killed { .. });
    assert!(killed(ending(&mut peers).await));
}

#[tokio::test]
async fn what_is_no_program_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut peers = swarm(folder.path(), 1, "");
    assert!(peers.begin().is_ok());
    let program = folder.path().join("first.sh");
    let peer = PeerOptions::default();
    let mut none = Peers::new(Options {
        program: program.clone(),
        folder: folder.path().to_owned(),
        config: program,
        founders: Founders::Friends(0),
        threads: 1,
        once: false,
        peers: vec![peer],
    });
    let error = none.begin().expect_err("a file that is not executable");
    assert_eq!(error.to_string(), "cannot start a peer");
}
