//! Finding the model a user means by a path.

use crate::{hint::with_hints, hub_settings::settings, object, progress::shown};
use anyhow::Result;
use cotrain::RUN_REF;
use engine::hub::HUB;
use engine::{EngineError, Opened, split_root, store_at};
use ids::Hash;
use recipe::RunManifest;
use std::path::Path;
use store::{ManifestError, Store};

/// Opens what `text` names, without its weights: the folder of a demo, of a peer or of a store (its
/// newest model, or `FOLDER@ROOT` for a certain one), a Hugging Face folder, a `.gguf` file, a
/// folder with one, or a model of a hub, which is fetched unless it is here. `json` is for programs.
pub fn opened(text: &str, json: bool) -> Result<Opened> {
    let opened = shown(json, |tell| engine::open(text, &settings, tell));
    opened.map_err(|error| {
        match &error {
            // What is stored by that hash may be something else.
            EngineError::Manifest(ManifestError::Malformed(_)) => object::no_model(text),
            _ => None,
        }
        .unwrap_or_else(|| explained(error, Path::new(split_root(text).0)))
    })
}

/// The model `root` of a store.
pub fn stored(store: &Store, root: Hash) -> Result<Opened> {
    let name = store.root().display().to_string();
    Opened::stored(&name, store, Some(root)).map_err(|error| explained(error, store.root()))
}

/// The run that a model came from and that run's id, where its store keeps one.
pub fn run_of(opened: &Opened) -> Result<Option<(RunManifest, Hash)>> {
    let is_stored = opened.root().is_some();
    let path = Path::new(split_root(opened.name()).0);
    let Some(store) = is_stored.then(|| store_at(path)).transpose()?.flatten() else {
        return Ok(None);
    };
    match store.get_ref(RUN_REF)? {
        Some(id) => Ok(Some((RunManifest::parse(&store.get(&id)?)?, id))),
        None => Ok(None),
    }
}

/// The store of `path`, where there must be one.
pub fn find_store(path: &Path) -> Result<Store> {
    let missing = || explained(EngineError::NoModel(path.to_owned()), path);
    store_at(path)?.ok_or_else(missing)
}

/// An error of what is at `path`, with what can be done.
pub fn explained(error: EngineError, path: &Path) -> anyhow::Error {
    let mut hints = error.hints();
    let is_there = path.exists() || path.to_string_lossy().starts_with(HUB);
    if hints.is_empty() && matches!(error, EngineError::Format(_)) && is_there {
        let hint = format!("`understory inspect {}` says what is known of it", path.display());
        hints.push(hint);
    }
    with_hints(error, hints)
}
