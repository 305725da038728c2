//! Layer normalisation with weight and bias. Source: Ba, Kiros & Hinton 2016.

use crate::kernel::Kernel;
use crate::scratch::{Scratch, Shared};
use crate::simd::{Simd, each_isa, lane_sum, lane_sum2, lane_sum3};

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

    /// The gradients of [`Kernel::layer_norm`], added to `dx`, `dw` and `db`.
    ///
    /// Shapes: `dx`, `dout`, `x` `[T, C]`; `dw`, `db`, `w` `[C]`.
    /// Bits: with n = (x − mean) * r as in the forward pass, `db[c]` is a chain of additions of
    /// `dout` and `dw[c]` one of fused `dout * n` over tokens, both continued; and
    /// `dx += r * ((dout*w − Σ dout*w / C) − n * (Σ dout*w*n / C))` with sums in 16 lanes.
    pub fn layer_norm_backward(
        &self,
        dx: &mut [f32],
        dw: &mut [f32],
        db: &mut [f32],
        dout: &[f32],
        x: &[f32],
        w: &[f32],
        eps: f32,
    ) {
        let width = w.len();
        assert!(x.len().is_multiple_of(width.max(1)), "layer_norm_backward: x");
        assert_eq!(dout.len(), x.len(), "layer_norm_backward: dout");
        assert_eq!(dx.len(), x.len(), "layer_norm_backward: dx");
        assert_eq!(dw.len(), width, "layer_norm_backward: dw");
        assert_eq!(db.len(), width, "layer_norm_backward: db");
        let tokens = x.len() / width.max(1);
        let mut stats = Scratch::new(2 * tokens);
        let (dx, dw, db) = (Shared::new(dx), Shared::new(dw), Shared::new(db));
        {
            let stats = Shared::new(&mut stats);
            self.split(tokens, 1, 3 * width, |rows| {
                let at = rows.start * width..rows.end * width;
                // SAFETY: runs of rows do not overlap.
                let (dx, stats) =
                    unsafe { (dx.part(at.clone()), stats.part(2 * rows.start..2 * rows.end)) };
                norm_input(self.cpu, dx, stats, &dout[at.clone()], &x[at], w, eps);
            });
        }
        let stats: &[f32] = &stats;
        self.split(width, 16, 2 * tokens, |columns| {
            // SAFETY: runs of columns do not overlap.
            let (dw, db) = unsafe { (dw.part(columns.clone()), db.part(columns.clone())) };
            let from = columns.start;
            norm_weight(self.cpu, dw, db, &dout[from..], &x[from..], width, stats);
        });
    }
}

each_isa! {
    fn norm(out: &mut [f32], x: &[f32], w: &[f32], b: &[f32], eps: f32) = norm_body;
    fn norm_input(dx: &mut [f32], stats: &mut [f32], dout: &[f32], x: &[f32], w: &[f32], eps: f32) = norm_input_body;
    fn norm_weight(dw: &mut [f32], db: &mut [f32], dout: &[f32], x: &[f32], width: usize, stats: &[f32]) = norm_weight_body;
}

/// Mean and `1/√(variance + eps)` of a row.
#[inline(always)]
fn mean_and_scale<S: Simd>(x: &[f32], eps: f32) -> (f32, f32) {
    let width = x.len() as f32;
    let mean = lane_sum(x, |sum, x| sum + x) / width;
    let squares = lane_sum(x, |sum, x| S::fma(x - mean, x - mean, sum));
    (mean, 1.0 / (squares / width + eps).sqrt())
}

#[inline(always)]
fn norm_body<S: Simd>(out: &mut [f32], x: &[f32], w: &[f32], b: &[f32], eps: f32) {
    let width = w.len();
    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let (mean, scale) = mean_and_scale::<S>(x, eps);
        for (((out, x), w), b) in out.iter_mut().zip(x).zip(w).zip(b) {
            *out = S::fma((x - mean) * scale, *w, *b);
        }
    }
}

/// Also leaves mean and scale of each row in `stats`.
#[inline(always)]
fn norm_input_body<S: Simd>(
    dx: &mut [f32],
    stats: &mut [f32],
    dout: &[f32],
    x: &[f32],
    w: &[f32],
    eps: f32,
) {
    let width = w.len();
    let rows = dx.chunks_exact_mut(width).zip(dout.chunks_exact(width)).zip(x.chunks_exact(width));
    for (((dx, dout), x), stats) in rows.zip(stats.chunks_exact_mut(2)) {
        let (mean, scale) = mean_and_scale::<S>(x, eps);
        stats.copy_from_slice(&[mean, scale]);
        let sum = lane_sum2(dout, w, |sum, d, w| S::fma(d, w, sum)) / width as f32;
        let dot = lane_sum3(dout, w, x, |sum, d, w, x| S::fma(d * w, (x - mean) * scale, sum));
        let dot = dot / width as f32;
        for (((dx, dout), x), w) in dx.iter_mut().zip(dout).zip(x).zip(w) {
            let centred = dout * w - sum;
            *dx = S::fma(scale, S::fma(-((x - mean) * scale), dot, centred), *dx);
        }
    }
}

#[inline(always)]
fn norm_weight_body<S: Simd>(
    dw: &mut [f32],
    db: &mut [f32],
    dout: &[f32],
    x: &[f32],
    width: usize,
    stats: &[f32],
) {
    for (t, stats) in stats.chunks_exact(2).enumerate() {
        let row = t * width..t * width + dw.len();
        let columns = dw.iter_mut().zip(db.iter_mut()).zip(&dout[row.clone()]).zip(&x[row]);
        for (((dw, db), dout), x) in columns {
            *dw = S::fma(*dout, (x - stats[0]) * stats[1], *dw);
            *db += dout;
        }
    }
}
