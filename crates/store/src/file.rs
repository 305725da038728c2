//! Single files that are old or new, whatever happens in between.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Every user of the machine.
    All,
    /// Its owner alone: secrets.
    Owner,
}

/// Writes a file in the place of the one that is there, if any, and waits until it is on disk.
///
/// Errors: it cannot be written; then what was there is there still.
pub fn write_atomically(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let unfinished = unfinished(path);
    write_beside(&unfinished, bytes, readers)?;
    settle(&unfinished, path)
}

/// Writes a file where there is none, and waits until it is on disk: for what cannot be made again.
///
/// Errors: something is there already, also a link that leads nowhere; or it cannot be written.
pub fn create(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let unfinished = unfinished(path);
    write_beside(&unfinished, bytes, readers)?;
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    linked.and_then(|()| sync_folder_of(path))
}

/// Gives a finished file its name: first its bytes are on disk, then its name is.
pub fn settle(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Whether there is certainly nothing at `path`: neither a link that leads nowhere, nor something
/// that cannot be looked at.
pub fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// The hidden file in which one is written before it gets its name.
fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.unfinished"))
}

fn write_beside(unfinished: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    // What a crash left behind may have other readers.
    let _ = fs::remove_file(unfinished);
    let mut file = File::options().write(true).create_new(true).mode(mode).open(unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        fs::write(unfinished(&path), "what a crash left").expect("writes");
        write_atomically(&path, b"old", Readers::All).expect("writes");
        write_atomically(&path, b"new", Readers::Owner).expect("writes");
        assert_eq!(fs::read(&path).expect("it is there"), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    }

    #[test]
    fn what_is_there_is_never_written_over_when_a_file_is_created() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [path, link] = ["file", "link"].map(|name| folder.path().join(name));
        create(&path, b"first", Readers::Owner).expect("there is none yet");
        symlink("nowhere", &link).expect("links");
        for taken in [&path, &link] {
            assert!(!is_absent(taken));
            let error = create(taken, b"second", Readers::Owner).expect_err("it is taken");
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs::read(&path).expect("it is there"), b"first");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 2);
        assert!(is_absent(&folder.path().join("other")));
        assert!(!is_absent(&path.join("below a file")), "it cannot be looked at");
    }
}
