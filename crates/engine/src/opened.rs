//! A model of any kind, opened without its weights: what its headers say, and the way to its
//! tensors.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use ids::{Hash, ObjectRef};
use model::gguf;
use model::weights::{Origin, Place, SmallFiles, TensorInfo};
use model::{Decoder, ElementType, FormatError, Parameters, Plan, Weights, families};
use store::{GGUF_METADATA, MODEL_REF, ModelManifest, Store};
use text::Tokenizer;
use text::chat::ChatTemplates;

use crate::names::{files_at, store_at};
use crate::{EngineError, metadata, tokenizer};
use progress::{Counter, Tell, Work};

/// An opened model.
pub struct Opened {
    name: String,
    weights: Weights,
    stored: Option<Stored>,
    /// Once it was asked for: a vocabulary is long.
    tokenizer: OnceLock<Tokenizer>,
}

/// What is known of a model that has a root.
struct Stored {
    root: Hash,
    /// The BLAKE3 of each tensor.
    hashes: BTreeMap<String, Hash>,
}

impl Opened {
    /// Opens what `name` means: a `.gguf` file, a Hugging Face folder, a folder with one GGUF, the
    /// newest model of a store, or `FOLDER@ROOT`.
    ///
    /// Errors: there is no model of any kind, or none that can be read.
    pub fn open(name: &str) -> Result<Opened, EngineError> {
        let (path, root) = split_root(name);
        if root.is_none()
            && let Some(files) = files_at(Path::new(path))?
        {
            return Opened::files(name, &files);
        }
        match store_at(Path::new(path))? {
            Some(store) => Opened::stored(name, &store, root),
            None => Err(EngineError::NoModel(path.into())),
        }
    }

    /// Opens a file or folder of another program.
    pub fn files(name: &str, path: &Path) -> Result<Opened, EngineError> {
        let weights = Weights::open(path)?;
        let name = name.to_owned();
        Ok(Opened { name, weights, stored: None, tokenizer: OnceLock::new() })
    }

