//! Finding added and special tokens in a text before it is cut.

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::TokenizerError;
use super::budget::{Budget, Part as Spender};

/// A token that is looked for in the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub id: u32,
    /// What is looked for.
    pub content: String,
    /// Found only if special tokens are asked for.
    pub special: bool,
    /// Takes the white space before it along.
    pub left_strip: bool,
    /// Takes the white space behind it along.
    pub right_strip: bool,
    /// Found only between characters that are not part of a word.
    pub single_word: bool,
}

impl AddedToken {
    /// One without conditions.
    pub fn plain(id: u32, content: &str, special: bool) -> AddedToken {
        let content = content.to_owned();
        let (left_strip, right_strip, single_word) = (false, false, false);
        AddedToken { id, content, special, left_strip, right_strip, single_word }
    }
}

/// Several, found in one pass: the leftmost, and among those the longest.
#[derive(Debug, Default)]
pub(super) struct AddedTokens {
    tokens: Vec<AddedToken>,
    /// Made when first needed: all, and those that are not special.
    all: OnceLock<Finder>,
    ordinary: OnceLock<Finder>,
}

#[derive(Debug)]
struct Finder {
    automaton: Option<AhoCorasick>,
    /// Index in `tokens` by pattern.
    indices: Vec<usize>,
    /// Bytes of the longest token.
    longest: u64,
}

/// Text, or a token found in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(Range<usize>),
    Token(u32),
}

impl AddedTokens {
    /// Looks for these; empty ones are left out.
    ///
    /// Errors: they are too long together for an automaton of bounded size.
    pub fn new(mut tokens: Vec<AddedToken>) -> Result<AddedTokens, TokenizerError> {
        tokens.retain(|token| !token.content.is_empty());
        let bytes: usize = tokens.iter().map(|token| token.content.len()).sum();
        if bytes > MAX_BYTES {
            let text = format!("added tokens of {bytes} bytes, at most {MAX_BYTES} are looked for");
            return Err(TokenizerError::Invalid(text));
        }
        Ok(AddedTokens { tokens, ..AddedTokens::default() })
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Text and tokens of a text in order; special tokens only if asked for.
    pub fn split(
        &self,
        text: &str,
        special: bool,
        budget: &mut Budget,
    ) -> Result<Vec<Part>, TokenizerError> {
        budget.step(Spender::AddedTokens, text.len() as u64 + 1)?;
        let finder = if special {
            self.all.get_or_init(|| self.finder(|_| true))
        } else {
            self.ordinary.get_or_init(|| self.finder(|token| !token.special))
        };
        let (mut parts, mut at) = (Vec::new(), 0);
        let found = finder.automaton.iter().flat_map(|automaton| automaton.find_iter(text));
        for found in found {
            // To know the longest, the automaton reads on and comes back.
            budget.step(Spender::AddedTokens, finder.longest)?;
            let token = &self.tokens[finder.indices[found.pattern().as_usize()]];
            let (mut start, mut end) = (found.start(), found.end());
            if start < at || (token.single_word && !stands_alone(text, start, end)) {
                continue; // inside the white space that the last one took, or part of a word
            }
            if token.left_strip {
                start = at + text[at..start].trim_end().len();
            }
            if token.right_strip {
                end += text[end..].len() - text[end..].trim_start().len();
            }
            if start > at {
                parts.push(Part::Text(at..start));
            }
            parts.push(Part::Token(token.id));
            at = end;
        }
        if at < text.len() {
            parts.push(Part::Text(at..text.len()));
        }
        Ok(parts)
    }

    fn finder(&self, wanted: impl Fn(&AddedToken) -> bool) -> Finder {
        let wanted = |&i: &usize| wanted(&self.tokens[i]);
        let indices: Vec<usize> = (0..self.tokens.len()).filter(wanted).collect();
        let contents = indices.iter().map(|&i| &self.tokens[i].content);
        let lengths = contents.clone().map(|content| content.len() as u64);
        let (longest, bytes) = (lengths.clone().max().unwrap_or(0), lengths.sum::<u64>());
        let mut builder = AhoCorasickBuilder::new();
        builder.match_kind(MatchKind::LeftmostLongest);
        if bytes > MAX_TABLE_BYTES {
            // A full table takes up to a kilobyte for every byte of a token.
            builder.kind(Some(AhoCorasickKind::ContiguousNFA));
        }
        let automaton = (!indices.is_empty()).then(|| {
            let built = builder.build(contents);
            built.expect("the text was bounded far below what an automaton can hold")
        });
        Finder { automaton, indices, longest }
    }
}

impl Clone for AddedTokens {
    fn clone(&self) -> AddedTokens {
        AddedTokens { tokens: self.tokens.clone(), ..AddedTokens::default() }
    }
}

impl PartialEq for AddedTokens {
    fn eq(&self, other: &AddedTokens) -> bool {
        self.tokens == other.tokens
    }
}

/// Most bytes of all tokens that are looked for; vocabularies of a quarter of a million tokens
/// that are all looked for have half of it.
const MAX_BYTES: usize = 1 << 22;
/// Most bytes for which the automaton is a full table.
const MAX_TABLE_BYTES: u64 = 1 << 14;

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    !text[..start].chars().next_back().is_some_and(word)
        && !text[end..].chars().next().is_some_and(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(tokens: &[AddedToken], text: &str, special: bool) -> Vec<String> {
        let tokens = AddedTokens::new(tokens.to_vec()).expect("short");
        let parts = tokens.split(text, special, &mut Budget::for_text(text.len())).expect("cheap");
        let show = |part| match part {
            Part::Text(range) => text[range].to_owned(),
            Part::Token(id) => format!("#{id}"),
        };
        parts.into_iter().map(show).collect()
    }

    #[test]
    fn special_tokens_are_found_only_if_asked_for() {
        let tokens = [AddedToken::plain(0, "<s>", true), AddedToken::plain(1, "  ", false)];
        assert_eq!(split(&tokens, "<s>a  b", true), ["#0", "a", "#1", "b"]);
        assert_eq!(split(&tokens, "<s>a  b", false), ["<s>a", "#1", "b"]);
        assert_eq!(split(&[], "a", true), ["a"]);
        assert_eq!(split(&tokens, "", true), [""; 0]);
    }

    #[test]
    fn the_leftmost_and_longest_is_found_with_its_white_space() {
        let strip =
            AddedToken { left_strip: true, right_strip: true, ..AddedToken::plain(2, "<m>", true) };
        let word = AddedToken { single_word: true, ..AddedToken::plain(3, "ab", false) };
        let tokens =
            [AddedToken::plain(0, "<", true), AddedToken::plain(1, "<s", true), strip, word];
        assert_eq!(split(&tokens, "<s<", true), ["#1", "#0"]);
        assert_eq!(split(&tokens, "a \n<m> b<m>", true), ["a", "#2", "b", "#2"]);
        assert_eq!(split(&tokens, "ab cab ab_ -ab-", true), ["#3", " cab ab_ -", "#3", "-"]);
    }
}
