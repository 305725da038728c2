//! What training in integers costs and gives: the same run in each arithmetic, in turn, at equal
//! tokens and at equal time.

use crate::{corpus_source, peer::for_peer, scratch::Scratch};
use anyhow::{Context, Result};
use cotrain::{config::RunConfig, founding::Founding};
use ids::{Hash, PeerId};
use kernel::Kernel;
use model::Arithmetic;
use recipe::{
    Contributor, Corpus, Task,
    contribution::InnerState,
    corpus::{self, DataOptions},
    held_out::HeldOut,
    run::RunManifest,
};
use serde::Serialize;
use std::{path::PathBuf, sync::Arc, time::Instant};
use store::Store;

/// What to compare.
pub struct Options {
    /// A size of `bench train`.
    pub size: String,
    /// Tokens to train on.
    pub tokens: u64,
    /// One run for each of the seeds 1, 2, …
    pub seeds: u64,
    pub data: Vec<PathBuf>,
    pub config: RunConfig,
    pub kernel: Kernel,
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, Serialize)]
struct Point {
    tokens: u64,
    /// Seconds of training, without measuring.
    seconds: f64,
    bits_per_byte: f64,
}

/// The runs of one seed.
#[derive(Debug, Serialize)]
struct Pair {
    seed: u64,
    /// In floats, and in integers.
    strict_1: Vec<Point>,
    strict_i8: Vec<Point>,
    /// Bits per byte of integers over floats, minus one: after all tokens, and after the time that
    /// the faster one took.
    gap_at_equal_tokens: f64,
    gap_at_equal_time: f64,
    /// Tokens a second of integers over floats.
    speed: f64,
}

/// How often the model is measured.
const POINTS: u32 = 20;

/// Trains and prints, telling of progress on stderr.
pub fn arithmetic(options: &Options, print_json: bool) -> Result<()> {
    let scratch = Scratch::new("bench")?;
    let store = Store::open(scratch.path())?;
    let documents = corpus_source::documents(&options.data)?;
    let data = DataOptions { max_bytes: 64 << 20, ..options.config.data.options.clone() };
    let root = corpus::build(&store, &documents, &data, &mut |_| ())?.root;
    let corpus = Arc::new(Corpus::load(&store, &root.hash)?);
    for seed in 1..=options.seeds {
        let manifest = manifest(options, seed, &corpus, root)?;
        let pair = pair(options, &manifest, &corpus)?;
        if print_json {
            println!("{}", serde_json::to_string(&pair)?);
        } else {
            print(&pair);
        }
    }
    Ok(())
}

fn manifest(
    options: &Options,
    seed: u64,
    corpus: &Corpus,
    root: ids::ObjectRef,
) -> Result<RunManifest> {
    let shape = model::bench::decoder(&options.size).with_context(|| {
        format!("no size {}; there are {:?}", options.size, model::bench::SIZES)
    })?;
    let mut config = options.config.clone();
    config.seed = seed;
    config.model.dim = shape.dim;
    config.model.layers = shape.layers.len();
    (config.model.heads, config.model.kv_heads) = (shape.heads, shape.kv_heads);
    config.model.ffn = shape.ffn;
    config.rounds.rounds = 1;
    let vocab = corpus.manifest.vocab as usize;
    let manifest = config.manifest(PeerId([1; 32]), &Founding::default(), root, vocab);
    manifest.map_err(|error| for_peer(error.into()))
}

/// One run in one arithmetic.
struct Run {
    contributor: Contributor,
    state: InnerState,
    curve: Vec<Point>,
}

fn pair(options: &Options, manifest: &RunManifest, corpus: &Arc<Corpus>) -> Result<Pair> {
    let step_tokens = manifest.step_tokens();
    let steps = u32::try_from((options.tokens / step_tokens).max(u64::from(POINTS)))?;
    let worker = Hash::of(&manifest.seed.to_le_bytes());
    let task = Task { beacon: Hash::of(b"arithmetic"), worker, round: 0, steps };
    let begin = |arithmetic| -> Result<Run> {
        let manifest = Arc::new(RunManifest { arithmetic, ..manifest.clone() });
        let params = model::init(&manifest.model, manifest.seed)?;
        let contributor = Contributor::new(options.kernel.clone(), manifest, corpus.clone())?;
        let state = contributor.start(&params, None);
        Ok(Run { contributor, state, curve: Vec::new() })
    };
    let mut runs = [begin(Arithmetic::Strict1)?, begin(Arithmetic::StrictI8)?];
    let mut held_out = HeldOut::new(corpus, &manifest.model, manifest.inner.seq, 1 << 16);
    eprintln!(
        "seed {}: {} parameters, {steps} steps of {step_tokens} tokens",
        manifest.seed,
        manifest.parameters()
    );
    for point in 1..=POINTS {
        let some = steps * (point - 1) / POINTS..steps * point / POINTS;
        for run in &mut runs {
            let begun = Instant::now();
            for step in some.clone() {
                run.contributor.step(&task, step, &mut run.state)?;
            }
            let before = run.curve.last().map_or(0.0, |point| point.seconds);
            let seconds = before + begun.elapsed().as_secs_f64();
            let bits_per_byte = held_out.bits_per_byte(&options.kernel, run.state.params())?;
            let tokens = u64::from(some.end) * step_tokens;
            run.curve.push(Point { tokens, seconds, bits_per_byte });
        }
        let [floats, integers] = runs.each_ref().map(|run| run.curve[run.curve.len() - 1]);
        eprintln!(
            "{:>10} tokens: strict-1 {:.4} bits per byte in {:.0} s, strict-i8 {:.4} in {:.0} s",
            floats.tokens,
            floats.bits_per_byte,
            floats.seconds,
            integers.bits_per_byte,
            integers.seconds
        );
    }
    let [strict_1, strict_i8] = runs.map(|run| run.curve);
    let (floats, integers) = (strict_1[strict_1.len() - 1], strict_i8[strict_i8.len() - 1]);
    let time = floats.seconds.min(integers.seconds);
    Ok(Pair {
        seed: manifest.seed,
        gap_at_equal_tokens: integers.bits_per_byte / floats.bits_per_byte - 1.0,
        gap_at_equal_time: after(&strict_i8, time) / after(&strict_1, time) - 1.0,
        speed: floats.seconds / integers.seconds,
        strict_1,
        strict_i8,
    })
}

/// Bits per byte after so many seconds, on the line between two points.
fn after(curve: &[Point], seconds: f64) -> f64 {
    let later = curve.iter().position(|point| point.seconds >= seconds).unwrap_or(curve.len() - 1);
    let Some(earlier) = later.checked_sub(1) else { return curve[0].bits_per_byte };
    let (from, to) = (curve[earlier], curve[later]);
    let part = (seconds - from.seconds) / (to.seconds - from.seconds);
    from.bits_per_byte + part * (to.bits_per_byte - from.bits_per_byte)
}

fn print(pair: &Pair) {
    let last = |curve: &[Point]| curve.last().map_or(f64::NAN, |point| point.bits_per_byte);
    println!("seed {}", pair.seed);
    println!("  strict-1       {:.4} bits per byte held out", last(&pair.strict_1));
    println!("  strict-i8      {:.4} bits per byte held out", last(&pair.strict_i8));
    println!("  equal tokens   {:+.2} %", pair.gap_at_equal_tokens * 100.0);
    println!("  equal time     {:+.2} %", pair.gap_at_equal_time * 100.0);
    println!("  speed          {:.2} x strict-1", pair.speed);
}
