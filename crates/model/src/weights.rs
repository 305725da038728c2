//! One reader for the weights of a model: a `.gguf` file, also in several parts, or a Hugging Face
//! folder with one or several safetensors files.
//!
//! Headers are read and checked when a model is opened; tensors stay where they lie and are read
//! piece by piece, so that no file is ever in memory as a whole. A file that shrinks or changes
//! meanwhile is an error.

mod disk;
mod foreign;
mod small;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::element::ElementType;
use crate::gguf;
use crate::safetensors;
use crate::{Decoder, FormatError};
use disk::DiskFile;
pub use foreign::refuse_foreign;
pub use small::SmallFiles;

/// An opened model: what its headers say, and the way to its tensors' bytes.
#[derive(Debug)]
pub struct Weights {
    origin: Origin,
    tensors: BTreeMap<String, TensorInfo>,
    files: Vec<DiskFile>,
}

/// Which format a model is in, and what it says beside its tensors.
#[derive(Debug, Clone)]
pub enum Origin {
    /// GGUF: the metadata of the (first) file.
    Gguf(BTreeMap<String, gguf::Value>),
    /// A model as it is trained here: tensors of the layout's names.
    Own(Decoder),
    /// A Hugging Face folder.
    HuggingFace {
        /// The small files beside the weights.
        files: SmallFiles,
        /// `config.json`.
        config: Vec<u8>,
        /// The `__metadata__` of the weight files, the first file's word first.
        metadata: BTreeMap<String, String>,
    },
}

/// Where a tensor lies. Its bytes are inside its file, and no others overlap them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Its element type.
    pub element: ElementType,
    /// Which of [`Weights::files`].
    pub file: usize,
    /// Where its bytes begin in that file.
    pub offset: u64,
    /// How many bytes there are.
    pub bytes: u64,
}

/// Where a tensor was found, for [`Weights::of_places`].
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Its element type.
    pub element: ElementType,
    /// The file.
    pub path: PathBuf,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }

    /// Rows and elements of a row; a vector is one row.
    pub fn rows(&self) -> (usize, usize) {
        let width = self.shape.last().copied().unwrap_or(1);
        let count = self.elements() as usize;
        (count.checked_div(width).unwrap_or(0), width)
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> u64 {
        let (_, width) = self.rows();
        (width / self.element.block) as u64 * self.element.block_bytes as u64
    }
}

impl Weights {
    /// Opens a `.gguf` file (any part of one that comes in parts) or a Hugging Face folder.
    pub fn open(path: &Path) -> Result<Weights, FormatError> {
        if path.is_dir() { Weights::open_folder(path) } else { Weights::open_gguf(path) }
    }

    /// A model whose tensors lie where they were found before, each at a place of its own.
    ///
    /// Errors: two tensors of one name; a tensor that reaches beyond its file, or whose length is
    /// not that of its shape; a file that cannot be opened.
    pub fn of_places(
        origin: Origin,
        places: impl IntoIterator<Item = Place>,
    ) -> Result<Weights, FormatError> {
        let mut weights = Weights { origin, tensors: BTreeMap::new(), files: Vec::new() };
        let mut known: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for Place { name, shape, element, path, offset, bytes } in places {
            let file = match known.get(&path) {
                Some(&file) => file,
                None => {
                    weights.files.push(DiskFile::open_any(&path)?);
                    known.insert(path, weights.files.len() - 1);
                    weights.files.len() - 1
                }
            };
            let end = offset.checked_add(bytes);
            let inside = end.is_some_and(|end| end <= weights.files[file].len());
            if !inside || element.byte_size(&shape) != Some(bytes) {
                let text = format!("tensor {name}: {bytes} bytes do not hold its shape {shape:?}");
                return Err(FormatError::new(text));
            }
            weights.add(TensorInfo { name, shape, element, file, offset, bytes })?;
        }
        Ok(weights)
    }

