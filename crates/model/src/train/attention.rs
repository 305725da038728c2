//! The attention half of a block: `out = x + attention(norm(x)) · Woᵀ`.

use kernel::{HeadShape, Kernel, RopeTable};

use super::{Scratch, slice};
use crate::Config;
use crate::layout::Block;

/// What attention needs to know beside weights and activations.
pub(super) struct Setting<'a> {
    pub config: &'a Config,
    pub shape: &'a HeadShape,
    pub rope: &'a RopeTable,
    /// Position of each of the `M` tokens in its sequence.
    pub positions: &'a [u32],
    /// Tokens of each sequence.
    pub seq: usize,
}

/// What the backward pass needs of the forward pass.
pub(super) struct AttentionActs {
    /// `1 / rms` of each row of `x`, `[M]`.
    rstd: Vec<f32>,
    /// Normalised input, `[M, C]`.
    norm: Vec<f32>,
    /// Rotated queries and keys, and values, `[M, Q + 2·KV]`.
    qkv: Vec<f32>,
    /// Weighted values, `[M, Q]`.
    mixed: Vec<f32>,
    /// Maximum and sum of each softmax row, `[M, heads, 2]`.
    stats: Vec<f32>,
    /// Residual stream after this half, `[M, C]`.
    pub out: Vec<f32>,
}

impl AttentionActs {
    pub fn new(config: &Config, count: usize) -> AttentionActs {
        let floats = |width: usize| vec![0.0; count * width];
        AttentionActs {
            rstd: floats(1),
            norm: floats(config.dim),
            qkv: floats(config.qkv_dim()),
            mixed: floats(config.q_dim()),
            stats: floats(2 * config.heads),
            out: floats(config.dim),
        }
    }
}

/// `x` is `[M, C]`; the result is `acts.out`, `[M, C]`.
pub(super) fn forward(
    kernel: &Kernel,
    params: &[f32],
    block: &Block,
    s: &Setting,
    x: &[f32],
    acts: &mut AttentionActs,
) {
    let m = s.positions.len();
    let (c, q, wide) = (s.config.dim, s.config.q_dim(), s.config.qkv_dim());
    let norm = &mut acts.norm[..m * c];
    let weight = &params[block.attn_norm.clone()];
    kernel.rms_norm(norm, &mut acts.rstd[..m], x, weight, s.config.norm_eps);
    let qkv = &mut acts.qkv[..m * wide];
    kernel.linear(qkv, norm, &params[block.qkv.clone()], m, wide, c);
    kernel.rope(qkv, s.positions, s.rope, s.shape);
    let mixed = &mut acts.mixed[..m * q];
    let stats = &mut acts.stats[..m * 2 * s.config.heads];
    kernel.attention(mixed, stats, qkv, m / s.seq, s.seq, s.shape);
    let out = &mut acts.out[..m * c];
    out.copy_from_slice(x);
    kernel.linear_add(out, mixed, &params[block.o.clone()], m, c, q);
}

/// `d_x` is `[M, C]`: on entry the gradient of `out`, on return the gradient of `x`.
pub(super) fn backward(
    kernel: &Kernel,
    params: &[f32],
    grads: &mut [f32],
    block: &Block,
    s: &Setting,
    x: &[f32],
    acts: &AttentionActs,
    d_x: &mut [f32],
    scratch: Scratch,
) {
    let m = s.positions.len();
    let (c, q, wide) = (s.config.dim, s.config.q_dim(), s.config.qkv_dim());
    let norm = &acts.norm[..m * c];
    let (qkv, mixed) = (&acts.qkv[..m * wide], &acts.mixed[..m * q]);
    let stats = &acts.stats[..m * 2 * s.config.heads];

    let d_mixed = &mut scratch.inner[..m * q];
    kernel.linear_backward_input(d_mixed, d_x, &params[block.o.clone()], m, c, q, false);
    kernel.linear_backward_weight(slice(grads, &block.o), d_x, mixed, m, c, q);
    let d_qkv = &mut scratch.wide[..m * wide];
    kernel.attention_backward(d_qkv, d_mixed, mixed, stats, qkv, m / s.seq, s.seq, s.shape);
    kernel.rope_backward(d_qkv, s.positions, s.rope, s.shape);
    let d_norm = scratch.norm;
    kernel.linear_backward_input(d_norm, d_qkv, &params[block.qkv.clone()], m, wide, c, false);
    kernel.linear_backward_weight(slice(grads, &block.qkv), d_qkv, norm, m, wide, c);
    let d_weight = slice(grads, &block.attn_norm);
    let weight = &params[block.attn_norm.clone()];
    kernel.rms_norm_backward(d_x, d_weight, d_norm, x, weight, &acts.rstd[..m]);
}
