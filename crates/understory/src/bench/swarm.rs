//! What co-training costs: honest peers as processes on this machine against one process with all
//! its cores, on the same model and text.

use crate::{corpus_source, kernel_for, scratch, scratch::Scratch};
use anyhow::{Context, Result, bail};
use cotrain::{config::RunConfig, events::PeerEvent, founding::Founding};
use ids::{Hash, PeerId};
use recipe::{Contributor, Corpus, RunManifest, Task, corpus, run::ScheduleKind, update};
use serde::Serialize;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};
use store::Store;
use swarm::{Kind, Notice};

const PEERS: usize = 4;
/// Newcomers are checked fully for the first rounds; most of the rounds come after.
const ROUNDS: u32 = 9;
/// Text of the documentation to train on, so that preparing it does not take longer than the bench.
const TEXT_BYTES: u64 = 8 << 20;
/// Each side is measured so often, in turn: machines have moods.
const TURNS: usize = 2;

/// What came out.
#[derive(Debug, Serialize)]
pub struct SwarmFigures {
    pub bench: &'static str,
    pub parameters: usize,
    pub peers: usize,
    pub threads_per_peer: usize,
    pub rounds: u32,
    /// Inner steps of one contribution.
    pub steps: u32,
    /// Tokens per second of one process, each turn.
    pub alone_tok_s: Vec<f64>,
    /// Tokens per second of all peers together from the first record to the last, each turn.
    pub together_tok_s: Vec<f64>,
    /// The same once no peer is a newcomer any more, whose every contribution is checked fully.
    pub settled_tok_s: Vec<f64>,
    /// Mean of `together_tok_s` over mean of `alone_tok_s`.
    pub share: f64,
    /// Mean of `settled_tok_s` over mean of `alone_tok_s`.
    pub settled_share: f64,
    /// Bytes of an update per parameter.
    pub update_bytes_per_parameter: f64,
    /// All bytes a peer sends, per parameter and round.
    pub sent_bytes_per_parameter_and_round: f64,
    /// All bytes a peer receives, per parameter and round.
    pub received_bytes_per_parameter_and_round: f64,
    /// The most bytes that one peer's store had after a record beyond those at the first one (text,
    /// tokenizer, first state), per parameter.
    pub stored_bytes_per_parameter: f64,
    /// Time that went into audits over time in all work, all peers together.
    pub auditing_share: f64,
}

/// Measures, taking `seconds` for each turn of each side, and prints the figures.
pub fn swarm(seconds: f64, print_json: bool) -> Result<()> {
    let scratch = Scratch::new("bench")?;
    let mut alone = Alone::new(&scratch.path().join("alone"))?;
    alone.rate(seconds.min(3.0))?;
    let mut figures: Option<SwarmFigures> = None;
    for turn in 0..TURNS {
        let rate = alone.rate(seconds)?;
        eprintln!("one process: {rate:.0} tokens/s");
        let steps = match &figures {
            Some(figures) => figures.steps,
            None => steps_for(rate * seconds, alone.manifest.step_tokens()),
        };
        let run = Run::go(&scratch.path().join(format!("swarm-{turn}")), steps)?;
        let tokens = run.steps as f64 * alone.manifest.step_tokens() as f64;
        let together = tokens / run.seconds;
        let settled = run.settled_steps as f64 * alone.manifest.step_tokens() as f64;
        let settled = settled / run.settled_seconds;
        eprintln!("{PEERS} peers: {together:.0} tokens/s, {settled:.0} after probation");
        let figures = figures.get_or_insert_with(|| empty(&alone.manifest, steps));
        figures.alone_tok_s.push(rate);
        figures.together_tok_s.push(together);
        figures.settled_tok_s.push(settled);
        let parameters = figures.parameters as f64;
        let mean = |bytes: u64| {
            bytes as f64 / PEERS as f64 / f64::from(ROUNDS) / parameters / TURNS as f64
        };
        figures.sent_bytes_per_parameter_and_round += mean(run.sent);
        figures.received_bytes_per_parameter_and_round += mean(run.received);
        let stored = run.stored as f64 / parameters;
        figures.stored_bytes_per_parameter = figures.stored_bytes_per_parameter.max(stored);
        figures.auditing_share += run.auditing_s / run.working_s.max(1e-9) / TURNS as f64;
    }
    let mut figures = figures.context("there is at least one turn")?;
    let sum = |rates: &[f64]| rates.iter().sum::<f64>();
    figures.share = sum(&figures.together_tok_s) / sum(&figures.alone_tok_s);
    figures.settled_share = sum(&figures.settled_tok_s) / sum(&figures.alone_tok_s);
    if print_json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print(&figures);
    }
    Ok(())
}

