//! Weights of open models as they are stored: packed once, multiplied without being widened.
//!
//! A [`Matrix`] holds `rows × cols` weights of one [`Format`] in tiles of sixteen rows, so that each
//! lane of a register holds a row; one layout serves every instruction set. [`Kernel::matmul`]
//! multiplies the same inputs with several matrices in one go.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod code;
mod expand;
mod floats;
mod format;
pub(crate) mod half;
mod inputs;
mod integer;
mod product;

pub use format::Format;
pub use inputs::{Activations, Inputs};
pub use product::Product;

use block::{Block, WEIGHTS};
use code::{COLUMNS, Meaning, ROWS, VECTOR};

use crate::kernel::Kernel;
use crate::scratch::Shared;

/// `rows × cols` weights, packed. At most 1.05 times the bytes in a file (for 16 rows or more).
pub struct Matrix {
    format: Format,
    rows: usize,
    cols: usize,
    /// The tiles, from `start` on, which is where a cache line begins.
    memory: Vec<u8>,
    start: usize,
}

impl Matrix {
    /// A matrix of zero bytes, to be filled by [`Kernel::pack_rows`]. Memory that is never written
    /// is never touched.
    ///
    /// Panics: if `cols` is no whole number of blocks, or if the size does not fit the machine; see
    /// [`Matrix::size_of`].
    pub fn zeroed(format: Format, rows: usize, cols: usize) -> Matrix {
        let size = Matrix::size_of(format, rows, cols)
            .unwrap_or_else(|| panic!("matrix: no {rows} x {cols} of {format}"));
        let memory = vec![0u8; size + VECTOR];
        let start = memory.as_ptr().align_offset(VECTOR);
        Matrix { format, rows, cols, memory, start }
    }

    /// The bytes of memory of such a matrix; `None` if `cols` is no whole number of blocks or the
    /// size is more than a machine word counts.
    pub fn size_of(format: Format, rows: usize, cols: usize) -> Option<usize> {
        // A tile is less than 32 times a row, and 64 bytes.
        format.row_bytes(cols)?.checked_mul(64)?;
        let tile = tile_bytes(format, cols);
        rows.div_ceil(ROWS).checked_mul(tile).filter(|size| *size < isize::MAX as usize / 2)
    }

    /// The format of the weights.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Rows (outputs).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns (inputs).
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.tiles().len()
    }

    /// Row `row` as f32, exactly [`Format::dequantize`] of the bytes that were packed.
    ///
    /// Panics: for a row outside, or if `out` has not `cols` places.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.cols, "row: out");
        let mut lane = [[0.0; ROWS]; COLUMNS];
        for (at, out) in out.chunks_mut(COLUMNS).enumerate() {
            let lanes = &mut lane[..out.len()];
            expand::columns(self, row / ROWS, at * COLUMNS, lanes);
            for (out, lanes) in out.iter_mut().zip(lanes) {
                *out = lanes[row % ROWS];
            }
        }
    }

    fn tiles(&self) -> &[u8] {
        &self.memory[self.start..][..self.tile_bytes() * self.rows.div_ceil(ROWS)]
    }

    fn tile(&self, tile: usize) -> &[u8] {
        let size = self.tile_bytes();
        &self.tiles()[tile * size..][..size]
    }

    fn tile_bytes(&self) -> usize {
        tile_bytes(self.format, self.cols)
    }
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrix({} x {} {})", self.rows, self.cols, self.format)
    }
}

/// Bytes of a tile; floats lie column by column, sixteen rows to each.
fn tile_bytes(format: Format, cols: usize) -> usize {
    if format.is_quantized() {
        Meaning::of(format).tile_bytes(cols)
    } else {
        cols * format.block_bytes() * ROWS
    }
}

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
        let from = w.start + first_row / ROWS * size;
        let tiles = Shared::new(&mut w.memory[from..][..rows.div_ceil(ROWS) * size]);
        self.split(rows.div_ceil(ROWS), 1, ROWS * cols, |run| {
            for tile in run {
                // SAFETY: tiles do not overlap.
                let to = unsafe { tiles.part(tile * size..(tile + 1) * size) };
                let rows = tile * ROWS..rows.min((tile + 1) * ROWS);
                pack_tile(format, cols, to, &bytes[rows.start * row_bytes..rows.end * row_bytes]);
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

/// Packs up to sixteen rows; the lanes without a row stay as they are.
fn pack_tile(format: Format, cols: usize, to: &mut [u8], rows: &[u8]) {
    let row_bytes = format.row_bytes(cols).expect("a matrix has whole blocks");
    let size = format.block_bytes();
    if !format.is_quantized() {
        for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
            for (column, value) in row.chunks_exact(size).enumerate() {
                to[(column * ROWS + lane) * size..][..size].copy_from_slice(value);
            }
        }
        return;
    }
    let meaning = Meaning::of(format);
    let (heads, levels) = to.split_at_mut(meaning.head_bytes(cols));
    levels.fill(0);
    let (head_bytes, span) = (meaning.head.bytes(), meaning.head.span());
    let mut block = Block::new();
    for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
        for (at, bytes) in row.chunks_exact(size).enumerate() {
            block.read(format, bytes);
            let head = &mut heads[at * head_bytes..][..head_bytes];
            let levels = &mut levels[at * span * meaning.level_bytes()..];
            meaning.pack(&block, head, levels, lane);
        }
    }
}

const _: () = assert!(WEIGHTS == 8 * COLUMNS);
