//! Parameters as a stored model, and back.

use ids::{Hash, ObjectRef};
use model::{Decoder, Layout};
use store::{ManifestError, ModelManifest, Store, StoreError, TensorEntry};

/// A stored model in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What it computes.
    pub decoder: Decoder,
    /// All parameters, in [`Layout`] order.
    pub params: Vec<f32>,
    /// Its tokenizer.
    pub tokenizer: ObjectRef,
}

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The manifest or an object.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The architecture or a tensor is not what this program runs.
    #[error("model {root}: {why}")]
    Unsupported {
        /// Root of the model.
        root: Hash,
        /// What is not supported, in words.
        why: String,
    },
}

impl Checkpoint {
    /// Keeps the model in `store`, one object per tensor, and returns its manifest's name: the root.
    pub fn save(&self, store: &Store) -> Result<ObjectRef, CheckpointError> {
        let manifest = self
            .manifest(|bytes| Ok(ObjectRef { hash: store.put(bytes)?, len: bytes.len() as u64 }))?;
        let bytes = manifest.to_bytes();
        Ok(ObjectRef { hash: store.put(&bytes)?, len: bytes.len() as u64 })
    }

    /// The root this model would have, writing nothing.
    pub fn root(&self) -> Result<ObjectRef, CheckpointError> {
        Ok(ObjectRef::of(&self.manifest(|bytes| Ok(ObjectRef::of(bytes)))?.to_bytes()))
    }

    fn manifest(
        &self,
        mut put: impl FnMut(&[u8]) -> Result<ObjectRef, StoreError>,
    ) -> Result<ModelManifest, CheckpointError> {
        let layout = Layout::new(&self.decoder).expect("a checkpoint's shape was checked");
        Self::describe(&self.decoder, self.tokenizer, &layout, |at, _| {
            put(&to_bytes(&self.params[layout.tensors()[at].range.clone()]))
        })
    }

    /// The manifest of a model of this shape; `data` names the bytes of the tensor at an index,
    /// given their length.
    fn describe(
        decoder: &Decoder,
        tokenizer: ObjectRef,
        layout: &Layout,
        mut data: impl FnMut(usize, u64) -> Result<ObjectRef, StoreError>,
    ) -> Result<ModelManifest, CheckpointError> {
        let mut tensors = Vec::with_capacity(layout.tensors().len());
        for (at, tensor) in layout.tensors().iter().enumerate() {
            tensors.push(TensorEntry {
                name: tensor.name.clone(),
                dtype: "f32".to_owned(),
                shape: tensor.shape.iter().map(|d| *d as u64).collect(),
                data: data(at, tensor.range.len() as u64 * 4)?,
            });
        }
        let architecture = serde_json::to_string(decoder).expect("a decoder has a JSON form");
        Ok(ModelManifest { version: 1, architecture, tokenizer, tensors, files: None })
    }

    /// Reads the model `root` from `store`.
    ///
    /// Errors: a missing or damaged part; an architecture or tensor this program does not know.
    pub fn load(store: &Store, root: &Hash) -> Result<Self, CheckpointError> {
        let unsupported = |why: String| CheckpointError::Unsupported { root: *root, why };
        let manifest = ModelManifest::load(store, root)?;
        let decoder: Decoder = serde_json::from_str(&manifest.architecture)
            .map_err(|e| unsupported(format!("its architecture: {e}")))?;
        let layout = Layout::new(&decoder).map_err(|e| unsupported(e.to_string()))?;
        if layout.tensors().len() != manifest.tensors.len() {
            return Err(unsupported(format!(
                "{} tensors, its architecture has {}",
                manifest.tensors.len(),
                layout.tensors().len()
            )));
        }
        let mut params = Vec::with_capacity(layout.len());
        for (tensor, entry) in layout.tensors().iter().zip(&manifest.tensors) {
            let elements = tensor.range.len() as u64 * 4;
            if tensor.name != entry.name || entry.data.len != elements {
                return Err(unsupported(format!("tensor {:.80} does not fit", entry.name)));
            }
            let bytes = store.get(&entry.data.hash)?;
            params.extend(from_bytes(&bytes));
        }
        if params.len() != layout.len() {
            return Err(unsupported("a tensor is shorter than its shape".to_owned()));
        }
        Ok(Self { decoder, params, tokenizer: manifest.tokenizer })
    }
}

