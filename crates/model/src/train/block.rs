//! A block: attention and feed-forward layer around the residual stream.

use super::attention::{self, AttentionActs};
use super::branch::{self, BranchActs};
use super::feed_forward::{self, FeedForwardActs};
use super::{Pass, Scratch};
use crate::decoder::{self, Decoder};
use crate::layout::Block;

/// What the backward pass needs of the forward pass.
pub(super) struct BlockActs {
    /// The input of attention, `[M, C]`, and `1 / rms` of each row, `[M]`.
    attention_input: Vec<f32>,
    attention_rstd: Vec<f32>,
    attention: AttentionActs,
    after_attention: BranchActs,
    /// Residual stream after attention, `[M, C]`.
    middle: Vec<f32>,
    /// The input of the feed-forward layer, where it has a norm of its own.
    ffn_input: Vec<f32>,
    ffn_rstd: Vec<f32>,
    feed_forward: FeedForwardActs,
    after_ffn: BranchActs,
}

impl BlockActs {
    pub fn new(d: &Decoder, count: usize) -> BlockActs {
        let floats = |width: usize| vec![0.0; count * width];
        let own = usize::from(d.block != decoder::Block::Parallel);
        BlockActs {
            attention_input: floats(d.dim),
            attention_rstd: floats(1),
            attention: AttentionActs::new(d, count),
            after_attention: BranchActs::new(d, count),
            middle: floats(d.dim),
            ffn_input: floats(own * d.dim),
            ffn_rstd: floats(own),
            feed_forward: FeedForwardActs::new(d, count),
            after_ffn: BranchActs::new(d, count),
        }
    }
}

/// `x` is the residual stream before the block, `out` after it, both `[M, C]`.
pub(super) fn forward(
    pass: &Pass<'_>,
    layer: usize,
    block: &Block,
    x: &[f32],
    acts: &mut BlockActs,
    out: &mut [f32],
) {
    let (kernel, d, params) = (pass.kernel, pass.decoder, pass.params);
    let (m, size) = (pass.count, pass.count * d.dim);
    let (middle, input) = (&mut acts.middle[..size], &mut acts.attention_input[..size]);
    block.attention_norm.forward(kernel, d, params, input, &mut acts.attention_rstd[..m], x);
    attention::forward(pass, layer, block, input, &mut acts.attention);
    middle.copy_from_slice(x);
    let inner = &acts.attention.out[..m * d.q_dim()];
    let after = &block.after_attention;
    branch::forward(pass, &block.output, after, middle, inner, &mut acts.after_attention);
    let input: &[f32] = match &block.ffn_norm {
        None => input,
        Some(norm) => {
            let from = if d.block == decoder::Block::Sequential { &*middle } else { x };
            let input = &mut acts.ffn_input[..size];
            norm.forward(kernel, d, params, input, &mut acts.ffn_rstd[..m], from);
            input
        }
    };
    feed_forward::forward(pass, block, input, &mut acts.feed_forward);
    out.copy_from_slice(middle);
    let inner = &acts.feed_forward.out[..m * d.ffn];
    branch::forward(pass, &block.down, &block.after_ffn, out, inner, &mut acts.after_ffn);
}

/// `d_x` is `[M, C]`: on entry the gradient after the block, on return before it.
pub(super) fn backward(
    pass: &Pass<'_>,
    grads: &mut [f32],
    layer: usize,
    block: &Block,
    x: &[f32],
    acts: &BlockActs,
    d_x: &mut [f32],
    scratch: &mut Scratch,
) {
    let (kernel, d, params) = (pass.kernel, pass.decoder, pass.params);
    let (m, size) = (pass.count, pass.count * d.dim);
    let (middle, input) = (&acts.middle[..size], &acts.attention_input[..size]);
    let rstd = &acts.attention_rstd[..m];
    let (d_input, d_inner) = (&mut scratch.norm[..size], &mut scratch.inner[..m * d.ffn]);

    let inner = &acts.feed_forward.out[..m * d.ffn];
    let after = &block.after_ffn;
    branch::backward(pass, grads, &block.down, after, inner, &acts.after_ffn, d_x, d_inner);
    let ffn_input = if block.ffn_norm.is_some() { &acts.ffn_input[..size] } else { input };
    let d_up = &mut scratch.wide[..m * feed_forward::up_dim(d)];
    let ffn = &acts.feed_forward;
    feed_forward::backward(pass, grads, block, ffn_input, ffn, d_inner, d_input, d_up);
    // Attention beside the feed-forward layer has the same `d_x`, so that this must wait.
    let mut waiting = None;
    match (&block.ffn_norm, d.block) {
        (Some(norm), decoder::Block::Sequential) => {
            let rstd = &acts.ffn_rstd[..m];
            norm.backward(kernel, d, params, grads, d_x, d_input, middle, rstd);
        }
        (Some(norm), _) => waiting = Some((norm, d_input.to_vec())),
        (None, _) => {}
    }

    let d_inner = &mut scratch.inner[..m * d.q_dim()];
    let inner = &acts.attention.out[..m * d.q_dim()];
    let after = &block.after_attention;
    branch::backward(pass, grads, &block.output, after, inner, &acts.after_attention, d_x, d_inner);
    let d_qkv = &mut scratch.wide[..m * d.qkv_dim()];
    let shared = block.ffn_norm.is_none();
    let (attention, d_out) = (&acts.attention, &*d_inner);
    attention::backward(pass, grads, layer, block, input, attention, d_out, d_input, shared, d_qkv);
    if let Some((norm, d_input)) = waiting {
        norm.backward(kernel, d, params, grads, d_x, &d_input, x, &acts.ffn_rstd[..m]);
    }
    block.attention_norm.backward(kernel, d, params, grads, d_x, d_input, x, rstd);
}
