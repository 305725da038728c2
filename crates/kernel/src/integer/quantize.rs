//! How values become integers.

use std::ops::Range;

use crate::kernel::Kernel;
use crate::random::{BYTES, Stream};
use crate::scratch::Shared;
use crate::simd::{LANES, Simd, each_isa, larger};

/// A line whose largest value is below this (2⁻¹⁰⁰) is zero: so no scale is subnormal, and no factor
/// overflows. The product of two scales may be subnormal, which is kept.
const TINY: f32 = f32::from_bits((127 - 100) << 23);

/// Values of a row that are rounded at a time: their noise stays in the first cache.
const PIECE: usize = 4096;

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
        self.words[row * self.stride() + col / 4].to_ne_bytes()[col % 4].cast_signed()
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
    /// rounded once to an f32 and then to an integer, ties to even, where for row `r` and column `c`
    /// `b` is byte `r · cols + c` of the stream ([`Stream::byte_at`]). Neither leaves ±127.
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
        // SAFETY: runs of rows do not overlap.
        let to = |run: &Range<usize>| unsafe { words.part(run.start * stride..run.end * stride) };
        let from = |run: &Range<usize>| &x[run.start * cols..run.end * cols];
        match by {
            Scales::Rows => {
                let scales = Shared::new(&mut out.scales);
                self.split(rows, 1, 4 * cols, |run| {
                    // SAFETY: as above.
                    let scales = unsafe { scales.part(run.clone()) };
                    let rounding = rounding.skip(run.start);
                    quantize_rows(self.cpu, to(&run), scales, from(&run), cols, rounding);
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
                    let rounding = rounding.skip(run.start);
                    quantize_columns(self.cpu, to(&run), &factors, from(&run), cols, rounding);
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
    let mut noise = Noise::of(rounding);
    let rows = to.chunks_exact_mut(cols.div_ceil(4)).zip(x.chunks_exact(cols));
    for (row, ((to, x), scale)) in rows.zip(scales).enumerate() {
        let factor;
        (factor, *scale) = factor_and_scale(largest(x));
        let pieces = bytes(to).chunks_mut(PIECE).zip(x.chunks(PIECE));
        for (piece, (to, x)) in pieces.enumerate() {
            let to = filled_up(to, x.len());
            match &mut noise {
                None => to.iter_mut().zip(x).for_each(|(q, x)| *q = nearest(x * factor)),
                Some(noise) => {
                    let noise = noise.take::<S>(row * cols + piece * PIECE, x.len(), cols);
                    for ((q, x), byte) in to.iter_mut().zip(x).zip(noise) {
                        *q = nearest(S::fma(*x, factor, shift(*byte)));
                    }
                }
            }
        }
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
    let mut noise = Noise::of(rounding);
    let rows = to.chunks_exact_mut(cols.div_ceil(4)).zip(x.chunks_exact(cols));
    for (row, (to, x)) in rows.enumerate() {
        let pieces = bytes(to).chunks_mut(PIECE).zip(x.chunks(PIECE));
        for (piece, ((to, x), factors)) in pieces.zip(factors.chunks(PIECE)).enumerate() {
            let to = filled_up(to, x.len()).iter_mut().zip(x).zip(factors);
            match &mut noise {
                None => to.for_each(|((q, x), factor)| *q = nearest(x * factor)),
                Some(noise) => {
                    let noise = noise.take::<S>(row * cols + piece * PIECE, x.len(), cols);
                    for (((q, x), factor), byte) in to.zip(noise) {
                        *q = nearest(S::fma(*x, *factor, shift(*byte)));
                    }
                }
            }
        }
    }
}

/// What decides how the values of some rows are rounded, made a little ahead.
struct Noise<'a> {
    stream: &'a Stream,
    /// Number of the first row.
    first: u64,
    /// Number in the stream of the first byte at hand, once there are some.
    start: Option<u64>,
    bytes: [u8; PIECE + BYTES],
}

impl<'a> Noise<'a> {
    fn of(rounding: Rounding<'a>) -> Option<Noise<'a>> {
        let Rounding::Stochastic { stream, first } = rounding else { return None };
        Some(Noise { stream, first, start: None, bytes: [0; PIECE + BYTES] })
    }

    /// The bytes of `len` values, at most [`PIECE`], from value `index` on of rows of `cols`.
    #[inline(always)]
    fn take<S: Simd>(&mut self, index: usize, len: usize, cols: usize) -> &[u8] {
        let index = self.first.wrapping_mul(cols as u64).wrapping_add(index as u64);
        let at_hand = self.start.map(|start| index.wrapping_sub(start));
        let at_hand = at_hand.filter(|skipped| *skipped <= (self.bytes.len() - len) as u64);
        let skipped = match at_hand {
            Some(skipped) => skipped,
            None => {
                let start = index - index % BYTES as u64;
                self.start = Some(start);
                for (run, to) in self.bytes.as_chunks_mut::<BYTES>().0.iter_mut().enumerate() {
                    *to = self.stream.bytes_at::<S>(start.wrapping_add((run * BYTES) as u64));
                }
                index - start
            }
        };
        &self.bytes[skipped as usize..][..len]
    }
}

/// The four integers of each word, in memory's order.
#[inline(always)]
fn bytes(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: a word is four bytes, of which any bits are valid.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * words.len()) }
}

/// The first `len` integers; those after them, which fill up the last word, become zero.
#[inline(always)]
fn filled_up(to: &mut [u8], len: usize) -> &mut [u8] {
    let (to, rest) = to.split_at_mut(len);
    rest.fill(0);
    to
}

/// What a byte of noise adds: between −½ and ½.
#[inline(always)]
fn shift(byte: u8) -> f32 {
    (f32::from(byte) - 127.5) * (1.0 / 256.0)
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
