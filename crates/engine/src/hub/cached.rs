//! What a name of a hub came to when it was last fetched, with the hashes of its files, so that the
//! model is opened again without asking anybody, and what became another file is found out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use store::file::{Readers, modified, write_atomically};

use super::digest::Digests;
use super::download;
use super::error::DownloadError;
use super::source::{HubName, check_name};
use super::{Pulled, is_hex};
use progress::{Counter, Tell, Work};

/// What is kept of a name.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The name, whole: `hf:OWNER/NAME@REVISION:FILE`.
    name: String,
    /// The commit that it came to.
    commit: String,
    /// The file by which the model is opened; `None` for the folder of the commit.
    file: Option<String>,
    /// All its files.
    files: Vec<KnownFile>,
}

/// What is kept of a file.
#[derive(Debug, Serialize, Deserialize)]
struct KnownFile {
    name: String,
    /// Its hashes as they were computed here; the one that the hub named is among them.
    digests: Digests,
    /// When it was written last, in nanoseconds since 1970.
    modified_ns: Option<u64>,
}

/// A model that is here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cached {
    pub path: PathBuf,
    pub commit: String,
}

/// What is here of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Here(Cached),
    /// It was fetched, and files of it are gone or other ones now.
    NotWhole,
    Nothing,
}

/// What is here of a name. A file that was written to since it was fetched is hashed again. A note
/// that is damaged or strange is as good as none: the hub is asked then.
pub(super) fn find(name: &HubName, cache: &Path, tell: &mut Tell<'_>) -> Found {
    let Some(mut known) = read(name, cache) else { return Found::Nothing };
    let folder = cache.join(&name.repository).join(&known.commit);
    let path = match &known.file {
        None => folder.clone(),
        Some(file) if known.files.iter().any(|known| known.name == *file) => folder.join(file),
        Some(_) => return Found::Nothing,
    };
    let Some(changed) = changed(&known, &folder) else { return Found::NotWhole };
    if !changed.is_empty() {
        let bytes = changed.iter().map(|&at| known.files[at].digests.bytes).sum();
        let mut count = Counter::new(Work::Hashing, bytes, tell);
        for at in changed {
            let file = &mut known.files[at];
            let path = folder.join(&file.name);
            let modified_ns = modified_of(&path);
            let now = download::hash_file(&path, None, &mut |n| count.add(n));
            if now.map_or(true, |now| now.blake3 != file.digests.blake3) {
                return Found::NotWhole;
            }
            file.modified_ns = modified_ns;
        }
        // Without the new times the same is done again next time, and nothing else is lost.
        let _ = write(name, cache, &known);
    }
    Found::Here(Cached { path, commit: known.commit })
}

/// The files that have another time than was noted; `None` if one is gone or has another length.
fn changed(known: &Known, folder: &Path) -> Option<Vec<usize>> {
    let mut changed = Vec::new();
    for (at, file) in known.files.iter().enumerate() {
        let found = fs::metadata(folder.join(&file.name)).ok()?;
        if !found.is_file() || found.len() != file.digests.bytes {
            return None;
        }
        if modified(&found).is_none() || modified(&found) != file.modified_ns {
            changed.push(at);
        }
    }
    Some(changed)
}

/// The hashes of a name's files by their names, if it was fetched at this commit.
pub(super) fn noted(name: &HubName, cache: &Path, commit: &str) -> BTreeMap<String, Digests> {
    let known = read(name, cache).filter(|known| known.commit == commit);
    let files = known.into_iter().flat_map(|known| known.files);
    files.map(|file| (file.name, file.digests)).collect()
}

/// Keeps what a name came to.
pub(super) fn keep(name: &HubName, cache: &Path, pulled: &Pulled) -> Result<(), DownloadError> {
    let Some(commit) = pulled.commit.clone() else { return Ok(()) };
    let opened_by = pulled.files.iter().find(|file| file.path == pulled.path);
    let files = pulled.files.iter().map(|file| KnownFile {
        name: file.name.clone(),
        digests: file.digests.clone(),
        modified_ns: modified_of(&file.path),
    });
    let file = opened_by.map(|file| file.name.clone());
    write(name, cache, &Known { name: name.to_string(), commit, file, files: files.collect() })
}

fn read(name: &HubName, cache: &Path) -> Option<Known> {
    let bytes = bounded::read(&note_of(name, cache), MAX_NOTE).ok()?;
    let known: Known = serde_json::from_slice(&bytes).ok()?;
    let is_good = known.name == name.to_string()
        && known.commit.len() == 40
        && is_hex(&known.commit)
        && !known.files.is_empty()
        && known.files.iter().all(|file| check_name(&file.name).is_ok());
    is_good.then_some(known)
}

