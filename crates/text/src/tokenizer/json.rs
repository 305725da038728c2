//! The `tokenizer.json` of the `tokenizers` library.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, ModelWrapper};

use super::{END_OF_TEXT, Pair, Tokenizer, TokenizerError};

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
        let ids = self.tokens().enumerate();
        let vocab: Vocab = ids.map(|(id, token)| (token.to_owned(), id as u32)).collect();
        let merges = self.merges().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        let bpe = BpeBuilder::new().vocab_and_merges(vocab, merges).cache_capacity(0).build();
        let bpe = bpe.map_err(|error| TokenizerError::Invalid(error.to_string()))?;
        let byte_level = ByteLevel::new(false, false, true);
        let mut out = tokenizers::Tokenizer::new(ModelWrapper::BPE(bpe));
        out.with_pre_tokenizer(Some(byte_level));
        out.with_decoder(Some(byte_level));
        let special = (0..self.len() as u32).filter(|&id| self.is_special(id));
        let added = special.map(|id| AddedToken::from(self.token(id).to_owned(), true));
        out.add_special_tokens(added.collect::<Vec<_>>())
            .expect("tokens that are in the vocabulary can be marked special");
        if begins {
            out.with_post_processor(Some(self.beginning()?));
        }
        Ok(out.to_string(false).expect("a tokenizer in memory can be written as JSON"))
    }

    /// What puts the token that begins a text before it.
    fn beginning(&self) -> Result<TemplateProcessing, TokenizerError> {
        let (id, token) = (self.end_of_text(), self.token(self.end_of_text()));
        let invalid = |error: String| TokenizerError::Invalid(format!("{token:?}: {error}"));
        let mut template = TemplateProcessing::builder();
        template.try_single(vec![token.to_owned(), "$A".to_owned()]).map_err(invalid)?;
        template.special_tokens(vec![(token.to_owned(), id)]);
        template.build().map_err(|error| invalid(error.to_string()))
    }

    /// Reads a `tokenizer.json` of a byte-level BPE tokenizer with GPT-2's way of cutting words.
    /// Anything else is refused by name: it would encode differently.
    pub fn from_json(json: &[u8]) -> Result<Tokenizer, TokenizerError> {
        if json.len() > MAX_JSON {
            let text = format!("json of {} bytes, at most {MAX_JSON} are read", json.len());
            return Err(TokenizerError::Invalid(text));
        }
        let file: File = serde_json::from_slice(json)
            .map_err(|error| TokenizerError::Invalid(format!("json: {error}")))?;
        file.check_supported()?;
        let (tokens, special) = place(file.model.vocab, &file.added_tokens)?;
        let merges = file.model.merges.into_iter().map(Merge::split).collect::<Option<Vec<_>>>();
        let merges = merges.ok_or_else(|| {
            TokenizerError::Invalid("a merge is not two tokens with a space between".to_owned())
        })?;
        Tokenizer::from_parts(tokens, special, merges)
    }
}

/// Tokens by id and merges in order of a trained model.
pub(super) fn vocab_and_merges(bpe: &BPE) -> Result<(Vec<String>, Vec<Pair>), TokenizerError> {
    let json = serde_json::to_vec(bpe).expect("a model in memory can be written as JSON");
    let model: Model = serde_json::from_slice(&json)
        .map_err(|error| TokenizerError::Training(format!("json: {error}")))?;
    let (tokens, _) = place(model.vocab, &[])?;
    let merges = model.merges.into_iter().filter_map(Merge::split).collect();
    Ok((tokens, merges))
}

