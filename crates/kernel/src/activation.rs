//! What lies between the projections of a feed-forward layer, and the bend of soft-capped values.

use crate::kernel::Kernel;
use crate::math::{erf_with, sigmoid_with, tanh_with};
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
    /// Bits: `(x * s) * up` with s the sigmoid, as [`Kernel::swiglu`]; GELU is
    /// `(0.5 * x) * (1 + t)`, with `t = tanh(0.7978846 * fma(0.044715 * x * x, x, x))` or
    /// `t = erf(x * 0.70710677)`; then times `up`.
    pub fn activate(&self, x: &mut [f32], up: Option<&[f32]>, act: Activation) {
        assert!(up.is_none_or(|up| up.len() == x.len()), "activate: up");
        let count = x.len();
        let x = Shared::new(x);
        self.split(count, 16, 8, |run| {
            // SAFETY: runs do not overlap.
            let x = unsafe { x.part(run.clone()) };
            let up = up.map(|up| &up[run]);
            match act {
                Activation::Silu => silu(self.cpu, x, up),
                Activation::GeluTanh => gelu_tanh(self.cpu, x, up),
                Activation::GeluErf => gelu_erf(self.cpu, x, up),
            }
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
}

each_isa! {
    fn silu(x: &mut [f32], up: Option<&[f32]>) = silu_body;
    fn gelu_tanh(x: &mut [f32], up: Option<&[f32]>) = gelu_tanh_body;
    fn gelu_erf(x: &mut [f32], up: Option<&[f32]>) = gelu_erf_body;
    fn bend(x: &mut [f32], cap: f32) = bend_body;
}

#[inline(always)]
fn apply(x: &mut [f32], up: Option<&[f32]>, act: impl Fn(f32) -> f32) {
    match up {
        Some(up) => x.iter_mut().zip(up).for_each(|(x, up)| *x = act(*x) * up),
        None => x.iter_mut().for_each(|x| *x = act(*x)),
    }
}

#[inline(always)]
fn silu_body<S: Simd>(x: &mut [f32], up: Option<&[f32]>) {
    apply(x, up, |x| x * sigmoid_with::<S>(x));
}

#[inline(always)]
fn gelu_tanh_body<S: Simd>(x: &mut [f32], up: Option<&[f32]>) {
    const ROOT: f32 = 0.797_884_6; // √(2/π)
    apply(x, up, |x| {
        let inner = ROOT * S::fma(0.044_715 * x * x, x, x);
        0.5 * x * (1.0 + tanh_with::<S>(inner))
    });
}

#[inline(always)]
fn gelu_erf_body<S: Simd>(x: &mut [f32], up: Option<&[f32]>) {
    const ROOT: f32 = std::f32::consts::FRAC_1_SQRT_2;
    apply(x, up, |x| 0.5 * x * (1.0 + erf_with::<S>(x * ROOT)));
}

#[inline(always)]
fn bend_body<S: Simd>(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * tanh_with::<S>(*x / cap);
    }
}
