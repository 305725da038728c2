//! Documents of plain text from files and folders.

use super::{
    document::{Document, WANTED},
    encoding::{Decoded, decode},
    files::{Finder, Found},
    json,
    kind::{self, Format, Packing},
    left_out::{LeftOut, WhyFile, WhyText},
    parquet::{self, ParquetError},
};
use ids::Hash;
use progress::{Counter, Tell, Work};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, BufRead, BufReader, Cursor, ErrorKind, Read},
    path::{Path, PathBuf},
};

/// Most bytes one file may unpack to; a bomb is an error, not an outage.
pub(super) const MAX_FILE: u64 = 1 << 30;
/// Most bytes a corpus may hold in this version (it is held in memory).
const MAX_CORPUS: u64 = 4 << 30;
/// Most bytes of one line of JSON, which takes several times that in memory.
const MAX_LINE: u64 = 64 << 20;
/// Shorter paragraphs repeat legitimately; longer ones only as boilerplate.
const REPEATABLE: usize = 160;

/// Text to learn from, in a fixed order, with where it came from.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// One document each, never empty.
    pub texts: Vec<String>,
    /// Files read.
    pub files: u64,
    /// Files per licence, as their packages declare it (`unstated` where they do not).
    pub licences: BTreeMap<String, u64>,
    /// Where from, for people.
    pub source: String,
    /// What was there and is not in the texts.
    pub left_out: LeftOut,
    /// Of each text, which of the names it came from.
    origins: Vec<u32>,
    names: Vec<String>,
    seen: BTreeSet<Hash>,
    /// Bytes of all texts.
    size: u64,
}

/// Why a corpus cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of a `.jsonl` file has no text.
    #[error("{path}, line {line}: {why}; {WANTED}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A value of a `.json` file has no text.
    #[error("{path}, document {number}: {why}; {WANTED}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// Number of the value, from 1.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Not UTF-8.
    #[error("{path} is not UTF-8 text (at byte {at})")]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first byte that is not UTF-8, from 0.
        at: usize,
    },
    /// UTF-16 that does not say so, as some programs save text.
    #[error("{path} looks like UTF-16 without a byte order mark")]
    UnmarkedUtf16 {
        /// The file.
        path: PathBuf,
    },
    /// UTF-32.
    #[error("{path} is UTF-32")]
    Utf32 {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file cannot be read.
    #[error("{path}: {why}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: ParquetError,
    },
    /// A Parquet file inside an archive, in which it cannot be read from its end.
    #[error("{path} is a Parquet file in an archive")]
    PackedParquet {
        /// The archive.
        path: PathBuf,
    },
    /// Neither a file nor a folder.
    #[error("{path} is neither a file nor a folder")]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// Larger than this version reads.
    #[error("{path} holds more than {limit} bytes of text")]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// Nothing there to train on.
    #[error("no text found in {from}{}", said(.left_out))]
    Nothing {
        /// Where it was looked for.
        from: String,
        /// What was found and left out.
        left_out: Box<LeftOut>,
    },
}

impl DocumentError {
    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        match self {
            Self::Parquet { why, .. } => why.todo(),
            Self::PackedParquet { .. } => UNPACK,
            Self::Nothing { left_out, .. }
                if left_out.files.contains_key(&WhyFile::PackedParquet) =>
            {
                UNPACK
            }
            Self::Nothing { left_out, .. } if left_out.files.contains_key(&WhyFile::LinkOut) => {
                "links are followed inside the folder that is named: name the folder that holds what \
                 they lead to, too, or the links themselves"
            }
            Self::UnmarkedUtf16 { .. } | Self::Utf32 { .. } | Self::NotText { .. } => {
                "save it as UTF-8 (`iconv -f ENCODING -t UTF-8 FILE > NEW` converts it)"
            }
            Self::Line { .. } | Self::Entry { .. } => {
                "put the line right or take it out; `understory swarm config` says what is read"
            }
            Self::Io { source, .. }
                if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                "the archive is damaged or cut off: fetch it again"
            }
            Self::TooLarge { .. } => "cut it into smaller files, or take fewer",
            _ => {
                "text is taken from files and folders of .txt, .md, .jsonl, .ndjson and .json, plain, \
                 .gz or .zst, and of .parquet"
            }
        }
    }
}

