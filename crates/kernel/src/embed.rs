//! Token embeddings.

use crate::kernel::Kernel;
use crate::scratch::Shared;

impl Kernel {
    /// `out[t] = table[tokens[t]]`.
    ///
    /// Shapes: `out` `[T, dim]`; `table` `[V, dim]`; `tokens` `[T]`.
    /// Panics: also for a token outside the table.
    pub fn embed(&self, out: &mut [f32], table: &[f32], tokens: &[u32], dim: usize) {
        assert_eq!(out.len(), tokens.len() * dim, "embed: out");
        for (out, &token) in out.chunks_exact_mut(dim).zip(tokens) {
            let at = token as usize * dim;
            out.copy_from_slice(&table[at..at + dim]);
        }
    }

    /// The gradient of [`Kernel::embed`], added to `dtable`.
    ///
    /// Bits: each row of the table is a chain of additions over its tokens in order, continued.
    /// Panics: also for a token outside the table.
    pub fn embed_backward(&self, dtable: &mut [f32], dout: &[f32], tokens: &[u32], dim: usize) {
        assert_eq!(dout.len(), tokens.len() * dim, "embed_backward: dout");
        let table = Shared::new(dtable);
        self.split(dim, 16, tokens.len(), |columns| {
            for (dout, &token) in dout.chunks_exact(dim).zip(tokens) {
                let at = token as usize * dim;
                // SAFETY: runs of columns do not overlap, and each row's part is let go at once.
                let row = unsafe { table.part(at + columns.start..at + columns.end) };
                for (sum, dout) in row.iter_mut().zip(&dout[columns.clone()]) {
                    *sum += dout;
                }
            }
        });
    }
}
