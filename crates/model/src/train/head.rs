//! The end of the model: last norm, output head, softmax cross-entropy. Works on a few rows of
//! logits at a time, so that `[M, V]` is never held.

use kernel::Kernel;

use super::{Trainer, slice};
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
        count: usize,
        scale: f32,
        sum: &mut f64,
    ) {
        self.head_norm(kernel, params, count);
        let (c, v) = (self.decoder.dim, self.decoder.vocab);
        let (final_norm, head_range) = (self.layout.final_norm(), self.layout.head());
        let b = &mut self.buffers;
        let h = &mut b.head;
        let weight = &params[head_range.clone()];
        for start in (0..count).step_by(rows(v)) {
            let end = (start + rows(v)).min(count);
            let m = end - start;
            let norm = &mut h.norm[start * c..end * c];
            let logits = &mut h.logits[..m * v];
            kernel.linear(logits, norm, weight, m, v, c);
            if let Some(cap) = self.decoder.final_cap {
                kernel.soft_cap(logits, cap);
                h.capped[..m * v].copy_from_slice(logits);
            }
            let (losses, targets) = (&mut h.losses[start..end], &b.targets[start..end]);
            kernel.cross_entropy(losses, logits, targets, v, scale);
            if let Some(cap) = self.decoder.final_cap {
                kernel.soft_cap_backward(logits, &h.capped[..m * v], cap);
            }
            kernel.linear_backward_weight(slice(grads, &head_range), logits, norm, m, v, c);
            let d_norm = &mut h.d_norm[..m * c];
            kernel.linear_backward_input(d_norm, logits, weight, m, v, c, false);
            norm.copy_from_slice(d_norm);
        }
        let x = &b.residual[b.last][..count * c];
        let d_x = &mut b.d_residual[..count * c];
        d_x.fill(0.0);
        let (d_norm, rstd) = (&h.norm[..count * c], &h.rstd[..count]);
        final_norm.backward(kernel, &self.decoder, params, grads, d_x, d_norm, x, rstd);
        add_in_order(sum, &h.losses[..count]);
    }

    /// Adds the losses of the `count` loaded tokens to `sum`.
    pub(super) fn head_loss(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        count: usize,
        sum: &mut f64,
    ) {
        self.head_norm(kernel, params, count);
        let (c, v) = (self.decoder.dim, self.decoder.vocab);
        let weight = &params[self.layout.head()];
        let (b, h) = (&self.buffers.targets, &mut self.buffers.head);
        for start in (0..count).step_by(rows(v)) {
            let end = (start + rows(v)).min(count);
            let logits = &mut h.logits[..(end - start) * v];
            kernel.linear(logits, &h.norm[start * c..end * c], weight, end - start, v, c);
            if let Some(cap) = self.decoder.final_cap {
                kernel.soft_cap(logits, cap);
            }
            kernel.cross_entropy_forward(&mut h.losses[start..end], logits, &b[start..end], v);
        }
        add_in_order(sum, &h.losses[..count]);
    }

    /// Logits of the `count` loaded tokens, `[count, V]`.
    pub(super) fn head_logits(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        count: usize,
        out: &mut [f32],
    ) {
        self.head_norm(kernel, params, count);
        let (c, v) = (self.decoder.dim, self.decoder.vocab);
        let norm = &self.buffers.head.norm[..count * c];
        kernel.linear(out, norm, &params[self.layout.head()], count, v, c);
        if let Some(cap) = self.decoder.final_cap {
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

/// Rows of logits held at a time: about [`LOGITS_FLOATS`], at least 16.
fn rows(vocab: usize) -> usize {
    (LOGITS_FLOATS / vocab).clamp(16, 512)
}

const LOGITS_FLOATS: usize = 1 << 20;
