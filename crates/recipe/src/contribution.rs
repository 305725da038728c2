//! One worker's part of one round, as a pure function, and the check of any piece of it.
//!
//! A contribution starts from the round's root and the AdamW state in the worker's [`Carry`], takes
//! `steps` inner steps on batches drawn by the beacon and the worker's key, leaves the hash of its
//! whole training state every `leaf_every` steps, and ends by encoding the change of the
//! parameters. Whoever has the same root, corpus and carry gets the same bytes.

use crate::{
    carry::Carry,
    checkpoint::{from_bytes, to_bytes},
    corpus::Corpus,
    run::{RunManifest, ScheduleKind},
    update::{self, UpdateError},
};
use kernel::{AdamW, Kernel, random::Stream};
use model::{Decay, Optimizer, Schedule, Trainer};
use std::sync::Arc;
use store::Hash;

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

/// Everything that one inner step reads and writes: what a leaf is the hash of.
pub struct InnerState {
    params: Vec<f32>,
    optimizer: Optimizer,
}

/// Why there is no contribution.
#[derive(Debug, thiserror::Error)]
pub enum ContributionError {
    /// The loss or the gradient is no number; the run cannot go on from here.
    #[error("step {step}: {why}")]
    NonFinite { step: u32, why: String },
    /// A state or carry that is not of this model.
    #[error("{what} has {actual} bytes, {expected} expected")]
    Length { what: &'static str, actual: usize, expected: usize },
    /// The carry does not decode.
    #[error("carry: {0}")]
    Carry(#[from] UpdateError),
    /// The corpus has fewer tokens than one sequence.
    #[error("the corpus has {tokens} tokens, a sequence takes {needed}")]
    CorpusTooSmall { tokens: usize, needed: usize },
}

type Result<T> = std::result::Result<T, ContributionError>;

/// Buffers and settings for computing contributions of one run, one at a time.
pub struct Contributor {
    kernel: Kernel,
    run: Arc<RunManifest>,
    corpus: Arc<Corpus>,
    trainer: Trainer,
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
        let grads = vec![0.0; run.parameters()];
        Ok(Self { kernel, run, corpus, trainer, grads, batch: Vec::new() })
    }

    /// The state a contribution starts with: the root's parameters, and the moments of the
    /// worker's contribution before, if there was one.
    pub fn start(&self, params: &[f32], carry: Option<&[u8]>) -> Result<InnerState> {
        let mut optimizer = self.optimizer();
        if let Some(bytes) = carry {
            let Carry { m, v, steps, .. } = Carry::decode(&self.kernel, bytes, params.len())?;
            optimizer.set_moments(&m, &v, steps).expect("the lengths are the model's");
        }
        Ok(InnerState { params: params.to_vec(), optimizer })
    }

    /// Takes step `step` (from 0) of `task`; returns the mean loss in nats per token.
    pub fn step(&mut self, task: &Task, step: u32, state: &mut InnerState) -> Result<f32> {
        self.draw_batch(task, step);
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

    /// Encodes the change from `base` to `state`, with what the encoding before lost.
    ///
    /// Returns the update and the carry for the worker's next contribution, both as bytes.
    pub fn encode(
        &self,
        base: &[f32],
        state: &InnerState,
        carry: Option<&[u8]>,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut change = state.params.clone();
        self.kernel.add_scaled(&mut change, -1.0, base);
        if let Some(bytes) = carry {
            let before = Carry::decode(&self.kernel, bytes, base.len())?;
            self.kernel.add_scaled(&mut change, 1.0, &before.lost);
        }
        let update = update::encode(&self.kernel, &mut change);
        let (m, v) = state.optimizer.moments();
        let (m, v, steps) = (m.to_vec(), v.to_vec(), state.optimizer.steps());
        let carry = Carry { lost: change, m, v, steps };
        Ok((update, carry.encode(&self.kernel)))
    }

    /// The bytes of a leaf: parameters, first and second moments as little-endian f32, then the
    /// number of steps that went into the moments as little-endian u32.
    pub fn leaf(&self, state: &InnerState) -> Vec<u8> {
        let (m, v) = state.optimizer.moments();
        let mut bytes = to_bytes(&state.params);
        bytes.extend(to_bytes(m));
        bytes.extend(to_bytes(v));
        bytes.extend(state.optimizer.steps().to_le_bytes());
        bytes
    }

    /// The state in a leaf.
    pub fn from_leaf(&self, bytes: &[u8]) -> Result<InnerState> {
        let n = self.run.parameters();
        if bytes.len() != leaf_len(n) {
            let (actual, expected) = (bytes.len(), leaf_len(n));
            return Err(ContributionError::Length { what: "leaf", actual, expected });
        }
        let (values, steps) = bytes.split_at(12 * n);
        let values: Vec<f32> = from_bytes(values).collect();
        let steps = u32::from_le_bytes(steps.try_into().expect("four bytes are left"));
        let mut optimizer = self.optimizer();
        optimizer
            .set_moments(&values[n..2 * n], &values[2 * n..], steps)
            .expect("the lengths are the model's");
        Ok(InnerState { params: values[..n].to_vec(), optimizer })
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
        let key = Hash::of_parts("understory recipe 1 data", &[&task.beacon.0, &task.worker.0]);
        let seed = u64::from_le_bytes(key.0[..8].try_into().expect("8 of 32 bytes"));
        let stream = Stream::new(seed, "data", u64::from(step));
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

impl InnerState {
    /// The parameters now.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// The parameters now, to change: what an honest contribution never does between steps.
    pub fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }
}

/// Exact length in bytes of a leaf of a model of `parameters` values.
pub fn leaf_len(parameters: usize) -> usize {
    12 * parameters + 4
}
