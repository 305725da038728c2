//! Finding the model a user means by a path.

use crate::hint::WithHint;
use crate::pull::HUB;
use anyhow::{Context, Result, anyhow};
use cotrain::{MODEL_REF, RUN_REF};
use engine::{EngineError, Opened, split_root, store_at};
use ids::Hash;
use model::{FormatError, Parameters, Plan};
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
    let path = Path::new(split_root(text).0);
    match Opened::open(text) {
        Ok(Some(opened)) => Ok(opened),
        Ok(None) => Err(nothing_at(path)),
        Err(EngineError::Format(error)) => Err(refused(error, path)),
        Err(error) => Err(error.into()),
    }
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
    let root = match root {
        Some(root) => root,
        None => store
            .get_ref(MODEL_REF)?
            .with_context(|| format!("no finished round in {}", store.root().display()))
            .hint("wait for the first round to be decided, or name a root with FOLDER@ROOT")?,
    };
    let name = store.root().display().to_string();
    whole(&Opened::stored(&name, store, root)?, Some(store))
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
    store_at(path)?.ok_or_else(|| nothing_at(path))
}

fn nothing_at(path: &Path) -> anyhow::Error {
    let text = path.to_string_lossy();
    let elsewhere = [HUB, "https://", "http://"].iter().any(|start| text.starts_with(start));
    let hint = match elsewhere {
        true => format!("`understory pull {text}` fetches it and says its path"),
        false => NAMES.to_owned(),
    };
    Err::<(), _>(anyhow!("no model at {}", path.display())).hint(hint).expect_err("it is an error")
}

/// An error of files that are there, with what can be done.
pub fn refused(error: FormatError, path: &Path) -> anyhow::Error {
    let hint = match error.todo() {
        Some(todo) => todo.to_owned(),
        None if path.exists() => {
            format!("`understory inspect {}` says what is known of it", path.display())
        }
        None => NAMES.to_owned(),
    };
    Err::<(), _>(error).hint(hint).expect_err("it is an error")
}

const NAMES: &str =
    "name the folder of a demo or of a peer, a Hugging Face folder, or a .gguf file";

/// Folders of the peers in `path`: itself, or all `peer-N` of a demo, in order.
pub fn peer_folders(path: &Path) -> Vec<PathBuf> {
    if path.join("store").is_dir() {
        return vec![path.to_path_buf()];
    }
    let peers = (1..=64).map(|n| path.join(format!("peer-{n}")));
    peers.filter(|p| p.join("store").is_dir()).collect()
}
