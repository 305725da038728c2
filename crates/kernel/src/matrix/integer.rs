//! Products of quantized weights with quantized inputs: the specification, in plain Rust.

use std::ops::Range;

use super::Matrix;
use super::code::{COLUMNS, Meaning, ROWS};
use super::inputs::{CHUNK, Integers};
use super::product::Output;
use super::record::Record;

/// The outputs of some tiles for all rows of `x`.
pub(crate) fn tiles(w: &Matrix, tiles: Range<usize>, x: &Integers, y: &Output) {
    for (first, records) in x.chunks() {
        let rows = CHUNK.min(x.rows - first);
        for tile in tiles.clone() {
            let mut sums = [[0.0; ROWS]; CHUNK];
            for (row, sums) in sums.iter_mut().enumerate().take(rows) {
                *sums = y.start(first + row, tile);
            }
            sums_of_tile(w, tile, records, &mut sums[..rows]);
            for (row, sums) in sums.iter().enumerate().take(rows) {
                y.finish(first + row, tile, sums);
            }
        }
    }
}

/// Continues the chains of a tile over all blocks, for some rows of inputs.
fn sums_of_tile(w: &Matrix, tile: usize, records: &[Record], sums: &mut [[f32; ROWS]]) {
    let meaning = Meaning::of(w.format());
    let (heads, levels) = w.tile(tile).split_at(meaning.head_bytes(w.cols()));
    let (span, size) = (meaning.head.span(), meaning.level_bytes());
    for (block, records) in records.chunks_exact(sums.len()).enumerate() {
        let head = &heads[block / span * meaning.head.bytes()..];
        let scales = meaning.scales(head, block % span);
        let levels = meaning.unpack(&levels[block * size..][..size]);
        for (record, sums) in records.iter().zip(sums.iter_mut()) {
            for (part, scales) in scales.iter().enumerate().take(meaning.head.parts()) {
                let vectors = part * meaning.part / 4..(part + 1) * meaning.part / 4;
                let which = if meaning.part == COLUMNS { 0 } else { 1 + part };
                let mut integers = [record.minus[which] * i32::from(meaning.zero); ROWS];
                for vector in vectors {
                    add_products(&mut integers, &levels[vector], &record.q[4 * vector..]);
                }
                for lane in 0..ROWS {
                    let factor = scales.scale[lane] * record.scale;
                    sums[lane] = fma(integers[lane] as f32, factor, sums[lane]);
                    if meaning.head.has_min() {
                        sums[lane] = fma(scales.add[lane], record.sums[which], sums[lane]);
                    }
                }
            }
        }
    }
}

fn add_products(sums: &mut [i32; ROWS], levels: &[u8; 4 * ROWS], q: &[i8]) {
    let (levels, _) = levels.as_chunks::<4>();
    for (sum, levels) in sums.iter_mut().zip(levels) {
        for (&level, &q) in levels.iter().zip(q) {
            *sum += i32::from(level) * i32::from(q);
        }
    }
}

use crate::simd::scalar::fused as fma;
