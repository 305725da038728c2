//! An append-only file of entries, durable before the call that wrote them returns.
//!
//! Layout, repeated to the end of the file (integers little-endian):
//!
//! ```text
//! len       u32   bytes of the entry, at most MAX_ENTRY
//! !len      u32   its complement, so that a damaged length is not taken for a torn tail
//! hash      32    BLAKE3 of the entry
//! entry     len
//! ```

use ids::Hash;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The most bytes one entry may hold.
pub const MAX_ENTRY: usize = 4 << 20;
/// The most bytes a whole log may hold, since all of it is read at once. A run of a hundred thousand
/// rounds writes about a quarter of that.
pub const MAX_LOG: u64 = 2 << 30;
/// The most entries a log may hold: each costs memory, however short it is.
pub const MAX_ENTRIES: u64 = 8 << 20;

const HEADER: usize = 40;

/// An append-only file opened for writing by one process at a time.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
    entries: u64,
    /// Where the last whole entry ends.
    good: u64,
    /// What it may hold.
    most: Most,
    /// Set when an append failed half-way: what follows the last good entry is then unknown.
    broken: bool,
}

/// What a log may hold at most.
#[derive(Debug, Clone, Copy)]
struct Most {
    bytes: u64,
    entries: u64,
}

const MOST: Most = Most { bytes: MAX_LOG, entries: MAX_ENTRIES };

/// What went wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file could not be read or written.
    #[error("{doing} log {path}")]
    Io {
        /// What was being done, such as "opening".
        doing: &'static str,
        /// The log's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes this log.
    #[error("log {path} is in use by another process")]
    InUse {
        /// The log's file.
        path: PathBuf,
    },
    /// A whole entry that is not what was written.
    #[error("log {path} is damaged at entry {entry} (byte {at}): {what}")]
    Damaged {
        /// The log's file.
        path: PathBuf,
        /// Number of the entry, from 0.
        entry: u64,
        /// Where the entry begins, in bytes from the start of the file.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file ends inside an entry, as a crash while appending leaves it.
    #[error("log {path} ends inside entry {entry} (which begins at byte {at})")]
    Torn {
        /// The log's file.
        path: PathBuf,
        /// Number of the entry that is cut off, from 0.
        entry: u64,
        /// Where it begins, in bytes from the start of the file.
        at: u64,
    },
    /// An entry too large to write.
    #[error("a log entry is at most {MAX_ENTRY} bytes, not {len}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A file that holds more than a log may.
    #[error(
        "log {path} holds more than {most_bytes} bytes or {most_entries} entries, the most that is \
         read of a log: put it aside, a peer that joins again writes a new one"
    )]
    TooLarge {
        /// The log's file.
        path: PathBuf,
        /// The most bytes.
        most_bytes: u64,
        /// The most entries.
        most_entries: u64,
    },
    /// No more can be appended: the log could not be read again.
    #[error(
        "log {path} is full: it holds {entries} entries in {bytes} bytes, and may hold \
         {most_entries} in {most_bytes}; go on with a new run, from the last model of this one"
    )]
    Full {
        /// The log's file.
        path: PathBuf,
        /// Its entries.
        entries: u64,
        /// Its bytes.
        bytes: u64,
        /// The most entries.
        most_entries: u64,
        /// The most bytes.
        most_bytes: u64,
    },
    /// An earlier append failed; the log must be opened again.
    #[error("log {path} failed to append earlier and must be opened again")]
    Broken {
        /// The log's file.
        path: PathBuf,
    },
}

type Result<T> = std::result::Result<T, LogError>;

impl LogError {
    /// Whether the same may go well later, as when the disk has room again.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io { source, .. } if crate::file::may_pass(source))
    }
}

