//! AdamW and plain vector operations.

use crate::kernel::Kernel;
use crate::scratch::{Scratch, Shared};
use crate::simd::{Simd, each_isa, lane_sum};

/// Constants of one AdamW step. Source: Loshchilov & Hutter 2019.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, times the learning rate.
    pub weight_decay: f32,
}

/// Values to a chunk of [`Kernel::sum_squares`].
const CHUNK: usize = 4096;

impl Kernel {
    /// One step of AdamW on the gradient `g * grad_scale`; `step` counts from 1. With `decay` false
    /// the weight decay is left out (norms, biases).
    ///
    /// Shapes: all slices alike; `m` and `v` are the moments.
    /// Bits: `g' = g * grad_scale`, `m = fma(1−β₁, g' − m, m)`, `v = fma((1−β₂) * g', g', β₂ * v)`,
    /// `p = fma(−lr/c₁, m / (√v / √c₂ + eps), p * (1 − lr * weight_decay))`, with constants
    /// (c = 1 − βᵗ) in f64, rounded once. As `torch.optim.AdamW`.
    pub fn adamw(
        &self,
        p: &mut [f32],
        g: &[f32],
        m: &mut [f32],
        v: &mut [f32],
        h: &AdamW,
        step: u32,
        grad_scale: f32,
        decay: bool,
    ) {
        assert!(p.len() == g.len() && p.len() == m.len() && p.len() == v.len(), "adamw: lengths");
        let factors = Factors::new(h, step, grad_scale, decay);
        let count = p.len();
        let (p, m, v) = (Shared::new(p), Shared::new(m), Shared::new(v));
        self.split(count, 16, 4, |at| {
            // SAFETY: runs do not overlap.
            let (p, m, v) = unsafe { (p.part(at.clone()), m.part(at.clone()), v.part(at.clone())) };
            adamw(self.cpu, p, &g[at], m, v, &factors);
        });
    }

    /// `Σ x²`.
    ///
    /// Bits: chunks of 4096 in 16 lanes each; the chunks' sums are added in order.
    pub fn sum_squares(&self, x: &[f32]) -> f32 {
        let chunks = x.len().div_ceil(CHUNK);
        let mut sums = Scratch::new(chunks);
        let parts = Shared::new(&mut sums);
        self.split(chunks, 1, CHUNK, |at| {
            // SAFETY: runs of chunks do not overlap.
            let sums = unsafe { parts.part(at.clone()) };
            for (sum, chunk) in sums.iter_mut().zip(at) {
                let end = x.len().min((chunk + 1) * CHUNK);
                *sum = squares(self.cpu, &x[chunk * CHUNK..end]);
            }
        });
        sums.iter().fold(0.0, |total, sum| total + sum)
    }

    /// `y = fma(a, x, y)`.
    pub fn add_scaled(&self, y: &mut [f32], a: f32, x: &[f32]) {
        assert_eq!(y.len(), x.len(), "add_scaled: lengths");
        let y = Shared::new(y);
        self.split(x.len(), 16, 1, |at| {
            // SAFETY: runs do not overlap.
            add_scaled(self.cpu, unsafe { y.part(at.clone()) }, a, &x[at]);
        });
    }

    /// `x = x * a`.
    pub fn scale(&self, x: &mut [f32], a: f32) {
        let count = x.len();
        let x = Shared::new(x);
        self.split(count, 16, 1, |at| {
            // SAFETY: runs do not overlap.
            let x = unsafe { x.part(at) };
            x.iter_mut().for_each(|x| *x *= a);
        });
    }

    /// Whether no value is infinite or NaN.
    pub fn all_finite(&self, x: &[f32]) -> bool {
        x.chunks(CHUNK).all(|chunk| finite(self.cpu, chunk))
    }
}

/// The constants of a step in the form the loop wants them.
pub(crate) struct Factors {
    grad_scale: f32,
    keep: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    root_correction: f32,
    eps: f32,
}

impl Factors {
    fn new(h: &AdamW, step: u32, grad_scale: f32, decay: bool) -> Factors {
        let (beta1, beta2) = (f64::from(h.beta1), f64::from(h.beta2));
        let (lr, weight_decay) = (f64::from(h.lr), f64::from(h.weight_decay));
        Factors {
            grad_scale,
            keep: if decay { (1.0 - lr * weight_decay) as f32 } else { 1.0 },
            one_minus_beta1: (1.0 - beta1) as f32,
            beta2: h.beta2,
            one_minus_beta2: (1.0 - beta2) as f32,
            step_size: (lr / (1.0 - power(beta1, step))) as f32,
            root_correction: (1.0 - power(beta2, step)).sqrt() as f32,
            eps: h.eps,
        }
    }
}

/// `base^exponent` by squaring: the same roundings on every machine.
pub fn power(mut base: f64, mut exponent: u32) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

each_isa! {
    fn adamw(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], f: &Factors) = adamw_body;
    fn squares(x: &[f32]) -> f32 = squares_body;
    fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) = add_scaled_body;
    fn finite(x: &[f32]) -> bool = finite_body;
}

#[inline(always)]
fn adamw_body<S: Simd>(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], f: &Factors) {
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        let g = g * f.grad_scale;
        *m = S::fma(f.one_minus_beta1, g - *m, *m);
        *v = S::fma(f.one_minus_beta2 * g, g, f.beta2 * *v);
        let root = v.sqrt() / f.root_correction + f.eps;
        *p = S::fma(-f.step_size, *m / root, *p * f.keep);
    }
}

#[inline(always)]
fn squares_body<S: Simd>(x: &[f32]) -> f32 {
    lane_sum(x, |sum, x| S::fma(x, x, sum))
}

#[inline(always)]
fn add_scaled_body<S: Simd>(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = S::fma(a, *x, *y);
    }
}

#[inline(always)]
fn finite_body<S: Simd>(x: &[f32]) -> bool {
    // The greatest exponent stands for infinity and NaN.
    x.iter().fold(true, |fine, x| fine & (x.to_bits() & 0x7f80_0000 != 0x7f80_0000))
}
