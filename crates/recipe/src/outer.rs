//! From updates to the next root: clip, average, Nesterov.
//!
//! Every peer computes this by itself; the order of the updates (by worker key) and of every
//! operation is fixed, so all get the same bits. Source: DiLoCo, Douillard et al. 2023.

use crate::run::Outer;
use kernel::Kernel;

/// One decoded update.
pub struct Weighted {
    /// Its weight in the mean, in inner steps; 0 counts for nothing.
    pub weight: u64,
    /// Its author's standing: its weight in the median of norms.
    pub standing: u64,
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
/// update longer than `clip` times the median norm is shortened to that, so one poisoned update
/// moves the root no further than an honest one `clip` times as long could. The median is weighted
/// by standing: however many keys without any send updates, they do not move it.
///
/// Bits: an update's part is `weight / Σ weight` in f64, rounded once to f32, times `limit / norm`
/// where it is shortened; the mean is a chain of fused multiply-adds in the order of the updates,
/// without those of weight 0.
/// Shapes: all of one length. Updates in the order of their workers' keys.
/// Panics: if no update has weight.
/// Errors: the index of an update whose norm is no finite number.
pub fn aggregate(
    kernel: &Kernel,
    outer: &Outer,
    params: &mut [f32],
    momentum: &mut [f32],
    updates: &[Weighted],
) -> Result<Clipping, usize> {
    let total: u128 = updates.iter().map(|u| u128::from(u.weight)).sum();
    assert!(total > 0, "a round in which nothing has weight is not aggregated");
    let norms: Vec<f32> = updates.iter().map(|u| kernel.sum_squares(&u.values).sqrt()).collect();
    if let Some(bad) = norms.iter().position(|n| !n.is_finite()) {
        return Err(bad);
    }
    let limit = outer.clip * weighted_median(updates, &norms);
    let mut mean = vec![0.0; params.len()];
    let mut clipped = Vec::with_capacity(updates.len());
    for (update, norm) in updates.iter().zip(&norms) {
        let shorten = *norm > limit;
        let factor = if shorten { limit / norm } else { 1.0 };
        if update.weight > 0 {
            let part = (update.weight as f64 / total as f64) as f32;
            kernel.add_scaled(&mut mean, factor * part, &update.values);
        }
        clipped.push(shorten);
    }
    kernel.scale(momentum, outer.momentum);
    kernel.add_scaled(momentum, 1.0, &mean);
    kernel.add_scaled(&mut mean, outer.momentum, momentum);
    kernel.add_scaled(params, outer.lr, &mean);
    Ok(Clipping { norms, clipped })
}

/// The smallest norm such that updates with at least half of the standing are no longer: with
/// half of it lying, theirs is no limit. Without any standing it is the smallest norm of all.
fn weighted_median(updates: &[Weighted], norms: &[f32]) -> f32 {
    let mut sorted: Vec<(f32, u128)> =
        norms.iter().zip(updates).map(|(norm, u)| (*norm, u.standing.into())).collect();
    // Equal norms may come in any order: what is returned is the norm.
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: u128 = sorted.iter().map(|(_, standing)| standing).sum();
    let mut below = 0;
    let middle = sorted.iter().find(|(_, standing)| {
        below += standing;
        2 * below >= total
    });
    middle.expect("all of it is at least half").0
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Isa;

    /// With a standing of its own weight.
    fn update(weight: u64, values: &[f32]) -> Weighted {
        Weighted { weight, standing: weight, values: values.to_vec() }
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

    #[test]
    fn an_update_without_weight_counts_for_nothing_wherever_it_stands() {
        let kernel = Kernel::new(Isa::best(), 1);
        let run = |updates: &[Weighted]| {
            let (mut params, mut momentum) = (vec![0.5; 3], vec![0.25; 3]);
            let outer = Outer::default();
            let done = aggregate(&kernel, &outer, &mut params, &mut momentum, updates);
            (params, momentum, done.expect("finite"))
        };
        let honest = || vec![update(8, &[0.1, 0.2, 0.3]), update(9, &[0.3, -0.1, 0.7])];
        let alone = run(&honest());
        for at in 0..=2 {
            for standing in [0, 17] {
                let mut updates = honest();
                // Negative zero: adding it with weight zero must not change a sign either.
                let values = vec![-0.0, 9.0, f32::MIN_POSITIVE];
                updates.insert(at, Weighted { weight: 0, standing, values });
                let with = run(&updates);
                assert_eq!((&with.0, &with.1), (&alone.0, &alone.1));
                assert_eq!(with.2.norms.len(), 3);
            }
        }
    }

    #[test]
    fn keys_without_standing_do_not_move_the_median() {
        let kernel = Kernel::new(Isa::best(), 1);
        let mut updates = vec![update(10, &[1.0]), update(10, &[1.1]), update(10, &[1.2])];
        for _ in 0..20 {
            updates.push(Weighted { weight: 1, standing: 0, values: vec![-1e6] });
        }
        let done = aggregate(&kernel, &Outer::default(), &mut [0.0], &mut [0.0], &updates)
            .expect("finite");
        assert_eq!(done.clipped.iter().filter(|c| **c).count(), 20);
        assert!(done.clipped[3..].iter().all(|c| *c));
    }

    #[test]
    fn the_median_is_the_lower_one_by_standing() {
        let median = |parts: &[(f32, u64)]| {
            let updates: Vec<Weighted> = parts
                .iter()
                .map(|(x, s)| Weighted { weight: 1, standing: *s, values: vec![*x] })
                .collect();
            let norms: Vec<f32> = parts.iter().map(|p| p.0).collect();
            weighted_median(&updates, &norms)
        };
        assert_eq!(median(&[(3.0, 1), (1.0, 1), (2.0, 1)]), 2.0);
        assert_eq!(median(&[(4.0, 1), (3.0, 1), (1.0, 1), (2.0, 1)]), 2.0, "the lower of two");
        assert_eq!(median(&[(9.0, 5), (1.0, 2), (2.0, 2)]), 9.0, "more than half of the standing");
        assert_eq!(median(&[(9.0, 4), (1.0, 2), (2.0, 2)]), 2.0, "half is no limit");
        assert_eq!(median(&[(7.0, 0), (5.0, 0)]), 5.0, "no standing at all");
        assert_eq!(median(&[(7.0, u64::MAX), (5.0, u64::MAX), (6.0, u64::MAX)]), 6.0);
    }

    #[test]
    fn the_order_of_roundings_is_fixed() {
        // Weights whose quotients are no f32: rounding them or their sum otherwise shows.
        let kernel = Kernel::new(Isa::best(), 1);
        let outer = Outer { lr: 1.0, momentum: 0.0, clip: 1.5 };
        let updates = [update(16_777_217, &[1.1]), update(3, &[7.3]), update(33_333_333, &[-0.9])];
        let (mut params, mut momentum) = (vec![0.0], vec![0.0]);
        let done =
            aggregate(&kernel, &outer, &mut params, &mut momentum, &updates).expect("finite");
        assert_eq!(done.clipped, [false, true, false]);
        let total = 50_110_553.0f64;
        let part = |weight: f64| (weight / total) as f32;
        let mut mean = 0.0f32;
        mean = part(16_777_217.0).mul_add(1.1, mean);
        let shorten = (outer.clip * done.norms[2]) / done.norms[1];
        mean = (shorten * part(3.0)).mul_add(7.3, mean);
        mean = part(33_333_333.0).mul_add(-0.9, mean);
        assert_eq!(momentum, [mean]);
    }
}
