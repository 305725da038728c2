//! Products of rows of inputs with matrices, split among threads.

use std::ops::Range;

use crate::gemm::tile_shape;
use crate::isa::{Cpu, Isa};
use crate::kernel::Kernel;
use crate::scratch::{Scratch, Shared};
use crate::simd::{Simd, Tile, each_isa};

use super::code::{COLUMNS, ROWS};
use super::expand;
use super::floats::FEW;
use super::inputs::{Activations, Inputs, Integers};
use super::{Matrix, floats, integer};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// One of the products of [`Kernel::matmul`].
pub struct Product<'a> {
    /// The output `[m, rows of w]`.
    pub y: &'a mut [f32],
    /// The weights.
    pub w: &'a Matrix,
    /// Whether the chains start from what `y` holds (a residual).
    pub add: bool,
    /// Added to where the chains start, one value for each row of `w`.
    pub bias: Option<&'a [f32]>,
}

impl<'a> Product<'a> {
    /// `y = x · wᵀ`.
    pub fn new(y: &'a mut [f32], w: &'a Matrix) -> Product<'a> {
        Product { y, w, add: false, bias: None }
    }
}

/// Columns of weights widened at once.
const DEPTH: usize = 256;
/// Bytes of weights that are worth a task of their own.
const WORTH: usize = 24 << 10;

impl Kernel {
    /// For each product `y[m, rows] = x[m, k] · wᵀ (+ y) (+ bias)`: several matrices with the same
    /// inputs, all threads on all of them, one join.
    ///
    /// Bits: an output is one chain that starts from `y` if `add`, else from zero, plus `bias`.
    ///
    /// - Floats, and every format with [`Activations::F32`]: one fused multiply-add per column in
    ///   order, as [`Kernel::linear`] on the widened weights.
    /// - Quantized formats with [`Activations::Int8`]: 32 inputs become integers `q` and a scale
    ///   `d = max|x| / 127` (`q = x · (127 / max|x|)`, ties to even; zeros if `max|x| < 10⁻³⁰`; NaN
    ///   if any is not finite). A part of the weights (16 columns for Q2_K, Q3_K and Q6_K, else 32)
    ///   has a scale `s` and maybe a minimum `a`, both exact in f32. For each part in order one link
    ///   `acc = fma(i, s · d, acc)`, `i` the exact sum of products of integers, then, if the format
    ///   has minima, `acc = fma(a, d · Σq, acc)`.
    ///
    /// So neither `m`, nor what else is in the call, nor threads, nor the instruction set matter.
    /// Panics: if lengths disagree, or if a product's `w` has not as many columns as the first.
    pub fn matmul(&self, outs: &mut [Product<'_>], x: &[f32], m: usize, scratch: &mut Inputs) {
        let Some(k) = outs.first().map(|out| out.w.cols()) else { return };
        assert_eq!(x.len(), m * k, "matmul: x");
        for out in outs.iter() {
            let rows = out.w.rows();
            assert_eq!(out.w.cols(), k, "matmul: columns of {:?}", out.w);
            assert_eq!(out.y.len(), m * rows, "matmul: y of {:?}", out.w);
            assert!(out.bias.is_none_or(|bias| bias.len() == rows), "matmul: bias of {:?}", out.w);
        }
        if m == 0 {
            return;
        }
        let int8 = scratch.activations() == Activations::Int8;
        let integers = |out: &Product| int8 && out.w.format().is_quantized();
        if outs.iter().any(integers) {
            scratch.quantize(self, x, m, k);
        }
        let widened = |out: &Product| !integers(out) && !straight(out.w, m);
        if outs.iter().any(widened) {
            scratch.group(self, x, m, k);
        }
        let jobs: Vec<Job> = outs.iter_mut().map(|out| Job::new(out, int8)).collect();
        self.run_jobs(&jobs, x, m, scratch);
    }

    /// Cuts the tiles of all jobs, one after another, into tasks of about the same cost.
    fn run_jobs(&self, jobs: &[Job], x: &[f32], m: usize, inputs: &Inputs) {
        let cost = |job: &Job| job.w.tile_bytes().max(1) * m.min(64);
        let total: usize = jobs.iter().map(|job| job.tiles() * cost(job)).sum();
        let tasks = (total / WORTH).clamp(1, 4 * self.threads());
        self.parallel(tasks, |task| {
            let wanted = total * task / tasks..total * (task + 1) / tasks;
            let mut before = 0;
            for job in jobs {
                // The tiles whose first unit of cost lies in the task's share.
                let first =
                    |at: usize| at.saturating_sub(before).div_ceil(cost(job)).min(job.tiles());
                let tiles = first(wanted.start)..first(wanted.end);
                before += job.tiles() * cost(job);
                if !tiles.is_empty() {
                    self.run_tiles(job, tiles, x, m, inputs);
                }
            }
        });
    }

    fn run_tiles(&self, job: &Job, tiles: Range<usize>, x: &[f32], m: usize, inputs: &Inputs) {
        if job.integers {
            integer_tiles(self.cpu, job, tiles, &inputs.integers);
        } else if straight(job.w, m) {
            floats::tiles(self.cpu, job.w, tiles, x, &job.y);
        } else {
            let (rows, _) = tile_shape(self.isa());
            let k = job.w.cols();
            let groups = &inputs.floats[..m.next_multiple_of(rows) * k];
            widened(self.cpu, job, tiles, groups, m);
        }
    }
}

/// Whether a product is made straight from tiles of floats.
fn straight(w: &Matrix, m: usize) -> bool {
    m <= FEW && w.cols() > 0 && !w.format().is_quantized()
}

fn integer_tiles(cpu: Cpu, job: &Job, tiles: Range<usize>, x: &Integers) {
    match cpu.isa() {
        // SAFETY: a `Cpu` proves what the machine has.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if cpu.has_byte_products() => unsafe {
            avx512::tiles(job.w, tiles, x, &job.y);
        },
        // SAFETY: as above, and AVX-512 includes AVX2.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::tiles(job.w, tiles, x, &job.y) },
        _ => integer::tiles(job.w, tiles, x, &job.y),
    }
}

