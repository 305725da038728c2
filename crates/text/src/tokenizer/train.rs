//! Learning a tokenizer from texts, and putting one together from its parts.

use std::collections::HashMap;

use super::alphabet::to_alphabet;
use super::cut::Cut;
use super::engine::{Engine, MergeOptions, Merges, borrowed};
use super::gguf::added;
use super::learn::{Bounds, learn};
use super::vocab::{Kind, Vocab};
use super::words::words;
use super::{
    END_OF_TEXT, MAX_TOKEN, MAX_TRAINING_BYTES, MAX_VOCAB, MIN_VOCAB, Pair, Roles, Tokenizer,
    TokenizerError,
};

impl Tokenizer {
    /// Learns a tokenizer of at most `vocab_size` tokens from texts. The same texts, in any order,
    /// give the same tokenizer, byte for byte.
    ///
    /// Id 0 is [`END_OF_TEXT`], ids 1 to 256 the bytes, then the merges. Pairs seen once are not
    /// merged, so that little text gives fewer tokens than asked for. Reading stops after
    /// [`MAX_TRAINING_BYTES`].
    pub fn train<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        vocab_size: usize,
    ) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::train_told(texts, vocab_size, &mut |_| {})
    }

    /// The same; `learned` hears after each merge how many tokens there are.
    pub fn train_told<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        vocab_size: usize,
        learned: &mut dyn FnMut(usize),
    ) -> Result<Tokenizer, TokenizerError> {
        if !(MIN_VOCAB..=MAX_VOCAB).contains(&vocab_size) {
            return Err(TokenizerError::VocabSize(vocab_size));
        }
        let bounds = Bounds {
            tokens: vocab_size - 1, // without the special token, which is put in front below
            least_count: 2,
            longest: MAX_LETTERS,
        };
        let (texts, merges) = learn(&count_words(texts), &bounds, &mut |count| learned(count + 1));
        let mut tokens = vec![END_OF_TEXT.to_owned()];
        tokens.extend(texts);
        let special = tokens.iter().enumerate().map(|(id, _)| id == 0).collect();
        Tokenizer::from_parts(tokens, special, merges)
    }

    /// Puts a tokenizer together from its tokens by id (in the byte alphabet), which of them are
    /// special, and the merges, most frequent first. All 256 bytes must be tokens, every merge's
    /// parts and product too.
    pub fn from_parts(
        tokens: Vec<String>,
        special: Vec<bool>,
        merges: Vec<Pair>,
    ) -> Result<Tokenizer, TokenizerError> {
        check_sizes(tokens.len(), special.len())?;
        let kinds = special.iter().map(|&special| match special {
            true => Kind::Control,
            false => Kind::Normal,
        });
        let vocab = Vocab::new(tokens.iter().map(String::as_str).zip(kinds))?;
        let texts: Vec<&str> = tokens.iter().map(String::as_str).collect();
        check_parts(&texts, &special, borrowed(&merges), &vocab)?;
        let end = end_of_text(&texts, &special)?;
        let options = MergeOptions {
            byte_level: true,
            ignore_merges: false,
            byte_fallback: false,
            unknown: None,
            fuse_unknown: false,
        };
        let engine = Engine::Merges(Merges::new(&vocab, borrowed(&merges), options)?);
        let roles = Roles {
            bos: Some(end),
            eos: end,
            ends: vec![end],
            prefix: vec![end],
            ..Roles::default()
        };
        let mut tokenizer = Tokenizer::new(vocab, engine, roles)?;
        tokenizer.added = added(&tokenizer.vocab)?;
        tokenizer.cuts = vec![Cut::Words];
        tokenizer.plain = true;
        match (0..tokenizer.len() as u32).find(|&id| !tokenizer.is_spelled(id)) {
            Some(id) => Err(TokenizerError::Invalid(format!(
                "token {id} ({:?}) is not in the byte alphabet",
                tokenizer.token(id)
            ))),
            None => Ok(tokenizer),
        }
    }
}

