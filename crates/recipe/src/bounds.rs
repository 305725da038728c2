//! What moments AdamW can have: a carry outside was not left by any training.
//!
//! Let `g₁ … g_T` be the gradients one parameter got over all its steps, `m` and `v` its moments.
//! From zero, `m = (1−β₁) Σ β₁^(T−i) gᵢ` and `v = (1−β₂) Σ β₂^(T−i) gᵢ²`. By Cauchy and Schwarz
//!
//! ```text
//! |m| ≤ (1−β₁) Σ (β₁/√β₂)^k · √β₂^k |g|  ≤  K √v,   K = (1−β₁)/√(1−β₂) · √(1 + q + … + q^(T−1)),   q = β₁²/β₂
//! ```
//!
//! and the gradients `gᵢ ∝ (β₁/β₂)^(T−i)` reach it. Between rounds the moments are rounded: `m`
//! towards zero and `√v` up, so that the inequality goes on to hold with the same `K`, for any
//! number of rounds of any lengths. (`K` is 1.17 for β₁ = 0.9 and β₂ = 0.95, 7.3 for β₂ = 0.999.
//! Where β₁² > β₂ it grows with the steps, up to no bound at all.)
//!
//! *Rounding in f32*, with `u = 2⁻²⁴`: a step (see [`Kernel::adamw`](kernel::Kernel::adamw)) gives
//! `|m'| ≤ (β₁+4u)|m| + (1−β₁)(1+4u)|g|` and `v' ≥ β₂(1−2u)·v + (1−β₂)(1−4u)·g²`; writing and
//! reading a carry, of which there is at most one per step, multiplies `|m|` by at most `1+3u` and
//! `v` by at least `1−10u`. With constants that have all of that in them, `β₁+8u`, `1−β₁` times
//! `1+8u`, `β₂(1−13u)` and `1−β₂` times `1−15u`, the same proof holds for what is really computed.
//! Below the smallest normal numbers a step or a carry may lose up to 2⁻¹⁴⁷ of `v` besides: in all
//! 2⁻¹⁴⁷/(1−β₂), so `K·2⁻⁷³/√(1−β₂)` of `|m|` stands beside every bound.
//!
//! *Size.* A gradient's norm is at most `clip` (its sum of squares is a chain of at most 2²¹ sums
//! of chunks, so right to within 13 %, and the norm to within 7 %). In each block of the carry no `v` is larger than the weighted mean of the largest `g²`
//! of that block, and rounding up does not go past the largest of a block. Added over the blocks
//! these are at most `clip²`; with all rounding (9 % of `v` besides, at `β₂` = 0.99999),
//! `(1.15·clip)²`.

use crate::{carry::Carry, run::Inner, update::BLOCK};
use kernel::power;

/// What is wrong with a carry that decodes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OutOfBounds {
    /// A value that is no number.
    #[error("value {at} of the {what} is not finite")]
    NotFinite {
        /// Which values: "lost", "first moments" or "second moments".
        what: &'static str,
        /// Index of the value, from 0.
        at: usize,
    },
    /// A first moment that no gradients give beside this second moment.
    #[error("first moment {at} is {m}, beside a second moment of {root}² it is at most {most}")]
    First {
        /// Index of the parameter, from 0.
        at: usize,
        /// Its first moment.
        m: f32,
        /// Square root of its second moment.
        root: f32,
        /// The largest magnitude that gradients give.
        most: f64,
    },
    /// Second moments that no clipped gradients give.
    #[error("the second moments have a norm of {norm}, at most {most} is possible")]
    Second {
        /// Euclidean norm of the largest root of each block.
        norm: f64,
        /// The largest that clipped gradients give.
        most: f64,
    },
    /// Fewer or more steps than its author can have done.
    #[error("{steps} steps, from 1 to {most} are possible")]
    Steps {
        /// Inner steps that the carry claims.
        steps: u32,
        /// The most that its author can have done.
        most: u64,
    },
}

/// The bounds of one run. Every operation is one of IEEE 754: the answer is the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    beta1: f64,
    one_minus_beta1: f64,
    beta2: f64,
    one_minus_beta2: f64,
    /// Largest root of the sum of the blocks' largest second moments.
    root: f64,
}

/// Half of the distance from 1 to the next f32.
const U: f64 = 1.0 / (1 << 24) as f64;

impl Bounds {
    /// The bounds under these settings of AdamW.
    pub fn new(inner: &Inner) -> Self {
        let (beta1, beta2) = (f64::from(inner.beta1), f64::from(inner.beta2));
        Self {
            beta1: beta1 + 8.0 * U,
            one_minus_beta1: (1.0 - beta1) * (1.0 + 8.0 * U),
            beta2: beta2 * (1.0 - 13.0 * U),
            one_minus_beta2: (1.0 - beta2) * (1.0 - 15.0 * U),
            root: 1.15 * f64::from(inner.clip),
        }
    }

