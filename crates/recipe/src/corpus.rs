//! Text in, token shards out: the data half of a recipe.
//!
//! [`Documents`] come from the user's own files or from the documentation of the crates this
//! program was built from; [`CorpusManifest`] is what peers agree on: shards of tokens and a
//! held-out text, every one under its hash.

mod documents;
mod registry;
mod tokens;

pub use documents::{DocumentError, Documents};
pub use registry::registry_documents;
pub use tokens::{Corpus, CorpusError, CorpusManifest, DataOptions, MAX_VOCAB, build};
