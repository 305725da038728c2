//! Root mean square normalisation. Source: Zhang & Sennrich 2019, eq. 4.

use crate::kernel::Kernel;
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa, lane_sum, lane_sum3};

impl Kernel {
    /// Normalises each row: `out[t,c] = x[t,c] * rstd[t] * w[c]`, `rstd = 1/√(mean(x²) + eps)`.
    ///
    /// Shapes: `x`, `out` `[T, C]`; `w` `[C]`; `rstd` `[T]`, kept for the backward pass.
    /// Bits: squares are summed in 16 lanes; then `(x * rstd) * w`.
    pub fn rms_norm(&self, out: &mut [f32], rstd: &mut [f32], x: &[f32], w: &[f32], eps: f32) {
        let width = w.len();
        assert_eq!(x.len(), rstd.len() * width, "rms_norm: x");
        assert_eq!(out.len(), x.len(), "rms_norm: out");
        let (out, scales) = (Shared::new(out), Shared::new(rstd));
        self.split(x.len() / width.max(1), 1, width, |rows| {
            let at = rows.start * width..rows.end * width;
            // SAFETY: runs of rows do not overlap.
            let (out, rstd) = unsafe { (out.part(at.clone()), scales.part(rows)) };
            norm(self.cpu, out, rstd, &x[at], w, eps);
        });
    }

    /// Normalises each row in place, as [`Kernel::rms_norm`]; a row may be one head.
    ///
    /// Shapes: `x` `[T, C]`; `w` `[C]`.
    pub fn rms_norm_in_place(&self, x: &mut [f32], w: &[f32], eps: f32) {
        let width = w.len();
        assert!(x.len().is_multiple_of(width.max(1)), "rms_norm_in_place: x");
        let rows = x.len() / width.max(1);
        let x = Shared::new(x);
        self.split(rows, 1, width, |rows| {
            // SAFETY: runs of rows do not overlap.
            let x = unsafe { x.part(rows.start * width..rows.end * width) };
            norm_in_place(self.cpu, x, w, eps);
        });
    }

    /// `sum[t,c] += x[t,c] * rstd[t] * w[c]`, with `rstd` as in [`Kernel::rms_norm`].
    ///
    /// Shapes: `sum`, `x` `[T, C]`; `w` `[C]`.
    /// Bits: the product as in [`Kernel::rms_norm`], then one addition.
    pub fn rms_norm_add(&self, sum: &mut [f32], x: &[f32], w: &[f32], eps: f32) {
        let width = w.len();
        assert!(x.len().is_multiple_of(width.max(1)), "rms_norm_add: x");
        assert_eq!(sum.len(), x.len(), "rms_norm_add: sum");
        let sum = Shared::new(sum);
        self.split(x.len() / width.max(1), 1, width, |rows| {
            let at = rows.start * width..rows.end * width;
            // SAFETY: runs of rows do not overlap.
            let sum = unsafe { sum.part(at.clone()) };
            norm_add(self.cpu, sum, &x[at], w, eps);
        });
    }

    /// The gradients of [`Kernel::rms_norm`], added to `dx` and `dw`.
    ///
    /// Shapes: `dx`, `dout`, `x` `[T, C]`; `dw`, `w` `[C]`; `rstd` `[T]`.
    /// Bits: with n = x * rstd, `dw[c]` is a chain of `dout * n` over tokens, continued; and
    /// `dx += rstd * (dout*w − n * (Σ dout*w*n / C))` with the sum in 16 lanes.
    pub fn rms_norm_backward(
        &self,
        dx: &mut [f32],
        dw: &mut [f32],
        dout: &[f32],
        x: &[f32],
        w: &[f32],
        rstd: &[f32],
    ) {
        let width = w.len();
        assert_eq!(x.len(), rstd.len() * width, "rms_norm_backward: x");
        assert_eq!(dout.len(), x.len(), "rms_norm_backward: dout");
        assert_eq!(dx.len(), x.len(), "rms_norm_backward: dx");
        assert_eq!(dw.len(), width, "rms_norm_backward: dw");
        let (dx, dw) = (Shared::new(dx), Shared::new(dw));
        self.split(rstd.len(), 1, 2 * width, |rows| {
            let at = rows.start * width..rows.end * width;
            // SAFETY: runs of rows do not overlap.
            let dx = unsafe { dx.part(at.clone()) };
            norm_input(self.cpu, dx, &dout[at.clone()], &x[at], w, &rstd[rows]);
        });
        self.split(width, 16, rstd.len(), |columns| {
            // SAFETY: runs of columns do not overlap.
            let dw = unsafe { dw.part(columns.clone()) };
            norm_weight(self.cpu, dw, &dout[columns.start..], &x[columns.start..], width, rstd);
        });
    }
}

