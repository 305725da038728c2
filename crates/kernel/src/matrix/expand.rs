//! Weights of a tile as f32.

use super::Matrix;
use super::code::{COLUMNS, Code, Meaning, ROWS, with_code};
use super::format::Format;
use super::half::{bf16, f16};

/// Columns of a tile as f32 from column `first` on, one after another, sixteen rows to each. For a
/// quantized format `first` begins a block of 32 columns and `out` is at most that block.
#[inline(always)]
pub(crate) fn columns(w: &Matrix, tile: usize, first: usize, out: &mut [[f32; ROWS]]) {
    let tile = w.tile(tile);
    match w.format() {
        Format::F32 => floats(tile, first, out, f32::from_le_bytes),
        Format::F16 => floats(tile, first, out, |pair| f16(u16::from_le_bytes(pair))),
        Format::BF16 => floats(tile, first, out, |pair| bf16(u16::from_le_bytes(pair))),
        _ => integers(w, tile, first / COLUMNS, out),
    }
}

#[inline(always)]
fn floats<const N: usize>(
    tile: &[u8],
    first: usize,
    out: &mut [[f32; ROWS]],
    value: impl Fn([u8; N]) -> f32,
) {
    let (values, _) = tile.as_chunks::<N>();
    let (values, _) = values.as_chunks::<ROWS>();
    for (out, values) in out.iter_mut().zip(&values[first..]) {
        *out = values.map(&value);
    }
}

#[inline(always)]
fn integers(w: &Matrix, tile: &[u8], block: usize, out: &mut [[f32; ROWS]]) {
    let meaning = Meaning::of(w.format());
    let (head, levels) = place(meaning, w, tile, block);
    let scales = meaning.scales(head, block % meaning.head.span());
    let levels = meaning.unpack(levels);
    for (column, out) in out.iter_mut().enumerate() {
        let scales = &scales[column / meaning.part];
        for (lane, out) in out.iter_mut().enumerate() {
            let level = levels[column / 4][4 * lane + column % 4];
            *out = meaning.weight(level, (scales.scale[lane], scales.add[lane]));
        }
    }
}

/// One row of a tile as f32.
pub(crate) fn row(w: &Matrix, tile: usize, lane: usize, out: &mut [f32]) {
    let tile = w.tile(tile);
    match w.format() {
        Format::F32 => float_row(tile, lane, out, f32::from_le_bytes),
        Format::F16 => float_row(tile, lane, out, |pair| f16(u16::from_le_bytes(pair))),
        Format::BF16 => float_row(tile, lane, out, |pair| bf16(u16::from_le_bytes(pair))),
        format => with_code!(format, C => integer_row::<C>(w, tile, lane, out)),
    }
}

fn float_row<const N: usize>(
    tile: &[u8],
    lane: usize,
    out: &mut [f32],
    value: impl Fn([u8; N]) -> f32,
) {
    let (values, _) = tile.as_chunks::<N>();
    for (out, values) in out.iter_mut().zip(values.chunks_exact(ROWS)) {
        *out = value(values[lane]);
    }
}

fn integer_row<C: Code>(w: &Matrix, tile: &[u8], lane: usize, out: &mut [f32]) {
    let meaning = C::MEANING;
    for (block, out) in out.chunks_mut(COLUMNS).enumerate() {
        let (head, levels) = place(meaning, w, tile, block);
        for (part, out) in out.chunks_mut(meaning.part).enumerate() {
            let scale = meaning.scale(head, block % meaning.head.span(), part, lane);
            for (at, out) in out.iter_mut().enumerate() {
                let level = meaning.level(levels, lane, part * meaning.part + at);
                *out = meaning.weight(level, scale);
            }
        }
    }
}

/// The head and the levels of 32 columns of a tile.
#[inline(always)]
fn place<'a>(meaning: Meaning, w: &Matrix, tile: &'a [u8], block: usize) -> (&'a [u8], &'a [u8]) {
    let (heads, levels) = tile.split_at(meaning.head_bytes(w.cols()));
    let (head, size) = (meaning.head, meaning.level_bytes());
    (&heads[block / head.span() * head.bytes()..][..head.bytes()], &levels[block * size..][..size])
}
