//! Learning rate by step: linear warm-up, then one of three ways down.

use kernel::math;
use serde::{Deserialize, Serialize};

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Decay {
    /// Half a cosine from the peak to `floor · peak` at the last step.
    Cosine {
        /// Fraction of the peak that is left at the end.
        floor: f32,
    },
    /// Warm-up, stable, decay: the peak until `steps` before the end, then a straight line to
    /// `floor · peak`.
    Wsd {
        /// Steps of the final decay.
        steps: u32,
        /// Fraction of the peak that is left at the end.
        floor: f32,
    },
    /// The peak to the end.
    Constant,
}

/// A learning-rate schedule; a pure function of the step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Largest learning rate.
    pub peak: f32,
    /// Steps of linear warm-up; the first step has `peak / warmup`.
    pub warmup: u32,
    /// Steps of the whole run; later steps have the last step's rate.
    pub total: u32,
    /// The way down.
    pub decay: Decay,
}

impl Schedule {
    /// Learning rate of a step, counted from 1. Bits: the same everywhere, no platform `libm`.
    pub fn lr(&self, step: u32) -> f32 {
        if step < self.warmup {
            return self.peak * step.max(1) as f32 / self.warmup as f32;
        }
        let step = step.min(self.total);
        match self.decay {
            Decay::Constant => self.peak,
            Decay::Cosine { floor } => {
                let done = fraction(
                    step.saturating_sub(self.warmup),
                    self.total.saturating_sub(self.warmup),
                );
                let wave = 0.5 * (1.0 + math::cos(std::f32::consts::PI * done));
                self.peak * (floor + (1.0 - floor) * wave)
            }
            Decay::Wsd { steps, floor } => {
                let start = self.total.saturating_sub(steps).max(self.warmup);
                let done = fraction(step.saturating_sub(start), self.total.saturating_sub(start));
                self.peak * (1.0 - (1.0 - floor) * done)
            }
        }
    }
}

fn fraction(part: u32, whole: u32) -> f32 {
    if whole == 0 { 1.0 } else { part as f32 / whole as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_to_the_peak_and_ends_at_the_floor() {
        for decay in [Decay::Cosine { floor: 0.1 }, Decay::Wsd { steps: 30, floor: 0.1 }] {
            let schedule = Schedule { peak: 2.0, warmup: 10, total: 110, decay };
            assert_eq!(schedule.lr(1), 0.2);
            assert_eq!(schedule.lr(10), 2.0);
            assert!((schedule.lr(110) - 0.2).abs() < 1e-6);
            assert_eq!(schedule.lr(500), schedule.lr(110));
            assert!((11..110).all(|step| schedule.lr(step + 1) <= schedule.lr(step)));
        }
    }

    #[test]
    fn cosine_is_half_way_in_the_middle_and_wsd_is_stable() {
        let cosine =
            Schedule { peak: 1.0, warmup: 0, total: 100, decay: Decay::Cosine { floor: 0.0 } };
        assert!((cosine.lr(50) - 0.5).abs() < 1e-6);
        let wsd = Schedule { decay: Decay::Wsd { steps: 20, floor: 0.0 }, ..cosine };
        assert_eq!(wsd.lr(80), 1.0);
        assert!((wsd.lr(90) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn degenerate_lengths_stay_finite() {
        for decay in [Decay::Cosine { floor: 0.0 }, Decay::Wsd { steps: 9, floor: 0.0 }] {
            let schedule = Schedule { peak: 1.0, warmup: 0, total: 0, decay };
            assert!((0..3).all(|step| schedule.lr(step).is_finite()));
        }
    }
}
