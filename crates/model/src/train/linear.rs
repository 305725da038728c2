//! Projections and norms at their places in the parameters: forward beside backward.

use kernel::Kernel;

use super::{Pass, slice};
use crate::decoder::Decoder;
use crate::layout::{Linear, Norm};

impl Linear {
    /// `y = x · wᵀ`, plus the bias. Shapes: `x` `[M, columns]`, `y` `[M, rows]`.
    pub(super) fn forward(&self, pass: &Pass<'_>, y: &mut [f32], x: &[f32]) {
        if let Some(bias) = &self.bias {
            pass.kernel.fill_rows(y, &pass.params[bias.clone()]);
        }
        self.product(pass, y, x, self.bias.is_some());
    }

    /// `y += x · wᵀ`, plus the bias. Shapes as in [`Linear::forward`].
    pub(super) fn forward_add(&self, pass: &Pass<'_>, y: &mut [f32], x: &[f32]) {
        if let Some(bias) = &self.bias {
            pass.kernel.add_rows(y, &pass.params[bias.clone()]);
        }
        self.product(pass, y, x, true);
    }

    fn product(&self, pass: &Pass<'_>, y: &mut [f32], x: &[f32], accumulate: bool) {
        let (kernel, m, w) = (pass.kernel, y.len() / self.rows, &pass.params[self.weight.clone()]);
        match (pass.integers, accumulate) {
            (Some(integers), _) => integers.forward(kernel, self, y, x, accumulate),
            (None, true) => kernel.linear_add(y, x, w, m, self.rows, self.columns),
            (None, false) => kernel.linear(y, x, w, m, self.rows, self.columns),
        }
    }

    /// `dx = dy · w`, added to `dx` if `accumulate`. Shapes: `dx` `[M, columns]`, `dy` `[M, rows]`.
    pub(super) fn backward_input(
        &self,
        pass: &Pass<'_>,
        dx: &mut [f32],
        dy: &[f32],
        accumulate: bool,
    ) {
        let (kernel, m, w) = (pass.kernel, dy.len() / self.rows, &pass.params[self.weight.clone()]);
        match pass.integers {
            Some(i) => i.backward_input(kernel, self, dx, dy, accumulate, pass.first),
            None => {
                kernel.linear_backward_input(dx, dy, w, m, self.rows, self.columns, accumulate);
            }
        }
    }

    /// Adds `dyᵀ · x` to the weight's gradient, and the sum of `dy` over tokens to the bias's.
    pub(super) fn backward_weight(
        &self,
        pass: &Pass<'_>,
        grads: &mut [f32],
        dy: &[f32],
        x: &[f32],
    ) {
        let (kernel, m) = (pass.kernel, dy.len() / self.rows);
        match pass.integers {
            Some(i) => i.backward_weight(kernel, self, grads, dy, x, pass.first, pass.unit),
            None => {
                let dw = slice(grads, &self.weight);
                kernel.linear_backward_weight(dw, dy, x, m, self.rows, self.columns);
            }
        }
        if let Some(bias) = &self.bias {
            kernel.sum_rows(slice(grads, bias), dy);
        }
    }
}

impl Norm {
    /// Normalises each row of `x`. Shapes: `x`, `out` `[M, C]`; `rstd` `[M]`, kept for the backward
    /// pass where there is no bias.
    pub(super) fn forward(
        &self,
        kernel: &Kernel,
        decoder: &Decoder,
        params: &[f32],
        out: &mut [f32],
        rstd: &mut [f32],
        x: &[f32],
    ) {
        let w = &params[self.weight.clone()];
        match &self.bias {
            None => kernel.rms_norm(out, rstd, x, w, decoder.norm_eps),
            Some(bias) => kernel.layer_norm(out, x, w, &params[bias.clone()], decoder.norm_eps),
        }
    }

    /// Adds to `dx` and to the norm's gradients. Shapes: `dx`, `dout`, `x` `[M, C]`.
    pub(super) fn backward(
        &self,
        kernel: &Kernel,
        decoder: &Decoder,
        params: &[f32],
        grads: &mut [f32],
        dx: &mut [f32],
        dout: &[f32],
        x: &[f32],
        rstd: &[f32],
    ) {
        let w = &params[self.weight.clone()];
        match &self.bias {
            None => kernel.rms_norm_backward(dx, slice(grads, &self.weight), dout, x, w, rstd),
            Some(bias) => {
                // The weight lies just before its bias.
                let both = slice(grads, &(self.weight.start..bias.end));
                let (dw, db) = both.split_at_mut(self.weight.len());
                kernel.layer_norm_backward(dx, dw, db, dout, x, w, decoder.norm_eps);
            }
        }
    }
}
