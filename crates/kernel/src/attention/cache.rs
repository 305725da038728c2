//! Attention over caches of keys and values: some new positions of several sequences at once.
//!
//! A cache lies as the tiles of matrix products read it: in blocks of [`BLOCK`] positions, keys in
//! panels of positions, values in panels of a head's values. Nothing is packed per token, and a
//! block outside a window is not read.

use std::ops::Range;

use crate::gemm::{View, pack, tile_shape};
use crate::isa::Isa;
use crate::kernel::Kernel;
use crate::scratch::{Line, Scratch, Shared, floats, floats_mut};
use crate::simd::{LANES, Simd, Tile, each_isa};

use super::score::{Scoring, weigh};

/// Keys and values of one layer of one sequence.
#[derive(Clone)]
pub struct KvCache {
    kv_heads: usize,
    head_dim: usize,
    /// Positions (or values) side by side, as the instruction set wants it.
    panel: usize,
    len: usize,
    /// Blocks of `[kv_heads, BLOCK / panel, head_dim, panel]`.
    keys: Vec<Line>,
    /// Blocks of `[kv_heads, head_dim / panel, BLOCK, panel]`, `head_dim` rounded up.
    values: Vec<Line>,
}

/// A sequence whose last `rows` positions ask.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The layer's cache, the asking positions included.
    pub cache: &'a KvCache,
    /// How many of its last positions ask.
    pub rows: usize,
}

impl KvCache {
    /// An empty cache for `kernel`; memory grows with the positions.
    ///
    /// Panics: if there are no heads or no values to a head.
    pub fn new(kernel: &Kernel, kv_heads: usize, head_dim: usize) -> KvCache {
        assert!(kv_heads > 0 && head_dim > 0, "kv cache: {kv_heads} heads of {head_dim}");
        let panel = panel_of(kernel.isa());
        KvCache { kv_heads, head_dim, panel, len: 0, keys: Vec::new(), values: Vec::new() }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        (self.keys.len() + self.values.len()) * size_of::<Line>()
    }

    /// Goes back to the first `len` positions; keeps the memory. Does nothing if there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// A copy of the first `len` positions (all, if there are fewer).
    pub fn fork(&self, len: usize) -> KvCache {
        let len = len.min(self.len);
        let blocks = len.div_ceil(BLOCK);
        let keys = self.keys[..blocks * self.key_block() / LANES].to_vec();
        let values = self.values[..blocks * self.value_block() / LANES].to_vec();
        KvCache { len, keys, values, ..*self }
    }

    /// Floats of a block of keys.
    fn key_block(&self) -> usize {
        self.kv_heads * self.head_dim * BLOCK
    }

    /// Floats of a block of values.
    fn value_block(&self) -> usize {
        self.kv_heads * self.head_dim.next_multiple_of(self.panel) * BLOCK
    }

    /// Makes room for `len` positions, a quarter more than there are at least.
    fn reserve(&mut self, len: usize) {
        let blocks = len.div_ceil(BLOCK);
        let sizes = [self.key_block(), self.value_block()];
        for (lines, size) in [&mut self.keys, &mut self.values].into_iter().zip(sizes) {
            let want = blocks * size / LANES;
            if lines.len() < want {
                if lines.capacity() < want {
                    lines.reserve_exact((want - lines.len()).max(lines.len() / 4));
                }
                lines.resize(want, Line::ZERO);
            }
        }
    }
}

impl Kernel {
    /// Adds positions to a cache.
    ///
    /// Shapes: `k`, `v` `[rows, kv_heads * head_dim]`.
    /// Panics: also if the cache was made for another instruction set.
    pub fn append(&self, cache: &mut KvCache, k: &[f32], v: &[f32]) {
        let width = cache.kv_heads * cache.head_dim;
        assert_eq!(cache.panel, panel_of(self.isa()), "append: a cache of another instruction set");
        assert_eq!(k.len(), v.len(), "append: v");
        assert!(k.len().is_multiple_of(width), "append: k");
        let (start, rows) = (cache.len, k.len() / width);
        cache.reserve(start + rows);
        cache.len = start + rows;
        let (key_block, value_block) = (cache.key_block(), cache.value_block());
        let (heads, dim, panel) = (cache.kv_heads, cache.head_dim, cache.panel);
        let place = Place { start, rows, heads, dim, panel };
        let keys = Shared::new(floats_mut(&mut cache.keys));
        let values = Shared::new(floats_mut(&mut cache.values));
        let first = start / BLOCK;
        let blocks = (start + rows).div_ceil(BLOCK) - first;
        let each = (rows / blocks.max(1)).max(1) * dim * 4;
        self.split(blocks * heads, 1, each, |run| {
            for at in run {
                let (block, head) = (first + at / heads, at % heads);
                let size = key_block / heads;
                let key = block * key_block + head * size..block * key_block + (head + 1) * size;
                let size = value_block / heads;
                let value =
                    block * value_block + head * size..block * value_block + (head + 1) * size;
                // SAFETY: no other task has this block and head.
                let (keys, values) = unsafe { (keys.part(key), values.part(value)) };
                place_keys(self.cpu, &place, keys, k, block, head);
                place_values(self.cpu, &place, values, v, block, head);
            }
        });
    }

