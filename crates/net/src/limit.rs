//! A token bucket: how much one peer may send in how long.

use std::time::Instant;

/// Refills at `rate` per second up to `burst`.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    pub fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self { rate, burst, level: burst, at: now }
    }

    /// Takes `amount` if the bucket holds it.
    pub fn take(&mut self, amount: f64, now: Instant) -> bool {
        let allowed = self.holds(amount, now);
        if allowed {
            self.level -= amount;
        }
        allowed
    }

    /// Whether it holds `amount`.
    pub fn holds(&mut self, amount: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.burst);
        self.at = now;
        amount <= self.level
    }

    /// Whether it is as a new one.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.holds(self.burst, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn allows_a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10.0, 3.0, start);
        assert_eq!((0..5).filter(|_| bucket.take(1.0, start)).count(), 3);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..5).filter(|_| bucket.take(1.0, later)).count(), 2);
        let much_later = start + Duration::from_secs(1000);
        assert_eq!((0..9).filter(|_| bucket.take(1.0, much_later)).count(), 3);
    }
}
