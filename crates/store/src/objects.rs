//! The object files and refs of one store folder.

use ids::Hash;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
};

/// Most bytes of an object that is read: far more than the largest tensor of a model.
const MAX_OBJECT: u64 = 1 << 36;

/// A folder of objects and refs. Cheap to clone; safe to share between threads and processes
/// (writers never touch a finished object).
#[derive(Clone, Debug)]
pub struct Store {
    root: Arc<Path>,
    next_tmp: Arc<AtomicU64>,
}

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error("{doing} {path}")]
    Io {
        /// What was being done, such as "reading".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The object is not here.
    #[error("object {hash} is not in the store at {path}")]
    Missing {
        /// Name of the object.
        hash: Hash,
        /// Folder of the store.
        path: PathBuf,
    },
    /// A file outside of the store, in which the object lies, is not as it was.
    #[error("object {hash}: the file {path} has changed since it was imported, or is gone")]
    Changed {
        /// Name of the object.
        hash: Hash,
        /// The file outside of the store.
        path: PathBuf,
    },
    /// The bytes on disk do not hash to their name.
    #[error("object {hash} is damaged: the file {path} hashes to {actual}")]
    Damaged {
        /// Name of the object.
        hash: Hash,
        /// What its bytes hash to.
        actual: Hash,
        /// The file that holds them.
        path: PathBuf,
    },
    /// A ref's file does not hold a hash.
    #[error("ref {name} is damaged: {path} holds no hash")]
    BadRef {
        /// Name of the ref.
        name: String,
        /// Its file.
        path: PathBuf,
    },
    /// A ref name outside `[a-z0-9._-]{1,64}`.
    #[error("a ref name is 1 to 64 of a-z 0-9 . _ -, not {0:?}")]
    RefName(String),
}

/// One thing [`Store::damage`] found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

type Result<T> = std::result::Result<T, StoreError>;

/// Most bytes of a ref that are read: it is a line with a hash.
const MAX_REF: u64 = 1 << 10;

impl StoreError {
    /// Whether the same may go well later, as when the disk has room again.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io { source, .. } if crate::file::may_pass(source))
    }
}

