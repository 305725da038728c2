//! Whole files of a bounded size.

use std::fs;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use model::FormatError;
use model::weights::refuse_foreign;

pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<fs::File>) -> std::io::Result<()>,
) -> Result<(), FormatError> {
    let mut out = BufWriter::new(fs::File::create(path).map_err(FormatError::io(path))?);
    write(&mut out).and_then(|()| out.flush()).map_err(FormatError::io(path))
}

/// Reads a whole file that may not be larger than `largest` bytes.
pub(crate) fn read_file(path: &Path, largest: u64) -> Result<Vec<u8>, FormatError> {
    // Before opening it: a pipe would wait for a writer, a device would never end.
    let metadata = fs::metadata(path).map_err(FormatError::io(path))?;
    if !metadata.is_file() {
        return Err(FormatError::new(format!("{}: not a file", path.display())));
    }
    let file = fs::File::open(path).map_err(FormatError::io(path))?;
    let mut bytes = Vec::new();
    let limit = largest.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(FormatError::io(path))?;
    if bytes.len() as u64 > largest {
        let size = metadata.len().max(limit);
        let text = format!("{} has {size} bytes, at most {largest} expected", path.display());
        return Err(FormatError::new(text));
    }
    refuse_foreign(path, &bytes)?;
    Ok(bytes)
}
