//! What training in integers costs and gives: the same run in each arithmetic, in turn, at equal
//! tokens and at equal time.

use crate::{BenchError, corpus::prepared};
use cotrain::{config::RunConfig, founding::Founding};
use ids::{Hash, PeerId};
use kernel::Kernel;
use model::Arithmetic;
use recipe::{
    Contributor, Corpus, Task,
    contribution::InnerState,
    corpus::{DataOptions, Documents},
    held_out::HeldOut,
    run::RunManifest,
};
use serde::Serialize;
use std::{path::Path, sync::Arc, time::Instant};

/// Most bytes of text.
const TEXT_BYTES: u64 = 64 << 20;

/// What to compare.
#[derive(Debug)]
pub struct Options {
    /// A size of [`mod@crate::train`].
    pub size: String,
    /// Tokens to train on.
    pub tokens: u64,
    /// One pair of runs for each of the seeds 1, 2, …
    pub seeds: u64,
    /// All other settings.
    pub config: RunConfig,
    /// What computes.
    pub kernel: Kernel,
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Tokens trained on.
    pub tokens: u64,
    /// Seconds of training, without measuring.
    pub seconds: f64,
    /// Of the held-out text.
    pub bits_per_byte: f64,
}

/// The runs of one seed.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// The seed.
    pub seed: u64,
    /// In floats.
    pub strict_1: Vec<Point>,
    /// In integers.
    pub strict_i8: Vec<Point>,
    /// Bits per byte of integers over floats, minus one, after all tokens.
    pub gap_at_equal_tokens: f64,
    /// The same after the time that the faster one took.
    pub gap_at_equal_time: f64,
    /// Tokens a second of integers over floats.
    pub speed: f64,
}

/// How far it is.
#[derive(Debug)]
pub enum Progress {
    /// Training begins.
    Begun {
        /// The seed.
        seed: u64,
        /// Parameters of the model.
        parameters: usize,
        /// Steps in all.
        steps: u32,
        /// Tokens of a step.
        step_tokens: u64,
    },
    /// Both models were measured.
    Measured {
        /// In floats.
        strict_1: Point,
        /// In integers.
        strict_i8: Point,
    },
    /// Both runs of a seed have ended.
    Compared(Pair),
}

/// How often the model is measured.
const POINTS: u32 = 20;

/// Trains a pair of models for each seed on `documents`, kept in `folder`.
///
/// Errors: there is no such size, the text or the settings give no run, or training fails.
pub fn arithmetic(
    options: &Options,
    documents: &Documents,
    folder: &Path,
    tell: &mut dyn FnMut(Progress),
) -> Result<(), BenchError> {
    let data = DataOptions { max_bytes: TEXT_BYTES, ..options.config.data.options.clone() };
    let (corpus, root) = prepared(folder, documents, &data)?;
    for seed in 1..=options.seeds {
        let manifest = manifest(options, seed, &corpus, root)?;
        let pair = pair(options, &manifest, &corpus, tell)?;
        tell(Progress::Compared(pair));
    }
    Ok(())
}

fn manifest(
    options: &Options,
    seed: u64,
    corpus: &Corpus,
    root: ids::ObjectRef,
) -> Result<RunManifest, BenchError> {
    let shape = model::bench::decoder(&options.size)
        .ok_or_else(|| BenchError::NoSize(options.size.clone()))?;
    let mut config = options.config.clone();
    config.seed = seed;
    config.model.dim = shape.dim;
    config.model.layers = shape.layers.len();
    (config.model.heads, config.model.kv_heads) = (shape.heads, shape.kv_heads);
    config.model.ffn = shape.ffn;
    config.rounds.rounds = 1;
    let vocab = corpus.manifest.vocab as usize;
    Ok(config.manifest(PeerId([1; 32]), &Founding::default(), root, vocab)?)
}

/// One run in one arithmetic.
struct Run {
    contributor: Contributor,
    state: InnerState,
    curve: Vec<Point>,
}

fn pair(
    options: &Options,
    manifest: &RunManifest,
    corpus: &Arc<Corpus>,
    tell: &mut dyn FnMut(Progress),
) -> Result<Pair, BenchError> {
    let step_tokens = manifest.step_tokens();
    let steps = (options.tokens / step_tokens).max(u64::from(POINTS));
    let steps = u32::try_from(steps).map_err(|_| BenchError::Steps(steps))?;
    let worker = Hash::of(&manifest.seed.to_le_bytes());
    let task = Task { beacon: Hash::of(b"arithmetic"), worker, round: 0, steps };
    let begin = |arithmetic| -> Result<Run, BenchError> {
        let manifest = Arc::new(RunManifest { arithmetic, ..manifest.clone() });
        let params = model::init(&manifest.model, manifest.seed)?;
        let contributor = Contributor::new(options.kernel.clone(), manifest, corpus.clone())?;
        let state = contributor.start(&params, None);
        Ok(Run { contributor, state, curve: Vec::new() })
    };
    let mut runs = [begin(Arithmetic::Strict1)?, begin(Arithmetic::StrictI8)?];
    let mut held_out = HeldOut::new(corpus, &manifest.model, manifest.inner.seq, 1 << 16);
    let (seed, parameters) = (manifest.seed, manifest.parameters());
    tell(Progress::Begun { seed, parameters, steps, step_tokens });
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
        let [strict_1, strict_i8] = runs.each_ref().map(|run| run.curve[run.curve.len() - 1]);
        tell(Progress::Measured { strict_1, strict_i8 });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_curve_is_at_a_time_lies_between_its_points() {
        let point = |seconds, bits_per_byte| Point { tokens: 0, seconds, bits_per_byte };
        let curve = [point(1.0, 4.0), point(3.0, 2.0)];
        let at = |seconds| after(&curve, seconds);
        assert_eq!([at(0.5), at(1.0), at(1.5), at(3.0)], [4.0, 4.0, 3.5, 2.0]);
    }
}