impl Log {
    /// Opens the log at `path` for writing, making it where it is absent, and returns what it
    /// holds. A torn last entry is cut off: its append never returned, so nobody relied on it.
    ///
    /// Errors: [`LogError::Damaged`] for an entry that is whole but wrong; [`LogError::InUse`];
    /// [`LogError::TooLarge`].
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, Vec<Vec<u8>>)> {
        Self::open_within(path, MOST)
    }

    fn open_within(path: impl AsRef<Path>, most: Most) -> Result<(Self, Vec<Vec<u8>>)> {
        let path = path.as_ref().to_path_buf();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LogError::InUse { path }),
            Err(TryLockError::Error(e)) => return Err(io_error("lock", &path)(e)),
        }
        let Scan { entries, good, torn: _ } = scan(&file, &path, most)?;
        file.set_len(good)
            .and_then(|()| file.seek(SeekFrom::Start(good)))
            .and_then(|_| file.sync_all())
            .and_then(|()| sync_folder(&path))
            .map_err(io_error("prepare", &path))?;
        let log = Self { file, path, entries: entries.len() as u64, good, most, broken: false };
        Ok((log, entries))
    }

    /// The entries of a log that must be whole, changing nothing.
    ///
    /// Errors: [`LogError::Damaged`] and [`LogError::Torn`] name the entry, counted from 0;
    /// [`LogError::TooLarge`].
    pub fn read(path: impl AsRef<Path>) -> Result<Vec<Vec<u8>>> {
        Self::read_within(path, MOST)
    }

    fn read_within(path: impl AsRef<Path>, most: Most) -> Result<Vec<Vec<u8>>> {
        let path = path.as_ref();
        let file = File::open(path).map_err(io_error("open", path))?;
        let Scan { entries, good, torn } = scan(&file, path, most)?;
        if torn {
            let entry = entries.len() as u64;
            return Err(LogError::Torn { path: path.to_path_buf(), entry, at: good });
        }
        Ok(entries)
    }

    /// Appends one entry. On return it survives a power cut.
    pub fn append(&mut self, entry: &[u8]) -> Result<()> {
        self.append_all(&[entry])
    }

    /// Appends several entries with one flush to disk. On return all of them survive a power cut;
    /// after a crash inside the call a first part of them may be there.
    ///
    /// Errors: they cannot be written, or the log is full. Where this may pass ([`LogError::may_pass`]) they can be
    /// appended again.
    pub fn append_all(&mut self, entries: &[impl AsRef<[u8]>]) -> Result<()> {
        self.append_by(entries, |file, bytes| file.write_all(bytes))
    }

    fn append_by(
        &mut self,
        entries: &[impl AsRef<[u8]>],
        write: impl FnOnce(&mut File, &[u8]) -> io::Result<()>,
    ) -> Result<()> {
        if self.broken {
            return Err(LogError::Broken { path: self.path.clone() });
        }
        let mut bytes = Vec::new();
        for entry in entries {
            encode(entry.as_ref(), &mut bytes)?;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.check_room(entries.len() as u64, bytes.len() as u64)?;
        self.broken = true;
        if let Err(source) = write(&mut self.file, &bytes).and_then(|()| self.file.sync_data()) {
            // What was written of it is cut off again, and nobody relied on it.
            self.broken = !(crate::file::may_pass(&source) && self.cut_off().is_ok());
            return Err(io_error("append to", &self.path)(source));
        }
        self.broken = false;
        self.entries += entries.len() as u64;
        self.good += bytes.len() as u64;
        Ok(())
    }

    /// Fails if so many more entries and bytes would be too many to read again.
    fn check_room(&self, entries: u64, bytes: u64) -> Result<()> {
        let Most { bytes: most_bytes, entries: most_entries } = self.most;
        if self.entries + entries <= most_entries && self.good + bytes <= most_bytes {
            return Ok(());
        }
        let (path, entries, bytes) = (self.path.clone(), self.entries, self.good);
        Err(LogError::Full { path, entries, bytes, most_entries, most_bytes })
    }

    fn cut_off(&mut self) -> io::Result<()> {
        self.file.set_len(self.good)?;
        self.file.seek(SeekFrom::Start(self.good))?;
        self.file.sync_data()
    }

    /// How many entries the log holds.
    pub fn entries(&self) -> u64 {
        self.entries
    }
}

fn encode(entry: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if entry.len() > MAX_ENTRY {
        return Err(LogError::TooLong { len: entry.len() });
    }
    let len = entry.len() as u32;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(&Hash::of(entry).0);
    out.extend_from_slice(entry);
    Ok(())
}

/// What a pass over the file found.
struct Scan {
    entries: Vec<Vec<u8>>,
    /// Where the last whole entry ends.
    good: u64,
    /// Whether bytes follow it.
    torn: bool,
}

