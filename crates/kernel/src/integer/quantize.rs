//! How values become integers.

use crate::kernel::Kernel;
use crate::random::Stream;
use crate::scratch::Shared;
use crate::simd::{LANES, Simd, each_isa, larger};

/// A line whose largest value is below this (2⁻¹⁰⁰) is zero: so no scale is subnormal, and no factor
/// overflows. The product of two scales may be subnormal, which is kept.
const TINY: f32 = f32::from_bits((127 - 100) << 23);

/// Columns that one round of random numbers is for: sixteen blocks of sixteen bytes.
const NOISE: usize = 256;

/// Which lines of a matrix have a scale: those that are not summed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// Each row has one; sums go along the row.
    Rows,
    /// Each column has one; sums go down the column.
    Columns,
}

/// How a value between two integers becomes one of them.
#[derive(Clone, Copy, Debug)]
pub enum Rounding<'a> {
    /// The nearest, ties to even.
    Nearest,
    /// Either, each as likely as the value is near, so that the mean over many is the value.
    Stochastic {
        /// What decides; no two matrices share one.
        stream: &'a Stream,
        /// Number of the first row among all rows of the stream.
        first: u64,
    },
}

/// A matrix of integers in ±127, with a scale for each row or each column. Its memory is kept from
/// one matrix to the next.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// Four integers each, row-major; a row begins with a word, and rows and words are filled up
    /// with zeros to whole fours.
    pub(super) words: Vec<u32>,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) by: Scales,
    pub(super) scales: Vec<f32>,
}

impl Default for Quantized {
    /// The empty matrix.
    fn default() -> Self {
        Quantized { words: Vec::new(), rows: 0, cols: 0, by: Scales::Rows, scales: Vec::new() }
    }
}

impl Quantized {
    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Lines with a scale, which a product does not sum over.
    pub fn lines(&self) -> usize {
        self.scales.len()
    }

    /// Integers in a line: the length of a product's sum.
    pub fn depth(&self) -> usize {
        match self.by {
            Scales::Rows => self.cols,
            Scales::Columns => self.rows,
        }
    }

    /// Which lines have a scale.
    pub fn by(&self) -> Scales {
        self.by
    }

    /// The scale of each line.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The integer at a row and a column.
    ///
    /// Panics: there is none.
    pub fn at(&self, row: usize, col: usize) -> i8 {
        assert!(
            row < self.rows && col < self.cols,
            "({row}, {col}) of {}x{}",
            self.rows,
            self.cols
        );
        self.words[row * self.stride() + col / 4].to_le_bytes()[col % 4].cast_signed()
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        4 * (self.words.len() + self.scales.len())
    }

    /// Words of a row.
    pub(super) fn stride(&self) -> usize {
        self.cols.div_ceil(4)
    }

    fn shape(&mut self, rows: usize, cols: usize, by: Scales) {
        (self.rows, self.cols, self.by) = (rows, cols, by);
        // Everything is written, but for what fills up the last words and rows.
        self.words.resize(rows.next_multiple_of(4) * cols.div_ceil(4), 0);
        let filled = rows * self.stride();
        self.words[filled..].fill(0);
        self.scales.resize(if by == Scales::Rows { rows } else { cols }, 0.0);
    }
}

