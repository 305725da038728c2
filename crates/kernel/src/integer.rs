//! Products of 8-bit integers: profile `strict-i8`.
//!
//! An operand is a matrix of integers in ±127 with one f32 scale for each line that is not summed
//! over ([`Quantized`]). The sum of a product is exact, so its order, and with it the instruction
//! set, the blocking and the threads, cannot change a bit. What has an order is written down at
//! [`Kernel::quantize`] (how values become integers) and [`Kernel::integer_product`] (how sums
//! become values).

mod pack;
mod quantize;
mod tile;

pub use quantize::{Quantized, Rounding, Scales};

use std::ops::Range;

use crate::kernel::Kernel;
use crate::scratch::{Scratch, Shared};
use crate::simd::{LANES, Simd, each_isa};
use pack::{add_sums, pack, pack_rows};
use tile::{Form, Tile, Tiles};

/// The longest sum of products that fits 32 bits: 2¹⁷ · 127² is below 2³¹.
pub const LONGEST_SUM: usize = 1 << 17;

/// Words (of four integers) of a sum that are worked on at a time: a group of A this deep stays in
/// the first cache.
const DEPTH: usize = 640;
/// Words of B that stay in the second cache.
const CHUNK: usize = 96 << 10;
/// Columns whose sums for a group of rows stay in the first cache.
const COLUMNS: usize = 512;
/// Words of B packed at once for all threads (16 MiB).
const SLAB: usize = 4 << 20;
/// Most rows of a task.
const ROWS: usize = 240;

impl Kernel {
    /// `c[m,n] = a · bᵀ` over the lines of two quantized matrices; added to `c` if `accumulate`.
    ///
    /// Shapes: `m` and `n` are the lines of `a` and `b`, whose lines have one length `k`.
    /// Bits: with `p` the f32 product of the two scales and `s` the exact sum of the products of
    /// integers, rounded once to an f32 (ties to even), an output is `s · p`, or `s · p + c` rounded
    /// once. Sums longer than [`LONGEST_SUM`] are taken in parts of that length, which are added one
    /// after the other in that way.
    ///
    /// Panics: if shapes disagree.
    pub fn integer_product(&self, c: &mut [f32], a: &Quantized, b: &Quantized, accumulate: bool) {
        let (m, n, k) = (a.lines(), b.lines(), a.depth());
        assert_eq!(k, b.depth(), "integer_product: lengths of the sums");
        assert_eq!(c.len(), m * n, "integer_product: c");
        if m == 0 || n == 0 {
            return;
        }
        if k == 0 {
            if !accumulate {
                c.fill(0.0);
            }
            return;
        }
        let c = Shared::new(c);
        let words = a.depth_words();
        for start in (0..words).step_by(LONGEST_SUM / 4) {
            let depth = start..words.min(start + LONGEST_SUM / 4);
            let job = Product {
                a,
                b,
                c: &c,
                depth,
                accumulate: accumulate || start > 0,
                tiles: Tiles::of(self.cpu),
            };
            self.one_sum(&job);
        }
    }

    /// The part of a product that is one sum.
    fn one_sum(&self, job: &Product<'_>) {
        let (m, n, k) = (job.a.lines(), job.b.lines(), job.depth.len());
        let Tiles { rows, panel, form, .. } = job.tiles;
        let size = panel * k * form.words();
        let slab = (SLAB / size).max(1) * panel;
        let blocks = m.div_ceil(ROWS).next_multiple_of(self.threads());
        let run = m.div_ceil(blocks).next_multiple_of(rows);
        for start in (0..n).step_by(slab) {
            let columns = start..n.min(start + slab);
            let panels = columns.len().div_ceil(panel);
            let mut packed = Scratch::new(panels * size);
            let shared = Shared::new(packed.words());
            self.split(panels, 1, size, |some| {
                // SAFETY: runs of panels do not overlap.
                let to = unsafe { shared.part(some.start * size..some.end * size) };
                let end = columns.end.min(columns.start + some.end * panel);
                let lines = columns.start + some.start * panel..end;
                pack(self.cpu, to, panel, job.b, lines, job.depth.clone(), form);
            });
            let packed: &[u32] = packed.words();
            self.parallel(m.div_ceil(run), |task| {
                let lines = task * run..m.min((task + 1) * run);
                rows_of_product(self.cpu, job, packed, lines, columns.clone());
            });
        }
    }
}