    /// Causal attention of the last positions of some sequences over their caches.
    ///
    /// Shapes: `out`, `q` `[M, heads * head_dim]`, where M counts the asking rows of all sequences,
    /// in their order.
    /// Bits: of [`Kernel::attention`] over each whole sequence.
    /// Panics: also if more rows ask than a cache holds.
    pub fn attend(
        &self,
        out: &mut [f32],
        q: &[f32],
        queries: &[Query<'_>],
        heads: usize,
        scoring: &Scoring<'_>,
    ) {
        let Some(first) = queries.first() else { return };
        let (kv_heads, dim) = (first.cache.kv_heads, first.cache.head_dim);
        assert!(heads.is_multiple_of(kv_heads), "attend: {heads} heads over {kv_heads}");
        let total: usize = queries.iter().map(|a| a.rows).sum();
        assert_eq!(q.len(), total * heads * dim, "attend: q");
        assert_eq!(out.len(), q.len(), "attend: out");
        scoring.check(heads);
        for Query { cache, rows } in queries {
            assert_eq!((cache.kv_heads, cache.head_dim), (kv_heads, dim), "attend: caches");
            assert_eq!(cache.panel, panel_of(self.isa()), "attend: another instruction set");
            assert!(*rows <= cache.len, "attend: {rows} rows of {}", cache.len);
        }
        let tasks = self.tasks(queries, heads);
        let out = Shared::new(out);
        let job = Job { queries, q, out: &out, heads, group: heads / kv_heads, dim, scoring };
        let cost = queries.iter().map(|a| a.rows * a.cache.len).sum::<usize>() * 2 * heads * dim;
        if cost < WORTH {
            tasks.iter().for_each(|task| attend(self.cpu, &job, task));
        } else {
            self.parallel(tasks.len(), |index| attend(self.cpu, &job, &tasks[index]));
        }
    }

    /// Pieces of work: some rows of one sequence, all heads or a run of them. Long ones first.
    fn tasks(&self, queries: &[Query<'_>], heads: usize) -> Vec<Task> {
        let (rows, _) = tile_shape(self.isa());
        let tiles: usize = queries.iter().map(|a| a.rows.div_ceil(rows)).sum();
        let parts = (4 * self.threads()).div_ceil(tiles.max(1));
        let parts = if tiles == 1 { self.threads() } else { parts }.clamp(1, heads);
        let run = heads.div_ceil(parts);
        let mut tasks = Vec::with_capacity(tiles * parts);
        let mut start = 0;
        for (sequence, a) in queries.iter().enumerate() {
            for first in (0..a.rows).step_by(rows) {
                let rows = first..a.rows.min(first + rows);
                for head in (0..heads).step_by(run) {
                    let heads = head..heads.min(head + run);
                    tasks.push(Task { sequence, start, rows: rows.clone(), heads });
                }
            }
            start += a.rows;
        }
        tasks.reverse();
        tasks
    }
}

/// Some rows of one sequence and some heads.
struct Task {
    sequence: usize,
    /// The sequence's first row among all.
    start: usize,
    rows: Range<usize>,
    heads: Range<usize>,
}

struct Job<'a> {
    queries: &'a [Query<'a>],
    q: &'a [f32],
    out: &'a Shared<'a, f32>,
    heads: usize,
    group: usize,
    dim: usize,
    scoring: &'a Scoring<'a>,
}

