//! Operands as tiles read them: words side by side, in the order of the sum.

use std::ops::Range;
use std::slice::ChunksExactMut;

use super::quantize::{Quantized, Scales};
use super::tile::Form;
use crate::scratch::Scratch;
use crate::simd::{Simd, each_isa};

impl Quantized {
    /// Words of a line.
    pub(super) fn depth_words(&self) -> usize {
        self.depth().div_ceil(4)
    }
}

each_isa! {
    /// Packs lines of B side by side, `width` to a panel, as `form` says: `to[panel][q][word][line]`
    /// for the groups `depth`, with lines of zeros where the last panel has none.
    pub(super) fn pack(to: &mut [u32], width: usize, from: &Quantized, lines: Range<usize>, depth: Range<usize>, form: Form) = pack_body;
}

/// The same for A, inside a task: `to[panel][q][line][word]`, never with an offset.
#[inline(always)]
pub(super) fn pack_rows<S: Simd>(
    to: &mut [u32],
    width: usize,
    from: &Quantized,
    lines: Range<usize>,
    depth: Range<usize>,
    form: Form,
) {
    if form != Form::Halves {
        return pack_body::<S>(to, width, from, lines, depth, Form::Bytes);
    }
    let mut bytes = Scratch::new(to.len() / 2);
    pack_body::<S>(bytes.words(), width, from, lines, depth, Form::Bytes);
    // SAFETY: words are whole halves and bytes, of which any bits are valid.
    let (to, bytes) = unsafe { (to.align_to_mut::<i16>().1, bytes.words().align_to::<i8>().1) };
    to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = i16::from(*byte));
}

/// [`pack()`] inside a task.
#[inline(always)]
pub(super) fn pack_body<S: Simd>(
    to: &mut [u32],
    width: usize,
    from: &Quantized,
    lines: Range<usize>,
    depth: Range<usize>,
    form: Form,
) {
    let size = width * depth.len() * form.words();
    assert!(to.len() >= lines.len().div_ceil(width) * size, "pack: room");
    let panels = lines.len().div_ceil(width);
    let to = &mut to[..panels * size];
    if !lines.len().is_multiple_of(width) {
        to[(panels - 1) * size..].fill(0);
    }
    match from.by {
        Scales::Rows => along_rows::<S>(to, width, from, lines, depth, form),
        Scales::Columns => down_columns(to, width, from, lines, depth, form),
    }
    if form == Form::Offset {
        // Adding 128 to a byte flips its first bit.
        let flip = u32::from_ne_bytes([128; 4]);
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
    form: Form,
) {
    let (stride, size) = (from.stride(), width * depth.len());
    assert!(depth.end <= stride);
    let mut bytes = Scratch::new(if form == Form::Halves { size } else { 0 });
    let bytes = bytes.words();
    let panels = to.chunks_exact_mut(size * form.words()).zip(lines.clone().step_by(width));
    for (to, first) in panels {
        let panel = if form == Form::Halves { &mut *bytes } else { &mut *to };
        let count = width.min(lines.end - first);
        let words = &from.words[first * stride..(first + count) * stride];
        // SAFETY: words are moved, not computed with, so their type does not matter; `count` rows
        // of `depth` lie in the slice, and the panel holds `width` × `depth`.
        unsafe {
            let start = words.as_ptr().add(depth.start).cast::<f32>();
            let panel = panel.as_mut_ptr().cast::<f32>();
            S::transpose(panel, width, start, stride, count, depth.len());
        }
        if form == Form::Halves {
            let rows = bytes.chunks_exact(width).zip(to.chunks_exact_mut(2 * width));
            for (row, to) in rows {
                let (first, second) = to.split_at_mut(width);
                halves(first, second, row);
            }
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
    form: Form,
) {
    /// Columns at a time, a multiple of each width.
    const SOME: usize = 192;
    let (stride, size) = (4 * from.stride(), width * depth.len() * form.words());
    // SAFETY: any four bytes are a word and the other way round.
    let bytes = unsafe { from.words.align_to::<u8>().1 };
    let (mut together, mut first, mut second) = ([0; SOME], [0; SOME], [0; SOME]);
    for (at, q) in depth.enumerate() {
        for some in lines.clone().step_by(SOME) {
            let columns = some..lines.end.min(some + SOME);
            let row = |i: usize| &bytes[(4 * q + i) * stride..][columns.clone()];
            interleave(&mut together[..columns.len()], [row(0), row(1), row(2), row(3)]);
            let panels = &mut to[(some - lines.start) / width * size..];
            let words = ..columns.len();
            if form == Form::Halves {
                halves(&mut first[words], &mut second[words], &together[words]);
                spread_to(panels, width, size, &first[words], 2 * at);
                spread_to(panels, width, size, &second[words], 2 * at + 1);
            } else {
                spread_to(panels, width, size, &together[words], at);
            }
        }
    }
}

/// Bytes as halves with their signs: the first two of each word, and the other two.
#[inline(always)]
fn halves(first: &mut [u32], second: &mut [u32], words: &[u32]) {
    let widened = |word: u32| {
        let (low, high) = ((word << 24).cast_signed() >> 24, (word << 16).cast_signed() >> 8);
        (low & 0xffff | high & !0xffff).cast_unsigned()
    };
    for ((first, second), word) in first.iter_mut().zip(second).zip(words) {
        (*first, *second) = (widened(*word), widened(word >> 16));
    }
}

/// Puts the words of some lines into row `at` of their panels, of `size` words each.
#[inline(always)]
fn spread_to(to: &mut [u32], width: usize, size: usize, words: &[u32], at: usize) {
    let panels = to.chunks_exact_mut(size);
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

/// For each line of packed groups (in bytes, without offset) the sum of its integers, added to
/// `sums`.
#[inline(always)]
pub(super) fn add_sums(sums: &mut [i32], packed: &[u32], width: usize, depth: usize) {
    /// A multiple of each width, so that a place always belongs to one line.
    const PLACES: usize = 48;
    assert!(PLACES.is_multiple_of(width));
    for (sums, words) in sums.chunks_exact_mut(width).zip(packed.chunks_exact(width * depth)) {
        let mut places = [0; PLACES];
        let (chunks, rest) = words.as_chunks::<PLACES>();
        for chunk in chunks {
            for (place, word) in places.iter_mut().zip(chunk) {
                *place += sum_of_bytes(*word);
            }
        }
        for (place, word) in places.iter_mut().zip(rest) {
            *place += sum_of_bytes(*word);
        }
        for places in places.chunks_exact(width) {
            sums.iter_mut().zip(places).for_each(|(sum, place)| *sum += place);
        }
    }
}

#[inline(always)]
fn sum_of_bytes(word: u32) -> i32 {
    [24, 16, 8, 0].iter().map(|shift| (word << shift).cast_signed() >> 24).sum()
}
