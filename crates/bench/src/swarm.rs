//! What co-training costs: honest peers as processes on this machine against one process with all
//! its cores, on the same model and text.

mod measured;

use crate::{BenchError, corpus::prepared};
use cotrain::{config::RunConfig, founding::Founding};
use ids::{Hash, PeerId};
use kernel::Kernel;
use local::peers::Killer;
use measured::Measured;
use recipe::{Contributor, RunManifest, Task, corpus::Documents, run::ScheduleKind, update};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// Peers of the swarm.
pub const PEERS: usize = 4;
/// Newcomers are checked fully for the first rounds; most of the rounds come after.
const ROUNDS: u32 = 9;
/// Text of the documentation to train on, so that preparing it does not take longer than the bench.
const TEXT_BYTES: u64 = 8 << 20;
/// Each side is measured so often, in turn: machines have moods.
const TURNS: usize = 2;

/// What to measure.
#[derive(Debug)]
pub struct Options {
    /// The program whose command `swarm` is a peer.
    pub program: PathBuf,
    /// An empty folder for everything.
    pub folder: PathBuf,
    /// How long each turn of each side takes.
    pub seconds: f64,
    /// What computes in the one process.
    pub kernel: Kernel,
    /// Threads of each peer.
    pub threads_per_peer: usize,
}

/// How far it is.
#[derive(Debug)]
pub enum Progress {
    /// The one process has trained: tokens per second.
    Alone(f64),
    /// Peers are started; this ends them, should the bench be given up.
    Starting(Killer),
    /// The peers have trained: tokens per second of all.
    Together {
        /// From the first record to the last.
        all: f64,
        /// Once no peer was a newcomer any more.
        settled: f64,
    },
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct SwarmFigures {
    /// The bench's name.
    pub bench: &'static str,
    /// Parameters in all.
    pub parameters: usize,
    /// Peers of the swarm.
    pub peers: usize,
    /// Threads of each of them.
    pub threads_per_peer: usize,
    /// Rounds of the run.
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

/// Measures both sides in turn, training on `documents`. The peers read the documentation in the
/// local cargo registry by themselves, so `documents` are to be that.
///
/// Errors: the text gives no run, training fails, or a peer does.
pub fn swarm(
    options: &Options,
    documents: &Documents,
    tell: &mut dyn FnMut(Progress),
) -> Result<SwarmFigures, BenchError> {
    let mut alone = Alone::new(&options.folder.join("alone"), documents, &options.kernel)?;
    alone.rate(options.seconds.min(3.0))?;
    let mut figures = empty(&alone.manifest, options.threads_per_peer);
    for turn in 0..TURNS {
        let rate = alone.rate(options.seconds)?;
        tell(Progress::Alone(rate));
        let step_tokens = alone.manifest.step_tokens();
        if turn == 0 {
            figures.steps = steps_for(rate * options.seconds, step_tokens);
        }
        let folder = options.folder.join(format!("swarm-{turn}"));
        let run = measured::run(options, &folder, &config(figures.steps), tell)?;
        figures.alone_tok_s.push(rate);
        let (all, settled) = figures.add(&run, step_tokens);
        tell(Progress::Together { all, settled });
    }
    let sum = |rates: &[f64]| rates.iter().sum::<f64>();
    figures.share = sum(&figures.together_tok_s) / sum(&figures.alone_tok_s);
    figures.settled_share = sum(&figures.settled_tok_s) / sum(&figures.alone_tok_s);
    Ok(figures)
}

impl SwarmFigures {
    /// Adds a turn of the peers; returns their tokens per second, in all and after probation.
    fn add(&mut self, run: &Measured, step_tokens: u64) -> (f64, f64) {
        let together = run.steps as f64 * step_tokens as f64 / run.seconds;
        let settled = run.settled_steps as f64 * step_tokens as f64 / run.settled_seconds;
        self.together_tok_s.push(together);
        self.settled_tok_s.push(settled);
        let parameters = self.parameters as f64;
        let mean = |bytes: u64| {
            bytes as f64 / PEERS as f64 / f64::from(ROUNDS) / parameters / TURNS as f64
        };
        self.sent_bytes_per_parameter_and_round += mean(run.sent);
        self.received_bytes_per_parameter_and_round += mean(run.received);
        let stored = run.stored as f64 / parameters;
        self.stored_bytes_per_parameter = self.stored_bytes_per_parameter.max(stored);
        self.auditing_share += run.auditing_s / run.working_s.max(1e-9) / TURNS as f64;
        (together, settled)
    }
}

fn empty(manifest: &RunManifest, threads_per_peer: usize) -> SwarmFigures {
    let parameters = manifest.parameters();
    SwarmFigures {
        bench: "swarm",
        parameters,
        peers: PEERS,
        threads_per_peer,
        rounds: ROUNDS,
        steps: 0,
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
    fn new(folder: &Path, documents: &Documents, kernel: &Kernel) -> Result<Self, BenchError> {
        let config = config(RunConfig::default().rounds.keep_every);
        let (corpus, root) = prepared(folder, documents, &config.data.options)?;
        let vocab = corpus.manifest.vocab as usize;
        let manifest =
            Arc::new(config.manifest(PeerId([1; 32]), &Founding::default(), root, vocab)?);
        let contributor = Contributor::new(kernel.clone(), manifest.clone(), corpus)?;
        let state = contributor.start(&model::init(&manifest.model, manifest.seed)?, None);
        Ok(Self { manifest, contributor, state })
    }

    /// Trains for so long; tokens per second.
    fn rate(&mut self, seconds: f64) -> Result<f64, BenchError> {
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
