//! Names that people choose for others to read and type: of members, runs, commons and options.
//!
//! One rule for all of them, held where a name is made. A log or file from elsewhere may have names
//! that break it; [`alike`] and [`is_like_id`] say which of those pass for something else.

use crate::is_plain;
use unicode_normalization::UnicodeNormalization;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 256;

/// Digits of a hash or key in the shortest form that is printed.
pub const SHORTEST_ID: usize = 8;

/// What to do about a [`NameError`].
pub const HINT: &str = "a name is text that people can read and type, of at most 256 bytes, with \
                        accents as single letters, and no digits of a key or hash";

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing to read.
    #[error("is blank")]
    Blank,
    /// Too long.
    #[error("is longer than {MAX_NAME} bytes")]
    Long,
    /// Controls, direction marks, what is not shown.
    #[error("has characters that people cannot see")]
    Hidden,
    /// Not in normal form C.
    #[error("has accents that are not written as single letters")]
    NotComposed,
    /// Digits like those of a key or hash.
    #[error("reads like a key or a hash")]
    LikeId,
}

/// Errors: the text is blank or too long, has invisible characters, is not in normal form C, or
/// reads like a key or hash.
pub fn check(name: &str) -> Result<(), NameError> {
    if name.len() > MAX_NAME {
        return Err(NameError::Long);
    }
    if folded(name).is_empty() {
        return Err(NameError::Blank);
    }
    if !is_plain(name) || name.contains('\u{2800}') {
        return Err(NameError::Hidden);
    }
    if name.nfc().ne(name.chars()) {
        return Err(NameError::NotComposed);
    }
    match is_like_id(name) {
        true => Err(NameError::LikeId),
        false => Ok(()),
    }
}

/// Whether a text is, or looks like, the hexadecimal digits of a key or hash as they are printed.
pub fn is_like_id(name: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_hexdigit() || matches!(c, 'O' | 'o' | 'l');
    let looks = [look(name), skeleton(&composed_alike(name))];
    looks.iter().any(|look| {
        let digits = look.strip_prefix('#').unwrap_or(look).trim();
        digits.chars().count() >= SHORTEST_ID && digits.chars().all(is_digit)
    })
}

/// Whether people can mistake one name for the other: they differ in nothing but case, spacing or
/// the form of letters, or look the same (Unicode Technical Standard 39).
pub fn alike(a: &str, b: &str) -> bool {
    looks(a).iter().any(|look| looks(b).contains(look))
}

/// What a name looks like, as it is and without case: names that share one of these are alike.
pub fn looks(name: &str) -> [String; 2] {
    [skeleton(&composed_alike(name)), look(name)]
}

/// A name without what people do not see or care about: case, spacing and the form of letters.
pub fn folded(name: &str) -> String {
    let name = composed_alike(name).to_lowercase();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same for texts that look the same.
pub fn skeleton(text: &str) -> String {
    unicode_security::skeleton(text).collect()
}

/// The same for letters in another form (normal form KC).
pub fn composed_alike(text: &str) -> String {
    text.nfkc().collect()
}

/// A text in normal form C, as names have to be.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

fn look(name: &str) -> String {
    skeleton(&folded(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_script_are_names() {
        for name in
            ["Anna", "für", "日本", "می\u{200c}خواهم", "❤\u{fe0f}", "3", "dead", "O'Hara", "2026"]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        assert_eq!(check(&"a ".repeat(128)), Ok(()));
    }

    #[test]
    fn what_people_cannot_read_or_type_is_no_name() {
        for (name, why) in [
            ("", NameError::Blank),
            (" \u{3000}", NameError::Blank),
            ("a\u{200b}b", NameError::Hidden),
            ("\u{202e}annA", NameError::Hidden),
            ("a\nb", NameError::Hidden),
            ("\u{3164}", NameError::Hidden),
            ("\u{2800}", NameError::Hidden),
            ("fu\u{308}r", NameError::NotComposed),
        ] {
            assert_eq!(check(name), Err(why), "{name:?}");
        }
        assert_eq!(check(&"a".repeat(257)), Err(NameError::Long));
    }

    #[test]
    fn no_name_reads_like_a_key() {
        let key = crate::Identity::from_seed([1; 32]).id();
        let cyrillic = key.short().replace('a', "\u{430}").replace('e', "\u{435}");
        for name in [key.to_string(), key.short(), key.short().to_uppercase(), cyrillic] {
            assert_eq!(check(&name), Err(NameError::LikeId), "{name}");
        }
        for name in ["#a1b2c3d4", "a1b2c3d4 ", "O1l2c3d4", "\u{ff41}1b2c3d4", "12345678"] {
            assert_eq!(check(name), Err(NameError::LikeId), "{name}");
        }
        for name in ["a1b2c3d", "a1b2c3dx", "facade decade"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_look_the_same_are_alike() {
        for (a, b) in [
            ("Anna", "\u{410}nna"), // Cyrillic
            ("Anna", " anna "),
            ("a b", "a  b"),
            ("modern", "rnodern"),
            ("Il", "ll"),
            ("ﬁne", "fine"),
        ] {
            assert!(alike(a, b) && alike(b, a), "{a} {b}");
        }
        assert!(!alike("Anna", "Anne") && !alike("für", "wider"));
    }
}
