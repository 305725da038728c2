//! The feed-forward half of a block: `out = x + (silu(n·Wgᵀ) ∘ n·Wuᵀ) · Wdᵀ` with `n = norm(x)`.

use kernel::Kernel;

use super::{Scratch, slice};
use crate::Config;
use crate::layout::Block;

/// What the backward pass needs of the forward pass.
pub(super) struct FeedForwardActs {
    /// `1 / rms` of each row of `x`, `[M]`.
    rstd: Vec<f32>,
    /// Normalised input, `[M, C]`.
    norm: Vec<f32>,
    /// Gate and up projection, `[M, 2·F]`.
    gate_up: Vec<f32>,
    /// `silu(gate) · up`, `[M, F]`.
    act: Vec<f32>,
}

impl FeedForwardActs {
    pub fn new(config: &Config, count: usize) -> FeedForwardActs {
        let floats = |width: usize| vec![0.0; count * width];
        FeedForwardActs {
            rstd: floats(1),
            norm: floats(config.dim),
            gate_up: floats(2 * config.ffn),
            act: floats(config.ffn),
        }
    }
}

/// `x` and `out` are `[M, C]`.
pub(super) fn forward(
    kernel: &Kernel,
    params: &[f32],
    block: &Block,
    config: &Config,
    x: &[f32],
    acts: &mut FeedForwardActs,
    out: &mut [f32],
) {
    let (c, f) = (config.dim, config.ffn);
    let m = x.len() / c;
    let norm = &mut acts.norm[..m * c];
    let weight = &params[block.ffn_norm.clone()];
    kernel.rms_norm(norm, &mut acts.rstd[..m], x, weight, config.norm_eps);
    let gate_up = &mut acts.gate_up[..m * 2 * f];
    kernel.linear(gate_up, norm, &params[block.gate_up.clone()], m, 2 * f, c);
    let act = &mut acts.act[..m * f];
    kernel.swiglu(act, gate_up, f);
    out.copy_from_slice(x);
    kernel.linear_add(out, act, &params[block.down.clone()], m, c, f);
}

/// `d_x` is `[M, C]`: on entry the gradient of `out`, on return the gradient of `x`.
pub(super) fn backward(
    kernel: &Kernel,
    params: &[f32],
    grads: &mut [f32],
    block: &Block,
    config: &Config,
    x: &[f32],
    acts: &FeedForwardActs,
    d_x: &mut [f32],
    scratch: Scratch,
) {
    let (c, f) = (config.dim, config.ffn);
    let m = x.len() / c;
    let (norm, act) = (&acts.norm[..m * c], &acts.act[..m * f]);

    let d_act = &mut scratch.inner[..m * f];
    kernel.linear_backward_input(d_act, d_x, &params[block.down.clone()], m, c, f, false);
    kernel.linear_backward_weight(slice(grads, &block.down), d_x, act, m, c, f);
    let d_gate_up = &mut scratch.wide[..m * 2 * f];
    kernel.swiglu_backward(d_gate_up, d_act, &acts.gate_up[..m * 2 * f], f);
    let d_norm = scratch.norm;
    let weight = &params[block.gate_up.clone()];
    kernel.linear_backward_input(d_norm, d_gate_up, weight, m, 2 * f, c, false);
    kernel.linear_backward_weight(slice(grads, &block.gate_up), d_gate_up, norm, m, 2 * f, c);
    let d_weight = slice(grads, &block.ffn_norm);
    let weight = &params[block.ffn_norm.clone()];
    kernel.rms_norm_backward(d_x, d_weight, d_norm, x, weight, &acts.rstd[..m]);
}
