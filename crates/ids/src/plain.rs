//! What a stranger wrote, made fit for a terminal, a page or a log line.
//!
//! Text from outside can move the cursor, set a title, turn the direction of writing round, hide
//! letters or begin a line that looks like ours. Here such characters become visible: `\u001b`, as
//! JSON and JavaScript spell them, so that JSON that went through this still says the same.

use std::fmt::{self, Display, Write};

/// A value from outside as one line: [`plain`] of what it displays.
///
/// What prints should hold foreign text in this from where it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain<T>(pub T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&plain(&self.0.to_string()))
    }
}

/// A text as one line: what controls, hides or turns other text becomes visible, line feeds and
/// tabs too.
pub fn plain(text: &str) -> String {
    shown(text, Lines::Shown)
}

/// [`plain`], but line feeds and tabs stay, and a carriage return before a line feed goes away.
pub fn plain_lines(text: &str) -> String {
    shown(text, Lines::Kept)
}

/// [`plain`] of at most `most` characters of the text, with a note of how many were left out.
pub fn plain_short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => plain(text),
        Some((end, _)) => format!("{}… ({} bytes)", plain(&text[..end]), text.len()),
    }
}

/// Characters of a foreign text that are shown where it is a part of a line.
pub const IN_LINE: usize = 60;

/// A foreign text as a part of a line: [`plain_short`] of it, with at most [`IN_LINE`] characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short<T>(pub T);

impl<T: AsRef<str>> Display for Short<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&plain_short(self.0.as_ref(), IN_LINE))
    }
}

/// [`Short`] in quotation marks; those inside are escaped, so that none ends it early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted<T>(pub T);

impl<T: AsRef<str>> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = plain_short(self.0.as_ref(), IN_LINE);
        f.pad(&format!("\"{}\"", text.replace('"', "\\\"")))
    }
}

/// [`plain_lines`] of a text that comes in pieces.
#[derive(Debug, Default, Clone)]
pub struct PlainStream {
    /// The last character, if it is shown as it is.
    before: Option<char>,
    /// A carriage return that waits for what follows.
    returned: bool,
}

impl PlainStream {
    /// The next piece, made plain.
    pub fn push(&mut self, piece: &str) -> String {
        let mut out = String::with_capacity(piece.len());
        for c in piece.chars() {
            if std::mem::take(&mut self.returned) && c != '\n' {
                escape('\r', &mut out);
            }
            match c {
                '\r' => self.returned = true,
                '\n' | '\t' => out.push(c),
                // What follows may be in the next piece.
                c if is_hidden(c) && !may_join(self.before, c) => {
                    escape(c, &mut out);
                    self.before = None;
                    continue;
                }
                c => out.push(c),
            }
            self.before = Some(c);
        }
        out
    }

    /// What was held back.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        if std::mem::take(&mut self.returned) {
            escape('\r', &mut out);
        }
        out
    }
}

/// Whether [`plain`] leaves a text as it is.
pub fn is_plain(text: &str) -> bool {
    plain(text) == text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    Shown,
    Kept,
}

fn shown(text: &str, lines: Lines) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut before, mut chars) = (None, text.chars().peekable());
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\n' | '\t' if lines == Lines::Kept => out.push(c),
            '\r' if lines == Lines::Kept && next == Some('\n') => {}
            // At the end of a name a joiner would make two names that look alike.
            c if is_hidden(c)
                && !(may_join(before, c) && (is_variation(c) || next.is_some_and(joins))) =>
            {
                escape(c, &mut out);
                before = None;
                continue;
            }
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}

/// The four hexadecimal digits of each UTF-16 unit.
fn escape(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{unit:04x}").expect("a String can be written to");
    }
}

/// Controls, line and paragraph separators, what turns the direction of writing, and what Unicode
/// says is not shown (`Default_Ignorable_Code_Point`).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Joins or parts the letters and pictures around it, as Persian, the scripts of India and
/// emoji need.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}')
}

