//! Sets of characters.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class as HirClass, ClassUnicode, HirKind};

/// A set of characters: a bit for each ASCII one, ranges for the rest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Class {
    ascii: [u64; 2],
    ranges: Vec<(char, char)>,
}

impl Class {
    /// The set that `source` (a bracket, an escape or one character) names in regular
    /// expressions, with `fold` in whatever case.
    pub(super) fn new(source: &str, fold: bool) -> Result<Class, String> {
        let mut parser = ParserBuilder::new().case_insensitive(fold).nest_limit(8).build();
        let hir = parser.parse(source).map_err(|_| format!("class {source:?}"))?;
        match hir.into_kind() {
            HirKind::Class(HirClass::Unicode(class)) => Ok(Class::of(&class)),
            HirKind::Literal(literal) => Class::literal(&literal.0, source),
            _ => Err(format!("class {source:?}")),
        }
    }

    /// Any character but a line feed.
    pub fn dot() -> Class {
        Class::of_ranges(vec![('\0', '\t'), ('\u{b}', char::MAX)])
    }

    /// The memory it takes.
    pub fn bytes(&self) -> u64 {
        (size_of::<Class>() + self.ranges.len() * size_of::<(char, char)>()) as u64
    }

    pub fn has_ascii(&self, byte: u8) -> bool {
        self.ascii[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    pub fn has(&self, c: char) -> bool {
        if c.is_ascii() {
            return self.has_ascii(c as u8);
        }
        let after = self.ranges.partition_point(|range| range.0 <= c);
        after > 0 && c <= self.ranges[after - 1].1
    }

    fn literal(bytes: &[u8], source: &str) -> Result<Class, String> {
        let mut chars = std::str::from_utf8(bytes).unwrap_or("").chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Class::of_ranges(vec![(c, c)])),
            _ => Err(format!("class {source:?}")),
        }
    }

    fn of(class: &ClassUnicode) -> Class {
        Class::of_ranges(class.ranges().iter().map(|r| (r.start(), r.end())).collect())
    }

    fn of_ranges(ranges: Vec<(char, char)>) -> Class {
        let mut ascii = [0; 2];
        for byte in 0..128u8 {
            if ranges.iter().any(|range| (range.0..=range.1).contains(&char::from(byte))) {
                ascii[usize::from(byte >> 6)] |= 1 << (byte & 63);
            }
        }
        Class { ascii, ranges }
    }
}