/// At most a tile's rows of queries over one head of keys and values.
struct Queries {
    kv_head: usize,
    count: usize,
    /// Where the first begins in `q` and `out`, and how far apart they lie.
    at: usize,
    step: usize,
    /// Position of the first, and from one to the next.
    position: usize,
    position_step: usize,
    /// Query head of the first, and from one to the next.
    head: usize,
    head_step: usize,
}

impl Queries {
    fn position(&self, i: usize) -> usize {
        self.position + i * self.position_step
    }
}

/// Where new positions go.
struct Place {
    start: usize,
    rows: usize,
    heads: usize,
    dim: usize,
    panel: usize,
}

impl Place {
    /// The new positions in this block.
    fn positions(&self, block: usize) -> Range<usize> {
        self.start.max(block * BLOCK)..(self.start + self.rows).min((block + 1) * BLOCK)
    }
}

fn panel_of(isa: Isa) -> usize {
    tile_shape(isa).1
}

each_isa! {
    fn attend(job: &Job, task: &Task) = attend_body;
    fn place_keys(place: &Place, to: &mut [f32], k: &[f32], block: usize, head: usize) = place_keys_body;
    fn place_values(place: &Place, to: &mut [f32], v: &[f32], block: usize, head: usize) = place_values_body;
}

#[inline(always)]
fn place_keys_body<S: Simd>(p: &Place, to: &mut [f32], k: &[f32], block: usize, head: usize) {
    let (width, positions) = (p.heads * p.dim, p.positions(block));
    let mut position = positions.start;
    while position < positions.end {
        let (panel, column) = (position % BLOCK / p.panel, position % p.panel);
        let to = &mut to[panel * p.dim * p.panel..][..p.dim * p.panel];
        let row = &k[(position - p.start) * width + head * p.dim..];
        let count = (positions.end - position).min(p.panel - column);
        if column == 0 && count == p.panel {
            let view = View { start: row.as_ptr(), row: width, column: 1 };
            assert!(row.len() >= (count - 1) * width + p.dim, "append: k");
            pack::<S>(to, p.panel, view, 0..count, 0..p.dim);
            position += count;
        } else {
            for (to, x) in to[column..].iter_mut().step_by(p.panel).zip(&row[..p.dim]) {
                *to = *x;
            }
            position += 1;
        }
    }
}

#[inline(always)]
fn place_values_body<S: Simd>(p: &Place, to: &mut [f32], v: &[f32], block: usize, head: usize) {
    for position in p.positions(block) {
        let row = &v[(position - p.start) * p.heads * p.dim + head * p.dim..][..p.dim];
        for (panel, values) in row.chunks(p.panel).enumerate() {
            let at = (panel * BLOCK + position % BLOCK) * p.panel;
            to[at..at + values.len()].copy_from_slice(values);
        }
    }
}

#[inline(always)]
fn attend_body<S: Simd>(job: &Job, task: &Task) {
    let Query { cache, rows } = job.queries[task.sequence];
    let (dim, width) = (job.dim, job.heads * job.dim);
    let past = cache.len - rows;
    if rows == 1 {
        // The heads of a group share keys and values: they are the rows of a tile.
        let mut head = task.heads.start;
        while head < task.heads.end {
            let kv_head = head / job.group;
            let end = task.heads.end.min((kv_head + 1) * job.group).min(head + S::ROWS);
            few_queries::<S>(
                job,
                cache,
                &Queries {
                    kv_head,
                    count: end - head,
                    at: task.start * width + head * dim,
                    step: dim,
                    position: past,
                    position_step: 0,
                    head,
                    head_step: 1,
                },
            );
            head = end;
        }
        return;
    }
    for head in task.heads.clone() {
        few_queries::<S>(
            job,
            cache,
            &Queries {
                kv_head: head / job.group,
                count: task.rows.len(),
                at: (task.start + task.rows.start) * width + head * dim,
                step: width,
                position: past + task.rows.start,
                position_step: 1,
                head,
                head_step: 0,
            },
        );
    }
}