/// One sum for each output, as its tasks see it.
struct Product<'a> {
    a: &'a Quantized,
    b: &'a Quantized,
    c: &'a Shared<'a, f32>,
    /// Words of the lines that are summed over.
    depth: Range<usize>,
    accumulate: bool,
    tiles: Tiles,
}

each_isa! {
    fn rows_of_product(job: &Product<'_>, b: &[u32], rows: Range<usize>, columns: Range<usize>) = rows_body;
}

/// All panels against a run of rows.
#[inline(always)]
fn rows_body<S: Simd>(job: &Product<'_>, b: &[u32], rows: Range<usize>, columns: Range<usize>) {
    let Tiles { rows: height, panel, form, .. } = job.tiles;
    let (groups, k, words) = (rows.len().div_ceil(height), job.depth.len(), form.words());
    // As even as can be.
    let block = k.div_ceil(k.div_ceil(DEPTH / words));
    let chunk = (CHUNK / block / words).min(COLUMNS) / panel * panel;
    let width = columns.len().min(chunk.max(panel)).next_multiple_of(panel);
    // In one block a group is finished before the next one begins.
    let held = if block < k { groups } else { 1 };
    let mut packed = Scratch::new(groups * height * block * words);
    let mut sums = Scratch::new(held * height * width);
    let mut offsets = vec![0; groups * height];
    for first in columns.clone().step_by(width) {
        let last = columns.end.min(first + width);
        if block < k {
            offsets.fill(0);
        }
        for start in (0..k).step_by(block) {
            let depth = start..k.min(start + block);
            // One block serves all chunks.
            if block < k || first == columns.start {
                let from = job.depth.start + depth.start..job.depth.start + depth.end;
                // The last block may be shorter than the room.
                let to = &mut packed.words()[..groups * height * depth.len() * words];
                pack_rows::<S>(to, height, job.a, rows.clone(), from, form);
                if form == Form::Offset {
                    add_sums(&mut offsets, to, height, depth.len());
                }
            }
            for group in 0..groups {
                let lines = group * height..rows.len().min((group + 1) * height);
                let a = packed.words()[group * height * depth.len() * words..].as_ptr();
                let sums = &mut sums.integers()[group.min(held - 1) * height * width..];
                let sums = &mut sums[..height * width];
                for j in (first..last).step_by(panel) {
                    if depth.end == k {
                        fetch_tile::<S>(job, rows.start + lines.start..rows.start + lines.end, j);
                    }
                    let at = ((j - columns.start) * k + depth.start * panel) * words;
                    // SAFETY: A is packed in whole groups, B in whole panels, and sums have room
                    // for both; the tiles are those of this machine.
                    unsafe {
                        job.tiles.run(&Tile {
                            rows: lines.len(),
                            depth: depth.len(),
                            a,
                            b: b[at..].as_ptr(),
                            c: sums.as_mut_ptr().add(j - first),
                            c_row: width,
                            accumulate: start > 0,
                        });
                    }
                }
                if depth.end == k {
                    for (line, sums) in lines.zip(sums.chunks_exact(width)) {
                        finish::<S>(job, sums, offsets[line], rows.start + line, first..last);
                    }
                }
            }
        }
    }
}

/// Brings closer where the sums of a tile will go: rows of C are too far apart for the machine to
/// foresee.
#[inline(always)]
fn fetch_tile<S: Simd>(job: &Product<'_>, rows: Range<usize>, first: usize) {
    let (n, start) = (job.b.lines(), job.c.start());
    for row in rows {
        for line in (0..job.tiles.panel).step_by(LANES) {
            S::fetch(start.wrapping_add(row * n + first + line));
        }
    }
}

/// Turns the sums of a row into values.
#[inline(always)]
fn finish<S: Simd>(job: &Product<'_>, sums: &[i32], total: i32, row: usize, columns: Range<usize>) {
    let n = job.b.lines();
    // SAFETY: this task's rows of C.
    let c = unsafe { job.c.part(row * n + columns.start..row * n + columns.end) };
    let (scale, scales) = (job.a.scales[row], &job.b.scales[columns]);
    let less = if job.tiles.form == Form::Offset { total.wrapping_mul(128) } else { 0 };
    if job.accumulate {
        for ((c, sum), other) in c.iter_mut().zip(sums).zip(scales) {
            *c = S::fma(sum.wrapping_sub(less) as f32, scale * other, *c);
        }
    } else {
        for ((c, sum), other) in c.iter_mut().zip(sums).zip(scales) {
            *c = sum.wrapping_sub(less) as f32 * (scale * other);
        }
    }
}
