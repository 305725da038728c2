//! The peers' processes: started, followed, started again when they were killed, stopped.

mod process;
mod signal;

pub use process::Killer;
pub use signal::Signal;

use crate::peer_folder;
use cotrain::{cheat::Cheat, events::PeerEvent};
use process::{End, Line, MAX_LINE};
use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{process::ChildStdin, sync::mpsc};

/// A peer that was killed is started again after this.
const RESTART_AFTER: Duration = Duration::from_secs(5);
/// How often peers of a swarm are started again, all together.
pub const MAX_RESTARTS: u32 = 8;
/// Lines of standard error that are kept of a peer.
const MAX_ASIDES: usize = 12;
/// How long peers have to stop when they are asked to.
const TIME_TO_STOP: Duration = Duration::from_secs(8);
/// How long the system has to end the processes that did not.
const TIME_TO_KILL: Duration = Duration::from_secs(1);

/// A swarm to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program whose command `swarm` is a peer.
    pub program: PathBuf,
    /// The swarm's folder, with one for each peer in it ([`peer_folder`]).
    pub folder: PathBuf,
    /// The file with the run's settings.
    pub config: PathBuf,
    /// Who decides from the first round on, besides who begins the run.
    pub founders: Founders,
    /// Threads of each peer, which change no bit.
    pub threads: usize,
    /// Whether peers end with their run, instead of serving it to others.
    pub once: bool,
    /// The peers; the first begins the run.
    pub peers: Vec<PeerOptions>,
}

/// Founding voters besides who begins the run.
#[derive(Debug, Clone)]
pub enum Founders {
    /// Those whose keys are in this file.
    Voters(PathBuf),
    /// So many friends with invitations.
    Friends(u32),
}

/// What one peer is told.
#[derive(Debug, Clone, Default)]
pub struct PeerOptions {
    /// The number that its key is derived from; a key of its own where there is none.
    pub key_number: Option<u64>,
    /// How it cheats.
    pub cheat: Option<Cheat>,
}

/// No process could be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a peer")]
pub struct StartError(#[from] io::Error);

/// Something from a peer, by its number from 0.
#[derive(Debug)]
pub enum News {
    /// It tells something.
    Event(usize, Box<PeerEvent>),
    /// Its process has ended.
    Ended(usize, Ending),
}

/// How a peer's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// In order.
    Stopped,
    /// A signal ended it.
    Killed {
        /// Which.
        signal: Signal,
        /// When it is started again; `None` if it is not, after [`MAX_RESTARTS`].
        again_in: Option<Duration>,
    },
    /// It failed.
    Failed {
        /// Why, as far as it said.
        error: String,
        /// What it said can be done.
        hints: Vec<String>,
    },
}

/// The peers of a swarm. Dropping this kills those that run.
#[derive(Debug)]
pub struct Peers {
    options: Options,
    slots: Vec<Slot>,
    restarts: u32,
    lines: mpsc::Receiver<Line>,
    sender: mpsc::Sender<Line>,
    killer: Killer,
}

/// What is known of one peer.
#[derive(Debug, Default)]
struct Slot {
    is_running: bool,
    /// Its standard input: dropping it asks the process to stop.
    leash: Option<ChildStdin>,
    /// What it joins with.
    ticket: Option<String>,
    /// When it was killed, if it is to be started again.
    killed: Option<Instant>,
    /// Why it failed and what to do about it.
    failed: Option<(String, Vec<String>)>,
    /// Its last lines on standard error.
    asides: VecDeque<String>,
}

impl Peers {
    /// A swarm of which nothing runs yet.
    pub fn new(options: Options) -> Self {
        let (sender, lines) = mpsc::channel(1024);
        let slots = options.peers.iter().map(|_| Slot::default()).collect();
        Self { options, slots, restarts: 0, lines, sender, killer: Killer::default() }
    }

    /// What kills all of them from another thread.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Starts the first peer, which begins the run or goes on with it. Must be called in a runtime
    /// of tokio, as everything else that starts peers.
    ///
    /// Errors: the program cannot be started.
    pub fn begin(&mut self) -> Result<(), StartError> {
        self.start(0)
    }