impl Store {
    /// Opens the store at `root` for writing, making the folder where it is absent.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        for folder in ["objects", "refs", "tmp"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(io_error("make folder", &path))?;
        }
        let store = Self { root: root.into(), next_tmp: Arc::default() };
        store.clear_tmp()?;
        Ok(store)
    }

    /// Opens a store that must exist, changing nothing.
    pub fn open_existing(root: impl AsRef<Path>) -> Result<Self> {
        let path = root.as_ref().join("objects");
        fs::metadata(&path).map_err(io_error("open store folder", &path))?;
        Ok(Self { root: root.as_ref().into(), next_tmp: Arc::default() })
    }

    /// The folder this store lives in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps `bytes` and returns their name. On return they survive a power cut.
    pub fn put(&self, bytes: &[u8]) -> Result<Hash> {
        let hash = Hash::of(bytes);
        self.put_as(hash, bytes, true)?;
        Ok(hash)
    }

    /// Keeps `bytes` without waiting for the disk: for what can be computed again, such as the
    /// states along a training run. After a power cut the object may be absent or found damaged.
    pub fn put_relaxed(&self, bytes: &[u8]) -> Result<Hash> {
        let hash = Hash::of(bytes);
        self.put_as(hash, bytes, false)?;
        Ok(hash)
    }

    /// Keeps `bytes` whose hash the caller has just computed.
    fn put_as(&self, hash: Hash, bytes: &[u8], sync: bool) -> Result<()> {
        let path = self.object_path(&hash);
        // An object of the right length may still be damaged; replacing it then is the repair.
        if self.read_verified(&hash, &path).is_ok() {
            return Ok(());
        }
        self.write_atomically(&path, bytes, sync)
    }

    /// The bytes of `hash`, checked against their name.
    pub fn get(&self, hash: &Hash) -> Result<Vec<u8>> {
        let path = self.object_path(hash);
        match self.read_verified(hash, &path) {
            Err(StoreError::Missing { .. }) => {
                let bytes = self.read_located(hash)?;
                let actual = Hash::of(&bytes);
                if actual == *hash {
                    return Ok(bytes);
                }
                let path = self.whereabouts(hash)?.path;
                Err(StoreError::Damaged { hash: *hash, actual, path })
            }
            read => read,
        }
    }

    /// The bytes of an object that has at most `most` of them, checked against its name.
    pub fn get_bounded(&self, hash: &Hash, most: u64) -> Result<Vec<u8>> {
        let found = self.whereabouts(hash)?;
        if found.len > most {
            let text = format!("{} bytes, at most {most} are read", found.len);
            return Err(io_error("read", &found.path)(io::Error::other(text)));
        }
        self.get(hash)
    }

    /// Whether the object's file is present, or a note of where it lies (its bytes are checked only
    /// by [`Store::get`]).
    pub fn has(&self, hash: &Hash) -> bool {
        self.object_path(hash).is_file() || self.is_located(hash)
    }

    /// The object's length in bytes, if it is present.
    pub fn len_of(&self, hash: &Hash) -> Option<u64> {
        self.whereabouts(hash).ok().map(|found| found.len)
    }

    /// Removes an object; absent ones are no error.
    pub fn remove(&self, hash: &Hash) -> Result<()> {
        let path = self.object_path(hash);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    /// Points the ref `name` at `hash`, replacing what it pointed at.
    pub fn set_ref(&self, name: &str, hash: &Hash) -> Result<()> {
        self.write_atomically(&self.ref_path(name)?, format!("{hash}\n").as_bytes(), true)
    }

    /// What `name` points at, or `None` where there is no such ref.
    pub fn get_ref(&self, name: &str) -> Result<Option<Hash>> {
        let path = self.ref_path(name)?;
        let text = match bounded::read(&path, MAX_REF) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            // What is too long is no hash.
            Err(e) if bounded::is_too_long(&e) => Vec::new(),
            Err(e) => return Err(io_error("read", &path)(e)),
        };
        let hash = std::str::from_utf8(&text)
            .ok()
            .and_then(|t| t.strip_suffix('\n'))
            .and_then(|t| t.parse().ok());
        match hash {
            Some(hash) => Ok(Some(hash)),
            None => Err(StoreError::BadRef { name: name.to_owned(), path }),
        }
    }

    /// Every ref and what it points at, in the order of their names.
    pub fn refs(&self) -> Result<Vec<(String, Hash)>> {
        let mut found = Vec::new();
        for path in files_under(&self.root.join("refs"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(hash) = self.get_ref(&name)? {
                found.push((name, hash));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Every object here, in the order of their hashes.
    pub fn objects(&self) -> Result<Vec<Hash>> {
        let mut found: Vec<Hash> =
            files_under(&self.root.join("objects"))?.iter().filter_map(|p| name_of(p)).collect();
        found.sort();
        Ok(found)
    }

    /// Bytes of all objects here, by the lengths of their files.
    pub fn bytes(&self) -> Result<u64> {
        let lengths = self.objects()?.into_iter().filter_map(|hash| self.len_of(&hash));
        Ok(lengths.sum())
    }

    /// Re-reads everything and lists each file that is not what its name says.
    pub fn damage(&self) -> Result<Vec<Damage>> {
        self.damage_told(&mut |_| {})
    }

    /// [`Store::damage`], which takes long where there is much; `read` hears how many bytes were
    /// hashed since it heard last.
    pub fn damage_told(&self, read: &mut dyn FnMut(u64)) -> Result<Vec<Damage>> {
        let mut damage = Vec::new();
        for path in files_under(&self.root.join("objects"))? {
            let Some(hash) = name_of(&path) else {
                damage.push(Damage { path, what: "not an object's name".to_owned() });
                continue;
            };
            match self.read_verified(&hash, &path) {
                Ok(bytes) => read(bytes.len() as u64),
                Err(e) => damage.push(Damage { path, what: e.to_string() }),
            }
        }
        for path in files_under(&self.root.join("refs"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Err(e) = self.get_ref(&name) {
                damage.push(Damage { path, what: e.to_string() });
            }
        }
        Ok(damage)
    }

    fn read_verified(&self, hash: &Hash, path: &Path) -> Result<Vec<u8>> {
        let bytes = bounded::read(path, MAX_OBJECT).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                StoreError::Missing { hash: *hash, path: self.root.to_path_buf() }
            }
            _ => io_error("read", path)(e),
        })?;
        let actual = Hash::of(&bytes);
        if actual != *hash {
            return Err(StoreError::Damaged { hash: *hash, actual, path: path.to_path_buf() });
        }
        Ok(bytes)
    }

    /// Write, fsync, rename, fsync the folder: the file is old or new, never between.
    pub(crate) fn write_atomically(&self, path: &Path, bytes: &[u8], sync: bool) -> Result<()> {
        let unique = self.next_tmp.fetch_add(1, Ordering::Relaxed);
        let tmp = self.root.join("tmp").join(format!("{}-{unique}", std::process::id()));
        let folder = path.parent().expect("objects and refs lie in folders");
        let write = || -> io::Result<()> {
            let mut file = File::create(&tmp)?;
            file.write_all(bytes)?;
            if sync {
                file.sync_all()?;
            }
            fs::create_dir_all(folder)?;
            fs::rename(&tmp, path)?;
            if sync { File::open(folder)?.sync_all() } else { Ok(()) }
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&tmp);
            io_error("write", path)(e)
        })
    }

    /// Removes what a process that no longer runs left behind; a live neighbour's files stay.
    fn clear_tmp(&self) -> Result<()> {
        for path in files_under(&self.root.join("tmp"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let pid = name.split('-').next().unwrap_or_default();
            if !Path::new("/proc").join(pid).exists() || pid == std::process::id().to_string() {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    pub(crate) fn object_path(&self, hash: &Hash) -> PathBuf {
        let hex = hash.to_string();
        self.root.join("objects").join(&hex[..2]).join(&hex[2..])
    }

    fn ref_path(&self, name: &str) -> Result<PathBuf> {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
        let plain = (1..=64).contains(&name.len()) && name.chars().all(allowed);
        if !plain || name.starts_with('.') {
            return Err(StoreError::RefName(name.chars().take(80).collect()));
        }
        Ok(self.root.join("refs").join(name))
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { doing, path, source }
}

/// `objects/ab/cdef…` → the hash `abcdef…`.
fn name_of(path: &Path) -> Option<Hash> {
    let rest = path.file_name()?.to_str()?;
    let first = path.parent()?.file_name()?.to_str()?;
    format!("{first}{rest}").parse().ok()
}

fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let path = entry.map_err(io_error("list", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path().join("store")).expect("an empty store opens");
        (folder, store)
    }

    #[test]
    fn keeps_and_returns_objects() {
        let (_folder, store) = temporary();
        let hash = store.put(b"soil").expect("put");
        assert_eq!(hash, Hash::of(b"soil"));
        assert_eq!(store.get(&hash).expect("get"), b"soil");
        assert_eq!(store.objects().expect("list"), [hash]);
        assert!(matches!(store.get(&Hash::of(b"?")), Err(StoreError::Missing { .. })));
    }

    #[test]
    fn finds_any_flipped_bit_and_repairs_it_by_putting_again() {
        let (_folder, store) = temporary();
        let hash = store.put(b"soil").expect("put");
        let path = store.object_path(&hash);
        for bit in 0..32 {
            let mut bytes = b"soil".to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).expect("damage it");
            assert!(matches!(store.get(&hash), Err(StoreError::Damaged { .. })));
            assert_eq!(store.damage().expect("scan").len(), 1);
        }
        store.put(b"soil").expect("put again");
        assert_eq!(store.damage().expect("scan"), []);
    }

    #[test]
    fn refs_are_replaced_whole_and_damage_to_them_is_found() {
        let (_folder, store) = temporary();
        assert_eq!(store.get_ref("head").expect("read"), None);
        for text in [b"one".as_slice(), b"two"] {
            store.set_ref("head", &Hash::of(text)).expect("set");
            assert_eq!(store.get_ref("head").expect("read"), Some(Hash::of(text)));
        }
        fs::write(store.root().join("refs/head"), "torn").expect("damage it");
        assert!(matches!(store.get_ref("head"), Err(StoreError::BadRef { .. })));
        assert_eq!(store.damage().expect("scan").len(), 1);
        for name in ["", "../up", "A", ".hidden", &"a".repeat(65)] {
            assert!(matches!(store.set_ref(name, &Hash::default()), Err(StoreError::RefName(_))));
        }
    }

    #[test]
    fn opening_clears_unfinished_writes_of_dead_processes() {
        let (folder, store) = temporary();
        fs::write(store.root().join("tmp/4294967295-0"), "half").expect("leave a torn write");
        let store = Store::open(folder.path().join("store")).expect("reopen");
        assert_eq!(files_under(&store.root().join("tmp")).expect("list").len(), 0);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        let (_folder, store) = temporary();
        store.set_ref("head", &Hash::of(b"old")).expect("set");
        // The folder for unfinished writes is gone: nothing can be begun, nothing may change.
        fs::remove_dir_all(store.root().join("tmp")).expect("remove");
        assert!(store.set_ref("head", &Hash::of(b"new")).is_err());
        assert_eq!(store.get_ref("head").expect("read"), Some(Hash::of(b"old")));
    }
}
