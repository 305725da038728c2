//! Changing text before it is cut: the normalizers, and what pre-tokenizers put in front.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfkc};

/// One change; several are made one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Normal {
    /// Put in front of text that is not empty.
    Prepend(String),
    /// Put in front of text that does not begin with it; if `first`, only at the very beginning.
    PrependOnce { text: String, first: bool },
    /// Every occurrence.
    Replace { from: String, to: String },
    /// Composed characters.
    Nfc,
    /// Decomposed characters.
    Nfd,
    /// Composed characters without what only concerns their looks.
    Nfkc,
    /// Decomposed characters without what only concerns their looks.
    Nfkd,
    /// Small letters.
    Lowercase,
    /// White space at the beginning or the end goes away.
    Strip { left: bool, right: bool },
}

impl Normal {
    /// Changes a text; `first` says whether anything came before it.
    fn apply<'t>(&self, text: Cow<'t, str>, first: bool) -> Cow<'t, str> {
        match self {
            Normal::Prepend(front) if !text.is_empty() => Cow::Owned(format!("{front}{text}")),
            Normal::Prepend(_) => text,
            Normal::PrependOnce { text: front, first: only_first } => {
                let wanted = first || !only_first;
                if text.is_empty() || !wanted || text.starts_with(front.as_str()) {
                    return text;
                }
                Cow::Owned(format!("{front}{text}"))
            }
            Normal::Replace { from, to } if text.contains(from.as_str()) => {
                Cow::Owned(text.replace(from.as_str(), to))
            }
            Normal::Replace { .. } => text,
            Normal::Nfc if is_nfc(&text) => text,
            Normal::Nfc => Cow::Owned(text.nfc().collect()),
            Normal::Nfd => Cow::Owned(text.nfd().collect()),
            Normal::Nfkc if is_nfkc(&text) => text,
            Normal::Nfkc => Cow::Owned(text.nfkc().collect()),
            Normal::Nfkd => Cow::Owned(text.nfkd().collect()),
            Normal::Lowercase => Cow::Owned(text.to_lowercase()),
            Normal::Strip { left, right } => {
                let stripped = if *left { text.trim_start() } else { &text };
                let stripped = if *right { stripped.trim_end() } else { stripped };
                Cow::Owned(stripped.to_owned())
            }
        }
    }
}

/// Makes all changes; `first` says whether the text is the beginning of what is encoded.
pub(super) fn normalize<'t>(steps: &[Normal], text: &'t str, first: bool) -> Cow<'t, str> {
    steps.iter().fold(Cow::Borrowed(text), |text, step| step.apply(text, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_follow_each_other() {
        let replace = Normal::Replace { from: " ".to_owned(), to: "▁".to_owned() };
        let steps = [Normal::Prepend("▁".to_owned()), replace];
        assert_eq!(normalize(&steps, "a b", true), "▁a▁b");
        assert_eq!(normalize(&steps, "", true), "");
        let once = [Normal::PrependOnce { text: "▁".to_owned(), first: true }];
        assert_eq!(normalize(&once, "a", true), "▁a");
        assert_eq!(normalize(&once, "▁a", true), "▁a");
        assert_eq!(normalize(&once, "a", false), "a");
        assert_eq!(normalize(&[Normal::Nfc], "e\u{301}", true), "é");
        let strip = [Normal::Strip { left: true, right: false }, Normal::Lowercase];
        assert_eq!(normalize(&strip, " A ", true), "a ");
    }
}
