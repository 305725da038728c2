//! Layer normalisation with weight and bias. Source: Ba, Kiros & Hinton 2016.

use crate::kernel::Kernel;
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa, lane_sum};

impl Kernel {
    /// Normalises each row to mean 0 and variance 1, then `out = n * w + b`.
    ///
    /// Shapes: `x`, `out` `[T, C]`; `w`, `b` `[C]`.
    /// Bits: the mean, then the squares of the differences are summed in 16 lanes;
    /// `fma((x − mean) * (1/√(variance + eps)), w, b)`.
    pub fn layer_norm(&self, out: &mut [f32], x: &[f32], w: &[f32], b: &[f32], eps: f32) {
        let width = w.len();
        assert_eq!(b.len(), width, "layer_norm: b");
        assert!(x.len().is_multiple_of(width.max(1)), "layer_norm: x");
        assert_eq!(out.len(), x.len(), "layer_norm: out");
        let out = Shared::new(out);
        self.split(x.len() / width.max(1), 1, 2 * width, |rows| {
            let at = rows.start * width..rows.end * width;
            // SAFETY: runs of rows do not overlap.
            let out = unsafe { out.part(at.clone()) };
            norm(self.cpu, out, &x[at], w, b, eps);
        });
    }
}

each_isa! {
    fn norm(out: &mut [f32], x: &[f32], w: &[f32], b: &[f32], eps: f32) = norm_body;
}

#[inline(always)]
fn norm_body<S: Simd>(out: &mut [f32], x: &[f32], w: &[f32], b: &[f32], eps: f32) {
    let width = w.len();
    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let mean = lane_sum(x, |sum, x| sum + x) / width as f32;
        let squares = lane_sum(x, |sum, x| S::fma(x - mean, x - mean, sum));
        let scale = 1.0 / (squares / width as f32 + eps).sqrt();
        for (((out, x), w), b) in out.iter_mut().zip(x).zip(w).zip(b) {
            *out = S::fma((x - mean) * scale, *w, *b);
        }
    }
}