fn print(f: &SwarmFigures) {
    let rates =
        |rates: &[f64]| rates.iter().map(|r| format!("{r:.0}")).collect::<Vec<_>>().join(", ");
    println!(
        "model            {} parameters, {} rounds of {} steps",
        f.parameters, f.rounds, f.steps
    );
    println!("one process      {} tokens/s", rates(&f.alone_tok_s));
    println!("{} peers          {} tokens/s", f.peers, rates(&f.together_tok_s));
    println!("after probation  {} tokens/s", rates(&f.settled_tok_s));
    println!(
        "peers / process  {:.1} %, after probation {:.1} %",
        f.share * 100.0,
        f.settled_share * 100.0
    );
    println!("update           {:.3} bytes per parameter and round", f.update_bytes_per_parameter);
    println!(
        "sent by a peer   {:.2} bytes per parameter and round",
        f.sent_bytes_per_parameter_and_round
    );
    println!(
        "received         {:.2} bytes per parameter and round",
        f.received_bytes_per_parameter_and_round
    );
    println!(
        "stored           {:.2} bytes per parameter at most, beside text and first state",
        f.stored_bytes_per_parameter
    );
    println!("auditing         {:.1} % of the work", f.auditing_share * 100.0);
}

fn empty(manifest: &RunManifest, steps: u32) -> SwarmFigures {
    let parameters = manifest.parameters();
    SwarmFigures {
        bench: "swarm",
        parameters,
        peers: PEERS,
        threads_per_peer: threads_per_peer(),
        rounds: ROUNDS,
        steps,
        alone_tok_s: Vec::new(),
        together_tok_s: Vec::new(),
        settled_tok_s: Vec::new(),
        share: 0.0,
        settled_share: 0.0,
        update_bytes_per_parameter: update::encoded_len(parameters) as f64 / parameters as f64,
        sent_bytes_per_parameter_and_round: 0.0,
        received_bytes_per_parameter_and_round: 0.0,
        stored_bytes_per_parameter: 0.0,
        auditing_share: 0.0,
    }
}

/// Steps of a contribution so that all rounds together see about `tokens`.
fn steps_for(tokens: f64, step_tokens: u64) -> u32 {
    let each = tokens / (step_tokens as f64 * PEERS as f64 * f64::from(ROUNDS));
    let keep_every = RunConfig::default().rounds.keep_every;
    ((each as u32) / keep_every).max(1) * keep_every
}

fn threads_per_peer() -> usize {
    let all = std::thread::available_parallelism().map_or(1, |n| n.get());
    (all / PEERS).max(1)
}

fn config(steps: u32) -> RunConfig {
    let mut config = RunConfig::default();
    config.data.options.max_bytes = TEXT_BYTES;
    config.inner.schedule = ScheduleKind::Constant;
    config.rounds.rounds = ROUNDS;
    (config.rounds.steps_min, config.rounds.steps_max) = (steps, steps);
    config.rounds.min_members = PEERS as u32;
    config
}

/// One process that trains with all cores.
struct Alone {
    manifest: Arc<RunManifest>,
    contributor: Contributor,
    state: recipe::InnerState,
}

impl Alone {
    fn new(folder: &Path) -> Result<Self> {
        eprintln!("preparing the text");
        let store = Store::open(folder)?;
        let config = config(RunConfig::default().rounds.keep_every);
        let documents = corpus_source::documents(&config.data.paths)?;
        let root = corpus::build(&store, &documents, &config.data.options, &mut |_| ())?.root;
        let corpus = Arc::new(Corpus::load(&store, &root.hash)?);
        let vocab = corpus.manifest.vocab as usize;
        let manifest =
            Arc::new(config.manifest(PeerId([1; 32]), &Founding::default(), root, vocab)?);
        let contributor = Contributor::new(kernel_for(None)?, manifest.clone(), corpus)?;
        let state = contributor.start(&model::init(&manifest.model, manifest.seed)?, None);
        Ok(Self { manifest, contributor, state })
    }

    /// Trains for so long; tokens per second.
    fn rate(&mut self, seconds: f64) -> Result<f64> {
        let task = Task { beacon: Hash::default(), worker: Hash::default(), round: 0, steps: 1 };
        let begun = Instant::now();
        let mut steps = 0;
        while begun.elapsed().as_secs_f64() < seconds {
            self.contributor.step(&task, steps, &mut self.state)?;
            steps += 1;
        }
        let tokens = u64::from(steps) * self.manifest.step_tokens();
        Ok(tokens as f64 / begun.elapsed().as_secs_f64())
    }
}

/// A whole run of peers that has ended.
#[derive(Default)]
struct Run {
    /// From the first record to the last.
    seconds: f64,
    /// Inner steps that went into the model.
    steps: u64,
    /// Steps and seconds after the last round in which everything is checked.
    settled_steps: u64,
    settled_seconds: f64,
    sent: u64,
    received: u64,
    stored: u64,
    auditing_s: f64,
    working_s: f64,
}

type Children = Arc<Mutex<Vec<Child>>>;
type Line = (usize, PeerEvent);

