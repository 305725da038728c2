//! What training apart costs: W workers with H inner steps between roots against plain
//! data-parallel training, at equal tokens.

use crate::{BenchError, corpus::prepared};
use cotrain::{config::RunConfig, founding::Founding};
use ids::{Hash, PeerId};
use kernel::Kernel;
use recipe::{
    Carry, Contributor, Corpus, Task,
    corpus::{DataOptions, Documents},
    held_out::HeldOut,
    outer::{self, Weighted},
    run::RunManifest,
    update,
};
use serde::Serialize;
use std::{path::Path, sync::Arc, time::Instant};

/// Most bytes of text.
const TEXT_BYTES: u64 = 24 << 20;

/// What to compare.
#[derive(Debug)]
pub struct Options {
    /// Inner steps of a round.
    pub h: u32,
    /// Workers that train apart.
    pub workers: u32,
    /// Rounds.
    pub rounds: u32,
    /// All other settings.
    pub config: RunConfig,
    /// What computes.
    pub kernel: Kernel,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct LossGap {
    /// Parameters in all.
    pub parameters: usize,
    /// Parameters outside the embedding table.
    pub non_embedding: u64,
    /// Workers that trained apart.
    pub workers: u32,
    /// Inner steps of a round.
    pub h: u32,
    /// Rounds.
    pub rounds: u32,
    /// Training tokens of each side.
    pub tokens: u64,
    /// Of the held-out text, after training apart. (Nats per token are not comparable across
    /// tokenizers, bits per byte are.)
    pub apart_bits_per_byte: f64,
    /// The same after data-parallel training.
    pub together_bits_per_byte: f64,
    /// Loss of training apart over loss of data-parallel training, minus one.
    pub gap: f64,
    /// Seconds that training apart took, measuring included.
    pub apart_seconds: f64,
    /// Seconds that data-parallel training took, measuring included.
    pub together_seconds: f64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// Training begins.
    Prepared {
        /// Parameters of the model.
        parameters: usize,
        /// Tokens of text.
        tokens: usize,
    },
    /// A round of training apart is done.
    Apart {
        /// Which, from 1.
        round: u32,
        /// Of how many.
        rounds: u32,
        /// Of the held-out text.
        bits_per_byte: f64,
    },
    /// A round's steps of data-parallel training are done.
    Together {
        /// Steps done.
        step: u32,
        /// Of how many.
        steps: u32,
        /// Of the held-out text.
        bits_per_byte: f64,
    },
}

/// Trains both ways on `documents`, kept in `folder`, and compares.
///
/// Errors: the text or the settings give no run, or training fails.
pub fn loss_gap(
    options: &Options,
    documents: &Documents,
    folder: &Path,
    tell: &mut dyn FnMut(Progress),
) -> Result<LossGap, BenchError> {
    let data = DataOptions { max_bytes: TEXT_BYTES, ..options.config.data.options.clone() };
    let (corpus, root) = prepared(folder, documents, &data)?;
    let mut config = options.config.clone();
    config.rounds.rounds = options.rounds;
    config.rounds.steps_min = options.h;
    config.rounds.steps_max = options.h;
    let vocab = corpus.manifest.vocab as usize;
    let manifest = config.manifest(PeerId([1; 32]), &Founding::default(), root, vocab)?;
    let mut held_out = HeldOut::new(&corpus, &manifest.model, manifest.inner.seq, 1 << 16);
    tell(Progress::Prepared { parameters: manifest.parameters(), tokens: corpus.tokens.len() });
    let start = Instant::now();
    let apart = train_apart(options, &manifest, &corpus, &mut held_out, tell)?;
    let apart_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let together = train_together(options, &manifest, &corpus, &mut held_out, tell)?;
    let together_seconds = start.elapsed().as_secs_f64();
    let tokens = manifest.step_tokens() * u64::from(options.h * options.rounds * options.workers);
    Ok(LossGap {
        parameters: manifest.parameters(),
        non_embedding: manifest.model.non_embedding_parameters(),
        workers: options.workers,
        h: options.h,
        rounds: options.rounds,
        tokens,
        apart_bits_per_byte: apart,
        together_bits_per_byte: together,
        gap: apart / together - 1.0,
        apart_seconds,
        together_seconds,
    })
}

fn train_apart(
    options: &Options,
    manifest: &RunManifest,
    corpus: &Arc<Corpus>,
    held_out: &mut HeldOut,
    tell: &mut dyn FnMut(Progress),
) -> Result<f64, BenchError> {
    let kernel = &options.kernel;
    let mut contributor =
        Contributor::new(kernel.clone(), Arc::new(manifest.clone()), corpus.clone())?;
    let mut params = model::init(&manifest.model, manifest.seed)?;
    let mut momentum = vec![0.0; params.len()];
    let mut carries: Vec<Option<Carry>> = vec![None; options.workers as usize];
    let mut last = None;
    for round in 0..options.rounds {
        let mut updates = Vec::new();
        for (worker, carry) in carries.iter_mut().enumerate() {
            let beacon = Hash::of(&round.to_le_bytes());
            let task = Task { beacon, worker: Hash([worker as u8; 32]), round, steps: options.h };
            let mut state = contributor.start(&params, carry.as_ref());
            for step in 0..options.h {
                contributor.step(&task, step, &mut state)?;
            }
            let change = contributor.change(&params, &state, carry.as_ref())?;
            let (bytes, left) = contributor.encode(change, &state);
            *carry = Some(contributor.read_carry(&left, u64::MAX)?);
            let values = update::decode(kernel, &bytes, params.len())?;
            updates.push(Weighted { weight: 1, standing: 1, values });
        }
        outer::aggregate(kernel, &manifest.outer, &mut params, &mut momentum, &updates)
            .map_err(BenchError::Norm)?;
        let bits_per_byte = held_out.bits_per_byte(kernel, &params)?;
        tell(Progress::Apart { round: round + 1, rounds: options.rounds, bits_per_byte });
        last = Some(bits_per_byte);
    }
    match last {
        Some(bits_per_byte) => Ok(bits_per_byte),
        None => Ok(held_out.bits_per_byte(kernel, &params)?),
    }
}

fn train_together(
    options: &Options,
    manifest: &RunManifest,
    corpus: &Arc<Corpus>,
    held_out: &mut HeldOut,
    tell: &mut dyn FnMut(Progress),
) -> Result<f64, BenchError> {
    let kernel = &options.kernel;
    let mut manifest = manifest.clone();
    manifest.inner.batch *= options.workers as usize;
    manifest.rounds.rounds = 1;
    let steps = options.h * options.rounds;
    let manifest = Arc::new(manifest);
    let mut contributor = Contributor::new(kernel.clone(), manifest.clone(), corpus.clone())?;
    let params = model::init(&manifest.model, manifest.seed)?;
    let mut state = contributor.start(&params, None);
    let task = Task { beacon: Hash::of(b"together"), worker: Hash([0; 32]), round: 0, steps };
    let mut last = None;
    for step in 0..steps {
        contributor.step(&task, step, &mut state)?;
        if (step + 1) % options.h == 0 {
            let bits_per_byte = held_out.bits_per_byte(kernel, state.params())?;
            tell(Progress::Together { step: step + 1, steps, bits_per_byte });
            last = Some(bits_per_byte);
        }
    }
    match last {
        Some(bits_per_byte) => Ok(bits_per_byte),
        None => Ok(held_out.bits_per_byte(kernel, state.params())?),
    }
}
