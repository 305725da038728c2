//! Products of integers with AVX2: two registers are a tile's sixteen rows.
//!
//! As with AVX-512, but products of bytes add up in pairs of 16 bits first. Levels of at most six
//! bits cannot overflow there; those of eight are made signed, and their sign moved to the inputs.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Matrix;
use super::code::{Code, Head, LEVELS, Meaning, ROWS, VECTOR, VECTORS, with_code};
use super::inputs::{CHUNK, Integers};
use super::product::Output;
use super::record::Record;
use crate::simd::array_of;

/// Rows in a register.
const LANES: usize = 8;
/// How far ahead memory is brought into the first and the second cache, in bytes.
const NEAR: usize = 512;
const FAR: usize = 3072;

/// The outputs of some tiles for all rows of `x`.
///
/// # Safety
/// The machine has AVX2, FMA and F16C.
pub(crate) unsafe fn tiles(w: &Matrix, range: Range<usize>, x: &Integers, y: &Output) {
    // SAFETY: passed on to the caller.
    with_code!(w.format(), C => unsafe { tiles_of::<C>(w, range, x, y) });
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tiles_of<C: Code>(w: &Matrix, tiles: Range<usize>, x: &Integers, y: &Output) {
    for (first, records) in x.chunks() {
        let rows = CHUNK.min(x.rows - first);
        for tile in tiles.clone() {
            let mut sums = [[0.0; ROWS]; CHUNK];
            for (row, sums) in sums[..rows].iter_mut().enumerate() {
                *sums = y.start(first + row, tile);
            }
            // SAFETY: a chunk has as many records for each block as rows; the rest is the caller's.
            unsafe { sums_of::<C>(w, tile, records, &mut sums[..rows], first == 0) };
            for (row, sums) in sums[..rows].iter().enumerate() {
                y.finish(first + row, tile, sums);
            }
        }
    }
}

/// Continues the chains of a tile for the rows of a chunk.
///
/// # Safety
/// As for [`tiles`]; there are as many records for each block as rows.
#[inline(always)]
unsafe fn sums_of<C: Code>(
    w: &Matrix,
    tile: usize,
    records: &[Record],
    sums: &mut [[f32; ROWS]],
    fetch: bool,
) {
    let (head, size) = (C::MEANING.head, C::MEANING.level_bytes());
    let (heads, levels) = w.tile(tile).split_at(C::MEANING.head_bytes(w.cols()));
    let block_bytes = size + head.bytes() / head.span();
    for (block, records) in records.chunks_exact(sums.len()).enumerate() {
        let (span, index) = (block / head.span(), block % head.span());
        let start = heads.as_ptr().wrapping_add(block * block_bytes);
        for line in (0..if fetch { block_bytes } else { 0 }).step_by(VECTOR) {
            // SAFETY: hints, for which any address will do.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(NEAR + line).cast());
                _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(FAR + line).cast());
            }
        }
        for half in 0..2 {
            // SAFETY: the head and the levels of a block lie in the tile, and the places of half a
            // tile in each row of sums; the rest is the caller's.
            unsafe {
                let at = heads[span * head.bytes()..][..head.bytes()].as_ptr();
                let scales = scales(head, at, index, half);
                let levels = levels[block * size..][..size].as_ptr().add(half * VECTOR / 2);
                let levels = unpack(C::MEANING, levels);
                for (record, sums) in records.iter().zip(sums.iter_mut()) {
                    let sums = sums[half * LANES..][..LANES].as_mut_ptr();
                    let sum = link(C::MEANING, &levels, &scales, record, _mm256_loadu_ps(sums));
                    _mm256_storeu_ps(sums, sum);
                }
            }
        }
    }
}

