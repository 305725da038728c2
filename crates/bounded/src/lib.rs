//! Reading what may be anything: a file, a pipe or a connection, whole and no further than its
//! reader has use for.
//!
//! Memory comes from bytes that are there, never from a length that is claimed. What is refused is
//! an [`io::Error`], so that it goes where other failures of reading go: of kind
//! [`ErrorKind::FileTooLarge`] for what is too long, [`ErrorKind::InvalidData`] for what is no text,
//! [`ErrorKind::InvalidInput`] for what is no file.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::Path,
};

/// The bytes of a file that has its place in a folder of the program or of a model; at most `most`.
///
/// Errors: it is longer, it is no regular file (a pipe would wait for a writer, a device would
/// never end), or it cannot be read.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Looked at before it is opened, since opening a pipe waits too.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a file"));
    }
    read_named(path, most)
}

/// The text of such a file.
///
/// Errors: as [`read`]; or it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    text(read(path, most)?)
}

/// The bytes of what a person named, which may be a pipe (`<(command)`, `/dev/stdin`); at most
/// `most`.
///
/// Errors: it is longer, also without end, or it cannot be read.
pub fn read_named(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?, most)
}

/// The text of what a person named.
///
/// Errors: as [`read_named`]; or it is not UTF-8.
pub fn read_named_text(path: &Path, most: u64) -> io::Result<String> {
    text(read_named(path, most)?)
}

/// All bytes of a reader; at most `most`.
///
/// Errors: there are more, or it cannot be read.
pub fn read_from(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::new(ErrorKind::FileTooLarge, TooLong { most })),
        false => Ok(bytes),
    }
}

/// Bytes as a text.
///
/// Errors: they are not UTF-8; from which byte on is said.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, NoText { at })
    })
}

/// Whether what failed is that there is more than may be read.
pub fn is_too_long(error: &io::Error) -> bool {
    error.kind() == ErrorKind::FileTooLarge
}

/// There are more bytes than are read.
#[derive(Debug)]
struct TooLong {
    most: u64,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than the {} bytes that are read", self.most)
    }
}

impl std::error::Error for TooLong {}

/// Bytes that are no UTF-8.
#[derive(Debug)]
struct NoText {
    at: usize,
}

impl fmt::Display for NoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not UTF-8 from byte {} on", self.at)
    }
}

impl std::error::Error for NoText {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, path::PathBuf, thread};

    fn kind<T: fmt::Debug>(read: io::Result<T>) -> ErrorKind {
        read.expect_err("it is refused").kind()
    }

    #[test]
    fn what_fits_is_read_and_one_byte_more_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x");
        fs::write(&path, "soil").expect("writes");
        for read in [read as fn(&Path, u64) -> io::Result<Vec<u8>>, read_named] {
            assert_eq!(read(&path, 4).expect("fits"), b"soil");
            assert_eq!(read(&path, u64::MAX).expect("fits"), b"soil");
            let error = read(&path, 3).expect_err("too long");
            assert!(is_too_long(&error));
            assert_eq!(error.to_string(), "more than the 3 bytes that are read");
            assert_eq!(kind(read(&folder.path().join("y"), 4)), ErrorKind::NotFound);
        }
        fs::write(&path, b"soi\xff").expect("writes");
        for read in [read_text as fn(&Path, u64) -> io::Result<String>, read_named_text] {
            let error = read(&path, 9).expect_err("no text");
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert_eq!(error.to_string(), "not UTF-8 from byte 3 on");
        }
    }

    /// A pipe that has a writer, and one that has none.
    fn pipe(folder: &Path) -> PathBuf {
        let path = folder.join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("a pipe");
        path
    }

    #[test]
    fn pipes_and_devices_are_read_where_they_were_named_and_end_at_the_bound() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = pipe(folder.path());
        assert_eq!(kind(read(&path, 9)), ErrorKind::InvalidInput, "it does not wait");
        assert_eq!(kind(read(folder.path(), 9)), ErrorKind::InvalidInput);
        assert_eq!(kind(read(Path::new("/dev/zero"), 9)), ErrorKind::InvalidInput);
        assert_eq!(kind(read_named(Path::new("/dev/zero"), 9)), ErrorKind::FileTooLarge);
        assert!(read_named(folder.path(), 9).is_err());
        let to = path.clone();
        let writer = thread::spawn(move || File::create(to)?.write_all(b"soil"));
        assert_eq!(read_named(&path, 9).expect("it ends"), b"soil");
        writer.join().expect("it ends").expect("it writes");
    }
}
