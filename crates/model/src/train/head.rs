//! The end of the model: last norm, output head, softmax cross-entropy. Works on a few rows of
//! logits at a time, so that `[M, V]` is never held.

use std::ops::Range;

use kernel::Kernel;

use super::{Loaded, Pass, Trainer};
use crate::Decoder;

/// Buffers of the head.
#[derive(Default)]
pub(super) struct HeadBuffers {
    /// `1 / rms` of each row, `[M]`.
    rstd: Vec<f32>,
    /// Normalised residual stream, `[M, C]`; in the backward pass overwritten by its gradient.
    norm: Vec<f32>,
    /// Loss of each token, `[M]`.
    losses: Vec<f32>,
    /// A few rows of logits, `[R, V]`; where they are capped, twice.
    logits: Vec<f32>,
    capped: Vec<f32>,
    /// Gradient of the same rows of `norm`, `[R, C]`.
    d_norm: Vec<f32>,
}

impl HeadBuffers {
    pub fn plan(&mut self, d: &Decoder, count: usize) {
        if self.rstd.len() < count {
            let rows = rows(d.vocab).min(count);
            self.rstd = vec![0.0; count];
            self.norm = vec![0.0; count * d.dim];
            self.losses = vec![0.0; count];
            self.logits = vec![0.0; rows * d.vocab];
            self.capped = vec![0.0; if d.final_cap.is_some() { rows * d.vocab } else { 0 }];
            self.d_norm = vec![0.0; rows * d.dim];
        }
    }
}

impl Trainer {
    /// Adds the losses of the `count` loaded tokens to `sum`, the head's and the last norm's
    /// gradients to `grads` and leaves the gradient of the residual stream in `d_residual`.
    pub(super) fn head_backward(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        grads: &mut [f32],
        batch: Loaded,
        scale: f32,
        sum: &mut f64,
    ) {
        let count = batch.count;
        self.head_norm(kernel, params, count);
        let Trainer { decoder, layout, rotaries, slopes, integers, buffers: b, .. } = self;
        let (c, v) = (decoder.dim, decoder.vocab);
        let (final_norm, head) = (layout.final_norm(), layout.head_linear());
        let h = &mut b.head;
        let mut pass = Pass::new(kernel, decoder, params, rotaries, slopes, integers, batch);
        for some in runs(count, pass.unit, rows(v)) {
            let (start, end, m) = (some.start, some.end, some.len());
            // A run is a unit of its own.
            (pass.first, pass.unit) = (batch.first + start, m);
            let norm = &mut h.norm[start * c..end * c];
            let logits = &mut h.logits[..m * v];
            head.forward(&pass, logits, norm);
            if let Some(cap) = decoder.final_cap {
                kernel.soft_cap(logits, cap);
                h.capped[..m * v].copy_from_slice(logits);
            }
            let (losses, targets) = (&mut h.losses[start..end], &b.targets[start..end]);
            kernel.cross_entropy(losses, logits, targets, v, scale);
            if let Some(cap) = decoder.final_cap {
                kernel.soft_cap_backward(logits, &h.capped[..m * v], cap);
            }
            head.backward_weight(&pass, grads, logits, norm);
            let d_norm = &mut h.d_norm[..m * c];
            head.backward_input(&pass, d_norm, logits, false);
            norm.copy_from_slice(d_norm);
        }
        let x = &b.residual[b.last][..count * c];
        let d_x = &mut b.d_residual[..count * c];
        d_x.fill(0.0);
        let (d_norm, rstd) = (&h.norm[..count * c], &h.rstd[..count]);
        final_norm.backward(kernel, decoder, params, grads, d_x, d_norm, x, rstd);
        add_in_order(sum, &h.losses[..count]);
    }

    /// Adds the losses of the `count` loaded tokens to `sum`.
    pub(super) fn head_loss(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        batch: Loaded,
        sum: &mut f64,
    ) {
        self.head_norm(kernel, params, batch.count);
        let Trainer { decoder, layout, rotaries, slopes, integers, buffers, .. } = self;
        let (c, v, head) = (decoder.dim, decoder.vocab, layout.head_linear());
        let (b, h) = (&buffers.targets, &mut buffers.head);
        let pass = Pass::new(kernel, decoder, params, rotaries, slopes, integers, batch);
        for some in runs(batch.count, pass.unit, rows(v)) {
            let logits = &mut h.logits[..some.len() * v];
            head.forward(&pass, logits, &h.norm[some.start * c..some.end * c]);
            if let Some(cap) = decoder.final_cap {
                kernel.soft_cap(logits, cap);
            }
            kernel.cross_entropy_forward(&mut h.losses[some.clone()], logits, &b[some], v);
        }
        add_in_order(sum, &h.losses[..batch.count]);
    }

    /// Logits of the `count` loaded tokens, `[count, V]`.
    pub(super) fn head_logits(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        batch: Loaded,
        out: &mut [f32],
    ) {
        self.head_norm(kernel, params, batch.count);
        let Trainer { decoder, layout, rotaries, slopes, integers, buffers, .. } = self;
        let norm = &buffers.head.norm[..batch.count * decoder.dim];
        let pass = Pass::new(kernel, decoder, params, rotaries, slopes, integers, batch);
        layout.head_linear().forward(&pass, out, norm);
        if let Some(cap) = decoder.final_cap {
            kernel.soft_cap(out, cap);
        }
    }

    /// The last norm over the residual stream after the last block.
    fn head_norm(&mut self, kernel: &Kernel, params: &[f32], count: usize) {
        let Trainer { decoder, layout, buffers: b, .. } = self;
        let size = count * decoder.dim;
        let x = &b.residual[b.last][..size];
        let (norm, rstd) = (&mut b.head.norm[..size], &mut b.head.rstd[..count]);
        layout.final_norm().forward(kernel, decoder, params, norm, rstd, x);
    }
}

/// One chain over all tokens of the batch, so that any split of it gives the same sum.
fn add_in_order(sum: &mut f64, losses: &[f32]) {
    for &loss in losses {
        *sum += f64::from(loss);
    }
}

/// Runs of at most `rows` of `count` tokens, none across the end of a unit: so they are the same
/// however the step is split into micro-batches.
fn runs(count: usize, unit: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(unit).flat_map(move |first| {
        let end = count.min(first + unit);
        (first..end).step_by(rows).map(move |start| start..end.min(start + rows))
    })
}

/// Rows of logits held at a time: about [`LOGITS_FLOATS`], at least 16.
fn rows(vocab: usize) -> usize {
    (LOGITS_FLOATS / vocab).clamp(16, 512)
}

const LOGITS_FLOATS: usize = 1 << 19;
