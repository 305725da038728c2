//! From products of queries and keys to scores, and to weights.

use std::ops::Range;

use crate::math::{exp_with, tanh_with};
use crate::simd::{LANES, Simd, fold_sum, max_of};

/// How a product of query and key becomes a score.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scoring<'a> {
    /// The product is multiplied by this.
    pub scale: f32,
    /// The score `s` becomes `cap * tanh(s / cap)`.
    pub cap: Option<f32>,
    /// Positions seen, the own one included.
    pub window: Option<usize>,
    /// One for each query head: before scaling, slope times the key's position is added, both and
    /// their product rounded to bfloat16 (ALiBi as Falcon was trained with it).
    pub slopes: Option<&'a [f32]>,
}

impl Scoring<'_> {
    /// Only `1/√head_dim`.
    pub fn plain(head_dim: usize) -> Scoring<'static> {
        Scoring { scale: 1.0 / (head_dim as f32).sqrt(), ..Scoring::default() }
    }

    /// The positions that `position` sees.
    pub(super) fn seen(&self, position: usize) -> Range<usize> {
        let end = position + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// ALiBi's slope of a query head.
    pub(super) fn slope(&self, head: usize) -> Option<f32> {
        self.slopes.map(|slopes| slopes[head])
    }

    pub(super) fn check(&self, heads: usize) {
        assert!(self.slopes.is_none_or(|slopes| slopes.len() == heads), "attention: slopes");
        assert!(self.window != Some(0), "attention: a window of nothing");
    }
}

/// Turns a row of products into `exp(score − max)`, exact zeros outside of `seen`; returns the
/// maximum and the sum. The row begins at position `base` and is a whole number of 16 lanes.
///
/// The greatest product times the scale is the greatest score: rounding keeps order. An entry of
/// −inf gives the zero that it stands for, also to its lane of the sum.
#[inline(always)]
pub(super) fn weigh<S: Simd>(
    row: &mut [f32],
    seen: Range<usize>,
    base: usize,
    scoring: &Scoring,
    slope: Option<f32>,
) -> (f32, f32) {
    row[..seen.start].fill(f32::NEG_INFINITY);
    row[seen.end..].fill(f32::NEG_INFINITY);
    let scale = bend::<S>(&mut row[seen.clone()], base + seen.start, scoring, slope);
    let max = max_of(row) * scale;
    let mut lanes = [0f32; LANES];
    for chunk in row.as_chunks_mut::<LANES>().0 {
        for x in chunk.iter_mut() {
            *x = exp_with::<S>(*x * scale - max);
        }
        for l in 0..LANES {
            lanes[l] += chunk[l];
        }
    }
    (max, fold_sum(lanes))
}

/// Turns the products with the keys from position `first` on into scores, but for a factor, which
/// is returned: the scale where there is nothing else, so that it needs no pass of its own.
#[inline(always)]
pub(super) fn bend<S: Simd>(
    products: &mut [f32],
    first: usize,
    scoring: &Scoring,
    slope: Option<f32>,
) -> f32 {
    if let Some(slope) = slope {
        let slope = to_bf16(slope);
        for (j, x) in products.iter_mut().enumerate() {
            *x += to_bf16(slope * to_bf16((first + j) as f32));
        }
    }
    let Some(cap) = scoring.cap else { return scoring.scale };
    for x in products.iter_mut() {
        *x = cap * tanh_with::<S>(*x * scoring.scale / cap);
    }
    1.0
}

/// The nearest bfloat16, ties to even; for finite numbers.
#[inline(always)]
fn to_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    f32::from_bits(rounded & 0xffff_0000)
}
