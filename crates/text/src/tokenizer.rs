//! Text to token ids and back, for tokenizers that are trained here and for those of other
//! models: byte-level BPE with any family's way of cutting words, SentencePiece's by scores, and
//! BPE over characters with bytes as a last resort.
//!
//! It learns the same merges, gives the same ids and writes the same file as the `tokenizers`
//! crate, see the tests, and no text and no file can make it slow.

mod added;
mod alphabet;
mod budget;
mod cut;
mod encoder;
mod engine;
mod gguf;
mod hf;
mod json;
mod learn;
mod merge;
mod normal;
mod pattern;
mod sentencepiece;
mod sorted;
mod stream;
mod train;
mod unigram;
mod vocab;
mod words;
mod written;

use added::AddedTokens;
use alphabet::from_alphabet;
use cut::Cut;
use engine::Engine;
use normal::Normal;
use vocab::Vocab;

pub use encoder::Encoder;
pub use hf::HfFiles;
pub use stream::StreamDecoder;
pub use vocab::Kind;
pub use words::words;

/// A tokenizer.
///
/// Special tokens stand for no text: text that happens to spell one is encoded as ordinary text,
/// unless [`Tokenizer::encode_with`] is told otherwise.
#[derive(Clone, PartialEq)]
pub struct Tokenizer {
    vocab: Vocab,
    /// The bytes of each token, one behind the other.
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends: Vec<u32>,
    engine: Engine,
    /// Looked for in the text as it is.
    added: AddedTokens,
    /// Made with the text between them.
    before: Vec<Normal>,
    /// Looked for after that.
    added_after: AddedTokens,
    /// Made with the text between those.
    after: Vec<Normal>,
    cuts: Vec<Cut>,
    /// Made with words spelled in the byte alphabet.
    spelled_cuts: Vec<Cut>,
    roles: Roles,
    /// How many spaces at the beginning of a decoded text are of no text: encoding puts one there,
    /// or takes them all away.
    strip_spaces: usize,
    /// Whether this is GPT-2's kind of tokenizer, which is all that [`Tokenizer::to_json`] writes.
    plain: bool,
}

/// Tokens with a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Roles {
    pub bos: Option<u32>,
    pub eos: u32,
    pub eot: Option<u32>,
    /// All that end a text, ascending.
    pub ends: Vec<u32>,
    /// Put before a text.
    pub prefix: Vec<u32>,
    /// Put behind a text.
    pub suffix: Vec<u32>,
    /// The text of an end token that is named and is none, where another takes its place.
    pub lacking_end: Option<String>,
}

impl Roles {
    fn all(&self) -> Vec<u32> {
        let lists = self.ends.iter().chain(&self.prefix).chain(&self.suffix);
        lists.chain(&self.bos).chain(&self.eot).chain([&self.eos]).copied().collect()
    }
}

/// Two tokens that are merged, in the byte alphabet.
pub type Pair = (String, String);

/// Why a tokenizer was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TokenizerError {
    /// Too few or too many tokens.
    #[error("tokenizer of {0} tokens, must be from {MIN_VOCAB} to {MAX_VOCAB}")]
    VocabSize(usize),
    /// The parts do not make a tokenizer.
    #[error("tokenizer: {0}")]
    Invalid(String),
    /// A kind of tokenizer that would be encoded differently here.
    #[error("tokenizer: {0} is not supported")]
    Unsupported(String),
    /// Loading it, or encoding a text with it, would take more than honest tokenizers need.
    #[error("tokenizer: its {part} would take more than {most} {unit} for {what}")]
    TooCostly {
        /// The part that asked for more than was left.
        part: &'static str,
        /// What all parts together may take.
        most: u64,
        /// `steps` or `bytes`.
        unit: &'static str,
        /// What it was for.
        what: String,
    },
}

impl Tokenizer {
    /// Number of tokens.
    #[expect(clippy::len_without_is_empty, reason = "a tokenizer has tokens")]
    pub fn len(&self) -> usize {
        self.vocab.len()
    }

    /// Id of the token that ends a text.
    pub fn end_of_text(&self) -> u32 {
        self.roles.eos
    }

