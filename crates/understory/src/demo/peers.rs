//! The peers' processes.

use super::{
    board::Board,
    plan::{Plan, VOTERS},
};
use anyhow::{Context, Result};
use cotrain::{cheat::Cheat, events::PeerEvent};
use progress::Progress;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, Command},
    sync::mpsc,
};

/// A peer killed by a signal is started again after this.
const RESTART_AFTER: Duration = Duration::from_secs(5);
/// … but not for ever.
const MAX_RESTARTS: u32 = 8;

/// Lines of standard error that are kept of a peer.
const MAX_ASIDES: usize = 12;

/// Something from a peer's process.
pub enum Line {
    /// A line of its output.
    Event(usize, Box<PeerEvent>),
    /// Something that it said on standard error.
    Aside(usize, String),
    /// Its end.
    Ended(usize, Option<ExitStatus>),
}

/// All peers of a demo.
pub struct Peers {
    dir: PathBuf,
    seed: u64,
    threads: usize,
    cheats: Vec<Option<Cheat>>,
    running: Vec<Option<Running>>,
    errors: Vec<Option<(String, Vec<String>)>>,
    /// The last lines on each one's standard error.
    asides: Vec<VecDeque<String>>,
    killed: Vec<Option<Instant>>,
    restarts: u32,
    ticket: Option<String>,
    lines: mpsc::Receiver<Line>,
    sender: mpsc::Sender<Line>,
}

/// A process; dropping its standard input asks it to stop.
struct Running {
    leash: Option<ChildStdin>,
    pid: Option<u32>,
}

impl Peers {
    pub fn new(dir: &Path, plan: &Plan) -> Result<Self> {
        let count = plan.peers as usize;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let (sender, lines) = mpsc::channel(1024);
        Ok(Self {
            dir: dir.to_path_buf(),
            seed: plan.seed,
            threads: (cores / count).max(1),
            cheats: plan.cheats(),
            running: (0..count).map(|_| None).collect(),
            errors: vec![None; count],
            asides: vec![VecDeque::new(); count],
            killed: vec![None; count],
            restarts: 0,
            ticket: None,
            lines,
            sender,
        })
    }

    /// The next line of any peer.
    pub async fn next(&mut self) -> Line {
        // This struct holds a sender, so the channel never closes.
        self.lines.recv().await.expect("a sender is alive")
    }

    /// Starts the first peer, which founds the run.
    pub fn start_founder(&mut self) -> Result<()> {
        self.spawn(0)
    }

    /// Starts those that are not running, with the founder's ticket.
    pub fn start_others(&mut self, ticket: &str) -> Result<()> {
        self.ticket = Some(ticket.to_owned());
        for i in 1..self.running.len() {
            if self.running[i].is_none() && self.killed[i].is_none() {
                self.spawn(i)?;
            }
        }
        Ok(())
    }

