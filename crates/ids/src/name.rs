//! Names that people choose for others to read and type: of members, runs, commons and options.
//!
//! One rule for all of them, held where a name is made. A log or file from elsewhere may have names
//! that break it; [`alike`] and [`is_like_id`] say which of those pass for something else.
//!
//! By this rule logs mean something, for everybody alike and for good (version 3 of the rules of a
//! commons). So the crates with Unicode's tables are of one exact version, the standard library's
//! tables are not used where they may grow, and a test has a digest of what the rule says of every
//! character. What changes that is a new version of the rules.

mod lower;

use crate::is_plain;
use lower::lower;
use unicode_normalization::{UnicodeNormalization, char::is_public_assigned};

/// The longest name, in bytes.
pub const MAX_NAME: usize = 256;

/// Digits of a hash or key in the shortest form that is printed.
pub const SHORTEST_ID: usize = 8;

/// What to do about a [`NameError`].
pub const HINT: &str = "a name is text that people can read and type, of at most 256 bytes, with single \
                        spaces between words, accents as single letters, and no digits of a key or \
                        hash";

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
    /// Spaces that nobody would type again: at an end, several together, or of another kind.
    #[error("has spaces at its ends, several together, or of another kind")]
    Spaces,
    /// What no version of Unicode known here has, or everybody draws as they like.
    #[error("has characters that no standard knows")]
    Unknown,
    /// Not in normal form C.
    #[error("has accents that are not written as single letters")]
    NotComposed,
    /// Digits like those of a key or hash.
    #[error("reads like a key or a hash")]
    LikeId,
}

