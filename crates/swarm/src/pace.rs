//! How many inner steps this peer takes: as many as its own measured speed leaves time for.

use crate::{Rules, Time};

/// Weight of the newest measurement in the running means.
const NEWEST: f64 = 0.5;

/// Measured speed and the run's clock.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    ms_per_step: Option<f64>,
    /// Time of a height that does not go into training.
    overhead_ms: f64,
    /// Time the run had taken at `since`.
    elapsed_ms: u64,
    since: Option<Time>,
}

impl Pace {
    /// Goes on from what was persisted.
    pub fn restore(&mut self, elapsed_ms: u64, us_per_step: u64) {
        self.elapsed_ms = elapsed_ms;
        if us_per_step > 0 {
            self.ms_per_step = Some(us_per_step as f64 / 1000.0);
        }
    }

    /// The run's clock runs from now on.
    pub fn start(&mut self, now: Time) {
        self.since.get_or_insert(now);
    }

    /// Somebody who was there longer says how long the run has taken.
    pub fn catch_up(&mut self, now: Time, elapsed_ms: u64) {
        if elapsed_ms > self.elapsed_ms(now) {
            (self.elapsed_ms, self.since) = (elapsed_ms, Some(now));
        }
    }

    /// Time the run has taken.
    pub fn elapsed_ms(&self, now: Time) -> u64 {
        self.elapsed_ms + self.since.map_or(0, |since| now.since(since))
    }

    /// Time per inner step, 0 before the first measurement.
    pub fn ms_per_step(&self) -> f64 {
        self.ms_per_step.unwrap_or(0.0)
    }

    /// Takes in how long a job of `steps` took.
    pub fn trained(&mut self, steps: u32, ms: u64) {
        let newest = ms.max(1) as f64 / f64::from(steps.max(1));
        let mean = self.ms_per_step.unwrap_or(newest);
        self.ms_per_step = Some(mean + NEWEST * (newest - mean));
    }

    /// Takes in how long a height took beside the training.
    pub fn height_done(&mut self, overhead_ms: u64) {
        self.overhead_ms += NEWEST * (overhead_ms as f64 - self.overhead_ms);
    }

    /// Inner steps for the next contribution, with `rounds_left` rounds to go (this one counted).
    pub fn steps(&self, rules: &Rules, now: Time, rounds_left: u32) -> u32 {
        if rules.target_ms == 0 {
            return rules.steps_max;
        }
        let Some(ms_per_step) = self.ms_per_step else { return rules.steps_min };
        let remaining = rules.target_ms.saturating_sub(self.elapsed_ms(now)) as f64;
        let budget = remaining / f64::from(rounds_left.max(1)) - self.overhead_ms;
        // A float that does not fit saturates; a negative one becomes 0.
        let steps = (budget / ms_per_step) as u32;
        steps.clamp(rules.steps_min, rules.steps_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::rules;

    #[test]
    fn steps_fill_the_time_that_is_left() {
        let rules = Rules { target_ms: 10_000, ..rules() };
        let mut pace = Pace::default();
        pace.start(Time(0));
        assert_eq!(pace.steps(&rules, Time(0), 10), rules.steps_min, "nothing measured yet");
        pace.trained(4, 100);
        assert_eq!(pace.steps(&rules, Time(0), 10), 40, "1000 ms at 25 ms a step");
        pace.height_done(400);
        assert_eq!(pace.steps(&rules, Time(0), 10), 32, "800 ms");
        assert_eq!(pace.steps(&rules, Time(20_000), 5), rules.steps_min, "too late");
        assert_eq!(pace.steps(&rules, Time(0), 1), rules.steps_max);
        assert_eq!(pace.steps(&Rules { target_ms: 0, ..rules }, Time(0), 9), 64);
    }

    #[test]
    fn the_clock_goes_on_after_a_restart() {
        let mut pace = Pace::default();
        pace.restore(5_000, 2_500);
        pace.start(Time(100));
        assert_eq!(pace.elapsed_ms(Time(300)), 5_200);
        assert_eq!(pace.ms_per_step(), 2.5);
        pace.catch_up(Time(300), 9_000);
        assert_eq!(pace.elapsed_ms(Time(400)), 9_100);
        pace.catch_up(Time(400), 1);
        assert_eq!(pace.elapsed_ms(Time(400)), 9_100);
    }
}