    /// The format, and what stands beside the tensors.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The metadata of a GGUF; `None` for a folder.
    pub fn gguf_metadata(&self) -> Option<&BTreeMap<String, gguf::Value>> {
        match &self.origin {
            Origin::Gguf(metadata) => Some(metadata),
            Origin::HuggingFace { .. } | Origin::Own(_) => None,
        }
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, FormatError> {
        let tensor = self.tensors.get(name);
        tensor.ok_or_else(|| FormatError::new(format!("tensor {name} is missing")))
    }

    /// The files, in the order of their parts.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(DiskFile::path)
    }

    /// Reads bytes of a tensor, from `at` on, as many as `out` holds.
    ///
    /// Errors: a range outside the tensor; a file that has become shorter or cannot be read.
    pub fn read(&self, tensor: &TensorInfo, at: u64, out: &mut [u8]) -> Result<(), FormatError> {
        if at.checked_add(out.len() as u64).is_none_or(|end| end > tensor.bytes) {
            let text = format!(
                "tensor {}: {} bytes wanted at {at}, it has {}",
                tensor.name,
                out.len(),
                tensor.bytes
            );
            return Err(FormatError::new(text));
        }
        self.files[tensor.file].read_at(tensor.offset + at, out)
    }

    /// Hands all bytes of a tensor to `each`, some whole rows at a time.
    pub fn read_rows(
        &self,
        tensor: &TensorInfo,
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), FormatError> {
        let ((rows, _), row) = (tensor.rows(), tensor.row_bytes() as usize);
        let some = (PIECE / row.max(1)).clamp(1, rows.max(1));
        let mut piece = vec![0; some * row];
        for first in (0..rows).step_by(some) {
            let count = some.min(rows - first);
            let piece = &mut piece[..count * row];
            self.read(tensor, (first * row) as u64, piece)?;
            each(first, piece);
        }
        Ok(())
    }

    /// Fails if a file is not as it was when it was opened (by its length and time).
    pub fn check_unchanged(&self) -> Result<(), FormatError> {
        self.files.iter().try_for_each(DiskFile::check_unchanged)
    }

    fn open_gguf(path: &Path) -> Result<Weights, FormatError> {
        let mut weights = Weights {
            origin: Origin::Gguf(BTreeMap::new()),
            tensors: BTreeMap::new(),
            files: Vec::new(),
        };
        let parts = parts_of(path)?;
        let count = parts.len();
        if count > 1 {
            check_parts(path.parent().unwrap_or(Path::new("")), &parts)?;
        }
        for (index, part) in parts.into_iter().enumerate() {
            let metadata = weights.add_gguf(&part)?;
            let said = metadata.get("split.count").and_then(gguf::Value::as_u64).unwrap_or(1);
            let number = metadata.get("split.no").and_then(gguf::Value::as_u64).unwrap_or(0);
            if count > 1 && (said, number) != (count as u64, index as u64) {
                let text = format!(
                    "{}: says it is part {number} of {said}, by its name it is {index} of {count}",
                    part.display()
                );
                return Err(FormatError::new(text));
            }
            if count == 1 && said > 1 {
                let text = format!("{}: one of {said} parts by itself", part.display());
                let todo = format!(
                    "put all of them into one folder, named NAME-00001-of-{said:05}.gguf and so on"
                );
                return Err(FormatError::refused(text, todo));
            }
            if index == 0 {
                weights.origin = Origin::Gguf(metadata);
            }
        }
        Ok(weights)
    }

    /// Adds a file's tensors, returns its metadata.
    fn add_gguf(&mut self, path: &Path) -> Result<BTreeMap<String, gguf::Value>, FormatError> {
        let file = DiskFile::open(path)?;
        let mut size = FIRST_READ.min(file.len());
        let header = loop {
            let bytes = file.prefix(size)?;
            let header = gguf::parse_header(&bytes, file.len());
            if let Some(header) = header.map_err(|error| error.in_file(path))? {
                break header;
            }
            if size == MAX_HEADER {
                let text = format!("gguf: the header has more than {MAX_HEADER} bytes");
                return Err(FormatError::new(text).in_file(path));
            }
            // Fewer than the file has: with all of them the reader ends.
            size = size.saturating_mul(4).min(file.len()).min(MAX_HEADER);
        };
        let index = self.files.len();
        self.files.push(file);
        for (name, entry) in header.tensors {
            let gguf::Entry { shape, element, offset, bytes, .. } = entry;
            self.add(TensorInfo { name, shape, element, file: index, offset, bytes })?;
        }
        Ok(header.metadata)
    }

