//! Every peer's files: read whole, compared with their names, laid over each other.

use super::{history::History, report::Report};
use crate::{
    model_source::{MODEL_REF, RUN_REF},
    scratch::Scratch,
};
use anyhow::{Context, Result};
use ids::Hash;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Mutex,
};
use store::{Damage, Log, LogError, ModelManifest, Store};
use swarm::LogContents;

/// One peer's folder as it was found.
pub struct Peer {
    /// Its name, for people.
    pub name: String,
    folder: PathBuf,
    store: Store,
    /// What its log says; empty if the log is damaged or absent.
    pub log: LogContents,
    /// The run it says it takes part in.
    pub run_ref: Option<Hash>,
}

impl Peer {
    /// Its log file.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The file of a ref.
    pub fn ref_path(&self, name: &str) -> PathBuf {
        self.store.root().join("refs").join(name)
    }
}

/// Reads every peer's log and objects and returns the peers with one store of all objects that
/// are what their names say.
pub fn open(
    folders: &[PathBuf],
    scratch: &Scratch,
    threads: usize,
    report: &mut Report,
) -> Result<(Vec<Peer>, Store)> {
    let mut peers = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        // The log first: what it names was in the store before.
        let log = read_log(folder, &scratch.path().join(format!("log-{number}")), report)?;
        let store = Store::open_existing(folder.join("store"))?;
        let name = folder.canonicalize().ok();
        let name = name.as_deref().unwrap_or(folder).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let run_ref = store.get_ref(RUN_REF).ok().flatten();
        peers.push(Peer { name, folder: folder.clone(), store, log, run_ref });
    }
    let scans = scan(&peers, threads);
    let overlay = Store::open(scratch.path().join("store"))?;
    for (peer, scan) in peers.iter().zip(scans) {
        let scan = scan.with_context(|| format!("reading {}", peer.store.root().display()))?;
        report.peer(&peer.name, peer.log.author, peer.log.records.len(), &scan);
        lay_over(&overlay, &peer.store, &scan.whole)?;
        for damage in scan.damage {
            report.mismatch(format!("{}: {}", damage.path.display(), damage.what));
        }
    }
    Ok((peers, overlay))
}

/// What a look at every object of a store found.
#[derive(Default)]
pub struct Scan {
    /// Objects that hash to their names.
    pub whole: Vec<Hash>,
    /// Their bytes in all.
    pub bytes: u64,
    /// Files that are not what they should be.
    pub damage: Vec<Damage>,
}

/// Scans the stores side by side on at most `threads` threads.
fn scan(peers: &[Peer], threads: usize) -> Vec<Result<Scan>> {
    let results: Vec<Mutex<Option<Result<Scan>>>> =
        peers.iter().map(|_| Mutex::new(None)).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, peers.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(peer) = peers.get(at) else { break };
                    let result = scan_one(&peer.store);
                    *results[at].lock().expect("nobody panics while holding it") = Some(result);
                }
            });
        }
    });
    let taken = results.into_iter().map(|r| r.into_inner().expect("every thread has ended"));
    taken.map(|r| r.expect("every store was scanned")).collect()
}

fn scan_one(store: &Store) -> Result<Scan> {
    // A file that went away while it was read belonged to a running peer.
    let damage: Vec<Damage> = store.damage()?.into_iter().filter(|d| d.path.exists()).collect();
    let bad: BTreeSet<&Path> = damage.iter().map(|d| d.path.as_path()).collect();
    let mut whole = Vec::new();
    let mut bytes = 0;
    for hash in store.objects()? {
        let path = object_path(store.root(), &hash);
        if let (Some(len), false) = (store.len_of(&hash), bad.contains(path.as_path())) {
            bytes += len;
            whole.push(hash);
        }
    }
    Ok(Scan { whole, bytes, damage })
}

/// Where the object of this name lies below a store's folder.
fn object_path(root: &Path, hash: &Hash) -> PathBuf {
    let hex = hash.to_string();
    root.join("objects").join(&hex[..2]).join(&hex[2..])
}

/// Links objects into the overlay, which then reads them where they lie. Writing there replaces
/// the link, never what it leads to.
fn lay_over(overlay: &Store, store: &Store, objects: &[Hash]) -> Result<()> {
    let root = store.root().canonicalize()?;
    for hash in objects {
        let link = object_path(overlay.root(), hash);
        if link.exists() {
            continue;
        }
        let folder = link.parent().expect("objects lie in folders");
        fs::create_dir_all(folder)?;
        symlink(object_path(&root, hash), &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

/// A log's contents; what is wrong with it goes into the report.
fn read_log(folder: &Path, copy: &Path, report: &mut Report) -> Result<LogContents> {
    let path = folder.join("log");
    if !path.exists() {
        report.unavailable(format!("{}: is not there", path.display()));
        return Ok(LogContents::default());
    }
    let entries = match Log::read(&path) {
        Ok(entries) => entries,
        Err(LogError::Torn { at, entry, .. }) => {
            // An append that never returned, or one that goes on just now: nobody relies on it.
            report.note(format!(
                "{}: ends within entry {entry}, as after a crash; the whole entries count",
                path.display()
            ));
            let mut bytes = fs::read(&path)?;
            bytes.truncate(at as usize);
            fs::write(copy, bytes)?;
            Log::read(copy)?
        }
        Err(error) => {
            report.mismatch(format!("{}: {error}", path.display()));
            return Ok(LogContents::default());
        }
    };
    match swarm::read_log(entries.iter().map(Vec::as_slice)) {
        Ok(contents) => Ok(contents),
        Err(error) => {
            report.mismatch(format!("{}: {error}", path.display()));
            Ok(LogContents::default())
        }
    }
}

/// Whether every ref says what the chain says, and leads to objects in its own store.
pub fn check_refs(peers: &[Peer], history: &History, report: &mut Report) -> Result<()> {
    for peer in peers {
        for (name, hash) in readable_refs(&peer.store)? {
            let path = peer.ref_path(&name);
            let file = path.display();
            if fs::read(&path)? != format!("{hash}\n").as_bytes() {
                report.mismatch(format!("{file}: is not written the way refs are"));
            }
            match name.as_str() {
                RUN_REF if hash == history.run => check_target(peer, &path, &[hash], report),
                RUN_REF => {} // Said when the run was looked for.
                MODEL_REF if history.is_root(&hash) => {
                    check_target(peer, &path, &model_parts(&peer.store, hash), report);
                }
                MODEL_REF => {
                    report.mismatch(format!("{file}: names {hash}, which no record decided"));
                }
                _ => check_target(peer, &path, &[hash], report),
            }
        }
    }
    Ok(())
}

/// Refs that hold a hash; the others are among the damage.
fn readable_refs(store: &Store) -> Result<Vec<(String, Hash)>> {
    let mut found = Vec::new();
    let folder = store.root().join("refs");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Ok(Some(hash)) = store.get_ref(&name) {
            found.push((name, hash));
        }
    }
    found.sort();
    Ok(found)
}

fn model_parts(store: &Store, root: Hash) -> Vec<Hash> {
    let manifest = ModelManifest::load(store, &root);
    let parts = manifest.map(|m| m.references()).unwrap_or_default();
    std::iter::once(root).chain(parts.into_iter().map(|p| p.hash)).collect()
}

fn check_target(peer: &Peer, path: &Path, objects: &[Hash], report: &mut Report) {
    for hash in objects.iter().filter(|h| !peer.store.has(h)) {
        let absent = object_path(peer.store.root(), hash);
        report.unavailable(format!(
            "{}: is not there, {} leads to it",
            absent.display(),
            path.display()
        ));
    }
}
