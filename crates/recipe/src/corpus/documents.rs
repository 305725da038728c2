//! Documents of plain text from files and folders.

use ids::Hash;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

/// Most bytes one file may unpack to; a bomb is an error, not an outage.
const MAX_FILE: u64 = 1 << 30;
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
    #[error("{path}, line {line}: {why}; each line must be an object with a \"text\" string")]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
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
    /// UTF-16, as some editors save text.
    #[error("{path} is UTF-16; save it as UTF-8")]
    Utf16 {
        /// The file.
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
    #[error("no text found in {0}")]
    Nothing(String),
}

impl Documents {
    /// Reads `.txt`, `.md` and `.jsonl` files, plain or `.gz`, from files and folders, in the order
    /// of their paths; other files of a folder are left out, a file named outright is read as text.
    pub fn from_paths(paths: &[PathBuf]) -> Result<Self, DocumentError> {
        let mut documents = Self { source: list(paths), ..Self::default() };
        for path in paths {
            for file in text_files(path)? {
                documents.add_file(&file)?;
            }
        }
        if documents.texts.is_empty() {
            return Err(DocumentError::Nothing(documents.source));
        }
        documents.licences.insert("yours".to_owned(), documents.files);
        Ok(documents)
    }

    /// Total bytes of text.
    pub fn bytes(&self) -> u64 {
        self.size
    }

    /// Adds one document, without the long paragraphs an earlier one had: licences and boilerplate
    /// would otherwise be learnt by heart and leak into the held-out text.
    pub fn add(&mut self, text: &str) -> bool {
        let mut kept = String::with_capacity(text.len());
        for paragraph in text.split("\n\n") {
            let paragraph = paragraph.trim_matches('\n').trim_end();
            if paragraph.trim().is_empty() {
                continue;
            }
            if paragraph.len() >= REPEATABLE && !self.seen.insert(Hash::of(paragraph.as_bytes())) {
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
        true
    }

    fn add_file(&mut self, path: &Path) -> Result<(), DocumentError> {
        let name = path.to_string_lossy();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        if plain.ends_with(".jsonl") {
            self.add_json_lines(path)?;
        } else {
            let mut bytes = Vec::new();
            let read = open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes);
            read.map_err(|source| DocumentError::Io { path: path.to_path_buf(), source })?;
            if bytes.len() as u64 > MAX_FILE {
                return Err(too_large(path, MAX_FILE));
            }
            if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
                return Err(DocumentError::Utf16 { path: path.to_path_buf() });
            }
            let text = String::from_utf8(bytes).map_err(|e| DocumentError::NotText {
                path: path.to_path_buf(),
                at: e.utf8_error().valid_up_to(),
            })?;
            self.add(without_mark(&text));
        }
        self.files += 1;
        if self.bytes() > MAX_CORPUS {
            return Err(too_large(path, MAX_CORPUS));
        }
        Ok(())
    }

    fn add_json_lines(&mut self, path: &Path) -> Result<(), DocumentError> {
        let mut reader = BufReader::new(open(path)?.take(MAX_FILE + 1));
        let (mut line, mut read) = (String::new(), 0);
        for number in 1.. {
            line.clear();
            let got = reader.by_ref().take(MAX_LINE + 1).read_line(&mut line);
            let got = got.map_err(|source| DocumentError::Io { path: path.into(), source })?;
            read += got as u64;
            if got == 0 {
                break;
            }
            if read > MAX_FILE {
                return Err(too_large(path, MAX_FILE));
            }
            if got as u64 > MAX_LINE {
                let why = format!("it has more than {MAX_LINE} bytes");
                return Err(DocumentError::Line { path: path.into(), line: number, why });
            }
            let line = if number == 1 { without_mark(&line) } else { &line };
            if line.trim().is_empty() {
                continue;
            }
            let text = text_of_line(line).map_err(|why| DocumentError::Line {
                path: path.to_path_buf(),
                line: number,
                why,
            })?;
            self.add(&text);
        }
        Ok(())
    }
}

/// The text of one JSON line: `text`, or the contents of `messages`, or `prompt` and `completion`.
fn text_of_line(line: &str) -> Result<String, String> {
    if !line.trim_start().starts_with('{') {
        return Err("it is no object".to_owned());
    }
    let line: Line = serde_json::from_str(line).map_err(|e| e.to_string())?;
    if let Some(text) = line.text.0 {
        return Ok(text);
    }
    if let (Some(prompt), Some(completion)) = (line.prompt.0, line.completion.0) {
        return Ok(prompt + &completion);
    }
    let messages = line.messages.ok_or("no \"text\" in it")?;
    let contents: Option<Vec<String>> = messages.into_iter().map(|m| m.content.0).collect();
    Ok(contents.ok_or("a message without \"content\"")?.join("\n\n"))
}

/// A text without the mark that some editors put at its beginning.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// What is read of a line; anything else in it takes no memory.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    text: Text,
    #[serde(default)]
    prompt: Text,
    #[serde(default)]
    completion: Text,
    messages: Option<Vec<Message>>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Text,
}

/// A string, or whatever is none.
#[derive(Default)]
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        from.deserialize_any(Any)
    }
}