    fn open_folder(folder: &Path) -> Result<Weights, FormatError> {
        let config = DiskFile::open(&folder.join("config.json"))?.whole(MAX_JSON)?;
        let files = SmallFiles::Folder(folder.to_owned());
        let origin = Origin::HuggingFace { files, config, metadata: BTreeMap::new() };
        let mut weights = Weights { origin, tensors: BTreeMap::new(), files: Vec::new() };
        let index = folder.join("model.safetensors.index.json");
        let single = folder.join("model.safetensors");
        if single.exists() || !index.exists() {
            if !single.exists() {
                return Err(no_weights(folder));
            }
            weights.add_safetensors(&single)?;
            return Ok(weights);
        }
        let map = parse_index(&DiskFile::open(&index)?.whole(MAX_JSON)?)?;
        let mut names: Vec<&String> = map.values().collect();
        names.sort_unstable();
        names.dedup();
        let paths: Vec<PathBuf> = names.into_iter().map(|name| folder.join(name)).collect();
        check_parts(folder, &paths)?;
        for path in &paths {
            weights.add_safetensors(path)?;
        }
        for (tensor, file) in &map {
            let found = weights.tensor(tensor)?.file;
            if weights.files[found].path() != folder.join(file) {
                let text = format!("tensor {tensor} is not in {file}, as the index says");
                return Err(FormatError::new(text));
            }
        }
        Ok(weights)
    }

    fn add_safetensors(&mut self, path: &Path) -> Result<(), FormatError> {
        let file = DiskFile::open(path)?;
        let wrong = |error: FormatError| error.in_file(path);
        let mut first = [0; 8];
        if file.len() < first.len() as u64 {
            let text = format!("safetensors: the file is cut off: it has {} bytes", file.len());
            let todo = "fetch it again; `understory pull` checks what it fetches";
            return Err(wrong(FormatError::refused(text, todo)));
        }
        file.read_at(0, &mut first)?;
        let size = safetensors::header_size(first, file.len()).map_err(wrong)?;
        let header = safetensors::parse_header(&file.prefix(size)?, file.len()).map_err(wrong)?;
        let header =
            header.ok_or_else(|| wrong(FormatError::new("safetensors: the file is cut off")))?;
        if let Origin::HuggingFace { metadata, .. } = &mut self.origin {
            for (key, value) in header.metadata {
                metadata.entry(key).or_insert(value);
            }
        }
        let index = self.files.len();
        self.files.push(file);
        for (name, entry) in header.tensors {
            let [start, end] = entry.data_offsets;
            let element = ElementType::of_safetensors(entry.dtype);
            let (offset, bytes, shape) = (header.start + start, end - start, entry.shape);
            self.add(TensorInfo { name, shape, element, file: index, offset, bytes })?;
        }
        Ok(())
    }

    fn add(&mut self, tensor: TensorInfo) -> Result<(), FormatError> {
        let name = tensor.name.clone();
        match self.tensors.insert(name, tensor) {
            Some(twice) => {
                Err(FormatError::new(format!("tensor {} is in two of the files", twice.name)))
            }
            None => Ok(()),
        }
    }
}