/// Errors: the text is blank or too long, has invisible or unknown characters, is not in normal
/// form C, or reads like a key or hash.
pub fn check(name: &str) -> Result<(), NameError> {
    if name.len() > MAX_NAME {
        return Err(NameError::Long);
    }
    if folded(name).is_empty() {
        return Err(NameError::Blank);
    }
    if !is_plain(name) || name.chars().any(is_blank_or_format) {
        return Err(NameError::Hidden);
    }
    if spaced(name) != name {
        return Err(NameError::Spaces);
    }
    if !name.chars().all(is_public_assigned) {
        return Err(NameError::Unknown);
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

/// Whether a text has the digits of a key or hash as a word of its own, as the program puts them
/// behind a name.
pub fn has_id(name: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_hexdigit() || matches!(c, 'O' | 'o' | 'l');
    let looks = [look(name), skeleton(&composed_alike(name))];
    looks.iter().any(|look| {
        let mut words = look.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| {
            let long = word.chars().count() >= SHORTEST_ID;
            long && word.chars().all(is_digit) && word.contains(|c: char| c.is_ascii_digit())
        })
    })
}

/// Whether people can mistake one name for the other: they differ in nothing but case, spacing or
/// the form of letters, or look the same (Unicode Technical Standard 39).
pub fn alike(a: &str, b: &str) -> bool {
    looks(a).iter().any(|look| looks(b).contains(look))
}

/// What a name looks like, with its case and without: names that share one of these are alike.
/// Spacing is in neither.
pub fn looks(name: &str) -> [String; 2] {
    [skeleton(&spaced(&composed_alike(name))), look(name)]
}

/// A name without what people do not see or care about: case, spacing and the form of letters.
pub fn folded(name: &str) -> String {
    let name: String = composed_alike(name).chars().map(lower).collect();
    spaced(&name)
}

/// A text with one space between words, and none at its ends.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is drawn as nothing or as a gap, and signs that only shape what follows, beside what is
/// hidden in every text.
fn is_blank_or_format(c: char) -> bool {
    matches!(
        c,
        '\u{600}'..='\u{605}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{2800}'
            | '\u{fffc}'..='\u{fffd}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{13442}'
            | '\u{16fe4}'
            | '\u{1d159}'
    )
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
        assert_eq!(check(&"a ".repeat(128)[..255]), Ok(()));
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
            ("An\u{13430}na", NameError::Hidden),
            ("Anna\u{13441}", NameError::Hidden),
            ("Anna\u{1d159}", NameError::Hidden),
            ("\u{fffc}Anna", NameError::Hidden),
            ("\u{600}1", NameError::Hidden),
            ("Anna ", NameError::Spaces),
            (" Anna", NameError::Spaces),
            ("An  na", NameError::Spaces),
            ("An\u{a0}na", NameError::Spaces),
            ("fu\u{308}r", NameError::NotComposed),
            ("a\u{378}", NameError::Unknown),
            ("\u{e000}", NameError::Unknown),
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
        for name in ["#a1b2c3d4", "O1l2c3d4", "\u{ff41}1b2c3d4", "12345678"] {
            assert_eq!(check(name), Err(NameError::LikeId), "{name}");
        }
        for name in ["a1b2c3d", "a1b2c3dx", "facade decade"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn digits_of_a_key_are_found_inside_a_name() {
        for name in [
            "Anna (f2cb40a1)",
            "key 2832cd99",
            "2832cd99\u{2026}",
            "\"Anna\" (a0b133e4)",
            "a0b133e4-",
            "Anna f2cb40\u{430}1",
        ] {
            assert!(has_id(name), "{name}");
        }
        for name in ["coalface", "Anna 1234567", "2026-11-30", "facade decade", "a1b2c3d4x"] {
            assert!(!has_id(name), "{name}");
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
            ("Ian Smith", "lan  Smith"),
            ("Ian Smith", "lan Smith "),
            ("ﬁne", "fine"),
            ("ΝΙΚΟΣ", "Νικος"),
        ] {
            assert!(alike(a, b) && alike(b, a), "{a} {b}");
        }
        assert!(!alike("Anna", "Anne") && !alike("für", "wider"));
    }

    /// One character, in what the rule looks at: every table it depends on is in this.
    fn said_of(c: char, hasher: &mut blake3::Hasher) {
        let text = c.to_string();
        let [exact, folded] = looks(&text);
        let verdict = match check(&format!("x{c}x")) {
            Ok(()) => 0,
            Err(NameError::Hidden) => 1,
            Err(NameError::Unknown) => 2,
            Err(NameError::NotComposed) => 3,
            Err(NameError::Spaces) => 4,
            Err(_) => 5,
        };
        hasher.update(&[verdict, u8::from(c.is_whitespace())]);
        for said in [&exact, &folded, &composed(&text), &composed_alike(&text)] {
            hasher.update(&(said.len() as u32).to_le_bytes()).update(said.as_bytes());
        }
    }

    /// Texts of several characters: how they are put together, put in order and reordered.
    const TEXTS: [&str; 18] = [
        "e\u{323}\u{302}",
        "e\u{302}\u{323}",
        "\u{1100}\u{1161}\u{11a8}",
        "\u{ac00}\u{11a8}",
        "\u{915}\u{93c}",
        "\u{fb2c}",
        "\u{1e9b}\u{323}",
        "ΑΣ",
        "ας",
        "İx",
        "A\u{30a}",
        "rn",
        "ﷺ",
        "ǆ",
        "Ian  Smith",
        " lan Smith\u{a0}",
        "Anna (f2cb40a1)",
        "rn Il",
    ];

    #[test]
    fn the_rule_says_of_every_character_what_it_always_said() {
        let mut hasher = blake3::Hasher::new();
        (char::MIN..=char::MAX).for_each(|c| said_of(c, &mut hasher));
        for text in TEXTS {
            let [exact, without_case] = looks(text);
            let said = [skeleton(text), folded(text), composed(text), composed_alike(text)];
            for said in said.into_iter().chain([exact, without_case]) {
                hasher.update(&(said.len() as u32).to_le_bytes()).update(said.as_bytes());
            }
            hasher.update(&[u8::from(check(text).is_ok()), u8::from(has_id(text))]);
        }
        // A change of this is a change of what logs mean: it needs a new version of the rules.
        let digest = "d4164e1f1af891a5fa78cf40aad9672070d32759b7e2def058f76ed3fd7a0239";
        assert_eq!(hasher.finalize().to_hex().as_str(), digest);
    }
}
