//! Inputs as integers: 32 of them to a record.

use crate::isa::{Cpu, Isa};

use super::code::COLUMNS;
use super::inputs::CHUNK;

/// 32 inputs as integers: a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Record {
    /// Within ±127.
    pub q: [i8; COLUMNS],
    /// `scale · Σ q` over all, the first half, the second half.
    pub sums: [f32; 3],
    /// The inputs are about `q · scale`.
    pub scale: f32,
    /// `−Σ q` over all, the first half, the second half.
    pub minus: [i32; 3],
    /// Fills the line.
    pub rest: i32,
}

impl Record {
    pub(crate) const ZERO: Record =
        Record { q: [0; COLUMNS], sums: [0.0; 3], scale: 0.0, minus: [0; 3], rest: -1 };
}

/// Below this size of the greatest of 32 inputs all are zero: 127 over it might be infinite.
const LEAST: f32 = 1e-30;
/// The bits of infinity. Sizes of floats are ordered as their bits are, NaN above all.
const INFINITE: u32 = 0x7f80_0000;
/// All bits but the sign.
const SIZE: u32 = 0x7fff_ffff;

/// The records of whole chunks of rows of `k` inputs.
///
/// Bits: `scale = max|x| / 127`, `q = x · (127 / max|x|)` rounded to nearest, ties to even; all zero
/// below 10⁻³⁰. If any of the 32 is not finite, `scale` is NaN and so is every sum.
pub(crate) fn quantize(cpu: Cpu, to: &mut [Record], x: &[f32], k: usize) {
    match cpu.isa() {
        // SAFETY: a `Cpu` proves that the machine has the instruction set, which AVX-512 includes.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni | Isa::Avx512 => unsafe { avx2::quantize(to, x, k) },
        _ => each_record(to, x, k, plain),
    }
}

/// Calls `record` with the place of every block of inputs: see [`super::inputs::Integers`].
#[inline(always)]
fn each_record(
    to: &mut [Record],
    x: &[f32],
    k: usize,
    record: impl Fn(&mut Record, &[f32; COLUMNS]),
) {
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

/// The scale and what inputs are multiplied with, from the bits of the greatest size.
#[inline(always)]
fn scales(greatest: u32) -> (f32, f32) {
    let size = f32::from_bits(greatest);
    if greatest >= INFINITE {
        (f32::NAN, 0.0)
    } else if size < LEAST {
        (0.0, 0.0)
    } else {
        (size / 127.0, 127.0 / size)
    }
}

fn plain(to: &mut Record, x: &[f32; COLUMNS]) {
    let greatest = x.iter().fold(0, |most: u32, x| most.max(x.to_bits() & SIZE));
    let (scale, inverse) = scales(greatest);
    for (q, x) in to.q.iter_mut().zip(x) {
        let rounded = (x * inverse).round_ties_even();
        *q = if greatest < INFINITE { rounded as i8 } else { 0 };
    }
    let sum = |q: &[i8]| q.iter().map(|&q| i32::from(q)).sum::<i32>();
    let [first, second] = [sum(&to.q[..16]), sum(&to.q[16..])];
    let sums = [first + second, first, second];
    to.scale = scale;
    to.sums = sums.map(|sum| scale * sum as f32);
    to.minus = sums.map(|sum| -sum);
    to.rest = -1;
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{COLUMNS, INFINITE, Record, SIZE, each_record, scales};
    use crate::simd::array_of;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn quantize(to: &mut [Record], x: &[f32], k: usize) {
        // SAFETY: this function has the features that it asks for.
        each_record(to, x, k, |to, x| unsafe { record(to, x) });
    }

    /// # Safety
    /// The machine has AVX2.
    #[inline(always)]
    unsafe fn record(to: &mut Record, x: &[f32; COLUMNS]) {
        // SAFETY: 32 inputs are read, a record is written.
        unsafe {
            let x = array_of!(4, |i| _mm256_loadu_ps(x.as_ptr().add(8 * i)));
            let greatest = greatest(&x);
            let (scale, inverse) = scales(greatest);
            let inverse = _mm256_set1_ps(inverse);
            let usable = _mm256_set1_epi32(if greatest < INFINITE { -1 } else { 0 });
            let q = array_of!(4, |i| {
                let rounded = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], inverse));
                _mm256_and_si256(rounded, usable)
            });
            // Packing works within halves of registers; the permutation puts fours in order.
            let low = _mm256_packs_epi32(q[0], q[1]);
            let high = _mm256_packs_epi32(q[2], q[3]);
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let q = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
            _mm256_storeu_si256(to.q.as_mut_ptr().cast(), q);
            let sums = sums(q);
            let scaled = _mm_mul_ps(_mm_cvtepi32_ps(sums), _mm_set1_ps(scale));
            _mm_storeu_ps(to.sums.as_mut_ptr(), scaled);
            let minus = _mm_sub_epi32(_mm_setzero_si128(), sums);
            _mm_storeu_si128(to.minus.as_mut_ptr().cast(), minus);
            to.scale = scale;
        }
    }

    /// The bits of the greatest size.
    ///
    /// # Safety
    /// The machine has AVX2.
    #[inline(always)]
    unsafe fn greatest(x: &[__m256; 4]) -> u32 {
        // SAFETY: the caller's.
        unsafe {
            let mask = _mm256_set1_epi32(SIZE as i32);
            let [a, b, c, d] = array_of!(4, |i| _mm256_and_si256(_mm256_castps_si256(x[i]), mask));
            let most = _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d));
            let (low, high) = (_mm256_castsi256_si128(most), _mm256_extracti128_si256::<1>(most));
            let most = _mm_max_epi32(low, high);
            let most = _mm_max_epi32(most, _mm_shuffle_epi32::<0x4e>(most));
            let most = _mm_max_epi32(most, _mm_shuffle_epi32::<0xb1>(most));
            _mm_cvtsi128_si32(most) as u32
        }
    }

    /// `[Σ all, Σ first half, Σ second half, 1]`.
    ///
    /// # Safety
    /// The machine has AVX2.
    #[inline(always)]
    unsafe fn sums(q: __m256i) -> __m128i {
        // SAFETY: the caller's.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
            let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
            let eights = _mm256_add_epi32(fours, _mm256_shuffle_epi32::<0x4e>(fours));
            let halves = _mm256_add_epi32(eights, _mm256_shuffle_epi32::<0xb1>(eights));
            let first = _mm256_castsi256_si128(halves);
            let second = _mm256_extracti128_si256::<1>(halves);
            let all = _mm_add_epi32(first, second);
            let one = _mm_set1_epi32(1);
            _mm_unpacklo_epi64(_mm_unpacklo_epi32(all, first), _mm_unpacklo_epi32(second, one))
        }
    }
}