/// Tokens in the order of their ids, which must be 0 to n − 1.
fn place(
    vocab: BTreeMap<String, u32>,
    added: &[Added],
) -> Result<(Vec<String>, Vec<bool>), TokenizerError> {
    let mut by_id: BTreeMap<u32, (String, bool)> = BTreeMap::new();
    let all = vocab.into_iter().map(|(token, id)| (id, token, false));
    let added = added.iter().map(|added| (added.id, added.content.clone(), true));
    for (id, token, special) in all.chain(added) {
        let entry = by_id.entry(id).or_insert_with(|| (token.clone(), special));
        let known = entry.0 == token && (special || entry.1 == special);
        if !known {
            return Err(TokenizerError::Invalid(format!("id {id} is {:?} and {token:?}", entry.0)));
        }
        entry.1 |= special;
    }
    let dense = by_id.keys().enumerate().all(|(i, &id)| i == id as usize);
    if !dense {
        return Err(TokenizerError::Invalid(format!("ids of {} tokens have gaps", by_id.len())));
    }
    Ok(by_id.into_values().unzip())
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Part>,
    pre_tokenizer: Option<Part>,
    post_processor: Option<Part>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    special: bool,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default = "yes")]
    add_prefix_space: bool,
    #[serde(default = "yes")]
    use_regex: bool,
    #[serde(default)]
    single: Vec<BTreeMap<String, serde_json::Value>>,
}

impl Part {
    /// Whether a post-processor leaves the ids of a text alone: byte-level ones change offsets
    /// only, and `transformers` saves a template of just the text.
    fn adds_nothing(&self) -> bool {
        let just_text = self.single.len() == 1 && self.single[0].contains_key("Sequence");
        self.kind == "ByteLevel" || (self.kind == "TemplateProcessing" && just_text)
    }

    /// Whether it puts before a text what we put there, as exports say.
    fn begins_as_we_do(&self) -> bool {
        let [first, text] = self.single.as_slice() else { return false };
        let token = first.get("SpecialToken").map(|token| &token["id"]);
        let is_end = token.is_some_and(|id| id == END_OF_TEXT);
        self.kind == "TemplateProcessing" && is_end && text.contains_key("Sequence")
    }
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: BTreeMap<String, u32>,
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Text(String),
}

impl Merge {
    fn split(self) -> Option<(String, String)> {
        match self {
            Merge::Pair(a, b) => Some((a, b)),
            Merge::Text(text) => {
                let (a, b) = text.split_once(' ')?;
                Some((a.to_owned(), b.to_owned()))
            }
        }
    }
}

impl File {
    /// Refuses what would make this tokenizer encode differently from ours.
    fn check_supported(&self) -> Result<(), TokenizerError> {
        let unsupported =
            |what: String| Err(TokenizerError::Invalid(format!("{what} is not supported")));
        let model = &self.model;
        if let Some(kind) = model.kind.as_ref().filter(|kind| *kind != "BPE") {
            return unsupported(format!("model {kind:?}"));
        }
        let affix = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let affixes = affix(&model.continuing_subword_prefix) || affix(&model.end_of_word_suffix);
        let dropout = model.dropout.is_some_and(|p| p != 0.0);
        if affixes || dropout || model.byte_fallback || model.ignore_merges {
            return unsupported("prefix, suffix, dropout, byte fallback or ignored merges".into());
        }
        if let Some(normalizer) = &self.normalizer {
            return unsupported(format!("normalizer {:?}", normalizer.kind));
        }
        match &self.pre_tokenizer {
            Some(part) if part.kind == "ByteLevel" && part.use_regex && !part.add_prefix_space => {}
            Some(part) => return unsupported(format!("pre-tokenizer {:?} as set", part.kind)),
            None => return unsupported("no pre-tokenizer".into()),
        }
        let known = |part: &Part| part.adds_nothing() || part.begins_as_we_do();
        if let Some(part) = self.post_processor.as_ref().filter(|part| !known(part)) {
            return unsupported(format!("post-processor {:?}", part.kind));
        }
        match self.added_tokens.iter().find(|added| !added.special) {
            Some(added) => {
                unsupported(format!("added token {:?} that is not special", added.content))
            }
            None => Ok(()),
        }
    }
}

fn yes() -> bool {
    true
}

const MAX_JSON: usize = 1 << 27;
