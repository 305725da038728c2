//! Finding the model a user means by a path.

use crate::hint::WithHint;
use crate::pull::HUB;
use anyhow::{Context, Result, anyhow};
use cotrain::{MODEL_REF, RUN_REF};
use ids::Hash;
use model::{Parameters, Plan, Weights};
use recipe::{Checkpoint, RunManifest};
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

/// Opens what `text` names: the folder of a demo, of a peer or of a store (its newest model, or
/// `FOLDER@ROOT` for a certain one), a Hugging Face folder, or a `.gguf` file.
pub fn load(text: &str) -> Result<LoadedModel> {
    let (path, root) = match text.rsplit_once('@') {
        Some((path, root)) if root.len() == 64 => (path, Some(root.parse::<Hash>()?)),
        _ => (text, None),
    };
    let path = Path::new(path);
    if root.is_none() && (path.is_file() || path.join("config.json").is_file()) {
        return from_files(path);
    }
    let store = find_store(path)?;
    from_store(&store, root)
}

/// The store of `path` itself, of the peer in it, or of the first peer of the demo in it.
pub fn find_store(path: &Path) -> Result<Store> {
    for candidate in [path.to_path_buf(), path.join("store"), path.join("peer-1/store")] {
        if candidate.join("objects").is_dir() {
            return Ok(Store::open_existing(candidate)?);
        }
    }
    let error = anyhow!("no model at {}", path.display());
    let text = path.to_string_lossy();
    let elsewhere = [HUB, "https://", "http://"].iter().any(|start| text.starts_with(start));
    Err(error).hint(match elsewhere {
        true => format!("`understory pull {text}` fetches it and says its path"),
        false => NAMES.to_owned(),
    })
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

/// The newest model of `store`, or the one under `root`.
pub fn from_store(store: &Store, root: Option<Hash>) -> Result<LoadedModel> {
    let root = match root {
        Some(root) => root,
        None => store
            .get_ref(MODEL_REF)?
            .with_context(|| format!("no finished round in {}", store.root().display()))
            .hint("wait for the first round to be decided, or name a root with FOLDER@ROOT")?,
    };
    let checkpoint = Checkpoint::load(store, &root)?;
    let tokenizer = Tokenizer::from_json(&store.get(&checkpoint.tokenizer.hash)?)?;
    let run = match store.get_ref(RUN_REF)? {
        Some(id) => Some((RunManifest::parse(&store.get(&id)?)?, id)),
        None => None,
    };
    let model = Parameters::new(&checkpoint.decoder, checkpoint.params)?;
    Ok(LoadedModel { model, tokenizer, root: Some(root), run })
}

/// A model of any family, its weights widened to what training has.
fn from_files(path: &Path) -> Result<LoadedModel> {
    let weights = Weights::open(path).hint("a .gguf file or a Hugging Face folder can be read")?;
    let model = Plan::new(&weights)?.parameters()?;
    let tokenizer = engine::tokenizer(&weights)?;
    Ok(LoadedModel { model, tokenizer, root: None, run: None })
}
