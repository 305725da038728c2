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
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
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
    Ended(usize, End),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    /// What the system says of it.
    pub status: Option<ExitStatus>,
    /// Where it wrote a line longer than [`MAX_LINE`], for which it was killed.
    pub too_long: Option<&'static str>,
}

/// Most bytes of a line that a peer writes: its longest events are some kilobytes.
pub(super) const MAX_LINE: usize = 1 << 20;

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
    let (long, mut too_long) = mpsc::channel(2);
    let asides = tokio::spawn(listen(number, stderr, lines.clone(), long.clone()));
    let end = async {
        events(number, stdout, &lines, long).await;
        child.wait().await.ok()
    };
    let mut end = tokio::select! {
        status = end => End { status, too_long: None },
        Some(stream) = too_long.recv() => End { status: None, too_long: Some(stream) },
        _ = kill.wait_for(|kill| *kill) => End::default(),
    };
    if end.status.is_none() {
        let _ = child.start_kill();
        end.status = child.wait().await.ok();
    }
    drop(kill);
    // What a peer leaves running may hold its standard error open.
    let _ = tokio::time::timeout(Duration::from_secs(1), asides).await;
    // It may have ended by itself, since nobody read on.
    end.too_long = end.too_long.or_else(|| too_long.try_recv().ok());
    let _ = lines.send(Line::Ended(number, end)).await;
}

/// Sends on the events of a process until it says no more or nobody listens.
async fn events(
    number: usize,
    stdout: ChildStdout,
    lines: &mpsc::Sender<Line>,
    too_long: mpsc::Sender<&'static str>,
) {
    let mut reader = Bounded::new(stdout, "standard output", too_long);
    while let Some(line) = reader.next().await {
        if let Ok(event) = serde_json::from_slice(&line)
            && lines.send(Line::Event(number, Box::new(event))).await.is_err()
        {
            return;
        }
    }
}

async fn listen(
    number: usize,
    stderr: ChildStderr,
    lines: mpsc::Sender<Line>,
    too_long: mpsc::Sender<&'static str>,
) {
    let mut reader = Bounded::new(stderr, "standard error", too_long);
    while let Some(line) = reader.next().await {
        let line = match serde_json::from_slice(&line) {
            Ok(progress::Line::Progress(Progress::At(at))) => {
                Line::Event(number, Box::new(PeerEvent::Working(at)))
            }
            _ => Line::Aside(number, String::from_utf8_lossy(&line).into_owned()),
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

/// The lines of a stream, none of which may be longer than [`MAX_LINE`].
struct Bounded<R> {
    reader: BufReader<R>,
    name: &'static str,
    too_long: mpsc::Sender<&'static str>,
}

impl<R: AsyncRead + Unpin> Bounded<R> {
    fn new(stream: R, name: &'static str, too_long: mpsc::Sender<&'static str>) -> Self {
        Self { reader: BufReader::new(stream), name, too_long }
    }

    /// The next line without its end; none at the end of the stream, where it cannot be read, and
    /// after a line that is too long, which is told.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let mut part = (&mut self.reader).take(MAX_LINE as u64 + 1);
        part.read_until(b'\n', &mut line).await.ok().filter(|bytes| *bytes > 0)?;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > MAX_LINE {
            // Nobody waits for a second one.
            let _ = self.too_long.try_send(self.name);
            return None;
        }
        Some(line)
    }
}
