//! Operands as tiles read them: words side by side, in the order of the sum.

use std::ops::Range;
use std::slice::ChunksExactMut;

use super::quantize::{Quantized, Scales};
use crate::simd::{Simd, each_isa};

impl Quantized {
    /// Words of a line.
    pub(super) fn depth_words(&self) -> usize {
        self.depth().div_ceil(4)
    }
}

each_isa! {
    /// Packs lines side by side, `width` to a panel, with `offset` added to each integer:
    /// `to[panel][q][line]` for the words `depth`, with lines of zeros where the last panel has none.
    pub(super) fn pack(to: &mut [u32], width: usize, from: &Quantized, lines: Range<usize>, depth: Range<usize>, offset: u8) = pack_body;
}

/// [`pack()`] inside a task.
#[inline(always)]
pub(super) fn pack_body<S: Simd>(
    to: &mut [u32],
    width: usize,
    from: &Quantized,
    lines: Range<usize>,
    depth: Range<usize>,
    offset: u8,
) {
    let size = width * depth.len();
    assert!(to.len() >= lines.len().div_ceil(width) * size, "pack: room");
    let panels = lines.len().div_ceil(width);
    let to = &mut to[..panels * size];
    if !lines.len().is_multiple_of(width) {
        to[(panels - 1) * size..].fill(0);
    }
    match from.by {
        Scales::Rows => along_rows::<S>(to, width, from, lines, depth),
        Scales::Columns => down_columns(to, width, from, lines, depth),
    }
    if offset != 0 {
        // Adding 128 to a byte flips its first bit.
        let flip = u32::from_ne_bytes([offset; 4]);
        to.iter_mut().for_each(|word| *word ^= flip);
    }
}

/// Lines are rows: words of one line follow each other and become strided.
#[inline(always)]
fn along_rows<S: Simd>(
    to: &mut [u32],
    width: usize,
    from: &Quantized,
    lines: Range<usize>,
    depth: Range<usize>,
) {
    let stride = from.stride();
    assert!(depth.end <= stride);
    for (panel, first) in to.chunks_exact_mut(width * depth.len()).zip(lines.clone().step_by(width))
    {
        let count = width.min(lines.end - first);
        let words = &from.words[first * stride..(first + count) * stride];
        // SAFETY: words are moved, not computed with, so their type does not matter; `count` rows
        // of `depth` lie in the slice, and the panel holds `width` × `depth`.
        unsafe {
            let start = words.as_ptr().add(depth.start).cast::<f32>();
            let to = panel.as_mut_ptr().cast::<f32>();
            S::transpose(to, width, start, stride, count, depth.len());
        }
    }
}

/// Lines are columns: four rows of the matrix become one row of words.
#[inline(always)]
fn down_columns(
    to: &mut [u32],
    width: usize,
    from: &Quantized,
    lines: Range<usize>,
    depth: Range<usize>,
) {
    /// Columns at a time, a multiple of each width.
    const SOME: usize = 192;
    let (stride, size) = (4 * from.stride(), width * depth.len());
    // SAFETY: any four bytes are a word and the other way round.
    let bytes = unsafe { from.words.align_to::<u8>().1 };
    let mut together = [0; SOME];
    for (at, q) in depth.enumerate() {
        for first in lines.clone().step_by(SOME) {
            let columns = first..lines.end.min(first + SOME);
            let row = |i: usize| &bytes[(4 * q + i) * stride..][columns.clone()];
            interleave(&mut together[..columns.len()], [row(0), row(1), row(2), row(3)]);
            let panels = to[(first - lines.start) / width * size..].chunks_exact_mut(size);
            let words = &together[..columns.len()];
            match width {
                4 => spread::<4>(panels, words, at),
                6 => spread::<6>(panels, words, at),
                8 => spread::<8>(panels, words, at),
                12 => spread::<12>(panels, words, at),
                16 => spread::<16>(panels, words, at),
                32 => spread::<32>(panels, words, at),
                _ => unreachable!("a panel of {width} lines"),
            }
        }
    }
}

/// Puts the words of some lines into row `at` of their panels.
#[inline(always)]
fn spread<const WIDTH: usize>(panels: ChunksExactMut<'_, u32>, words: &[u32], at: usize) {
    let (whole, rest) = words.as_chunks::<WIDTH>();
    let mut panels = panels.map(|panel| &mut panel[at * WIDTH..][..WIDTH]);
    // Words come first: zip takes no panel once they have ended.
    for (words, to) in whole.iter().zip(panels.by_ref()) {
        to.copy_from_slice(words);
    }
    if let (Some(to), false) = (panels.next(), rest.is_empty()) {
        to[..rest.len()].copy_from_slice(rest);
    }
}

/// Words of four bytes, one of each row.
#[inline(always)]
fn interleave(to: &mut [u32], rows: [&[u8]; 4]) {
    let [a, b, c, d] = rows;
    for ((((to, a), b), c), d) in to.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let [a, b, c, d] = [*a, *b, *c, *d].map(u32::from);
        *to = (a | b << 8 | c << 16 | d << 24).to_le();
    }
}

/// For each line of packed groups (without offset) the sum of its integers, added to `sums`.
///
/// Panics: for a width that no tile has.
#[inline(always)]
pub(super) fn add_sums(sums: &mut [i32], packed: &[u32], width: usize, depth: usize) {
    match width {
        6 => add_sums_of::<6>(sums, packed, depth),
        12 => add_sums_of::<12>(sums, packed, depth),
        _ => unreachable!("a group of {width} lines"),
    }
}

#[inline(always)]
fn add_sums_of<const WIDTH: usize>(sums: &mut [i32], packed: &[u32], depth: usize) {
    let (groups, words) = (sums.as_chunks_mut::<WIDTH>().0, packed.as_chunks::<WIDTH>().0);
    for (sums, words) in groups.iter_mut().zip(words.chunks_exact(depth)) {
        for words in words {
            for (sum, word) in sums.iter_mut().zip(words) {
                let bytes = [24, 16, 8, 0].map(|shift| (word << shift).cast_signed() >> 24);
                *sum += bytes[0] + bytes[1] + bytes[2] + bytes[3];
            }
        }
    }
}
