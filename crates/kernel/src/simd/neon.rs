//! NEON: the 16 lanes of the specification are four registers.

use std::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_f32, vld1q_f32, vst1q_f32};

use super::{Simd, Tile, plain_rows, tiles};

/// NEON, which every AArch64 machine has.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Simd for Neon {
    plain_rows!(Self::fma);

    const ROWS: usize = 6;
    const PANEL: usize = 16;

    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    unsafe fn tile(t: &Tile) {
        // SAFETY: passed on to the caller.
        unsafe { tile(t) }
    }
}

tiles! {
    #[target_feature(enable = "neon")]
    16 / 4, vld1q_f32, vst1q_f32, vdupq_n_f32, fma, fetch, [1 2 3 4 5 6]
}

/// The intrinsic takes the addend first.
#[inline(always)]
unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
    // SAFETY: NEON is in the baseline.
    unsafe { vfmaq_f32(c, a, b) }
}

/// No hint here.
#[inline(always)]
fn fetch(_line: *const f32) {}
