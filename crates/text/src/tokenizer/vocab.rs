//! Tokens by id and ids by token.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::TokenizerError;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text.
    Normal,
    /// Stands for text that is unknown.
    Unknown,
    /// Steers the model; stands for no text.
    Control,
    /// Text that is looked for before anything else is.
    Added,
    /// In the vocabulary, never used.
    Unused,
    /// One byte, for characters without a token.
    Byte,
}

impl Kind {
    /// Whether text that happens to spell the token must not become it.
    pub fn is_special(self) -> bool {
        matches!(self, Kind::Control | Kind::Unknown | Kind::Unused)
    }
}

/// Texts by id, packed one behind the other, with an index of ids by text.
#[derive(Clone)]
pub(super) struct Vocab {
    text: String,
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    /// Open addressing: (id, part of the hash), [`EMPTY`] where there is none; a power of two, at
    /// most half full.
    slots: Vec<(u32, u32)>,
    /// Keyed at random, so that no file can choose tokens that collide.
    hasher: RandomState,
}

impl Vocab {
    /// Takes tokens in the order of their ids. A token that is there twice is refused.
    pub fn new<'a>(
        tokens: impl IntoIterator<Item = (&'a str, Kind)>,
    ) -> Result<Vocab, TokenizerError> {
        let (mut text, mut ends, mut kinds) = (String::new(), Vec::new(), Vec::new());
        for (token, kind) in tokens {
            if token.len() > super::MAX_TOKEN {
                let text = format!(
                    "token {} of {} bytes, at most {} are read",
                    ends.len(),
                    token.len(),
                    super::MAX_TOKEN
                );
                return Err(TokenizerError::Invalid(text));
            }
            text.push_str(token);
            if ends.len() == super::MAX_VOCAB || text.len() > MAX_TEXT {
                return Err(TokenizerError::VocabSize(ends.len() + 1));
            }
            ends.push(text.len() as u32);
            kinds.push(kind);
        }
        let slots = vec![(EMPTY, 0); (2 * ends.len()).next_power_of_two()];
        let mut vocab = Vocab { text, ends, kinds, slots, hasher: RandomState::new() };
        for id in 0..vocab.len() as u32 {
            vocab.insert(id)?;
        }
        Ok(vocab)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The token of an id, which must exist.
    pub fn token(&self, id: u32) -> &str {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        &self.text[start..self.ends[id] as usize]
    }

    /// All tokens in the order of their ids.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len() as u32).map(|id| self.token(id))
    }

    /// What a token is for; ids that do not exist are unused.
    pub fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Unused)
    }

    pub fn set_kind(&mut self, id: u32, kind: Kind) {
        self.kinds[id as usize] = kind;
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        let (slot, _) = self.slot(token);
        let (id, _) = self.slots[slot];
        (id != EMPTY).then_some(id)
    }

    fn insert(&mut self, id: u32) -> Result<(), TokenizerError> {
        let (slot, tag) = self.slot(self.token(id));
        if self.slots[slot].0 != EMPTY {
            let text = format!("token {id} ({:?}) is there twice", self.token(id));
            return Err(TokenizerError::Invalid(text));
        }
        self.slots[slot] = (id, tag);
        Ok(())
    }

    /// Where a token is or would be, and the part of its hash that is kept there.
    fn slot(&self, token: &str) -> (usize, u32) {
        let mask = self.slots.len() - 1;
        let hash = self.hasher.hash_one(token);
        let (mut at, tag) = (hash as usize & mask, (hash >> 32) as u32);
        loop {
            let (id, known) = self.slots[at];
            if id == EMPTY || (known == tag && self.token(id) == token) {
                return (at, tag);
            }
            at = (at + 1) & mask;
        }
    }
}

impl PartialEq for Vocab {
    fn eq(&self, other: &Vocab) -> bool {
        (&self.text, &self.ends, &self.kinds) == (&other.text, &other.ends, &other.kinds)
    }
}

const EMPTY: u32 = u32::MAX;
/// Most bytes of all tokens together.
const MAX_TEXT: usize = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_token_and_no_other() {
        let words: Vec<String> = (0..1000).map(|i| format!("w{}", i * 7919)).collect();
        let vocab = Vocab::new(words.iter().map(|word| (word.as_str(), Kind::Normal)));
        let vocab = vocab.expect("no duplicates");
        for (id, word) in words.iter().enumerate() {
            assert_eq!(vocab.id(word), Some(id as u32));
            assert_eq!(vocab.token(id as u32), word);
        }
        assert_eq!(vocab.id("w1"), None);
        assert_eq!(vocab.id(""), None);
        assert_eq!(vocab.kind(1000), Kind::Unused);
    }

    #[test]
    fn refuses_a_token_that_is_there_twice() {
        let twice = Vocab::new([("a", Kind::Normal), ("b", Kind::Normal), ("a", Kind::Control)]);
        assert!(twice.is_err_and(|error| error.to_string().contains("token 2")));
        assert_eq!(Vocab::new([]).expect("empty").id("a"), None);
    }
}