/// The tokenizer and the tensors that `manifest` names, if it is the manifest of a model of this
/// shape with this tokenizer. Number and lengths follow from `decoder`: whoever wrote the manifest
/// chooses nothing but the tensors' hashes.
///
/// Errors: [`CheckpointError::Unsupported`] for the manifest of another model,
/// [`CheckpointError::Manifest`] for other bytes.
pub fn parts(
    decoder: &Decoder,
    tokenizer: &ObjectRef,
    manifest: &[u8],
) -> Result<Vec<ObjectRef>, CheckpointError> {
    let parsed = ModelManifest::parse(manifest)?;
    let layout = Layout::new(decoder).expect("a run's shape was checked");
    let expected = Checkpoint::describe(decoder, *tokenizer, &layout, |at, len| {
        // Only the hashes may differ.
        let hash = parsed.tensors.get(at).map_or(Hash::default(), |tensor| tensor.data.hash);
        Ok(ObjectRef { hash, len })
    })?;
    if parsed != expected {
        let why = "its architecture, tokenizer or tensors are not this run's".to_owned();
        return Err(CheckpointError::Unsupported { root: Hash::of(manifest), why });
    }
    Ok(parsed.references())
}

/// Little-endian bytes of `values`.
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Values of little-endian `bytes`; a rest of under four bytes is left out.
pub fn from_bytes(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("chunks of four")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_comes_back_with_its_root() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("open");
        let decoder = Decoder::tiny(64);
        let params = model::init(&decoder, 3).expect("valid");
        let checkpoint = Checkpoint { decoder, params, tokenizer: ObjectRef::of(b"tokenizer") };
        let root = checkpoint.save(&store).expect("save");
        assert_eq!(root, checkpoint.root().expect("hash only"));
        assert_eq!(Checkpoint::load(&store, &root.hash).expect("load"), checkpoint);
    }

    #[test]
    fn one_changed_parameter_changes_one_tensor_object() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("open");
        let decoder = Decoder::tiny(64);
        let params = model::init(&decoder, 3).expect("valid");
        let mut checkpoint = Checkpoint { decoder, params, tokenizer: ObjectRef::of(b"t") };
        checkpoint.save(&store).expect("save");
        let before = store.objects().expect("list").len();
        checkpoint.params[0] += 1.0;
        checkpoint.save(&store).expect("save");
        assert_eq!(store.objects().expect("list").len(), before + 2, "tensor and manifest");
    }

    #[test]
    fn the_parts_of_a_manifest_are_those_of_the_runs_model_or_none() {
        let decoder = Decoder::tiny(64);
        let params = model::init(&decoder, 3).expect("valid");
        let tokenizer = ObjectRef::of(b"t");
        let checkpoint = Checkpoint { decoder: decoder.clone(), params, tokenizer };
        let manifest = checkpoint.manifest(|bytes| Ok(ObjectRef::of(bytes))).expect("made");
        let read = |manifest: &ModelManifest| parts(&decoder, &tokenizer, &manifest.to_bytes());
        assert_eq!(read(&manifest).expect("this run's"), manifest.references());
        let changes: [fn(&mut ModelManifest); 6] = [
            |m| m.tensors.swap(1, 2),
            |m| drop(m.tensors.pop()),
            |m| m.tensors.push(m.tensors[0].clone()),
            |m| m.tokenizer.len = 1 << 30,
            |m| m.architecture.push(' '),
            |m| {
                let big = &mut m.tensors[0];
                (big.shape, big.data.len) = (vec![1 << 28], 1 << 30);
            },
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut other = manifest.clone();
            change(&mut other);
            assert!(read(&other).is_err(), "change {n}");
        }
        assert!(parts(&decoder, &tokenizer, b"a carry").is_err());
    }

    #[test]
    fn refuses_tensors_that_do_not_fit_the_architecture() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("open");
        let decoder = Decoder::tiny(64);
        let params = model::init(&decoder, 3).expect("valid");
        let checkpoint = Checkpoint { decoder, params, tokenizer: ObjectRef::of(b"t") };
        let root = checkpoint.save(&store).expect("save");
        let mut manifest = ModelManifest::load(&store, &root.hash).expect("load");
        manifest.tensors.swap(0, 1);
        let swapped = store.put(&manifest.to_bytes()).expect("put");
        assert!(matches!(
            Checkpoint::load(&store, &swapped),
            Err(CheckpointError::Unsupported { .. })
        ));
        manifest.tensors.pop();
        let short = store.put(&manifest.to_bytes()).expect("put");
        assert!(Checkpoint::load(&store, &short).is_err());
    }
}
