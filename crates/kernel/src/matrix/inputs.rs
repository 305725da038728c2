//! Inputs of products, made ready once for all matrices that they meet.

use crate::gemm::{View, pack_groups, tile_shape};
use crate::kernel::Kernel;
use crate::scratch::Shared;

use super::code::COLUMNS;
use super::record::{Record, quantize};

/// How the inputs of a product with quantized weights are represented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// As 8-bit integers with a scale for each 32 of them; products are sums of integers.
    #[default]
    Int8,
    /// As they are; weights are widened to f32. Slow: the reference by which the loss of accuracy
    /// of [`Activations::Int8`] is measured.
    F32,
}

/// Inputs made ready for products: a buffer that callers keep from call to call, and the choice of
/// [`Activations`]. What it holds between calls has no influence on results.
#[derive(Default)]
pub struct Inputs {
    activations: Activations,
    pub(super) integers: Integers,
    /// Groups of rows as matrix tiles want them.
    pub(super) floats: Vec<f32>,
}

impl Inputs {
    /// An empty buffer.
    pub fn new(activations: Activations) -> Inputs {
        Inputs { activations, ..Inputs::default() }
    }

    /// The choice that was made.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// Makes the rows of `x` `[m, k]` ready as integers.
    pub(super) fn quantize(&mut self, kernel: &Kernel, x: &[f32], m: usize, k: usize) {
        let to = &mut self.integers;
        (to.rows, to.blocks) = (m, k / COLUMNS);
        if to.records.len() < m * to.blocks {
            to.records.resize(m * to.blocks, Record::ZERO);
        }
        let blocks = to.blocks;
        let records = Shared::new(&mut to.records[..m * blocks]);
        kernel.split(m.div_ceil(CHUNK), 1, 4 * k * m.min(CHUNK), |chunks| {
            let rows = chunks.start * CHUNK..m.min(chunks.end * CHUNK);
            // SAFETY: chunks do not overlap.
            let records = unsafe { records.part(rows.start * blocks..rows.end * blocks) };
            quantize(kernel.cpu, records, &x[rows.start * k..rows.end * k], k);
        });
    }

    /// Makes the rows of `x` `[m, k]` ready as floats.
    pub(super) fn group(&mut self, kernel: &Kernel, x: &[f32], m: usize, k: usize) {
        let (rows, _) = tile_shape(kernel.isa());
        let groups = m.div_ceil(rows);
        let room = groups * rows * k;
        if self.floats.len() < room {
            self.floats.resize(room, 0.0);
        }
        let to = Shared::new(&mut self.floats[..room]);
        kernel.split(groups, 1, rows * k, |run| {
            // SAFETY: runs of groups do not overlap.
            let to = unsafe { to.part(run.start * rows * k..run.end * rows * k) };
            let lines = run.start * rows..m.min(run.end * rows);
            pack_groups(kernel.cpu, to, View::rows(x, k), lines, 0..k);
        });
    }
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inputs({:?})", self.activations)
    }
}

/// Rows whose records lie together, so that they stay in the caches while tiles meet them.
pub(crate) const CHUNK: usize = 32;

/// Rows of inputs as integers.
///
/// Rows come in chunks of [`CHUNK`] (the last may have fewer); in a chunk the first blocks of all
/// rows, then the second blocks, and so on.
#[derive(Default)]
pub(crate) struct Integers {
    pub rows: usize,
    pub blocks: usize,
    pub records: Vec<Record>,
}

impl Integers {
    /// The chunks: the number of the first row of each and its records.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (usize, &[Record])> {
        let records = &self.records[..self.rows * self.blocks];
        (0..self.rows).step_by(CHUNK).map(move |first| {
            let end = self.rows.min(first + CHUNK);
            (first, &records[first * self.blocks..end * self.blocks])
        })
    }
}