#[inline(always)]
fn few_queries<S: Simd>(job: &Job, cache: &KvCache, q: &Queries) {
    let dim = job.dim;
    let end = q.position(q.count - 1) + 1;
    let first = job.scoring.seen(q.position).start;
    let blocks = first / BLOCK..end.div_ceil(BLOCK);
    let base = blocks.start * BLOCK;
    let length = (end - base).next_multiple_of(LANES);
    let width = blocks.len() * BLOCK + LANES;
    let mut scratch = Scratch::new(S::ROWS * dim + S::ROWS * width);
    let (packed, scores) = scratch.split_at_mut(S::ROWS * dim);
    let from = &job.q[q.at..];
    assert!(from.len() >= (q.count - 1) * q.step + dim, "attend: q");
    let lines = View { start: from.as_ptr(), row: q.step, column: 1 };
    pack::<S>(packed, S::ROWS, lines, 0..q.count, 0..dim);
    products::<S>(cache, q, packed, scores, width, base, end);
    let mut inverses = [0f32; 16];
    for i in 0..q.count {
        let seen = job.scoring.seen(q.position(i));
        let seen = seen.start.max(base) - base..seen.end - base;
        let row = &mut scores[i * width..][..length];
        let slope = job.scoring.slope(q.head + i * q.head_step);
        let (_, sum) = weigh::<S>(row, seen, base, job.scoring, slope);
        inverses[i] = 1.0 / sum;
    }
    mix::<S>(job, cache, q, scores, width, base..end);
    for (i, inverse) in inverses.iter().enumerate().take(q.count) {
        let at = q.at + i * q.step;
        // SAFETY: these rows and heads belong to this task.
        for x in unsafe { job.out.part(at..at + dim) } {
            *x = *x * inverse + 0.0;
        }
    }
}

/// Products of the packed queries with the keys from `base` to `end`, rows `width` apart.
#[inline(always)]
fn products<S: Simd>(
    cache: &KvCache,
    q: &Queries,
    packed: &[f32],
    scores: &mut [f32],
    width: usize,
    base: usize,
    end: usize,
) {
    let dim = cache.head_dim;
    let keys = floats(&cache.keys);
    assert!(packed.len() >= S::ROWS * dim && scores.len() >= S::ROWS * width, "attend: scratch");
    assert!(width >= (end - base).next_multiple_of(BLOCK), "attend: width");
    for start in (base..end).step_by(S::PANEL) {
        let (block, panel) = (start / BLOCK, start % BLOCK / S::PANEL);
        let at =
            block * cache.key_block() + (q.kv_head * BLOCK / S::PANEL + panel) * dim * S::PANEL;
        let b = &keys[at..at + dim * S::PANEL];
        // SAFETY: the queries are packed for whole tiles, the panel is whole, and each row of
        // scores has room for whole blocks by the assertions.
        unsafe {
            S::tile(&Tile {
                rows: q.count,
                cols: S::PANEL,
                depth: dim,
                a: packed.as_ptr(),
                a_row: 1,
                a_step: S::ROWS,
                b: b.as_ptr(),
                c: scores.as_mut_ptr().add(start - base),
                c_row: width,
                accumulate: false,
            });
        }
    }
}

/// The weighted values of positions `seen`, written to the output rows.
#[inline(always)]
fn mix<S: Simd>(
    job: &Job,
    cache: &KvCache,
    q: &Queries,
    scores: &[f32],
    width: usize,
    seen: Range<usize>,
) {
    let dim = cache.head_dim;
    let values = floats(&cache.values);
    let panels = dim.div_ceil(S::PANEL);
    let last = q.at + (q.count - 1) * q.step + dim;
    assert!(last <= job.out.len(), "attend: out");
    assert!(scores.len() >= q.count * width && width >= seen.len(), "attend: scores");
    for panel in 0..panels {
        for start in seen.clone().step_by(BLOCK) {
            let depth = BLOCK.min(seen.end - start);
            let at = start / BLOCK * cache.value_block()
                + (q.kv_head * panels + panel) * BLOCK * S::PANEL;
            let b = &values[at..at + depth * S::PANEL];
            // SAFETY: the outputs of these rows and heads belong to this task and lie in `out` by
            // the assertions; the panel holds `depth` rows.
            unsafe {
                S::tile(&Tile {
                    rows: q.count,
                    cols: S::PANEL.min(dim - panel * S::PANEL),
                    depth,
                    a: scores.as_ptr().add(start - seen.start),
                    a_row: width,
                    a_step: 1,
                    b: b.as_ptr(),
                    c: job.out.start().add(q.at + panel * S::PANEL),
                    c_row: q.step,
                    accumulate: start > seen.start,
                });
            }
        }
    }
}

/// Positions of a block: a multiple of every instruction set's panel.
const BLOCK: usize = 64;
/// Products below which another thread is not worth waking.
const WORTH: usize = 32 * 1024;
