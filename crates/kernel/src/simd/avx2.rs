//! AVX2 with FMA: the 16 lanes of the specification are two registers.

use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps};

use super::{Simd, Tile, tiles};

/// AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Simd for Avx2 {
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
    #[target_feature(enable = "avx2,fma")]
    16 / 8, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps,
    [1 2 3 4 5 6]
}
