//! Dates as Python prints them.

use jiff::{Timestamp, fmt::strtime::BrokenDownTime, tz::TimeZone};
use minijinja::{Error, ErrorKind};

/// Formats seconds since 1970 in the manner of `strftime`, without a time zone as transformers does.
/// What is past the year 9999 is shown as its end.
pub(super) fn strftime(seconds: u64, format: &str) -> Result<String, Error> {
    let known = i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok());
    let time = TimeZone::UTC.to_datetime(known.unwrap_or(Timestamp::MAX));
    BrokenDownTime::from(time).to_string(format).map_err(unknown)
}

fn unknown(error: jiff::Error) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("the date format is not known: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let format = |seconds, format| strftime(seconds, format).expect("known codes");
        assert_eq!(
            format(0, "%A %d %B %Y %H:%M:%S %p %j"),
            "Thursday 01 January 1970 00:00:00 AM 001"
        );
        // Python: datetime.datetime.fromtimestamp(…, datetime.timezone.utc).strftime(…)
        assert_eq!(
            format(1_709_208_000, "%d %b %Y, %a, %I %p, day %j"),
            "29 Feb 2024, Thu, 12 PM, day 060"
        );
        assert_eq!(
            format(951_782_400 + 3_723, "%F %T %-d %-m %-I %y %w %%"),
            "2000-02-29 01:02:03 29 2 1 00 2 %"
        );
        assert_eq!(format(4_102_444_799, "%Y-%m-%d %e"), "2099-12-31 31");
        assert!(strftime(0, "%Q").is_err() && strftime(0, "%").is_err());
        assert!(strftime(u64::MAX, "%Y").is_ok_and(|year| year == "9999"));
    }
}