/// Chooses how the picture before it looks.
fn is_variation(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

/// Whether a joiner stands behind something that it can join; of variations one is enough.
fn may_join(before: Option<char>, c: char) -> bool {
    let again = |before: char| is_variation(before) && is_variation(c);
    is_joiner(c) && before.is_some_and(|before| joins(before) && !again(before))
}

/// Whether a joiner beside this character has an effect that readers know.
fn joins(c: char) -> bool {
    matches!(
        c,
        '\u{600}'..='\u{61b}'
            | '\u{61d}'..='\u{dff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1780}'..='\u{17b3}'
            | '\u{17b6}'..='\u{180a}'
            | '\u{1810}'..='\u{18af}'
            | '\u{2190}'..='\u{2bff}'
            | '\u{fe0f}'
            | '\u{1f000}'..='\u{1faff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_moves_the_cursor_or_hides() {
        let hostile = [
            ("a\u{1b}]0;owned\u{7}b", r"a\u001b]0;owned\u0007b"),
            ("a\r\u{1b}[2Kb", r"a\u000d\u001b[2Kb"),
            ("a\u{9b}31mb", r"a\u009b31mb"),
            ("a\u{8}\u{7f}b", r"a\u0008\u007fb"),
            ("a\nlicence  b", r"a\u000alicence  b"),
            ("a\u{85}b\u{2028}c\u{2029}d", r"a\u0085b\u2028c\u2029d"),
            ("a\u{202e}b\u{2066}c\u{200f}d\u{61c}", r"a\u202eb\u2066c\u200fd\u061c"),
            ("a\u{200b}b\u{feff}c\u{2060}d\u{ad}e", r"a\u200bb\ufeffc\u2060d\u00ade"),
            ("ad\u{200d}min\u{200c}", r"ad\u200dmin\u200c"),
            ("a\u{e0041}b\u{3164}c", r"a\udb40\udc41b\u3164c"),
            ("a\0b\tc", r"a\u0000b\u0009c"),
            ("a\u{fe0f}\u{200d}👩", r"a\ufe0f\u200d👩"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}\\ufe0f"),
        ];
        for (text, want) in hostile {
            assert_eq!(plain(text), want);
            assert_eq!(Plain(text).to_string(), want);
            assert!(is_plain(&plain(text)) && !is_plain(text));
        }
    }

    #[test]
    fn honest_text_of_any_script_stays() {
        let honest = [
            "Apache-2.0 (ä, é, ß) – „ok“",
            "می\u{200c}خواهم",
            "क\u{94d}\u{200d}ष",
            "👩\u{200d}🌾 ❤\u{fe0f} 👍🏽",
            "共有地は皆のもの",
            r"C:\models\a.gguf",
        ];
        for text in honest {
            assert_eq!(plain(text), text);
            assert_eq!(plain_lines(text), text);
        }
        assert_eq!(plain("رضا\u{200d}"), r"رضا\u200d".to_owned(), "not at the end of a name");
    }

    #[test]
    fn lines_stay_where_they_are_asked_for() {
        assert_eq!(plain_lines("a\r\n\tb\rc\u{1b}"), "a\n\tb\\u000dc\\u001b");
        let mut stream = PlainStream::default();
        let pieces = ["a\r", "\nb\r", "c👩", "\u{200d}", "🌾\u{202e}", "\r"];
        let pieces: String = pieces.iter().map(|piece| stream.push(piece)).collect();
        assert_eq!(pieces + &stream.finish(), "a\nb\\u000dc👩\u{200d}🌾\\u202e\\u000d");
    }

    #[test]
    fn widths_and_lengths_hold() {
        assert_eq!(format!("{:6}|", Plain("a\n")), r"a\u000a|");
        assert_eq!(format!("{:4}|", Plain("ab")), "ab  |");
        assert_eq!(plain_short("abc\u{1b}d", 4), r"abc\u001b… (5 bytes)");
        assert_eq!(plain_short("abc", 3), "abc");
        let long = "x".repeat(IN_LINE + 1);
        let cut = format!("{}… ({} bytes)", &long[1..], long.len());
        assert_eq!(Short(&long).to_string(), cut);
        assert_eq!(Quoted(&long).to_string(), format!("\"{cut}\""));
        assert_eq!(Short(&long[1..]).to_string(), long[1..]);
        assert_eq!(Quoted("a\"\u{1b}").to_string(), r#""a\"\u001b""#);
    }
}
