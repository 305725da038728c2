//! The text that a bench trains on.

use crate::BenchError;
use ids::ObjectRef;
use recipe::{
    Corpus,
    corpus::{self, DataOptions, Documents},
};
use std::{path::Path, sync::Arc};
use store::Store;

/// The corpus of `documents`, kept in `folder`, and its manifest.
pub fn prepared(
    folder: &Path,
    documents: &Documents,
    options: &DataOptions,
) -> Result<(Arc<Corpus>, ObjectRef), BenchError> {
    let store = Store::open(folder)?;
    let root = corpus::build(&store, documents, options, &mut |_| ())?.root;
    Ok((Arc::new(Corpus::load(&store, &root.hash)?), root))
}