/// How Parquet in an archive becomes something that is read.
const UNPACK: &str = "unpack it (`gunzip FILE`, `unzstd FILE`): Parquet is packed inside already";

impl Documents {
    /// Reads `.txt`, `.md`, `.jsonl`, `.ndjson` and `.json` files, plain, `.gz` or `.zst`, and
    /// `.parquet` files, from files and folders, in the order of their paths. Other files of a folder are left out, which
    /// [`Documents::left_out`] tells; a file named outright is read as text.
    pub fn from_paths(paths: &[PathBuf]) -> Result<Self, DocumentError> {
        Self::from_paths_told(paths, &mut |_| {})
    }

    /// [`Documents::from_paths`], which takes long where there is much; `tell` hears how much of the
    /// files is read.
    pub fn from_paths_told(paths: &[PathBuf], tell: &mut Tell<'_>) -> Result<Self, DocumentError> {
        let mut documents = Self { source: list(paths), ..Self::default() };
        let mut left_out = LeftOut::default();
        let mut finder = Finder { left_out: &mut left_out, seen: BTreeSet::new() };
        // All are looked for before the first is read, which may take long.
        let found = paths.iter().map(|path| finder.find(path));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        documents.left_out = left_out;
        let length = |file: &Found| fs::metadata(&file.place).map_or(0, |known| known.len());
        let lengths: Vec<u64> = found.iter().flatten().map(length).collect();
        let mut count = Counter::new(Work::Gathering, lengths.iter().sum(), tell);
        for (file, length) in found.iter().flatten().zip(lengths) {
            let mut left = length;
            documents.add_file(file, &mut |bytes| {
                let bytes = bytes.min(left);
                left -= bytes;
                count.add(bytes);
            })?;
            // What was left out of it counts as read.
            count.add(left);
        }
        count.end();
        if documents.texts.is_empty() {
            return Err(documents.nothing());
        }
        documents.licences.insert("yours".to_owned(), documents.files);
        Ok(documents)
    }

    /// Total bytes of text.
    pub fn bytes(&self) -> u64 {
        self.size
    }

