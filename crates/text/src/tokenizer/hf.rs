//! Tokenizers of Hugging Face folders: `tokenizer.json` of any kind that is understood, with
//! `tokenizer_config.json`, `special_tokens_map.json` and `generation_config.json` beside it.

pub(super) mod parts;

use serde::Deserialize;
use serde_json::Value;

use super::added::{AddedToken, AddedTokens};
use super::budget::{Budget, Part};
use super::cut::Cut;
use super::engine::{Engine, MergeOptions, Merges, split_merge};
use super::gguf::{TURN_ENDS, find_ends};
use super::json::is_plain;
use super::normal::{Normal, normalize};
use super::pattern::{Pattern, PatternError};
use super::vocab::{Kind, Vocab};
use super::{MAX_VOCAB, Roles, Tokenizer, TokenizerError};
use parts::{Added, File, Model, PreTokenizer};

/// The files of a tokenizer, as bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct HfFiles<'a> {
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`.
    pub config: Option<&'a [u8]>,
    /// `special_tokens_map.json`.
    pub special: Option<&'a [u8]>,
    /// `generation_config.json`.
    pub generation: Option<&'a [u8]>,
    /// `config.json`, which names end tokens too.
    pub model: Option<&'a [u8]>,
    /// `added_tokens.json`, which is read beside a `tokenizer.model`.
    pub added: Option<&'a [u8]>,
}

impl Tokenizer {
    /// Reads a tokenizer from the contents of its files: BPE, byte-level or over characters, with
    /// the normalizers, pre-tokenizers and templates that decoders' tokenizers have. What would be
    /// encoded differently is refused by name.
    ///
    /// Whether texts begin with BOS and end with EOS is said by `add_bos_token` and
    /// `add_eos_token` of the configuration if either is there, else by the template.
    pub fn from_hf(files: &HfFiles<'_>) -> Result<Tokenizer, TokenizerError> {
        let file: File = json("tokenizer.json", files.tokenizer)?;
        let config: Config = optional_json("tokenizer_config.json", files.config)?;
        let special: Config = optional_json("special_tokens_map.json", files.special)?;
        let mut vocab = vocab(&file.model, &file.added_tokens)?;
        let mut budget = Budget::for_load(files.tokenizer.len());
        let chain = Chain::new(&file, &mut budget)?;
        let engine = Engine::Merges(merges(&file.model, &vocab, chain.byte_level)?);
        let ends = find_ends(&mut vocab, &|name| is_product(&file.model, name));
        let around = file.template(&mut budget)?;
        let stated = files.ends(vocab.len())?;
        let roles = roles(around, &vocab, &[&config, &special], (ends, &stated))?;
        let mut tokenizer = Tokenizer::new(vocab, engine, roles)?;
        tokenizer.add_ends(&stated);
        tokenizer.strip_spaces = usize::from(strips_space(file.decoder.as_ref()));
        chain.put_into(&mut tokenizer, &file.added_tokens, &mut budget)?;
        // What would be written as it was read.
        tokenizer.plain = tokenizer.is_byte_level()
            && tokenizer.cuts == [Cut::Words]
            && is_plain(&file, &tokenizer);
        Ok(tokenizer)
    }
}

impl HfFiles<'_> {
    /// The end tokens that `generation_config.json` and `config.json` name, in that order, for a
    /// tokenizer of so many tokens.
    ///
    /// Errors: ids that neither the tokenizer nor the model has.
    pub(super) fn ends(&self, tokens: usize) -> Result<Vec<u32>, TokenizerError> {
        let model: Generation = optional_json("config.json", self.model)?;
        let generation: Generation = optional_json("generation_config.json", self.generation)?;
        let of_text = model.text_config.as_deref();
        let size = model.vocab_size.or(of_text.and_then(|text| text.vocab_size));
        let most = size.unwrap_or(0).max(tokens);
        let mut ends = Vec::new();
        let files = [("generation_config.json", Some(&generation)), ("config.json", Some(&model))];
        for (name, file) in files.into_iter().chain([("config.json", of_text)]) {
            let Some(file) = file else { continue };
            // What begins a text says the tokenizer's configuration; here it only has to exist.
            ids(name, "bos_token_id", &file.bos_token_id, most)?;
            ends.extend(ids(name, "eos_token_id", &file.eos_token_id, most)?);
        }
        Ok(ends)
    }
}

/// The ids under a key: one, several or none, all below `most`.
fn ids(file: &str, key: &str, value: &Value, most: usize) -> Result<Vec<u32>, TokenizerError> {
    let values = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    let id = |value: &Value| match value.as_u64().filter(|&id| id < most as u64) {
        Some(id) => Ok(id as u32),
        None => Err(invalid(format!("{file}: {key} is {value}, ids are below {most}"))),
    };
    values.iter().map(id).collect()
}

/// What is done with a text before merging.
#[derive(Default)]
struct Chain {
    before: Vec<Normal>,
    after: Vec<Normal>,
    cuts: Vec<Cut>,
    spelled_cuts: Vec<Cut>,
    byte_level: bool,
}

impl Chain {
    fn new(file: &File, budget: &mut Budget) -> Result<Chain, TokenizerError> {
        let mut chain = Chain::default();
        if let Some(normalizer) = &file.normalizer {
            normalizer.steps(&mut chain.before)?;
        }
        let all = file.pre_tokenizer.iter().flat_map(PreTokenizer::flatten);
        for (number, part) in all.enumerate() {
            chain.add(part, number == 0, budget)?;
        }
        Ok(chain)
    }

    fn add(
        &mut self,
        part: &PreTokenizer,
        first: bool,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        match part {
            PreTokenizer::ByteLevel { .. } if self.byte_level => {
                return Err(unsupported("two byte-level pre-tokenizers"));
            }
            PreTokenizer::ByteLevel { add_prefix_space, use_regex } => {
                if *add_prefix_space && !first {
                    return Err(unsupported("a prefix space for every word"));
                }
                if *add_prefix_space {
                    self.after.push(Normal::PrependOnce { text: " ".to_owned(), first: false });
                }
                self.cuts.extend(use_regex.then_some(Cut::Words));
                self.byte_level = true;
            }
            PreTokenizer::Metaspace(metaspace) => {
                if !first {
                    return Err(unsupported("a Metaspace that is not the first pre-tokenizer"));
                }
                self.after.extend(metaspace.normals());
                self.cuts.extend(metaspace.cut(budget).map_err(refused)?);
            }
            other => {
                // Behind the byte-level one, words are spelled in the byte alphabet. ASCII is
                // the same there, so cuts at ASCII need no spelling.
                let cut = other.cut(budget).map_err(refused)?;
                let plain = !self.byte_level || (other.is_ascii() && self.spelled_cuts.is_empty());
                if plain { &mut self.cuts } else { &mut self.spelled_cuts }.push(cut);
            }
        }
        Ok(())
    }

    fn put_into(
        self,
        tokenizer: &mut Tokenizer,
        added: &[Added],
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        let whole = |added: &Added| AddedToken {
            id: added.id,
            content: added.content.clone(),
            special: added.special,
            left_strip: added.lstrip,
            right_strip: added.rstrip,
            single_word: added.single_word,
        };
        let (normalized, raw): (Vec<&Added>, Vec<&Added>) =
            added.iter().partition(|added| added.normalized && !self.before.is_empty());
        tokenizer.added = AddedTokens::new(raw.into_iter().map(whole).collect())?;
        let normalized = normalized.into_iter().map(|added| {
            let content = normalize(&self.before, &added.content, true, budget)?;
            Ok(AddedToken { content: content.into_owned(), ..whole(added) })
        });
        tokenizer.added_after = AddedTokens::new(normalized.collect::<Result<_, _>>()?)?;
        tokenizer.before = self.before;
        tokenizer.after = self.after;
        tokenizer.cuts = self.cuts;
        tokenizer.spelled_cuts = self.spelled_cuts;
        Ok(())
    }
}

/// Tokens in the order of their ids; ids without a token are unused.
fn vocab(model: &Model, added: &[Added]) -> Result<Vocab, TokenizerError> {
    let ids = model.vocab.0.iter().map(|(_, id)| *id).chain(added.iter().map(|added| added.id));
    let count = ids.max().map_or(0, |max| max as usize + 1);
    if count == 0 || count > MAX_VOCAB {
        return Err(TokenizerError::VocabSize(count));
    }
    let mut tokens: Vec<Option<(&str, Kind)>> = vec![None; count];
    for (token, id) in &model.vocab.0 {
        let byte = model.byte_fallback && super::engine::byte_of(token).is_some();
        let kind = if byte { Kind::Byte } else { Kind::Normal };
        if let Some((other, _)) = tokens[*id as usize].replace((token, kind)) {
            return Err(invalid(format!("id {id} is {other:?} and {token:?}")));
        }
    }
    for added in added {
        let kind = if added.special { Kind::Control } else { Kind::Added };
        match tokens[added.id as usize].replace((&added.content, kind)) {
            Some((other, _)) if other != added.content => {
                return Err(invalid(format!(
                    "id {} is {other:?} and {:?}",
                    added.id, added.content
                )));
            }
            _ => {}
        }
    }
    let names: Vec<String> = (0..count)
        .map(|id| match tokens[id] {
            None => format!("[UNUSED_{id}]"),
            Some(("", _)) => format!("[EMPTY_{id}]"),
            Some(_) => String::new(),
        })
        .collect();
    let all = tokens.iter().zip(&names).map(|(token, name)| match token {
        Some((text, kind)) if !text.is_empty() => (*text, *kind),
        _ => (name.as_str(), Kind::Unused),
    });
    Vocab::new(all)
}

fn merges(model: &Model, vocab: &Vocab, byte_level: bool) -> Result<Merges, TokenizerError> {
    model.check_supported()?;
    let unknown = match &model.unk_token {
        None => None,
        Some(token) => {
            let id = vocab.id(token);
            Some(id.ok_or_else(|| invalid(format!("the unknown token {token:?} is no token")))?)
        }
    };
    let options = MergeOptions {
        byte_level,
        ignore_merges: model.ignore_merges,
        byte_fallback: model.byte_fallback,
        unknown,
        fuse_unknown: model.fuse_unk,
    };
    let pairs = model.merges.iter().enumerate().map(|(rank, merge)| {
        merge.pair().ok_or_else(|| invalid(format!("merge {rank} is not two tokens")))
    });
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    Merges::new(vocab, pairs.into_iter(), options)
}

/// Whether a merge makes this token, so that it is text.
fn is_product(model: &Model, token: &str) -> bool {
    let made = |(left, right): (&str, &str)| token.strip_prefix(left) == Some(right);
    model.merges.iter().filter_map(|merge| merge.pair()).any(made)
}

/// Tokens with a task, from the configurations (the first that names one counts) and the template.
/// Where the configurations name an end token that is none, the first of those `stated` by id that
/// is one takes its place.
pub(super) fn roles(
    around: (Vec<u32>, Vec<u32>),
    vocab: &Vocab,
    configs: &[&Config],
    (mut ends, stated): (Vec<u32>, &[u32]),
) -> Result<Roles, TokenizerError> {
    let named = |name: fn(&Config) -> Option<&Named>| {
        configs.iter().find_map(|config| name(config)).map(Named::text)
    };
    let bos = named(|config| config.bos_token.as_ref());
    let bos = match bos.map(|text| (text, vocab.id(text))) {
        // One that is not put before texts has no task, and many models name one that they lack.
        Some((text, None)) if configs[0].add_bos_token == Some(true) => {
            return Err(invalid(format!("bos_token is {text:?}, which is no token")));
        }
        bos => bos.and_then(|(_, id)| id),
    };
    let no_token = |text| invalid(format!("eos_token is {text:?}, which is no token"));
    let eos_text = named(|config| config.eos_token.as_ref());
    let lacking = eos_text.filter(|text| vocab.id(text).is_none());
    let is_token = |id: u32| (id as usize) < vocab.len() && vocab.kind(id) != Kind::Unused;
    let eos = match lacking {
        None => eos_text.and_then(|text| vocab.id(text)),
        Some(text) => {
            let other = stated.iter().copied().find(|&id| is_token(id));
            Some(other.ok_or_else(|| no_token(text))?)
        }
    };
    let eot = TURN_ENDS.iter().find_map(|name| vocab.id(name));
    ends.extend(eos.into_iter().chain(eot));
    ends.sort_unstable();
    ends.dedup();
    let eos = eos.or(eot).or(ends.first().copied());
    let eos = eos.ok_or_else(|| invalid("no token ends a text".to_owned()))?;
    let (mut prefix, mut suffix) = around;
    let config = configs[0];
    if config.add_bos_token.is_some() || config.add_eos_token.is_some() {
        prefix = bos.filter(|_| config.add_bos_token == Some(true)).into_iter().collect();
        suffix = if config.add_eos_token == Some(true) { vec![eos] } else { Vec::new() };
    }
    let bos = bos.or(prefix.first().copied());
    let lacking_end = lacking.map(str::to_owned);
    Ok(Roles { bos, eos, eot, ends, prefix, suffix, lacking_end })
}

/// Whether decoding takes the first space away.
fn strips_space(decoder: Option<&Value>) -> bool {
    let Some(decoder) = decoder else { return false };
    match decoder["type"].as_str() {
        Some("Sequence") => {
            let parts = decoder["decoders"].as_array().into_iter().flatten();
            parts.take(16).any(|part| part["type"] != "Sequence" && strips_space(Some(part)))
        }
        Some("Strip") => decoder["start"] == 1 && decoder["content"] == " ",
        Some("Metaspace") => decoder["prepend_scheme"] != "never",
        _ => false,
    }
}

/// What is read of `tokenizer_config.json` and `special_tokens_map.json`.
#[derive(Deserialize, Default)]
pub(super) struct Config {
    pub bos_token: Option<Named>,
    pub eos_token: Option<Named>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
}

/// A token by its text, alone or with its properties.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Named {
    Text(String),
    Token { content: String },
}

impl Named {
    pub fn text(&self) -> &str {
        match self {
            Named::Text(text) | Named::Token { content: text } => text,
        }
    }
}

/// What is read of `generation_config.json` and `config.json`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Generation {
    bos_token_id: Value,
    eos_token_id: Value,
    vocab_size: Option<usize>,
    /// Of the text model in one that also sees.
    text_config: Option<Box<Generation>>,
}

pub(super) fn optional_json<T: Default + for<'a> Deserialize<'a>>(
    name: &str,
    bytes: Option<&[u8]>,
) -> Result<T, TokenizerError> {
    bytes.map_or_else(|| Ok(T::default()), |bytes| json(name, bytes))
}

pub(super) fn json<T: for<'a> Deserialize<'a>>(
    name: &str,
    bytes: &[u8],
) -> Result<T, TokenizerError> {
    if bytes.len() > MAX_JSON {
        return Err(invalid(format!(
            "{name} of {} bytes, at most {MAX_JSON} are read",
            bytes.len()
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| invalid(format!("{name}: {error}")))
}

fn invalid(text: String) -> TokenizerError {
    TokenizerError::Invalid(text)
}

fn unsupported(text: &str) -> TokenizerError {
    TokenizerError::Unsupported(text.to_owned())
}

fn refused(error: PatternError) -> TokenizerError {
    match error {
        PatternError::Unknown(text) => TokenizerError::Unsupported(text),
        PatternError::TooCostly(error) => error,
    }
}

const MAX_JSON: usize = 1 << 27;

#[cfg(test)]
mod tests;
