//! A tokenizer as `tokenizer.json`, byte for byte as the `tokenizers` library writes it.

use serde::{Serialize, Serializer};

use super::{Tokenizer, TokenizerError};

impl Tokenizer {
    /// The `tokenizer.json` that `transformers` and the `tokenizers` library load. The same
    /// tokenizer always gives the same bytes. It says nothing of what begins a text.
    ///
    /// Errors: tokenizers of another kind than GPT-2's are not written.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        self.write(false)
    }

    /// [`Tokenizer::to_json`] that also begins a text as this tokenizer does, for programs that
    /// know no more of a model than its files.
    pub fn to_hugging_face(&self) -> Result<String, TokenizerError> {
        self.write(self.add_bos())
    }

    /// Whether [`Tokenizer::to_json`], or another program's format, can hold this tokenizer.
    pub fn check_writable(&self) -> Result<(), TokenizerError> {
        if self.plain {
            return Ok(());
        }
        let text = format!("writing a tokenizer of the kind {:?}", self.describe());
        Err(TokenizerError::Unsupported(text))
    }

    fn write(&self, begins: bool) -> Result<String, TokenizerError> {
        self.check_writable()?;
        let special = (0..self.len() as u32).filter(|&id| self.is_special(id));
        let file = File {
            version: "1.0",
            truncation: None,
            padding: None,
            added_tokens: special.map(|id| Added::new(id, self.token(id))).collect(),
            normalizer: None,
            pre_tokenizer: BYTE_LEVEL,
            post_processor: begins.then(|| Template::of(self.end_of_text(), self)),
            decoder: BYTE_LEVEL,
            model: Model {
                kind: "BPE",
                dropout: None,
                unk_token: None,
                continuing_subword_prefix: None,
                end_of_word_suffix: None,
                fuse_unk: false,
                byte_fallback: false,
                ignore_merges: false,
                vocab: self,
                merges: self,
            },
        };
        Ok(serde_json::to_string(&file).expect("a tokenizer in memory can be written as JSON"))
    }
}

#[derive(Serialize)]
struct File<'a> {
    version: &'static str,
    truncation: Option<()>,
    padding: Option<()>,
    added_tokens: Vec<Added<'a>>,
    normalizer: Option<()>,
    pre_tokenizer: ByteLevel,
    post_processor: Option<Template<'a>>,
    decoder: ByteLevel,
    model: Model<'a>,
}

#[derive(Serialize)]
struct Added<'a> {
    id: u32,
    content: &'a str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl<'a> Added<'a> {
    fn new(id: u32, content: &'a str) -> Self {
        let (single_word, lstrip, rstrip, normalized) = (false, false, false, false);
        Self { id, content, single_word, lstrip, rstrip, normalized, special: true }
    }
}

#[derive(Serialize)]
struct ByteLevel {
    #[serde(rename = "type")]
    kind: &'static str,
    add_prefix_space: bool,
    trim_offsets: bool,
    use_regex: bool,
}

const BYTE_LEVEL: ByteLevel =
    ByteLevel { kind: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: true };

/// What puts a token before a text.
#[derive(Serialize)]
struct Template<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    single: [TemplateItem<'a>; 2],
    pair: [TemplateItem<'a>; 2],
    #[serde(serialize_with = "as_map")]
    special_tokens: (&'a str, Special<'a>),
}

#[derive(Serialize)]
enum TemplateItem<'a> {
    SpecialToken { id: &'a str, type_id: u32 },
    Sequence { id: &'a str, type_id: u32 },
}

#[derive(Serialize)]
struct Special<'a> {
    id: &'a str,
    ids: [u32; 1],
    tokens: [&'a str; 1],
}

impl<'a> Template<'a> {
    fn of(id: u32, tokenizer: &'a Tokenizer) -> Self {
        let token = tokenizer.token(id);
        Self {
            kind: "TemplateProcessing",
            single: [
                TemplateItem::SpecialToken { id: token, type_id: 0 },
                TemplateItem::Sequence { id: "A", type_id: 0 },
            ],
            pair: [
                TemplateItem::Sequence { id: "A", type_id: 0 },
                TemplateItem::Sequence { id: "B", type_id: 1 },
            ],
            special_tokens: (token, Special { id: token, ids: [id], tokens: [token] }),
        }
    }
}

fn as_map<S: Serializer>((key, value): &(&str, Special), to: S) -> Result<S::Ok, S::Error> {
    to.collect_map([(key, value)])
}

#[derive(Serialize)]
struct Model<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: Option<()>,
    unk_token: Option<()>,
    continuing_subword_prefix: Option<()>,
    end_of_word_suffix: Option<()>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    #[serde(serialize_with = "vocab")]
    vocab: &'a Tokenizer,
    #[serde(serialize_with = "merges")]
    merges: &'a Tokenizer,
}

fn vocab<S: Serializer>(tokenizer: &Tokenizer, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(tokenizer.tokens().zip(0u32..))
}

fn merges<S: Serializer>(tokenizer: &Tokenizer, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(tokenizer.merges())
}
