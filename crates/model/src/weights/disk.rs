//! A file that is read in place, and noticed when it changes.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::foreign::{LOOK, refuse_foreign};
use crate::FormatError;

/// An open file with its length and time at the time of opening.
#[derive(Debug)]
pub(super) struct DiskFile {
    path: PathBuf,
    file: File,
    len: u64,
    modified: Option<SystemTime>,
}

impl DiskFile {
    /// Opens a file that someone named as a model's.
    pub fn open(path: &Path) -> Result<DiskFile, FormatError> {
        let file = DiskFile::open_any(path)?;
        refuse_foreign(path, &file.prefix(LOOK)?)?;
        Ok(file)
    }

    /// Opens a file whatever is in it.
    pub fn open_any(path: &Path) -> Result<DiskFile, FormatError> {
        let file = File::open(path).map_err(FormatError::io(path))?;
        let metadata = file.metadata().map_err(FormatError::io(path))?;
        if !metadata.is_file() {
            return Err(FormatError::new(format!("{}: not a file", path.display())));
        }
        let (len, modified) = (metadata.len(), modified(&metadata));
        Ok(DiskFile { path: path.to_owned(), file, len, modified })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The first `count` bytes, at most as many as there are.
    pub fn prefix(&self, count: u64) -> Result<Vec<u8>, FormatError> {
        let mut bytes = vec![0; count.min(self.len) as usize];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// All bytes, at most `largest`.
    pub fn whole(&self, largest: u64) -> Result<Vec<u8>, FormatError> {
        if self.len > largest {
            let (path, len) = (self.path.display(), self.len);
            let text = format!("{path} has {len} bytes, at most {largest} expected");
            return Err(FormatError::new(text));
        }
        self.prefix(self.len)
    }

    /// Fills `out` from `offset` on.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), FormatError> {
        read_exact_at(&self.file, out, offset).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return self.changed();
            }
            FormatError::io(&self.path)(error)
        })
    }

    pub fn check_unchanged(&self) -> Result<(), FormatError> {
        let now = self.file.metadata().map_err(FormatError::io(&self.path))?;
        if (now.len(), modified(&now)) == (self.len, self.modified) {
            return Ok(());
        }
        Err(self.changed())
    }

    fn changed(&self) -> FormatError {
        FormatError::new(format!("{}: changed while it was read", self.path.display()))
    }
}

/// The time of the last change, where the system tells it.
fn modified(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                out = &mut out[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}