    /// Id of the token that begins a text, if there is one; whether it is put there says
    /// [`Tokenizer::prefix`].
    pub fn bos(&self) -> Option<u32> {
        self.roles.bos
    }

    /// Id of the token that ends a turn of a conversation, if there is one.
    pub fn end_of_turn(&self) -> Option<u32> {
        self.roles.eot
    }

    /// All ids after which a model has said what it has to say, ascending.
    pub fn ends(&self) -> &[u32] {
        &self.roles.ends
    }

    /// The end token that `tokenizer_config.json` names and that is no token, where one that another
    /// file names by its id is taken instead: [`Tokenizer::end_of_text`].
    pub fn lacking_end(&self) -> Option<&str> {
        self.roles.lacking_end.as_deref()
    }

    /// Makes further ids end a text, as `generation_config.json` may say; also ids that only the
    /// model has.
    pub fn add_ends(&mut self, ids: &[u32]) {
        self.roles.ends.extend(ids);
        self.roles.ends.sort_unstable();
        self.roles.ends.dedup();
    }

    /// The ids that belong before every text that the model is to continue.
    pub fn prefix(&self) -> &[u32] {
        &self.roles.prefix
    }

    /// The ids that belong behind every whole text.
    pub fn suffix(&self) -> &[u32] {
        &self.roles.suffix
    }

    /// Whether a text begins with the BOS token.
    pub fn add_bos(&self) -> bool {
        self.roles.bos.is_some_and(|bos| self.roles.prefix.contains(&bos))
    }

    /// Whether a text is to begin with the BOS token, if there is one, and with nothing else.
    pub fn set_add_bos(&mut self, add: bool) {
        self.roles.prefix = self.roles.bos.filter(|_| add).into_iter().collect();
    }

    /// A token as it stands in files: in the byte alphabet if this is a byte-level tokenizer,
    /// special ones as they are.
    ///
    /// Panics: if there is no such id.
    pub fn token(&self, id: u32) -> &str {
        self.vocab.token(id)
    }