impl Run {
    fn go(folder: &Path, steps: u32) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("config.toml");
        std::fs::write(&file, toml::to_string(&config(steps))?)?;
        let children: Children = Arc::default();
        let on_stop = children.clone();
        scratch::on_interrupt(move || end(&on_stop));
        let result = Self::watch(folder, &file, &children);
        end(&children);
        result
    }

    fn watch(folder: &Path, config: &Path, children: &Children) -> Result<Self> {
        let (sender, lines) = channel();
        let config = config.to_string_lossy();
        let friends = (PEERS - 1).to_string();
        spawn(children, &sender, folder, 0, &["start", &config, "--friends", &friends])?;
        let invitations = loop {
            if let (_, PeerEvent::Invitations { unused }) = next(&lines)? {
                break unused;
            }
        };
        for (peer, invitation) in (1..PEERS).zip(&invitations) {
            spawn(children, &sender, folder, peer, &["join", invitation])?;
        }
        drop(sender);
        Self::measure(&lines, &Store::open_existing(peer_folder(folder, 0).join("store"))?)
    }

    /// `store`: the first peer's.
    fn measure(lines: &Receiver<Line>, store: &Store) -> Result<Self> {
        let mut run = Self::default();
        // A contribution is audited in the round after it: those of record `probation` are the last
        // to be checked fully, while record `probation + 1` is made.
        let settled = u64::from(RunConfig::default().rounds.probation) + 1;
        let mut settled_at = None;
        let (mut traffic, mut work) = ([(0, 0); PEERS], [(0.0, 0.0); PEERS]);
        let (mut begun, mut ended, mut stored) = (Instant::now(), None, 0);
        while let Ok((peer, event)) = lines.recv() {
            match event {
                PeerEvent::Traffic { sent, received } => traffic[peer] = (sent, received),
                PeerEvent::Work { training_s, auditing_s, aggregating_s } => {
                    work[peer] = (auditing_s, training_s + auditing_s + aggregating_s);
                }
                PeerEvent::Failed { error, .. } => bail!("peer {}: {error}", peer + 1),
                PeerEvent::Protocol { notice: Notice::Decided(record) } if peer == 0 => {
                    run.stored = run.stored.max(store.bytes()?.saturating_sub(stored));
                    match record.kind {
                        Kind::Genesis => {
                            (begun, stored, run.stored) = (Instant::now(), store.bytes()?, 0)
                        }
                        Kind::Close => ended = Some(begun.elapsed()),
                        _ => {}
                    }
                    let steps = record.contributions.iter().map(|(_, steps)| u64::from(*steps));
                    let steps = steps.sum::<u64>();
                    run.steps += steps;
                    if let (Kind::Advance, Some(since)) = (record.kind, settled_at) {
                        run.settled_steps += steps;
                        run.settled_seconds = Instant::elapsed(&since).as_secs_f64();
                    }
                    if record.height == settled {
                        settled_at = Some(Instant::now());
                    }
                }
                _ => {}
            }
        }
        run.seconds = ended.context("the peers ended before their run")?.as_secs_f64();
        run.sent = traffic.iter().map(|t| t.0).sum();
        run.received = traffic.iter().map(|t| t.1).sum();
        run.auditing_s = work.iter().map(|w| w.0).sum();
        run.working_s = work.iter().map(|w| w.1).sum();
        Ok(run)
    }
}

/// The next event; an error once all peers have ended or none has said anything for long.
fn next(lines: &Receiver<Line>) -> Result<Line> {
    match lines.recv_timeout(Duration::from_secs(600)) {
        Ok((peer, PeerEvent::Failed { error, .. })) => bail!("peer {}: {error}", peer + 1),
        Ok(line) => Ok(line),
        Err(RecvTimeoutError::Timeout) => bail!("the peers have said nothing for ten minutes"),
        Err(RecvTimeoutError::Disconnected) => bail!("the peers ended before their run"),
    }
}

fn peer_folder(folder: &Path, peer: usize) -> PathBuf {
    folder.join(format!("peer-{}", peer + 1))
}

/// Starts `understory swarm …` as peer number `peer` and sends on what it says.
fn spawn(
    children: &Children,
    sender: &Sender<Line>,
    folder: &Path,
    peer: usize,
    args: &[&str],
) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("swarm")
        .args(args)
        .arg("--dir")
        .arg(peer_folder(folder, peer))
        .args(["--bind", "127.0.0.1:0", "--once", "--leash", "--json"])
        .args(["--threads", &threads_per_peer().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start this program again")?;
    let out = BufReader::new(child.stdout.take().context("the output is piped")?);
    children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    let sender = sender.clone();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str(&line) else { continue };
            if sender.send((peer, event)).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// Ends every peer that still runs and waits for it.
fn end(children: &Children) {
    let all = std::mem::take(&mut *children.lock().unwrap_or_else(PoisonError::into_inner));
    for mut child in all {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fill_the_time_between_kept_states() {
        assert_eq!(steps_for(0.0, 2048), 8);
        assert_eq!(steps_for(2048.0 * 4.0 * f64::from(ROUNDS) * 35.0, 2048), 32);
    }

    #[test]
    fn the_configuration_of_the_peers_is_valid() {
        let config = config(16);
        let corpus = ids::ObjectRef::of(b"c");
        let manifest = config.manifest(PeerId([1; 32]), &Founding::default(), corpus, 4096);
        assert_eq!(manifest.expect("valid").rounds.steps_max, 16);
    }
}
