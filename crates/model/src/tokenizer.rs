//! Byte-level BPE: text to token ids and back, without loss.
//!
//! The merges are learned and applied by the `tokenizers` crate; cutting text into words is ours,
//! because the crate's regular expression is slow and can give up on hostile text. Both give the
//! same ids, see the tests.

mod json;
mod words;

use std::collections::HashMap;
use std::sync::LazyLock;

use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, BpeBuilder, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

pub use words::words;

/// A byte-level BPE tokenizer in the manner of GPT-2.
///
/// Every text has an encoding, and decoding gives the text back. Special tokens stand for no
/// text: text that happens to spell one is encoded as ordinary text.
#[derive(Clone)]
pub struct Tokenizer {
    /// Per id: the token in the byte alphabet, or a special token as it is.
    tokens: Vec<String>,
    /// Per id: the bytes it stands for; none for special tokens.
    bytes: Vec<Vec<u8>>,
    special: Vec<bool>,
    merges: Vec<Pair>,
    end: u32,
    bpe: BPE,
}

/// Two tokens that are merged, in the byte alphabet.
pub type Pair = (String, String);

/// Why a tokenizer was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TokenizerError {
    /// Too few or too many tokens.
    #[error("tokenizer of {0} tokens, must be from {MIN_VOCAB} to {MAX_VOCAB}")]
    VocabSize(usize),
    /// Learning merges failed.
    #[error("tokenizer training: {0}")]
    Training(String),
    /// The parts do not make a byte-level BPE tokenizer.
    #[error("tokenizer: {0}")]
    Invalid(String),
}

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
        if !(MIN_VOCAB..=MAX_VOCAB).contains(&vocab_size) {
            return Err(TokenizerError::VocabSize(vocab_size));
        }
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab_size - 1) // without the special token, which is put in front below
            .min_frequency(2)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .build();
        let counts = count_words(texts).into_iter();
        let counts = counts.map(|(word, count)| (to_alphabet(word.as_bytes()).into(), count));
        let mut bpe = BPE::default();
        let trained = trainer.do_train(&counts.collect(), &mut bpe);
        trained.map_err(|error| TokenizerError::Training(error.to_string()))?;
        let (learned, merges) = json::vocab_and_merges(&bpe)?;
        let mut tokens = vec![END_OF_TEXT.to_owned()];
        tokens.extend(learned);
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
        if !(MIN_VOCAB..=MAX_VOCAB).contains(&tokens.len()) || special.len() != tokens.len() {
            return Err(TokenizerError::VocabSize(tokens.len()));
        }
        let bytes = tokens.iter().zip(&special).enumerate().map(|(id, (token, &special))| {
            if special { Ok(Vec::new()) } else { from_alphabet(token).ok_or((id, token)) }
        });
        let bytes: Vec<Vec<u8>> = bytes.collect::<Result<_, _>>().map_err(|(id, token)| {
            TokenizerError::Invalid(format!("token {id} ({token:?}) is not in the byte alphabet"))
        })?;
        let ids = index(&tokens, &special)?;
        check_merges(&ids, &special, &merges)?;
        let end = end_of_text(&tokens, &special)?;
        let vocab = ids.into_iter().map(|(token, id)| (token.to_owned(), id));
        let bpe = BpeBuilder::new()
            .vocab_and_merges(vocab.collect::<tokenizers::models::bpe::Vocab>(), merges.clone())
            .cache_capacity(0)
            .build();
        let bpe = bpe.map_err(|error| TokenizerError::Invalid(error.to_string()))?;
        Ok(Tokenizer { tokens, bytes, special, merges, end, bpe })
    }

    /// Number of tokens.
    #[expect(clippy::len_without_is_empty, reason = "a tokenizer has at least the bytes")]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Id of the token that ends a text.
    pub fn end_of_text(&self) -> u32 {
        self.end
    }

    /// Tokens by id: in the byte alphabet, special ones as they are.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Whether an id is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    /// Pairs of tokens in the order in which they are merged.
    pub fn merges(&self) -> &[Pair] {
        &self.merges
    }

    /// The ids of a text. To encode many texts, [`Tokenizer::encoder`] is faster.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.encoder().encode_into(text, &mut ids);
        ids
    }

    /// An encoder that remembers the words it has seen.
    pub fn encoder(&self) -> Encoder<'_> {
        Encoder { tokenizer: self, words: HashMap::new() }
    }

    /// The bytes that an id stands for; none for special tokens and ids that do not exist.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], |bytes| bytes)
    }

    /// Bytes of text that these ids stand for: the denominator of bits per byte.
    pub fn byte_len(&self, ids: &[u32]) -> usize {
        ids.iter().map(|&id| self.bytes(id).len()).sum()
    }

    /// The text of these ids; what is not UTF-8 becomes U+FFFD. For pieces of a text in progress
    /// use [`StreamDecoder`].
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl PartialEq for Tokenizer {
    fn eq(&self, other: &Tokenizer) -> bool {
        (&self.tokens, &self.special, &self.merges)
            == (&other.tokens, &other.special, &other.merges)
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens, {} merges)", self.tokens.len(), self.merges.len())
    }
}

/// Encodes texts with a bounded memory of words already encoded.
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    words: HashMap<String, Vec<u32>>,
}

