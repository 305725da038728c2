//! Softmax and cross-entropy.

use crate::kernel::Kernel;
use crate::math::{exp_with, ln_with};
use crate::scratch::Shared;
use crate::simd::{LANES, Simd, each_isa, fold_sum, max_of};

impl Kernel {
    /// The loss of each row in nats, and its gradient times `scale` in place of the logits.
    ///
    /// Shapes: `losses`, `targets` `[T]`; `logits` `[T, vocab]`.
    /// Bits: m the maximum, e = exp(x − m), s the sum of e in 16 lanes: the loss is
    /// `ln s − (x[target] − m)`, the gradient `(e * (1/s)) * scale`, with 1 taken from the bracket
    /// at the target.
    /// Panics: also for a target outside the vocabulary.
    pub fn cross_entropy(
        &self,
        losses: &mut [f32],
        logits: &mut [f32],
        targets: &[u32],
        vocab: usize,
        scale: f32,
    ) {
        check(losses, logits, targets, vocab);
        let (losses, logits) = (Shared::new(losses), Shared::new(logits));
        self.split(targets.len(), 1, 4 * vocab, |rows| {
            // SAFETY: runs of rows do not overlap.
            let (losses, logits) = unsafe {
                (losses.part(rows.clone()), logits.part(rows.start * vocab..rows.end * vocab))
            };
            let rows = losses.iter_mut().zip(logits.chunks_exact_mut(vocab)).zip(&targets[rows]);
            for ((loss, logits), &target) in rows {
                *loss = loss_and_gradient(self.cpu, logits, target as usize, scale);
            }
        });
    }

    /// The losses of [`Kernel::cross_entropy`] alone, the same bits; the logits are left as they are.
    pub fn cross_entropy_forward(
        &self,
        losses: &mut [f32],
        logits: &[f32],
        targets: &[u32],
        vocab: usize,
    ) {
        check(losses, logits, targets, vocab);
        let losses = Shared::new(losses);
        self.split(targets.len(), 1, 4 * vocab, |rows| {
            // SAFETY: runs of rows do not overlap.
            let losses = unsafe { losses.part(rows.clone()) };
            for (loss, t) in losses.iter_mut().zip(rows) {
                let logits = &logits[t * vocab..(t + 1) * vocab];
                *loss = loss_only(self.cpu, logits, targets[t] as usize);
            }
        });
    }

    /// Softmax of each row of `cols`, in place.
    ///
    /// Bits: `exp(x − max) * (1 / sum)`, the sum in 16 lanes.
    pub fn softmax_rows(&self, x: &mut [f32], cols: usize) {
        assert!(x.len().is_multiple_of(cols.max(1)), "softmax_rows: x");
        let rows = x.len() / cols.max(1);
        let x = Shared::new(x);
        self.split(rows, 1, 4 * cols, |rows| {
            // SAFETY: runs of rows do not overlap.
            let x = unsafe { x.part(rows.start * cols..rows.end * cols) };
            for row in x.chunks_exact_mut(cols) {
                softmax(self.cpu, row);
            }
        });
    }
}

fn check(losses: &[f32], logits: &[f32], targets: &[u32], vocab: usize) {
    assert_eq!(losses.len(), targets.len(), "cross_entropy: losses");
    assert_eq!(logits.len(), targets.len() * vocab, "cross_entropy: logits");
    for &target in targets {
        assert!((target as usize) < vocab, "cross_entropy: target {target} of {vocab}");
    }
}

each_isa! {
    fn loss_and_gradient(logits: &mut [f32], target: usize, scale: f32) -> f32 = gradient_body;
    fn loss_only(logits: &[f32], target: usize) -> f32 = loss_body;
    fn softmax(row: &mut [f32]) = softmax_body;
}

#[inline(always)]
fn gradient_body<S: Simd>(logits: &mut [f32], target: usize, scale: f32) -> f32 {
    let max = max_of(logits);
    let chosen = logits[target] - max;
    let sum = exp_in_place::<S>(logits, max);
    let inverse = 1.0 / sum;
    let at_target = (logits[target] * inverse - 1.0) * scale;
    for x in logits.iter_mut() {
        *x = *x * inverse * scale;
    }
    logits[target] = at_target;
    ln_with::<S>(sum) - chosen
}

#[inline(always)]
fn loss_body<S: Simd>(logits: &[f32], target: usize) -> f32 {
    let max = max_of(logits);
    let mut lanes = [0f32; LANES];
    let (chunks, tail) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        let mut e = [0f32; LANES];
        for l in 0..LANES {
            e[l] = exp_with::<S>(chunk[l] - max);
        }
        for l in 0..LANES {
            lanes[l] += e[l];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        *lane += exp_with::<S>(x - max);
    }
    ln_with::<S>(fold_sum(lanes)) - (logits[target] - max)
}

#[inline(always)]
fn softmax_body<S: Simd>(row: &mut [f32]) {
    let max = max_of(row);
    let inverse = 1.0 / exp_in_place::<S>(row, max);
    for x in row {
        *x *= inverse;
    }
}

/// `x = exp(x − max)`; returns the sum in 16 lanes.
#[inline(always)]
fn exp_in_place<S: Simd>(x: &mut [f32], max: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, tail) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for x in chunk.iter_mut() {
            *x = exp_with::<S>(*x - max);
        }
        for l in 0..LANES {
            lanes[l] += chunk[l];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        *x = exp_with::<S>(*x - max);
        *lane += *x;
    }
    fold_sum(lanes)
}
