//! The backward pass of attention: scores are made again from queries, keys and the kept stats.

use std::ops::Range;

use super::score::{Scoring, bend};
use super::{HeadShape, row_width};
use crate::gemm::{Lines, Panels, View, multiply, pack};
use crate::kernel::Kernel;
use crate::math::exp_with;
use crate::scratch::{Scratch, Shared};
use crate::simd::{LANES, Simd, each_isa, lane_sum2};

/// Queries worked on together: the length of one leg of the chains for keys and values. A multiple
/// of a tile's rows on every instruction set.
const QUERIES: usize = 48;

impl Kernel {
    /// The gradients of [`Kernel::attention`], written to `dqkv`.
    ///
    /// Shapes: `dqkv`, `qkv` `[B*T, (heads + 2*kv_heads)*head_dim]`; `dout`, `out`
    /// `[B*T, heads*head_dim]`; `stats` as the forward pass left it.
    /// Bits: p = exp(score − max) * (1/sum); D = Σ dout*out in 16 lanes; dp a chain over
    /// `head_dim`; ds = p * (dp − D), where scores are capped with `1 − (score/cap)²` as a factor of
    /// the bracket. `dq` is the chain of `ds * k` over keys, times the scale; `dk` and `dv` are chains of `ds * q` and
    /// `p * dout` over the heads of the group, within a head over queries, `dk` times the scale.
    /// All plus 0.0 at the end.
    pub fn attention_backward(
        &self,
        dqkv: &mut [f32],
        dout: &[f32],
        out: &[f32],
        stats: &[f32],
        qkv: &[f32],
        batch: usize,
        seq: usize,
        s: &HeadShape,
        scoring: &Scoring<'_>,
    ) {
        let (tokens, width) = (batch * seq, s.heads * s.head_dim);
        scoring.check(s.heads);
        assert_eq!(qkv.len(), tokens * s.row(), "attention_backward: qkv");
        assert_eq!(dqkv.len(), qkv.len(), "attention_backward: dqkv");
        assert_eq!(out.len(), tokens * width, "attention_backward: out");
        assert_eq!(dout.len(), out.len(), "attention_backward: dout");
        assert_eq!(stats.len(), tokens * s.heads * 2, "attention_backward: stats");
        let dqkv = Shared::new(dqkv);
        let group = s.group();
        self.parallel(batch * s.kv_heads, |task| {
            let (sequence, head) = (task / s.kv_heads, task % s.kv_heads);
            let tokens = sequence * seq..(sequence + 1) * seq;
            let job = Backward {
                dqkv: &dqkv,
                first: tokens.start,
                dout: &dout[tokens.start * width..tokens.end * width],
                out: &out[tokens.start * width..tokens.end * width],
                stats: &stats[tokens.start * 2 * s.heads..tokens.end * 2 * s.heads],
                qkv: &qkv[tokens.start * s.row()..tokens.end * s.row()],
                seq,
                group,
                head,
                shape: s,
                scoring,
            };
            backward(self.cpu, &job);
        });
    }
}

/// One sequence and one key-value head.
struct Backward<'a> {
    dqkv: &'a Shared<'a, f32>,
    /// The row of `dqkv` at which the sequence starts; the other slices are the sequence's own.
    first: usize,
    dout: &'a [f32],
    out: &'a [f32],
    stats: &'a [f32],
    qkv: &'a [f32],
    seq: usize,
    group: usize,
    head: usize,
    shape: &'a HeadShape,
    scoring: &'a Scoring<'a>,
}

/// What a task keeps between runs of queries.
struct Buffers<'a> {
    /// Keys and values as panels over keys, depth `head_dim`.
    keys_across: &'a mut [f32],
    values_across: &'a mut [f32],
    /// Keys as panels over `head_dim`, depth `seq`.
    keys_along: &'a mut [f32],
    /// Queries and output gradients as panels over `head_dim`, depth their number.
    queries: &'a mut [f32],
    douts: &'a mut [f32],
    /// A tile's rows of queries or output gradients, depth `head_dim`.
    lines: &'a mut [f32],
    /// Rows of weights and of score gradients, `width` apart.
    weights: &'a mut [f32],
    dscores: &'a mut [f32],
    width: usize,
}

each_isa! {
    fn backward(job: &Backward) = backward_body;
}

