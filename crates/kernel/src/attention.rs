//! Causal attention with grouped heads.
//!
//! One task is one (sequence, key-value head). Keys and values are packed once for the group; then
//! runs of queries go through the same tiles as matrix products. A masked entry of a tile is an
//! exact zero: in a chain it can only turn −0 into +0, and every result gets `+ 0.0` at its end,
//! so the bits do not depend on how queries are grouped.

mod backward;
mod cache;
mod score;

pub use cache::{KvCache, Query};
pub use score::Scoring;

use std::ops::Range;

use crate::gemm::{Lines, Panels, View, multiply, pack};
use crate::kernel::Kernel;
use crate::scratch::{Scratch, Shared};
use crate::simd::{LANES, Simd, each_isa};
use score::weigh;

/// The heads of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Key-value heads; query head h uses key-value head `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Values to a head.
    pub head_dim: usize,
}

impl HeadShape {
    /// Values to a row of packed queries, keys and values.
    pub fn row(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    fn group(&self) -> usize {
        assert!(
            self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads),
            "attention: {} heads over {} key-value heads",
            self.heads,
            self.kv_heads
        );
        self.heads / self.kv_heads
    }
}

impl Kernel {
    /// Causal attention over whole sequences.
    ///
    /// Shapes: `out` `[B*T, heads*head_dim]`; `stats` `[B*T, heads, 2]`, each row's greatest score
    /// and sum, kept for the backward pass; `qkv` `[B*T, (heads + 2*kv_heads)*head_dim]`.
    /// Bits: a score is the chain over `head_dim` from zero, then what [`Scoring`] says; e =
    /// exp(score − max) over the keys seen; the sum of e is taken in 16 lanes (lane = key mod 16);
    /// an output is the chain of `e * v` over keys in order, times `1/sum`, plus 0.0.
    /// Panics: also for slopes that are not one for each query head.
    pub fn attention(
        &self,
        out: &mut [f32],
        stats: &mut [f32],
        qkv: &[f32],
        batch: usize,
        seq: usize,
        s: &HeadShape,
        scoring: &Scoring<'_>,
    ) {
        let (tokens, width) = (batch * seq, s.heads * s.head_dim);
        scoring.check(s.heads);
        assert_eq!(qkv.len(), tokens * s.row(), "attention: qkv");
        assert_eq!(out.len(), tokens * width, "attention: out");
        assert_eq!(stats.len(), tokens * s.heads * 2, "attention: stats");
        let (out, stats) = (Shared::new(out), Shared::new(stats));
        let stride = s.row();
        let group = s.group();
        self.parallel(batch * s.kv_heads, |task| {
            let (sequence, head) = (task / s.kv_heads, task % s.kv_heads);
            let qkv = &qkv[sequence * seq * stride..(sequence + 1) * seq * stride];
            let keys = s.heads + head;
            let job = Forward {
                q: &qkv[head * group * s.head_dim..],
                q_row: stride,
                k: &qkv[keys * s.head_dim..],
                v: &qkv[(keys + s.kv_heads) * s.head_dim..],
                kv_row: stride,
                seq,
                group,
                first_head: head * group,
                head_dim: s.head_dim,
                scoring,
                out: &out,
                out_start: sequence * seq * width + head * group * s.head_dim,
                out_row: width,
                stats: &stats,
                stats_start: 2 * (sequence * seq * s.heads + head * group),
                stats_row: 2 * s.heads,
            };
            forward(self.cpu, &job);
        });
    }
}

/// One group of heads: slices start at the group's first value.
struct Forward<'a> {
    q: &'a [f32],
    q_row: usize,
    k: &'a [f32],
    v: &'a [f32],
    kv_row: usize,
    seq: usize,
    group: usize,
    /// Query head of the first of the group.
    first_head: usize,
    head_dim: usize,
    scoring: &'a Scoring<'a>,
    out: &'a Shared<'a, f32>,
    out_start: usize,
    out_row: usize,
    stats: &'a Shared<'a, f32>,
    stats_start: usize,
    stats_row: usize,
}

each_isa! {
    fn forward(job: &Forward) = forward_body;
}

