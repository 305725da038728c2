//! Dates as C and Python print them.

use minijinja::{Error, ErrorKind};

/// Formats seconds since 1970 in the manner of `strftime`.
pub(super) fn strftime(seconds: u64, format: &str) -> Result<String, Error> {
    let time = Time::new(seconds);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut code = chars.next();
        let bare = code == Some('-');
        if bare {
            code = chars.next();
        }
        let part = code.and_then(|code| time.part(code)).ok_or_else(|| {
            let what = code.map_or_else(String::new, String::from);
            Error::new(ErrorKind::InvalidOperation, format!("date format %{what} is not known"))
        })?;
        out.push_str(if bare { part.trim_start_matches('0') } else { &part });
        if bare && part.chars().all(|c| c == '0') {
            out.push('0');
        }
    }
    Ok(out)
}

struct Time {
    year: u64,
    /// 0 for January.
    month: usize,
    /// 1 for the first.
    day: u64,
    /// 1 for the first of January.
    day_of_year: u64,
    /// 0 for Sunday.
    weekday: usize,
    /// Seconds of the day.
    seconds: u64,
}

impl Time {
    fn new(seconds: u64) -> Time {
        let days = seconds / 86_400 % MAX_DAYS;
        let (mut year, mut left) = (1970, days);
        while left >= year_days(year) {
            left -= year_days(year);
            year += 1;
        }
        let day_of_year = left + 1;
        let mut month = 0;
        while left >= month_days(year, month) {
            left -= month_days(year, month);
            month += 1;
        }
        let weekday = ((days + 4) % 7) as usize; // 1970 began on a Thursday
        Time { year, month, day: left + 1, day_of_year, weekday, seconds: seconds % 86_400 }
    }

    fn part(&self, code: char) -> Option<String> {
        let (hour, minute) = (self.seconds / 3600, self.seconds / 60 % 60);
        let two = |n: u64| Some(format!("{n:02}"));
        match code {
            'Y' => Some(self.year.to_string()),
            'y' => two(self.year % 100),
            'm' => two(self.month as u64 + 1),
            'd' => two(self.day),
            'e' => Some(format!("{:2}", self.day)),
            'j' => Some(format!("{:03}", self.day_of_year)),
            'B' => Some(MONTHS[self.month].to_owned()),
            'b' | 'h' => Some(MONTHS[self.month][..3].to_owned()),
            'A' => Some(WEEKDAYS[self.weekday].to_owned()),
            'a' => Some(WEEKDAYS[self.weekday][..3].to_owned()),
            'w' => Some(self.weekday.to_string()),
            'H' => two(hour),
            'I' => two((hour + 11) % 12 + 1),
            'M' => two(minute),
            'S' => two(self.seconds % 60),
            'p' => Some(if hour < 12 { "AM" } else { "PM" }.to_owned()),
            'F' => Some(format!("{}-{:02}-{:02}", self.year, self.month + 1, self.day)),
            'T' => Some(format!("{hour:02}:{minute:02}:{:02}", self.seconds % 60)),
            'Z' => Some(String::new()),
            'z' => Some(String::new()),
            '%' => Some("%".to_owned()),
            _ => None,
        }
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_days(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_days(year: u64, month: usize) -> u64 {
    const DAYS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    DAYS[month] + u64::from(month == 1 && is_leap(year))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Days up to the year 9999; later times begin again.
const MAX_DAYS: u64 = 2_932_896;

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
        assert!(strftime(u64::MAX, "%Y").is_ok());
    }
}
