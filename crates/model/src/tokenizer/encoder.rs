//! The way of a text through a tokenizer.

use std::collections::HashMap;

use super::Tokenizer;
use super::added::Part;
use super::alphabet::{from_alphabet, to_alphabet};
use super::cut::{Cut, cut_all};
use super::merge::Merger;
use super::normal::normalize;
use super::words::words;

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
    pub fn encode_into(&mut self, text: &str, ids: &mut Vec<u32>) {
        self.encode_with_into(text, false, ids);
    }

    /// Appends the ids of a text; see [`Tokenizer::encode_with`].
    pub fn encode_with_into(&mut self, text: &str, special: bool, ids: &mut Vec<u32>) {
        let tokenizer = self.tokenizer;
        if tokenizer.plain && !special {
            words(text).for_each(|word| self.word(word.as_bytes(), ids));
            return;
        }
        let mut first = true;
        for part in tokenizer.added.split(text, special) {
            match part {
                Part::Token(id) => ids.push(id),
                Part::Text(range) => self.normalized(&text[range], special, first, ids),
            }
            first = false;
        }
    }

    fn normalized(&mut self, text: &str, special: bool, first: bool, ids: &mut Vec<u32>) {
        let tokenizer = self.tokenizer;
        let text = normalize(&tokenizer.before, text, first);
        if tokenizer.added_after.is_empty() {
            return self.pieces(&text, first, ids);
        }
        let mut first = first;
        for part in tokenizer.added_after.split(&text, special) {
            match part {
                Part::Token(id) => ids.push(id),
                Part::Text(range) => self.pieces(&text[range], first, ids),
            }
            first = false;
        }
    }

    fn pieces(&mut self, text: &str, first: bool, ids: &mut Vec<u32>) {
        let tokenizer = self.tokenizer;
        let text = normalize(&tokenizer.after, text, first);
        if tokenizer.spelled_cuts.is_empty() {
            match tokenizer.cuts.as_slice() {
                [] => self.word(text.as_bytes(), ids),
                [Cut::Words] => words(&text).for_each(|word| self.word(word.as_bytes(), ids)),
                cuts => {
                    let pieces = cut_all(cuts, &text).into_iter();
                    pieces.for_each(|word| self.word(&text.as_bytes()[word], ids));
                }
            }
            return;
        }
        for piece in cut_all(&tokenizer.cuts, &text) {
            let spelled = to_alphabet(&text.as_bytes()[piece]);
            for word in cut_all(&tokenizer.spelled_cuts, &spelled) {
                let word = from_alphabet(&spelled[word]).expect("it was just spelled");
                self.word(&word, ids);
            }
        }
    }

    fn word(&mut self, word: &[u8], ids: &mut Vec<u32>) {
        if let Some(known) = self.words.get(word) {
            ids.extend_from_slice(known);
            return;
        }
        let start = ids.len();
        self.tokenizer.engine.encode(&self.tokenizer.vocab, word, &mut self.merger, ids);
        if word.len() <= MAX_CACHED_WORD && self.words.len() < MAX_CACHED_WORDS {
            self.words.insert(word.into(), ids[start..].to_vec());
        }
    }
}

const MAX_CACHED_WORD: usize = 64;
const MAX_CACHED_WORDS: usize = 1 << 17;
