//! Cutting text into words as GPT-2 does.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// The words of a text in order; together they are the text.
///
/// The same cut as the regular expression
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, after) =
            rest.split_at_checked(first(rest)).filter(|(word, _)| !word.is_empty())?;
        rest = after;
        Some(word)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Letter,
    Number,
    Other,
}

/// Length in bytes of the first word; 0 only for the empty text.
fn first(text: &str) -> usize {
    if let Some(suffix) = SUFFIXES.iter().find(|suffix| text.starts_with(**suffix)) {
        return suffix.len();
    }
    let Some(head) = text.chars().next() else { return 0 };
    let lead = usize::from(head == ' ');
    match text[lead..].chars().next().map(kind) {
        Some(kind) if kind != Kind::Space => lead + run(&text[lead..], kind),
        _ => spaces(text),
    }
}

/// White space up to the end of the text, or up to the last white space before a word; a single
/// one before a word stands alone.
fn spaces(text: &str) -> usize {
    let length = run(text, Kind::Space);
    if length == text.len() {
        return length;
    }
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    if last < length { length - last } else { length }
}

/// Bytes of the leading characters of one kind.
fn run(text: &str, wanted: Kind) -> usize {
    text.find(|c| kind(c) != wanted).unwrap_or(text.len())
}

fn kind(c: char) -> Kind {
    if c.is_ascii() {
        return match c {
            'a'..='z' | 'A'..='Z' => Kind::Letter,
            '0'..='9' => Kind::Number,
            '\t'..='\r' | ' ' => Kind::Space,
            _ => Kind::Other,
        };
    }
    if c.is_whitespace() {
        Kind::Space
    } else if contains(&LETTERS, c) {
        Kind::Letter
    } else if contains(&NUMBERS, c) {
        Kind::Number
    } else {
        Kind::Other
    }
}

fn contains(ranges: &[(char, char)], c: char) -> bool {
    let after = ranges.partition_point(|range| range.0 <= c);
    after > 0 && c <= ranges[after - 1].1
}

// The standard library's `is_alphabetic` also counts combining marks, which `\p{L}` does not.
static LETTERS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"\p{L}"));
static NUMBERS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"\p{N}"));

fn ranges(class: &str) -> Vec<(char, char)> {
    let hir = regex_syntax::parse(class).expect("a Unicode class");
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => unreachable!("a Unicode class parses to a class"),
    }
}

const SUFFIXES: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_spaces_numbers_and_suffixes() {
        let cut: Vec<&str> = words("I'll say  it's 42x,\n\n ok!  ").collect();
        let want =
            ["I", "'ll", " say", " ", " it", "'s", " 42", "x", ",", "\n\n", " ok", "!", "  "];
        assert_eq!(cut, want);
    }
}