#[inline(always)]
fn backward_body<S: Simd>(job: &Backward) {
    let dim = job.shape.head_dim;
    let width = row_width::<S>(job.seq);
    let dims = dim.next_multiple_of(S::PANEL);
    let (across, rows) = (width * dim, QUERIES * width);
    let sizes = [across, across, dims * job.seq, dims * QUERIES, dims * QUERIES, S::ROWS * dim];
    let mut scratch = Scratch::new(sizes.iter().sum::<usize>() + 2 * rows);
    let (keys_across, rest) = scratch.split_at_mut(sizes[0]);
    let (values_across, rest) = rest.split_at_mut(sizes[1]);
    let (keys_along, rest) = rest.split_at_mut(sizes[2]);
    let (queries, rest) = rest.split_at_mut(sizes[3]);
    let (douts, rest) = rest.split_at_mut(sizes[4]);
    let (lines, rest) = rest.split_at_mut(sizes[5]);
    let (weights, dscores) = rest.split_at_mut(rows);
    let mut buffers = Buffers {
        keys_across,
        values_across,
        keys_along,
        queries,
        douts,
        lines,
        weights,
        dscores,
        width,
    };
    job.start::<S>(&mut buffers);
    for head in job.head * job.group..(job.head + 1) * job.group {
        for start in (0..job.seq).step_by(QUERIES) {
            let rows = start..job.seq.min(start + QUERIES);
            for first in rows.clone().step_by(S::ROWS) {
                let few = first..rows.end.min(first + S::ROWS);
                job.few_queries::<S>(&mut buffers, head, rows.clone(), few);
            }
            job.keys_and_values::<S>(&mut buffers, head, rows);
        }
    }
    job.finish();
}

