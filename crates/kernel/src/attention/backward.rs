//! The backward pass of attention: scores are made again from queries, keys and the kept stats.

use std::ops::Range;

use super::HeadShape;
use crate::gemm::{Lines, Panels, View, multiply, pack};
use crate::kernel::Kernel;
use crate::math::exp_with;
use crate::scratch::{Scratch, Shared};
use crate::simd::{Simd, each_isa, lane_sum2};

/// Queries worked on together: the length of one leg of the chains for keys and values.
const QUERIES: usize = 48;

impl Kernel {
    /// The gradients of [`Kernel::attention`], written to `dqkv`.
    ///
    /// Shapes: `dqkv`, `qkv` `[B*T, (heads + 2*kv_heads)*head_dim]`; `dout`, `out`
    /// `[B*T, heads*head_dim]`; `stats` as the forward pass left it.
    /// Bits: p = exp(score − max) * (1/sum); D = Σ dout*out in 16 lanes; dp a chain over
    /// `head_dim`; ds = p * (dp − D). `dq` is the chain of `ds * k` over keys, times
    /// `1/√head_dim`; `dk` and `dv` are chains of `ds * q` and `p * dout` over the heads of the
    /// group, within a head over queries, `dk` times `1/√head_dim`. All plus 0.0 at the end.
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
    ) {
        let (tokens, width) = (batch * seq, s.heads * s.head_dim);
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
}