/// Longest token that is learned, in letters of one or two bytes, so that none is refused.
const MAX_LETTERS: usize = MAX_TOKEN / 2;

fn count_words<'a>(texts: impl IntoIterator<Item = &'a str>) -> HashMap<&'a str, u64> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let mut read = 0;
    for text in texts {
        for piece in words(text).flat_map(pieces) {
            *counts.entry(piece).or_default() += 1;
        }
        read += text.len();
        if read >= MAX_TRAINING_BYTES {
            break;
        }
    }
    counts
}

/// A word in pieces of at most [`MAX_LEARNED`] bytes: for each join the trainer moves all that
/// stands behind it, so that a word of a megabyte would take a million times a megabyte.
fn pieces(mut word: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = word.split_at(word.floor_char_boundary(MAX_LEARNED));
        word = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Longest word that is learned from as a whole, in bytes.
const MAX_LEARNED: usize = 512;

/// Refuses parts that make no tokenizer of GPT-2's kind; `vocab` has the same tokens.
pub(super) fn check_parts<'a>(
    tokens: &[&str],
    special: &[bool],
    merges: impl Iterator<Item = (&'a str, &'a str)>,
    vocab: &Vocab,
) -> Result<(), TokenizerError> {
    check_sizes(tokens.len(), special.len())?;
    check_bytes(vocab)?;
    check_merges(merges)?;
    end_of_text(tokens, special).map(drop)
}

fn check_sizes(tokens: usize, special: usize) -> Result<(), TokenizerError> {
    match (MIN_VOCAB..=MAX_VOCAB).contains(&tokens) && special == tokens {
        true => Ok(()),
        false => Err(TokenizerError::VocabSize(tokens)),
    }
}

fn check_bytes(vocab: &Vocab) -> Result<(), TokenizerError> {
    for byte in 0..=255u8 {
        let known = vocab.id(&to_alphabet(&[byte]));
        if known.is_none_or(|id| vocab.kind(id) != Kind::Normal) {
            return Err(TokenizerError::Invalid(format!("no token for byte {byte}")));
        }
    }
    Ok(())
}

fn check_merges<'a>(
    merges: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), TokenizerError> {
    let mut seen = HashMap::new();
    for (rank, (a, b)) in merges.enumerate() {
        if seen.insert((a, b), rank).is_some() {
            let text = format!("merge {rank} ({a:?}, {b:?}) is there twice");
            return Err(TokenizerError::Invalid(text));
        }
    }
    Ok(())
}

/// The special token of that name, or else the first special token.
fn end_of_text(tokens: &[&str], special: &[bool]) -> Result<u32, TokenizerError> {
    let named = |id: &usize| special[*id] && tokens[*id] == END_OF_TEXT;
    let named = (0..tokens.len()).find(named);
    let end = named.or_else(|| special.iter().position(|&special| special));
    let end = end.ok_or_else(|| TokenizerError::Invalid("no special token".to_owned()))?;
    Ok(end as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins in a word move what stands behind them: at most its square. Steps, not seconds.
    #[test]
    fn a_word_of_a_megabyte_is_learned_from_in_bounded_pieces() {
        let long: String = (0..1 << 19).map(|i| ['ä', 'b', 'c'][i * i % 7 % 3]).collect();
        let counts = count_words([long.as_str()]);
        assert!(counts.keys().all(|piece| piece.len() <= MAX_LEARNED));
        let bytes: u64 = counts.iter().map(|(piece, n)| piece.len() as u64 * n).sum();
        assert_eq!(bytes, long.len() as u64, "nothing is lost");
        let steps: u64 = counts.keys().map(|piece| (piece.len() as u64).pow(2)).sum();
        assert!(steps <= (long.len() * MAX_LEARNED) as u64);
        assert_eq!(pieces(&long).collect::<String>(), long);
        let tokenizer = Tokenizer::train([long.as_str()], 300).expect("trains");
        let ids = tokenizer.encode(&long).expect("encodes");
        assert_eq!(tokenizer.decode(&ids), long);
        assert!(ids.len() < long.len());
    }
}
