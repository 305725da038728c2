//! The gated unit of Llama's feed-forward layer. Source: Shazeer 2020, "GLU variants".

use crate::kernel::Kernel;
use crate::math::sigmoid_with;
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa};

impl Kernel {
    /// `out[t,f] = silu(gate[t,f]) * up[t,f]`.
    ///
    /// Shapes: `gate_up` rows are `[gate(F) | up(F)]`; `out` `[T, F]`; F is `ffn`.
    /// Bits: `(gate * s) * up`, `s = 1 / (1 + exp(−gate))`.
    pub fn swiglu(&self, out: &mut [f32], gate_up: &[f32], ffn: usize) {
        assert_eq!(gate_up.len(), 2 * out.len(), "swiglu: gate_up");
        assert!(out.len().is_multiple_of(ffn.max(1)), "swiglu: out");
        let rows = out.len() / ffn.max(1);
        let out = Shared::new(out);
        self.split(rows, 1, 8 * ffn, |rows| {
            // SAFETY: runs of rows do not overlap.
            let out = unsafe { out.part(rows.start * ffn..rows.end * ffn) };
            forward(self.cpu, out, &gate_up[2 * rows.start * ffn..2 * rows.end * ffn], ffn);
        });
    }

    /// The gradient of [`Kernel::swiglu`], written to `dgate_up`.
    ///
    /// Bits: `dup = dout * (gate * s)`, `dgate = (dout * up) * (s * fma(gate, 1 − s, 1))`.
    pub fn swiglu_backward(&self, dgate_up: &mut [f32], dout: &[f32], gate_up: &[f32], ffn: usize) {
        assert_eq!(gate_up.len(), 2 * dout.len(), "swiglu_backward: gate_up");
        assert_eq!(dgate_up.len(), gate_up.len(), "swiglu_backward: dgate_up");
        assert!(dout.len().is_multiple_of(ffn.max(1)), "swiglu_backward: dout");
        let grad = Shared::new(dgate_up);
        self.split(dout.len() / ffn.max(1), 1, 10 * ffn, |rows| {
            let at = 2 * rows.start * ffn..2 * rows.end * ffn;
            // SAFETY: runs of rows do not overlap.
            let grad = unsafe { grad.part(at.clone()) };
            backward(self.cpu, grad, &dout[rows.start * ffn..rows.end * ffn], &gate_up[at], ffn);
        });
    }
}

each_isa! {
    fn forward(out: &mut [f32], gate_up: &[f32], ffn: usize) = forward_body;
    fn backward(grad: &mut [f32], dout: &[f32], gate_up: &[f32], ffn: usize) = backward_body;
}

#[inline(always)]
fn forward_body<S: Simd>(out: &mut [f32], gate_up: &[f32], ffn: usize) {
    for (out, row) in out.chunks_exact_mut(ffn).zip(gate_up.chunks_exact(2 * ffn)) {
        let (gate, up) = row.split_at(ffn);
        for ((out, &gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid_with::<S>(gate) * up;
        }
    }
}

#[inline(always)]
fn backward_body<S: Simd>(grad: &mut [f32], dout: &[f32], gate_up: &[f32], ffn: usize) {
    let rows = grad.chunks_exact_mut(2 * ffn).zip(gate_up.chunks_exact(2 * ffn));
    for ((grad, row), dout) in rows.zip(dout.chunks_exact(ffn)) {
        let (dgate, dup) = grad.split_at_mut(ffn);
        let (gate, up) = row.split_at(ffn);
        let ins = dout.iter().zip(gate).zip(up);
        for ((dgate, dup), ((&dout, &gate), &up)) in dgate.iter_mut().zip(dup).zip(ins) {
            let s = sigmoid_with::<S>(gate);
            *dup = dout * (gate * s);
            *dgate = dout * up * (s * S::fma(gate, 1.0 - s, 1.0));
        }
    }
}
