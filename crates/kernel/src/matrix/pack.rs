//! Packing rows as they lie in a file into tiles.

use crate::kernel::Kernel;
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa};

use super::Matrix;
use super::block::Block;
use super::code::{COLUMNS, Code, ROWS, VECTOR, with_code};
use super::format::Format;

impl Kernel {
    /// Packs whole rows, as they lie in a file, as the rows of `w` from `first_row` on. A matrix can
    /// so be filled piece by piece, in any order, each piece once.
    ///
    /// Panics: if `first_row` is not a multiple of 16, or `bytes` is not a whole number of rows that
    /// fit and that end at a multiple of 16 or with the matrix.
    pub fn pack_rows(&self, w: &mut Matrix, first_row: usize, bytes: &[u8]) {
        let row_bytes = w.format.row_bytes(w.cols).expect("a matrix has whole blocks");
        let rows = bytes.len().checked_div(row_bytes).unwrap_or(0);
        let end = first_row + rows;
        assert_eq!(rows * row_bytes, bytes.len(), "pack_rows: bytes");
        assert!(first_row.is_multiple_of(ROWS), "pack_rows: first row {first_row}");
        assert!(
            end == w.rows || end < w.rows && end.is_multiple_of(ROWS),
            "pack_rows: rows {first_row} to {end} of {}",
            w.rows
        );
        if bytes.is_empty() {
            return;
        }
        let (format, cols, size) = (w.format, w.cols, w.tile_bytes());
        let from = first_row / ROWS * size;
        let tiles = Shared::new(&mut w.tiles[from..][..rows.div_ceil(ROWS) * size]);
        self.split(rows.div_ceil(ROWS), 1, ROWS * cols, |run| {
            for tile in run {
                // SAFETY: tiles do not overlap.
                let to = unsafe { tiles.part(tile * size..(tile + 1) * size) };
                let rows = tile * ROWS..rows.min((tile + 1) * ROWS);
                pack_tile(
                    self.cpu,
                    format,
                    cols,
                    to,
                    &bytes[rows.start * row_bytes..rows.end * row_bytes],
                );
            }
        });
    }

    /// [`Kernel::pack_rows`] from values in memory, for a matrix of [`Format::F32`].
    ///
    /// Panics: as there, and for another format.
    pub fn pack_values(&self, w: &mut Matrix, first_row: usize, values: &[f32]) {
        assert_eq!(w.format, Format::F32, "pack_values: format");
        // SAFETY: any f32 can be read as four bytes.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
        };
        if cfg!(target_endian = "little") {
            self.pack_rows(w, first_row, bytes);
        } else {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.pack_rows(w, first_row, &bytes);
        }
    }
}

each_isa! {
    /// Packs up to sixteen rows; the lanes without a row stay as they are.
    fn pack_tile(format: Format, cols: usize, to: &mut [u8], rows: &[u8]) = pack_tile_body;
}

#[inline(always)]
fn pack_tile_body<S: Simd>(format: Format, cols: usize, to: &mut [u8], rows: &[u8]) {
    match format {
        Format::F32 => pack_floats::<4>(cols, to, rows),
        Format::F16 | Format::BF16 => pack_floats::<2>(cols, to, rows),
        _ => with_code!(format, C => pack_blocks::<C>(cols, to, rows)),
    }
}

/// Some columns of all rows before the next, so that what is written stays in the first cache.
#[inline(always)]
fn pack_floats<const BYTES: usize>(cols: usize, to: &mut [u8], rows: &[u8]) {
    let (to, _) = to.as_chunks_mut::<BYTES>();
    let (from, _) = rows.as_chunks::<BYTES>();
    for (first, to) in (0..cols).step_by(COLUMNS).zip(to.chunks_mut(COLUMNS * ROWS)) {
        for (lane, row) in from.chunks_exact(cols).enumerate() {
            for (to, from) in to.chunks_exact_mut(ROWS).zip(&row[first..]) {
                to[lane] = *from;
            }
        }
    }
}

#[inline(always)]
fn pack_blocks<C: Code>(cols: usize, to: &mut [u8], rows: &[u8]) {
    let (heads, levels) = to.split_at_mut(C::MEANING.head_bytes(cols));
    let head_bytes = C::MEANING.head.bytes();
    let level_bytes = C::MEANING.head.span() * C::MEANING.level_bytes();
    let size = C::FORMAT.block_bytes();
    let blocks = cols / C::FORMAT.block();
    let mut block = Block::new();
    for (lane, row) in rows.chunks_exact(size * blocks).enumerate() {
        for (at, bytes) in row.chunks_exact(size).enumerate() {
            let head = &mut heads[at * head_bytes..][..head_bytes];
            let levels = &mut levels[at * level_bytes..][..level_bytes];
            if C::FORMAT.block() == COLUMNS && C::MEANING.width < 8 {
                pack_words::<C>(bytes, head, levels, lane);
            } else {
                block.read(C::FORMAT, bytes);
                C::MEANING.pack(&block, head, levels, lane);
            }
        }
    }
}

/// A block of 32 levels of four or five bits, whose halves of bytes lie in the file as in a tile:
/// the same as by way of a [`Block`], in less time.
#[inline(always)]
fn pack_words<C: Code>(bytes: &[u8], head: &mut [u8], levels: &mut [u8], lane: usize) {
    let halves = if C::MEANING.head.has_min() { 2 } else { 1 };
    for half in 0..halves {
        head[32 * half + 2 * lane..][..2].copy_from_slice(&bytes[2 * half..][..2]);
    }
    let (nibbles, _) = bytes[bytes.len() - COLUMNS / 2..].as_chunks::<4>();
    for (vector, word) in nibbles.iter().enumerate() {
        levels[vector * VECTOR + 4 * lane..][..4].copy_from_slice(word);
    }
    if C::MEANING.width == 5 {
        let bits = &bytes[2 * halves..];
        let bits = u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]);
        // Bit 4j + i becomes bit j of byte i.
        let word = std::array::from_fn(|i| {
            let spread = bits >> i & 0x1111_1111;
            let pairs = (spread | spread >> 3) & 0x0303_0303;
            let fours = (pairs | pairs >> 6) & 0x000f_000f;
            (fours | fours >> 12) as u8
        });
        let word: [u8; 4] = word;
        levels[4 * VECTOR + 4 * lane..][..4].copy_from_slice(&word);
    }
}