fn open(path: &Path) -> Result<Box<dyn Read>, DocumentError> {
    let file =
        File::open(path).map_err(|source| DocumentError::Io { path: path.into(), source })?;
    if path.extension().is_some_and(|e| e == "gz") {
        Ok(Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))))
    } else {
        Ok(Box::new(file))
    }
}

fn text_files(path: &Path) -> Result<Vec<PathBuf>, DocumentError> {
    let io = |e: walkdir::Error| DocumentError::Io {
        path: e.path().unwrap_or(path).to_path_buf(),
        source: e.into(),
    };
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(io)?;
        if entry.file_type().is_file() && (entry.depth() == 0 || is_text(entry.path())) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

fn is_text(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    [".txt", ".md", ".jsonl"].iter().any(|ending| plain.ends_with(ending))
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn too_large(path: &Path, limit: u64) -> DocumentError {
    DocumentError::TooLarge { path: path.to_path_buf(), limit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn reads_text_markdown_json_lines_and_gzip_in_path_order() {
        let dir = folder();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a.txt"), "first").expect("write");
        fs::write(at("b.md"), "# second").expect("write");
        fs::write(
            at("c.jsonl"),
            "{\"text\":\"third\"}\n\n{\"prompt\":\"4\",\"completion\":\"th\"}\n",
        )
        .expect("write");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"fifth").expect("compress");
        fs::write(at("d.txt.gz"), gz.finish().expect("compress")).expect("write");
        fs::write(at("e.bin"), [255, 254]).expect("write");
        let documents = Documents::from_paths(&[dir.path().to_path_buf()]).expect("read");
        assert_eq!(documents.texts, ["first\n", "# second\n", "third\n", "4th\n", "fifth\n"]);
        assert_eq!(documents.files, 4);
    }

    #[test]
    fn says_which_line_has_no_text() {
        let dir = folder();
        let path = dir.path().join("x.jsonl");
        for bad in ["{\"text\":\"a\"}\n{\"txt\":1}", "[]\n", "{", "{\"messages\":[{}]}"] {
            fs::write(&path, bad).expect("write");
            let error = Documents::from_paths(std::slice::from_ref(&path)).expect_err("bad line");
            assert!(matches!(error, DocumentError::Line { .. }), "{error}");
        }
    }

    #[test]
    fn refuses_binary_and_missing_files() {
        let dir = folder();
        let path = dir.path().join("x");
        fs::write(&path, b"ab\xff").expect("write");
        let error = Documents::from_paths(std::slice::from_ref(&path)).expect_err("binary");
        assert!(matches!(error, DocumentError::NotText { at: 2, .. }));
        assert!(Documents::from_paths(&[dir.path().join("absent")]).is_err());
        let empty = folder();
        let error = Documents::from_paths(&[empty.path().to_path_buf()]).expect_err("empty");
        assert!(matches!(error, DocumentError::Nothing(_)));
    }

    #[test]
    fn marks_at_the_beginning_are_no_text_and_utf_16_is_named() {
        let dir = folder();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a.jsonl"), "\u{feff}{\"text\":\"one\"}\n").expect("write");
        fs::write(at("b.txt"), "\u{feff}two").expect("write");
        let documents = Documents::from_paths(&[dir.path().to_path_buf()]).expect("read");
        assert_eq!(documents.texts, ["one\n", "two\n"]);
        fs::write(at("c.txt"), [0xff, 0xfe, b'a', 0]).expect("write");
        let error = Documents::from_paths(&[at("c.txt")]).expect_err("UTF-16").to_string();
        assert!(error.contains("UTF-16"), "{error}");
    }

    /// What is not read of a line takes no memory, and lines are of bounded length: otherwise a
    /// compressed megabyte becomes a gigabyte of brackets and that tens of gigabytes of values.
    #[test]
    fn a_line_of_brackets_costs_no_more_than_itself() {
        let brackets = |n: usize| format!("{{\"x\":[{}0],\"text\":\"a\"}}\n", "[],".repeat(n));
        assert_eq!(text_of_line(&brackets(1000)), Ok("a".to_owned()));
        let dir = folder();
        let path = dir.path().join("x.jsonl.gz");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(brackets(24 << 20).as_bytes()).expect("compress");
        fs::write(&path, gz.finish().expect("compress")).expect("write");
        let error = Documents::from_paths(&[path]).expect_err("72 MB in a line").to_string();
        assert!(error.contains("line 1: it has more than"), "{error}");
        for other in [
            "{\"text\":5,\"messages\":[{\"content\":\"b\"}]}",
            "{\"text\":{},\"prompt\":\"\",\"completion\":\"b\"}",
        ] {
            assert_eq!(text_of_line(other), Ok("b".to_owned()));
        }
        assert!(text_of_line("[\"text\",\"\",\"\",null]").is_err());
    }

    #[test]
    fn a_long_paragraph_counts_once() {
        let mut documents = Documents::default();
        let long = "licence ".repeat(40);
        assert!(documents.add(&format!("one\n\n{long}")));
        assert!(documents.add(&format!("{long}\n\ntwo")));
        assert!(!documents.add(&long));
        assert_eq!(documents.texts.len(), 2);
        assert_eq!(documents.texts[1], "two\n");
    }
}
