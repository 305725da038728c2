//! What of a text that was given is not in the corpus: nothing is left out without a word.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many names are told for each reason.
const NAMES: usize = 3;
/// A longer name is shortened when it is told.
const MAX_NAME: usize = 200;

/// What is not in a corpus, as numbers and the first few names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Files that were not read, by why.
    pub files: BTreeMap<WhyFile, Named>,
    /// Texts that are not there or not whole, by why.
    pub texts: BTreeMap<WhyText, Named>,
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyFile {
    /// Its name has the ending of no text.
    OtherKind,
    /// It is Parquet inside an archive.
    PackedParquet,
    /// Its bytes are no UTF-8 text.
    NotText,
    /// It looks like UTF-16 and has no mark that says so.
    UnmarkedUtf16,
    /// It is UTF-32.
    Utf32,
    /// There is no text in it.
    Empty,
    /// It is JSON, and its first value is no document; or Parquet, and no column of it has texts.
    NoDocuments,
    /// It is a link that leads out of the folder.
    LinkOut,
    /// It is a link that leads nowhere.
    LinkNowhere,
    /// It was read, or is read, under another name.
    Again,
    /// It is neither file nor folder.
    NoFile,
    /// It is larger than a text in a package is.
    TooLarge,
    /// It cannot be read.
    Unreadable,
}

/// Why a text is not in the corpus, or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyText {
    /// A document of a JSON file is empty.
    Empty,
    /// A part of a message is no text: a picture, a call of a tool.
    OtherPart,
    /// A long paragraph was in an earlier document.
    RepeatedParagraph,
    /// A document is the same as another.
    SameDocument,
    /// A document is beyond `data.options.max_bytes`.
    BeyondMaxBytes,
    /// A document that is not trained on, and not held out either, since there is enough of it.
    BeyondHeldOut,
}

/// How many of something, and what the first few are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// How many.
    pub number: u64,
    /// Their bytes of text, where these were counted.
    pub bytes: u64,
    /// The first few names, each once.
    pub first: Vec<String>,
}

impl LeftOut {
    /// Whether nothing was left out.
    pub fn is_nothing(&self) -> bool {
        self.files.is_empty() && self.texts.is_empty()
    }

    /// Puts what another part left out to it.
    pub fn merge(&mut self, other: LeftOut) {
        for (why, named) in other.files {
            self.files.entry(why).or_default().merge(named);
        }
        for (why, named) in other.texts {
            self.texts.entry(why).or_default().merge(named);
        }
    }

    /// The same in words, a sentence for each reason.
    pub fn words(&self) -> Vec<String> {
        let files = self.files.iter().map(|(why, named)| named.words(why.words()));
        files.chain(self.texts.iter().map(|(why, named)| named.words(why.words()))).collect()
    }

    pub(super) fn file(&mut self, why: WhyFile, name: &str) {
        self.files.entry(why).or_default().add(name, 0);
    }

    pub(super) fn text(&mut self, why: WhyText, name: &str, bytes: usize) {
        self.texts.entry(why).or_default().add(name, bytes as u64);
    }
}

impl Named {
    fn add(&mut self, name: &str, bytes: u64) {
        self.number += 1;
        self.bytes += bytes;
        self.note(name);
    }

    fn note(&mut self, name: &str) {
        let end = name.char_indices().nth(MAX_NAME).map(|(end, _)| end);
        let name = end.map_or_else(|| name.to_owned(), |end| format!("{}…", &name[..end]));
        if self.first.len() < NAMES && !self.first.contains(&name) {
            self.first.push(name);
        }
    }

    fn merge(&mut self, other: Named) {
        self.number += other.number;
        self.bytes += other.bytes;
        other.first.iter().for_each(|name| self.note(name));
    }

    fn words(&self, (one, several): (&str, &str)) -> String {
        let what = if self.number == 1 { one } else { several };
        let bytes = match self.bytes {
            0 => String::new(),
            bytes => format!(", {bytes} bytes"),
        };
        let more = if self.number > self.first.len() as u64 { ", …" } else { "" };
        format!("{} {what}{bytes} ({}{more})", self.number, self.first.join(", "))
    }
}

impl WhyFile {
    /// Of one file, and of several.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            WhyFile::OtherKind => ("file of another kind", "files of other kinds"),
            WhyFile::PackedParquet => (
                "Parquet file in an archive, which has to be unpacked",
                "Parquet files in archives, which have to be unpacked",
            ),
            WhyFile::NotText => ("file that is not UTF-8 text", "files that are not UTF-8 text"),
            WhyFile::UnmarkedUtf16 => (
                "file that looks like UTF-16 without a byte order mark",
                "files that look like UTF-16 without a byte order mark",
            ),
            WhyFile::Utf32 => ("file in UTF-32", "files in UTF-32"),
            WhyFile::Empty => ("file without text", "files without text"),
            WhyFile::NoDocuments => (
                "JSON or Parquet file without documents",
                "JSON or Parquet files without documents",
            ),
            WhyFile::LinkOut => ("link out of the folder", "links out of the folder"),
            WhyFile::LinkNowhere => ("link that leads nowhere", "links that lead nowhere"),
            WhyFile::Again => {
                ("further name of what is read already", "further names of what is read already")
            }
            WhyFile::NoFile => ("thing that is no file", "things that are no files"),
            WhyFile::TooLarge => ("file that is too large", "files that are too large"),
            WhyFile::Unreadable => ("file that cannot be read", "files that cannot be read"),
        }
    }
}

impl WhyText {
    /// Of one text, and of several.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            WhyText::Empty => ("empty document", "empty documents"),
            WhyText::OtherPart => {
                ("part of a message that is no text", "parts of messages that are no text")
            }
            WhyText::RepeatedParagraph => (
                "long paragraph that was in an earlier document",
                "long paragraphs that were in earlier documents",
            ),
            WhyText::SameDocument => {
                ("document that is the same as another", "documents that are the same as others")
            }
            WhyText::BeyondMaxBytes => ("document beyond max_bytes", "documents beyond max_bytes"),
            WhyText::BeyondHeldOut => (
                "document that is neither trained on nor held out, beyond held_out_bytes",
                "documents that are neither trained on nor held out, beyond held_out_bytes",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_and_names_are_few_and_short() {
        let mut left_out = LeftOut::default();
        for i in 0..9 {
            left_out.file(WhyFile::OtherKind, &format!("{i}.csv"));
        }
        left_out.file(WhyFile::LinkOut, &"x".repeat(5000));
        let mut other = LeftOut::default();
        other.text(WhyText::RepeatedParagraph, "a.txt", 200);
        other.text(WhyText::RepeatedParagraph, "a.txt", 300);
        other.file(WhyFile::OtherKind, "9.csv");
        left_out.merge(other);
        let words = left_out.words();
        assert_eq!(words[0], "10 files of other kinds (0.csv, 1.csv, 2.csv, …)");
        assert!(words[1].starts_with("1 link out of the folder (xxx") && words[1].len() < 300);
        let repeated = "2 long paragraphs that were in earlier documents, 500 bytes (a.txt, …)";
        assert_eq!(words[2], repeated);
        let json = serde_json::to_string(&left_out).expect("it has a JSON form");
        assert!(json.contains("\"other_kind\":{\"number\":10"), "{json}");
        assert_eq!(serde_json::from_str::<LeftOut>(&json).expect("it reads back"), left_out);
    }
}
