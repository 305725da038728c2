//! Numbers for people: one set of units for all commands.

pub use engine::units::bytes;

use std::time::{SystemTime, UNIX_EPOCH};

/// `134.5 million`; below a million, all digits.
pub fn count(n: u64) -> String {
    match n {
        0..1_000_000 => n.to_string(),
        1_000_000..1_000_000_000 => format!("{:.1} million", n as f64 / 1e6),
        _ => format!("{:.2} billion", n as f64 / 1e9),
    }
}

/// `1 peer`, `3 peers`.
pub fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// `3 h`: a span of time in the largest unit of which there are two or more.
pub fn span(seconds: u64) -> String {
    let units = [("days", 24 * 60 * 60), ("h", 60 * 60), ("min", 60), ("s", 1)];
    let (name, length) = units.into_iter().find(|(_, n)| seconds >= 2 * n).unwrap_or(("s", 1));
    format!("{} {name}", seconds.saturating_add(length / 2) / length)
}

/// Threads for each of so many processes that share this machine.
pub fn threads_each(processes: usize) -> usize {
    let all = std::thread::available_parallelism().map_or(1, |n| n.get());
    (all / processes).max(1)
}

/// The time by this machine's clock, in Unix seconds.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}

/// A seed that nobody knows beforehand, short enough to be typed again.
pub fn drawn_seed() -> std::io::Result<u64> {
    let [a, b, c, d, ..] = store::file::random()?;
    Ok(u32::from_le_bytes([a, b, c, d]).into())
}

/// Unix seconds as UTC.
pub fn time(seconds: u64) -> String {
    let known = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    let time = known.unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(time(1_800_000_000), "2027-01-15 08:00:00 UTC");
        assert_eq!(time(4_102_444_799), "2099-12-31 23:59:59 UTC");
        assert!(time(u64::MAX).starts_with("9999-12-"));
    }

    #[test]
    fn spans_are_in_whole_units() {
        let said = [1, 119, 120, 10_795, 7 * 3600, 172_800, u64::MAX].map(span);
        assert_eq!(said[..6], ["1 s", "119 s", "2 min", "3 h", "7 h", "2 days"]);
        assert!(said[6].ends_with(" days"));
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(count(999_999), "999999");
        assert_eq!(count(134_515_008), "134.5 million");
        assert_eq!(count(7_241_732_096), "7.24 billion");
    }
}
