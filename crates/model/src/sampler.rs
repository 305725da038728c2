//! The choice of the next token.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use kernel::{math, random::Stream};
use serde::{Deserialize, Serialize};

/// How the next token is chosen from its logits. Deterministic: the choice is a function of the
/// logits, these numbers, and how many tokens were chosen before.
///
/// Applied in this order: penalties ([`Sampler::penalize`]), temperature, the `top_k` largest, the
/// smallest set whose probability reaches `top_p`, those with at least `min_p` of the largest
/// probability. Equal logits go to the lower token id.
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
    /// Makes tokens of the last `repeat_last` less likely, as in llama.cpp: their logits are
    /// divided by it where they are positive and multiplied where they are not; 1 changes nothing.
    pub repeat_penalty: f32,
    /// How many of the last tokens, the prompt's included, `repeat_penalty` is for.
    pub repeat_last: usize,
    /// Taken from the logit of a token for each time that it was chosen, as in OpenAI's interface.
    pub frequency_penalty: f32,
    /// Taken once from the logit of a token that was chosen, as in OpenAI's interface.
    pub presence_penalty: f32,
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
        Sampler {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            seed: 0,
            repeat_penalty: 1.0,
            repeat_last: 64,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
        }
    }
}

impl Sampler {
    /// Always the largest logit.
    pub fn greedy() -> Sampler {
        Sampler { temperature: 0.0, ..Sampler::plain() }
    }

    /// From the softmax of the logits as they are.
    pub fn plain() -> Sampler {
        Sampler { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Sampler::default() }
    }

    /// Checks the ranges: temperature at least 0, probabilities from 0 to 1, penalties in bounds.
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
        if !(self.repeat_penalty > 0.0 && self.repeat_penalty <= MOST_REPEAT) {
            return error("repeat_penalty", self.repeat_penalty, "above 0 and at most 100");
        }
        let taken = [
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
        ];
        match taken.into_iter().find(|(_, value)| !(-100.0..=100.0).contains(value)) {
            Some((field, value)) => error(field, value, "from -100 to 100"),
            None => Ok(()),
        }
    }

    /// Whether [`Sampler::penalize`] changes anything.
    pub fn penalizes(&self) -> bool {
        let repeats = self.repeat_penalty != 1.0 && self.repeat_last > 0;
        repeats || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0
    }

    /// Changes the logits of tokens that are in the text before: `text` is all of it, of which the
    /// last `made` tokens were chosen. `repeat_penalty` comes first.
    pub fn penalize(&self, logits: &mut [f32], text: &[u32], made: usize) {
        if self.repeat_penalty != 1.0 {
            let last = &text[text.len().saturating_sub(self.repeat_last)..];
            for (id, _) in counts(last) {
                let Some(logit) = logits.get_mut(id as usize) else { continue };
                match *logit > 0.0 {
                    true => *logit /= self.repeat_penalty,
                    false => *logit *= self.repeat_penalty,
                }
            }
        }
        if self.frequency_penalty == 0.0 && self.presence_penalty == 0.0 {
            return;
        }
        for (id, count) in counts(&text[text.len().saturating_sub(made)..]) {
            let Some(logit) = logits.get_mut(id as usize) else { continue };
            *logit -= count as f32 * self.frequency_penalty + self.presence_penalty;
        }
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

/// How often each id is there.
fn counts(ids: &[u32]) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for &id in ids {
        *counts.entry(id).or_insert(0) += 1;
    }
    counts
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

/// The natural logarithm of the sum of all exponentials: a logit less this is the logarithm of its
/// probability.
pub fn log_sum(logits: &[f32]) -> f64 {
    let top = logits.get(largest(logits) as usize).map_or(0.0, |&top| f64::from(top));
    let sum: f64 = logits.iter().map(|&x| math::exp64(f64::from(x) - top)).sum();
    top + math::ln64(sum)
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

/// Largest `repeat_penalty`; more makes logits infinite.
const MOST_REPEAT: f32 = 100.0;

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
        let all = Sampler { seed: 3, ..Sampler::plain() };
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
        let all = Sampler::plain();
        let ids = |sampler: Sampler| -> Vec<u32> {
            sampler.candidates(&LOGITS).iter().map(|c| c.0).collect()
        };
        assert_eq!(ids(all), [1, 3, 2, 0, 4]);
        assert_eq!(ids(Sampler { top_k: 3, ..all }), [1, 3, 2]);
        assert_eq!(ids(Sampler { top_p: 0.75, ..all }), [1, 3]);
        assert_eq!(ids(Sampler { min_p: 0.3, ..all }), [1, 3, 2]);
    }

    #[test]
    fn penalties_are_those_of_llama_cpp_and_openai() {
        let text = [0, 4, 4, 1, 3, 3, 3];
        let penalized = |sampler: Sampler, made: usize| {
            let mut logits = LOGITS;
            sampler.penalize(&mut logits, &text, made);
            logits
        };
        let plain = Sampler::plain();
        assert_eq!(penalized(plain, 4), LOGITS);
        // Of the last six: 4, 1 and 3; positive logits are divided, others multiplied.
        let repeat = Sampler { repeat_penalty: 2.0, repeat_last: 6, ..plain };
        assert_eq!(penalized(repeat, 0), [1.0, 1.5, 2.0, 1.5, -2.0]);
        assert_eq!(penalized(Sampler { repeat_last: 0, ..repeat }, 0), LOGITS);
        // Of the chosen ones: 1 once and 3 three times.
        let frequency = Sampler { frequency_penalty: 0.5, ..plain };
        assert_eq!(penalized(frequency, 4), [1.0, 2.5, 2.0, 1.5, -1.0]);
        let presence = Sampler { presence_penalty: 0.5, ..plain };
        assert_eq!(penalized(presence, 4), [1.0, 2.5, 2.0, 2.5, -1.0]);
        assert!(!plain.penalizes() && !Sampler { repeat_last: 0, ..repeat }.penalizes());
        assert!([repeat, frequency, presence].iter().all(Sampler::penalizes));
        // Ids beyond the logits are of no use and no harm.
        repeat.penalize(&mut [1.0], &[7], 1);
    }

    #[test]
    fn refuses_settings_and_logits_that_mean_nothing() {
        let good = Sampler::default();
        assert!(Sampler { temperature: f32::NAN, ..good }.choose(&LOGITS, 0).is_err());
        assert!(Sampler { top_p: 0.0, ..good }.choose(&LOGITS, 0).is_err());
        assert!(Sampler { min_p: 1.5, ..good }.choose(&LOGITS, 0).is_err());
        assert!(Sampler { repeat_penalty: 0.0, ..good }.validate().is_err());
        assert!(Sampler { frequency_penalty: f32::NAN, ..good }.validate().is_err());
        assert!(Sampler { presence_penalty: 1e9, ..good }.validate().is_err());
        assert_eq!(good.choose(&[0.0, f32::INFINITY], 0), Err(SamplerError::Logits));
        assert_eq!(good.choose(&[], 0), Err(SamplerError::Logits));
    }
}
