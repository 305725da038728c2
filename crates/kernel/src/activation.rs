//! What lies between the projections of a feed-forward layer, and the bend of soft-capped values.
//! Source of the gated unit: Shazeer 2020, "GLU variants improve transformer".

use crate::kernel::Kernel;
use crate::math::{erf_with, exp_with, sigmoid_with, tanh_with};
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa};

/// The function of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(−x))`.
    Silu,
    /// `x/2 * (1 + tanh(√(2/π) * (x + 0.044715 x³)))`.
    GeluTanh,
    /// `x/2 * (1 + erf(x/√2))`.
    GeluErf,
}

impl Kernel {
    /// `x = act(x)`, times `up` where there is one, in place.
    ///
    /// Shapes: `x`, `up` of one length.
    /// Bits: SiLU is `x * s` with s the sigmoid `1 / (1 + exp(−x))`; GELU is `(0.5 * x) * (1 + t)`,
    /// with `t = tanh(0.7978846 * fma(0.044715 * x * x, x, x))` or `t = erf(x * 0.70710677)`; then
    /// times `up`.
    pub fn activate(&self, x: &mut [f32], up: Option<&[f32]>, act: Activation) {
        assert!(up.is_none_or(|up| up.len() == x.len()), "activate: up");
        let count = x.len();
        let x = Shared::new(x);
        self.split(count, 16, 8, |run| {
            // SAFETY: runs do not overlap.
            let x = unsafe { x.part(run.clone()) };
            in_place(self.cpu, x, up.map(|up| &up[run]), act);
        });
    }

    /// `dx = dx * act'(x)`, in place: the gradient of [`Kernel::activate`] without `up`.
    ///
    /// Shapes: `dx`, `x` of one length.
    /// Bits: with the names of [`Kernel::activate`], SiLU's slope is `s * fma(x, 1 − s, 1)`; GELU's
    /// is `fma(x, c, 0.5 * (1 + t))`, with `c = exp((−0.5 * x) * x) * 0.3989423` for erf and
    /// `c = (0.5 * fma(−t, t, 1)) * (0.7978846 * fma(0.134145 * x, x, 1))` for tanh.
    pub fn activate_backward(&self, dx: &mut [f32], x: &[f32], act: Activation) {
        assert_eq!(dx.len(), x.len(), "activate_backward: x");
        let dx = Shared::new(dx);
        self.split(x.len(), 16, 12, |run| {
            // SAFETY: runs do not overlap.
            let dx = unsafe { dx.part(run.clone()) };
            slope(self.cpu, dx, &x[run], act);
        });
    }

    /// `out[t,f] = act(gate[t,f]) * up[t,f]`.
    ///
    /// Shapes: `gate_up` rows are `[gate(F) | up(F)]`; `out` `[T, F]`; F is `ffn`.
    /// Bits: of [`Kernel::activate`].
    pub fn gated(&self, out: &mut [f32], gate_up: &[f32], ffn: usize, act: Activation) {
        assert_eq!(gate_up.len(), 2 * out.len(), "gated: gate_up");
        assert!(out.len().is_multiple_of(ffn.max(1)), "gated: out");
        let rows = out.len() / ffn.max(1);
        let out = Shared::new(out);
        self.split(rows, 1, 8 * ffn, |rows| {
            // SAFETY: runs of rows do not overlap.
            let out = unsafe { out.part(rows.start * ffn..rows.end * ffn) };
            gated(self.cpu, out, &gate_up[2 * rows.start * ffn..2 * rows.end * ffn], ffn, act);
        });
    }

    /// The gradient of [`Kernel::gated`], written to `dgate_up`.
    ///
    /// Bits: `dup = dout * act(gate)`, `dgate = (dout * up) * act'(gate)`, with the slopes of
    /// [`Kernel::activate_backward`].
    pub fn gated_backward(
        &self,
        dgate_up: &mut [f32],
        dout: &[f32],
        gate_up: &[f32],
        ffn: usize,
        act: Activation,
    ) {
        assert_eq!(gate_up.len(), 2 * dout.len(), "gated_backward: gate_up");
        assert_eq!(dgate_up.len(), gate_up.len(), "gated_backward: dgate_up");
        assert!(dout.len().is_multiple_of(ffn.max(1)), "gated_backward: dout");
        let grad = Shared::new(dgate_up);
        self.split(dout.len() / ffn.max(1), 1, 10 * ffn, |rows| {
            let at = 2 * rows.start * ffn..2 * rows.end * ffn;
            // SAFETY: runs of rows do not overlap.
            let grad = unsafe { grad.part(at.clone()) };
            let dout = &dout[rows.start * ffn..rows.end * ffn];
            gated_slope(self.cpu, grad, dout, &gate_up[at], ffn, act);
        });
    }

    /// `x = cap * tanh(x / cap)`, in place.
    pub fn soft_cap(&self, x: &mut [f32], cap: f32) {
        let count = x.len();
        let x = Shared::new(x);
        self.split(count, 16, 8, |run| {
            // SAFETY: runs do not overlap.
            bend(self.cpu, unsafe { x.part(run) }, cap);
        });
    }

