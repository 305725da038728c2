//! Changing text before it is cut: the normalizers, and what pre-tokenizers put in front.

use std::borrow::Cow;
use std::sync::Arc;

use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfkc};

use super::TokenizerError;
use super::budget::{Budget, Part};
use super::sentencepiece::Charsmap;

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
    /// All that a `tokenizer.model` does.
    SentencePiece(Arc<Charsmap>),
}

impl Normal {
    /// Changes a text; `first` says whether anything came before it.
    fn apply<'t>(
        &self,
        text: Cow<'t, str>,
        first: bool,
        budget: &mut Budget,
    ) -> Result<Cow<'t, str>, TokenizerError> {
        budget.step(Part::Normalizers, text.len() as u64 + 1)?;
        let changed = match self {
            Normal::Prepend(front) if !text.is_empty() => in_front(front, &text, budget)?,
            Normal::Prepend(_) => return Ok(text),
            Normal::PrependOnce { text: front, first: only_first } => {
                let wanted = first || !only_first;
                if text.is_empty() || !wanted || text.starts_with(front.as_str()) {
                    return Ok(text);
                }
                in_front(front, &text, budget)?
            }
            Normal::Replace { from, to } => match text.matches(from.as_str()).count() {
                0 => return Ok(text),
                count => {
                    let rest = text.len() - count * from.len();
                    let added = (count as u64).saturating_mul(to.len() as u64);
                    budget.write(Part::Normalizers, added.saturating_add(rest as u64))?;
                    text.replace(from.as_str(), to)
                }
            },
            Normal::Nfc if is_nfc(&text) => return Ok(text),
            Normal::Nfc => collect(text.nfc(), budget)?,
            Normal::Nfd => collect(text.nfd(), budget)?,
            Normal::Nfkc if is_nfkc(&text) => return Ok(text),
            Normal::Nfkc => collect(text.nfkc(), budget)?,
            Normal::Nfkd => collect(text.nfkd(), budget)?,
            Normal::Lowercase => collect(text.chars().flat_map(char::to_lowercase), budget)?,
            Normal::SentencePiece(map) => map.apply(&text, first, budget)?,
            Normal::Strip { left, right } => {
                let stripped = if *left { text.trim_start() } else { &text };
                let stripped = if *right { stripped.trim_end() } else { stripped };
                stripped.to_owned()
            }
        };
        Ok(Cow::Owned(changed))
    }
}

fn in_front(front: &str, text: &str, budget: &mut Budget) -> Result<String, TokenizerError> {
    budget.write(Part::Normalizers, (front.len() + text.len()) as u64)?;
    Ok(format!("{front}{text}"))
}

fn collect(
    chars: impl Iterator<Item = char>,
    budget: &mut Budget,
) -> Result<String, TokenizerError> {
    let mut out = String::new();
    for c in chars {
        budget.write(Part::Normalizers, c.len_utf8() as u64)?;
        out.push(c);
    }
    Ok(out)
}

/// Makes all changes; `first` says whether the text is the beginning of what is encoded.
pub(super) fn normalize<'t>(
    steps: &[Normal],
    text: &'t str,
    first: bool,
    budget: &mut Budget,
) -> Result<Cow<'t, str>, TokenizerError> {
    steps.iter().try_fold(Cow::Borrowed(text), |text, step| step.apply(text, first, budget))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalize<'t>(steps: &[Normal], text: &'t str, first: bool) -> Cow<'t, str> {
        super::normalize(steps, text, first, &mut Budget::for_text(text.len())).expect("cheap")
    }

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
