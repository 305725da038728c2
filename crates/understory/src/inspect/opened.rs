//! A model of any kind we read, opened without its weights: what its tensors are and the way to
//! their bytes, some rows at a time.

use crate::model_source::{files_at, find_store, refused};
use anyhow::{Context, Result, bail};
use ids::Hash;
use kernel::Format;
use model::weights::{Origin, TensorInfo, Weights};
use model::{Decoder, ElementType, Plan};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use store::{ModelManifest, Store, TensorEntry};
use text::{Tokenizer, chat::ChatTemplates};

/// An opened model.
pub struct Opened {
    /// As the user named it.
    pub name: String,
    /// Its tensors by the names of its format, in the order of their names.
    pub tensors: Vec<Tensor>,
    source: Source,
}

/// A tensor of an opened model.
#[derive(Clone)]
pub struct Tensor {
    /// Name in its own format.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Element type, as its format calls it.
    pub element: &'static str,
    /// How its elements become floats, if they can.
    pub format: Option<Format>,
    /// Bytes of it.
    pub bytes: u64,
    /// Elements and bytes of a row; a vector is one row.
    pub row: (usize, usize),
}

enum Source {
    Files { weights: Box<Weights>, path: PathBuf },
    Stored { store: Store, root: Hash, manifest: Box<ModelManifest> },
}

/// The bytes of one tensor.
pub enum Bytes<'a> {
    InFile(&'a Weights, &'a TensorInfo),
    InStore(File),
}

impl Tensor {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }

    fn of_info(info: &TensorInfo) -> Self {
        let row = (info.rows().1, info.row_bytes() as usize);
        let (name, shape) = (info.name.clone(), info.shape.clone());
        let ElementType { name: element, format, .. } = info.element;
        Self { name, shape, element, format, bytes: info.bytes, row }
    }

    fn of_entry(entry: &TensorEntry) -> Result<Self> {
        if entry.dtype != "f32" {
            bail!("tensor {:.80} has type {:.20}, a stored model has f32", entry.name, entry.dtype);
        }
        let shape =
            entry.shape.iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<_>, _>>()?;
        let width = shape.last().copied().unwrap_or(1);
        let (name, bytes) = (entry.name.clone(), entry.data.len);
        Ok(Self {
            name,
            shape,
            element: "F32",
            format: Some(Format::F32),
            bytes,
            row: (width, 4 * width),
        })
    }
}

impl Opened {
    /// Opens what `text` names: as `run` does.
    pub fn open(text: &str) -> Result<Self> {
        let (path, root) = match text.rsplit_once('@') {
            Some((path, root)) if root.len() == 64 => (path, Some(root.parse::<Hash>()?)),
            _ => (text, None),
        };
        let file = Path::new(path);
        if root.is_none()
            && let Some(files) = files_at(file)?
        {
            return Self::open_files(text, &files);
        }
        let store = find_store(file)?;
        let root = match root {
            Some(root) => root,
            None => store
                .get_ref(cotrain::MODEL_REF)?
                .with_context(|| format!("no finished round in {}", store.root().display()))?,
        };
        let manifest = Box::new(ModelManifest::load(&store, &root)?);
        let mut tensors =
            manifest.tensors.iter().map(Tensor::of_entry).collect::<Result<Vec<_>>>()?;
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let source = Source::Stored { store, root, manifest };
        Ok(Self { name: text.to_owned(), tensors, source })
    }

    fn open_files(text: &str, path: &Path) -> Result<Self> {
        let weights = Weights::open(path).map_err(|error| refused(error, path))?;
        let tensors = weights.tensors().values().map(Tensor::of_info).collect();
        let source = Source::Files { weights: Box::new(weights), path: path.to_owned() };
        Ok(Self { name: text.to_owned(), tensors, source })
    }

