//! From a word to ids: by merges in the order in which they were learned, or by scores.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::alphabet::{letter, to_alphabet};
use super::budget::{Budget, Part};
use super::merge::{Merger, NONE, Symbol};
use super::unigram::Unigram;
use super::vocab::{Kind, Vocab};
use super::{Pair, TokenizerError};

/// How words become ids.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Engine {
    /// Byte-pair encoding by merges.
    Merges(Merges),
    /// SentencePiece's: the pair whose product has the highest score is joined first.
    Scores(Scores),
    /// SentencePiece's: the cut with the highest sum of scores.
    Unigram(Unigram),
}

/// Merges and what characters they start from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Merges {
    /// (left, right) to (rank, product).
    joins: HashMap<u64, (u32, u32), Mixing>,
    /// (left, right) by rank.
    order: Vec<(u32, u32)>,
    /// Ids of the bytes: of their letters, or of `<0x00>` … `<0xFF>`.
    bytes: Bytes,
    options: MergeOptions,
}

/// Scores by token, and the ids of the bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scores {
    pub scores: Vec<f32>,
    pub bytes: Bytes,
    /// What a character becomes that has neither token nor bytes; several that touch become one.
    pub unknown: Option<u32>,
}

/// What differs between byte-pair encoders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MergeOptions {
    /// Words are spelled in the byte alphabet; else they are characters.
    pub byte_level: bool,
    /// A word that is a token is that token.
    pub ignore_merges: bool,
    /// A character without a token becomes bytes.
    pub byte_fallback: bool,
    /// What a character becomes that is neither token nor bytes; else it is lost.
    pub unknown: Option<u32>,
    /// Unknown characters that touch become one.
    pub fuse_unknown: bool,
}

/// Ids by byte, [`NONE`] where there is none.
pub(super) type Bytes = Box<[u32; 256]>;

impl Engine {
    /// The pairs of ids that are merged, in order; none if this engine goes by scores.
    pub fn merges(&self) -> &[(u32, u32)] {
        match self {
            Engine::Merges(merges) => &merges.order,
            Engine::Scores(_) | Engine::Unigram(_) => &[],
        }
    }

    /// Appends the ids of a word.
    ///
    /// Panics: if the word is not UTF-8, unless this engine is byte-level.
    pub fn encode(
        &self,
        vocab: &Vocab,
        word: &[u8],
        merger: &mut Merger,
        ids: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        budget.step(Part::Merging, word.len() as u64 + 1)?;
        match self {
            Engine::Merges(merges) => merges.encode(vocab, word, merger, ids),
            Engine::Scores(scores) => scores.encode(vocab, as_text(word), merger, ids, budget),
            Engine::Unigram(unigram) => unigram.encode(vocab, as_text(word), ids, budget),
        }
    }
}

impl Merges {
    /// Takes merges in the order of their ranks; parts and products must be tokens. Of a pair
    /// that is there twice the first counts.
    pub fn new<'a>(
        vocab: &Vocab,
        merges: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
        options: MergeOptions,
    ) -> Result<Merges, TokenizerError> {
        if merges.len() > MAX_MERGES {
            let text = format!("{} merges, at most {MAX_MERGES} are read", merges.len());
            return Err(TokenizerError::Invalid(text));
        }
        let mut joins = HashMap::with_capacity_and_hasher(merges.len(), Mixing::default());
        let mut order = Vec::with_capacity(merges.len());
        let mut joined = String::new();
        for (rank, (left, right)) in merges.enumerate() {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            let ids = vocab.id(left).zip(vocab.id(right)).zip(vocab.id(&joined));
            let Some((pair, product)) = ids else {
                let text = format!("merge {rank} ({left:?}, {right:?}) is of unknown tokens");
                return Err(TokenizerError::Invalid(text));
            };
            // Text must not become a special token by merging.
            let special = [pair.0, pair.1, product].map(|id| vocab.kind(id).is_special());
            if special.contains(&true) {
                let text = format!("merge {rank} ({left:?}, {right:?}) is of a special token");
                return Err(TokenizerError::Invalid(text));
            }
            joins.entry(key(pair.0, pair.1)).or_insert((rank as u32, product));
            order.push(pair);
        }
        let bytes = if options.byte_level { letters(vocab) } else { byte_tokens(vocab) };
        Ok(Merges { joins, order, bytes, options })
    }

    /// How words become ids.
    pub fn options(&self) -> &MergeOptions {
        &self.options
    }

    fn encode(
        &self,
        vocab: &Vocab,
        word: &[u8],
        merger: &mut Merger,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        if self.options.ignore_merges {
            let known = match self.options.byte_level {
                true => vocab.id(&to_alphabet(word)),
                false => vocab.id(as_text(word)),
            };
            if let Some(id) = known.filter(|&id| !vocab.kind(id).is_special()) {
                ids.push(id);
                return Ok(());
            }
        }
        merger.symbols.clear();
        if self.options.byte_level {
            let letters = word.iter().map(|&byte| self.bytes[byte as usize]).enumerate();
            merger.symbols.extend(letters.map(|(at, id)| Symbol::new(id, at, at + 1)));
        } else {
            self.characters(vocab, as_text(word), &mut merger.symbols);
        }
        merger.run(|left, right| Ok(self.joins.get(&key(left.id, right.id)).copied()))?;
        for symbol in &merger.symbols {
            match symbol.id {
                NONE => ids.extend(self.options.unknown),
                id => ids.push(id),
            }
        }
        Ok(())
    }

    /// Characters as tokens, else as bytes, else as what is unknown.
    fn characters(&self, vocab: &Vocab, word: &str, symbols: &mut Vec<Symbol>) {
        for (at, c) in word.char_indices() {
            let end = at + c.len_utf8();
            if let Some(id) = vocab.id(&word[at..end]) {
                symbols.push(Symbol::new(id, at, end));
                continue;
            }
            let bytes = || (at..end).map(|i| (i, self.bytes[word.as_bytes()[i] as usize]));
            if self.options.byte_fallback && bytes().all(|(_, id)| id != NONE) {
                symbols.extend(bytes().map(|(i, id)| Symbol::new(id, i, i + 1)));
                continue;
            }
            let fuses =
                self.options.fuse_unknown && symbols.last().is_some_and(|last| last.id == NONE);
            match symbols.last_mut() {
                Some(last) if fuses => last.end = end as u32,
                _ => symbols.push(Symbol::new(NONE, at, end)),
            }
        }
    }
}

