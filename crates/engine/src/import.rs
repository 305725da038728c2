//! Giving a model of other files a root, without copying it: its tensors are hashed where they lie,
//! and the store keeps a note of that.

use ids::{Hash, ObjectRef};
use model::gguf::Writer;
use model::weights::Origin;
use model::{FormatError, families};
use store::{FileEntry, GGUF_METADATA, ModelManifest, Store, TensorEntry, Whereabouts};

use crate::hf::small_files;
use crate::{EngineError, Opened};
use progress::{Counter, Tell, Work};

/// Hashes every tensor of a model of other files and keeps its manifest in `store`; returns the
/// root. `tell` hears how many bytes of how many are hashed.
///
/// The root follows from the description, the small files and the tensors alone: where the files
/// lie, and how a GGUF orders them, makes no difference.
/// Errors: a model of a store, which has a root; a family that is not known; a file that changes
/// meanwhile.
pub fn import(model: &Opened, store: &Store, tell: &mut Tell<'_>) -> Result<Hash, EngineError> {
    let weights = model.weights();
    let files: Vec<(String, Vec<u8>)> = match weights.origin() {
        Origin::Own(_) => {
            return Err(FormatError::new("a model of a store has a root already").into());
        }
        Origin::HuggingFace { files, .. } => small_files(files)?,
        Origin::Gguf(metadata) => {
            let (mut writer, mut bytes) = (Writer::default(), Vec::new());
            // Into how many files it was cut makes it no other model.
            let kept = metadata.iter().filter(|(key, _)| !key.starts_with("split."));
            kept.for_each(|(key, value)| writer.set(key, value.clone()));
            writer.write_to(&mut bytes).expect("writing to memory does not fail");
            vec![(GGUF_METADATA.to_owned(), bytes)]
        }
    };
    let decoder = families::describe(weights)?;
    let architecture = serde_json::to_string(&decoder).expect("a decoder has a JSON form");
    let paths: Vec<_> = weights.files().collect();
    let mut count = Counter::new(Work::Hashing, model.bytes(), tell);
    let mut tensors = Vec::new();
    for tensor in weights.tensors().values() {
        let hash = model.hash(tensor, &mut |n| count.add(n))?;
        let path = paths[tensor.file].to_owned();
        let at = Whereabouts { path, offset: tensor.offset, len: tensor.bytes };
        store.locate(&hash, &at)?;
        tensors.push(TensorEntry {
            name: tensor.name.clone(),
            dtype: tensor.element.name.to_owned(),
            shape: tensor.shape.iter().map(|&n| n as u64).collect(),
            data: ObjectRef { hash, len: tensor.bytes },
        });
    }
    weights.check_unchanged()?;
    let keep = |(name, bytes): (String, Vec<u8>)| {
        let hash = store.put(&bytes)?;
        Ok(FileEntry { name, data: ObjectRef { hash, len: bytes.len() as u64 } })
    };
    let files: Vec<FileEntry> = files.into_iter().map(keep).collect::<Result<_, EngineError>>()?;
    let tokenizer = files.first().map(|file| file.data);
    let tokenizer =
        tokenizer.ok_or_else(|| FormatError::new("there is no file beside the weights"))?;
    let manifest =
        ModelManifest { version: 2, architecture, tokenizer, tensors, files: Some(files) };
    let bytes = manifest.to_bytes();
    // Whoever reads it may be stricter than whoever made the files: better to know now.
    ModelManifest::parse(&bytes)?;
    Ok(store.put(&bytes)?)
}

#[cfg(test)]
mod tests;
