//! The small files that lie beside the weights of a Hugging Face folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::foreign::refuse_foreign;
use crate::FormatError;

/// Configuration, tokenizer, templates and the like, by their names.
#[derive(Debug, Clone)]
pub enum SmallFiles {
    /// In a folder; read when they are asked for.
    Folder(PathBuf),
    /// In memory.
    Kept(BTreeMap<String, Vec<u8>>),
}

impl SmallFiles {
    /// The bytes of a file, at most `largest`; `None` if there is none of this name.
    pub fn read(&self, name: &str, largest: u64) -> Result<Option<Vec<u8>>, FormatError> {
        match self {
            SmallFiles::Folder(folder) => {
                let path = folder.join(name);
                if path.exists() { read_file(&path, largest).map(Some) } else { Ok(None) }
            }
            SmallFiles::Kept(files) => match files.get(name) {
                Some(bytes) if bytes.len() as u64 > largest => {
                    let text = format!("{name} has {} bytes, at most {largest}", bytes.len());
                    Err(FormatError::new(text))
                }
                bytes => Ok(bytes.cloned()),
            },
        }
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        match self {
            SmallFiles::Folder(folder) => folder.join(name).exists(),
            SmallFiles::Kept(files) => files.contains_key(name),
        }
    }

    /// What a file is called in errors.
    pub fn describe(&self, name: &str) -> String {
        match self {
            SmallFiles::Folder(folder) => folder.join(name).display().to_string(),
            SmallFiles::Kept(_) => name.to_owned(),
        }
    }

    /// The names of the files in the folder `under` that end with `end`, in order.
    ///
    /// Errors: there are more than `most`.
    pub fn names(&self, under: &str, end: &str, most: usize) -> Result<Vec<String>, FormatError> {
        let mut names = match self {
            SmallFiles::Folder(folder) => names_in(&folder.join(under), under)?,
            SmallFiles::Kept(files) => files.keys().cloned().collect(),
        };
        let inside = format!("{under}/");
        names.retain(|name| name.starts_with(&inside) && name.ends_with(end));
        names.sort();
        if names.len() > most {
            let text = format!("{}: {} files, at most {most}", self.describe(under), names.len());
            return Err(FormatError::new(text));
        }
        Ok(names)
    }
}

/// All names in a folder that may not exist, after that of the folder.
fn names_in(folder: &Path, under: &str) -> Result<Vec<String>, FormatError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(FormatError::io(folder))?;
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.map_err(FormatError::io(folder))?.file_name();
        Ok(format!("{under}/{}", name.to_string_lossy()))
    };
    entries.map(name).collect()
}

/// Reads a whole file that may not be larger than `largest` bytes.
fn read_file(path: &Path, largest: u64) -> Result<Vec<u8>, FormatError> {
    let bytes = bounded::read(path, largest).map_err(FormatError::io(path))?;
    refuse_foreign(path, &bytes)?;
    Ok(bytes)
}
