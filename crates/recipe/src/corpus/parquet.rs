//! Documents in Parquet files: the columns with texts, row by row.
//!
//! A reader of what holds texts and no more: plain, dictionary and delta encodings of byte arrays,
//! and the nesting of chats. Nothing is taken from a number that was not checked, and what is
//! unpacked is bounded, page by page and in all.

mod footer;
mod levels;
mod pages;
mod rows;
mod schema;
mod thrift;
mod values;

use super::document::{Document, NoDocument};
use rows::Rows;
use std::{fs::File, io, path::Path};

/// Why a Parquet file cannot be read. Groups and rows are counted from 1, rows over the whole file.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    /// The system cannot read it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not end in what Parquet files end with.
    #[error("it is no Parquet file, or it is cut off")]
    NoEnd,
    /// It, or a column of it, is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// Its columns are in other files.
    #[error("its columns are in other files")]
    Elsewhere,
    /// None of its columns holds texts under a name that is looked for.
    #[error(
        "no column of texts is called \"text\" or \"content\", or \"prompt\" beside one called \
         \"completion\", or \"messages\" and has \"content\"; its columns are {}{}",
        .columns.join(", "),
        something_else(.no_texts)
    )]
    NoText {
        /// The first of its columns.
        columns: Vec<String>,
        /// Those that have such a name and hold something else than texts.
        no_texts: Vec<String>,
    },
    /// Its pages are packed in a way that is not read.
    #[error("its pages are packed with {}", codec(*.0))]
    Codec(i64),
    /// Its texts are encoded in a way that is not read.
    #[error("its texts are in encoding {0}, which is not read")]
    Encoding(i64),
    /// It contradicts itself.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A text is not UTF-8 from this byte of it on.
    #[error("a text is not UTF-8, at byte {0} of it")]
    NotUtf8(usize),
    /// A row is no document.
    #[error("{0}")]
    NoDocument(NoDocument),
    /// One of the above, in this row.
    #[error("row group {group}, row {row}: {why}")]
    Row {
        /// The group that the row is in.
        group: usize,
        /// The row.
        row: u64,
        /// What is wrong there.
        why: Box<ParquetError>,
    },
    /// Two columns that could both be the document's text.
    #[error("two of its columns are called {:?}", ids::Plain(.0).to_string())]
    Twice(String),
    /// More than a file may hold.
    #[error("it holds more than {most} bytes of text")]
    TooLarge {
        /// The most that is read.
        most: u64,
    },
    /// More than a file of its length may hold.
    #[error("it unpacks to more than {most} bytes, the most for a file of {bytes} bytes")]
    Swells {
        /// Its length.
        bytes: u64,
        /// The most that is read of it, unpacked.
        most: u64,
    },
    /// A dictionary with too many texts.
    #[error("it has a dictionary of {number} texts, at most {most} are read")]
    LargeDictionary {
        /// How many.
        number: u64,
        /// How many may be.
        most: u64,
    },
}

impl ParquetError {
    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        match self.why() {
            ParquetError::NoEnd => {
                "fetch it again and whole; where Git has left a pointer in its place, `git lfs pull` \
                 fetches the file"
            }
            ParquetError::NoText { .. } => {
                "rename the column that holds the texts: duckdb -c \"COPY (SELECT body AS text FROM \
                 'FILE.parquet') TO 'NEW.parquet'\""
            }
            ParquetError::Swells { .. } | ParquetError::LargeDictionary { .. } => {
                "cut it into several files, or write its texts as .jsonl.zst"
            }
            ParquetError::Encrypted | ParquetError::Elsewhere => {
                "write it again as one plain file: with pandas, \
                 pandas.read_parquet(…).to_parquet('NEW.parquet')"
            }
            ParquetError::Codec(_) | ParquetError::Encoding(_) => {
                "write it again with a common packing: duckdb -c \"COPY (FROM 'FILE.parquet') TO \
                 'NEW.parquet' (COMPRESSION zstd)\""
            }
            ParquetError::NoDocument(_) | ParquetError::NotUtf8(_) => {
                "put the row right or take it out: duckdb -c \"COPY (FROM 'FILE.parquet' WHERE text IS \
                 NOT NULL) TO 'NEW.parquet'\" takes out rows without a text"
            }
            _ => "fetch it again, or write it again: what is in it contradicts itself",
        }
    }

    /// What is wrong, wherever it is.
    pub fn why(&self) -> &ParquetError {
        match self {
            Self::Row { why, .. } => why.why(),
            other => other,
        }
    }
}

