//! What a model consists of, as one object that names the others.
//!
//! The store knows no model: the architecture is text whose meaning is the `model` crate's.

use crate::{Store, StoreError};
use ids::{Hash, ObjectRef};

/// Most tensors a manifest may name; more is refused before memory is spent.
pub const MAX_TENSORS: usize = 65_536;
/// Most bytes of architecture text.
const MAX_ARCHITECTURE: usize = 64 << 10;
/// Most files beside the tensors.
const MAX_FILES: usize = 64;
/// The ref that points at a store's newest model.
pub const MODEL_REF: &str = "model";
/// Most bytes of an encoded manifest.
pub const MAX_MANIFEST: usize = 16 << 20;

/// A model: its architecture, its tokenizer and its tensors, each under its own hash, so that a
/// fine-tune shares what it did not change and one tensor can be checked alone.
///
/// Version 1 is a model as it is trained here: all tensors `f32`, under the names and in the order of
/// the layout. Version 2 is a model of other files: tensors of any element type under the names that
/// they have there, and the small files that say what they are.
///
/// Encoding: deterministic CBOR `[1, architecture, tokenizer, [[name, dtype, [shape…], [hash,
/// len]]…]]`; version 2 has a fifth element, `[[name, [hash, len]]…]`.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct ModelManifest {
    /// Format version, 1 or 2.
    #[n(0)]
    pub version: u8,
    /// What the model computes as canonical JSON.
    #[n(1)]
    pub architecture: String,
    /// Version 1: the tokenizer's `tokenizer.json`. Version 2: the first of the files.
    #[n(2)]
    pub tokenizer: ObjectRef,
    /// Version 1: in the order of the layout. Version 2: in the order of their names.
    #[n(3)]
    pub tensors: Vec<TensorEntry>,
    /// Version 2: what lies beside the tensors, in the order of the names: `config.json`, tokenizer,
    /// chat templates and generation settings of a Hugging Face folder, or the metadata of a GGUF.
    #[n(4)]
    pub files: Option<Vec<FileEntry>>,
}

/// One file of a [`ModelManifest`] of version 2.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct FileEntry {
    /// Its name in the folder; for the metadata of a GGUF [`GGUF_METADATA`].
    #[n(0)]
    pub name: String,
    /// The bytes.
    #[n(1)]
    pub data: ObjectRef,
}

/// The name under which a manifest has a GGUF's metadata: a GGUF without tensors.
pub const GGUF_METADATA: &str = "metadata.gguf";

/// One tensor of a [`ModelManifest`].
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct TensorEntry {
    /// Its name in the layout, or in the file that it is from.
    #[n(0)]
    pub name: String,
    /// `f32`, little-endian; in version 2 the name of any element type.
    #[n(1)]
    pub dtype: String,
    /// Row-major shape.
    #[n(2)]
    pub shape: Vec<u64>,
    /// The bytes.
    #[n(3)]
    pub data: ObjectRef,
}

/// Why bytes are no model manifest, or a model cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the encoding above.
    #[error("not a model manifest: {0}")]
    Malformed(String),
    /// A part of it is missing or damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ModelManifest {
    /// The one encoding of this manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// Reads what [`ModelManifest::to_bytes`] wrote and nothing else.
    ///
    /// Errors: [`ManifestError::Malformed`] for other versions, oversized lists, a tensor whose
    /// length disagrees with its shape, or any second encoding of the same manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let bad = |why: String| ManifestError::Malformed(why);
        if bytes.len() > MAX_MANIFEST {
            return Err(bad(format!("{} bytes, at most {MAX_MANIFEST}", bytes.len())));
        }
        let manifest: Self = minicbor::decode(bytes).map_err(|e| bad(e.to_string()))?;
        if !matches!((manifest.version, &manifest.files), (1, None) | (2, Some(_))) {
            return Err(bad(format!("version {}, 1 and 2 are known", manifest.version)));
        }
        if manifest.tensors.len() > MAX_TENSORS || manifest.architecture.len() > MAX_ARCHITECTURE {
            return Err(bad("too many tensors or too long an architecture".to_owned()));
        }
        let v1 = manifest.version == 1;
        let check = |tensor: &TensorEntry| if v1 { tensor.check() } else { tensor.check_any() };
        manifest.tensors.iter().try_for_each(check)?;
        if !v1 {
            manifest.check_names().map_err(|why| bad(why.to_owned()))?;
        }
        if manifest.to_bytes() != bytes {
            return Err(bad("not in canonical encoding".to_owned()));
        }
        Ok(manifest)
    }

    /// Reads the manifest `root` from `store`.
    pub fn load(store: &Store, root: &Hash) -> Result<Self, ManifestError> {
        Self::parse(&store.get_bounded(root, MAX_MANIFEST as u64)?)
    }

    /// Every object the model consists of, the manifest itself left out.
    pub fn references(&self) -> Vec<ObjectRef> {
        let files = self.files.iter().flatten().map(|file| file.data);
        let files = files.filter(|data| *data != self.tokenizer);
        let tensors = self.tensors.iter().map(|tensor| tensor.data);
        std::iter::once(self.tokenizer).chain(files).chain(tensors).collect()
    }

    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&ObjectRef> {
        self.files.iter().flatten().find(|file| file.name == name).map(|file| &file.data)
    }

    /// In version 2 everything has a name of its own, in order, and there is a first file.
    fn check_names(&self) -> Result<(), &'static str> {
        let files = self.files.as_deref().unwrap_or_default();
        // Plain names, at most one folder deep.
        let part = |name: &str| {
            let letter = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
            (1..=96).contains(&name.len()) && !name.starts_with('.') && name.chars().all(letter)
        };
        let plain =
            |file: &FileEntry| file.name.split('/').all(part) && file.name.split('/').count() <= 2;
        if files.is_empty() || files.len() > MAX_FILES || !files.iter().all(plain) {
            return Err("its files are none, too many, or have names that no file should have");
        }
        let ordered = files.is_sorted_by(|a, b| a.name < b.name)
            && self.tensors.is_sorted_by(|a, b| a.name < b.name);
        if !ordered || files[0].data != self.tokenizer {
            return Err("its files or tensors are not in the order of their names");
        }
        Ok(())
    }
}

