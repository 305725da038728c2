//! One peer's process: what it says, and its end.

use cotrain::events::PeerEvent;
use progress::Progress;
use std::{
    ffi::OsString,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::{mpsc, watch},
};

/// Something from a peer's process, by the peer's number.
#[derive(Debug)]
pub(super) enum Line {
    /// A line of its output.
    Event(usize, Box<PeerEvent>),
    /// A line on its standard error.
    Aside(usize, String),
    /// Its end.
    Ended(usize, Option<ExitStatus>),
}

/// Kills all peers of a swarm at once.
#[derive(Debug, Clone, Default)]
pub struct Killer(watch::Sender<bool>);

impl Killer {
    /// Kills every peer, and any that is started later, and waits until they are gone, for a few
    /// seconds at most. For a thread outside the runtime, which has to be running.
    pub fn kill(&self) {
        self.order();
        for _ in 0..1000 {
            // Whoever follows a process listens until the process is gone.
            if self.0.receiver_count() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The same without waiting.
    pub(super) fn order(&self) {
        self.0.send_replace(true);
    }
}

/// Starts a process, sends on what it says, and returns its standard input.
pub(super) fn start(
    program: &Path,
    arguments: &[OsString],
    number: usize,
    lines: &mpsc::Sender<Line>,
    killer: &Killer,
) -> io::Result<Option<ChildStdin>> {
    let mut command = Command::new(program);
    command.args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    // Ctrl-C is for whoever started the swarm, who then stops its peers one and all.
    command.process_group(0);
    let mut child = command.spawn()?;
    let leash = child.stdin.take();
    tokio::spawn(follow(number, child, killer.0.subscribe(), lines.clone()));
    Ok(leash)
}

async fn follow(
    number: usize,
    mut child: Child,
    mut kill: watch::Receiver<bool>,
    lines: mpsc::Sender<Line>,
) {
    let stdout = child.stdout.take().expect("its output is piped");
    let stderr = child.stderr.take().expect("its errors are piped");
    let asides = tokio::spawn(listen(number, stderr, lines.clone()));
    let end = async {
        events(number, stdout, &lines).await;
        child.wait().await.ok()
    };
    let status = tokio::select! {
        status = end => status,
        _ = kill.wait_for(|kill| *kill) => None,
    };
    let status = match status {
        Some(status) => Some(status),
        None => {
            let _ = child.start_kill();
            child.wait().await.ok()
        }
    };
    drop(kill);
    // What a peer leaves running may hold its standard error open.
    let _ = tokio::time::timeout(Duration::from_secs(1), asides).await;
    let _ = lines.send(Line::Ended(number, status)).await;
}

/// Sends on the events of a process until it says no more or nobody listens.
async fn events(number: usize, stdout: ChildStdout, lines: &mpsc::Sender<Line>) {
    let mut reader = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        if let Ok(event) = serde_json::from_str(&line)
            && lines.send(Line::Event(number, Box::new(event))).await.is_err()
        {
            return;
        }
    }
}

async fn listen(number: usize, stderr: ChildStderr, lines: mpsc::Sender<Line>) {
    let mut reader = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        let line = match serde_json::from_str(&line) {
            Ok(progress::Line::Progress(Progress::At(at))) => {
                Line::Event(number, Box::new(PeerEvent::Working(at)))
            }
            _ => Line::Aside(number, line),
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}
