//! What a name of a hub came to when it was last fetched, so that the model is opened again without
//! asking anybody.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use store::file::{Readers, write_atomically};

use super::error::DownloadError;
use super::source::{HubName, check_name};
use super::{Pulled, is_hex};

/// What is kept of a name.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The name, whole: `hf:OWNER/NAME@REVISION:FILE`.
    name: String,
    /// The commit that it came to.
    commit: String,
    /// The file by which the model is opened; `None` for the folder of the commit.
    file: Option<String>,
    /// All its files with their lengths.
    files: Vec<(String, u64)>,
}

/// A model that is here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cached {
    pub path: PathBuf,
    pub commit: String,
}

/// The model of a name, if it was fetched and all of it is still here. What is damaged or strange is
/// as good as nothing: the hub is asked then.
pub(super) fn find(name: &HubName, cache: &Path) -> Option<Cached> {
    let bytes = bounded::read(&note_of(name, cache), MAX_NOTE).ok()?;
    let known: Known = serde_json::from_slice(&bytes).ok()?;
    if known.name != name.to_string() || known.commit.len() != 40 || !is_hex(&known.commit) {
        return None;
    }
    let folder = cache.join(&name.repository).join(&known.commit);
    let is_here = |(name, length): &(String, u64)| {
        check_name(name).is_ok()
            && fs::metadata(folder.join(name)).is_ok_and(|m| m.is_file() && m.len() == *length)
    };
    if known.files.is_empty() || !known.files.iter().all(is_here) {
        return None;
    }
    let path = match known.file {
        None => folder,
        Some(file) => known.files.iter().any(|(n, _)| *n == file).then(|| folder.join(file))?,
    };
    Some(Cached { path, commit: known.commit })
}

/// Keeps what a name came to.
pub(super) fn keep(name: &HubName, cache: &Path, pulled: &Pulled) -> Result<(), DownloadError> {
    let Some(commit) = pulled.commit.clone() else { return Ok(()) };
    let opened_by = pulled.files.iter().find(|file| file.path == pulled.path);
    let known = Known {
        name: name.to_string(),
        commit,
        file: opened_by.map(|file| file.name.clone()),
        files: pulled.files.iter().map(|f| (f.name.clone(), f.digests.bytes)).collect(),
    };
    let (path, json) = (note_of(name, cache), serde_json::json!(known).to_string());
    write_atomically(&path, json.as_bytes(), Readers::All)
        .map_err(DownloadError::file("write", &path))
}

/// Where it is kept: beside the commits of its repository.
fn note_of(name: &HubName, cache: &Path) -> PathBuf {
    let hash = blake3::hash(name.to_string().as_bytes()).to_hex();
    cache.join(&name.repository).join(format!("{}.json", &hash[..16]))
}

/// Bytes of a note that are looked at.
const MAX_NOTE: u64 = 1 << 22;

#[cfg(test)]
mod tests {
    use super::super::{Digests, PulledFile, Source};
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn name(text: &str) -> HubName {
        match Source::parse(text) {
            Ok(Source::Hub(name)) => name,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// A cache with one file of a model in it, and what fetching that gave.
    fn fetched(cache: &Path) -> Pulled {
        let folder = cache.join("a/b").join(COMMIT);
        fs::create_dir_all(&folder).expect("made");
        let path = folder.join("m.gguf");
        fs::write(&path, "weights").expect("written");
        let digests =
            Digests { bytes: 7, blake3: String::new(), sha256: String::new(), git_blob: None };
        let file =
            PulledFile { name: "m.gguf".into(), path: path.clone(), digests, was_there: false };
        Pulled { path, commit: Some(COMMIT.into()), files: vec![file] }
    }

    #[test]
    fn a_name_is_found_again_while_all_of_it_is_here() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (cache, pulled) = (dir.path(), fetched(dir.path()));
        assert_eq!(find(&name("hf:a/b"), cache), None);
        keep(&name("hf:a/b"), cache, &pulled).expect("written");
        let want = Cached { path: pulled.path.clone(), commit: COMMIT.into() };
        assert_eq!(find(&name("hf:a/b"), cache).as_ref(), Some(&want));
        assert_eq!(find(&name("hf:a/b@main"), cache).as_ref(), Some(&want));
        for other in ["hf:a/b@v1", "hf:a/b:m.gguf", "hf:a/c"] {
            assert_eq!(find(&name(other), cache), None, "{other}");
        }
        fs::write(&pulled.path, "weight").expect("written");
        assert_eq!(find(&name("hf:a/b"), cache), None, "a byte is missing");
        fs::remove_file(&pulled.path).expect("removed");
        assert_eq!(find(&name("hf:a/b"), cache), None);
    }

    #[test]
    fn a_strange_note_leads_nowhere() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = dir.path();
        fetched(cache);
        fs::write(cache.join("a/b/secret"), "weights").expect("written");
        let note = |commit: &str, file: &str, files: &[(&str, u64)]| {
            let known = serde_json::json!({
                "name": "hf:a/b@main", "commit": commit, "file": file, "files": files,
            });
            fs::write(note_of(&name("hf:a/b"), cache), known.to_string()).expect("written");
            find(&name("hf:a/b"), cache)
        };
        assert!(note(COMMIT, "m.gguf", &[("m.gguf", 7)]).is_some());
        assert!(note(COMMIT, "m.gguf", &[]).is_none());
        assert!(note(COMMIT, "../secret", &[("../secret", 7)]).is_none());
        assert!(note(COMMIT, "../secret", &[("m.gguf", 7)]).is_none());
        assert!(note("../b", "m.gguf", &[("m.gguf", 7)]).is_none());
        fs::write(note_of(&name("hf:a/b"), cache), "{").expect("written");
        assert!(find(&name("hf:a/b"), cache).is_none());
    }
}
