//! Weights of a tile as f32.

use super::Matrix;
use super::code::{COLUMNS, Meaning, ROWS};
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
    let (heads, levels) = tile.split_at(meaning.head_bytes(w.cols()));
    let span = meaning.head.span();
    let head = &heads[block / span * meaning.head.bytes()..];
    let scales = meaning.scales(head, block % span);
    let size = meaning.level_bytes();
    let levels = meaning.unpack(&levels[block * size..][..size]);
    for (column, out) in out.iter_mut().enumerate() {
        let scales = &scales[column / meaning.part];
        for (lane, out) in out.iter_mut().enumerate() {
            let level = levels[column / 4][4 * lane + column % 4];
            let product = scales.scale[lane] * f32::from(i16::from(level) - meaning.zero);
            *out = if meaning.head.has_min() { product + scales.add[lane] } else { product };
        }
    }
}
