//! Where the text comes from when the user names none.

use crate::{
    hint::{WithHint, hinted},
    progress::Screen,
};
use anyhow::Result;
use recipe::corpus::{Documents, registry_documents};
use std::path::PathBuf;

/// The crates this binary was built from.
const LOCK_FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));

/// The text in `paths`, or, where there are none, the documentation in the local cargo registry; how
/// far that is read is shown. `json` is for programs.
pub fn documents(paths: &[PathBuf], json: bool) -> Result<Documents> {
    let mut screen = Screen::new(json);
    let tell = &mut |progress| screen.tell(progress);
    if !paths.is_empty() {
        return Documents::from_paths_told(paths, tell).map_err(|error| {
            let todo = error.todo();
            hinted(error, todo)
        });
    }
    registry_documents(LOCK_FILE, &registries(), tell).hint(
        "train on your own text: --data PATH, or `paths` in the file of settings (.txt, .md, .jsonl, .ndjson, .json, plain, .gz or .zst, or .parquet), \
         or run `cargo fetch` in understory's source folder to fill the registry",
    )
}

/// Folders of unpacked packages in the local cargo registry.
fn registries() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let default = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cargo"));
    let Some(home) = home.or_else(default) else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(home.join("registry/src")) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    folders.sort();
    folders
}