/// What a task keeps between runs of queries.
struct Buffers<'a> {
    /// Keys and values as panels over keys, depth `head_dim`.
    keys_across: &'a mut [f32],
    values_across: &'a mut [f32],
    /// Keys as panels over `head_dim`, depth `seq`.
    keys_along: &'a mut [f32],
    /// Queries and output gradients as panels over `head_dim`, depth `QUERIES`.
    queries: &'a mut [f32],
    douts: &'a mut [f32],
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
    let width = job.seq.next_multiple_of(S::PANEL.max(16));
    let dims = dim.next_multiple_of(S::PANEL);
    let sizes = [width * dim, width * dim, dims * job.seq, dims * QUERIES, dims * QUERIES];
    let total = sizes.iter().sum::<usize>() + 2 * QUERIES * width;
    let mut scratch = Scratch::new(total);
    let (keys_across, rest) = scratch.split_at_mut(sizes[0]);
    let (values_across, rest) = rest.split_at_mut(sizes[1]);
    let (keys_along, rest) = rest.split_at_mut(sizes[2]);
    let (queries, rest) = rest.split_at_mut(sizes[3]);
    let (douts, rest) = rest.split_at_mut(sizes[4]);
    let (weights, dscores) = rest.split_at_mut(QUERIES * width);
    let mut buffers =
        Buffers { keys_across, values_across, keys_along, queries, douts, weights, dscores, width };
    job.start::<S>(&mut buffers);
    for head in job.head * job.group..(job.head + 1) * job.group {
        for start in (0..job.seq).step_by(QUERIES) {
            let rows = start..job.seq.min(start + QUERIES);
            job.scores::<S>(&mut buffers, head, rows.clone());
            job.products::<S>(&mut buffers, head, rows);
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
        pack::<S>(b.keys_along, S::PANEL, keys.turned(), 0..dim, 0..self.seq);
        for t in 0..self.seq {
            self.gradient(t, self.key_column()).fill(0.0);
            self.gradient(t, self.value_column()).fill(0.0);
        }
    }

    /// Weights and score gradients of some queries of a head.
    #[inline(always)]
    fn scores<S: Simd>(&self, b: &mut Buffers, head: usize, rows: Range<usize>) {
        let dim = self.shape.head_dim;
        let (heads, scale) = (self.shape.heads, self.shape.scale());
        let columns = rows.end.next_multiple_of(S::PANEL);
        let across = |values| Panels { values, stored: dim, depth: dim, columns };
        let (queries, douts) = (self.query_lines(head, &rows), self.dout_lines(head, &rows));
        assert!(columns <= b.width && rows.len() <= QUERIES, "attention_backward: buffers");
        // SAFETY: the lines were cut from slices that hold them; both buffers hold `QUERIES` rows.
        unsafe {
            multiply::<S>(queries, across(b.keys_across), b.weights.as_mut_ptr(), b.width, false);
            multiply::<S>(douts, across(b.values_across), b.dscores.as_mut_ptr(), b.width, false);
        }
        for (i, t) in rows.clone().enumerate() {
            let stats = &self.stats[2 * (t * heads + head)..];
            let (max, inverse) = (stats[0], 1.0 / stats[1]);
            let at = (t * heads + head) * dim;
            let (dout, out) = (&self.dout[at..at + dim], &self.out[at..at + dim]);
            let dot = lane_sum2(dout, out, |sum, a, b| S::fma(a, b, sum));
            let row = i * b.width..i * b.width + rows.end;
            let (weights, hidden) = b.weights[row.clone()].split_at_mut(t + 1);
            let (dscores, dhidden) = b.dscores[row].split_at_mut(t + 1);
            for (weight, ds) in weights.iter_mut().zip(dscores) {
                *weight = exp_with::<S>(*weight * scale - max) * inverse;
                *ds = *weight * (*ds - dot);
            }
            hidden.fill(0.0);
            dhidden.fill(0.0);
        }
    }

    /// What those queries give to the gradients.
    #[inline(always)]
    fn products<S: Simd>(&self, b: &mut Buffers, head: usize, rows: Range<usize>) {
        let (dim, stride) = (self.shape.head_dim, self.shape.row());
        let across = |lines: Lines| View { start: lines.start, row: 1, column: lines.row };
        pack::<S>(
            b.queries,
            S::PANEL,
            across(self.query_lines(head, &rows)),
            0..dim,
            0..rows.len(),
        );
        pack::<S>(b.douts, S::PANEL, across(self.dout_lines(head, &rows)), 0..dim, 0..rows.len());
        let (keys, depth) = (rows.end, rows.len());
        let turned = |x: &[f32]| Lines { start: x.as_ptr(), row: 1, step: b.width, count: keys };
        let along = |values| Panels { values, stored: depth, depth, columns: dim };
        let dscores = Lines { start: b.dscores.as_ptr(), row: b.width, step: 1, count: depth };
        let keys_along =
            Panels { values: b.keys_along, stored: self.seq, depth: keys, columns: dim };
        let place = |t: usize, column: usize| self.gradient(t, column).as_mut_ptr();
        // SAFETY: the buffers hold `QUERIES` rows of at least `keys` values. The gradients of these
        // query heads and of this key-value head belong to this task, for rows of its sequence.
        unsafe {
            multiply::<S>(dscores, keys_along, place(rows.start, head * dim), stride, false);
            let dk = place(0, self.key_column());
            multiply::<S>(turned(b.dscores), along(b.queries), dk, stride, true);
            let dv = place(0, self.value_column());
            multiply::<S>(turned(b.weights), along(b.douts), dv, stride, true);
        }
    }

    /// The factor of the scores, and no negative zeros.
    #[inline(always)]
    fn finish(&self) {
        let (dim, scale) = (self.shape.head_dim, self.shape.scale());
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

    fn query_lines(&self, head: usize, rows: &Range<usize>) -> Lines {
        let (dim, stride) = (self.shape.head_dim, self.shape.row());
        let lines =
            &self.qkv[rows.start * stride + head * dim..(rows.end - 1) * stride + (head + 1) * dim];
        Lines { start: lines.as_ptr(), row: stride, step: 1, count: rows.len() }
    }

    fn dout_lines(&self, head: usize, rows: &Range<usize>) -> Lines {
        let dim = self.shape.head_dim;
        let stride = self.shape.heads * dim;
        let lines = &self.dout
            [rows.start * stride + head * dim..(rows.end - 1) * stride + (head + 1) * dim];
        Lines { start: lines.as_ptr(), row: stride, step: 1, count: rows.len() }
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