/// Values from one row of scores to the next: a whole number of panels for `len` keys and a line
/// more, so that rows do not all fall on the same places of a cache.
fn row_width<S: Simd>(len: usize) -> usize {
    len.next_multiple_of(S::PANEL.max(LANES)) + LANES
}

#[inline(always)]
fn forward_body<S: Simd>(job: &Forward) {
    let dim = job.head_dim;
    let width = row_width::<S>(job.seq);
    let k_size = width * dim;
    let v_size = dim.next_multiple_of(S::PANEL) * job.seq;
    let mut scratch = Scratch::new(k_size + v_size + S::ROWS * dim + S::ROWS * width);
    let (k, rest) = scratch.split_at_mut(k_size);
    let (v, rest) = rest.split_at_mut(v_size);
    let (q, scores) = rest.split_at_mut(S::ROWS * dim);
    let view = |x: &[f32]| View { start: x.as_ptr(), row: job.kv_row, column: 1 };
    pack::<S>(k, S::PANEL, view(job.k), 0..job.seq, 0..dim);
    pack::<S>(v, S::PANEL, view(job.v).transposed(), 0..dim, 0..job.seq);
    for head in 0..job.group {
        for first in (0..job.seq).step_by(S::ROWS) {
            let rows = first..job.seq.min(first + S::ROWS);
            let from = &job.q[first * job.q_row + head * dim..];
            assert!(from.len() >= (rows.len() - 1) * job.q_row + dim, "attention: q");
            let lines = View { start: from.as_ptr(), row: job.q_row, column: 1 };
            pack::<S>(q, S::ROWS, lines, 0..rows.len(), 0..dim);
            few_queries::<S>(job, [q, k, v], scores, width, head, rows);
        }
    }
}

/// One head, at most a tile's rows of queries; all operands packed.
#[inline(always)]
fn few_queries<S: Simd>(
    job: &Forward,
    [q, k, v]: [&[f32]; 3],
    scores: &mut [f32],
    width: usize,
    head: usize,
    rows: Range<usize>,
) {
    let dim = job.head_dim;
    let keys = rows.end; // keys that the last of these queries sees
    let columns = keys.next_multiple_of(S::PANEL);
    let panels = Panels { values: k, stored: dim, skip: 0, depth: dim, columns };
    let queries = Lines { start: q.as_ptr(), row: 1, step: S::ROWS, count: rows.len() };
    assert!(columns <= width && S::ROWS * width <= scores.len(), "attention: scores");
    assert!(q.len() >= S::ROWS * dim, "attention: q");
    // SAFETY: `q` and `scores` hold a tile's rows by the assertions.
    unsafe { multiply::<S>(queries, panels, scores.as_mut_ptr(), width, false) };
    let mut inverses = [0f32; 16];
    for (i, row) in rows.clone().enumerate() {
        let length = keys.next_multiple_of(LANES);
        let scores = &mut scores[i * width..][..length];
        let head_slope = job.scoring.slope(job.first_head + head);
        let (max, sum) = weigh::<S>(scores, job.scoring.seen(row), 0, job.scoring, head_slope);
        inverses[i] = 1.0 / sum;
        let at = job.stats_start + row * job.stats_row + 2 * head;
        // SAFETY: no other task has this row and head.
        unsafe { job.stats.part(at..at + 2) }.copy_from_slice(&[max, sum]);
    }
    let weights = Lines { start: scores.as_ptr(), row: width, step: 1, count: rows.len() };
    let at = job.out_start + rows.start * job.out_row + head * dim;
    let last = at + (rows.len() - 1) * job.out_row + dim;
    assert!(last <= job.out.len(), "attention: out");
    let panels = Panels { values: v, stored: job.seq, skip: 0, depth: keys, columns: dim };
    // SAFETY: the outputs of these rows and this head belong to this task and lie in `out` by the
    // assertion; `scores` holds the weights.
    unsafe {
        multiply::<S>(weights, panels, job.out.start().add(at), job.out_row, false);
        for (i, inverse) in inverses.iter().enumerate().take(rows.len()) {
            let out = job.out.part(at + i * job.out_row..at + i * job.out_row + dim);
            for x in out {
                *x = *x * inverse + 0.0;
            }
        }
    }
}