/// Hands out the documents of a file in the order of its rows, of at most `most` bytes in all; how
/// many rows there are.
pub(super) fn read(
    path: &Path,
    most: u64,
    heard: &mut dyn FnMut(u64),
    take: &mut dyn FnMut(Document),
) -> Result<u64, ParquetError> {
    let file = File::open(path)?;
    let footer = footer::read(&file)?;
    // A small file that claims to hold much is a trap, not a corpus.
    let bytes = file.metadata()?.len();
    let mut budget = Budget::new(most, bytes);
    let mut row = 0;
    for (number, group) in footer.groups.iter().enumerate().filter(|(_, group)| group.rows > 0) {
        let mut rows = Rows::new(&file, &footer.columns, group);
        let at = |row, why| ParquetError::Row { group: number + 1, row, why: Box::new(why) };
        for _ in 0..group.rows {
            row += 1;
            let fields = rows.row(&mut budget).map_err(|why| at(row, why))?;
            let document = fields.document();
            take(document.map_err(|why| at(row, ParquetError::NoDocument(why)))?);
        }
        rows.end(&mut budget).map_err(|why| at(row, why))?;
        // Groups are about as long as each other.
        heard(bytes / footer.groups.len().max(1) as u64);
    }
    Ok(row)
}

/// What may still be read of a file: bytes of pages, unpacked, and bytes of texts, which may be
/// more where a dictionary repeats them.
struct Budget {
    unpacked: u64,
    texts: u64,
    limit: Limit,
}

/// What more than may be read is.
#[derive(Clone, Copy)]
enum Limit {
    /// Of any file.
    All { most: u64 },
    /// Of a file of this length.
    Swelling { bytes: u64, most: u64 },
}

/// What a value counts besides its bytes, absent ones too: a few bytes may claim billions of them.
const VALUE: u64 = 64;

/// What any file may unpack to, and how many times its length beside that.
const FREE: u64 = 64 << 20;
const RATIO: u64 = 1024;

impl Budget {
    /// For a file of `bytes` bytes of which at most `all` are read.
    fn new(all: u64, bytes: u64) -> Self {
        let swollen = FREE.saturating_add(bytes.saturating_mul(RATIO));
        let (most, limit) = match swollen < all {
            true => (swollen, Limit::Swelling { bytes, most: swollen }),
            false => (all, Limit::All { most: all }),
        };
        Self { unpacked: most, texts: most, limit }
    }

    fn page(&mut self, bytes: u64) -> Result<(), ParquetError> {
        self.unpacked = self.unpacked.checked_sub(bytes).ok_or(self.limit)?;
        Ok(())
    }

    fn text(&mut self, bytes: u64) -> Result<(), ParquetError> {
        self.texts = self.texts.checked_sub(bytes + VALUE).ok_or(self.limit)?;
        Ok(())
    }
}

impl From<Limit> for ParquetError {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::All { most } => Self::TooLarge { most },
            Limit::Swelling { bytes, most } => Self::Swells { bytes, most },
        }
    }
}

fn something_else(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; what is in \"{}\" is not text", names.join("\" and \"")),
    }
}

fn damaged(why: &str) -> ParquetError {
    ParquetError::Damaged(why.to_owned())
}

fn codec(number: i64) -> String {
    let name = match number {
        3 => "LZO",
        4 => "Brotli",
        5 | 7 => "LZ4",
        other => return format!("codec {other}, which is not known"),
    };
    format!("{name}, which is not read")
}

#[cfg(test)]
mod tests;
