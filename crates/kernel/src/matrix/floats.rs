//! Products of float weights with few rows of inputs, straight from the tiles.
//!
//! Some tiles side by side and some rows of inputs keep their sums in registers while the columns
//! pass: enough chains to hide the latency of an addition.

#![allow(clippy::needless_range_loop)] // arrays of registers are walked by their places

use std::ops::Range;

use crate::simd::{Simd, each_isa};

use super::Matrix;
use super::code::ROWS;
use super::format::Format;
use super::product::Output;

/// At most this many rows of inputs are few.
pub(crate) const FEW: usize = 16;

/// How far ahead memory is brought into the first and the second cache, in bytes.
const NEAR: usize = 512;
const FAR: usize = 3072;
/// Columns between two such hints.
const STRIDE: usize = 4;

each_isa! {
    /// The outputs of some tiles for the rows of `x`, each a chain over columns in order.
    pub(crate) fn tiles(w: &Matrix, range: Range<usize>, x: &[f32], y: &Output) = tiles_body;
}

#[inline(always)]
fn tiles_body<S: Simd>(w: &Matrix, range: Range<usize>, x: &[f32], y: &Output) {
    match w.format() {
        Format::F32 => tiles_of::<S, Single>(w, range, x, y),
        Format::F16 => tiles_of::<S, Half>(w, range, x, y),
        Format::BF16 => tiles_of::<S, Brain>(w, range, x, y),
        format => unreachable!("{format} is not made of floats"),
    }
}

/// How a weight lies in a tile.
trait Element {
    const BYTES: usize;

    /// Sixteen of them, widened.
    ///
    /// # Safety
    /// They lie at `from`; the machine has the instruction set.
    unsafe fn load<S: Simd>(from: *const u8) -> S::Row;
}

struct Single;
struct Half;
struct Brain;

impl Element for Single {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const u8) -> S::Row {
        // SAFETY: the caller's.
        unsafe { S::load_row(from.cast()) }
    }
}

impl Element for Half {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const u8) -> S::Row {
        // SAFETY: the caller's.
        unsafe { S::load_f16(from.cast()) }
    }
}

impl Element for Brain {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const u8) -> S::Row {
        // SAFETY: the caller's.
        unsafe { S::load_bf16(from.cast()) }
    }
}

/// Some columns of a tile as f32, one after another, `stride` apart.
#[inline(always)]
pub(crate) fn widen<S: Simd>(
    w: &Matrix,
    tile: usize,
    columns: Range<usize>,
    to: &mut [f32],
    stride: usize,
) {
    match w.format() {
        Format::F32 => widen_of::<S, Single>(w, tile, columns, to, stride),
        Format::F16 => widen_of::<S, Half>(w, tile, columns, to, stride),
        Format::BF16 => widen_of::<S, Brain>(w, tile, columns, to, stride),
        format => unreachable!("{format} is not made of floats"),
    }
}

#[inline(always)]
fn widen_of<S: Simd, E: Element>(
    w: &Matrix,
    tile: usize,
    columns: Range<usize>,
    to: &mut [f32],
    stride: usize,
) {
    let size = E::BYTES * ROWS;
    let columns = w.tile(tile)[columns.start * size..columns.end * size].chunks_exact(size);
    for (column, to) in columns.zip(to.chunks_mut(stride)) {
        let to = &mut to[..ROWS];
        // SAFETY: both are sixteen long; the instruction set is the caller's.
        unsafe { S::store_row(to.as_mut_ptr(), E::load::<S>(column.as_ptr())) };
    }
}

#[inline(always)]
fn tiles_of<S: Simd, E: Element>(w: &Matrix, range: Range<usize>, x: &[f32], y: &Output) {
    let k = w.cols();
    let Some(rows) = x.len().checked_div(k) else { return };
    let together = if S::MANY_REGISTERS { 4 } else { 2 };
    let mut tile = range.start;
    while tile < range.end {
        let whole = range.end - tile >= together;
        let mut row = 0;
        while row < rows {
            let patch = Patch { w, tile, row, x: &x[row * k..], y };
            row += match (whole, S::MANY_REGISTERS, rows - row) {
                (true, true, 4..) => patch.run::<S, E, 4, 4>(),
                (true, true, 2..) => patch.run::<S, E, 4, 2>(),
                (true, true, _) => patch.run::<S, E, 4, 1>(),
                (true, false, 2..) => patch.run::<S, E, 2, 2>(),
                (true, false, _) => patch.run::<S, E, 2, 1>(),
                (false, _, 2..) => patch.run::<S, E, 1, 2>(),
                (false, _, _) => patch.run::<S, E, 1, 1>(),
            };
        }
        tile += if whole { together } else { 1 };
    }
}

/// Some tiles from one on, some rows of inputs from one on (`x` begins with that).
struct Patch<'a> {
    w: &'a Matrix,
    tile: usize,
    row: usize,
    x: &'a [f32],
    y: &'a Output<'a>,
}

impl Patch<'_> {
    /// `N` tiles for `T` rows; returns `T`.
    #[inline(always)]
    fn run<S: Simd, E: Element, const N: usize, const T: usize>(&self) -> usize {
        let k = self.w.cols();
        assert!(self.x.len() >= T * k, "a patch of {T} rows");
        let column_bytes = E::BYTES * ROWS;
        let mut tiles = [std::ptr::null(); N];
        for (n, place) in tiles.iter_mut().enumerate() {
            *place = self.w.tile(self.tile + n)[..k * column_bytes].as_ptr();
        }
        // SAFETY: columns below `k` lie in the tiles and in each of the `T` rows of `x`; hints may
        // go anywhere; the instruction set is the caller's.
        unsafe {
            let mut sums = [[S::load_row([0.0; ROWS].as_ptr()); N]; T];
            for t in 0..T {
                for n in 0..N {
                    let start = self.y.start(self.row + t, self.tile + n);
                    sums[t][n] = S::load_row(start.as_ptr());
                }
            }
            let x = self.x.as_ptr();
            for p in 0..k {
                if p % STRIDE == 0 {
                    for place in tiles {
                        // Beyond the end comes the next patch, past the tiles at work.
                        let ahead = |by: usize| {
                            let at = p * column_bytes + by;
                            let skip = if at < k * column_bytes { 0 } else { N - 1 };
                            place.wrapping_add(at + skip * k * column_bytes)
                        };
                        let (near, far) = (ahead(NEAR), ahead(FAR));
                        for line in (0..STRIDE * column_bytes).step_by(64) {
                            S::fetch(near.wrapping_add(line).cast());
                            S::fetch_far(far.wrapping_add(line));
                        }
                    }
                }
                let mut weights = [sums[0][0]; N];
                for n in 0..N {
                    weights[n] = E::load::<S>(tiles[n].add(p * column_bytes));
                }
                for t in 0..T {
                    let x = *x.add(t * k + p);
                    for n in 0..N {
                        sums[t][n] = S::fma_row(x, weights[n], sums[t][n]);
                    }
                }
            }
            for t in 0..T {
                for n in 0..N {
                    let mut out = [0.0; ROWS];
                    S::store_row(out.as_mut_ptr(), sums[t][n]);
                    self.y.finish(self.row + t, self.tile + n, &out);
                }
            }
        }
        T
    }
}