/// The links of the chains of half a tile that belong to a block.
///
/// # Safety
/// As for [`tiles`].
#[inline(always)]
unsafe fn link(
    meaning: Meaning,
    levels: &[__m256i; VECTORS],
    scales: &[Scales; 2],
    record: &Record,
    mut sum: __m256,
) -> __m256 {
    // SAFETY: a record's 32 integers are read four at a time.
    unsafe {
        let parts = meaning.head.parts();
        let count = VECTORS / parts;
        for part in 0..parts {
            let which = if parts == 1 { 0 } else { 1 + part };
            let groups = record.q.as_ptr().cast::<i32>().add(part * count);
            let levels = &levels[part * count..][..count];
            let integers = if meaning.zero == 128 {
                signed_products(levels, groups)
            } else {
                let products = products(meaning.width, levels, groups);
                let minus = record.minus[which] * i32::from(meaning.zero);
                _mm256_add_epi32(products, _mm256_set1_epi32(minus))
            };
            let factor = _mm256_mul_ps(scales[part].scale, _mm256_set1_ps(record.scale));
            sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(integers), factor, sum);
            if meaning.head.has_min() {
                sum = _mm256_fmadd_ps(scales[part].add, _mm256_set1_ps(record.sums[which]), sum);
            }
        }
    }
    sum
}

/// Sums of products of unsigned levels of at most six bits.
///
/// # Safety
/// As for [`tiles`]; there is a group of inputs for each vector of levels.
#[inline(always)]
unsafe fn products(width: usize, levels: &[__m256i], groups: *const i32) -> __m256i {
    // So many sums of two products of a level and ±127 fit 16 bits.
    let together = match width {
        6 => 2,
        5 => 4,
        _ => VECTORS,
    };
    // SAFETY: the caller's.
    unsafe {
        let mut sum = _mm256_setzero_si256();
        for (run, levels) in levels.chunks(together).enumerate() {
            let mut pairs = _mm256_setzero_si256();
            for (at, level) in levels.iter().enumerate() {
                let group = groups.add(run * together + at).read_unaligned();
                let products = _mm256_maddubs_epi16(*level, _mm256_set1_epi32(group));
                pairs = _mm256_add_epi16(pairs, products);
            }
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
        sum
    }
}

/// Sums of products of signed levels: 128 · 127 · 2 fits 16 bits just once.
///
/// # Safety
/// As for [`products`].
#[inline(always)]
unsafe fn signed_products(levels: &[__m256i], groups: *const i32) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let mut sum = _mm256_setzero_si256();
        for (at, level) in levels.iter().enumerate() {
            let group = _mm256_set1_epi32(groups.add(at).read_unaligned());
            let group = _mm256_sign_epi8(group, *level);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(*level), group);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
        sum
    }
}

/// Half of the levels of a block of 32 columns; those around 128 as signed numbers.
///
/// # Safety
/// As for [`tiles`]; all of the block's half can be read.
#[inline(always)]
unsafe fn unpack(meaning: Meaning, from: *const u8) -> [__m256i; VECTORS] {
    // SAFETY: the planes lie in the block.
    unsafe {
        let around = _mm256_set1_epi8(i8::MIN);
        match meaning.width {
            8 => array_of!(VECTORS, |j| _mm256_xor_si256(load(from, j), around)),
            4 => {
                let levels = nibbles(from);
                if !meaning.table {
                    return levels;
                }
                let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(LEVELS.as_ptr().cast()));
                let table = _mm256_xor_si256(table, around);
                array_of!(VECTORS, |j| _mm256_shuffle_epi8(table, levels[j]))
            }
            5 => {
                let (levels, bits) = (nibbles(from), load(from, 4));
                array_of!(VECTORS, |j| with(levels[j], shifted(bits, 4 - j as i32), 0x10))
            }
            6 => {
                let (levels, pairs) = (nibbles(from), [load(from, 4), load(from, 5)]);
                array_of!(VECTORS, |j| {
                    with(levels[j], shifted(pairs[j / 4], 4 - 2 * (j as i32 % 4)), 0x30)
                })
            }
            3 => {
                let (levels, bits) = (pairs(from), load(from, 2));
                array_of!(VECTORS, |j| with(levels[j], shifted(bits, 2 - j as i32), 0x04))
            }
            _ => pairs(from),
        }
    }
}

#[inline(always)]
unsafe fn load(from: *const u8, vector: usize) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(from.add(vector * VECTOR).cast()) }
}

#[inline(always)]
unsafe fn nibbles(from: *const u8) -> [__m256i; VECTORS] {
    // SAFETY: the caller's instruction set.
    unsafe {
        let mask = _mm256_set1_epi8(0x0f);
        let packed = array_of!(4, |j| load(from, j));
        array_of!(VECTORS, |j| match j {
            0..4 => _mm256_and_si256(packed[j], mask),
            _ => _mm256_and_si256(_mm256_srli_epi16::<4>(packed[j - 4]), mask),
        })
    }
}