impl Backward<'_> {
    /// Packs keys and values, clears their gradients.
    #[inline(always)]
    fn start<S: Simd>(&self, b: &mut Buffers) {
        let (dim, stride) = (self.shape.head_dim, self.shape.row());
        let view = |at: usize| View { start: self.qkv[at..].as_ptr(), row: stride, column: 1 };
        let (keys, values) = (view(self.key_column()), view(self.value_column()));
        pack::<S>(b.keys_across, S::PANEL, keys, 0..self.seq, 0..dim);
        pack::<S>(b.values_across, S::PANEL, values, 0..self.seq, 0..dim);
        pack::<S>(b.keys_along, S::PANEL, keys.transposed(), 0..dim, 0..self.seq);
        for t in 0..self.seq {
            self.gradient(t, self.key_column()).fill(0.0);
            self.gradient(t, self.value_column()).fill(0.0);
        }
    }

    /// Weights and score gradients of at most a tile's rows of queries, `few` of `rows`, and what
    /// follows for the queries themselves.
    #[inline(always)]
    fn few_queries<S: Simd>(
        &self,
        b: &mut Buffers,
        head: usize,
        rows: Range<usize>,
        few: Range<usize>,
    ) {
        let (dim, width) = (self.shape.head_dim, b.width);
        let columns = few.end.next_multiple_of(S::PANEL);
        let at = (few.start - rows.start) * width;
        let room = b.weights.len().min(b.dscores.len());
        assert!(columns <= width && at + few.len() * width <= room, "attention_backward: buffers");
        assert!(b.lines.len() >= S::ROWS * dim, "attention_backward: lines");
        let (weights, dscores) = (b.weights[at..].as_mut_ptr(), b.dscores[at..].as_mut_ptr());
        let lines = Lines { start: b.lines.as_ptr(), row: 1, step: S::ROWS, count: few.len() };
        let across = |values| Panels { values, stored: dim, skip: 0, depth: dim, columns };
        pack::<S>(b.lines, S::ROWS, self.queries(head, &few), 0..few.len(), 0..dim);
        // SAFETY: `lines` and both buffers hold these rows by the assertions.
        unsafe { multiply::<S>(lines, across(b.keys_across), weights, width, false) };
        pack::<S>(b.lines, S::ROWS, self.douts(head, &few), 0..few.len(), 0..dim);
        // SAFETY: as above.
        unsafe { multiply::<S>(lines, across(b.values_across), dscores, width, false) };
        let length = few.end.next_multiple_of(LANES).max(rows.end.min(columns));
        for t in few.clone() {
            let at = (t - rows.start) * width;
            let (weights, dscores) = (&mut b.weights[at..], &mut b.dscores[at..]);
            self.row::<S>(&mut weights[..length], &mut dscores[..length], head, t);
        }
        let dscores = Lines { start: dscores, row: width, step: 1, count: few.len() };
        let depth = few.end;
        let along = Panels { values: b.keys_along, stored: self.seq, skip: 0, depth, columns: dim };
        let dq = self.gradient(few.start, head * dim).as_mut_ptr();
        // SAFETY: the gradients of this query head belong to this task, for rows of its sequence;
        // the score gradients are those just made.
        unsafe { multiply::<S>(dscores, along, dq, self.shape.row(), false) };
    }

    /// Weights and score gradients of query `t`, zeros (of either sign) for keys that it does not
    /// see.
    #[inline(always)]
    fn row<S: Simd>(&self, weights: &mut [f32], dscores: &mut [f32], head: usize, t: usize) {
        let (heads, dim) = (self.shape.heads, self.shape.head_dim);
        let stats = &self.stats[2 * (t * heads + head)..];
        let (max, inverse) = (stats[0], 1.0 / stats[1]);
        let at = (t * heads + head) * dim;
        let (dout, out) = (&self.dout[at..at + dim], &self.out[at..at + dim]);
        let dot = lane_sum2(dout, out, |sum, a, b| S::fma(a, b, sum));
        let seen = self.scoring.seen(t);
        for hidden in [0..seen.start, seen.end..weights.len()] {
            weights[hidden.clone()].fill(f32::NEG_INFINITY);
            dscores[hidden].fill(0.0);
        }
        let slope = self.scoring.slope(head);
        let scale = bend::<S>(&mut weights[seen.clone()], seen.start, self.scoring, slope);
        if let Some(cap) = self.scoring.cap {
            for (score, ds) in weights[seen.clone()].iter().zip(&mut dscores[seen]) {
                let bent = *score / cap;
                *ds = (*ds - dot) * S::fma(-bent, bent, 1.0);
            }
            for (weight, ds) in weights.iter_mut().zip(dscores) {
                *weight = exp_with::<S>(*weight - max) * inverse;
                *ds *= *weight;
            }
            return;
        }
        for (weight, ds) in weights.iter_mut().zip(dscores) {
            *weight = exp_with::<S>(*weight * scale - max) * inverse;
            *ds = *weight * (*ds - dot);
        }
    }

    /// What some queries give to keys and values.
    #[inline(always)]
    fn keys_and_values<S: Simd>(&self, b: &mut Buffers, head: usize, rows: Range<usize>) {
        let (dim, stride, width) = (self.shape.head_dim, self.shape.row(), b.width);
        let count = rows.len();
        pack::<S>(b.queries, S::PANEL, self.queries(head, &rows).transposed(), 0..dim, 0..count);
        pack::<S>(b.douts, S::PANEL, self.douts(head, &rows).transposed(), 0..dim, 0..count);
        let (dk, dv) = (self.key_column(), self.value_column());
        for (scores, panels, column) in [(&b.dscores, &b.queries, dk), (&b.weights, &b.douts, dv)] {
            // Keys before the first query get something from every query; a later group of keys
            // only from the queries that are not before it.
            let early = (0, 0..rows.start);
            let late = (rows.clone())
                .step_by(S::ROWS)
                .map(|j| (j - rows.start, j..rows.end.min(j + S::ROWS)));
            for (skip, keys) in [early].into_iter().chain(late) {
                if keys.is_empty() {
                    continue;
                }
                let from =
                    &scores[skip * width + keys.start..][..(count - skip - 1) * width + keys.len()];
                let transposed =
                    Lines { start: from.as_ptr(), row: 1, step: width, count: keys.len() };
                let along = Panels {
                    values: &panels[..],
                    stored: count,
                    skip,
                    depth: count - skip,
                    columns: dim,
                };
                let to = self.gradient(keys.start, column).as_mut_ptr();
                // SAFETY: the lines were cut from a slice that holds them; the gradients of this
                // key-value head belong to this task, for rows of its sequence.
                unsafe { multiply::<S>(transposed, along, to, stride, true) };
            }
        }
    }

    /// The factor of the scores, and no negative zeros.
    #[inline(always)]
    fn finish(&self) {
        let (dim, scale) = (self.shape.head_dim, self.scoring.scale);
        for t in 0..self.seq {
            let queries = self.head * self.group..(self.head + 1) * self.group;
            for column in queries.map(|head| head * dim).chain([self.key_column()]) {
                for x in self.gradient(t, column) {
                    *x = *x * scale + 0.0;
                }
            }
            for x in self.gradient(t, self.value_column()) {
                *x += 0.0;
            }
        }
    }

    /// Some queries of a head.
    fn queries(&self, head: usize, rows: &Range<usize>) -> View {
        let (dim, stride) = (self.shape.head_dim, self.shape.row());
        let from =
            &self.qkv[rows.start * stride + head * dim..(rows.end - 1) * stride + (head + 1) * dim];
        View { start: from.as_ptr(), row: stride, column: 1 }
    }

    /// The gradients of some outputs of a head.
    fn douts(&self, head: usize, rows: &Range<usize>) -> View {
        let dim = self.shape.head_dim;
        let stride = self.shape.heads * dim;
        let from = &self.dout
            [rows.start * stride + head * dim..(rows.end - 1) * stride + (head + 1) * dim];
        View { start: from.as_ptr(), row: stride, column: 1 }
    }

    /// One head's values in row `t` of the gradient.
    #[allow(clippy::mut_from_ref)] // this task's own part of a shared slice
    fn gradient(&self, t: usize, column: usize) -> &mut [f32] {
        let at = (self.first + t) * self.shape.row() + column;
        // SAFETY: called only for this task's heads, one part at a time.
        unsafe { self.dqkv.part(at..at + self.shape.head_dim) }
    }

    fn key_column(&self) -> usize {
        (self.shape.heads + self.head) * self.shape.head_dim
    }

    fn value_column(&self) -> usize {
        (self.shape.heads + self.shape.kv_heads + self.head) * self.shape.head_dim
    }
}
