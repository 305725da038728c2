//! From updates to the next root: clip, average, Nesterov.
//!
//! Every peer computes this by itself; the order of the updates (by worker key) and of every
//! operation is fixed, so all get the same bits. Source: DiLoCo, Douillard et al. 2023.

use crate::run::Outer;
use kernel::Kernel;

/// One decoded update.
pub struct Weighted {
    /// Inner steps that went into it: its weight in the mean.
    pub steps: u32,
    /// The change of every parameter.
    pub values: Vec<f32>,
}

/// What was done to the updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Clipping {
    /// Euclidean norm of each update.
    pub norms: Vec<f32>,
    /// Which were shortened.
    pub clipped: Vec<bool>,
}

/// Adds the clipped mean of `updates` to `params` through Nesterov momentum.
///
/// With `d` the mean: `momentum ← μ·momentum + d`, `params ← params + lr·(d + μ·momentum)`. An
/// update longer than `clip` times the (lower) median norm is shortened to that, so one poisoned
/// update moves the root no further than an honest one `clip` times as long could.
///
/// Shapes: all of one length. Updates in the order of their workers' keys, at least one.
/// Errors: the index of an update whose norm is no finite number.
pub fn aggregate(
    kernel: &Kernel,
    outer: &Outer,
    params: &mut [f32],
    momentum: &mut [f32],
    updates: &[Weighted],
) -> Result<Clipping, usize> {
    assert!(!updates.is_empty(), "a round without contributions is not aggregated");
    let norms: Vec<f32> = updates.iter().map(|u| kernel.sum_squares(&u.values).sqrt()).collect();
    if let Some(bad) = norms.iter().position(|n| !n.is_finite()) {
        return Err(bad);
    }
    let limit = outer.clip * lower_median(&norms);
    let total: u32 = updates.iter().map(|u| u.steps).sum();
    let mut mean = vec![0.0; params.len()];
    let mut clipped = Vec::with_capacity(updates.len());
    for (update, norm) in updates.iter().zip(&norms) {
        let shorten = *norm > limit;
        let factor = if shorten { limit / norm } else { 1.0 };
        kernel.add_scaled(&mut mean, factor * (update.steps as f32 / total as f32), &update.values);
        clipped.push(shorten);
    }
    kernel.scale(momentum, outer.momentum);
    kernel.add_scaled(momentum, 1.0, &mean);
    kernel.add_scaled(&mut mean, outer.momentum, momentum);
    kernel.add_scaled(params, outer.lr, &mean);
    Ok(Clipping { norms, clipped })
}

/// The middle value, of an even number the lower: with half the peers lying, theirs is no limit.
fn lower_median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Isa;

    fn update(steps: u32, values: &[f32]) -> Weighted {
        Weighted { steps, values: values.to_vec() }
    }

    #[test]
    fn follows_nesterov_as_torch_defines_it() {
        // torch.optim.SGD(lr=0.7, momentum=0.9, nesterov=True) on gradients −1 and −2 from 0:
        // steps of 0.7·1.9 = 1.33 and 0.7·(2 + 0.9·2.9) = 3.227.
        let kernel = Kernel::new(Isa::best(), 1);
        let (mut params, mut momentum) = (vec![0.0], vec![0.0]);
        let outer = Outer { lr: 0.7, momentum: 0.9, ..Outer::default() };
        let mut step = |d: f32| {
            aggregate(&kernel, &outer, &mut params, &mut momentum, &[update(1, &[d])])
                .expect("finite");
            params[0]
        };
        assert!((step(1.0) - 1.33).abs() < 1e-6);
        assert!((step(2.0) - 4.557).abs() < 1e-6);
    }

    #[test]
    fn a_huge_update_moves_no_further_than_the_clip() {
        let kernel = Kernel::new(Isa::best(), 1);
        let honest = [3.0, 4.0];
        let poison = [-3e15, -4e15];
        let run = |third: &[f32]| {
            let (mut params, mut momentum) = (vec![0.0; 2], vec![0.0; 2]);
            let updates = [update(2, &honest), update(2, &honest), update(2, third)];
            let done = aggregate(&kernel, &Outer::default(), &mut params, &mut momentum, &updates);
            (params, done.expect("finite").clipped)
        };
        let (params, clipped) = run(&poison);
        assert_eq!(clipped, [false, false, true]);
        assert!(params.iter().all(|p| p.abs() < 1e-5), "2·5 − 10 in the honest direction");
    }

    #[test]
    fn names_an_update_without_a_norm() {
        let kernel = Kernel::new(Isa::best(), 1);
        let updates = [update(1, &[1.0]), update(1, &[f32::MAX])];
        let result = aggregate(&kernel, &Outer::default(), &mut [0.0], &mut [0.0], &updates);
        assert_eq!(result, Err(1));
    }

    #[test]
    fn steps_are_weights() {
        let kernel = Kernel::new(Isa::best(), 1);
        let outer = Outer { lr: 1.0, momentum: 0.0, clip: 100.0 };
        let (mut params, mut momentum) = (vec![0.0], vec![0.0]);
        let updates = [update(3, &[1.0]), update(1, &[5.0])];
        aggregate(&kernel, &outer, &mut params, &mut momentum, &updates).expect("finite");
        assert_eq!(params, [2.0]);
    }
}