    /// Starts peer `number`, which joins with this ticket or invitation, now and whenever it is
    /// started again.
    ///
    /// Errors: the program cannot be started.
    pub fn join(&mut self, number: usize, ticket: &str) -> Result<(), StartError> {
        self.slots[number].ticket = Some(ticket.to_owned());
        self.start(number)
    }

    /// Has every other peer than the first join with `ticket`, unless it runs or is about to.
    ///
    /// Errors: the program cannot be started.
    pub fn join_all(&mut self, ticket: &str) -> Result<(), StartError> {
        for number in 1..self.slots.len() {
            if self.is_gone(number) {
                self.join(number, ticket)?;
            }
        }
        Ok(())
    }

    /// The next news of any peer; waits for ever where there is none. Nothing is lost if this is
    /// cancelled.
    pub async fn next(&mut self) -> News {
        loop {
            // This struct holds a sender, so the channel never closes.
            match self.lines.recv().await.expect("a sender is alive") {
                Line::Event(number, event) => {
                    if let PeerEvent::Failed { error, hints } = &*event {
                        self.slots[number].failed = Some((error.clone(), hints.clone()));
                    }
                    return News::Event(number, event);
                }
                Line::Aside(number, line) => self.note(number, line),
                Line::Ended(number, end) => {
                    return News::Ended(number, self.ended(number, end));
                }
            }
        }
    }

    /// Starts peers again whose time has come; returns which.
    ///
    /// Errors: the program cannot be started.
    pub fn restart_the_killed(&mut self) -> Result<Vec<usize>, StartError> {
        let due = |slot: &Slot| slot.killed.is_some_and(|at| at.elapsed() >= RESTART_AFTER);
        let due: Vec<usize> = (0..self.slots.len()).filter(|n| due(&self.slots[*n])).collect();
        for number in &due {
            self.slots[*number].killed = None;
            self.start(*number)?;
        }
        Ok(due)
    }

    /// Whether a peer neither runs nor will be started again by itself.
    pub fn is_gone(&self, number: usize) -> bool {
        !self.slots[number].is_running && self.slots[number].killed.is_none()
    }