    /// Opens the model `root` of a store, or the newest one.
    ///
    /// Errors: there is none yet; a part of it is missing, damaged, or not what the manifest says.
    pub fn stored(name: &str, store: &Store, root: Option<Hash>) -> Result<Opened, EngineError> {
        let root = match root {
            Some(root) => root,
            None => store.get_ref(MODEL_REF)?.ok_or_else(|| no_round(store))?,
        };
        let manifest = ModelManifest::load(store, &root)?;
        let (origin, tokenizer) = match &manifest.files {
            None => {
                let decoder: Decoder = serde_json::from_str(&manifest.architecture)
                    .map_err(|error| FormatError::new(format!("model {root}: {error}")))?;
                let json = store.get_bounded(&manifest.tokenizer.hash, MAX_FILE)?;
                (Origin::Own(decoder), OnceLock::from(Tokenizer::from_json(&json)?))
            }
            Some(_) => (foreign_origin(store, &manifest)?, OnceLock::new()),
        };
        let places = manifest.tensors.iter().map(|entry| {
            let element = element_of(&manifest, &entry.dtype).ok_or_else(|| {
                FormatError::new(format!("tensor {}: no type {}", entry.name, entry.dtype))
            })?;
            let sizes = entry.shape.iter().map(|&n| usize::try_from(n)).collect();
            let shape: Result<Vec<usize>, _> = sizes;
            let shape = shape.map_err(|_| FormatError::new("a shape of too many elements"))?;
            let lies = store.whereabouts(&entry.data.hash)?;
            check_length(&entry.name, lies.len, entry.data.len)?;
            let (path, offset) = (lies.path, lies.offset);
            Ok(Place { name: entry.name.clone(), shape, element, path, offset, bytes: lies.len })
        });
        let places: Vec<Place> = places.collect::<Result<_, EngineError>>()?;
        let weights = Weights::of_places(origin, places)?;
        // One model has one text, and that of its manifest is what it computes.
        let decoder = families::describe(&weights)?;
        let text = serde_json::to_string(&decoder).expect("a decoder has a JSON form");
        if text != manifest.architecture {
            let text = format!(
                "model {root}: its manifest says it computes {:.300}, and this version of understory \
                 reads {text:.300}",
                manifest.architecture
            );
            return Err(FormatError::new(text).into());
        }
        let hash = |entry: &store::TensorEntry| (entry.name.clone(), entry.data.hash);
        let hashes = manifest.tensors.iter().map(hash).collect();
        let (name, stored) = (name.to_owned(), Some(Stored { root, hashes }));
        Ok(Opened { name, weights, stored, tokenizer })
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

    /// Its tokenizer, which is read from its files once.
    pub fn tokenizer(&self) -> Result<&Tokenizer, EngineError> {
        match self.tokenizer.get() {
            Some(tokenizer) => Ok(tokenizer),
            None => {
                let tokenizer = tokenizer(&self.weights)?;
                Ok(self.tokenizer.get_or_init(|| tokenizer))
            }
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

    /// The BLAKE3 of a tensor's bytes, as they are now; `read` hears how many bytes were hashed
    /// since it heard last.
    pub fn hash(
        &self,
        tensor: &TensorInfo,
        read: &mut dyn FnMut(u64),
    ) -> Result<Hash, FormatError> {
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; tensor.bytes.min(PIECE) as usize];
        for at in (0..tensor.bytes).step_by(PIECE as usize) {
            let count = (tensor.bytes - at).min(PIECE) as usize;
            self.weights.read(tensor, at, &mut piece[..count])?;
            hasher.update(&piece[..count]);
            read(count as u64);
        }
        Ok(Hash(*hasher.finalize().as_bytes()))
    }

    /// Fails if a tensor of a model with a root is not what the root says; `read` hears of what is
    /// hashed for that.
    pub fn check_tensor(
        &self,
        tensor: &TensorInfo,
        read: &mut dyn FnMut(u64),
    ) -> Result<(), FormatError> {
        let Some(known) = self.known_hash(tensor) else { return Ok(()) };
        let found = self.hash(tensor, read)?;
        if found == known {
            return Ok(());
        }
        let text = format!("tensor {} is damaged: its bytes hash to {found}", tensor.name);
        Err(FormatError::new(text))
    }

    /// Fails if a file has changed since it was opened, or if a tensor is not what the root says.
    /// Reads all tensors of a model that has a root.
    pub fn check(&self, tell: &mut Tell<'_>) -> Result<(), FormatError> {
        let mut tensors = self.weights.tensors().values();
        if self.stored.is_some() {
            let mut count = Counter::new(Work::Hashing, self.bytes(), tell);
            let mut read = |n| count.add(n);
            tensors.try_for_each(|tensor| self.check_tensor(tensor, &mut read))?;
        }
        self.weights.check_unchanged()
    }

    /// Checks it and reads its weights as they are trained: in `f32`, whatever they are in the file.
    ///
    /// Errors: also a model that is not run here.
    pub fn parameters(&self, tell: &mut Tell<'_>) -> Result<Parameters, FormatError> {
        self.check(tell)?;
        let plan = Plan::new(&self.weights)?;
        let mut count = Counter::new(Work::Loading, self.bytes(), tell);
        let parameters = plan.parameters_told(&mut |n| count.add(n))?;
        count.end();
        Ok(parameters)
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.weights.tensors().values().map(|tensor| tensor.bytes).sum()
    }
}

fn no_round(store: &Store) -> FormatError {
    let text = format!("no finished round in {}", store.root().display());
    let todo = "wait for the first round to be decided, import the model again if an import was cut short, or name a root with FOLDER@ROOT";
    FormatError::refused(text, todo)
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
        let bytes = store.get_bounded(hash, MAX_FILE)?;
        return Ok(Origin::Gguf(gguf::parse(&bytes)?.metadata().clone()));
    }
    let mut kept = BTreeMap::new();
    for file in manifest.files.iter().flatten() {
        let bytes = store.get_bounded(&file.data.hash, MAX_FILE)?;
        check_length(&file.name, bytes.len() as u64, file.data.len)?;
        kept.insert(file.name.clone(), bytes);
    }
    let config = kept.get("config.json").cloned();
    let config =
        config.ok_or_else(|| FormatError::new("an imported folder without config.json"))?;
    let files = SmallFiles::Kept(kept);
    Ok(Origin::HuggingFace { files, config, metadata: BTreeMap::new() })
}

/// The element type that a manifest names: in the first version always `f32`.
fn element_of(manifest: &ModelManifest, name: &str) -> Option<ElementType> {
    match (manifest.version, name) {
        (1, "f32") => ElementType::of_name("F32"),
        (1, _) => None,
        _ => ElementType::of_name(name),
    }
}

/// Fails if a part has another length than the manifest says.
fn check_length(part: &str, found: u64, said: u64) -> Result<(), FormatError> {
    match found == said {
        true => Ok(()),
        false => {
            Err(FormatError::new(format!("{part} has {found} bytes, its manifest says {said}")))
        }
    }
}

/// Bytes of a tensor that are hashed at a time.
const PIECE: u64 = 1 << 20;
/// Most bytes of a file beside the tensors.
const MAX_FILE: u64 = 1 << 28;
