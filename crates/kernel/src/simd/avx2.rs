//! AVX2 with FMA: the 16 lanes of the specification are two registers.

use std::arch::x86_64::*;

use super::{Simd, Tile, array_of, tiles, transpose_plain};
use crate::philox::{FACTORS, STEPS};

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
    fn fetch(line: *const f32) {
        fetch(line);
    }

    type Row = [__m256; 2];

    #[inline(always)]
    fn fetch_far(line: *const u8) {
        // SAFETY: a hint only, part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }

    #[inline(always)]
    unsafe fn load_row(from: *const f32) -> Self::Row {
        // SAFETY: the caller's.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self::Row {
        // SAFETY: the caller's.
        unsafe {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self::Row {
        // SAFETY: the caller's.
        unsafe {
            array_of!(2, |half| {
                let bits = _mm_loadu_si128(from.add(8 * half).cast());
                let bits = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits));
                _mm256_castsi256_ps(bits)
            })
        }
    }

    #[inline(always)]
    unsafe fn store_row(to: *mut f32, row: Self::Row) {
        // SAFETY: the caller's.
        unsafe {
            _mm256_storeu_ps(to, row[0]);
            _mm256_storeu_ps(to.add(8), row[1]);
        }
    }

    #[inline(always)]
    unsafe fn fma_row(a: f32, b: Self::Row, c: Self::Row) -> Self::Row {
        // SAFETY: the caller's.
        unsafe {
            let a = _mm256_set1_ps(a);
            [_mm256_fmadd_ps(a, b[0], c[0]), _mm256_fmadd_ps(a, b[1], c[1])]
        }
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
    #[target_feature(enable = "avx2,fma")]
    16 / 8, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps, fetch,
    [1 2 3 4 5 6]
}

/// Blocks of 8 × 8.
///
/// A block is stored as whole registers also where it is narrower than 8: the excess falls on
/// places that the next row overwrites, and the very last row of a panel is stored under a mask.
/// Four lines or fewer, and what is left of the depth, go singly.
#[target_feature(enable = "avx2,fma")]
unsafe fn transpose(
    to: *mut f32,
    width: usize,
    from: *const f32,
    stride: usize,
    count: usize,
    depth: usize,
) {
    let deep = depth / 8 * 8;
    let tail = count % 8;
    let whole = if tail < 4 { count - tail } else { count };
    // SAFETY: every block lies inside `count` × `depth`, and `count` is at most `width`; a store
    // that ends in the next row is followed by those of that row, and the last row has a mask.
    unsafe {
        for p in (0..deep).step_by(8) {
            for j in (0..whole).step_by(8) {
                let (last, room) = ((count - j).min(8) - 1, width - j);
                // The last line stands in for those that are not there.
                let lines =
                    array_of!(8, |l| _mm256_loadu_ps(from.add((j + l.min(last)) * stride + p)));
                let to = to.add(p * width + j);
                let block = turn_8(lines);
                for (r, row) in block.into_iter().enumerate().take(7) {
                    _mm256_storeu_ps(to.add(r * width), row);
                }
                if room >= 8 || p + 8 < depth {
                    _mm256_storeu_ps(to.add(7 * width), block[7]);
                } else {
                    _mm256_maskstore_ps(to.add(7 * width), first_lanes(room), block[7]);
                }
            }
            transpose_plain(to, width, from, stride, whole..count, p..p + 8);
        }
        transpose_plain(to, width, from, stride, 0..count, deep..depth);
    }
}

/// A mask of the first `count` lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn first_lanes(count: usize) -> __m256i {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
}

/// The transpose of 8 rows of 8.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn turn_8(x: [__m256; 8]) -> [__m256; 8] {
    let zero = _mm256_setzero_ps();
    let (mut a, mut b, mut c) = ([zero; 8], [zero; 8], [zero; 8]);
    for i in 0..4 {
        a[2 * i] = _mm256_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    for g in 0..2 {
        for h in 0..2 {
            let low = _mm256_castps_pd(a[4 * g + h]);
            let high = _mm256_castps_pd(a[4 * g + 2 + h]);
            b[4 * g + 2 * h] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
            b[4 * g + 2 * h + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
        }
    }
    for i in 0..4 {
        c[i] = _mm256_permute2f128_ps::<0x20>(b[i], b[4 + i]);
        c[4 + i] = _mm256_permute2f128_ps::<0x31>(b[i], b[4 + i]);
    }
    c
}

/// Brings a line closer; the address need not be valid.
#[inline(always)]
fn fetch(line: *const f32) {
    // SAFETY: a hint only, part of every x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
}

/// Philox on sixteen counters, eight at a time: a register for each of their four words.
#[target_feature(enable = "avx2")]
fn philox(counter: [[u32; 16]; 4], key: [u32; 2]) -> [[u32; 16]; 4] {
    let mut out = [[0; 16]; 4];
    let factors = array_of!(2, |n| _mm256_set1_epi64x(i64::from(FACTORS[n])));
    for half in [0, 8] {
        // SAFETY: eight words from here on are a register.
        let [mut a, mut b, mut c, mut d] =
            array_of!(4, |i| unsafe { _mm256_loadu_si256(counter[i][half..].as_ptr().cast()) });
        let mut keys = array_of!(2, |n| _mm256_set1_epi32(key[n].cast_signed()));
        for _ in 0..10 {
            let (first, second) = (products(a, factors[0]), products(c, factors[1]));
            (a, b) = (_mm256_xor_si256(_mm256_xor_si256(second.0, b), keys[0]), second.1);
            (c, d) = (_mm256_xor_si256(_mm256_xor_si256(first.0, d), keys[1]), first.1);
            for (key, step) in keys.iter_mut().zip(STEPS) {
                *key = _mm256_add_epi32(*key, _mm256_set1_epi32(step.cast_signed()));
            }
        }
        for (out, words) in out.iter_mut().zip([a, b, c, d]) {
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(out[half..].as_mut_ptr().cast(), words) };
        }
    }
    out
}

/// High and low words of the products of eight words with a factor.
#[target_feature(enable = "avx2")]
fn products(words: __m256i, factor: __m256i) -> (__m256i, __m256i) {
    let even = _mm256_mul_epu32(words, factor);
    let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(words), factor);
    let high = _mm256_blend_epi32::<0xaa>(_mm256_srli_epi64::<32>(even), odd);
    let low = _mm256_blend_epi32::<0xaa>(even, _mm256_slli_epi64::<32>(odd));
    (high, low)
}