    /// All tokens by id, as [`Tokenizer::token`] gives them.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &str> {
        self.vocab.tokens()
    }

    /// The id of a token that is spelled like this in files.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.vocab.id(token)
    }

    /// What a token is for.
    pub fn kind(&self, id: u32) -> Kind {
        self.vocab.kind(id)
    }

    /// Whether an id is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        (id as usize) < self.vocab.len() && self.vocab.kind(id).is_special()
    }

    /// Pairs of tokens in the order in which they are merged; none if scores decide.
    pub fn merges(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        engine::as_pairs(self.engine.merges(), &self.vocab)
    }

    /// The kind of tokenizer, for people: `BPE, byte-level`, `SentencePiece, by scores`, …
    pub fn describe(&self) -> &'static str {
        match &self.engine {
            Engine::Merges(merges) if merges.options().byte_level => "BPE, byte-level",
            Engine::Merges(_) => "BPE, characters",
            Engine::Scores(_) => "SentencePiece, by scores",
            Engine::Unigram(_) => "SentencePiece, unigram",
        }
    }

    /// The ids of a text, special tokens as ordinary text, nothing put before or behind. To
    /// encode many texts, [`Tokenizer::encoder`] is faster.
    ///
    /// Errors: see [`Tokenizer::encode_with`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encode_with(text, false)
    }

    /// The ids of a text, nothing put before or behind; with `special`, text that spells a special
    /// token becomes that token. Tokens that were added without being special are always found.
    ///
    /// Errors: [`TokenizerError::TooCostly`] if a tokenizer's parts take more steps or bytes than
    /// a text of this length deserves; the same on every machine, and never for tokenizers that
    /// [`Tokenizer::train`] made.
    pub fn encode_with(&self, text: &str, special: bool) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        self.encoder().encode_with_into(text, special, &mut ids)?;
        Ok(ids)
    }

    /// The ids of what a model is to continue: [`Tokenizer::prefix`] and the text. A prefix that
    /// the text itself begins with (as chat templates write it) is not doubled.
    ///
    /// Errors: see [`Tokenizer::encode_with`].
    pub fn encode_prompt(&self, text: &str, special: bool) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = self.encode_with(text, special)?;
        if !ids.starts_with(&self.roles.prefix) {
            ids.splice(0..0, self.roles.prefix.iter().copied());
        }
        Ok(ids)
    }

    /// An encoder that remembers the words it has seen.
    pub fn encoder(&self) -> Encoder<'_> {
        Encoder::new(self)
    }

    /// The bytes that an id stands for; none for special tokens and ids that do not exist.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        if id >= self.ends.len() {
            return &[];
        }
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start as usize..self.ends[id] as usize]
    }

    /// Bytes of text that these ids stand for: the denominator of bits per byte.
    pub fn byte_len(&self, ids: &[u32]) -> usize {
        ids.iter().map(|&id| self.bytes(id).len()).sum()
    }

    /// The text of these ids, a whole text; what is not UTF-8 becomes U+FFFD. For pieces of a text
    /// in progress use [`StreamDecoder`].
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let spaces = text.bytes().take_while(|&byte| byte == b' ').count();
        text[spaces.min(self.strip_spaces)..].to_owned()
    }

    /// Puts a tokenizer together that changes and cuts nothing.
    fn new(vocab: Vocab, engine: Engine, roles: Roles) -> Result<Tokenizer, TokenizerError> {
        if let Some(id) = roles.all().into_iter().find(|&id| id as usize >= vocab.len()) {
            let text = format!("special token {id}, there are {} tokens", vocab.len());
            return Err(TokenizerError::Invalid(text));
        }
        let mut tokenizer = Tokenizer {
            vocab,
            bytes: Vec::new(),
            ends: Vec::new(),
            engine,
            added: AddedTokens::default(),
            before: Vec::new(),
            added_after: AddedTokens::default(),
            after: Vec::new(),
            cuts: Vec::new(),
            spelled_cuts: Vec::new(),
            roles,
            strip_spaces: 0,
            plain: false,
        };
        tokenizer.spell();
        Ok(tokenizer)
    }

    /// Writes down the bytes of every token.
    fn spell(&mut self) {
        let mut bytes = Vec::with_capacity(self.vocab.len() * 8);
        let mut ends = Vec::with_capacity(self.vocab.len());
        for (id, token) in self.vocab.tokens().enumerate() {
            match self.vocab.kind(id as u32) {
                Kind::Control | Kind::Unknown | Kind::Unused => {}
                Kind::Added if self.is_byte_level() => bytes.extend_from_slice(token.as_bytes()),
                Kind::Byte => bytes.extend(engine::byte_of(token)),
                Kind::Normal if self.is_byte_level() => match from_alphabet(token) {
                    Some(spelled) => bytes.extend(spelled),
                    None => bytes.extend_from_slice(token.as_bytes()),
                },
                Kind::Normal | Kind::Added => bytes.extend(token.replace(SPACE, " ").as_bytes()),
            }
            ends.push(bytes.len() as u32);
        }
        (self.bytes, self.ends) = (bytes, ends);
    }

    fn is_byte_level(&self) -> bool {
        matches!(&self.engine, Engine::Merges(merges) if merges.options().byte_level)
    }

    /// Whether a token is special or spelled in the byte alphabet.
    fn is_spelled(&self, id: u32) -> bool {
        self.is_special(id) || from_alphabet(self.token(id)).is_some()
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens, {} merges)", self.len(), self.merges().len())
    }
}

/// Spells the token that ends a text.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Smallest vocabulary that is trained: the bytes and one special token.
pub const MIN_VOCAB: usize = 257;
/// Largest vocabulary.
pub const MAX_VOCAB: usize = 1 << 20;
/// Longest token in bytes, as it stands in files; so ids never become more text than this each.
pub const MAX_TOKEN: usize = 1 << 12;
/// Most bytes of text read for training; more would not change the merges much and could
/// overflow the crate's 32-bit counts.
pub const MAX_TRAINING_BYTES: usize = 1 << 30;

/// What SentencePiece writes for a space.
const SPACE: &str = "\u{2581}";

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
