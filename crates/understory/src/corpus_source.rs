//! Where the text comes from when the user names none.

use crate::{
    hint::{WithHint, hinted},
    progress::Screen,
};
use anyhow::Result;
use recipe::corpus::{DocumentError, Documents, ParquetError, WhyFile, registry_documents};
use std::{io::ErrorKind, path::PathBuf};

/// The crates this binary was built from.
const LOCK_FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));

/// The text in `paths`, or, where there are none, the documentation in the local cargo registry; how
/// far that is read is shown. `json` is for programs.
pub fn documents(paths: &[PathBuf], json: bool) -> Result<Documents> {
    let mut screen = Screen::new(json);
    let tell = &mut |progress| screen.tell(progress);
    if !paths.is_empty() {
        return Documents::from_paths_told(paths, tell).map_err(|error| {
            let hint = hint_for(&error);
            hinted(error, hint)
        });
    }
    registry_documents(LOCK_FILE, &registries(), tell).hint(
        "train on your own text with --data PATH (.txt, .md, .jsonl, .ndjson, .json, plain, .gz or .zst, or .parquet), \
         or run `cargo fetch` in understory's source folder to fill the registry",
    )
}

fn hint_for(error: &DocumentError) -> &'static str {
    match error {
        DocumentError::Parquet { why, .. } => for_parquet(why.why()),
        DocumentError::PackedParquet { .. } => UNPACK,
        DocumentError::Nothing { left_out, .. }
            if left_out.files.contains_key(&WhyFile::PackedParquet) =>
        {
            UNPACK
        }
        DocumentError::Nothing { left_out, .. }
            if left_out.files.contains_key(&WhyFile::LinkOut) =>
        {
            "links are followed inside the folder that is named: name the folder that holds what \
             they lead to, too, or the links themselves"
        }
        DocumentError::UnmarkedUtf16 { .. }
        | DocumentError::Utf32 { .. }
        | DocumentError::NotText { .. } => {
            "save it as UTF-8 (`iconv -f ENCODING -t UTF-8 FILE > NEW` converts it)"
        }
        DocumentError::Line { .. } | DocumentError::Entry { .. } => {
            "put the line right or take it out; `understory swarm config` says what is read"
        }
        DocumentError::Io { source, .. }
            if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            "the archive is damaged or cut off: fetch it again"
        }
        DocumentError::TooLarge { .. } => "cut it into smaller files, or take fewer",
        _ => {
            "text is taken from files and folders of .txt, .md, .jsonl, .ndjson and .json, plain, \
             .gz or .zst, and of .parquet"
        }
    }
}

/// How Parquet in an archive becomes something that is read.
const UNPACK: &str = "unpack it (`gunzip FILE`, `unzstd FILE`): Parquet is packed inside already";

/// What to do about a Parquet file that is not read.
fn for_parquet(why: &ParquetError) -> &'static str {
    match why {
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

/// Folders of unpacked packages in the local cargo registry.
fn registries() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let default = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cargo"));
    let Some(home) = home.or_else(default) else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(home.join("registry/src")) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    folders.sort();
    folders
}
