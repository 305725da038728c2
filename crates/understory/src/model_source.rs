//! Finding the model a user means by a path.

use crate::hint::WithHint;
use crate::pull::HUB;
use anyhow::{Context, Result, anyhow};
use cotrain::{MODEL_REF, RUN_REF};
use ids::Hash;
use model::{FormatError, Parameters, Plan, Weights};
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
    if root.is_none()
        && let Some(files) = files_at(path)?
    {
        return from_files(&files);
    }
    let store = find_store(path)?;
    from_store(&store, root)
}

/// The model in other programs' files that a path means: a file, a Hugging Face folder, or the one
/// GGUF file in a folder. `None` if there is none, so that it may be a store.
pub fn files_at(path: &Path) -> Result<Option<PathBuf>> {
    if path.is_file() {
        return Ok(Some(path.to_owned()));
    }
    if !path.is_dir() || is_store(path) {
        return Ok(None);
    }
    let names = names_in(path);
    let config = path.join("config.json").is_file();
    if config && names.iter().any(|name| name.ends_with(".safetensors")) {
        return Ok(Some(path.to_owned()));
    }
    match ggufs(&names).as_slice() {
        [] if config => Ok(Some(path.to_owned())),
        [] => match kind_of_folder(&names) {
            None => Ok(None),
            Some((what, hint)) => Err(anyhow!("{}: {what}", path.display())).hint(hint),
        },
        [one] => Ok(Some(path.join(one))),
        several => {
            let shown: Vec<&str> = several.iter().take(SHOWN).map(String::as_str).collect();
            let more = if several.len() > SHOWN { ", …" } else { "" };
            let list = format!("{}{more}", shown.join(", "));
            Err(anyhow!("{} has {} models: {list}", path.display(), several.len()))
                .hint(format!("name one of them, such as {}", path.join(&several[0]).display()))
        }
    }
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

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok());
    let files = entries.take(MOST_FILES).filter(|entry| entry.path().is_file());
    let mut names: Vec<String> =
        files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The GGUF files among these; of one in parts the first, and none that only goes with another.
fn ggufs(names: &[String]) -> Vec<String> {
    let is_model = |name: &&String| {
        let name = name.to_lowercase();
        name.ends_with(".gguf") && !name.starts_with("mmproj")
    };
    let whole = |name: &String| {
        let parts = model::weights::part_names(name);
        parts.and_then(|parts| parts.into_iter().next()).unwrap_or_else(|| name.clone())
    };
    let mut models: Vec<String> = names.iter().filter(is_model).map(whole).collect();
    models.sort();
    models.dedup();
    models
}

/// What a folder is that has files of models and is none, and what to do.
fn kind_of_folder(names: &[String]) -> Option<(&'static str, &'static str)> {
    let has = |name: &str| names.iter().any(|known| known == name);
    let ends = |end: &str| names.iter().any(|name| name.ends_with(end));
    if has("adapter_config.json") {
        return Some((
            "an adapter (LoRA), not a model",
            "run the model that it was made for, which adapter_config.json names",
        ));
    }
    if ends(".safetensors") || ends(".bin") || ends(".pth") {
        return Some((
            "there are weights and no config.json, which says what they are",
            "fetch the other files of the model too; `understory pull` fetches all that are needed",
        ));
    }
    if has("tokenizer.json") || has("tokenizer.model") || has("tokenizer_config.json") {
        return Some((
            "a tokenizer and no model",
            "fetch config.json and the weights too; `understory pull` fetches all that are needed",
        ));
    }
    None
}

/// The store of `path` itself, of the peer in it, or of the first peer of the demo in it.
pub fn find_store(path: &Path) -> Result<Store> {
    if let Some(found) = stores(path).into_iter().find(|store| store.join("objects").is_dir()) {
        return Ok(Store::open_existing(found)?);
    }
    let error = anyhow!("no model at {}", path.display());
    let text = path.to_string_lossy();
    let elsewhere = [HUB, "https://", "http://"].iter().any(|start| text.starts_with(start));
    Err(error).hint(match elsewhere {
        true => format!("`understory pull {text}` fetches it and says its path"),
        false => NAMES.to_owned(),
    })
}

/// Where the store of a path may be.
fn stores(path: &Path) -> [PathBuf; 3] {
    [path.to_path_buf(), path.join("store"), path.join("peer-1/store")]
}

fn is_store(path: &Path) -> bool {
    stores(path).iter().any(|store| store.join("objects").is_dir())
}

const NAMES: &str =
    "name the folder of a demo or of a peer, a Hugging Face folder, or a .gguf file";
/// Names shown of several models.
const SHOWN: usize = 8;
/// Files of a folder that are looked at.
const MOST_FILES: usize = 10_000;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_in_parts_is_one() {
        let names =
            |names: &[&str]| ggufs(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        let parts = ["m-00002-of-00002.gguf", "m-00001-of-00002.gguf", "mmproj-m.gguf", "a.txt"];
        assert_eq!(names(&parts), ["m-00001-of-00002.gguf"]);
        assert_eq!(names(&["b.GGUF", "a.gguf"]), ["a.gguf", "b.GGUF"]);
    }
}
