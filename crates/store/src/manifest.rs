//! What a model consists of, as one object that names the others.
//!
//! The store knows no model: the architecture is text whose meaning is the `model` crate's.

use crate::{Store, StoreError};
use ids::{Hash, ObjectRef};

/// Most tensors a manifest may name; more is refused before memory is spent.
pub const MAX_TENSORS: usize = 65_536;
/// Most bytes of architecture text.
const MAX_ARCHITECTURE: usize = 64 << 10;
/// Most bytes of an encoded manifest.
pub const MAX_MANIFEST: usize = 16 << 20;

/// A model: its architecture, its tokenizer and its tensors, each under its own hash, so that a
/// fine-tune shares what it did not change and one tensor can be checked alone.
///
/// Encoding: deterministic CBOR `[1, architecture, tokenizer, [[name, dtype, [shape…], [hash, len]]…]]`.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct ModelManifest {
    /// Format version, 1.
    #[n(0)]
    pub version: u8,
    /// The configuration as canonical JSON.
    #[n(1)]
    pub architecture: String,
    /// The tokenizer's `tokenizer.json`.
    #[n(2)]
    pub tokenizer: ObjectRef,
    /// In the order of the layout.
    #[n(3)]
    pub tensors: Vec<TensorEntry>,
}

/// One tensor of a [`ModelManifest`].
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct TensorEntry {
    /// The Hugging Face name.
    #[n(0)]
    pub name: String,
    /// `f32`, little-endian.
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
        if manifest.version != 1 {
            return Err(bad(format!("version {}, only 1 is known", manifest.version)));
        }
        if manifest.tensors.len() > MAX_TENSORS || manifest.architecture.len() > MAX_ARCHITECTURE {
            return Err(bad("too many tensors or too long an architecture".to_owned()));
        }
        manifest.tensors.iter().try_for_each(TensorEntry::check)?;
        if manifest.to_bytes() != bytes {
            return Err(bad("not in canonical encoding".to_owned()));
        }
        Ok(manifest)
    }

    /// Reads the manifest `root` from `store`.
    pub fn load(store: &Store, root: &Hash) -> Result<Self, ManifestError> {
        Self::parse(&store.get(root)?)
    }

    /// Every object the model consists of, the manifest itself left out.
    pub fn references(&self) -> Vec<ObjectRef> {
        std::iter::once(self.tokenizer).chain(self.tensors.iter().map(|t| t.data)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> ModelManifest {
        let data = ObjectRef::of(&[0; 24]);
        let entry = TensorEntry { name: "w".into(), dtype: "f32".into(), shape: vec![2, 3], data };
        let tokenizer = ObjectRef::of(b"{}");
        ModelManifest { version: 1, architecture: "{}".into(), tokenizer, tensors: vec![entry] }
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
    fn refuses_lengths_that_disagree_with_shapes() {
        for shape in [vec![2, 4], vec![u64::MAX, 2], vec![]] {
            let mut manifest = example();
            manifest.tensors[0].shape = shape;
            assert!(ModelManifest::parse(&manifest.to_bytes()).is_err());
        }
    }
}
