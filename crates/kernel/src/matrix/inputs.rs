//! Inputs of products, made ready once for all matrices that they meet.

use crate::gemm::{View, pack_groups, tile_shape};
use crate::kernel::Kernel;
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa};

use super::code::COLUMNS;

/// How the inputs of a product with quantized weights are represented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// As 8-bit integers with a scale for each 32 of them; products are sums of integers.
    #[default]
    Int8,
    /// As they are; weights are widened to f32. Slow: the reference by which the loss of accuracy
    /// of [`Activations::Int8`] is measured.
    F32,
}

/// Inputs made ready for products: a buffer that callers keep from call to call, and the choice of
/// [`Activations`]. What it holds between calls has no influence on results.
#[derive(Default)]
pub struct Inputs {
    activations: Activations,
    pub(super) integers: Integers,
    /// Groups of rows as matrix tiles want them.
    pub(super) floats: Vec<f32>,
}

impl Inputs {
    /// An empty buffer.
    pub fn new(activations: Activations) -> Inputs {
        Inputs { activations, ..Inputs::default() }
    }

    /// The choice that was made.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// Makes the rows of `x` `[m, k]` ready as integers.
    pub(super) fn quantize(&mut self, kernel: &Kernel, x: &[f32], m: usize, k: usize) {
        let to = &mut self.integers;
        (to.rows, to.blocks) = (m, k / COLUMNS);
        if to.records.len() < m * to.blocks {
            to.records.resize(m * to.blocks, Record::ZERO);
        }
        let blocks = to.blocks;
        let records = Shared::new(&mut to.records[..m * blocks]);
        kernel.split(m.div_ceil(CHUNK), 1, 4 * k * m.min(CHUNK), |chunks| {
            let rows = chunks.start * CHUNK..m.min(chunks.end * CHUNK);
            // SAFETY: chunks do not overlap.
            let records = unsafe { records.part(rows.start * blocks..rows.end * blocks) };
            quantize(kernel.cpu, records, &x[rows.start * k..rows.end * k], k);
        });
    }

    /// Makes the rows of `x` `[m, k]` ready as floats.
    pub(super) fn group(&mut self, kernel: &Kernel, x: &[f32], m: usize, k: usize) {
        let (rows, _) = tile_shape(kernel.isa());
        let groups = m.div_ceil(rows);
        let room = groups * rows * k;
        if self.floats.len() < room {
            self.floats.resize(room, 0.0);
        }
        let to = Shared::new(&mut self.floats[..room]);
        kernel.split(groups, 1, rows * k, |run| {
            // SAFETY: runs of groups do not overlap.
            let to = unsafe { to.part(run.start * rows * k..run.end * rows * k) };
            let lines = run.start * rows..m.min(run.end * rows);
            pack_groups(kernel.cpu, to, View::rows(x, k), lines, 0..k);
        });
    }
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inputs({:?})", self.activations)
    }
}

/// Rows whose records lie together, so that they stay in the caches while tiles meet them.
pub(crate) const CHUNK: usize = 64;

/// Rows of inputs as integers.
///
/// Rows come in chunks of [`CHUNK`] (the last may have fewer); in a chunk the first blocks of all
/// rows, then the second blocks, and so on.
#[derive(Default)]
pub(crate) struct Integers {
    pub rows: usize,
    pub blocks: usize,
    pub records: Vec<Record>,
}

impl Integers {
    /// The chunks: the number of the first row of each and its records.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (usize, &[Record])> {
        let records = &self.records[..self.rows * self.blocks];
        (0..self.rows).step_by(CHUNK).map(move |first| {
            let end = self.rows.min(first + CHUNK);
            (first, &records[first * self.blocks..end * self.blocks])
        })
    }
}

/// 32 inputs as integers: a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Record {
    /// Within ±127.
    pub q: [i8; COLUMNS],
    /// The inputs are about `q * scale`.
    pub scale: f32,
    /// `scale · Σ q` over all, the first half, the second half.
    pub sums: [f32; 3],
    /// `−Σ q` over the same.
    pub minus: [i32; 3],
    /// To fill the line.
    pub rest: u32,
}

impl Record {
    const ZERO: Record =
        Record { q: [0; COLUMNS], scale: 0.0, sums: [0.0; 3], minus: [0; 3], rest: 0 };
}

each_isa! {
    fn quantize(to: &mut [Record], x: &[f32], k: usize) = quantize_body;
}

/// Whole chunks of rows.
#[inline(always)]
fn quantize_body<S: Simd>(to: &mut [Record], x: &[f32], k: usize) {
    let blocks = k / COLUMNS;
    if blocks == 0 {
        return;
    }
    for (to, x) in to.chunks_mut(CHUNK * blocks).zip(x.chunks(CHUNK * k)) {
        let rows = x.len() / k;
        for (row, x) in x.chunks_exact(k).enumerate() {
            let (x, _) = x.as_chunks::<COLUMNS>();
            for (block, x) in x.iter().enumerate() {
                record(&mut to[block * rows + row], x);
            }
        }
    }
}

/// Rounds 32 inputs.
///
/// Bits: `scale = max|x| / 127`, `q = x · (127 / max|x|)` rounded to nearest, ties to even; all zero
/// below 10⁻³⁰. If any is not finite, `scale` is NaN and so is every sum.
#[inline(always)]
fn record(to: &mut Record, x: &[f32; COLUMNS]) {
    /// Adding 1.5 · 2²³ rounds to an integer, ties to even, that stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const INFINITE: u32 = 0x7f80_0000;
    // The sizes of floats are ordered as their bits are, with NaN above all.
    let mut greatest = [0u32; 16];
    for (at, x) in x.iter().enumerate() {
        let size = x.to_bits() & 0x7fff_ffff;
        greatest[at % 16] = greatest[at % 16].max(size);
    }
    let greatest = greatest.into_iter().fold(0, u32::max);
    let size = f32::from_bits(greatest);
    let (scale, inverse) = if greatest >= INFINITE {
        (f32::NAN, 0.0)
    } else if size < 1e-30 {
        (0.0, 0.0)
    } else {
        (size / 127.0, 127.0 / size)
    };
    let usable = greatest < INFINITE;
    let mut q = [0i32; COLUMNS];
    for (q, x) in q.iter_mut().zip(x) {
        let rounded = x * inverse + ROUND;
        let integer = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
        *q = if usable { integer } else { 0 };
    }
    let mut sums = [0i32; 2];
    for at in 0..16 {
        sums[0] += q[at];
        sums[1] += q[16 + at];
    }
    to.q = q.map(|q| q as i8);
    to.scale = scale;
    let all = sums[0] + sums[1];
    to.sums = [all, sums[0], sums[1]].map(|sum| scale * sum as f32);
    to.minus = [-all, -sums[0], -sums[1]];
}