    /// What kind of thing this is.
    pub fn kind(&self) -> &'static str {
        match &self.source {
            Source::Stored { .. } => "understory store",
            Source::Files { weights, .. } => match weights.origin() {
                Origin::Gguf(_) => "GGUF",
                Origin::HuggingFace { .. } => "Hugging Face",
            },
        }
    }

    /// The root of a stored model.
    pub fn root(&self) -> Option<Hash> {
        match &self.source {
            Source::Stored { root, .. } => Some(*root),
            Source::Files { .. } => None,
        }
    }

    /// The files it lies in; for a store none.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.source {
            Source::Files { weights, .. } => weights.files().map(Path::to_owned).collect(),
            Source::Stored { .. } => Vec::new(),
        }
    }

    /// What it computes.
    pub fn decoder(&self) -> Result<Decoder> {
        match &self.source {
            Source::Files { weights, .. } => Ok(model::families::describe(weights)?),
            Source::Stored { manifest, .. } => Ok(serde_json::from_str(&manifest.architecture)?),
        }
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        match &self.source {
            Source::Stored { store, manifest, .. } => {
                Ok(Tokenizer::from_json(&store.get(&manifest.tokenizer.hash)?)?)
            }
            Source::Files { weights, .. } => Ok(engine::tokenizer(weights)?),
        }
    }

    /// What stands before every text of it.
    pub fn prefix(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        match &self.source {
            // As documents begin in training.
            Source::Stored { .. } => vec![tokenizer.end_of_text()],
            Source::Files { .. } => tokenizer.prefix().to_vec(),
        }
    }

    /// What a model of its format has and this one has not.
    pub fn missing(&self) -> Vec<&'static str> {
        let Source::Files { weights, .. } = &self.source else { return Vec::new() };
        match weights.origin() {
            Origin::Gguf(metadata) => {
                let has = metadata.contains_key("tokenizer.ggml.tokens");
                if has { Vec::new() } else { vec!["a tokenizer (tokenizer.ggml.tokens)"] }
            }
            Origin::HuggingFace { folder, .. } => {
                let has = |name: &str| folder.join(name).exists();
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

    /// Why it is not run, where its description is understood.
    pub fn refusal(&self) -> Option<String> {
        let Source::Files { weights, .. } = &self.source else { return None };
        self.decoder().ok()?;
        Plan::new(weights).err().map(|error| error.to_string())
    }

    /// Its chat templates; none for a stored model.
    pub fn templates(&self) -> Result<ChatTemplates> {
        match &self.source {
            Source::Stored { .. } => Ok(ChatTemplates::default()),
            Source::Files { weights, .. } => Ok(engine::templates(weights)?),
        }
    }

    /// What its files say beside the tensors, as names and short texts; lists by their length.
    pub fn metadata(&self) -> Vec<(String, String)> {
        match &self.source {
            Source::Stored { manifest, .. } => {
                vec![("architecture".to_owned(), manifest.architecture.clone())]
            }
            Source::Files { weights, path } => super::metadata::of(weights.origin(), path),
        }
    }

    /// The bytes of a tensor of this model.
    pub fn bytes(&self, tensor: &Tensor) -> Result<Bytes<'_>> {
        match &self.source {
            Source::Files { weights, .. } => {
                Ok(Bytes::InFile(weights, weights.tensor(&tensor.name)?))
            }
            Source::Stored { store, manifest, .. } => {
                let entry = manifest.tensors.iter().find(|entry| entry.name == tensor.name);
                let entry = entry.context("the tensor is of another model")?;
                let bytes = Bytes::InStore(store.open_object(&entry.data.hash)?);
                // What lies in a store is what its name says, or an error.
                let found = bytes.hash(tensor.bytes)?;
                if found != entry.data.hash {
                    bail!("tensor {:.80} is damaged: its bytes hash to {found}", tensor.name);
                }
                Ok(bytes)
            }
        }
    }

    /// The BLAKE3 of a tensor's bytes; for a stored one it is known.
    pub fn hash(&self, tensor: &Tensor) -> Result<Hash> {
        if let Some(known) = self.known_hash(tensor) {
            return Ok(known);
        }
        self.bytes(tensor)?.hash(tensor.bytes)
    }

    /// The BLAKE3 of a tensor that needs no reading.
    pub fn known_hash(&self, tensor: &Tensor) -> Option<Hash> {
        let Source::Stored { manifest, .. } = &self.source else { return None };
        let entry = manifest.tensors.iter().find(|entry| entry.name == tensor.name)?;
        Some(entry.data.hash)
    }

    /// Fails if a file has changed since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        match &self.source {
            Source::Files { weights, .. } => Ok(weights.check_unchanged()?),
            Source::Stored { .. } => Ok(()),
        }
    }
}

impl Bytes<'_> {
    /// Fills `out` from `at` on.
    pub fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        match self {
            Bytes::InFile(weights, info) => Ok(weights.read(info, at, out)?),
            Bytes::InStore(file) => {
                let mut file: &File = file;
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(out).context("a stored tensor is shorter than it says")
            }
        }
    }

    /// The BLAKE3 of the first `length` bytes.
    fn hash(&self, length: u64) -> Result<Hash> {
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; length.min(PIECE as u64) as usize];
        let mut at = 0;
        while at < length {
            let count = (length - at).min(PIECE as u64) as usize;
            self.read(at, &mut piece[..count])?;
            hasher.update(&piece[..count]);
            at += count as u64;
        }
        Ok(Hash(*hasher.finalize().as_bytes()))
    }
}

/// Bytes read at a time.
const PIECE: usize = 1 << 20;