impl TensorEntry {
    fn check(&self) -> Result<(), ManifestError> {
        let elements = self.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
        let bytes = elements.and_then(|n| n.checked_mul(4));
        if self.dtype != "f32" || bytes != Some(self.data.len) || self.name.len() > 256 {
            return Err(ManifestError::Malformed(format!(
                "tensor {:.80}: {:.16} of shape {:?} does not take {} bytes",
                self.name,
                self.dtype,
                &self.shape[..self.shape.len().min(8)],
                self.data.len
            )));
        }
        Ok(())
    }
}

impl TensorEntry {
    /// Whoever knows the element types checks the length against the shape.
    fn check_any(&self) -> Result<(), ManifestError> {
        let kind = self.dtype.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !kind || self.dtype.len() > 16 || self.name.len() > 256 || self.shape.len() > 8 {
            let text = format!("tensor {:.80}: {:.16} is no element type", self.name, self.dtype);
            return Err(ManifestError::Malformed(text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> ModelManifest {
        let data = ObjectRef::of(&[0; 24]);
        let entry = TensorEntry { name: "w".into(), dtype: "f32".into(), shape: vec![2, 3], data };
        let tokenizer = ObjectRef::of(b"{}");
        let (architecture, tensors) = ("{}".into(), vec![entry]);
        ModelManifest { version: 1, architecture, tokenizer, tensors, files: None }
    }

    #[test]
    fn reads_what_it_wrote_and_refuses_everything_else() {
        let bytes = example().to_bytes();
        assert_eq!(ModelManifest::parse(&bytes).expect("round trip"), example());
        for end in 0..bytes.len() {
            assert!(ModelManifest::parse(&bytes[..end]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(ModelManifest::parse(&longer).is_err());
    }

    #[test]
    fn the_first_version_is_written_as_it_always_was() {
        let bytes = example().to_bytes();
        assert_eq!(bytes[..3], [0x84, 0x01, 0x62], "four elements, the version, the architecture");
        assert_eq!(Hash::of(&bytes).short(), "340533a9");
    }

    #[test]
    fn the_second_version_holds_any_element_type_and_files_in_order() {
        let data = ObjectRef::of(&[0; 18]);
        let tensor = |name: &str| {
            let (name, dtype) = (name.to_owned(), "Q4_0".to_owned());
            TensorEntry { name, dtype, shape: vec![1, 32], data }
        };
        let file =
            |name: &str| FileEntry { name: name.into(), data: ObjectRef::of(name.as_bytes()) };
        let files = vec![file("config.json"), file("tokenizer.json")];
        let good = ModelManifest {
            version: 2,
            tokenizer: files[0].data,
            files: Some(files),
            tensors: vec![tensor("a"), tensor("b")],
            ..example()
        };
        let read = |manifest: &ModelManifest| ModelManifest::parse(&manifest.to_bytes());
        assert_eq!(read(&good).expect("round trip"), good);
        assert_eq!(good.references().len(), 4);
        let changes: [fn(&mut ModelManifest); 8] = [
            |m| m.version = 1,
            |m| m.version = 3,
            |m| m.files = None,
            |m| m.files = Some(Vec::new()),
            |m| m.tensors.swap(0, 1),
            |m| m.tensors[1].name = "a".into(),
            |m| m.tensors[0].dtype = "Q4 0".into(),
            |m| m.files.iter_mut().flatten().for_each(|f| f.name = format!("../{}", f.name)),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(read(&bad).is_err(), "change {n}");
        }
    }

    #[test]
    fn refuses_lengths_that_disagree_with_shapes() {
        for shape in [vec![2, 4], vec![u64::MAX, 2], vec![]] {
            let mut manifest = example();
            manifest.tensors[0].shape = shape;
            assert!(ModelManifest::parse(&manifest.to_bytes()).is_err());
        }
    }
}