#[inline(always)]
unsafe fn pairs(from: *const u8) -> [__m256i; VECTORS] {
    // SAFETY: the caller's instruction set.
    unsafe {
        let mask = _mm256_set1_epi8(0x03);
        let packed = [load(from, 0), load(from, 1)];
        array_of!(VECTORS, |j| _mm256_and_si256(shifted(packed[j / 4], -2 * (j as i32 % 4)), mask))
    }
}

/// Bits moved up by `by` (down if negative); some cross the border of a byte.
#[inline(always)]
unsafe fn shifted(bits: __m256i, by: i32) -> __m256i {
    // SAFETY: the caller's instruction set.
    unsafe {
        let count = _mm_cvtsi32_si128(by.abs());
        match by {
            0 => bits,
            1.. => _mm256_sll_epi16(bits, count),
            _ => _mm256_srl_epi16(bits, count),
        }
    }
}

/// `level | (bits & mask)` for each byte.
#[inline(always)]
unsafe fn with(level: __m256i, bits: __m256i, mask: i8) -> __m256i {
    // SAFETY: the caller's instruction set.
    unsafe { _mm256_or_si256(level, _mm256_and_si256(bits, _mm256_set1_epi8(mask))) }
}

/// What multiplies the integers of a part, and what is added.
#[derive(Clone, Copy)]
struct Scales {
    scale: __m256,
    add: __m256,
}

/// The scales of half a tile for the parts of 32 columns.
///
/// # Safety
/// As for [`tiles`]; a head lies at `at`.
#[inline(always)]
unsafe fn scales(head: Head, at: *const u8, index: usize, half: usize) -> [Scales; 2] {
    // SAFETY: halves and bytes lie in the head.
    unsafe {
        let halves = at.add(2 * LANES * half);
        let scale = wide(halves);
        let levels = at.add(LANES * half);
        match head {
            Head::Scale => [Scales { scale, add: scale }; 2],
            Head::ScaleMin => [Scales { scale, add: wide(halves.add(32)) }; 2],
            Head::Parts32 => {
                let minimum = minus(wide(halves.add(32)));
                let add = _mm256_mul_ps(minimum, unsigned(bytes(levels, 12 + index)));
                [Scales { scale: _mm256_mul_ps(scale, unsigned(bytes(levels, 4 + index))), add }; 2]
            }
            Head::Parts16 => array_of!(2, |part| {
                let signed = _mm256_cvtepi8_epi32(bytes(levels, 2 + 2 * index + part));
                let scale = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(signed));
                Scales { scale, add: scale }
            }),
            Head::Parts16Min => array_of!(2, |part| {
                let (both, mask) = (bytes(levels, 4 + 2 * index + part), _mm_set1_epi8(0x0f));
                let low = unsigned(_mm_and_si128(both, mask));
                let high = unsigned(_mm_and_si128(_mm_srli_epi16::<4>(both), mask));
                let minimum = minus(wide(halves.add(32)));
                Scales { scale: _mm256_mul_ps(scale, low), add: _mm256_mul_ps(minimum, high) }
            }),
        }
    }
}

/// Eight halves, widened.
#[inline(always)]
unsafe fn wide(at: *const u8) -> __m256 {
    // SAFETY: the caller's.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
}

#[inline(always)]
unsafe fn minus(values: __m256) -> __m256 {
    // SAFETY: the caller's instruction set.
    unsafe { _mm256_xor_ps(values, _mm256_castsi256_ps(_mm256_set1_epi32(i32::MIN))) }
}

/// A number of one byte for each of eight rows, from the `place`th sixteen bytes of a head.
#[inline(always)]
unsafe fn bytes(at: *const u8, place: usize) -> __m128i {
    // SAFETY: the caller's.
    unsafe { _mm_loadl_epi64(at.add(place * ROWS).cast()) }
}

#[inline(always)]
unsafe fn unsigned(bytes: __m128i) -> __m256 {
    // SAFETY: the caller's instruction set.
    unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)) }
}