    fn spawn(&mut self, i: usize) -> Result<()> {
        let program = std::env::current_exe().context("where this program is")?;
        let folder = self.dir.join(format!("peer-{}", i + 1));
        let mut command = Command::new(program);
        command.arg("swarm");
        match (i, &self.ticket) {
            (0, _) => command
                .arg("start")
                .arg(self.dir.join("config.toml"))
                .arg("--voters")
                .arg(self.dir.join(VOTERS)),
            (_, Some(ticket)) => command.arg("join").arg(ticket),
            (_, None) => return Ok(()),
        };
        command
            .args(["--json", "--leash", "--bind", "127.0.0.1:0"])
            .arg("--dir")
            .arg(folder)
            .args(["--threads", &self.threads.to_string()])
            .args(["--key-seed", &Plan::key_number(self.seed, i).to_string()]);
        if let Some(cheat) = self.cheats[i] {
            command.args(["--cheat", &cheat.to_string()]);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C is for the demo, which then stops its peers one and all.
            .process_group(0);
        let mut child = command.spawn().context("cannot start a peer")?;
        self.running[i] = Some(Running { leash: child.stdin.take(), pid: child.id() });
        tokio::spawn(follow(i, child, self.sender.clone()));
        Ok(())
    }

    /// A process has ended; returns whether it failed.
    pub fn ended(&mut self, i: usize, status: Option<ExitStatus>, board: &mut Board) -> bool {
        use std::os::unix::process::ExitStatusExt;
        self.running[i] = None;
        let signal = status.and_then(|s| s.signal());
        if let Some(signal) = signal {
            let again = self.restarts < MAX_RESTARTS;
            let then = if again { "; starting it again in 5 s" } else { "" };
            board.down(i, &format!("killed by signal {signal}{then}"));
            if again {
                self.killed[i] = Some(Instant::now());
            }
            return false;
        }
        if status.is_some_and(|s| s.success()) {
            board.down(i, "stopped");
            return false;
        }
        board.down(i, &self.last_error(i).0);
        true
    }

    /// Starts peers again that somebody killed.
    pub fn restart_the_killed(&mut self, board: &mut Board) -> Result<()> {
        for i in 0..self.killed.len() {
            if self.killed[i].is_some_and(|at| at.elapsed() >= RESTART_AFTER) {
                self.killed[i] = None;
                self.restarts += 1;
                board.back(i);
                self.spawn(i)?;
            }
        }
        Ok(())
    }

    /// Whether a peer neither runs nor will be started again.
    pub fn is_gone(&self, i: usize) -> bool {
        self.running[i].is_none() && self.killed[i].is_none()
    }

    /// Remembers why a peer failed.
    pub fn note_error(&mut self, i: usize, error: &str, hints: &[String]) {
        self.errors[i] = Some((error.to_owned(), hints.to_vec()));
    }

    /// Remembers what a peer said on its standard error.
    pub fn note_aside(&mut self, i: usize, line: String) {
        self.asides[i].push_back(line);
        if self.asides[i].len() > MAX_ASIDES {
            self.asides[i].pop_front();
        }
    }

    /// Why a peer failed, as far as it said.
    pub fn last_error(&self, i: usize) -> (String, Vec<String>) {
        let unsaid = || {
            let said: Vec<&str> = self.asides[i].iter().map(String::as_str).collect();
            let said = if said.is_empty() { "it said nothing".to_owned() } else { said.join("\n") };
            (format!("it ended unexpectedly: {said}"), Vec::new())
        };
        self.errors[i].clone().unwrap_or_else(unsaid)
    }

    /// Asks all to stop and waits until they have.
    pub async fn stop(&mut self) {
        for running in self.running.iter_mut().flatten() {
            running.leash = None;
        }
        let deadline = Instant::now() + Duration::from_secs(8);
        while self.running.iter().any(Option::is_some) {
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.lines.recv()).await {
                Ok(Some(Line::Ended(i, _))) => self.running[i] = None,
                Ok(Some(Line::Event(..) | Line::Aside(..))) => {}
                Ok(None) | Err(_) => break,
            }
        }
        for running in self.running.iter().flatten() {
            if let Some(pid) = running.pid {
                // It did not stop when asked: it is stuck.
                let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
    }
}

async fn follow(i: usize, mut child: Child, lines: mpsc::Sender<Line>) {
    let stdout = child.stdout.take().expect("its output is piped");
    let stderr = child.stderr.take().expect("its errors are piped");
    let asides = tokio::spawn(listen(i, stderr, lines.clone()));
    let mut reader = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        if let Ok(event) = serde_json::from_str(&line)
            && lines.send(Line::Event(i, Box::new(event))).await.is_err()
        {
            return;
        }
    }
    let status = child.wait().await.ok();
    // What a peer leaves running may hold its standard error open.
    let _ = tokio::time::timeout(Duration::from_secs(1), asides).await;
    let _ = lines.send(Line::Ended(i, status)).await;
}

async fn listen(i: usize, stderr: ChildStderr, lines: mpsc::Sender<Line>) {
    let mut reader = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        let line = match serde_json::from_str(&line) {
            Ok(progress::Line::Progress(Progress::At(at))) => {
                Line::Event(i, Box::new(PeerEvent::Working(at)))
            }
            _ => Line::Aside(i, line),
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}
