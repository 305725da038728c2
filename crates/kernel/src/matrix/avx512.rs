//! Products of integers with AVX-512 VNNI: a register is a tile's sixteen rows.
//!
//! A row of inputs lies in memory four bytes to a column group, and each instruction multiplies
//! such a group, sent to all lanes, with a vector of levels and adds up the four products in each
//! lane: unsigned levels, signed inputs, exact. Levels are unpacked once for all rows of inputs.

#![allow(clippy::needless_range_loop)] // arrays of registers are walked by their places

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::Matrix;
use super::code::{Code, Head, LEVELS, Meaning, ROWS, VECTOR, VECTORS, with_code};
use super::inputs::{CHUNK, Integers};
use super::product::Output;
use super::record::Record;
use crate::simd::array_of;

/// How far ahead memory is brought into the first and the second cache, in bytes, for one row of
/// inputs. Measured: the machine foresees a stream worse when it takes some work to use it up (Zen 4:
/// a third of what it can read).
const NEAR: usize = 512;
const FAR: usize = 3072;
/// The same for several rows, which take longer.
const FARTHER: usize = 8192;

/// The outputs of some tiles for all rows of `x`.
///
/// # Safety
/// The machine has AVX-512 F, BW, DQ, VL, VNNI, AVX2, FMA and F16C.
pub(crate) unsafe fn tiles(w: &Matrix, range: Range<usize>, x: &Integers, y: &Output) {
    // SAFETY: passed on to the caller.
    with_code!(w.format(), C => unsafe {
        match x.rows {
            1 => one_row_of::<C>(w, range, x, y),
            _ => some_rows_of::<C>(w, range, x, y),
        }
    });
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn one_row_of<C: Code>(w: &Matrix, tiles: Range<usize>, x: &Integers, y: &Output) {
    let records = &x.records[..x.blocks];
    for tile in tiles {
        // SAFETY: the tiles are those of the caller, and there is a record for each block; the rest
        // is passed on.
        unsafe {
            let sum = one_row::<C>(&Place::new::<C>(w, tile), records, start(y, 0, tile));
            finish(y, 0, tile, sum);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn some_rows_of<C: Code>(w: &Matrix, tiles: Range<usize>, x: &Integers, y: &Output) {
    let pairs = tiles.start..tiles.end - tiles.len() % 2;
    // SAFETY: as for one row; a chunk has as many records for each block as rows.
    unsafe {
        for (first, records) in x.chunks() {
            let rows = first..x.rows.min(first + CHUNK);
            for tile in pairs.clone().step_by(2) {
                some_rows::<C, 2>(w, tile, records, rows.clone(), y);
            }
            for tile in pairs.end..tiles.end {
                some_rows::<C, 1>(w, tile, records, rows.clone(), y);
            }
        }
    }
}

/// Where the chains of a tile start.
///
/// # Safety
/// As for [`tiles`].
#[inline(always)]
unsafe fn start(y: &Output, row: usize, tile: usize) -> __m512 {
    let (at, lanes) = y.place(row, tile);
    let mask = 0xffff_u16 >> (ROWS - lanes);
    // SAFETY: `lanes` places exist there.
    unsafe {
        let mut start = _mm512_setzero_ps();
        if y.add {
            start = _mm512_maskz_loadu_ps(mask, at);
        }
        if let Some(bias) = y.bias {
            let bias = _mm512_maskz_loadu_ps(mask, bias.as_ptr().add(tile * ROWS));
            start = _mm512_add_ps(start, bias);
        }
        start
    }
}

/// Writes the outputs of a tile.
///
/// # Safety
/// As for [`tiles`].
#[inline(always)]
unsafe fn finish(y: &Output, row: usize, tile: usize, sum: __m512) {
    let (at, lanes) = y.place(row, tile);
    // SAFETY: `lanes` places exist there.
    unsafe { _mm512_mask_storeu_ps(at, 0xffff_u16 >> (ROWS - lanes), sum) };
}

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Place {
    heads: *const u8,
    levels: *const u8,
    bytes: usize,
}

impl Place {
    #[inline(always)]
    fn new<C: Code>(w: &Matrix, tile: usize) -> Place {
        let tile = w.tile(tile);
        let (heads, levels) = tile.split_at(C::MEANING.head_bytes(w.cols()));
        Place { heads: heads.as_ptr(), levels: levels.as_ptr(), bytes: tile.len() }
    }

    /// Brings what lies some blocks ahead closer.
    #[inline(always)]
    fn fetch<C: Code>(&self, block: usize) {
        let start = self.heads.wrapping_add(block * block_bytes::<C>());
        for line in (0..block_bytes::<C>()).step_by(VECTOR) {
            // SAFETY: hints, for which any address will do.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(NEAR + line).cast());
                _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(FAR + line).cast());
            }
        }
    }

    /// The same where `step` tiles are worked on side by side: in this tile, or in the one that
    /// comes after them.
    #[inline(always)]
    fn fetch_beside<C: Code>(&self, block: usize, step: usize) {
        let ahead = FARTHER + block * block_bytes::<C>();
        let skip = if ahead < self.bytes { 0 } else { (step - 1) * self.bytes };
        let start = self.heads.wrapping_add(ahead + skip);
        for line in (0..block_bytes::<C>()).step_by(VECTOR) {
            // SAFETY: a hint, for which any address will do.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(line).cast()) };
        }
    }
}

/// Bytes of a tile for each 32 columns.
const fn block_bytes<C: Code>() -> usize {
    C::MEANING.level_bytes() + C::MEANING.head.bytes() / C::MEANING.head.span()
}

/// The chains of a tile for one row of inputs.
///
/// # Safety
/// As for [`tiles`]; there is a record for each block.
#[inline(always)]
unsafe fn one_row<C: Code>(place: &Place, records: &[Record], start: __m512) -> __m512 {
    let (head, size) = (C::MEANING.head, C::MEANING.level_bytes());
    let mut sum = start;
    // SAFETY: heads and levels lie in the tile; fetching ahead may go anywhere.
    unsafe {
        let mut levels = place.levels;
        for (span, records) in records.chunks_exact(head.span()).enumerate() {
            let at = place.heads.add(span * head.bytes());
            let base = Base::new(head, at);
            for (index, record) in records.iter().enumerate() {
                place.fetch::<C>(span * head.span() + index);
                let unpacked = unpack(C::MEANING, levels);
                let scales = base.scales(head, at, index);
                [sum] = link(C::MEANING, &[unpacked], &[scales], record, [sum]);
                levels = levels.add(size);
            }
        }
    }
    sum
}

/// The chains of `N` tiles side by side for the rows of a chunk. Levels stay in registers while the
/// rows pass, whose sums stay in the first cache.
///
/// # Safety
/// As for [`tiles`]; there are as many records for each block as rows.
#[inline(always)]
unsafe fn some_rows<C: Code, const N: usize>(
    w: &Matrix,
    tile: usize,
    records: &[Record],
    rows: Range<usize>,
    y: &Output,
) {
    let (head, size) = (C::MEANING.head, C::MEANING.level_bytes());
    // SAFETY: heads and levels lie in the tiles, records and sums in their slices; the sums of all
    // rows are written before they are read.
    unsafe {
        let places = array_of!(N, |n| Place::new::<C>(w, tile + n));
        let mut sums = [const { MaybeUninit::<[__m512; N]>::uninit() }; CHUNK];
        for (row, sums) in rows.clone().zip(&mut sums) {
            sums.write(array_of!(N, |n| start(y, row, tile + n)));
        }
        let sums = &mut *(&raw mut sums[..rows.len()] as *mut [[__m512; N]]);
        for (block, records) in records.chunks_exact(rows.len()).enumerate() {
            let (span, index) = (block / head.span(), block % head.span());
            let mut levels = [[_mm512_setzero_si512(); VECTORS]; N];
            let zero = Scales { scale: _mm512_setzero_ps(), add: _mm512_setzero_ps() };
            let mut scales = [[zero; 2]; N];
            for n in 0..N {
                let at = places[n].heads.add(span * head.bytes());
                levels[n] = unpack(C::MEANING, places[n].levels.add(block * size));
                scales[n] = Base::new(head, at).scales(head, at, index);
                if rows.start == 0 {
                    places[n].fetch_beside::<C>(block, N);
                }
            }
            for (record, sums) in records.iter().zip(sums.iter_mut()) {
                *sums = link(C::MEANING, &levels, &scales, record, *sums);
            }
        }
        for (row, sums) in rows.zip(sums) {
            for n in 0..N {
                finish(y, row, tile + n, sums[n]);
            }
        }
    }
}

/// The links of the chains of some tiles that belong to a block.
///
/// # Safety
/// As for [`tiles`].
#[inline(always)]
unsafe fn link<const N: usize>(
    meaning: Meaning,
    levels: &[[__m512i; VECTORS]; N],
    scales: &[[Scales; 2]; N],
    record: &Record,
    mut sums: [__m512; N],
) -> [__m512; N] {
    // SAFETY: a record's 32 integers are read four at a time.
    unsafe {
        let parts = meaning.head.parts();
        let groups = record.q.as_ptr().cast::<i32>();
        for part in 0..parts {
            let which = if parts == 1 { 0 } else { 1 + part };
            let mut start = _mm512_setzero_si512();
            if meaning.zero != 0 {
                let shift = _mm_cvtsi32_si128(meaning.zero.trailing_zeros() as i32);
                start = _mm512_sll_epi32(_mm512_set1_epi32(record.minus[which]), shift);
            }
            let mut integers = [start; N];
            let count = VECTORS / parts;
            for vector in part * count..(part + 1) * count {
                let group = _mm512_set1_epi32(groups.add(vector).read_unaligned());
                for n in 0..N {
                    integers[n] = _mm512_dpbusd_epi32(integers[n], levels[n][vector], group);
                }
            }
            let scale = _mm512_set1_ps(record.scale);
            for n in 0..N {
                let factor = _mm512_mul_ps(scales[n][part].scale, scale);
                sums[n] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integers[n]), factor, sums[n]);
            }
            if meaning.head.has_min() {
                let inputs = _mm512_set1_ps(record.sums[which]);
                for n in 0..N {
                    sums[n] = _mm512_fmadd_ps(scales[n][part].add, inputs, sums[n]);
                }
            }
        }
    }
    sums
}