/// Reads a log that holds no more than `most`.
fn scan(file: &File, path: &Path, most: Most) -> Result<Scan> {
    let too_large = || LogError::TooLarge {
        path: path.to_path_buf(),
        most_bytes: most.bytes,
        most_entries: most.entries,
    };
    if file.metadata().map_err(io_error("read", path))?.len() > most.bytes {
        return Err(too_large());
    }
    // Who writes it meanwhile makes it no longer than that for us.
    let mut reader = BufReader::new(file.take(most.bytes));
    let mut found = Scan { entries: Vec::new(), good: 0, torn: false };
    loop {
        let at = (found.entries.len() as u64, found.good);
        match read_entry(&mut reader, path, at)? {
            Next::Entry(_) if at.0 == most.entries => return Err(too_large()),
            Next::Entry(entry) => {
                found.good += (HEADER + entry.len()) as u64;
                found.entries.push(entry);
            }
            Next::End => return Ok(found),
            Next::Torn => return Ok(Scan { torn: true, ..found }),
        }
    }
}

enum Next {
    Entry(Vec<u8>),
    Torn,
    End,
}

fn read_entry(reader: &mut impl Read, path: &Path, (entry, at): (u64, u64)) -> Result<Next> {
    let damaged = |what| LogError::Damaged { path: path.to_path_buf(), entry, at, what };
    let header = read_up_to(reader, HEADER).map_err(io_error("read", path))?;
    if header.is_empty() {
        return Ok(Next::End);
    }
    if header.len() < HEADER {
        return Ok(Next::Torn);
    }
    let word =
        |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
    let len = word(0);
    if word(4) != !len {
        return Err(damaged("its length and the length's complement disagree"));
    }
    if len as usize > MAX_ENTRY {
        return Err(damaged("its length is beyond the largest entry"));
    }
    let bytes = read_up_to(reader, len as usize).map_err(io_error("read", path))?;
    if bytes.len() < len as usize {
        return Ok(Next::Torn);
    }
    if Hash::of(&bytes).0 != header[8..] {
        return Err(damaged("its bytes do not have the hash written before them"));
    }
    Ok(Next::Entry(bytes))
}

