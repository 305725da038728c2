//! Numbers for people.

/// `98.4 MB`: decimal units, as hubs and file managers write them.
pub fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (n as f64, 0);
    // What would be printed as 1000.0 is one of the next.
    while unit + 1 < units.len() && value >= 999.95 {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_in_decimal_units() {
        let said = [0, 999, 1000, 98_362_432, 999_960, u64::MAX].map(bytes);
        assert_eq!(said, ["0 B", "999 B", "1.0 kB", "98.4 MB", "1.0 MB", "18446.7 PB"]);
    }
}