    /// What is called `name` comes next.
    pub(super) fn begin(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    /// Adds one document, without the long paragraphs an earlier one had: licences and boilerplate
    /// would otherwise be learnt by heart and leak into the held-out text.
    pub(super) fn add(&mut self, text: &str) -> bool {
        let mut kept = String::with_capacity(text.len());
        for paragraph in text.split("\n\n") {
            let paragraph = paragraph.trim_matches('\n').trim_end();
            if paragraph.trim().is_empty() {
                continue;
            }
            if paragraph.len() >= REPEATABLE && !self.seen.insert(Hash::of(paragraph.as_bytes())) {
                self.shorten(WhyText::RepeatedParagraph, paragraph.len());
                continue;
            }
            if !kept.is_empty() {
                kept.push_str("\n\n");
            }
            kept.push_str(paragraph);
        }
        if kept.is_empty() {
            return false;
        }
        kept.push('\n');
        self.size += kept.len() as u64;
        self.texts.push(kept);
        self.origins.push(self.names.len().saturating_sub(1) as u32);
        true
    }

    /// What text number `index` came from.
    pub(super) fn origin(&self, index: usize) -> &str {
        self.names.get(self.origins[index] as usize).map_or("", String::as_str)
    }

    /// The error of there being no text.
    pub(super) fn nothing(self) -> DocumentError {
        DocumentError::Nothing { from: self.source, left_out: Box::new(self.left_out) }
    }

    fn shorten(&mut self, why: WhyText, bytes: usize) {
        let name = self.names.last().map_or("", String::as_str);
        self.left_out.text(why, name, bytes);
    }

    fn add_file(&mut self, file: &Found, heard: &mut dyn FnMut(u64)) -> Result<(), DocumentError> {
        let name = file.name.to_string_lossy().into_owned();
        self.begin(&name);
        match self.read_file(file, heard) {
            Ok(true) => self.files += 1,
            Ok(false) => self.left_out.file(WhyFile::Empty, &name),
            // Of a folder the rest is read.
            Err(error) => match error.why_left_out().filter(|_| !file.named) {
                Some(why) => self.left_out.file(why, &name),
                None => return Err(error),
            },
        }
        if self.bytes() > MAX_CORPUS {
            return Err(DocumentError::TooLarge { path: file.name.clone(), limit: MAX_CORPUS });
        }
        Ok(())
    }

    /// Reads a file; whether there was anything in it.
    fn read_file(
        &mut self,
        file: &Found,
        heard: &mut dyn FnMut(u64),
    ) -> Result<bool, DocumentError> {
        let path = file.name.as_path();
        if file.kind.format == Format::Parquet {
            return self.add_parquet(file, heard);
        }
        let opened = kind::open(&file.place, file.kind, heard).map_err(|e| failed(path, e))?;
        let limited = Box::new(Limited { inner: opened, left: MAX_FILE });
        let (text, mark) = match decode(limited).map_err(|e| failed(path, e))? {
            Decoded::Utf8 { text, mark } => (text, mark.unwrap_or(0)),
            // As it is called in the cache of a hub, where names are hashes.
            Decoded::Parquet => return self.add_parquet(file, &mut |_| {}),
            Decoded::Torn(at) => return Err(DocumentError::NotText { path: path.into(), at }),
            Decoded::Not(why) => return Err(refused(path, why)),
        };
        let reader = BufReader::new(text);
        match file.kind.format {
            Format::JsonLines => self.add_json_lines(path, reader),
            Format::Json => self.add_json(path, reader),
            Format::Text | Format::Parquet => self.add_text(path, reader, mark),
        }
    }

    fn add_parquet(
        &mut self,
        file: &Found,
        heard: &mut dyn FnMut(u64),
    ) -> Result<bool, DocumentError> {
        let path = file.name.as_path();
        if file.kind.packing != Packing::None {
            return Err(DocumentError::PackedParquet { path: path.into() });
        }
        let read = parquet::read(&file.place, MAX_FILE, heard, &mut |document| {
            self.add_document(document)
        });
        match read {
            Ok(rows) => Ok(rows > 0),
            Err(why) => Err(match why.why() {
                &ParquetError::TooLarge { most } => {
                    DocumentError::TooLarge { path: path.into(), limit: most }
                }
                _ => DocumentError::Parquet { path: path.into(), why },
            }),
        }
    }

    fn add_text(
        &mut self,
        path: &Path,
        reader: impl Read,
        mark: usize,
    ) -> Result<bool, DocumentError> {
        let bytes = bounded::read_from(reader, MAX_FILE).map_err(|e| failed(path, e))?;
        let not_text = |at: usize| DocumentError::NotText { path: path.into(), at: at + mark };
        let text = String::from_utf8(bytes).map_err(|e| not_text(e.utf8_error().valid_up_to()))?;
        if let Some(at) = text.find('\0') {
            return Err(not_text(at));
        }
        self.add(&text);
        Ok(!text.trim().is_empty())
    }

    fn add_json_lines(
        &mut self,
        path: &Path,
        mut reader: impl BufRead,
    ) -> Result<bool, DocumentError> {
        let (first, blank) = json::skip_blank(&mut reader).map_err(|e| failed(path, e))?;
        if first == Some(b'[') {
            return self.add_values(path, reader, first);
        }
        let mut line = Vec::new();
        let mut any = false;
        for number in blank + 1.. {
            let bad = |why: String| DocumentError::Line { path: path.into(), line: number, why };
            line.clear();
            let got = reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line);
            let got = got.map_err(|e| failed(path, e))?;
            if got == 0 {
                break;
            }
            if got as u64 > MAX_LINE {
                return Err(bad(format!("it has more than {MAX_LINE} bytes")));
            }
            let text = std::str::from_utf8(&line).map_err(|e| {
                bad(format!("it is not UTF-8, at byte {} of the line", e.valid_up_to() + 1))
            })?;
            if !text.trim().is_empty() {
                self.add_document(json::of_line(text).map_err(bad)?);
                any = true;
            }
        }
        Ok(any)
    }