/// Fails if parts of a model are not there, and names them.
fn check_parts(folder: &Path, parts: &[PathBuf]) -> Result<(), FormatError> {
    let missing: Vec<String> = parts
        .iter()
        .filter(|part| !part.exists())
        .map(|part| part.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let shown = missing.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if missing.len() > SHOWN { " and more" } else { "" };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let text = format!(
        "{}: {} of the {} parts of the weights are missing: {shown}{more}",
        folder.display(),
        missing.len(),
        parts.len()
    );
    Err(FormatError::refused(text, "fetch the rest; `understory pull` goes on with what is there"))
}

/// What a folder has in the place of `model.safetensors`.
fn no_weights(folder: &Path) -> FormatError {
    let names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .take(MOST_FILES)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let has = |fits: &dyn Fn(&str) -> bool| names.iter().any(|name| fits(name));
    let is_part = |name: &str| name.contains("-of-") && name.ends_with(".safetensors");
    let (what, todo) = if has(&|name| name == "adapter_model.safetensors") {
        ("an adapter, not a model", "merge it into the model that it was made for, first")
    } else if has(&is_part) {
        (
            "model.safetensors.index.json is missing, which says what is in which part",
            "it comes with the parts; fetch it, or the whole model with `understory pull`",
        )
    } else if has(&|name| [".bin", ".pt", ".pth"].iter().any(|end| name.ends_with(end))) {
        (
            "only weights of PyTorch, no model.safetensors",
            "save it as safetensors first, as `transformers` does",
        )
    } else if has(&|name| [".h5", ".msgpack", ".onnx"].iter().any(|end| name.ends_with(end))) {
        ("only weights of other programs", "take the same model in safetensors or GGUF")
    } else {
        (
            "no weights: neither model.safetensors nor model.safetensors.index.json",
            "fetch them; `understory pull` fetches a whole model",
        )
    };
    FormatError::refused(format!("{}: {what}", folder.display()), todo)
}

/// The names of all parts of a split GGUF in order, by the name of any of them
/// (`NAME-00002-of-00003.gguf`); `None` for other names.
pub fn part_names(name: &str) -> Option<Vec<String>> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let number = |text: &str| -> Option<u32> {
        let digits = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    let (part, count) = (number(part)?, number(count)?);
    let all = || (1..=count).map(|n| format!("{stem}-{n:05}-of-{count:05}.gguf")).collect();
    (1..=count).contains(&part).then(all)
}

/// The parts of a split GGUF, or the one file.
fn parts_of(path: &Path) -> Result<Vec<PathBuf>, FormatError> {
    let Some(names) = path.file_name().and_then(|name| part_names(name.to_str()?)) else {
        return Ok(vec![path.to_owned()]);
    };
    if names.len() > MAX_PARTS {
        let (path, count) = (path.display(), names.len());
        let text = format!("{path}: {count} parts, at most {MAX_PARTS} are read");
        return Err(FormatError::new(text));
    }
    Ok(names.iter().map(|name| path.with_file_name(name)).collect())
}

/// The map from tensor to file of a `model.safetensors.index.json`. Names of files are plain
/// names: nothing outside the folder is opened.
pub fn parse_index(bytes: &[u8]) -> Result<BTreeMap<String, String>, FormatError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|error| FormatError::new(format!("model.safetensors.index.json: {error}")))?;
    let plain = |name: &str| {
        name.ends_with(".safetensors")
            && !name.starts_with('.')
            && !name.contains(['/', '\\', ':', '\0'])
    };
    if let Some(name) = index.weight_map.values().find(|name| !plain(name)) {
        let text = format!("model.safetensors.index.json: {name:?} is no name of a weight file");
        return Err(FormatError::new(text));
    }
    let mut files: Vec<&String> = index.weight_map.values().collect();
    files.sort_unstable();
    files.dedup();
    if files.is_empty() || files.len() > MAX_PARTS {
        let text = format!(
            "model.safetensors.index.json: {} files, from 1 to {MAX_PARTS} are read",
            files.len()
        );
        return Err(FormatError::new(text));
    }
    Ok(index.weight_map)
}

/// Bytes of a GGUF read at first: most headers fit.
const FIRST_READ: u64 = 1 << 24;
/// Most bytes of a header; those of the largest vocabularies have a tenth of it.
const MAX_HEADER: u64 = 1 << 28;
/// Bytes of a tensor read at a time.
const PIECE: usize = 1 << 20;
const MAX_PARTS: usize = 1024;
/// Names shown of what is missing.
const SHOWN: usize = 8;
/// Files of a folder that are looked at.
const MOST_FILES: usize = 10_000;
const MAX_JSON: u64 = 1 << 27;
