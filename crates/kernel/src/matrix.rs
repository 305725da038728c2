//! Weights of open models as they are stored: packed once, multiplied without being widened.
//!
//! A [`Matrix`] holds `rows × cols` weights of one [`Format`] in tiles of sixteen rows, so that each
//! lane of a register holds a row; one layout serves every instruction set. [`Kernel::matmul`]
//! multiplies the same inputs with several matrices in one go.

#[cfg(target_arch = "x86_64")]
mod avx2;
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
mod pack;
mod product;
mod record;

pub use format::Format;
pub use inputs::{Activations, Inputs};
pub use product::Product;

use code::{Meaning, ROWS};

use crate::memory::Memory;

/// `rows × cols` weights, packed. At most 1.05 times the bytes in a file (for 16 rows or more).
pub struct Matrix {
    format: Format,
    rows: usize,
    cols: usize,
    tiles: Memory,
}

impl Matrix {
    /// A matrix of zero bytes, to be filled by [`crate::Kernel::pack_rows`]. Memory that is never written
    /// is never touched.
    ///
    /// Panics: if `cols` is no whole number of blocks, or if the size does not fit the machine; see
    /// [`Matrix::size_of`].
    pub fn zeroed(format: Format, rows: usize, cols: usize) -> Matrix {
        let size = Matrix::size_of(format, rows, cols)
            .unwrap_or_else(|| panic!("matrix: no {rows} x {cols} of {format}"));
        Matrix { format, rows, cols, tiles: Memory::zeroed(size) }
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
        self.tiles.len()
    }

    /// Row `row` as f32, exactly [`Format::dequantize`] of the bytes that were packed.
    ///
    /// Panics: for a row outside, or if `out` has not `cols` places.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.cols, "row: out");
        expand::row(self, row / ROWS, row % ROWS, out);
    }

    fn tile(&self, tile: usize) -> &[u8] {
        let size = self.tile_bytes();
        &self.tiles[tile * size..][..size]
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