/// Up to `len` bytes; fewer only at the end of the file.
fn read_up_to(reader: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_path_buf();
    move |source| LogError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ENTRIES: [&[u8]; 4] = [b"first", b"", b"the third entry", b"4"];

    /// A folder, a log of [`ENTRIES`] in it, and the file's bytes.
    fn written() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let (mut log, entries) = Log::open(&path).expect("an absent log opens empty");
        assert!(entries.is_empty());
        log.append(ENTRIES[0]).expect("append");
        log.append_all(&ENTRIES[1..]).expect("append several");
        assert_eq!(log.entries(), 4);
        drop(log);
        let bytes = fs::read(&path).expect("read the file");
        (folder, path, bytes)
    }

    #[test]
    fn an_append_that_the_full_disk_refused_is_made_again() {
        let (_folder, path, bytes) = written();
        let (mut log, _) = Log::open(&path).expect("opens");
        let full = |file: &mut File, bytes: &[u8]| {
            file.write_all(&bytes[..bytes.len() / 2])?;
            Err(io::ErrorKind::StorageFull.into())
        };
        for _ in 0..3 {
            let error = log.append_by(&[b"the fifth"], full).expect_err("there is no room");
            assert!(error.may_pass(), "{error}");
        }
        assert_eq!(fs::read(&path).expect("reads"), bytes, "nothing half is left");
        log.append(b"the fifth").expect("there is room again");
        assert_eq!(Log::read(&path).expect("it is whole").len(), 5);
        let broken = |_: &mut File, _: &[u8]| Err(io::Error::from_raw_os_error(5));
        assert!(!log.append_by(&[b"six"], broken).expect_err("a broken disk").may_pass());
        assert!(matches!(log.append(b"six"), Err(LogError::Broken { .. })));
    }

    #[test]
    fn returns_what_was_appended() {
        let (_folder, path, bytes) = written();
        assert_eq!(Log::read(&path).expect("read"), ENTRIES);
        assert_eq!(Log::open(&path).expect("open").1, ENTRIES);
        assert_eq!(fs::read(&path).expect("read the file"), bytes);
    }

    #[test]
    fn a_torn_tail_at_any_byte_is_cut_and_appending_goes_on() {
        let (_folder, path, bytes) = written();
        let mut ends = vec![0];
        for entry in ENTRIES {
            ends.push(ends[ends.len() - 1] + HEADER + entry.len());
        }
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).expect("cut the file");
            let whole = ends.iter().filter(|&&end| end <= cut).count() - 1;
            let read = Log::read(&path);
            if ends.contains(&cut) {
                assert_eq!(read.expect("a whole log"), ENTRIES[..whole]);
            } else {
                let torn =
                    matches!(read, Err(LogError::Torn { entry, .. }) if entry == whole as u64);
                assert!(torn, "cut at {cut}");
            }
            let (mut log, entries) = Log::open(&path).expect("a torn log opens");
            assert_eq!(entries, ENTRIES[..whole], "cut at {cut}");
            log.append(b"after").expect("append");
            drop(log);
            let mut expected: Vec<&[u8]> = ENTRIES[..whole].to_vec();
            expected.push(b"after");
            assert_eq!(Log::read(&path).expect("read"), expected);
        }
    }

    #[test]
    fn any_flipped_bit_is_damage_with_its_entry_number_and_nothing_is_cut() {
        let (_folder, path, bytes) = written();
        let mut owner = Vec::new();
        for (i, entry) in ENTRIES.iter().enumerate() {
            owner.extend(std::iter::repeat_n(i as u64, HEADER + entry.len()));
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).expect("damage it");
            for result in [Log::read(&path), Log::open(&path).map(|(_, entries)| entries)] {
                let named = matches!(result, Err(LogError::Damaged { entry, .. }) if entry == owner[bit / 8]);
                assert!(named, "bit {bit}");
            }
            assert_eq!(fs::read(&path).expect("read the file"), flipped);
        }
    }

    #[test]
    fn refuses_entries_and_lengths_beyond_the_bound() {
        let (_folder, path, mut bytes) = written();
        let (mut log, _) = Log::open(&path).expect("open");
        let long = vec![0; MAX_ENTRY + 1];
        assert!(matches!(log.append(&long), Err(LogError::TooLong { len }) if len == long.len()));
        log.append(&long[1..]).expect("the largest entry fits");
        drop(log);
        let len = MAX_ENTRY as u32 + 1;
        bytes.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
        bytes.extend([0; 32]);
        fs::write(&path, &bytes).expect("write");
        assert!(matches!(Log::open(&path), Err(LogError::Damaged { entry: 4, .. })));
    }

    #[test]
    fn a_log_that_is_too_large_is_refused_before_it_is_read_and_never_written() {
        let (_folder, path, bytes) = written();
        let whole = Most { bytes: bytes.len() as u64, entries: 4 };
        assert_eq!(Log::read_within(&path, whole).expect("as much as it may hold"), ENTRIES);
        for less in [Most { bytes: whole.bytes - 1, ..whole }, Most { entries: 3, ..whole }] {
            let refused = Log::read_within(&path, less).expect_err("more than it may hold");
            let words = format!("{} bytes or {} entries", less.bytes, less.entries);
            assert!(refused.to_string().contains(&words), "{refused}");
            let opened = Log::open_within(&path, less).map(|_| ());
            assert!(matches!(opened, Err(LogError::TooLarge { .. })), "{opened:?}");
        }
        // What could not be read again is not written.
        for full in [whole, Most { entries: 5, ..whole }, Most { bytes: MAX_LOG, ..whole }] {
            let (mut log, _) = Log::open_within(&path, full).expect("opens");
            let refused = log.append(b"the fifth").expect_err("there is no place for it");
            assert!(matches!(refused, LogError::Full { entries: 4, .. }), "{refused}");
        }
        assert_eq!(fs::read(&path).expect("reads"), bytes, "nothing was written or cut off");
        let most = Most { bytes: whole.bytes + (HEADER + 5) as u64, entries: 5 };
        let (mut log, _) = Log::open_within(&path, most).expect("opens");
        log.append(b"fifth").expect("the last that has a place");
        drop(log);
        // The bounds of every log: a file of holes costs nothing to refuse.
        File::create(&path).and_then(|file| file.set_len(MAX_LOG + 1)).expect("a sparse file");
        assert!(matches!(Log::read(&path), Err(LogError::TooLarge { .. })));
        assert!(matches!(Log::open(&path), Err(LogError::TooLarge { .. })));
    }

    #[test]
    fn a_second_writer_is_refused() {
        let (_folder, path, _) = written();
        let first = Log::open(&path).expect("open");
        assert!(matches!(Log::open(&path), Err(LogError::InUse { .. })));
        drop(first);
        Log::open(&path).expect("free again");
    }
}
