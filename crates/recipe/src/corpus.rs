//! Text in, token shards out: the data half of a recipe.
//!
//! [`Documents`] come from the user's own files or from the documentation of the crates this
//! program was built from; [`CorpusManifest`] is what peers agree on: shards of tokens and a
//! held-out text, every one under its hash.

mod document;
mod documents;
mod encoding;
mod files;
mod json;
mod kind;
mod left_out;
mod parquet;
mod registry;
mod tokens;

pub use document::NoDocument;
pub use documents::{DocumentError, Documents};
pub use left_out::{LeftOut, Named, WhyFile, WhyText};
pub use parquet::ParquetError;
pub use registry::registry_documents;
pub use tokens::{Built, Corpus, CorpusError, CorpusManifest, DataOptions, MAX_VOCAB, build};