impl Scores {
    fn encode(
        &self,
        vocab: &Vocab,
        word: &str,
        merger: &mut Merger,
        ids: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        let text = |id: &u32| matches!(vocab.kind(*id), Kind::Normal | Kind::Added);
        merger.symbols.clear();
        merger.symbols.extend(word.char_indices().map(|(at, c)| {
            let end = at + c.len_utf8();
            let id = vocab.id(&word[at..end]).filter(text).unwrap_or(NONE);
            Symbol::new(id, at, end)
        }));
        merger.run(|left, right| {
            let product = &word[left.start as usize..right.end as usize];
            // Looking a token up reads all of it.
            budget.step(Part::Merging, product.len() as u64)?;
            let product = vocab.id(product).filter(text);
            Ok(product.map(|product| (descending(self.scores[product as usize]), product)))
        })?;
        let start = ids.len();
        for symbol in &merger.symbols {
            match symbol.id {
                NONE => {
                    let parts = word[symbol.start as usize..symbol.end as usize].bytes();
                    let known = parts.map(|byte| self.bytes[byte as usize]);
                    let before = ids.len();
                    ids.extend(known.filter(|&id| id != NONE));
                    let is_one_more = ids[start..].last() == self.unknown.as_ref();
                    if ids.len() == before && !is_one_more {
                        ids.extend(self.unknown);
                    }
                }
                id => ids.push(id),
            }
        }
        Ok(())
    }
}

fn as_text(word: &[u8]) -> &str {
    std::str::from_utf8(word).expect("only byte-level tokenizers cut characters apart")
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Hashes pairs of ids with a secret, so that no file can choose pairs that collide, and quickly.
#[derive(Debug, Clone)]
struct Mixing(u64, u64);

struct Mixer(u64, u64);

impl Default for Mixing {
    fn default() -> Mixing {
        let secret = RandomState::new();
        Mixing(secret.hash_one(1), secret.hash_one(2) | 1)
    }
}

impl BuildHasher for Mixing {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer(self.0, self.1)
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, x: u64) {
        let product = u128::from(x ^ self.0) * u128::from(self.1);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A number that is lower the higher the score.
fn descending(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // −0 is 0
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

/// Ids of the letters of the byte alphabet.
fn letters(vocab: &Vocab) -> Bytes {
    let mut ids = Box::new([NONE; 256]);
    for (byte, id) in ids.iter_mut().enumerate() {
        let token = letter(byte as u8).to_string();
        let known = vocab.id(&token).filter(|&id| !vocab.kind(id).is_special());
        *id = known.unwrap_or(NONE);
    }
    ids
}

/// Ids of `<0x00>` … `<0xFF>`.
pub(super) fn byte_tokens(vocab: &Vocab) -> Bytes {
    let mut ids = Box::new([NONE; 256]);
    for (byte, id) in ids.iter_mut().enumerate() {
        *id = vocab.id(&format!("<0x{byte:02X}>")).unwrap_or(NONE);
    }
    ids
}

/// The byte that `<0xAB>` stands for.
pub(super) fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let valid = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if valid { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// Splits `left right`, as merges stand in files; either part may begin with a space.
pub(super) fn split_merge(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?;
    let space = first.len_utf8() + merge[first.len_utf8()..].find(' ')?;
    Some((&merge[..space], &merge[space + 1..]))
}

/// Merges as pairs of texts.
pub(super) fn as_pairs<'a>(
    merges: &'a [(u32, u32)],
    vocab: &'a Vocab,
) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
    merges.iter().map(|&(left, right)| (vocab.token(left), vocab.token(right)))
}

/// Merges from pairs of texts.
pub(super) fn borrowed(merges: &[Pair]) -> impl ExactSizeIterator<Item = (&str, &str)> {
    merges.iter().map(|(left, right)| (left.as_str(), right.as_str()))
}

/// Most merges read.
const MAX_MERGES: usize = 1 << 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_scores_come_first() {
        let scores = [f32::MAX, 1.5, 1.0, 0.0, -0.5, -1e9, f32::MIN];
        assert!(scores.windows(2).all(|pair| descending(pair[0]) < descending(pair[1])));
        assert_eq!(descending(0.0), descending(-0.0));
    }

    #[test]
    fn byte_tokens_and_merges_are_read_strictly() {
        assert_eq!(byte_of("<0x0A>"), Some(10));
        assert_eq!([byte_of("<0x+A>"), byte_of("<0xA>"), byte_of("0x0A")], [None; 3]);
        assert_eq!(split_merge("a b"), Some(("a", "b")));
        assert_eq!(split_merge("  b"), Some((" ", "b")));
        assert_eq!([split_merge("ab"), split_merge("")], [None; 2]);
    }
}
