//! Writing whole files.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use model::FormatError;

/// A file that is being written.
pub(crate) type Out<'a> = BufWriter<Counted<'a>>;

/// A file, and who hears how many bytes went into it.
pub(crate) struct Counted<'a> {
    file: fs::File,
    written: &'a mut dyn FnMut(u64),
}

/// Writes a file; `written` hears how many bytes were written since it heard last.
pub(crate) fn write_file(
    path: &Path,
    written: &mut dyn FnMut(u64),
    write: impl FnOnce(&mut Out<'_>) -> io::Result<()>,
) -> Result<(), FormatError> {
    let file = fs::File::create(path).map_err(FormatError::io(path))?;
    let mut out = BufWriter::new(Counted { file, written });
    write(&mut out).and_then(|()| out.flush()).map_err(FormatError::io(path))
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(&bytes[..bytes.len().min(PIECE)])?;
        (self.written)(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Most bytes written at a time: a tensor may come whole.
const PIECE: usize = 1 << 20;