    /// `K`: the most that `|m| / √v` can be after so many steps; infinite where there is no bound.
    pub fn multiple(&self, steps: u32) -> f64 {
        let q = self.beta1 * self.beta1 / self.beta2;
        let sum = if q == 1.0 { f64::from(steps) } else { (power(q, steps) - 1.0) / (q - 1.0) };
        // Without β₂ only the last gradient is left in v: one step has a bound, more have none.
        let sum = if steps <= 1 { f64::from(steps) } else { sum };
        if !sum.is_finite() {
            return f64::INFINITY;
        }
        self.one_minus_beta1 / self.one_minus_beta2.sqrt() * sum.sqrt()
    }

    /// Whether training can have left `carry`, at most `most` steps after it began.
    ///
    /// Errors: [`OutOfBounds`] with the first that is wrong.
    pub fn check(&self, carry: &Carry, most: u64) -> Result<(), OutOfBounds> {
        let Carry { lost, m, root, steps } = carry;
        if *steps == 0 || u64::from(*steps) > most {
            return Err(OutOfBounds::Steps { steps: *steps, most });
        }
        for (what, values) in [("lost", lost), ("first moments", m), ("second moments", root)] {
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                return Err(OutOfBounds::NotFinite { what, at });
            }
        }
        self.check_second(root)?;
        self.check_first(m, root, *steps)
    }

    fn check_second(&self, root: &[f32]) -> Result<(), OutOfBounds> {
        let largest = |block: &[f32]| f64::from(block.iter().fold(0.0f32, |most, x| most.max(*x)));
        let sum: f64 = root.chunks(BLOCK).map(largest).map(|x| x * x).sum();
        let (norm, most) = (sum.sqrt(), self.root);
        if norm > most { Err(OutOfBounds::Second { norm, most }) } else { Ok(()) }
    }

    fn check_first(&self, m: &[f32], root: &[f32], steps: u32) -> Result<(), OutOfBounds> {
        // 2⁻⁷³ is the root of 2⁻¹⁴⁷, rounded up.
        let tiny = 1.0 / (1u128 << 73) as f64 / self.one_minus_beta2.sqrt();
        let multiple = self.multiple(steps);
        if multiple.is_infinite() {
            return Ok(());
        }
        for (at, (m, root)) in m.iter().zip(root).enumerate() {
            let most = multiple * (f64::from(*root) + tiny);
            if f64::from(m.abs()) > most {
                return Err(OutOfBounds::First { at, m: *m, root: *root, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{AdamW, Isa, Kernel, random::Stream};

    const N: usize = 300;

    /// Takes `rounds` of `steps` steps of AdamW on what `gradient` gives at each step, through a
    /// carry after each; checks every one of them.
    fn honest(
        inner: &Inner,
        rounds: u32,
        steps: u32,
        gradient: impl Fn(u32, usize) -> f32,
    ) -> Carry {
        let kernel = Kernel::new(Isa::best(), 1);
        let bounds = Bounds::new(inner);
        let Inner { beta1, beta2, eps, .. } = *inner;
        let hyper = AdamW { lr: 1e-3, beta1, beta2, eps, weight_decay: 0.0 };
        let (mut p, mut m, mut v) = (vec![0.0; N], vec![0.0; N], vec![0.0; N]);
        let mut last = None;
        for round in 0..rounds {
            for step in round * steps..(round + 1) * steps {
                let g: Vec<f32> = (0..N).map(|i| gradient(step, i)).collect();
                let norm = kernel.sum_squares(&g).sqrt();
                let scale = if norm > inner.clip { inner.clip / norm } else { 1.0 };
                kernel.adamw(&mut p, &g, &mut m, &mut v, &hyper, step + 1, scale, false);
            }
            let taken = (round + 1) * steps;
            let bytes = Carry::encode(&kernel, vec![0.0; N], &m, &v, taken);
            let carry = Carry::decode(&kernel, &bytes, N).expect("as it was written");
            bounds.check(&carry, taken.into()).expect("honest work is within the bounds");
            (m, v) = (carry.m.clone(), carry.second());
            last = Some(carry);
        }
        last.expect("there is a round")
    }

    fn settings(beta1: f32, beta2: f32) -> Inner {
        Inner { beta1, beta2, ..Inner::default() }
    }

    #[test]
    fn the_multiple_is_what_the_formula_says() {
        let at = |beta1, beta2, steps| Bounds::new(&settings(beta1, beta2)).multiple(steps);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-4 * b;
        assert!(near(at(0.9, 0.95, 1), 0.1 / 0.05f64.sqrt()));
        assert!(near(at(0.9, 0.95, 1000), 1.1649), "{}", at(0.9, 0.95, 1000));
        assert!(near(at(0.9, 0.999, 1000), 7.2702), "{}", at(0.9, 0.999, 1000));
        assert!(near(at(0.0, 0.95, 9), 1.0 / 0.05f64.sqrt()));
        assert!(at(0.999, 0.9, u32::MAX).is_infinite());
        assert!(at(0.9, 0.0, 2).is_infinite() && near(at(0.9, 0.0, 1), 0.1));
    }

    #[test]
    fn random_honest_runs_are_within_the_bounds() {
        let betas = [(0.9, 0.95), (0.9, 0.999), (0.0, 0.9), (0.95, 0.95), (0.9999, 0.99999)];
        for (seed, (beta1, beta2)) in (0..).zip(betas) {
            for (rounds, steps) in [(12, 1), (9, 3), (3, 50)] {
                let inner = settings(beta1, beta2);
                honest(&inner, rounds, steps, |step, i| {
                    let draw = Stream::new(seed, "bounds", step.into());
                    // Sizes over many orders, rare spikes, parameters that get nothing for long.
                    let size = [1e-12, 1e-6, 1e-3, 1.0, 30.0][i % 5];
                    let rare = i % 7 == 0 && step % 5 != 0;
                    if rare { 0.0 } else { draw.normal_at(i as u64) * size }
                });
            }
        }
    }

    #[test]
    fn the_worst_case_of_the_proof_reaches_the_bound_and_keeps_within_it() {
        for (beta1, beta2, steps) in [(0.9f32, 0.95f32, 40u32), (0.9, 0.999, 300), (0.5, 0.9, 20)] {
            let inner = Inner { clip: 100.0, ..settings(beta1, beta2) };
            let ratio = f64::from(beta1) / f64::from(beta2);
            let worst = |step: u32, i: usize| {
                let size = power(ratio, steps - 1 - step) as f32;
                if i == 3 { size } else { -size * 0.5 }
            };
            let carry = honest(&inner, 1, steps, worst);
            let multiple = Bounds::new(&inner).multiple(steps);
            let reached = f64::from(carry.m[3] / carry.root[3]) / multiple;
            assert!(reached > 0.99 && reached <= 1.0, "{reached}");
        }
    }

    #[test]
    fn gradients_that_vanish_below_the_normal_numbers_are_no_fault() {
        let inner = settings(0.9, 0.95);
        for size in [1e-19, 1e-22, 3e-23, 1e-24, 1e-30, 1e-38, 1e-44] {
            honest(&inner, 6, 2, |step, i| if step > 3 { 0.0 } else { size * (i % 3) as f32 });
        }
    }

    #[test]
    fn a_carry_outside_is_refused_by_name() {
        let inner = settings(0.9, 0.95);
        let bounds = Bounds::new(&inner);
        let good = honest(&inner, 2, 8, |step, i| ((step as usize + i) % 5) as f32 * 0.01);
        let with = |change: &dyn Fn(&mut Carry)| {
            let mut carry = good.clone();
            change(&mut carry);
            bounds.check(&carry, 16)
        };
        assert_eq!(with(&|_| ()), Ok(()));
        let first = |result| matches!(result, Err(OutOfBounds::First { at: 7, .. }));
        assert!(first(with(&|c| c.m[7] = -1.2 * c.root[7])));
        assert!(first(with(&|c| (c.m[7], c.root[7]) = (1e-9, 0.0))));
        let finite = |result| matches!(result, Err(OutOfBounds::NotFinite { at: 9, .. }));
        assert!(
            finite(with(&|c| c.m[9] = f32::NAN)) && finite(with(&|c| c.lost[9] = f32::INFINITY))
        );
        assert!(finite(with(&|c| c.root[9] = f32::INFINITY)));
        // 300 values are two blocks: either may have all of the norm, not both.
        assert_eq!(with(&|c| c.root[0] = 1.14), Ok(()));
        let second = |result| matches!(result, Err(OutOfBounds::Second { .. }));
        assert!(second(with(&|c| (c.root[0], c.root[299]) = (1.0, 1.0))));
        assert!(second(with(&|c| c.root[0] = 1.16)));
        let steps = |result| matches!(result, Err(OutOfBounds::Steps { .. }));
        assert!(steps(with(&|c| c.steps = 0)) && steps(with(&|c| c.steps = 17)));
    }
}
