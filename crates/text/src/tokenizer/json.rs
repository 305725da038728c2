//! The `tokenizer.json` of the `tokenizers` library, read where it is of GPT-2's kind.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{END_OF_TEXT, Tokenizer, TokenizerError};

impl Tokenizer {
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
