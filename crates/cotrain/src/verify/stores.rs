//! Every peer's files: read whole, compared with their names, laid over each other.

use super::{
    Tell, VerifyError, counted,
    found::{Finding, Found},
    history::History,
};
use crate::{MODEL_REF, RUN_REF};
use ids::Hash;
use progress::Work;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};
use store::{Damage, Log, LogError, ModelManifest, Store, StoreError};
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
/// are what their names say; all of them are hashed for that.
pub fn open(
    folders: &[PathBuf],
    scratch: &Path,
    threads: usize,
    found: &mut Found,
    tell: &mut Tell<'_>,
) -> Result<(Vec<Peer>, Store), VerifyError> {
    let mut peers = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        // The log first: what it names was in the store before.
        let log = read_log(folder, &scratch.join(format!("log-{number}")), found)?;
        let store = Store::open_existing(folder.join("store"))?;
        let name = folder.canonicalize().ok();
        let name = name.as_deref().unwrap_or(folder).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let run_ref = store.get_ref(RUN_REF).ok().flatten();
        peers.push(Peer { name, folder: folder.clone(), store, log, run_ref });
    }
    let scans = scan(&peers, threads, tell)?;
    let overlay = Store::open(scratch.join("store"))?;
    for (peer, scan) in peers.iter().zip(scans) {
        let scan = scan.map_err(|source| VerifyError::Reading {
            folder: peer.store.root().to_owned(),
            source,
        })?;
        found.peer(&peer.name, peer.log.author, peer.log.records.len(), &scan);
        lay_over(&overlay, &peer.store, &scan.whole)?;
        for damage in scan.damage {
            found.find(Finding::Damage { file: damage.path, what: damage.what });
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
fn scan(
    peers: &[Peer],
    threads: usize,
    tell: &mut Tell<'_>,
) -> Result<Vec<Result<Scan, StoreError>>, VerifyError> {
    // What a store lacks of that when it is read is told at its scan.
    let total: u64 = peers.iter().map(|peer| peer.store.bytes().unwrap_or(0)).sum();
    let results: Vec<Mutex<Option<Result<Scan, StoreError>>>> =
        peers.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let (heard, hashed) = mpsc::channel();
    let told = std::thread::scope(|scope| {
        for _ in 0..threads.min(peers.len()).max(1) {
            let heard = heard.clone();
            let (next, results) = (&next, &results);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(peer) = peers.get(at) else { break };
                    // Nobody listens once there was enough.
                    let result = scan_one(&peer.store, &mut |bytes| {
                        let _ = heard.send(bytes);
                    });
                    *results[at].lock().expect("nobody panics while holding it") = Some(result);
                }
            });
        }
        drop(heard);
        tell_hashed(&hashed, total, tell)
            .inspect_err(|_| next.store(peers.len(), Ordering::Relaxed))
    });
    told?;
    let taken = results.into_iter().map(|r| r.into_inner().expect("every thread has ended"));
    Ok(taken.map(|r| r.expect("every store was scanned")).collect())
}

/// Tells how many bytes of `total` were hashed, until nothing more comes.
fn tell_hashed(
    hashed: &mpsc::Receiver<u64>,
    total: u64,
    tell: &mut Tell<'_>,
) -> Result<(), VerifyError> {
    let mut done = 0;
    for bytes in hashed {
        // A running peer's store grows; the last is told below.
        done = (done + bytes).min(total.saturating_sub(1));
        counted(tell, Work::Hashing, done, total)?;
    }
    counted(tell, Work::Hashing, total, total)
}

fn scan_one(store: &Store, read: &mut dyn FnMut(u64)) -> Result<Scan, StoreError> {
    // A file that went away while it was read belonged to a running peer.
    let damage = store.damage_told(read)?.into_iter();
    let damage: Vec<Damage> = damage.filter(|d| d.path.exists()).collect();
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
fn lay_over(overlay: &Store, store: &Store, objects: &[Hash]) -> Result<(), VerifyError> {
    let root = store.root().canonicalize().map_err(file_error("cannot find", store.root()))?;
    for hash in objects {
        let link = object_path(overlay.root(), hash);
        if link.exists() {
            continue;
        }
        let folder = link.parent().expect("objects lie in folders");
        fs::create_dir_all(folder).map_err(file_error("cannot make", folder))?;
        symlink(object_path(&root, hash), &link).map_err(file_error("cannot link", &link))?;
    }
    Ok(())
}

/// An error of a file.
fn file_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VerifyError {
    move |source| VerifyError::File { doing, path: path.to_owned(), source }
}

/// Most bytes of a ref that are read: it is a line with a hash.
const MAX_REF: u64 = 1 << 10;

/// A log's contents; what is wrong with it is among the findings.
fn read_log(folder: &Path, copy: &Path, found: &mut Found) -> Result<LogContents, VerifyError> {
    let log = folder.join("log");
    if !log.exists() {
        found.find(Finding::NoLog { log });
        return Ok(LogContents::default());
    }
    let entries = match Log::read(&log) {
        Ok(entries) => entries,
        Err(LogError::Torn { at, entry, .. }) => {
            // An append that never returned, or one that goes on just now: nobody relies on it.
            found.find(Finding::TornLog { log: log.clone(), entry });
            let whole = File::open(&log).map_err(file_error("cannot read", &log))?.take(at);
            let mut to = File::create(copy).map_err(file_error("cannot write", copy))?;
            io::copy(&mut BufReader::new(whole), &mut to)
                .map_err(file_error("cannot copy", &log))?;
            Log::read(copy)?
        }
        Err(error) => {
            found.find(Finding::BadLog { log, why: error.to_string() });
            return Ok(LogContents::default());
        }
    };
    Ok(swarm::read_log(entries.iter().map(Vec::as_slice)).unwrap_or_else(|error| {
        found.find(Finding::BadLog { log, why: error.to_string() });
        LogContents::default()
    }))
}

/// Whether every ref says what the chain says, and leads to objects in its own store.
pub fn check_refs(peers: &[Peer], history: &History, found: &mut Found) -> Result<(), VerifyError> {
    for peer in peers {
        for (name, hash) in readable_refs(&peer.store)? {
            let file = peer.ref_path(&name);
            let bytes = bounded::read(&file, MAX_REF).map_err(file_error("cannot read", &file))?;
            if bytes != format!("{hash}\n").as_bytes() {
                found.find(Finding::BadRef { file: file.clone() });
            }
            match name.as_str() {
                RUN_REF if hash == history.run => check_target(peer, &file, &[hash], found),
                RUN_REF => {} // Said when the run was looked for.
                MODEL_REF if history.is_root(&hash) => {
                    check_target(peer, &file, &model_parts(&peer.store, hash), found);
                }
                MODEL_REF => found.find(Finding::UndecidedRef { file, model: hash }),
                _ => check_target(peer, &file, &[hash], found),
            }
        }
    }
    Ok(())
}

/// Refs that hold a hash; the others are among the damage.
fn readable_refs(store: &Store) -> Result<Vec<(String, Hash)>, VerifyError> {
    let mut found = Vec::new();
    let folder = store.root().join("refs");
    let entries = fs::read_dir(&folder).map_err(file_error("list", &folder))?;
    for entry in entries {
        let entry = entry.map_err(file_error("list", &folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
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

fn check_target(peer: &Peer, file: &Path, objects: &[Hash], found: &mut Found) {
    for hash in objects.iter().filter(|h| !peer.store.has(h)) {
        let absent = object_path(peer.store.root(), hash);
        found.find(Finding::DanglingRef { file: file.to_owned(), absent });
    }
}
