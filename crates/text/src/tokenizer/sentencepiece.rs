//! `tokenizer.model` of SentencePiece: unigram and BPE, with bytes for unknown characters, the
//! normalizer's rules, control pieces and symbols of the user.

mod charsmap;
mod proto;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::added::{AddedToken, AddedTokens};
use super::engine::{Bytes, Engine, Scores, byte_tokens};
use super::gguf::find_ends;
use super::hf::{Config, HfFiles, Named, json, optional_json, roles};
use super::merge::NONE;
use super::normal::Normal;
use super::unigram::Unigram;
use super::vocab::{Kind, Vocab};
use super::{MAX_VOCAB, Tokenizer, TokenizerError};
pub(super) use charsmap::Charsmap;
use proto::{ModelKind, ModelProto};

impl Tokenizer {
    /// Reads a tokenizer from a `tokenizer.model`, with the files beside it (`tokenizer.json` is
    /// not looked at). Anything that would be encoded differently is refused by name.
    ///
    /// A text begins with BOS, if there is one, unless `tokenizer_config.json` says otherwise.
    pub fn from_sentencepiece(
        model: &[u8],
        files: &HfFiles<'_>,
    ) -> Result<Tokenizer, TokenizerError> {
        let model = ModelProto::parse(model)?;
        check_supported(&model)?;
        let settings: Settings = optional_json("tokenizer_config.json", files.config)?;
        let more = more_tokens(&settings, files, &model)?;
        let mut vocab = vocab(&model, &more)?;
        let engine = engine(&model, &vocab)?;
        let ends = find_ends(&mut vocab, &|_| false);
        let stated = files.ends(vocab.len())?;
        let roles = roles_of(&model, &vocab, files, (ends, &stated))?;
        let mut tokenizer = Tokenizer::new(vocab, engine, roles)?;
        tokenizer.add_ends(&stated);
        tokenizer.strip_spaces = match model.normalizer.remove_extra_whitespaces {
            true => usize::MAX,
            false => usize::from(model.normalizer.add_dummy_prefix),
        };
        let of_kind = |wanted: &dyn Fn(Kind) -> bool| -> Vec<u32> {
            let ids = 0..model.pieces.len() as u32;
            ids.filter(|&id| wanted(tokenizer.kind(id)) && !more.contains_key(&id)).collect()
        };
        let plain = |id: u32, special: bool| AddedToken::plain(id, tokenizer.token(id), special);
        let symbols = of_kind(&|kind| kind == Kind::Added);
        let steers = of_kind(&|kind| matches!(kind, Kind::Control | Kind::Unknown));
        let steers = steers.into_iter().map(|id| plain(id, true));
        let before = more.iter().map(|(&id, token)| token.as_added(id)).chain(steers).collect();
        let after = symbols.iter().map(|&id| plain(id, false)).collect();
        let names = symbols.iter().map(|&id| tokenizer.token(id).to_owned()).collect();
        let map = charsmap(&model, &settings, names)?;
        tokenizer.added = AddedTokens::new(before)?;
        tokenizer.added_after = AddedTokens::new(after)?;
        tokenizer.before = vec![Normal::SentencePiece(Arc::new(map))];
        Ok(tokenizer)
    }
}

fn check_supported(model: &ModelProto<'_>) -> Result<(), TokenizerError> {
    let what = match model.trainer.kind {
        ModelKind::Word => "a SentencePiece model of words",
        ModelKind::Char => "a SentencePiece model of characters",
        _ if model.trainer.whitespace_as_suffix => "white space behind words",
        _ if model.denormalizes => "a denormalizer",
        _ => return Ok(()),
    };
    Err(TokenizerError::Unsupported(what.to_owned()))
}

/// What is read of `tokenizer_config.json` beside what other tokenizers have there.
#[derive(Deserialize, Default)]
struct Settings {
    legacy: Option<bool>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, More>,
}

