//! What a path names: a file, a folder of another program, or a store of ours.

use std::fs;
use std::path::{Path, PathBuf};

use model::FormatError;
use store::Store;

use crate::EngineError;

/// The model in other programs' files that a path means: a file, a Hugging Face folder, or the one
/// GGUF file in a folder. `None` if there is none, so that it may be a store.
///
/// Errors: a folder with several models, or with a part of one.
pub fn files_at(path: &Path) -> Result<Option<PathBuf>, EngineError> {
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
    let refused = |what: String, todo: String| {
        Err(FormatError::refused(format!("{}{what}", path.display()), todo).into())
    };
    match ggufs(&names).as_slice() {
        [] if config => Ok(Some(path.to_owned())),
        [] => match kind_of_folder(&names) {
            None => Ok(None),
            Some((what, todo)) => refused(format!(": {what}"), todo.to_owned()),
        },
        [one] => Ok(Some(path.join(one))),
        several => {
            let shown: Vec<&str> = several.iter().take(SHOWN).map(String::as_str).collect();
            let more = if several.len() > SHOWN { ", …" } else { "" };
            let what = format!(" has {} models: {}{more}", several.len(), shown.join(", "));
            let todo = format!("name one of them, such as {}", path.join(&several[0]).display());
            refused(what, todo)
        }
    }
}

/// The store of `path` itself, of the peer in it, or of the first peer of the demo in it; `None` if
/// there is none.
pub fn store_at(path: &Path) -> Result<Option<Store>, EngineError> {
    let found = stores(path).into_iter().find(|store| store.join("objects").is_dir());
    Ok(found.map(Store::open_existing).transpose()?)
}

/// Where the store of a path may be.
fn stores(path: &Path) -> [PathBuf; 3] {
    [path.to_path_buf(), path.join("store"), path.join("peer-1/store")]
}

fn is_store(path: &Path) -> bool {
    stores(path).iter().any(|store| store.join("objects").is_dir())
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
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

/// Names shown of several models.
const SHOWN: usize = 8;
/// Files of a folder that are looked at.
const MOST_FILES: usize = 10_000;

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
