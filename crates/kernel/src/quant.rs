//! Blocks of 8-bit integers with one scale each, for updates that travel.

use crate::kernel::Kernel;
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa, max_of};

/// Values to a block; the last block may be shorter.
const BLOCK: usize = 256;

impl Kernel {
    /// Rounds each block of 256 values to integers in ±127 times a scale.
    ///
    /// Shapes: `q` as `x`; `scales` one per block begun.
    /// Bits: `scale = max|x| / 127`, `q = x / scale` rounded to nearest, ties to even, and kept
    /// within ±127; all zero where the scale is zero. Non-finite input gives arbitrary
    /// integers: check with [`Kernel::all_finite`] first.
    pub fn quantize_i8(&self, q: &mut [i8], scales: &mut [f32], x: &[f32]) {
        assert_eq!(q.len(), x.len(), "quantize_i8: q");
        assert_eq!(scales.len(), x.len().div_ceil(BLOCK), "quantize_i8: scales");
        let (q, out) = (Shared::new(q), Shared::new(scales));
        self.split(x.len().div_ceil(BLOCK), 1, 2 * BLOCK, |blocks| {
            let at = blocks.start * BLOCK..x.len().min(blocks.end * BLOCK);
            // SAFETY: runs of blocks do not overlap.
            let (q, scales) = unsafe { (q.part(at.clone()), out.part(blocks)) };
            quantize(self.cpu, q, scales, &x[at]);
        });
    }

    /// `x = q * scale of its block`.
    ///
    /// Shapes: as [`Kernel::quantize_i8`].
    pub fn dequantize_i8(&self, x: &mut [f32], q: &[i8], scales: &[f32]) {
        assert_eq!(q.len(), x.len(), "dequantize_i8: q");
        assert_eq!(scales.len(), x.len().div_ceil(BLOCK), "dequantize_i8: scales");
        let x = Shared::new(x);
        self.split(scales.len(), 1, BLOCK, |blocks| {
            let at = blocks.start * BLOCK..q.len().min(blocks.end * BLOCK);
            // SAFETY: runs of blocks do not overlap.
            let x = unsafe { x.part(at.clone()) };
            dequantize(self.cpu, x, &q[at], &scales[blocks]);
        });
    }
}

each_isa! {
    fn quantize(q: &mut [i8], scales: &mut [f32], x: &[f32]) = quantize_body;
    fn dequantize(x: &mut [f32], q: &[i8], scales: &[f32]) = dequantize_body;
}

#[inline(always)]
fn quantize_body<S: Simd>(q: &mut [i8], scales: &mut [f32], x: &[f32]) {
    /// Adding 1.5 · 2²³ rounds to an integer, ties to even, that stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    for ((q, scale), x) in q.chunks_mut(BLOCK).zip(scales).zip(x.chunks(BLOCK)) {
        let mut sizes = [0f32; BLOCK];
        for (size, x) in sizes.iter_mut().zip(x) {
            *size = x.abs();
        }
        *scale = max_of(&sizes) / 127.0;
        if *scale == 0.0 {
            q.fill(0);
            continue;
        }
        for (q, x) in q.iter_mut().zip(x) {
            let ratio = x / *scale;
            let ratio = if ratio > 127.0 { 127.0 } else { ratio };
            let ratio = if ratio < -127.0 { -127.0 } else { ratio };
            *q = (ratio + ROUND).to_bits() as i8;
        }
    }
}

#[inline(always)]
fn dequantize_body<S: Simd>(x: &mut [f32], q: &[i8], scales: &[f32]) {
    for ((x, q), scale) in x.chunks_mut(BLOCK).zip(q.chunks(BLOCK)).zip(scales) {
        for (x, q) in x.iter_mut().zip(q) {
            *x = f32::from(*q) * scale;
        }
    }
}