impl Kernel {
    /// Rounds `x`, row-major with `cols` columns, to integers in ±127 times a scale for each row or
    /// column.
    ///
    /// Bits: for a line with the largest size `a`, `factor = 127 / a` and `scale = a / 127`, each
    /// rounded once; both are zero where `a < 2⁻¹⁰⁰`. To nearest: `q` is `x · factor`, rounded to an
    /// f32 and then to an integer, ties to even. Stochastic: `q` is `x · factor + (b − 127.5) / 256`,
    /// rounded once to an f32 and then to an integer, ties to even, where for row `r` of the stream
    /// and column `c` the byte `b` is number `c / 16 mod 16` (little-endian, from 0) of Philox's
    /// block `16 · (r · ⌈cols / 256⌉ + c / 256) + c mod 16` of the stream. Neither leaves ±127.
    /// Values that are no numbers give arbitrary integers: check with [`Kernel::all_finite`].
    ///
    /// Panics: if `x` is no whole number of rows.
    pub fn quantize(
        &self,
        out: &mut Quantized,
        x: &[f32],
        cols: usize,
        by: Scales,
        rounding: Rounding<'_>,
    ) {
        let rows = x.len().checked_div(cols).unwrap_or(0);
        assert_eq!(x.len(), rows * cols, "quantize: rows of {cols}");
        out.shape(rows, cols, by);
        if x.is_empty() {
            return;
        }
        let stride = out.stride();
        let words = Shared::new(&mut out.words);
        match by {
            Scales::Rows => {
                let scales = Shared::new(&mut out.scales);
                self.split(rows, 1, 4 * cols, |run| {
                    // SAFETY: runs of rows do not overlap.
                    let to = unsafe { words.part(run.start * stride..run.end * stride) };
                    // SAFETY: as above.
                    let scales = unsafe { scales.part(run.clone()) };
                    let x = &x[run.start * cols..run.end * cols];
                    quantize_rows(self.cpu, to, scales, x, cols, rounding.skip(run.start));
                });
            }
            Scales::Columns => {
                let mut factors = vec![0.0; cols];
                let (all, scales) = (Shared::new(&mut factors), Shared::new(&mut out.scales));
                self.split(cols, LANES, 2 * rows, |run| {
                    // SAFETY: runs of columns do not overlap.
                    let (to, scales) = unsafe { (all.part(run.clone()), scales.part(run.clone())) };
                    column_scales(self.cpu, to, scales, x, cols, run.start);
                });
                self.split(rows, 1, 4 * cols, |run| {
                    // SAFETY: runs of rows do not overlap.
                    let to = unsafe { words.part(run.start * stride..run.end * stride) };
                    let x = &x[run.start * cols..run.end * cols];
                    quantize_columns(self.cpu, to, &factors, x, cols, rounding.skip(run.start));
                });
            }
        }
    }
}

impl<'a> Rounding<'a> {
    /// The same for the rows after the first `rows`.
    fn skip(self, rows: usize) -> Rounding<'a> {
        match self {
            Rounding::Nearest => Rounding::Nearest,
            Rounding::Stochastic { stream, first } => {
                Rounding::Stochastic { stream, first: first.wrapping_add(rows as u64) }
            }
        }
    }
}

