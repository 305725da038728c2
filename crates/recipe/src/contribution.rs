//! One worker's part of one round, as a pure function, and the check of any piece of it.
//!
//! A contribution starts from the round's root and the AdamW state in the worker's [`Carry`], takes
//! `steps` inner steps on batches drawn by the beacon and the worker's key, writes the hash of its
//! whole training state after each into its *trail*, and ends by encoding the change of the
//! parameters. Whoever has the same root, corpus and carry gets the same bytes, and whoever has
//! the state before a step can check that step alone.

use crate::{
    bounds::{Bounds, OutOfBounds},
    carry::Carry,
    checkpoint::{from_bytes, to_bytes},
    corpus::Corpus,
    run::{RunManifest, ScheduleKind},
    update::{self, BLOCK, UpdateError},
};
use ids::Hash;
use kernel::{AdamW, Kernel, random::Stream};
use model::{Decay, Optimizer, Schedule, Trainer};
use std::sync::Arc;

/// What a contribution depends on beside the root and the carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Keys the data: the beacon the round started from.
    pub beacon: Hash,
    /// Keys the data: the worker's public key.
    pub worker: Hash,
    /// Round, from 0.
    pub round: u32,
    /// Inner steps in all.
    pub steps: u32,
}

/// Everything that one inner step reads and writes: what the trail has the hashes of.
pub struct InnerState {
    params: Vec<f32>,
    optimizer: Optimizer,
}

