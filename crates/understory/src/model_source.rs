//! Finding the model a user means by a path.

use crate::hint::with_hints;
use anyhow::{Context, Result};
use cotrain::RUN_REF;
use engine::{EngineError, Opened, split_root, store_at};
use ids::Hash;
use model::{Parameters, Plan};
use recipe::RunManifest;
use std::path::{Path, PathBuf};
use store::Store;
use text::Tokenizer;

/// A model ready to run, and where it came from.
pub struct LoadedModel {
    /// What it computes, and its parameters.
    pub model: Parameters,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The root, where the model came from a store.
    pub root: Option<Hash>,
    /// The run it came from and that run's id.
    pub run: Option<(RunManifest, Hash)>,
}

/// Opens what `text` names, without its weights: the folder of a demo, of a peer or of a store (its
/// newest model, or `FOLDER@ROOT` for a certain one), a Hugging Face folder, a `.gguf` file, or a
/// folder with one.
pub fn opened(text: &str) -> Result<Opened> {
    Opened::open(text).map_err(|error| explained(error, Path::new(split_root(text).0)))
}

/// Opens what `text` names, all of it, in the numbers that training has.
pub fn load(text: &str) -> Result<LoadedModel> {
    let opened = opened(text)?;
    let store =
        if opened.root().is_some() { store_at(Path::new(split_root(text).0))? } else { None };
    whole(&opened, store.as_ref())
}

/// The newest model of `store`, or the one under `root`.
pub fn from_store(store: &Store, root: Option<Hash>) -> Result<LoadedModel> {
    let name = store.root().display().to_string();
    let opened = Opened::stored(&name, store, root);
    whole(&opened.map_err(|error| explained(error, store.root()))?, Some(store))
}

fn whole(opened: &Opened, store: Option<&Store>) -> Result<LoadedModel> {
    opened.check()?;
    let model = Plan::new(opened.weights())?.parameters()?;
    let run = match store.map(|store| store.get_ref(RUN_REF)).transpose()?.flatten() {
        Some(id) => {
            let bytes = store.context("a run has a store")?.get(&id)?;
            Some((RunManifest::parse(&bytes)?, id))
        }
        None => None,
    };
    Ok(LoadedModel { model, tokenizer: opened.tokenizer()?, root: opened.root(), run })
}

/// The store of `path`, where there must be one.
pub fn find_store(path: &Path) -> Result<Store> {
    let missing = || explained(EngineError::NoModel(path.to_owned()), path);
    store_at(path)?.ok_or_else(missing)
}

/// An error of what is at `path`, with what can be done.
pub fn explained(error: EngineError, path: &Path) -> anyhow::Error {
    let mut hints = error.hints();
    if hints.is_empty() && matches!(error, EngineError::Format(_)) && path.exists() {
        let hint = format!("`understory inspect {}` says what is known of it", path.display());
        hints.push(hint);
    }
    with_hints(error, hints)
}

/// Folders of the peers in `path`: itself, or all `peer-N` of a demo, in order.
pub fn peer_folders(path: &Path) -> Vec<PathBuf> {
    if path.join("store").is_dir() {
        return vec![path.to_path_buf()];
    }
    let peers = (1..=64).map(|n| path.join(format!("peer-{n}")));
    peers.filter(|p| p.join("store").is_dir()).collect()
}
