//! A model of any kind, opened without its weights: what its headers say, and the way to its
//! tensors.

use std::collections::BTreeMap;
use std::path::Path;

use ids::{Hash, ObjectRef};
use model::gguf;
use model::weights::{Origin, Place, SmallFiles, TensorInfo};
use model::{Decoder, ElementType, FormatError, Plan, Weights, families};
use store::{GGUF_METADATA, MODEL_REF, ModelManifest, Store};
use text::Tokenizer;
use text::chat::ChatTemplates;

use crate::names::{files_at, store_at};
use crate::{EngineError, metadata, tokenizer};

/// An opened model.
pub struct Opened {
    name: String,
    weights: Weights,
    stored: Option<Stored>,
}

/// What is known of a model that has a root.
struct Stored {
    root: Hash,
    /// The BLAKE3 of each tensor.
    hashes: BTreeMap<String, Hash>,
    /// Of a model that is trained here.
    tokenizer: Option<Tokenizer>,
}

impl Opened {
    /// Opens what `name` means: a `.gguf` file, a Hugging Face folder, a folder with one GGUF, the
    /// newest model of a store, or `FOLDER@ROOT`. `None` if there is no model of any kind.
    pub fn open(name: &str) -> Result<Option<Opened>, EngineError> {
        let (path, root) = split_root(name);
        if root.is_none()
            && let Some(files) = files_at(Path::new(path))?
        {
            return Opened::files(name, &files).map(Some);
        }
        let Some(store) = store_at(Path::new(path))? else { return Ok(None) };
        let root = match root {
            Some(root) => root,
            None => store.get_ref(MODEL_REF)?.ok_or_else(|| {
                let text = format!("no finished round in {}", store.root().display());
                let todo =
                    "wait for the first round to be decided, or name a root with FOLDER@ROOT";
                FormatError::refused(text, todo)
            })?,
        };
        Opened::stored(name, &store, root).map(Some)
    }

    /// Opens a file or folder of another program.
    pub fn files(name: &str, path: &Path) -> Result<Opened, EngineError> {
        let weights = Weights::open(path)?;
        Ok(Opened { name: name.to_owned(), weights, stored: None })
    }

    /// Opens the model `root` of a store.
    ///
    /// Errors: a part of it is missing, damaged, or not what the manifest says.
    pub fn stored(name: &str, store: &Store, root: Hash) -> Result<Opened, EngineError> {
        let manifest = ModelManifest::load(store, &root)?;
        let (origin, tokenizer) = match &manifest.files {
            None => {
                let decoder: Decoder = serde_json::from_str(&manifest.architecture)
                    .map_err(|error| FormatError::new(format!("model {root}: {error}")))?;
                let json = store.get(&manifest.tokenizer.hash)?;
                (Origin::Own(decoder), Some(Tokenizer::from_json(&json)?))
            }
            Some(_) => (foreign_origin(store, &manifest)?, None),
        };
        let places = manifest.tensors.iter().map(|entry| {
            let element = element_of(&entry.dtype).ok_or_else(|| {
                FormatError::new(format!("tensor {}: no type {}", entry.name, entry.dtype))
            })?;
            let sizes = entry.shape.iter().map(|&n| usize::try_from(n)).collect();
            let shape: Result<Vec<usize>, _> = sizes;
            let shape = shape.map_err(|_| FormatError::new("a shape of too many elements"))?;
            let lies = store.whereabouts(&entry.data.hash)?;
            let (path, offset) = (lies.path, lies.offset);
            Ok(Place { name: entry.name.clone(), shape, element, path, offset, bytes: lies.len })
        });
        let places: Vec<Place> = places.collect::<Result<_, EngineError>>()?;
        let weights = Weights::of_places(origin, places)?;
        let hash = |entry: &store::TensorEntry| (entry.name.clone(), entry.data.hash);
        let hashes = manifest.tensors.iter().map(hash).collect();
        Ok(Opened {
            name: name.to_owned(),
            weights,
            stored: Some(Stored { root, hashes, tokenizer }),
        })
    }