each_isa! {
    fn norm_in_place(x: &mut [f32], w: &[f32], eps: f32) = norm_in_place_body;
    fn norm_add(sum: &mut [f32], x: &[f32], w: &[f32], eps: f32) = norm_add_body;
    fn norm(out: &mut [f32], rstd: &mut [f32], x: &[f32], w: &[f32], eps: f32) = norm_body;
    fn norm_input(dx: &mut [f32], dout: &[f32], x: &[f32], w: &[f32], rstd: &[f32]) = norm_input_body;
    fn norm_weight(dw: &mut [f32], dout: &[f32], x: &[f32], width: usize, rstd: &[f32]) = norm_weight_body;
}

#[inline(always)]
fn rstd<S: Simd>(x: &[f32], eps: f32) -> f32 {
    let squares = lane_sum(x, |sum, x| S::fma(x, x, sum));
    1.0 / (squares / x.len() as f32 + eps).sqrt()
}

#[inline(always)]
fn norm_in_place_body<S: Simd>(x: &mut [f32], w: &[f32], eps: f32) {
    for x in x.chunks_exact_mut(w.len()) {
        let scale = rstd::<S>(x, eps);
        for (x, w) in x.iter_mut().zip(w) {
            *x = *x * scale * w;
        }
    }
}

#[inline(always)]
fn norm_add_body<S: Simd>(sum: &mut [f32], x: &[f32], w: &[f32], eps: f32) {
    for (sum, x) in sum.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
        let scale = rstd::<S>(x, eps);
        for ((sum, x), w) in sum.iter_mut().zip(x).zip(w) {
            *sum += x * scale * w;
        }
    }
}

#[inline(always)]
fn norm_body<S: Simd>(out: &mut [f32], rstd: &mut [f32], x: &[f32], w: &[f32], eps: f32) {
    let width = w.len();
    let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
    for ((out, x), rstd) in rows.zip(rstd) {
        let scale = self::rstd::<S>(x, eps);
        *rstd = scale;
        for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
            *out = x * scale * w;
        }
    }
}

#[inline(always)]
fn norm_input_body<S: Simd>(dx: &mut [f32], dout: &[f32], x: &[f32], w: &[f32], rstd: &[f32]) {
    let width = w.len();
    let rows = dx.chunks_exact_mut(width).zip(dout.chunks_exact(width)).zip(x.chunks_exact(width));
    for (((dx, dout), x), &scale) in rows.zip(rstd) {
        let dot = lane_sum3(dout, w, x, |sum, d, w, x| S::fma(d * w, x * scale, sum));
        let mean = dot / width as f32;
        for (((dx, dout), x), w) in dx.iter_mut().zip(dout).zip(x).zip(w) {
            *dx = S::fma(scale, S::fma(-(x * scale), mean, dout * w), *dx);
        }
    }
}

#[inline(always)]
fn norm_weight_body<S: Simd>(dw: &mut [f32], dout: &[f32], x: &[f32], width: usize, rstd: &[f32]) {
    for (t, &scale) in rstd.iter().enumerate() {
        let row = t * width..t * width + dw.len();
        for ((dw, dout), x) in dw.iter_mut().zip(&dout[row.clone()]).zip(&x[row]) {
            *dw = S::fma(*dout, x * scale, *dw);
        }
    }
}