    /// Asks all to stop, waits until they have, and kills those that do not.
    pub async fn stop(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.leash = None);
        self.await_ends(TIME_TO_STOP).await;
        self.kill().await;
    }

    /// Kills all that run. None is started after this.
    pub async fn kill(&mut self) {
        self.killer.order();
        self.await_ends(TIME_TO_KILL).await;
    }

    async fn await_ends(&mut self, time: Duration) {
        let deadline = tokio::time::Instant::now() + time;
        while self.slots.iter().any(|slot| slot.is_running) {
            match tokio::time::timeout_at(deadline, self.lines.recv()).await {
                Ok(Some(Line::Ended(number, _))) => self.slots[number].is_running = false,
                Ok(Some(Line::Event(..) | Line::Aside(..))) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }

    fn start(&mut self, number: usize) -> Result<(), StartError> {
        let arguments = self.options.arguments(number, self.slots[number].ticket.as_deref());
        let program = &self.options.program;
        let leash = process::start(program, &arguments, number, &self.sender, &self.killer)?;
        let slot = &mut self.slots[number];
        (slot.is_running, slot.leash) = (true, leash);
        Ok(())
    }

    fn ended(&mut self, number: usize, End { status, too_long }: End) -> Ending {
        let slot = &mut self.slots[number];
        (slot.is_running, slot.leash) = (false, None);
        // It was killed for that, and would do it again.
        if let Some(stream) = too_long {
            let error = format!("it wrote a line of more than {MAX_LINE} bytes on {stream}");
            return Ending::Failed { error, hints: Vec::new() };
        }
        if let Some(signal) = status.and_then(Signal::of) {
            let again_in = (self.restarts < MAX_RESTARTS).then_some(RESTART_AFTER);
            if again_in.is_some() {
                self.restarts += 1;
                slot.killed = Some(Instant::now());
            }
            return Ending::Killed { signal, again_in };
        }
        if status.is_some_and(|status| status.success()) {
            return Ending::Stopped;
        }
        let (error, hints) = slot.failed.clone().unwrap_or_else(|| (slot.unsaid(), Vec::new()));
        Ending::Failed { error, hints }
    }

    fn note(&mut self, number: usize, line: String) {
        let asides = &mut self.slots[number].asides;
        asides.push_back(line);
        if asides.len() > MAX_ASIDES {
            asides.pop_front();
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.killer.order();
    }
}

impl Slot {
    /// What can be said of a peer that failed and did not say why.
    fn unsaid(&self) -> String {
        let said: Vec<&str> = self.asides.iter().map(String::as_str).collect();
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said.join("\n") };
        format!("it ended unexpectedly: {said}")
    }
}

impl Options {
    /// The command line of peer `number`.
    fn arguments(&self, number: usize, ticket: Option<&str>) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["swarm".into()];
        let mut say = |words: &[&dyn AsRef<Path>]| {
            line.extend(words.iter().map(|word| word.as_ref().as_os_str().to_owned()));
        };
        match (ticket, &self.founders) {
            (Some(ticket), _) => say(&[&"join", &ticket]),
            (None, Founders::Voters(file)) => say(&[&"start", &self.config, &"--voters", file]),
            (None, Founders::Friends(friends)) => {
                say(&[&"start", &self.config, &"--friends", &friends.to_string()]);
            }
        }
        say(&[&"--json", &"--leash", &"--bind", &"127.0.0.1:0"]);
        say(&[&"--dir", &peer_folder(&self.folder, number)]);
        say(&[&"--threads", &self.threads.to_string()]);
        if self.once {
            say(&[&"--once"]);
        }
        let peer = &self.peers[number];
        if let Some(key) = peer.key_number {
            say(&[&"--key-seed", &key.to_string()]);
        }
        if let Some(cheat) = peer.cheat {
            say(&[&"--cheat", &cheat.name()]);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    fn options() -> Options {
        let cheater = PeerOptions { key_number: Some(1001), cheat: Some(Cheat::Noise) };
        Options {
            program: "understory".into(),
            folder: "demo".into(),
            config: "demo/config.toml".into(),
            founders: Founders::Voters("demo/voters.txt".into()),
            threads: 2,
            once: false,
            peers: vec![PeerOptions::default(), cheater],
        }
    }

    fn line(options: &Options, peer: usize, ticket: Option<&str>) -> String {
        let words = options.arguments(peer, ticket);
        words.iter().map(|word| word.to_str().expect("UTF-8")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_peer_is_told_what_it_is() {
        let options = options();
        assert_eq!(
            line(&options, 0, None),
            "swarm start demo/config.toml --voters demo/voters.txt --json --leash \
             --bind 127.0.0.1:0 --dir demo/peer-1 --threads 2"
        );
        assert_eq!(
            line(&options, 1, Some("TICKET")),
            "swarm join TICKET --json --leash --bind 127.0.0.1:0 --dir demo/peer-2 --threads 2 \
             --key-seed 1001 --cheat noise"
        );
        let options = Options { founders: Founders::Friends(3), once: true, ..options };
        let line = line(&options, 0, None);
        assert!(line.contains("--friends 3") && line.ends_with("--threads 2 --once"), "{line}");
    }

    #[test]
    fn peers_are_not_started_again_for_ever() {
        let mut peers = Peers::new(options());
        let killed = End { status: Some(ExitStatus::from_raw(9)), too_long: None };
        for _ in 0..MAX_RESTARTS {
            let Ending::Killed { again_in, .. } = peers.ended(1, killed) else { panic!("killed") };
            assert_eq!(again_in, Some(RESTART_AFTER));
            assert!(!peers.is_gone(1));
            peers.slots[1].killed = None;
        }
        let Ending::Killed { again_in, .. } = peers.ended(1, killed) else { panic!("killed") };
        assert_eq!(again_in, None);
        assert!(peers.is_gone(1));
    }

    #[test]
    fn signals_have_names() {
        let said = |number| Signal { number }.to_string();
        assert_eq!(
            (said(9), said(11), said(99)),
            (
                "signal 9 (SIGKILL)".to_owned(),
                "signal 11 (SIGSEGV)".to_owned(),
                "signal 99".to_owned(),
            )
        );
        assert_eq!(Signal::of(ExitStatus::from_raw(0x100)), None, "it failed by itself");
    }
}
