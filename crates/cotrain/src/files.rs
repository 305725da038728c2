//! Reading small files.

use std::{fs, io, path::Path};

/// The text of a file of at most `most` bytes.
///
/// Errors: it is longer, is no text, or cannot be read.
pub(crate) fn read_bounded(path: &Path, most: u64) -> io::Result<String> {
    let bytes = fs::metadata(path)?.len();
    if bytes > most {
        return Err(io::Error::other(format!("{bytes} bytes are too many")));
    }
    fs::read_to_string(path)
}
