//! Biases of linear layers: one number for each output, the same for all rows.

use crate::kernel::Kernel;
use crate::scratch::Shared;

impl Kernel {
    /// `y[t,c] = b[c] + 0`: what the chains of a linear layer with a bias start from.
    ///
    /// Shapes: `y` `[T, C]`; `b` `[C]`.
    pub fn fill_rows(&self, y: &mut [f32], b: &[f32]) {
        self.each_row(y, b, |y, b| *y = 0.0 + b);
    }

    /// `y[t,c] += b[c]`.
    ///
    /// Shapes: `y` `[T, C]`; `b` `[C]`.
    pub fn add_rows(&self, y: &mut [f32], b: &[f32]) {
        self.each_row(y, b, |y, b| *y += b);
    }

    /// `db[c] += Σ dy[t,c]`: the gradient of both.
    ///
    /// Shapes: `db` `[C]`; `dy` `[T, C]`.
    /// Bits: a chain of additions over tokens in order, continued from `db`; so a batch may be split.
    pub fn sum_rows(&self, db: &mut [f32], dy: &[f32]) {
        let width = db.len();
        assert!(dy.len().is_multiple_of(width.max(1)), "sum_rows: dy");
        let db = Shared::new(db);
        self.split(width, 16, dy.len() / width.max(1), |columns| {
            // SAFETY: runs of columns do not overlap.
            let db = unsafe { db.part(columns.clone()) };
            for row in dy.chunks_exact(width) {
                db.iter_mut().zip(&row[columns.clone()]).for_each(|(db, dy)| *db += dy);
            }
        });
    }

    fn each_row(&self, y: &mut [f32], b: &[f32], f: impl Fn(&mut f32, f32) + Sync) {
        let width = b.len();
        assert!(y.len().is_multiple_of(width.max(1)), "bias: y");
        let rows = y.len() / width.max(1);
        let y = Shared::new(y);
        self.split(rows, 1, width, |rows| {
            // SAFETY: runs of rows do not overlap.
            let y = unsafe { y.part(rows.start * width..rows.end * width) };
            for row in y.chunks_exact_mut(width) {
                row.iter_mut().zip(b).for_each(|(y, &b)| f(y, b));
            }
        });
    }
}
