//! Objects by BLAKE3, and names that point at them.
//!
//! An object is a byte string kept under its hash; it is never changed, only added or collected.
//! A *ref* is a short name that points at one object and is replaced atomically. Whatever a crash
//! interrupts, an object is either whole or absent and a ref is either old or new.
//!
//! Layout of a store folder (all of it, so that it can be checked by hand):
//!
//! ```text
//! objects/ab/cdef…    the bytes whose BLAKE3 is abcdef…
//! located/ab/cdef…    where such bytes lie in a file outside of the store, as JSON
//! refs/NAME           64 hex digits and a newline
//! tmp/                unfinished writes; emptied when the store is opened for writing
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod file;
mod located;
mod log;
mod manifest;
mod objects;

pub use located::Whereabouts;
pub use log::{Log, LogError, MAX_ENTRIES, MAX_ENTRY, MAX_LOG};
pub use manifest::{
    FileEntry, GGUF_METADATA, MAX_MANIFEST, MAX_TENSORS, MODEL_REF, ManifestError, ModelManifest,
    TensorEntry,
};
pub use objects::{Damage, Store, StoreError};
