//! What this machine's user has set for the hub.

use engine::hub::Settings;
use std::{ffi::OsString, path::PathBuf};

/// Bytes of the file with the token that are looked at.
const MAX_TOKEN: u64 = 1 << 12;

/// What this machine's user has set: hub, token, cache.
pub fn settings() -> Settings {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let endpoint = var("HF_ENDPOINT").map(text).filter(|value| !value.trim().is_empty());
    let folder = |name: &str| var(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let cache = cache.map(|cache| cache.join("understory/models"));
    Settings { endpoint, token: token(var), cache }
}

/// The token of the usual places: `HF_TOKEN`, else the file that `hf auth login` writes.
fn token(var: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    if let Some(given) = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(&var) {
        return Some(text(given));
    }
    let cache = var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(var("HOME")?).join(".cache")));
    let folder = var("HF_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(cache?.join("huggingface")));
    let path = var("HF_TOKEN_PATH").map(PathBuf::from);
    let path = path.or_else(|| Some(folder?.join("token")))?;
    bounded::read_named_text(&path, MAX_TOKEN).ok()
}

/// Bytes that are no text become what no token and no address has.
fn text(value: OsString) -> String {
    value.to_string_lossy().into_owned()
}