each_isa! {
    fn quantize_rows(to: &mut [u32], scales: &mut [f32], x: &[f32], cols: usize, rounding: Rounding<'_>) = rows_body;
    fn column_scales(factors: &mut [f32], scales: &mut [f32], x: &[f32], cols: usize, first: usize) = column_scales_body;
    fn quantize_columns(to: &mut [u32], factors: &[f32], x: &[f32], cols: usize, rounding: Rounding<'_>) = columns_body;
}

#[inline(always)]
fn rows_body<S: Simd>(
    to: &mut [u32],
    scales: &mut [f32],
    x: &[f32],
    cols: usize,
    rounding: Rounding<'_>,
) {
    let rows = to.chunks_exact_mut(cols.div_ceil(4)).zip(x.chunks_exact(cols));
    for (row, ((to, x), scale)) in rows.zip(scales).enumerate() {
        let factor;
        (factor, *scale) = factor_and_scale(largest(x));
        let factors = [factor; NOISE];
        round_row::<S>(to, x, rounding.skip(row), |_| &factors);
    }
}

#[inline(always)]
fn column_scales_body<S: Simd>(
    factors: &mut [f32],
    scales: &mut [f32],
    x: &[f32],
    cols: usize,
    first: usize,
) {
    factors.fill(0.0);
    for row in x.chunks_exact(cols) {
        for (largest, x) in factors.iter_mut().zip(&row[first..]) {
            *largest = larger(*largest, x.abs());
        }
    }
    for (factor, scale) in factors.iter_mut().zip(scales) {
        (*factor, *scale) = factor_and_scale(*factor);
    }
}

#[inline(always)]
fn columns_body<S: Simd>(
    to: &mut [u32],
    factors: &[f32],
    x: &[f32],
    cols: usize,
    rounding: Rounding<'_>,
) {
    let rows = to.chunks_exact_mut(cols.div_ceil(4)).zip(x.chunks_exact(cols));
    for (row, (to, x)) in rows.enumerate() {
        round_row::<S>(to, x, rounding.skip(row), |first| &factors[first..]);
    }
}

/// Rounds a row. `factors(c)`: those of the columns from `c` on, at least as far as there are
/// columns or [`NOISE`] of them.
#[inline(always)]
fn round_row<'f, S: Simd>(
    to: &mut [u32],
    x: &[f32],
    rounding: Rounding<'_>,
    factors: impl Fn(usize) -> &'f [f32],
) {
    let rounds = x.len().div_ceil(NOISE) as u64;
    for (round, (to, x)) in to.chunks_mut(NOISE / 4).zip(x.chunks(NOISE)).enumerate() {
        let factors = &factors(round * NOISE)[..x.len()];
        let noise = match rounding {
            Rounding::Nearest => None,
            Rounding::Stochastic { stream, first } => {
                let at = first.wrapping_mul(rounds).wrapping_add(round as u64);
                Some(stream.blocks_at::<S>(at.wrapping_mul(LANES as u64)))
            }
        };
        let mut q = [0; NOISE];
        match (x.as_array::<NOISE>(), factors.as_array::<NOISE>()) {
            (Some(x), Some(factors)) => round_some::<S>(&mut q, x, factors, &noise),
            _ => {
                let (mut all, mut their) = ([0.0; NOISE], [0.0; NOISE]);
                all[..x.len()].copy_from_slice(x);
                their[..x.len()].copy_from_slice(factors);
                round_some::<S>(&mut q, &all, &their, &noise);
            }
        }
        for (to, q) in to.iter_mut().zip(q.as_chunks::<4>().0) {
            *to = u32::from_le_bytes(*q);
        }
    }
}

/// Rounds as many values as a round of random numbers is for.
#[inline(always)]
fn round_some<S: Simd>(
    q: &mut [u8; NOISE],
    x: &[f32; NOISE],
    factors: &[f32; NOISE],
    noise: &Option<[[u32; LANES]; 4]>,
) {
    let Some(noise) = noise else {
        for i in 0..NOISE {
            q[i] = nearest(x[i] * factors[i]);
        }
        return;
    };
    let mut shifts = [[0.0; LANES]; NOISE / LANES];
    for (words, shifts) in noise.iter().zip(shifts.as_chunks_mut::<4>().0) {
        for (byte, shifts) in shifts.iter_mut().enumerate() {
            for (shift, word) in shifts.iter_mut().zip(words) {
                let byte = (word >> (8 * byte) & 0xff).cast_signed() as f32;
                *shift = (byte - 127.5) * (1.0 / 256.0);
            }
        }
    }
    let shifts = shifts.as_flattened();
    for i in 0..NOISE {
        q[i] = nearest(S::fma(x[i], factors[i], shifts[i]));
    }
}

/// The nearest integer, ties to even, of a number within ±127.5.
#[inline(always)]
fn nearest(x: f32) -> u8 {
    /// Adding 1.5 · 2²³ rounds to an integer, ties to even, that stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    (x + ROUND).to_bits() as u8
}

#[inline(always)]
fn factor_and_scale(largest: f32) -> (f32, f32) {
    if largest < TINY { (0.0, 0.0) } else { (127.0 / largest, largest / 127.0) }
}

/// The largest size of a value.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] = larger(lanes[l], chunk[l].abs());
        }
    }
    tail.iter().chain(&lanes).fold(0.0, |most, x| larger(most, x.abs()))
}