    /// `dx = dx * (1 − (y/cap)²)`, in place: the gradient of [`Kernel::soft_cap`], which gave `y`.
    ///
    /// Shapes: `dx`, `y` of one length. Bits: `dx * fma(−b, b, 1)`, `b = y / cap`.
    pub fn soft_cap_backward(&self, dx: &mut [f32], y: &[f32], cap: f32) {
        assert_eq!(dx.len(), y.len(), "soft_cap_backward: y");
        let dx = Shared::new(dx);
        self.split(y.len(), 16, 2, |run| {
            // SAFETY: runs do not overlap.
            let dx = unsafe { dx.part(run.clone()) };
            bend_slope(self.cpu, dx, &y[run], cap);
        });
    }
}

each_isa! {
    fn in_place(x: &mut [f32], up: Option<&[f32]>, act: Activation) = in_place_body;
    fn slope(dx: &mut [f32], x: &[f32], act: Activation) = slope_body;
    fn gated(out: &mut [f32], gate_up: &[f32], ffn: usize, act: Activation) = gated_body;
    fn gated_slope(grad: &mut [f32], dout: &[f32], gate_up: &[f32], ffn: usize, act: Activation) = gated_slope_body;
    fn bend(x: &mut [f32], cap: f32) = bend_body;
    fn bend_slope(dx: &mut [f32], y: &[f32], cap: f32) = bend_slope_body;
}

/// Runs a loop once for each function, so that the choice is made outside of it.
macro_rules! for_each_activation {
    ($act:expr, $f:ident => $run:expr) => {
        match $act {
            Activation::Silu => {
                let $f = silu::<S>;
                $run
            }
            Activation::GeluTanh => {
                let $f = gelu_tanh::<S>;
                $run
            }
            Activation::GeluErf => {
                let $f = gelu_erf::<S>;
                $run
            }
        }
    };
}

#[inline(always)]
fn in_place_body<S: Simd>(x: &mut [f32], up: Option<&[f32]>, act: Activation) {
    for_each_activation!(act, f => match up {
        Some(up) => x.iter_mut().zip(up).for_each(|(x, up)| *x = f(*x).0 * up),
        None => x.iter_mut().for_each(|x| *x = f(*x).0),
    });
}

#[inline(always)]
fn slope_body<S: Simd>(dx: &mut [f32], x: &[f32], act: Activation) {
    for_each_activation!(act, f => dx.iter_mut().zip(x).for_each(|(dx, x)| *dx *= f(*x).1));
}

#[inline(always)]
fn gated_body<S: Simd>(out: &mut [f32], gate_up: &[f32], ffn: usize, act: Activation) {
    for_each_activation!(act, f => {
        for (out, row) in out.chunks_exact_mut(ffn).zip(gate_up.chunks_exact(2 * ffn)) {
            let (gate, up) = row.split_at(ffn);
            for ((out, &gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = f(gate).0 * up;
            }
        }
    });
}

#[inline(always)]
fn gated_slope_body<S: Simd>(
    grad: &mut [f32],
    dout: &[f32],
    gate_up: &[f32],
    ffn: usize,
    act: Activation,
) {
    for_each_activation!(act, f => {
        let rows = grad.chunks_exact_mut(2 * ffn).zip(gate_up.chunks_exact(2 * ffn));
        for ((grad, row), dout) in rows.zip(dout.chunks_exact(ffn)) {
            let (dgate, dup) = grad.split_at_mut(ffn);
            let (gate, up) = row.split_at(ffn);
            let ins = dout.iter().zip(gate).zip(up);
            for ((dgate, dup), ((&dout, &gate), &up)) in dgate.iter_mut().zip(dup).zip(ins) {
                let (value, slope) = f(gate);
                *dup = dout * value;
                *dgate = dout * up * slope;
            }
        }
    });
}

/// `x * sigmoid(x)` and its slope.
#[inline(always)]
fn silu<S: Simd>(x: f32) -> (f32, f32) {
    let s = sigmoid_with::<S>(x);
    (x * s, s * S::fma(x, 1.0 - s, 1.0))
}

/// GELU by its approximation with tanh, and its slope.
#[inline(always)]
fn gelu_tanh<S: Simd>(x: f32) -> (f32, f32) {
    const ROOT: f32 = 0.797_884_6; // √(2/π)
    let t = tanh_with::<S>(ROOT * S::fma(0.044_715 * x * x, x, x));
    let inner = ROOT * S::fma(3.0 * 0.044_715 * x, x, 1.0);
    let c = 0.5 * S::fma(-t, t, 1.0) * inner;
    (0.5 * x * (1.0 + t), S::fma(x, c, 0.5 * (1.0 + t)))
}

/// GELU, and its slope.
#[inline(always)]
fn gelu_erf<S: Simd>(x: f32) -> (f32, f32) {
    const DENSITY: f32 = 0.398_942_3; // 1/√(2π)
    let t = erf_with::<S>(x * std::f32::consts::FRAC_1_SQRT_2);
    let c = exp_with::<S>(-0.5 * x * x) * DENSITY;
    (0.5 * x * (1.0 + t), S::fma(x, c, 0.5 * (1.0 + t)))
}

#[inline(always)]
fn bend_body<S: Simd>(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * tanh_with::<S>(*x / cap);
    }
}

#[inline(always)]
fn bend_slope_body<S: Simd>(dx: &mut [f32], y: &[f32], cap: f32) {
    for (dx, y) in dx.iter_mut().zip(y) {
        let bent = y / cap;
        *dx *= S::fma(-bent, bent, 1.0);
    }
}