    /// As it was named.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tensors and what stands beside them.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// What kind of thing this is.
    pub fn kind(&self) -> &'static str {
        match self.weights.origin() {
            Origin::Gguf(_) => "GGUF",
            Origin::HuggingFace { .. } => "Hugging Face",
            Origin::Own(_) => "understory store",
        }
    }

    /// The root, where it has one.
    pub fn root(&self) -> Option<Hash> {
        self.stored.as_ref().map(|stored| stored.root)
    }

    /// What it computes.
    pub fn decoder(&self) -> Result<Decoder, FormatError> {
        families::describe(&self.weights)
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer, EngineError> {
        match self.stored.as_ref().and_then(|stored| stored.tokenizer.as_ref()) {
            Some(tokenizer) => Ok(tokenizer.clone()),
            None => tokenizer(&self.weights),
        }
    }

    /// What stands before every text of it.
    pub fn prefix(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        match self.weights.origin() {
            // As documents begin in training.
            Origin::Own(_) => vec![tokenizer.end_of_text()],
            _ => tokenizer.prefix().to_vec(),
        }
    }

    /// Its chat templates; none for a model that is trained here.
    pub fn templates(&self) -> Result<ChatTemplates, EngineError> {
        crate::templates(&self.weights)
    }

    /// What its files say beside the tensors, as names and short texts; lists by their length.
    pub fn metadata(&self) -> Vec<(String, String)> {
        metadata::of(self.weights.origin())
    }

    /// Why it is not run, where its description is understood.
    pub fn refusal(&self) -> Option<String> {
        self.decoder().ok()?;
        Plan::new(&self.weights).err().map(|error| error.to_string())
    }

    /// What a model of its format has and this one has not.
    pub fn missing(&self) -> Vec<&'static str> {
        match self.weights.origin() {
            Origin::Own(_) => Vec::new(),
            Origin::Gguf(metadata) => match metadata.contains_key("tokenizer.ggml.tokens") {
                true => Vec::new(),
                false => vec!["a tokenizer (tokenizer.ggml.tokens)"],
            },
            Origin::HuggingFace { files, .. } => {
                let has = |name: &str| files.has(name);
                let tokenizer = has("tokenizer.json") || has("tokenizer.model");
                let wanted = [
                    (tokenizer, "a tokenizer (tokenizer.json or tokenizer.model)"),
                    (
                        has("tokenizer_config.json"),
                        "tokenizer_config.json, which names what begins and ends a text",
                    ),
                ];
                wanted.into_iter().filter_map(|(has, what)| (!has).then_some(what)).collect()
            }
        }
    }

    /// The BLAKE3 of a tensor, where it is known without reading.
    pub fn known_hash(&self, tensor: &TensorInfo) -> Option<Hash> {
        self.stored.as_ref()?.hashes.get(&tensor.name).copied()
    }

    /// The BLAKE3 of a tensor's bytes, as they are now.
    pub fn hash(&self, tensor: &TensorInfo) -> Result<Hash, FormatError> {
        let mut hasher = blake3::Hasher::new();
        self.weights.read_rows(tensor, |_, rows| {
            hasher.update(rows);
        })?;
        Ok(Hash(*hasher.finalize().as_bytes()))
    }

    /// Fails if a tensor of a model with a root is not what the root says.
    pub fn check_tensor(&self, tensor: &TensorInfo) -> Result<(), FormatError> {
        let Some(known) = self.known_hash(tensor) else { return Ok(()) };
        let found = self.hash(tensor)?;
        if found == known {
            return Ok(());
        }
        let text = format!("tensor {} is damaged: its bytes hash to {found}", tensor.name);
        Err(FormatError::new(text))
    }

    /// Fails if a file has changed since it was opened, or if a tensor is not what the root says.
    /// Reads all tensors of a model that has a root.
    pub fn check(&self) -> Result<(), FormatError> {
        self.weights.tensors().values().try_for_each(|tensor| self.check_tensor(tensor))?;
        self.weights.check_unchanged()
    }
}

/// `FOLDER@ROOT` in its two parts.
pub fn split_root(name: &str) -> (&str, Option<Hash>) {
    let parts = name.rsplit_once('@');
    let root = parts.and_then(|(path, root)| Some((path, root.parse::<Hash>().ok()?)));
    root.map_or((name, None), |(path, root)| (path, Some(root)))
}

/// What stands beside the tensors of a model that was imported.
fn foreign_origin(store: &Store, manifest: &ModelManifest) -> Result<Origin, EngineError> {
    if let Some(ObjectRef { hash, .. }) = manifest.file(GGUF_METADATA) {
        let bytes = store.get(hash)?;
        return Ok(Origin::Gguf(gguf::parse(&bytes)?.metadata().clone()));
    }
    let mut kept = BTreeMap::new();
    for file in manifest.files.iter().flatten() {
        kept.insert(file.name.clone(), store.get(&file.data.hash)?);
    }
    let config = kept.get("config.json").cloned();
    let config =
        config.ok_or_else(|| FormatError::new("an imported folder without config.json"))?;
    let files = SmallFiles::Kept(kept);
    Ok(Origin::HuggingFace { files, config, metadata: BTreeMap::new() })
}

/// The element type that a manifest names.
fn element_of(name: &str) -> Option<ElementType> {
    if name == "f32" { ElementType::of_name("F32") } else { ElementType::of_name(name) }
}
