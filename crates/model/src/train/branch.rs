//! How a branch joins the residual stream: `x += inner · wᵀ`, through a norm where there is one.

use super::Pass;
use crate::decoder::Decoder;
use crate::layout::{Linear, Norm};

/// What the backward pass needs of the forward pass, where there is a norm.
#[derive(Default)]
pub(super) struct BranchActs {
    /// What the norm read, `[M, C]`.
    x: Vec<f32>,
    /// `1 / rms` of each row, `[M]`.
    rstd: Vec<f32>,
}

impl BranchActs {
    pub fn new(d: &Decoder, count: usize) -> BranchActs {
        match d.post_norms {
            true => BranchActs { x: vec![0.0; count * d.dim], rstd: vec![0.0; count] },
            false => BranchActs::default(),
        }
    }
}

/// Adds to `x`, `[M, C]`. `inner` is `[M, columns]`.
pub(super) fn forward(
    pass: &Pass<'_>,
    linear: &Linear,
    after: &Option<Norm>,
    x: &mut [f32],
    inner: &[f32],
    acts: &mut BranchActs,
) {
    let (kernel, d) = (pass.kernel, pass.decoder);
    let Some(norm) = after else {
        linear.forward_add(pass, x, inner);
        return;
    };
    let branch = &mut acts.x[..pass.count * d.dim];
    linear.forward(pass, branch, inner);
    let mut out = vec![0.0; branch.len()];
    norm.forward(kernel, d, pass.params, &mut out, &mut acts.rstd[..pass.count], branch);
    kernel.add_scaled(x, 1.0, &out);
}

/// Adds the gradients of projection and norm; `d_inner` `[M, columns]` is overwritten with the
/// gradient of `inner`. `d_x` is the gradient of the sum, which is also that of what was there
/// before.
pub(super) fn backward(
    pass: &Pass<'_>,
    grads: &mut [f32],
    linear: &Linear,
    after: &Option<Norm>,
    inner: &[f32],
    acts: &BranchActs,
    d_x: &[f32],
    d_inner: &mut [f32],
) {
    let (kernel, d) = (pass.kernel, pass.decoder);
    let mut d_branch = Vec::new();
    let d_branch: &[f32] = match after {
        None => d_x,
        Some(norm) => {
            d_branch.resize(d_x.len(), 0.0);
            let (x, rstd) = (&acts.x[..pass.count * d.dim], &acts.rstd[..pass.count]);
            norm.backward(kernel, d, pass.params, grads, &mut d_branch, d_x, x, rstd);
            &d_branch
        }
    };
    linear.backward_input(pass, d_inner, d_branch, false);
    linear.backward_weight(pass, grads, d_branch, inner);
}