/// Why there is no contribution.
#[derive(Debug, thiserror::Error)]
pub enum ContributionError {
    /// The loss, the gradient or the change is no number; the run cannot go on from here.
    #[error("step {step}: {why}")]
    NonFinite {
        /// The inner step, from 0.
        step: u32,
        /// What is no number, in words.
        why: String,
    },
    /// A training state that is not of this model.
    #[error("a training state of {actual} bytes, {expected} expected")]
    Length {
        /// Its length in bytes.
        actual: usize,
        /// Length of the model's training states in bytes.
        expected: usize,
    },
    /// A training state that no step leaves.
    #[error("a training state with {0}")]
    State(&'static str),
    /// The carry does not decode.
    #[error("carry: {0}")]
    Carry(#[from] UpdateError),
    /// The carry decodes to what no training leaves.
    #[error("carry: {0}")]
    CarryContent(#[from] OutOfBounds),
    /// The corpus has fewer tokens than one sequence.
    #[error("the corpus has {tokens} tokens, a sequence takes {needed}")]
    CorpusTooSmall {
        /// Tokens of the training part.
        tokens: usize,
        /// Tokens of one sequence and the target after it.
        needed: usize,
    },
}

type Result<T> = std::result::Result<T, ContributionError>;

/// Buffers and settings for computing contributions of one run, one at a time.
pub struct Contributor {
    kernel: Kernel,
    run: Arc<RunManifest>,
    corpus: Arc<Corpus>,
    trainer: Trainer,
    bounds: Bounds,
    grads: Vec<f32>,
    batch: Vec<u32>,
}

impl Contributor {
    /// Ready to work for `run` on `corpus`.
    pub fn new(kernel: Kernel, run: Arc<RunManifest>, corpus: Arc<Corpus>) -> Result<Self> {
        let (tokens, needed) = (corpus.tokens.len(), run.inner.seq + 1);
        if tokens < needed {
            return Err(ContributionError::CorpusTooSmall { tokens, needed });
        }
        let trainer = Trainer::new(&run.model).expect("a parsed run has a valid model");
        let trainer = trainer.with_arithmetic(run.arithmetic);
        let grads = vec![0.0; run.parameters()];
        let bounds = Bounds::new(&run.inner);
        Ok(Self { kernel, run, corpus, trainer, bounds, grads, batch: Vec::new() })
    }

    /// Reads a carry that took at most `most` steps.
    ///
    /// Errors: a carry that does not decode, or to what no training leaves.
    pub fn read_carry(&self, bytes: &[u8], most: u64) -> Result<Carry> {
        let carry = Carry::decode(&self.kernel, bytes, self.run.parameters())?;
        self.bounds.check(&carry, most)?;
        Ok(carry)
    }

    /// The state a contribution starts with: the root's parameters, and the moments of the
    /// worker's contribution before, if there was one.
    pub fn start(&self, params: &[f32], carry: Option<&Carry>) -> InnerState {
        let mut optimizer = self.optimizer();
        if let Some(carry) = carry {
            let moments = optimizer.set_moments(carry.m.clone(), carry.second(), carry.steps);
            moments.expect("the lengths are the model's");
        }
        InnerState { params: params.to_vec(), optimizer }
    }

    /// Takes step `step` (from 0) of `task`; returns the mean loss in nats per token.
    pub fn step(&mut self, task: &Task, step: u32, state: &mut InnerState) -> Result<f32> {
        self.draw_batch(task, step);
        self.trainer.set_noise(Stream::new(seed(task), "noise", u64::from(step)).u64_at(0));
        let (batch, seq) = (self.run.inner.batch, self.run.inner.seq);
        let nonfinite = |why: String| ContributionError::NonFinite { step, why };
        let sum = self
            .trainer
            .loss_and_gradient(
                &self.kernel,
                &state.params,
                &self.batch,
                batch,
                seq,
                &mut self.grads,
            )
            .map_err(|e| nonfinite(e.to_string()))?;
        let lr = self.learning_rate(task, step);
        state
            .optimizer
            .step(&self.kernel, &mut state.params, &self.grads, lr)
            .map_err(|e| nonfinite(e.to_string()))?;
        Ok((sum / (batch * seq) as f64) as f32)
    }

    /// The gradient of the step that was taken last, before it was clipped: what is neither stored
    /// nor shown by anybody.
    pub fn gradient(&self) -> &[f32] {
        &self.grads
    }

    /// What a contribution encodes: the change from `base` to `state` and what the encoding before
    /// lost, of that at most half a step of the code that this change alone would have. So the
    /// content of a carry, whatever it is, moves no value further than rounding does.
    ///
    /// Errors: [`ContributionError::NonFinite`] if a value of the state is no number.
    pub fn change(
        &self,
        base: &[f32],
        state: &InnerState,
        carry: Option<&Carry>,
    ) -> Result<Vec<f32>> {
        let mut change = state.params.clone();
        self.kernel.add_scaled(&mut change, -1.0, base);
        if let Some(carry) = carry {
            give_back(&mut change, &carry.lost);
        }
        let (m, v) = state.optimizer.moments();
        if [&change, m, v].iter().all(|values| self.kernel.all_finite(values)) {
            return Ok(change);
        }
        let step = state.optimizer.steps();
        Err(ContributionError::NonFinite { step, why: "the change is not finite".to_owned() })
    }

    /// Encodes what [`Contributor::change`] gave for `state`.
    ///
    /// Returns the update and the carry for the worker's next contribution, both as bytes.
    pub fn encode(&self, mut change: Vec<f32>, state: &InnerState) -> (Vec<u8>, Vec<u8>) {
        let update = update::encode(&self.kernel, &mut change);
        let (m, v) = state.optimizer.moments();
        (update, Carry::encode(&self.kernel, change, m, v, state.optimizer.steps()))
    }

    /// The bytes of a training state: parameters, first and second moments as little-endian f32,
    /// then the number of steps that went into the moments as little-endian u32.
    pub fn state_bytes(&self, state: &InnerState) -> Vec<u8> {
        let (m, v) = state.optimizer.moments();
        let mut bytes = to_bytes(&state.params);
        bytes.extend(to_bytes(m));
        bytes.extend(to_bytes(v));
        bytes.extend(state.optimizer.steps().to_le_bytes());
        bytes
    }

    /// The hash of [`Contributor::state_bytes`], without making them.
    pub fn state_hash(&self, state: &InnerState) -> Hash {
        let (m, v) = state.optimizer.moments();
        let steps = [f32::from_bits(state.optimizer.steps())];
        hash_values(&self.kernel, &[&state.params, m, v, &steps])
    }

    /// The training state in `bytes`.
    ///
    /// Errors: another length; a value that is no number, a negative second moment.
    pub fn read_state(&self, bytes: &[u8]) -> Result<InnerState> {
        let n = self.run.parameters();
        if bytes.len() != state_len(n) {
            let (actual, expected) = (bytes.len(), state_len(n));
            return Err(ContributionError::Length { actual, expected });
        }
        let (values, steps) = bytes.split_at(12 * n);
        let part = |at: usize| -> Vec<f32> { from_bytes(&values[4 * n * at..][..4 * n]).collect() };
        let (params, m, v) = (part(0), part(1), part(2));
        if ![&params, &m, &v].iter().all(|part| self.kernel.all_finite(part)) {
            return Err(ContributionError::State("a value that is not finite"));
        }
        if v.iter().any(|v| *v < 0.0) {
            return Err(ContributionError::State("a negative second moment"));
        }
        let steps = u32::from_le_bytes(steps.try_into().expect("four bytes are left"));
        let mut optimizer = self.optimizer();
        optimizer.set_moments(m, v, steps).expect("the lengths are the model's");
        Ok(InnerState { params, optimizer })
    }

    fn optimizer(&self) -> Optimizer {
        let inner = &self.run.inner;
        let hyper = AdamW {
            lr: inner.lr,
            beta1: inner.beta1,
            beta2: inner.beta2,
            eps: inner.eps,
            weight_decay: inner.weight_decay,
        };
        Optimizer::new(&self.run.model, hyper, Some(inner.clip))
            .expect("a parsed run has a valid model")
    }

    /// The rate at this step: the schedule runs over the whole run as if every round had this
    /// contribution's number of steps, so that fast and slow workers agree on it.
    fn learning_rate(&self, task: &Task, step: u32) -> f32 {
        let inner = &self.run.inner;
        let total = self.run.rounds.rounds.saturating_mul(task.steps).max(1);
        let decay = match inner.schedule {
            ScheduleKind::Cosine => Decay::Cosine { floor: 0.1 },
            ScheduleKind::Wsd => Decay::Wsd { steps: total / 5, floor: 0.0 },
            ScheduleKind::Constant => Decay::Constant,
        };
        let warmup = (inner.warmup * total as f32) as u32;
        let schedule = Schedule { peak: inner.lr, warmup, total, decay };
        schedule.lr(task.round.saturating_mul(task.steps).saturating_add(step + 1))
    }

    /// Windows of the token stream, each anywhere with equal chance, by PRF(beacon, worker, step).
    fn draw_batch(&mut self, task: &Task, step: u32) {
        let stream = Stream::new(seed(task), "data", u64::from(step));
        let row = self.run.inner.seq + 1;
        let starts = (self.corpus.tokens.len() - row + 1) as u64;
        self.batch.clear();
        for sample in 0..self.run.inner.batch as u64 {
            let start = stream.below(sample, starts) as usize;
            let window = &self.corpus.tokens[start..start + row];
            self.batch.extend(window.iter().map(|t| u32::from(*t)));
        }
    }
}

/// What a contribution's random numbers are keyed by: its data, and how gradients are rounded.
fn seed(task: &Task) -> u64 {
    let key = Hash::of_parts("understory recipe 1 data", &[&task.beacon.0, &task.worker.0]);
    u64::from_le_bytes(key.0[..8].try_into().expect("8 of 32 bytes"))
}

impl InnerState {
    /// The parameters now.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// Steps that went into the moments.
    pub fn steps(&self) -> u32 {
        self.optimizer.steps()
    }

    /// The parameters now, to change: what an honest contribution never does between steps.
    pub fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }
}

/// Exact length in bytes of a training state of a model of `parameters` values.
pub fn state_len(parameters: usize) -> usize {
    12 * parameters + 4
}

/// What an auditor shows of a re-run: `H(auditor ‖ hash of the gradient of each re-run step, in
/// order ‖ hash of the change that was encoded)`. All of these exist only in who re-runs, and the
/// hash is another one for each auditor.
pub struct Digest<'a> {
    kernel: &'a Kernel,
    seen: Vec<u8>,
}

impl<'a> Digest<'a> {
    /// Nothing re-run yet.
    pub fn new(kernel: &'a Kernel) -> Self {
        Self { kernel, seen: Vec::new() }
    }

