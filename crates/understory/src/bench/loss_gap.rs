//! What training apart costs: W workers with H inner steps between roots against plain
//! data-parallel training, at equal tokens.

use crate::{corpus_source, peer::for_peer, scratch::Scratch};
use anyhow::Result;
use cotrain::{config::RunConfig, founding::Founding};
use ids::{Hash, PeerId};
use kernel::Kernel;
use recipe::{
    Carry, Contributor, Corpus, Task,
    corpus::{self, DataOptions},
    held_out::HeldOut,
    outer::{self, Weighted},
    run::RunManifest,
    update,
};
use serde::Serialize;
use std::{path::PathBuf, sync::Arc, time::Instant};
use store::Store;

/// What to compare.
pub struct Options {
    pub h: u32,
    pub workers: u32,
    pub rounds: u32,
    pub data: Vec<PathBuf>,
    pub config: RunConfig,
    pub kernel: Kernel,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct LossGap {
    pub parameters: usize,
    pub non_embedding: u64,
    pub workers: u32,
    pub h: u32,
    pub rounds: u32,
    pub tokens: u64,
    /// Held-out nats per token-sized unit are not comparable across tokenizers; bits per byte are.
    pub apart_bits_per_byte: f64,
    pub together_bits_per_byte: f64,
    /// Loss of training apart over loss of data-parallel training, minus one.
    pub gap: f64,
    pub apart_seconds: f64,
    pub together_seconds: f64,
}

/// Trains both ways on the same data, tells of progress on stderr and prints the comparison.
pub fn loss_gap(options: &Options, print_json: bool) -> Result<()> {
    let scratch = Scratch::new("bench")?;
    let gap = run(options, scratch.path())?;
    if print_json {
        println!("{}", serde_json::to_string(&gap)?);
    } else {
        print(&gap);
    }
    Ok(())
}

fn print(gap: &LossGap) {
    let LossGap { workers, h, rounds, tokens, parameters, non_embedding, .. } = gap;
    println!("model            {parameters} parameters, {non_embedding} without the embedding");
    println!(
        "work             {rounds} rounds, {workers} workers, {h} steps each: {tokens} tokens"
    );
    println!("apart            {:.4} bits per byte held out", gap.apart_bits_per_byte);
    println!("together         {:.4} bits per byte held out", gap.together_bits_per_byte);
    println!("gap              {:+.1} %", gap.gap * 100.0);
}

fn run(options: &Options, folder: &std::path::Path) -> Result<LossGap> {
    let store = Store::open(folder)?;
    let documents = corpus_source::documents(&options.data)?;
    let data = DataOptions { max_bytes: 24 << 20, ..options.config.data.options.clone() };
    let root = corpus::build(&store, &documents, &data, &mut |_| ())?.root;
    let corpus = Arc::new(Corpus::load(&store, &root.hash)?);
    let mut config = options.config.clone();
    config.rounds.rounds = options.rounds;
    config.rounds.steps_min = options.h;
    config.rounds.steps_max = options.h;
    let vocab = corpus.manifest.vocab as usize;
    let manifest = config
        .manifest(PeerId([1; 32]), &Founding::default(), root, vocab)
        .map_err(|error| for_peer(error.into()))?;
    let mut held_out = HeldOut::new(&corpus, &manifest.model, manifest.inner.seq, 1 << 16);
    eprintln!("{} parameters, {} tokens of text", manifest.parameters(), corpus.tokens.len());

    let start = Instant::now();
    let apart = train_apart(options, &manifest, &corpus, &mut held_out)?;
    let apart_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let together = train_together(options, &manifest, &corpus, &mut held_out)?;
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
) -> Result<f64> {
    let kernel = &options.kernel;
    let mut contributor =
        Contributor::new(kernel.clone(), Arc::new(manifest.clone()), corpus.clone())?;
    let mut params = model::init(&manifest.model, manifest.seed)?;
    let mut momentum = vec![0.0; params.len()];
    let mut carries: Vec<Option<Carry>> = vec![None; options.workers as usize];
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
            .map_err(|i| anyhow::anyhow!("update {i} has no finite norm"))?;
        let bits = held_out.bits_per_byte(kernel, &params)?;
        eprintln!("apart: round {} of {}, {bits:.4} bits per byte", round + 1, options.rounds);
    }
    Ok(held_out.bits_per_byte(kernel, &params)?)
}

fn train_together(
    options: &Options,
    manifest: &RunManifest,
    corpus: &Arc<Corpus>,
    held_out: &mut HeldOut,
) -> Result<f64> {
    let kernel = &options.kernel;
    let mut manifest = manifest.clone();
    manifest.inner.batch *= options.workers as usize;
    manifest.rounds.rounds = 1;
    let steps = options.h * options.rounds;
    let mut contributor =
        Contributor::new(kernel.clone(), Arc::new(manifest.clone()), corpus.clone())?;
    let params = model::init(&manifest.model, manifest.seed)?;
    let mut state = contributor.start(&params, None);
    let task = Task { beacon: Hash::of(b"together"), worker: Hash([0; 32]), round: 0, steps };
    for step in 0..steps {
        contributor.step(&task, step, &mut state)?;
        if (step + 1) % options.h == 0 {
            let bits = held_out.bits_per_byte(kernel, state.params())?;
            eprintln!("together: step {} of {steps}, {bits:.4} bits per byte", step + 1);
        }
    }
    Ok(held_out.bits_per_byte(kernel, state.params())?)
}
