//! Attention over its normalised input: projections, norms of heads, positions, weighted values.

use kernel::{Direction, Scoring};

use super::{Pass, slice};
use crate::decoder::Decoder;
use crate::layout::Block;

/// What the backward pass needs of the forward pass.
pub(super) struct AttentionActs {
    /// Rotated queries and keys, and values, `[M, Q + 2·KV]`.
    qkv: Vec<f32>,
    /// Where heads have norms: queries `[M, Q]` and keys `[M, KV]` before them, and `1 / rms` of
    /// each head.
    queries: HeadActs,
    keys: HeadActs,
    /// Weighted values, `[M, Q]`.
    pub out: Vec<f32>,
    /// Maximum and sum of each softmax row, `[M, heads, 2]`.
    stats: Vec<f32>,
}

#[derive(Default)]
struct HeadActs {
    x: Vec<f32>,
    rstd: Vec<f32>,
}

impl AttentionActs {
    pub fn new(d: &Decoder, count: usize) -> AttentionActs {
        let floats = |width: usize| vec![0.0; count * width];
        let heads = |heads: usize| match d.qk_norms {
            true => HeadActs { x: floats(heads * d.head_dim), rstd: floats(heads) },
            false => HeadActs::default(),
        };
        AttentionActs {
            qkv: floats(d.qkv_dim()),
            queries: heads(d.heads),
            keys: heads(d.kv_heads),
            out: floats(d.q_dim()),
            stats: floats(2 * d.heads),
        }
    }
}

/// `input` is `[M, C]`; the result is `acts.out`, `[M, Q]`.
pub(super) fn forward(
    pass: &Pass<'_>,
    layer: usize,
    block: &Block,
    input: &[f32],
    acts: &mut AttentionActs,
) {
    let (kernel, d, m) = (pass.kernel, pass.decoder, pass.count);
    let qkv = &mut acts.qkv[..m * d.qkv_dim()];
    block.qkv.forward(pass, qkv, input);
    if let Some([query, key]) = &block.head_norms {
        let (query, key) = (&pass.params[query.clone()], &pass.params[key.clone()]);
        norm_heads(pass, qkv, Heads::queries(d), query, &mut acts.queries);
        norm_heads(pass, qkv, Heads::keys(d), key, &mut acts.keys);
    }
    if let Some(angles) = pass.angles(layer) {
        kernel.rotate(qkv, d.heads + d.kv_heads, d.head_dim, angles, Direction::Forward);
    }
    let out = &mut acts.out[..m * d.q_dim()];
    let stats = &mut acts.stats[..m * 2 * d.heads];
    let (batch, scoring) = (m / pass.seq, pass.scoring(layer));
    kernel.attention(out, stats, qkv, batch, pass.seq, &d.head_shape(), &scoring);
}

/// Adds the gradients of the block's projections and head norms. `d_out` is `[M, Q]`; `d_input`
/// `[M, C]` is the gradient of `input`, added to what it holds if `accumulate`; `d_qkv` is room for
/// `[M, Q + 2·KV]`.
pub(super) fn backward(
    pass: &Pass<'_>,
    grads: &mut [f32],
    layer: usize,
    block: &Block,
    input: &[f32],
    acts: &AttentionActs,
    d_out: &[f32],
    d_input: &mut [f32],
    accumulate: bool,
    d_qkv: &mut [f32],
) {
    let (kernel, d, m) = (pass.kernel, pass.decoder, pass.count);
    let (qkv, out) = (&acts.qkv[..m * d.qkv_dim()], &acts.out[..m * d.q_dim()]);
    let stats = &acts.stats[..m * 2 * d.heads];
    let (batch, shape, scoring) = (m / pass.seq, d.head_shape(), pass.scoring(layer));
    kernel.attention_backward(d_qkv, d_out, out, stats, qkv, batch, pass.seq, &shape, &scoring);
    if let Some(angles) = pass.angles(layer) {
        kernel.rotate(d_qkv, d.heads + d.kv_heads, d.head_dim, angles, Direction::Backward);
    }
    if let Some([query, key]) = &block.head_norms {
        let weight = &pass.params[query.clone()];
        let dw = slice(grads, query);
        norm_heads_backward(pass, d_qkv, Heads::queries(d), weight, dw, &acts.queries);
        let (weight, dw) = (&pass.params[key.clone()], slice(grads, key));
        norm_heads_backward(pass, d_qkv, Heads::keys(d), weight, dw, &acts.keys);
    }
    block.qkv.backward_input(pass, d_input, d_qkv, accumulate);
    block.qkv.backward_weight(pass, grads, d_qkv, input);
}

/// Some heads of packed rows of queries, keys and values.
#[derive(Clone, Copy)]
struct Heads {
    /// First value in a row, and how many there are.
    start: usize,
    width: usize,
    row: usize,
}

impl Heads {
    fn queries(d: &Decoder) -> Heads {
        Heads { start: 0, width: d.q_dim(), row: d.qkv_dim() }
    }

    fn keys(d: &Decoder) -> Heads {
        Heads { start: d.q_dim(), width: d.kv_dim(), row: d.qkv_dim() }
    }

    fn take(self, qkv: &[f32], out: &mut [f32]) {
        for (row, out) in qkv.chunks_exact(self.row).zip(out.chunks_exact_mut(self.width)) {
            out.copy_from_slice(&row[self.start..self.start + self.width]);
        }
    }

    fn put(self, qkv: &mut [f32], heads: &[f32]) {
        for (row, heads) in qkv.chunks_exact_mut(self.row).zip(heads.chunks_exact(self.width)) {
            row[self.start..self.start + self.width].copy_from_slice(heads);
        }
    }
}

/// Normalises some heads of `qkv` in place, and keeps what they were.
fn norm_heads(pass: &Pass<'_>, qkv: &mut [f32], heads: Heads, weight: &[f32], acts: &mut HeadActs) {
    let count = pass.count * heads.width;
    let (x, rstd) = (&mut acts.x[..count], &mut acts.rstd[..count / weight.len()]);
    heads.take(qkv, x);
    let mut out = vec![0.0; count];
    pass.kernel.rms_norm(&mut out, rstd, x, weight, pass.decoder.norm_eps);
    heads.put(qkv, &out);
}

/// The gradient of [`norm_heads`], in place in `d_qkv`; adds to `dw`.
fn norm_heads_backward(
    pass: &Pass<'_>,
    d_qkv: &mut [f32],
    heads: Heads,
    weight: &[f32],
    dw: &mut [f32],
    acts: &HeadActs,
) {
    let count = pass.count * heads.width;
    let (x, rstd) = (&acts.x[..count], &acts.rstd[..count / weight.len()]);
    let (mut d_out, mut d_x) = (vec![0.0; count], vec![0.0; count]);
    heads.take(d_qkv, &mut d_out);
    pass.kernel.rms_norm_backward(&mut d_x, dw, &d_out, x, weight, rstd);
    heads.put(d_qkv, &d_x);
}

impl<'a> Pass<'a> {
    /// The angles of each token in a layer; `None` where it has no rotary positions.
    fn angles(&self, layer: usize) -> Option<&[&'a [f32]]> {
        self.decoder.layers[layer].rotary.map(|kind| self.angles[kind].as_slice())
    }

    /// How products of queries and keys become scores in a layer.
    fn scoring(&self, layer: usize) -> Scoring<'_> {
        self.decoder.scoring(layer, self.slopes)
    }
}
