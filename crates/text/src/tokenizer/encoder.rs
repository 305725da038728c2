//! The way of a text through a tokenizer.

use std::collections::HashMap;

use super::added::Part;
use super::alphabet::{from_alphabet, to_alphabet};
use super::budget::{self, Budget};
use super::cut::{Cut, cut_all};
use super::merge::Merger;
use super::normal::normalize;
use super::words::words;
use super::{Tokenizer, TokenizerError};

/// Encodes texts with a bounded memory of words already encoded.
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    words: HashMap<Box<[u8]>, Vec<u32>>,
    merger: Merger,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Encoder<'a> {
        Encoder { tokenizer, words: HashMap::new(), merger: Merger::default() }
    }

    /// Appends the ids of a text, special tokens as ordinary text.
    ///
    /// Errors: see [`Tokenizer::encode_with`]; then some ids may have been appended.
    pub fn encode_into(&mut self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        self.encode_with_into(text, false, ids)
    }

    /// Appends the ids of a text; see [`Tokenizer::encode_with`].
    pub fn encode_with_into(
        &mut self,
        text: &str,
        special: bool,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let mut budget = Budget::for_text(text.len());
        self.encode_within(text, special, ids, &mut budget)
    }

    pub(super) fn encode_within(
        &mut self,
        text: &str,
        special: bool,
        ids: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        let tokenizer = self.tokenizer;
        if tokenizer.plain && !special {
            return words(text).try_for_each(|word| self.word(word.as_bytes(), ids, budget));
        }
        let mut first = true;
        for part in tokenizer.added.split(text, special, budget)? {
            match part {
                Part::Token(id) => ids.push(id),
                Part::Text(range) => self.normalized(&text[range], special, first, ids, budget)?,
            }
            first = false;
        }
        Ok(())
    }

    fn normalized(
        &mut self,
        text: &str,
        special: bool,
        first: bool,
        ids: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        let tokenizer = self.tokenizer;
        let text = normalize(&tokenizer.before, text, first, budget)?;
        if tokenizer.added_after.is_empty() {
            return self.pieces(&text, first, ids, budget);
        }
        let mut first = first;
        for part in tokenizer.added_after.split(&text, special, budget)? {
            match part {
                Part::Token(id) => ids.push(id),
                Part::Text(range) => self.pieces(&text[range], first, ids, budget)?,
            }
            first = false;
        }
        Ok(())
    }

    fn pieces(
        &mut self,
        text: &str,
        first: bool,
        ids: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        let tokenizer = self.tokenizer;
        let text = normalize(&tokenizer.after, text, first, budget)?;
        if tokenizer.spelled_cuts.is_empty() {
            return match tokenizer.cuts.as_slice() {
                [] => self.word(text.as_bytes(), ids, budget),
                [Cut::Words] => {
                    words(&text).try_for_each(|word| self.word(word.as_bytes(), ids, budget))
                }
                cuts => {
                    let mut pieces = cut_all(cuts, &text, budget)?.into_iter();
                    pieces.try_for_each(|word| self.word(&text.as_bytes()[word], ids, budget))
                }
            };
        }
        for piece in cut_all(&tokenizer.cuts, &text, budget)? {
            let spelled = to_alphabet(&text.as_bytes()[piece]);
            budget.write(budget::Part::PreTokenizers, spelled.len() as u64)?;
            for word in cut_all(&tokenizer.spelled_cuts, &spelled, budget)? {
                let word = from_alphabet(&spelled[word]).expect("it was just spelled");
                self.word(&word, ids, budget)?;
            }
        }
        Ok(())
    }

    fn word(
        &mut self,
        word: &[u8],
        ids: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        if let Some(known) = self.words.get(word) {
            budget.step(budget::Part::Merging, word.len() as u64 + 1)?;
            ids.extend_from_slice(known);
            return Ok(());
        }
        let (start, vocab) = (ids.len(), &self.tokenizer.vocab);
        self.tokenizer.engine.encode(vocab, word, &mut self.merger, ids, budget)?;
        if word.len() <= MAX_CACHED_WORD && self.words.len() < MAX_CACHED_WORDS {
            self.words.insert(word.into(), ids[start..].to_vec());
        }
        Ok(())
    }
}

const MAX_CACHED_WORD: usize = 64;
const MAX_CACHED_WORDS: usize = 1 << 17;
