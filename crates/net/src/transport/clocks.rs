//! Other machines' clocks beside this one's.
//!
//! Nobody's clock is believed: what follows from them is a warning. It takes three others, and the
//! middle one of them, so that fewer than half can say what they like.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Fewer others than this say nothing about a clock.
const FEWEST: usize = 3;
/// Clocks that differ by less are right, and so are those of a slow connection.
const TOLERANCE: Duration = Duration::from_secs(60);

/// What others' clocks say of this machine's: that it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockDoubt {
    /// By so many seconds it is ahead; negative where it is behind.
    pub ahead_s: i64,
    /// So many others' clocks say so.
    pub others: usize,
    /// Of so many that were asked.
    pub asked: usize,
}

/// What a clock said, and when by this machine's uptime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    wall_ms: u64,
    at: Instant,
}

impl Told {
    pub fn now(wall_ms: u64) -> Self {
        Self { wall_ms, at: Instant::now() }
    }

    /// By how many milliseconds a clock that says `own_ms` at `now` is ahead of this one, which
    /// has gone on meanwhile.
    pub fn ahead_ms(&self, own_ms: u64, now: Instant) -> i64 {
        let gone = now.saturating_duration_since(self.at).as_millis();
        let ahead = i128::from(own_ms) - i128::from(self.wall_ms) - gone as i128;
        ahead.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// Whether this machine's clock is wrong, given by how many milliseconds it is ahead of each of
/// the others.
pub(crate) fn doubt(mut ahead_ms: Vec<i64>) -> Option<ClockDoubt> {
    let asked = ahead_ms.len();
    if asked < FEWEST {
        return None;
    }
    ahead_ms.sort_unstable();
    // Of two in the middle the one that doubts less.
    let (low, high) = (ahead_ms[(asked - 1) / 2], ahead_ms[asked / 2]);
    let middle = if low > 0 { low } else { high.min(0) };
    let tolerance = TOLERANCE.as_millis() as i64;
    let says_so =
        |ahead: &&i64| ahead.signum() == middle.signum() && ahead.saturating_abs() > tolerance;
    (middle.saturating_abs() > tolerance).then(|| ClockDoubt {
        ahead_s: middle / 1000,
        others: ahead_ms.iter().filter(says_so).count(),
        asked,
    })
}

/// This machine's clock, in milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_clock_that_most_others_contradict_is_wrong() {
        let behind = doubt(vec![-3 * HOUR, -3 * HOUR - 900, -3 * HOUR + 900, 40]);
        let want = ClockDoubt { ahead_s: -3 * 3600, others: 3, asked: 4 };
        assert_eq!(behind.map(|d| (d.others, d.asked)), Some((want.others, want.asked)));
        assert!(behind.is_some_and(|d| (d.ahead_s - want.ahead_s).abs() <= 1));
        let ahead = doubt(vec![2 * HOUR, 2 * HOUR, 2 * HOUR]).expect("two hours");
        assert_eq!((ahead.ahead_s, ahead.others), (7200, 3));
        assert_eq!(doubt(vec![59_000, -59_000, 60_000]), None, "nearly right is right");
    }

    #[test]
    fn a_minority_moves_nobody_and_two_say_nothing() {
        assert_eq!(doubt(vec![HOUR, HOUR]), None);
        for lie in [i64::MIN, -HOUR, HOUR, i64::MAX] {
            for others in 3..12 {
                let liars = (others - 1) / 2;
                let honest = [-1000, 0, 1000].into_iter().cycle().take(others - liars);
                assert_eq!(doubt(honest.chain(vec![lie; liars]).collect()), None, "{others}");
            }
            assert_eq!(doubt(vec![lie, lie, 0, 0]), None, "half are no majority");
        }
        assert!(doubt(vec![i64::MIN; 3]).is_some_and(|d| d.ahead_s < 0));
    }

    #[test]
    fn a_clock_goes_on_after_it_was_told() {
        let told = Told::now(1_000_000);
        let later = told.at + Duration::from_secs(5);
        assert_eq!(told.ahead_ms(1_005_000, later), 0);
        assert_eq!(told.ahead_ms(1_002_000, later), -3000);
        assert!(Told::now(u64::MAX).ahead_ms(0, later) < -HOUR, "no overflow");
    }
}
