//! Objects that lie in files outside of a store: a part of a model file that was imported without
//! being copied.
//!
//! What stands in the store is where the bytes lie, and how the file was when they were hashed. A
//! file that has another length or time now is not read.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

use ids::Hash;
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError, file::modified};

/// Where the bytes of an object lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The file.
    pub path: PathBuf,
    /// Where they begin in it.
    pub offset: u64,
    /// How many there are.
    pub len: u64,
}

/// What is kept in the store.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    path: PathBuf,
    offset: u64,
    len: u64,
    /// Length and time of the file when the object was hashed.
    file_len: u64,
    modified_ns: Option<u64>,
}

impl Store {
    /// Notes that the bytes of `hash`, which the caller has just computed, lie in a file. An object
    /// that is in the store itself needs no note, and a note that still holds is kept.
    ///
    /// Errors: the file cannot be found, or its path is no UTF-8.
    pub fn locate(&self, hash: &Hash, at: &Whereabouts) -> Result<(), StoreError> {
        if self.whereabouts(hash).is_ok() {
            return Ok(());
        }
        let io = |source| StoreError::Io { doing: "find", path: at.path.clone(), source };
        let path = fs::canonicalize(&at.path).map_err(io)?;
        let metadata = fs::metadata(&path).map_err(io)?;
        let (file_len, modified_ns) = (metadata.len(), modified(&metadata));
        let note = Note { path, offset: at.offset, len: at.len, file_len, modified_ns };
        let text = serde_json::to_vec(&note).map_err(|error| io(io::Error::other(error)))?;
        self.write_atomically(&self.note_path(hash), &text, true)
    }

    /// Where the bytes of an object lie: in the store's own file, or where a note says.
    ///
    /// Errors: it is nowhere; the file that the note names has changed or is gone.
    pub fn whereabouts(&self, hash: &Hash) -> Result<Whereabouts, StoreError> {
        let path = self.object_path(hash);
        if let Ok(metadata) = fs::metadata(&path)
            && metadata.is_file()
        {
            return Ok(Whereabouts { path, offset: 0, len: metadata.len() });
        }
        let Some(note) = self.note(hash)? else {
            return Err(StoreError::Missing { hash: *hash, path: self.root().to_path_buf() });
        };
        let Note { path, offset, len, file_len, modified_ns } = note;
        let now = fs::metadata(&path).ok();
        let unchanged = now.is_some_and(|now| {
            (now.len(), modified(&now)) == (file_len, modified_ns) && now.is_file()
        });
        if !unchanged || offset.checked_add(len).is_none_or(|end| end > file_len) {
            return Err(StoreError::Changed { hash: *hash, path });
        }
        Ok(Whereabouts { path, offset, len })
    }

    /// The bytes of an object that a note names, not checked against the hash.
    pub(crate) fn read_located(&self, hash: &Hash) -> Result<Vec<u8>, StoreError> {
        let Whereabouts { path, offset, len } = self.whereabouts(hash)?;
        let io = |source| StoreError::Io { doing: "read", path: path.clone(), source };
        let mut file = File::open(&path).map_err(io)?;
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    /// Whether there is a note about an object.
    pub(crate) fn is_located(&self, hash: &Hash) -> bool {
        self.note_path(hash).is_file()
    }

    fn note(&self, hash: &Hash) -> Result<Option<Note>, StoreError> {
        let path = self.note_path(hash);
        let bytes = match bounded::read(&path, MAX_NOTE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Io { doing: "read", path, source }),
        };
        let note = serde_json::from_slice(&bytes);
        note.map(Some).map_err(|error| StoreError::Io {
            doing: "read",
            path,
            source: io::Error::other(error),
        })
    }

    fn note_path(&self, hash: &Hash) -> PathBuf {
        let hex = hash.to_string();
        self.root().join("located").join(&hex[..2]).join(&hex[2..])
    }
}

/// Most bytes of a note that are read.
const MAX_NOTE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_in_a_file_is_read_there_and_missed_when_the_file_changes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path().join("store")).expect("opens");
        let file = folder.path().join("model.bin");
        fs::write(&file, b"....soil....").expect("written");
        let hash = Hash::of(b"soil");
        assert!(!store.has(&hash));
        let at = Whereabouts { path: file.clone(), offset: 4, len: 4 };
        store.locate(&hash, &at).expect("noted");
        assert!(store.has(&hash));
        assert_eq!(store.len_of(&hash), Some(4));
        assert_eq!(store.get(&hash).expect("there"), b"soil");
        // The same length and time, other bytes: the hash tells.
        let time = fs::metadata(&file).expect("there").modified().expect("told");
        fs::write(&file, b"....soot....").expect("written");
        File::options().write(true).open(&file).expect("opens").set_modified(time).expect("set");
        assert!(matches!(store.get(&hash), Err(StoreError::Damaged { .. })));
        fs::write(&file, b"....soil.....").expect("written");
        assert!(matches!(store.get(&hash), Err(StoreError::Changed { .. })));
        fs::remove_file(&file).expect("removed");
        assert!(matches!(store.get(&hash), Err(StoreError::Changed { .. })));
        // What is put is in the store itself.
        store.put(b"soil").expect("put");
        assert_eq!(store.get(&hash).expect("there"), b"soil");
        let found = store.whereabouts(&hash).expect("there").path;
        assert!(found.starts_with(store.root().join("objects")));
    }

    #[test]
    fn a_note_that_is_none_is_an_error_not_a_missing_object() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path().join("store")).expect("opens");
        let hash = Hash::of(b"soil");
        let path = store.note_path(&hash);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
        for text in [
            "",
            "{}",
            "{\"path\":\"/x\",\"offset\":18446744073709551615,\"len\":9,\"file_len\":1,\"modified_ns\":null}",
        ] {
            fs::write(&path, text).expect("written");
            assert!(store.get(&hash).is_err(), "{text}");
        }
    }
}
