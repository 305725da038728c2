//! AVX-512: one register is the 16 lanes of the specification.

use std::arch::x86_64::*;

use super::{Simd, Tile, array_of, tiles};
use crate::philox::{FACTORS, STEPS};

/// AVX-512 F, BW, DQ, VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    const ROWS: usize = 12;
    const PANEL: usize = 32;

    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn fetch(line: *const f32) {
        fetch(line);
    }

    type Row = __m512;
    const MANY_REGISTERS: bool = true;

    #[inline(always)]
    fn fetch_far(line: *const u8) {
        // SAFETY: a hint only, part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }

    #[inline(always)]
    unsafe fn load_row(from: *const f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> __m512 {
        // SAFETY: the caller's.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
        }
    }

    #[inline(always)]
    unsafe fn store_row(to: *mut f32, row: __m512) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_ps(to, row) }
    }

    #[inline(always)]
    unsafe fn fma_row(a: f32, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_fmadd_ps(_mm512_set1_ps(a), b, c) }
    }

    #[inline(always)]
    unsafe fn tile(t: &Tile) {
        // SAFETY: passed on to the caller.
        unsafe { tile(t) }
    }

    #[inline(always)]
    unsafe fn philox(counter: [[u32; 16]; 4], key: [u32; 2]) -> [[u32; 16]; 4] {
        // SAFETY: the caller's.
        unsafe { philox(counter, key) }
    }

    #[inline(always)]
    unsafe fn transpose(
        to: *mut f32,
        width: usize,
        from: *const f32,
        stride: usize,
        count: usize,
        depth: usize,
    ) {
        // SAFETY: passed on to the caller.
        unsafe { transpose(to, width, from, stride, count, depth) }
    }
}

tiles! {
    #[target_feature(enable = "avx512f,avx2,fma")]
    32 / 16, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps, fetch,
    [1 2 3 4 5 6 7 8 9 10 11 12]
}

/// How far ahead lines are fetched, in values.
const AHEAD: usize = 128;

/// Blocks of 16 × 16.
///
/// A block is stored as whole registers also where it is narrower than 16: the excess falls on
/// places that the next row overwrites, and the very last row of a panel is stored under a mask.
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn transpose(
    to: *mut f32,
    width: usize,
    from: *const f32,
    stride: usize,
    count: usize,
    depth: usize,
) {
    // SAFETY: loads are masked to `count` lines and `depth` values, stores end inside the panel.
    unsafe {
        for j in (0..count).step_by(16) {
            let lines = (count - j).min(16);
            for p in (0..depth).step_by(16) {
                let rows = (depth - p).min(16);
                let loaded = 0xffff_u16 >> (16 - rows);
                let mut block = [_mm512_setzero_ps(); 16];
                if lines == 16 && rows == 16 {
                    for (l, line) in block.iter_mut().enumerate() {
                        let from = from.add((j + l) * stride + p);
                        // Too many streams for the machine to foresee; may point past the end.
                        _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(AHEAD).cast());
                        *line = _mm512_loadu_ps(from);
                    }
                } else {
                    for (l, line) in block.iter_mut().enumerate().take(lines) {
                        *line = _mm512_maskz_loadu_ps(loaded, from.add((j + l) * stride + p));
                    }
                }
                let block = transpose_block(block);
                let room = (width - j).min(16);
                for (r, row) in block.into_iter().enumerate().take(rows) {
                    let to = to.add((p + r) * width + j);
                    if room == 16 || p + r + 1 < depth {
                        _mm512_storeu_ps(to, row);
                    } else {
                        _mm512_mask_storeu_ps(to, 0xffff_u16 >> (16 - room), row);
                    }
                }
            }
        }
    }
}

/// The transpose of 16 rows of 16.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma")]
fn transpose_block(x: [__m512; 16]) -> [__m512; 16] {
    let zero = _mm512_setzero_ps();
    let (mut a, mut b, mut c, mut d) = ([zero; 16], [zero; 16], [zero; 16], [zero; 16]);
    // Pairs of rows, then fours: quarter q of b[4g + i] has column 4q + i of rows 4g … 4g + 3.
    for i in 0..8 {
        a[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    for g in 0..4 {
        for h in 0..2 {
            let low = _mm512_castps_pd(a[4 * g + h]);
            let high = _mm512_castps_pd(a[4 * g + 2 + h]);
            b[4 * g + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            b[4 * g + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
    // Quarters: c holds quarters (0, 2) or (1, 3) of two groups, d those of all four.
    for i in 0..4 {
        c[i] = _mm512_shuffle_f32x4::<0x88>(b[i], b[4 + i]);
        c[4 + i] = _mm512_shuffle_f32x4::<0xdd>(b[i], b[4 + i]);
        c[8 + i] = _mm512_shuffle_f32x4::<0x88>(b[8 + i], b[12 + i]);
        c[12 + i] = _mm512_shuffle_f32x4::<0xdd>(b[8 + i], b[12 + i]);
    }
    for i in 0..4 {
        d[i] = _mm512_shuffle_f32x4::<0x88>(c[i], c[8 + i]);
        d[8 + i] = _mm512_shuffle_f32x4::<0xdd>(c[i], c[8 + i]);
        d[4 + i] = _mm512_shuffle_f32x4::<0x88>(c[4 + i], c[12 + i]);
        d[12 + i] = _mm512_shuffle_f32x4::<0xdd>(c[4 + i], c[12 + i]);
    }
    d
}

/// Brings a line closer; the address need not be valid.
#[inline(always)]
fn fetch(line: *const f32) {
    // SAFETY: a hint only, part of every x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
}

/// Philox on sixteen counters: a register for each of their four words.
#[target_feature(enable = "avx512f")]
fn philox(counter: [[u32; 16]; 4], key: [u32; 2]) -> [[u32; 16]; 4] {
    // SAFETY: sixteen words are a register.
    let [mut a, mut b, mut c, mut d] =
        array_of!(4, |i| unsafe { _mm512_loadu_si512(counter[i].as_ptr().cast()) });
    let factors = array_of!(2, |n| _mm512_set1_epi64(i64::from(FACTORS[n])));
    let mut keys = array_of!(2, |n| _mm512_set1_epi32(key[n].cast_signed()));
    for _ in 0..10 {
        let (first, second) = (products(a, factors[0]), products(c, factors[1]));
        (a, b) = (_mm512_ternarylogic_epi32::<0x96>(second.0, b, keys[0]), second.1);
        (c, d) = (_mm512_ternarylogic_epi32::<0x96>(first.0, d, keys[1]), first.1);
        for (key, step) in keys.iter_mut().zip(STEPS) {
            *key = _mm512_add_epi32(*key, _mm512_set1_epi32(step.cast_signed()));
        }
    }
    let mut out = [[0; 16]; 4];
    for (out, words) in out.iter_mut().zip([a, b, c, d]) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), words) };
    }
    out
}

/// High and low words of the products of sixteen words with a factor.
#[target_feature(enable = "avx512f")]
fn products(words: __m512i, factor: __m512i) -> (__m512i, __m512i) {
    let even = _mm512_mul_epu32(words, factor);
    let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(words), factor);
    let high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64::<32>(even), odd);
    let low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64::<32>(odd));
    (high, low)
}