/// A token that is no piece, or a piece with other properties.
#[derive(Deserialize, Clone)]
struct More {
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

impl More {
    fn as_added(&self, id: u32) -> AddedToken {
        AddedToken {
            left_strip: self.lstrip,
            right_strip: self.rstrip,
            single_word: self.single_word,
            ..AddedToken::plain(id, &self.content, self.special)
        }
    }
}

/// Tokens that the files beside the model add, by id.
fn more_tokens(
    settings: &Settings,
    files: &HfFiles<'_>,
    model: &ModelProto<'_>,
) -> Result<BTreeMap<u32, More>, TokenizerError> {
    let mut all = BTreeMap::new();
    let added: BTreeMap<String, u32> = optional_json("added_tokens.json", files.added)?;
    for (content, id) in added {
        let token =
            More { content, special: false, lstrip: false, rstrip: false, single_word: false };
        all.insert(id, token);
    }
    for (id, token) in &settings.added_tokens_decoder {
        let id = id.parse().map_err(|_| invalid(&format!("{id} is no id of an added token")))?;
        all.insert(id, token.clone());
    }
    for (&id, token) in &all {
        let piece = model.pieces.get(id as usize);
        if let Some(piece) = piece.filter(|piece| piece.text != token.content) {
            let (piece, token) = (piece.text, &token.content);
            return Err(invalid(&format!("id {id} is {piece:?} and {token:?}")));
        }
    }
    Ok(all)
}

/// Pieces and added tokens in the order of their ids; ids without a token are unused.
fn vocab(model: &ModelProto<'_>, more: &BTreeMap<u32, More>) -> Result<Vocab, TokenizerError> {
    let pieces = model.pieces.len();
    let count = more.last_key_value().map_or(0, |(&id, _)| id as usize + 1).max(pieces);
    if count == 0 || count > MAX_VOCAB {
        return Err(TokenizerError::VocabSize(count));
    }
    let names: Vec<String> = (pieces..count).map(|id| format!("[UNUSED_{id}]")).collect();
    let token = |id: usize| match (more.get(&(id as u32)), model.pieces.get(id)) {
        (Some(token), None) => {
            (token.content.as_str(), if token.special { Kind::Control } else { Kind::Added })
        }
        (Some(token), Some(piece)) if token.special && piece.kind != Kind::Unknown => {
            (piece.text, Kind::Control)
        }
        (_, Some(piece)) => (piece.text, piece.kind),
        (None, None) => (names[id - pieces].as_str(), Kind::Unused),
    };
    Vocab::new((0..count).map(token))
}

fn engine(model: &ModelProto<'_>, vocab: &Vocab) -> Result<Engine, TokenizerError> {
    let unknown = model.pieces.iter().position(|piece| piece.kind == Kind::Unknown);
    let unknown = unknown.ok_or_else(|| invalid("it has no unknown piece"))? as u32;
    if !model.pieces.iter().any(|piece| piece.kind == Kind::Normal) {
        return Err(invalid("none of its pieces is text"));
    }
    let bytes = if model.trainer.byte_fallback { Some(bytes_of(vocab)?) } else { None };
    let mut scores: Vec<f32> = model.pieces.iter().map(|piece| piece.score).collect();
    scores.resize(vocab.len(), 0.0);
    Ok(match model.trainer.kind {
        ModelKind::Bpe => {
            let bytes = bytes.unwrap_or_else(|| Box::new([NONE; 256]));
            Engine::Scores(Scores { scores, bytes, unknown: Some(unknown) })
        }
        _ => Engine::Unigram(Unigram::new(vocab, scores, unknown, bytes)),
    })
}

fn bytes_of(vocab: &Vocab) -> Result<Bytes, TokenizerError> {
    let bytes = byte_tokens(vocab);
    match (0..=255u8).find(|&byte| bytes[byte as usize] == NONE) {
        Some(byte) => Err(invalid(&format!("it has no piece <0x{byte:02X}>"))),
        None => Ok(bytes),
    }
}

fn roles_of(
    model: &ModelProto<'_>,
    vocab: &Vocab,
    files: &HfFiles<'_>,
    ends: (Vec<u32>, &[u32]),
) -> Result<super::Roles, TokenizerError> {
    let config: Config = optional_json("tokenizer_config.json", files.config)?;
    let special: Config = optional_json("special_tokens_map.json", files.special)?;
    let mut own = Config::default();
    let steers = |name: &str| vocab.id(name).filter(|&id| vocab.kind(id) == Kind::Control);
    let bos = steers(model.trainer.bos).filter(|_| !is_null(files.config, "bos_token"));
    own.bos_token = bos.map(|_| Named::Text(model.trainer.bos.to_owned()));
    own.eos_token = steers(model.trainer.eos).map(|_| Named::Text(model.trainer.eos.to_owned()));
    let configs = [&config, &special, &own];
    let named = configs.iter().find_map(|config| config.bos_token.as_ref());
    let prefix = named.and_then(|named| vocab.id(named.text())).into_iter().collect();
    roles((prefix, Vec::new()), vocab, &configs, ends)
}

/// Whether a file says that there is no such thing.
fn is_null(file: Option<&[u8]>, key: &str) -> bool {
    let value: Option<Value> = file.and_then(|bytes| json("tokenizer_config.json", bytes).ok());
    value.is_some_and(|value| value.get(key).is_some_and(Value::is_null))
}

fn charsmap(
    model: &ModelProto<'_>,
    settings: &Settings,
    symbols: Vec<String>,
) -> Result<Charsmap, TokenizerError> {
    let mut map = Charsmap::new(model.normalizer.charsmap, symbols)?;
    map.prefix = model.normalizer.add_dummy_prefix;
    map.first_only = settings.legacy == Some(false);
    map.squeeze = model.normalizer.remove_extra_whitespaces;
    map.escape = model.normalizer.escape_whitespaces;
    Ok(map)
}

/// What is wrong with the file.
fn invalid(what: &str) -> TokenizerError {
    TokenizerError::Invalid(format!("tokenizer.model: {what}"))
}
