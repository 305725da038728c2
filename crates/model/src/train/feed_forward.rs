//! The feed-forward layer over its normalised input: `act(n·Wgᵀ) ∘ n·Wuᵀ`, or `act(n·Wuᵀ)`.

use super::Pass;
use crate::decoder::Decoder;
use crate::layout::Block;

/// What the backward pass needs of the forward pass.
pub(super) struct FeedForwardActs {
    /// Gate and up projection, `[M, 2·F]`; without gate `[M, F]`.
    up: Vec<f32>,
    /// What the down projection reads, `[M, F]`.
    pub out: Vec<f32>,
}

impl FeedForwardActs {
    pub fn new(d: &Decoder, count: usize) -> FeedForwardActs {
        let floats = |width: usize| vec![0.0; count * width];
        FeedForwardActs { up: floats(up_dim(d)), out: floats(d.ffn) }
    }
}

/// Width of a row of what the activation reads.
pub(super) fn up_dim(d: &Decoder) -> usize {
    if d.gated { 2 * d.ffn } else { d.ffn }
}

/// `input` is `[M, C]`; the result is `acts.out`, `[M, F]`.
pub(super) fn forward(pass: &Pass<'_>, block: &Block, input: &[f32], acts: &mut FeedForwardActs) {
    let (kernel, d, m) = (pass.kernel, pass.decoder, pass.count);
    let (up, out) = (&mut acts.up[..m * up_dim(d)], &mut acts.out[..m * d.ffn]);
    block.up.forward(pass, up, input);
    if d.gated {
        kernel.gated(out, up, d.ffn, d.activation);
    } else {
        out.copy_from_slice(up);
        kernel.activate(out, None, d.activation);
    }
}

/// Adds the gradients of the block's first projections. `d_out` is `[M, F]`, and room to work in;
/// `d_input` `[M, C]` is overwritten with the gradient of `input`; `d_up` is room for `[M, 2·F]`.
pub(super) fn backward(
    pass: &Pass<'_>,
    grads: &mut [f32],
    block: &Block,
    input: &[f32],
    acts: &FeedForwardActs,
    d_out: &mut [f32],
    d_input: &mut [f32],
    d_up: &mut [f32],
) {
    let (kernel, d, m) = (pass.kernel, pass.decoder, pass.count);
    let up = &acts.up[..m * up_dim(d)];
    let d_up: &[f32] = if d.gated {
        kernel.gated_backward(d_up, d_out, up, d.ffn, d.activation);
        d_up
    } else {
        kernel.activate_backward(d_out, up, d.activation);
        d_out
    };
    block.up.backward_input(pass, d_input, d_up, false);
    block.up.backward_weight(pass, grads, d_up, input);
}