    /// Takes in the gradient of a step, or the change.
    pub fn add(&mut self, values: &[f32]) {
        self.seen.extend(hash_values(self.kernel, &[values]).0);
    }

    /// The digest of the auditor with this key.
    pub fn of(&self, auditor: &Hash) -> Hash {
        Hash::of_parts("understory recipe 2 digest", &[&auditor.0, &self.seen])
    }
}

/// The hash of the little-endian bytes of `parts`, one after the other.
fn hash_values(kernel: &Kernel, parts: &[&[f32]]) -> Hash {
    let len: usize = parts.iter().map(|part| 4 * part.len()).sum();
    let read = |at: usize, out: &mut [u8]| {
        let (mut skip, mut out) = (at / 4, out.chunks_exact_mut(4));
        for part in parts {
            let from = skip.min(part.len());
            skip -= from;
            // The output comes second: zip takes nothing from it once the part has ended.
            for (value, bytes) in part[from..].iter().zip(out.by_ref()) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
        }
    };
    Hash::of_pieces(len, read, |tasks, task| kernel.parallel(tasks, task))
}

/// Adds `lost` to `change`, of each value at most half a step of its block's code.
fn give_back(change: &mut [f32], lost: &[f32]) {
    for (change, lost) in change.chunks_mut(BLOCK).zip(lost.chunks(BLOCK)) {
        let largest = change.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let half = largest / 254.0;
        for (change, lost) in change.iter_mut().zip(lost) {
            *change += lost.clamp(-half, half);
        }
    }
}

#[cfg(test)]
mod tests;