fn write(name: &HubName, cache: &Path, known: &Known) -> Result<(), DownloadError> {
    let (path, json) = (note_of(name, cache), serde_json::json!(known).to_string());
    write_atomically(&path, json.as_bytes(), Readers::All)
        .map_err(DownloadError::file("write", &path))
}

fn modified_of(path: &Path) -> Option<u64> {
    modified(&fs::metadata(path).ok()?)
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
    use super::super::{PulledFile, Source};
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn name(text: &str) -> HubName {
        match Source::parse(text) {
            Ok(Source::Hub(name)) => name,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// What is found, and how often bytes were hashed for it.
    fn found(text: &str, cache: &Path) -> (Found, usize) {
        let mut hashed = 0;
        let found = find(&name(text), cache, &mut |_| hashed += 1);
        (found, hashed)
    }

    /// A cache with one file of a model in it, and what fetching that gave.
    fn fetched(cache: &Path) -> Pulled {
        let folder = cache.join("a/b").join(COMMIT);
        fs::create_dir_all(&folder).expect("made");
        let path = folder.join("m.gguf");
        fs::write(&path, "weights").expect("written");
        let digests = download::hash_file(&path, None, &mut |_| {}).expect("it is there");
        let file =
            PulledFile { name: "m.gguf".into(), path: path.clone(), digests, was_there: false };
        Pulled { path, commit: Some(COMMIT.into()), files: vec![file] }
    }

    #[test]
    fn a_name_is_found_again_while_all_of_it_is_here() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (cache, pulled) = (dir.path(), fetched(dir.path()));
        assert_eq!(found("hf:a/b", cache).0, Found::Nothing);
        keep(&name("hf:a/b"), cache, &pulled).expect("written");
        let here = || Found::Here(Cached { path: pulled.path.clone(), commit: COMMIT.into() });
        assert_eq!(found("hf:a/b", cache), (here(), 0));
        assert_eq!(found("hf:a/b@main", cache), (here(), 0));
        for other in ["hf:a/b@v1", "hf:a/b:m.gguf", "hf:a/c"] {
            assert_eq!(found(other, cache).0, Found::Nothing, "{other}");
        }
        fs::write(&pulled.path, "weight").expect("written");
        assert_eq!(found("hf:a/b", cache).0, Found::NotWhole, "a byte is missing");
        fs::remove_file(&pulled.path).expect("removed");
        assert_eq!(found("hf:a/b", cache).0, Found::NotWhole);
    }

    #[test]
    fn a_file_that_was_written_to_is_hashed_again_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (cache, pulled) = (dir.path(), fetched(dir.path()));
        keep(&name("hf:a/b"), cache, &pulled).expect("written");
        let later = |bytes: &str| {
            fs::write(&pulled.path, bytes).expect("written");
            let file = fs::File::options().write(true).open(&pulled.path).expect("it is there");
            let time = file.metadata().and_then(|found| found.modified()).expect("told");
            file.set_modified(time + std::time::Duration::from_secs(60)).expect("set");
        };
        later("weights");
        let (same, hashed) = found("hf:a/b", cache);
        assert!(matches!(same, Found::Here(_)) && hashed > 0);
        assert_eq!(found("hf:a/b", cache), (same, 0), "its new time is noted");
        later("WEIGHTS");
        assert_eq!(found("hf:a/b", cache).0, Found::NotWhole);
        assert_eq!(noted(&name("hf:a/b"), cache, COMMIT)["m.gguf"], pulled.files[0].digests);
        assert!(noted(&name("hf:a/b"), cache, &COMMIT.replace('0', "1")).is_empty());
    }

    #[test]
    fn a_strange_note_leads_nowhere() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = dir.path();
        let digests = fetched(cache).files.remove(0).digests;
        fs::write(cache.join("a/b/secret"), "weights").expect("written");
        let note = |commit: &str, file: &str, files: &[&str]| {
            let known = serde_json::json!({
                "name": "hf:a/b@main", "commit": commit, "file": file,
                "files": files.iter().map(|name| serde_json::json!({
                    "name": name, "digests": digests, "modified_ns": null,
                })).collect::<Vec<_>>(),
            });
            fs::write(note_of(&name("hf:a/b"), cache), known.to_string()).expect("written");
            found("hf:a/b", cache).0
        };
        assert!(matches!(note(COMMIT, "m.gguf", &["m.gguf"]), Found::Here(_)));
        assert_eq!(note(COMMIT, "m.gguf", &[]), Found::Nothing);
        assert_eq!(note(COMMIT, "../secret", &["../secret"]), Found::Nothing);
        assert_eq!(note(COMMIT, "../secret", &["m.gguf"]), Found::Nothing);
        assert_eq!(note("../b", "m.gguf", &["m.gguf"]), Found::Nothing);
        fs::write(note_of(&name("hf:a/b"), cache), "{").expect("written");
        assert_eq!(found("hf:a/b", cache).0, Found::Nothing);
    }
}
