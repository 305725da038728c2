//! Writing whole files.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use model::FormatError;

pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<fs::File>) -> std::io::Result<()>,
) -> Result<(), FormatError> {
    let mut out = BufWriter::new(fs::File::create(path).map_err(FormatError::io(path))?);
    write(&mut out).and_then(|()| out.flush()).map_err(FormatError::io(path))
}
