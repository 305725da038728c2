//! The choice of the next token.

use std::cmp::Ordering;

use kernel::{math, random::Stream};
use serde::{Deserialize, Serialize};

/// How the next token is chosen from its logits. Deterministic: the choice is a function of the
/// logits, these numbers, and how many tokens were chosen before.
///
/// Applied in this order: temperature, the `top_k` largest, the smallest set whose probability
/// reaches `top_p`, those with at least `min_p` of the largest probability. Equal logits go to
/// the lower token id.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampler {
    /// Logits are divided by it; 0 takes the largest logit.
    pub temperature: f32,
    /// Keep at most this many candidates; 0 keeps all.
    pub top_k: usize,
    /// Keep the most likely candidates that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Drop candidates less likely than this fraction of the most likely; 0 drops none.
    pub min_p: f32,
    /// Key of the random numbers.
    pub seed: u64,
}

/// Why sampling was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SamplerError {
    /// A setting outside its range.
    #[error("sampler: {field} is {value}, must be {allowed}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What it says.
        value: f32,
        /// What is allowed.
        allowed: &'static str,
    },
    /// No logits, or one that is not a number or infinite.
    #[error("sampler: logits are empty or not finite")]
    Logits,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, seed: 0 }
    }
}

impl Sampler {
    /// Always the largest logit.
    pub fn greedy() -> Sampler {
        Sampler { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }

    /// Checks the ranges: temperature at least 0, probabilities from 0 to 1.
    pub fn validate(&self) -> Result<(), SamplerError> {
        let unit = 0.0..=1.0;
        let error = |field, value, allowed| Err(SamplerError::Setting { field, value, allowed });
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return error("temperature", self.temperature, "0 or more");
        }
        if !unit.contains(&self.top_p) || self.top_p == 0.0 {
            return error("top_p", self.top_p, "above 0 and at most 1");
        }
        if !unit.contains(&self.min_p) {
            return error("min_p", self.min_p, "from 0 to 1");
        }
        Ok(())
    }

    /// The token chosen as the `index`-th of this text (from 0), given its logits `[V]`.
    pub fn choose(&self, logits: &[f32], index: u64) -> Result<u32, SamplerError> {
        self.validate()?;
        if logits.is_empty() || !logits.iter().all(|x| x.is_finite()) {
            return Err(SamplerError::Logits);
        }
        if self.temperature == 0.0 {
            return Ok(largest(logits));
        }
        let candidates = self.candidates(logits);
        let draw = Stream::new(self.seed, "sample", 0).uniform_at(index);
        Ok(pick(&candidates, draw))
    }

    /// The tokens that may be chosen with their unnormalised probabilities, most likely first.
    fn candidates(&self, logits: &[f32]) -> Vec<(u32, f32)> {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let by_logit = |a: &u32, b: &u32| -> Ordering {
            let (x, y) = (logits[*a as usize], logits[*b as usize]);
            y.partial_cmp(&x).expect("logits are finite").then(a.cmp(b))
        };
        if self.top_k > 0 && self.top_k < order.len() {
            order.select_nth_unstable_by(self.top_k, by_logit);
            order.truncate(self.top_k);
        }
        order.sort_unstable_by(by_logit);
        let top = logits[order[0] as usize];
        let weight = |id: u32| math::exp((logits[id as usize] - top) / self.temperature);
        let mut kept: Vec<(u32, f32)> = order.into_iter().map(|id| (id, weight(id))).collect();
        let total: f32 = kept.iter().map(|c| c.1).sum();
        let mut reached = 0.0;
        let enough = kept.iter().position(|c| {
            reached += c.1;
            reached >= self.top_p * total
        });
        kept.truncate(enough.map_or(kept.len(), |last| last + 1));
        // The first weight is exp(0) = 1, so `min_p` compares with the weights as they are.
        kept.retain(|c| c.1 >= self.min_p);
        kept
    }
}

/// Index of the largest logit, the lowest among equals.
pub fn largest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

fn pick(candidates: &[(u32, f32)], draw: f32) -> u32 {
    let total: f32 = candidates.iter().map(|c| c.1).sum();
    let mut reached = 0.0;
    for &(id, weight) in candidates {
        reached += weight;
        if draw * total < reached {
            return id;
        }
    }
    // Rounding can leave `draw · total` at the very end.
    candidates[candidates.len() - 1].0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, 3.0, -1.0];

    #[test]
    fn greedy_and_top_one_take_the_lowest_of_equals() {
        assert_eq!(Sampler::greedy().choose(&LOGITS, 0), Ok(1));
        let one = Sampler { top_k: 1, ..Sampler::default() };
        assert!((0..50).all(|i| one.choose(&LOGITS, i) == Ok(1)));
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let all = Sampler { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 3 };
        let mut counts = [0u32; 5];
        for i in 0..20_000 {
            counts[all.choose(&LOGITS, i).expect("valid") as usize] += 1;
        }
        let total: f64 = LOGITS.iter().map(|&x| f64::from(math::exp(x))).sum();
        for (id, &count) in counts.iter().enumerate() {
            let expected = f64::from(math::exp(LOGITS[id])) / total;
            assert!((f64::from(count) / 20_000.0 - expected).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn each_filter_narrows_the_candidates() {
        let all = Sampler { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 };
        let ids = |sampler: Sampler| -> Vec<u32> {
            sampler.candidates(&LOGITS).iter().map(|c| c.0).collect()
        };
        assert_eq!(ids(all), [1, 3, 2, 0, 4]);
        assert_eq!(ids(Sampler { top_k: 3, ..all }), [1, 3, 2]);
        assert_eq!(ids(Sampler { top_p: 0.75, ..all }), [1, 3]);
        assert_eq!(ids(Sampler { min_p: 0.3, ..all }), [1, 3, 2]);
    }

    #[test]
    fn refuses_settings_and_logits_that_mean_nothing() {
        let good = Sampler::default();
        assert!(Sampler { temperature: f32::NAN, ..good }.choose(&LOGITS, 0).is_err());
        assert!(Sampler { top_p: 0.0, ..good }.choose(&LOGITS, 0).is_err());
        assert!(Sampler { min_p: 1.5, ..good }.choose(&LOGITS, 0).is_err());
        assert_eq!(good.choose(&[0.0, f32::INFINITY], 0), Err(SamplerError::Logits));
        assert_eq!(good.choose(&[], 0), Err(SamplerError::Logits));
    }
}
