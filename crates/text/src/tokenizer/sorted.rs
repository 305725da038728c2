//! Finding beginnings of a text among sorted texts.

use std::ops::Range;

/// The part of `range` whose texts have `byte` at `depth`. The texts of the range are sorted and the
/// same before `depth`.
pub(super) fn narrow<'t>(
    range: Range<usize>,
    depth: usize,
    byte: u8,
    text: impl Fn(usize) -> &'t [u8],
) -> Range<usize> {
    // A text that ends before `depth` is sorted before those that go on.
    let first = |wanted: &dyn Fn(u8) -> bool, from: usize| {
        let (mut low, mut high) = (from, range.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match text(middle).get(depth) {
                Some(&found) if wanted(found) => high = middle,
                _ => low = middle + 1,
            }
        }
        low
    };
    let start = first(&|found| found >= byte, range.start);
    start..first(&|found| found > byte, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrows_to_what_goes_on_with_a_byte() {
        let texts: [&[u8]; 6] = [b"a", b"ab", b"abc", b"ac", b"b", b"\xff"];
        let find = |bytes: &[u8]| {
            let mut range = 0..texts.len();
            for (depth, &byte) in bytes.iter().enumerate() {
                range = narrow(range, depth, byte, |i| texts[i]);
            }
            range
        };
        assert_eq!(find(b"a"), 0..4);
        assert_eq!(find(b"ab"), 1..3);
        assert_eq!(find(b"abc"), 2..3);
        assert_eq!(find(b"\xff"), 5..6);
        assert!(find(b"ad").is_empty() && find(b"bb").is_empty() && find(b"A").is_empty());
    }
}