    fn add_json(&mut self, path: &Path, mut reader: impl BufRead) -> Result<bool, DocumentError> {
        let (first, blank) = json::skip_blank(&mut reader).map_err(|e| failed(path, e))?;
        // What was skipped is put back, for errors to count lines.
        let blank = Cursor::new(vec![b'\n'; blank.min(1 << 20)]);
        self.add_values(path, blank.chain(reader), first)
    }

    fn add_values(
        &mut self,
        path: &Path,
        reader: impl BufRead,
        first: Option<u8>,
    ) -> Result<bool, DocumentError> {
        let (mut number, mut bad) = (0, None);
        let read = json::read_all(reader, first == Some(b'['), &mut |document| {
            number += 1;
            match document {
                Ok(document) => self.add_document(document),
                Err(why) => bad = Some(why),
            }
            bad.is_none()
        });
        let entry = |number, why| DocumentError::Entry { path: path.into(), number, why };
        match (bad, read) {
            (Some(why), _) => Err(entry(number, why)),
            (None, Err(error)) if error.is_io() => Err(failed(path, error.into())),
            (None, Err(error)) => Err(entry(number + 1, error.to_string())),
            (None, Ok(())) => Ok(number > 0),
        }
    }

    fn add_document(&mut self, document: Document) {
        for _ in 0..document.other_parts {
            self.shorten(WhyText::OtherPart, 0);
        }
        if document.text.trim().is_empty() {
            self.shorten(WhyText::Empty, 0);
        } else {
            self.add(&document.text);
        }
    }
}

impl DocumentError {
    /// Why a file of a folder is passed over, where this is no reason to read nothing at all.
    fn why_left_out(&self) -> Option<WhyFile> {
        Some(match self {
            Self::NotText { .. } => WhyFile::NotText,
            Self::UnmarkedUtf16 { .. } => WhyFile::UnmarkedUtf16,
            Self::Utf32 { .. } => WhyFile::Utf32,
            Self::PackedParquet { .. } => WhyFile::PackedParquet,
            Self::Parquet { why: ParquetError::NoText { .. }, .. } => WhyFile::NoDocuments,
            // Settings and the like are in JSON too.
            Self::Entry { number: 1, .. } => WhyFile::NoDocuments,
            _ => return None,
        })
    }
}

/// Reads so many bytes, and where there are more it is an error.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

fn failed(path: &Path, source: io::Error) -> DocumentError {
    match source.kind() {
        ErrorKind::FileTooLarge => DocumentError::TooLarge { path: path.into(), limit: MAX_FILE },
        _ => DocumentError::Io { path: path.into(), source },
    }
}

fn refused(path: &Path, why: WhyFile) -> DocumentError {
    let path = path.to_path_buf();
    match why {
        WhyFile::UnmarkedUtf16 => DocumentError::UnmarkedUtf16 { path },
        WhyFile::Utf32 => DocumentError::Utf32 { path },
        _ => DocumentError::NotText { path, at: 0 },
    }
}

fn said(left_out: &LeftOut) -> String {
    match left_out.is_nothing() {
        true => String::new(),
        false => format!("; left out: {}", left_out.words().join("; ")),
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
