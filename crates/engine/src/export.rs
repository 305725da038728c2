//! A model in another program's format, in a folder that is whole or absent.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use model::{FormatError, Parameters};
use text::Tokenizer;

use crate::{EngineError, Lineage, gguf, hf};
use progress::{Counter, Tell, Work};

/// Formats of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A folder that Hugging Face transformers loads.
    HuggingFace,
    /// A file that llama.cpp loads.
    Gguf,
}

/// Writes a model in F32 into `folder`, which must be empty or not exist yet; returns what other
/// programs open: the folder, or the file in it. It is written beside the folder and moved there.
///
/// Errors: the folder has something in it; the model or its tokenizer has no place in the format;
/// it cannot be written.
pub fn export(
    folder: &Path,
    format: Format,
    (model, tokenizer): (&Parameters, &Tokenizer),
    lineage: &Lineage,
    tell: &mut Tell<'_>,
) -> Result<PathBuf, EngineError> {
    if is_occupied(folder).map_err(FormatError::io(folder))? {
        let text = format!("{} exists already", folder.display());
        return Err(FormatError::refused(text, "name a folder that does not exist yet").into());
    }
    let unfinished = beside(folder)?;
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished).map_err(FormatError::io(&unfinished))?;
    let mut count = Counter::new(Work::Writing, 4 * model.values().len() as u64, tell);
    let written = write(&unfinished, format, (model, tokenizer), lineage, &mut count);
    let settled = written.and_then(|file| {
        settle(&unfinished, folder).map_err(FormatError::io(folder))?;
        Ok(file.map_or_else(|| folder.to_owned(), |file| folder.join(file)))
    });
    match settled {
        Ok(path) => {
            count.end();
            Ok(path)
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&unfinished);
            Err(error)
        }
    }
}

/// Writes into a folder; the name of the file, if the model is one.
fn write(
    folder: &Path,
    format: Format,
    (model, tokenizer): (&Parameters, &Tokenizer),
    lineage: &Lineage,
    count: &mut Counter<'_, '_>,
) -> Result<Option<String>, EngineError> {
    let written = &mut |n| count.add(n);
    match format {
        Format::HuggingFace => {
            hf::write(folder, model, tokenizer, lineage, written)?;
            Ok(None)
        }
        Format::Gguf => {
            let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
            let name = if lineage.name.is_empty() { "model" } else { &lineage.name };
            let file = format!("{}-f32.gguf", name.chars().map(plain).collect::<String>());
            gguf::write(&folder.join(&file), model, tokenizer, lineage, written)?;
            Ok(Some(file))
        }
    }
}

fn is_occupied(folder: &Path) -> std::io::Result<bool> {
    Ok(folder.exists() && (folder.is_file() || fs::read_dir(folder)?.next().is_some()))
}

/// Gives a finished folder its name: first its files are on disk, then it is there.
fn settle(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(from)?.sync_all()?;
    if to.exists() {
        fs::remove_dir(to)?;
    }
    fs::rename(from, to)
}

/// A hidden neighbour of a folder, on the same file system.
fn beside(folder: &Path) -> Result<PathBuf, FormatError> {
    let name = folder.file_name();
    let name =
        name.ok_or_else(|| FormatError::new(format!("{} is no folder name", folder.display())))?;
    Ok(folder.with_file_name(format!(".{}.unfinished", name.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use model::Decoder;

    use super::*;
    use crate::{Opened, Progress};

    #[test]
    fn a_folder_is_whole_or_absent_and_its_progress_is_told() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let texts = ["the commons hold the commons", "the commons hold"];
        let tokenizer = Tokenizer::train(texts, 262).expect("enough room");
        let decoder = Decoder::tiny(tokenizer.len());
        let params = model::init(&decoder, 5).expect("valid");
        let model = Parameters::new(&decoder, params).expect("fits");
        let lineage = Lineage { name: "my model".to_owned(), ..Lineage::default() };
        let export = |to: &Path, format, tokenizer: &Tokenizer| {
            let mut told = Vec::new();
            let tell = &mut |progress| told.push(progress);
            export(to, format, (&model, tokenizer), &lineage, tell).map(|path| (path, told))
        };
        for format in [Format::HuggingFace, Format::Gguf] {
            let to = dir.path().join(format!("{format:?}"));
            let (path, told) = export(&to, format, &tokenizer).expect("written");
            Opened::open(&path.display().to_string()).expect("a model");
            let Some(Progress::At(at)) = told.last() else { panic!("{told:?}") };
            assert!(at.work == Work::Writing && at.done >= at.total && told.len() > 2, "{at:?}");
            let error = export(&to, format, &tokenizer).expect_err("it is there");
            assert!(!error.hints().is_empty(), "{error}");
        }
        assert!(dir.path().join("Gguf/my-model-f32.gguf").is_file());
        // A tokenizer that does not fit the model fails while the folder is written.
        let long = Tokenizer::train(texts, 270).expect("enough room");
        assert!(long.len() > tokenizer.len());
        let nothing = dir.path().join("nothing");
        assert!(export(&nothing, Format::Gguf, &long).is_err() && !nothing.exists());
        let left = fs::read_dir(dir.path()).expect("there").count();
        assert_eq!(left, 2, "nothing unfinished is left");
    }
}
