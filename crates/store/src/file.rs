//! Single files that are old or new, whatever happens in between.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};
use zeroize::Zeroizing;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Every user of the machine.
    All,
    /// Its owner alone: secrets.
    Owner,
}

/// Whether what failed may go well later without anybody changing the program: the disk is full, a
/// file is busy, too many are open, memory is short.
pub fn may_pass(error: &io::Error) -> bool {
    /// Too many open files, of the system and of this process, on every Unix.
    const TOO_MANY_OPEN: [i32; 2] = [23, 24];
    use io::ErrorKind::*;
    let kinds = [
        StorageFull,
        QuotaExceeded,
        ResourceBusy,
        ExecutableFileBusy,
        OutOfMemory,
        Interrupted,
        WouldBlock,
    ];
    kinds.contains(&error.kind())
        || error.raw_os_error().is_some_and(|code| TOO_MANY_OPEN.contains(&code))
}

/// Writes a file in the place of the one that is there, if any, and waits until it is on disk.
///
/// Errors: it cannot be written; then what was there is there still.
pub fn write_atomically(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let unfinished = write_beside(path, bytes, readers)?;
    settle(&unfinished, path).inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

/// Writes a file where there is none, and waits until it is on disk: for what cannot be made again.
///
/// Errors: something is there already, also a link that leads nowhere; or it cannot be written.
pub fn create(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let unfinished = write_beside(path, bytes, readers)?;
    settle_new(&unfinished, path).inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

/// A secret as it was read from a file.
pub struct Secret {
    /// Its bytes, wiped from memory when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether other users of the machine can read the file too.
    pub exposed: bool,
}

/// Reads a secret's file, no further than `most` bytes and one more.
///
/// Errors: it cannot be read.
pub fn read_secret(path: &Path, most: usize) -> io::Result<Secret> {
    // With room for all of it, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let file = File::open(path)?;
    let exposed = file.metadata()?.permissions().mode() & 0o077 != 0;
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Secret { bytes, exposed })
}

/// 32 bytes from the system that nobody can guess, for keys and secrets.
///
/// Errors: the system gives none.
pub fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).map_err(
        |error| {
            io::Error::new(error.kind(), format!("the system gives no random numbers: {error}"))
        },
    )?;
    Ok(bytes)
}

/// Gives a finished file its name: first its bytes are on disk, then its name is.
pub fn settle(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// The same, where nothing has that name yet.
///
/// Errors: something has.
pub fn settle_new(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    match fs::hard_link(from, to) {
        Ok(()) => drop(fs::remove_file(from)),
        Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => return Err(taken),
        // Some file systems have no links; there two programs at once are not told apart.
        Err(_) if is_absent(to) => fs::rename(from, to)?,
        Err(_) => return Err(io::ErrorKind::AlreadyExists.into()),
    }
    sync_folder_of(to)
}

/// Whether there is certainly nothing at `path`: neither a link that leads nowhere, nor something
/// that cannot be looked at.
pub fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// When a file was changed last, in nanoseconds since 1970, where the system tells it.
pub fn modified(metadata: &Metadata) -> Option<u64> {
    let since = metadata.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// A hidden file of this call alone, in which a file is written before it gets its name.
fn write_beside(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    clear_unfinished(folder_of(path), &format!(".{name}."));
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let unfinished = path.with_file_name(format!(".{name}.{process}-{number}{UNFINISHED}"));
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&unfinished)?;
        // It is made durable when it gets its name.
        file.write_all(bytes)
    };
    write().inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    Ok(unfinished)
}

/// Removes what processes that no longer run left behind.
fn clear_unfinished(folder: &Path, start: &str) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(UNFINISHED));
        let process = process.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

const UNFINISHED: &str = ".unfinished";

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        fs::write(folder.path().join(".file.4294967295-0.unfinished"), "torn").expect("writes");
        write_atomically(&path, b"old", Readers::All).expect("writes");
        write_atomically(&path, b"new", Readers::Owner).expect("writes");
        assert_eq!(fs::read(&path).expect("it is there"), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let os = io::Error::from_raw_os_error;
        for (code, passes) in [(28, true), (122, true), (24, true), (23, true), (16, true)]
            .into_iter()
            .chain([(2, false), (5, false), (13, false), (30, false)])
        {
            assert_eq!(may_pass(&os(code)), passes, "{}", os(code));
        }
        assert!(!may_pass(&io::ErrorKind::InvalidData.into()));
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

    #[test]
    fn of_many_at_once_one_creates_the_file_and_has_its_bytes_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("key");
        let made: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let one = |n: u8| {
                let (path, bytes) = (&path, vec![n; 4096]);
                scope.spawn(move || create(path, &bytes, Readers::Owner).is_ok().then_some(bytes))
            };
            let all: Vec<_> = (0..16).map(one).collect();
            all.into_iter().filter_map(|thread| thread.join().expect("it ends")).collect()
        });
        assert_eq!(made.len(), 1);
        assert_eq!(fs::read(&path).expect("it is there"), made[0]);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    }
}