/// The levels of a block of 32 columns.
///
/// # Safety
/// As for [`tiles`]; all of the block can be read.
#[inline(always)]
unsafe fn unpack(meaning: Meaning, from: *const u8) -> [__m512i; VECTORS] {
    // SAFETY: the planes lie in the block.
    unsafe {
        match meaning.width {
            8 => array_of!(VECTORS, |j| load(from, j)),
            4 => {
                let levels = nibbles(from);
                if !meaning.table {
                    return levels;
                }
                let table = _mm512_broadcast_i32x4(_mm_loadu_si128(LEVELS.as_ptr().cast()));
                array_of!(VECTORS, |j| _mm512_shuffle_epi8(table, levels[j]))
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
unsafe fn load(from: *const u8, vector: usize) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_loadu_si512(from.add(vector * VECTOR).cast()) }
}

#[inline(always)]
unsafe fn nibbles(from: *const u8) -> [__m512i; VECTORS] {
    // SAFETY: the caller's instruction set.
    unsafe {
        let mask = _mm512_set1_epi8(0x0f);
        let packed = array_of!(4, |j| load(from, j));
        array_of!(VECTORS, |j| match j {
            0..4 => _mm512_and_si512(packed[j], mask),
            _ => _mm512_and_si512(_mm512_srli_epi16::<4>(packed[j - 4]), mask),
        })
    }
}

#[inline(always)]
unsafe fn pairs(from: *const u8) -> [__m512i; VECTORS] {
    // SAFETY: the caller's instruction set.
    unsafe {
        let mask = _mm512_set1_epi8(0x03);
        let packed = [load(from, 0), load(from, 1)];
        array_of!(VECTORS, |j| _mm512_and_si512(shifted(packed[j / 4], -2 * (j as i32 % 4)), mask))
    }
}

/// Bits moved up by `by` (down if negative); some cross the border of a byte.
#[inline(always)]
unsafe fn shifted(bits: __m512i, by: i32) -> __m512i {
    // SAFETY: the caller's instruction set.
    unsafe {
        let count = _mm_cvtsi32_si128(by.abs());
        match by {
            0 => bits,
            1.. => _mm512_sll_epi16(bits, count),
            _ => _mm512_srl_epi16(bits, count),
        }
    }
}

/// `level | (bits & mask)` for each byte.
#[inline(always)]
unsafe fn with(level: __m512i, bits: __m512i, mask: i8) -> __m512i {
    // SAFETY: the caller's instruction set.
    unsafe { _mm512_ternarylogic_epi32::<0xf8>(level, bits, _mm512_set1_epi8(mask)) }
}

/// The halves of a head, widened.
struct Base {
    scale: __m512,
    minimum: __m512,
}

/// What multiplies the integers of a part, and what is added.
#[derive(Clone, Copy)]
struct Scales {
    scale: __m512,
    add: __m512,
}

impl Base {
    /// # Safety
    /// As for [`tiles`]; a head lies at `at`.
    #[inline(always)]
    unsafe fn new(head: Head, at: *const u8) -> Base {
        // SAFETY: both halves lie in the head.
        unsafe {
            let scale = wide(at);
            let minimum = match head {
                Head::ScaleMin => wide(at.add(32)),
                Head::Parts32 | Head::Parts16Min => {
                    let sign = _mm512_castsi512_ps(_mm512_set1_epi32(i32::MIN));
                    _mm512_xor_ps(wide(at.add(32)), sign)
                }
                Head::Scale | Head::Parts16 => scale,
            };
            Base { scale, minimum }
        }
    }

    /// The scales of the parts of 32 columns.
    ///
    /// # Safety
    /// As for [`Base::new`].
    #[inline(always)]
    unsafe fn scales(&self, head: Head, at: *const u8, index: usize) -> [Scales; 2] {
        let whole = Scales { scale: self.scale, add: self.minimum };
        // SAFETY: the bytes lie in the head.
        unsafe {
            match head {
                Head::Scale | Head::ScaleMin => [whole; 2],
                Head::Parts32 => [self.part(bytes(at, 4 + index), bytes(at, 12 + index)); 2],
                Head::Parts16 => array_of!(2, |half| {
                    let signed = _mm512_cvtepi8_epi32(bytes(at, 2 + 2 * index + half));
                    let scale = _mm512_mul_ps(self.scale, _mm512_cvtepi32_ps(signed));
                    Scales { scale, add: scale }
                }),
                Head::Parts16Min => array_of!(2, |half| {
                    let both = bytes(at, 4 + 2 * index + half);
                    let mask = _mm_set1_epi8(0x0f);
                    let low = _mm_and_si128(both, mask);
                    let high = _mm_and_si128(_mm_srli_epi16::<4>(both), mask);
                    self.part(low, high)
                }),
            }
        }
    }
    /// The scales of a part with numbers of its own.
    ///
    /// # Safety
    /// As for [`tiles`].
    #[inline(always)]
    unsafe fn part(&self, scale: __m128i, minimum: __m128i) -> Scales {
        // SAFETY: the caller's instruction set.
        unsafe {
            Scales {
                scale: _mm512_mul_ps(self.scale, unsigned(scale)),
                add: _mm512_mul_ps(self.minimum, unsigned(minimum)),
            }
        }
    }
}

/// Sixteen halves, widened.
#[inline(always)]
unsafe fn wide(at: *const u8) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
}

/// A number of one byte for each row, the `place`th sixteen bytes of a head.
#[inline(always)]
unsafe fn bytes(at: *const u8, place: usize) -> __m128i {
    // SAFETY: the caller's.
    unsafe { _mm_loadu_si128(at.add(place * ROWS).cast()) }
}

#[inline(always)]
unsafe fn unsigned(bytes: __m128i) -> __m512 {
    // SAFETY: the caller's instruction set.
    unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)) }
}
