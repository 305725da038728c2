//! What a model is, as data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ids::Hash;
use model::FormatError;
use model::decoder::Family;
use model::weights::{Origin, TensorInfo};
use serde::Serialize;

use crate::Opened;
use progress::{Counter, Tell, Work};

/// What the headers of a model say.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// As it was named.
    pub model: String,
    /// Its format.
    pub format: &'static str,
    /// Its root, where it has one.
    pub root: Option<Hash>,
    /// What it computes.
    pub architecture: Told<Architecture>,
    /// Elements of all tensors.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// The same for each element type.
    pub types: Vec<Type>,
    /// What turns text into its tokens.
    pub tokenizer: Told<TokenizerFacts>,
    /// Names and lengths of its chat templates.
    pub chat_templates: BTreeMap<String, usize>,
    /// The files it lies in; for a model of a store none.
    pub files: Vec<PathBuf>,
    /// What its files say beside the tensors.
    pub metadata: BTreeMap<String, String>,
    /// What a model of its format has and this one has not.
    pub missing: Vec<&'static str>,
    /// Why it is not run, where its description is understood.
    pub refused: Option<String>,
    /// All tensors, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorFacts>,
}

/// Something that is known, or why not.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Told<T> {
    /// It is known.
    Known(T),
    /// Why it is not.
    Unknown {
        /// The reason.
        error: String,
    },
}

/// The sizes of a decoder.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // as in `model::Decoder`
pub struct Architecture {
    pub family: Family,
    pub layers: usize,
    pub dim: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub ffn: usize,
    pub vocab: usize,
    pub context: usize,
    pub tied: bool,
    pub cache_bytes_per_token: u64,
}

/// An element type of some tensors.
#[derive(Debug, Clone, Serialize)]
pub struct Type {
    /// Its name.
    #[serde(rename = "type")]
    pub element: &'static str,
    /// How many tensors have it.
    pub tensors: usize,
    /// Their elements.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is to say of a tokenizer.
#[derive(Debug, Clone, Serialize)]
pub struct TokenizerFacts {
    /// Its kind, for people.
    pub kind: &'static str,
    /// How many tokens it has.
    pub tokens: usize,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// Whether it is put there.
    pub add_bos: bool,
    /// The tokens that end a text.
    pub ends: Vec<u32>,
    /// The end token that is named and is no token, where another takes its place.
    pub lacking_end: Option<String>,
}

/// What is to say of a tensor.
#[derive(Debug, Clone, Serialize)]
pub struct TensorFacts {
    /// Its name.
    pub name: String,
    /// Its element type.
    #[serde(rename = "type")]
    pub element: &'static str,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Its bytes.
    pub bytes: u64,
    /// Their BLAKE3.
    pub blake3: Hash,
}

/// Inspects a model; with `tensors` each tensor is read and hashed.
///
/// Errors: a tensor cannot be read, or is not what the root says.
pub fn inspect(
    model: &Opened,
    tensors: bool,
    tell: &mut Tell<'_>,
) -> Result<Inspection, FormatError> {
    let all = || model.weights().tensors().values();
    let tensors = if tensors { hashed(model, tell)? } else { Vec::new() };
    model.weights().check_unchanged()?;
    let templates = model.templates().unwrap_or_default();
    let templates = templates.iter().map(|(name, source)| (name.to_owned(), source.len()));
    let own = matches!(model.weights().origin(), Origin::Own(_));
    let files = model.weights().files().filter(|_| !own).map(Path::to_owned);
    Ok(Inspection {
        model: model.name().to_owned(),
        format: model.kind(),
        root: model.root(),
        architecture: told(model.decoder().map(|decoder| architecture(&decoder))),
        parameters: all().map(TensorInfo::elements).sum(),
        bytes: all().map(|tensor| tensor.bytes).sum(),
        types: types(model),
        tokenizer: told(model.tokenizer().map(|tokenizer| TokenizerFacts {
            kind: tokenizer.describe(),
            tokens: tokenizer.len(),
            bos: tokenizer.bos(),
            add_bos: tokenizer.add_bos(),
            ends: tokenizer.ends().to_vec(),
            lacking_end: tokenizer.lacking_end().map(str::to_owned),
        })),
        chat_templates: templates.collect(),
        files: files.collect(),
        metadata: model.metadata().into_iter().collect(),
        missing: model.missing(),
        refused: model.refusal(),
        tensors,
    })
}

/// Every tensor with its hash.
fn hashed(model: &Opened, tell: &mut Tell<'_>) -> Result<Vec<TensorFacts>, FormatError> {
    let mut count = Counter::new(Work::Hashing, model.bytes(), tell);
    let mut read = |n| count.add(n);
    let mut facts = |tensor: &TensorInfo| {
        model.check_tensor(tensor, &mut read)?;
        let known = model.known_hash(tensor);
        Ok(TensorFacts {
            name: tensor.name.clone(),
            element: tensor.element.name,
            shape: tensor.shape.clone(),
            bytes: tensor.bytes,
            blake3: known.map_or_else(|| model.hash(tensor, &mut read), Ok)?,
        })
    };
    model.weights().tensors().values().map(&mut facts).collect()
}

fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> Told<T> {
    match result {
        Ok(known) => Told::Known(known),
        Err(error) => Told::Unknown { error: error.to_string() },
    }
}

fn architecture(d: &model::Decoder) -> Architecture {
    Architecture {
        family: d.family,
        layers: d.layers.len(),
        dim: d.dim,
        heads: d.heads,
        kv_heads: d.kv_heads,
        head_dim: d.head_dim,
        ffn: d.ffn,
        vocab: d.vocab,
        context: d.context,
        tied: d.tied,
        cache_bytes_per_token: d.cache_bytes_per_token(),
    }
}

fn types(model: &Opened) -> Vec<Type> {
    let mut types: BTreeMap<&'static str, Type> = BTreeMap::new();
    for tensor in model.weights().tensors().values() {
        let element = tensor.element.name;
        let empty = Type { element, tensors: 0, parameters: 0, bytes: 0 };
        let entry = types.entry(element).or_insert(empty);
        entry.tensors += 1;
        entry.parameters += tensor.elements();
        entry.bytes += tensor.bytes;
    }
    types.into_values().collect()
}