impl Encoder<'_> {
    /// Appends the ids of a text.
    pub fn encode_into(&mut self, text: &str, ids: &mut Vec<u32>) {
        for word in words(text) {
            if let Some(known) = self.words.get(word) {
                ids.extend_from_slice(known);
                continue;
            }
            let start = ids.len();
            let found = self.tokenizer.bpe.tokenize(&to_alphabet(word.as_bytes()));
            let found = found.expect("every byte is a token, so no word is unknown");
            ids.extend(found.iter().map(|token| token.id));
            if word.len() <= MAX_CACHED_WORD && self.words.len() < MAX_CACHED_WORDS {
                self.words.insert(word.to_owned(), ids[start..].to_vec());
            }
        }
    }
}

/// Turns a stream of ids into text without cutting characters in half.
#[derive(Debug, Default, Clone)]
pub struct StreamDecoder {
    pending: Vec<u8>,
}

impl StreamDecoder {
    /// The text that is certain after this id; bytes that can never be UTF-8 become U+FFFD, an
    /// unfinished character is held back.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        self.pending.extend_from_slice(tokenizer.bytes(id));
        let mut text = String::new();
        let (mut held, mut read) = (0, 0);
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            let bad = chunk.invalid();
            read += chunk.valid().len() + bad.len();
            if read == self.pending.len() && unfinished(bad) {
                held = bad.len();
            } else if !bad.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..self.pending.len() - held);
        text
    }

    /// What is left at the end, as lossy text.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Whether bytes that are no UTF-8 are the beginning of a character.
fn unfinished(bad: &[u8]) -> bool {
    std::str::from_utf8(bad).is_err_and(|error| error.error_len().is_none())
}

fn count_words<'a>(texts: impl IntoIterator<Item = &'a str>) -> HashMap<&'a str, u64> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let mut read = 0;
    for text in texts {
        for word in words(text) {
            *counts.entry(word).or_default() += 1;
        }
        read += text.len();
        if read >= MAX_TRAINING_BYTES {
            break;
        }
    }
    counts
}

/// Ids by token; refuses duplicates and missing bytes.
fn index<'a>(
    tokens: &'a [String],
    special: &[bool],
) -> Result<HashMap<&'a str, u32>, TokenizerError> {
    let mut ids = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if ids.insert(token.as_str(), id as u32).is_some() {
            return Err(TokenizerError::Invalid(format!("token {id} ({token:?}) is there twice")));
        }
    }
    for byte in 0..=255u8 {
        let known = ids.get(to_alphabet(&[byte]).as_str());
        if known.is_none_or(|&id| special[id as usize]) {
            return Err(TokenizerError::Invalid(format!("no token for byte {byte}")));
        }
    }
    Ok(ids)
}

/// Merges only join ordinary tokens to ordinary tokens, else text could become a special token.
fn check_merges(
    ids: &HashMap<&str, u32>,
    special: &[bool],
    merges: &[Pair],
) -> Result<(), TokenizerError> {
    let mut seen = HashMap::with_capacity(merges.len());
    let ordinary = |token: &str| ids.get(token).is_some_and(|&id| !special[id as usize]);
    for (rank, (a, b)) in merges.iter().enumerate() {
        let known = ordinary(a) && ordinary(b) && ordinary(&format!("{a}{b}"));
        if !known || seen.insert((a, b), rank).is_some() {
            let text = format!("merge {rank} ({a:?}, {b:?}) is unknown or there twice");
            return Err(TokenizerError::Invalid(text));
        }
    }
    Ok(())
}

/// The special token of that name, or else the first special token.
fn end_of_text(tokens: &[String], special: &[bool]) -> Result<u32, TokenizerError> {
    let named = |id: &usize| special[*id] && tokens[*id] == END_OF_TEXT;
    let end = (0..tokens.len()).find(named).or_else(|| special.iter().position(|&s| s));
    let end = end.ok_or_else(|| TokenizerError::Invalid("no special token".to_owned()))?;
    Ok(end as u32)
}

/// Each byte as one printable character, GPT-2's way.
fn to_alphabet(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| ALPHABET[byte as usize]).collect()
}

fn from_alphabet(token: &str) -> Option<Vec<u8>> {
    token.chars().map(|c| BYTES.get(&c).copied()).collect()
}

/// Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 onwards.
static ALPHABET: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 0x100u32;
    let mut alphabet = ['\0'; 256];
    for (byte, c) in alphabet.iter_mut().enumerate() {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if printable { byte as u32 } else { next };
        next += u32::from(!printable);
        *c = char::from_u32(code).expect("below the surrogates");
    }
    alphabet
});

static BYTES: LazyLock<HashMap<char, u8>> =
    LazyLock::new(|| (0..=255u8).map(|byte| (ALPHABET[byte as usize], byte)).collect());

/// Spells the token that ends a text.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Smallest vocabulary: the bytes and one special token.
pub const MIN_VOCAB: usize = 257;
/// Largest vocabulary.
pub const MAX_VOCAB: usize = 1 << 20;
/// Most bytes of text read for training; more would not change the merges much and could
/// overflow the crate's 32-bit counts.
pub const MAX_TRAINING_BYTES: usize = 1 << 30;

const MAX_CACHED_WORD: usize = 64;
const MAX_CACHED_WORDS: usize = 1 << 17;

#[cfg(test)]
mod tests;