/// A product as its tasks see it.
struct Job<'a> {
    w: &'a Matrix,
    integers: bool,
    y: Output<'a>,
}

impl<'a> Job<'a> {
    fn new(product: &'a mut Product<'_>, int8: bool) -> Job<'a> {
        let w = product.w;
        let y = Output {
            y: Shared::new(product.y),
            rows: w.rows(),
            add: product.add,
            bias: product.bias,
        };
        Job { w, integers: int8 && w.format().is_quantized(), y }
    }

    fn tiles(&self) -> usize {
        self.w.rows().div_ceil(ROWS)
    }
}

/// Where outputs go. Tasks write to tiles of their own.
pub(crate) struct Output<'a> {
    y: Shared<'a, f32>,
    /// Rows of the matrix: outputs for one row of inputs.
    rows: usize,
    pub add: bool,
    pub bias: Option<&'a [f32]>,
}

impl Output<'_> {
    /// The outputs of a tile for one row of inputs that exist.
    #[inline(always)]
    fn lanes(&self, row: usize, tile: usize) -> Range<usize> {
        let end = self.rows.min((tile + 1) * ROWS);
        row * self.rows + tile * ROWS..row * self.rows + end
    }

    /// The same as an address (the outputs of a tile belong to one task) and their number.
    #[inline(always)]
    pub(crate) fn place(&self, row: usize, tile: usize) -> (*mut f32, usize) {
        let lanes = self.lanes(row, tile);
        debug_assert!(lanes.end <= self.y.len() && lanes.len() <= ROWS);
        (self.y.start().wrapping_add(lanes.start), lanes.len())
    }

    /// Where the chains of a tile start.
    #[inline(always)]
    pub(crate) fn start(&self, row: usize, tile: usize) -> [f32; ROWS] {
        let mut start = [0.0; ROWS];
        if self.add {
            let lanes = self.lanes(row, tile);
            // SAFETY: this tile is this task's, and the part is let go at once.
            start[..lanes.len()].copy_from_slice(unsafe { self.y.part(lanes) });
        }
        if let Some(bias) = self.bias {
            for (start, bias) in start.iter_mut().zip(&bias[tile * ROWS..]) {
                *start += bias;
            }
        }
        start
    }

    /// Writes the outputs of a tile.
    #[inline(always)]
    pub(crate) fn finish(&self, row: usize, tile: usize, sums: &[f32; ROWS]) {
        let lanes = self.lanes(row, tile);
        // SAFETY: as in `start`.
        let to = unsafe { self.y.part(lanes) };
        to.copy_from_slice(&sums[..to.len()]);
    }
}

each_isa! {
    fn widened(job: &Job, tiles: Range<usize>, x: &[f32], m: usize) = widened_body;
}

/// Tiles as panels of f32, each met by all groups of inputs: one chain over columns.
#[inline(always)]
fn widened_body<S: Simd>(job: &Job, tiles: Range<usize>, x: &[f32], m: usize) {
    let (w, k, rows) = (job.w, job.w.cols(), job.y.rows);
    for tile in tiles.clone() {
        for row in 0..m {
            job.y.finish(row, tile, &job.y.start(row, tile));
        }
    }
    let mut panel = Scratch::new(DEPTH * S::PANEL);
    let lines = tiles.start * ROWS..rows.min(tiles.end * ROWS);
    for j in lines.clone().step_by(S::PANEL) {
        let cols = S::PANEL.min(lines.end - j);
        for first in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - first);
            fill_panel::<S>(&mut panel[..depth * S::PANEL], w, j, cols, first);
            for i in (0..m).step_by(S::ROWS) {
                // SAFETY: the tile lies inside this task's columns of `y`; the packed operands hold
                // whole groups and panels; the instruction set is that of the caller.
                unsafe {
                    S::tile(&Tile {
                        rows: S::ROWS.min(m - i),
                        cols,
                        depth,
                        a: x[i * k + first * S::ROWS..].as_ptr(),
                        a_row: 1,
                        a_step: S::ROWS,
                        b: panel.as_ptr(),
                        c: job.y.y.start().add(i * rows + j),
                        c_row: rows,
                        accumulate: true,
                    });
                }
            }
        }
    }
}

/// `panel[p][i] = w[line + i][first + p]`, for `cols` lines of the panel.
#[inline(always)]
fn fill_panel<S: Simd>(panel: &mut [f32], w: &Matrix, line: usize, cols: usize, first: usize) {
    let width = S::PANEL;
    if width.is_multiple_of(ROWS) && !w.format().is_quantized() {
        let depth = first..first + panel.len() / width;
        for from in (0..cols).step_by(ROWS) {
            floats::widen::<S>(w, (line + from) / ROWS, depth.clone(), &mut panel[from..], width);
        }
        return;
    }
    let mut block = [[0.0; ROWS]; COLUMNS];
    for (at, panel) in panel.chunks_mut(COLUMNS * width).enumerate() {
        let depth = panel.len() / width;
        for from in (line..line + cols).step_by(ROWS.min(width)) {
            expand::columns(w, from / ROWS, first + at * COLUMNS, &mut block[..depth]);
            let lanes = from % ROWS..(from % ROWS + width).min(ROWS);
            for (to, block) in panel.chunks_exact_mut(width).zip(&block) {
                to[from - line..][..lanes.len()].copy_from_slice(&block[lanes.clone()]);
            }
        }
    }
}
