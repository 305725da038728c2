//! Files that pyarrow, DuckDB and Polars wrote (`oracle/parquet_golden.py`) hold the documents of the same rows as JSON
//! lines; what is refused is named; whatever is broken is an error.

use super::*;
use crate::corpus::{DataOptions, DocumentError, Documents, WhyFile, WhyText, build};
use proptest::prelude::*;
use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet")
}

fn at(name: &str) -> PathBuf {
    golden().join(format!("{name}.parquet"))
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(golden()).expect("the golden files");
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let names = entries.map(|entry| name(entry).into_string().expect("a plain name"));
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".parquet")?.to_owned())).collect();
    names.sort();
    names
}

fn documents(path: PathBuf) -> Result<Documents, DocumentError> {
    Documents::from_paths(&[path])
}

fn refused(name: &str) -> String {
    documents(at(name)).expect_err(name).to_string()
}

#[test]
fn every_file_has_the_documents_of_its_rows_as_json_lines() {
    let mut compared = 0;
    for name in names().iter().filter(|name| !name.starts_with("bad-") && *name != "empty") {
        let rows = name.split('-').next().expect("a first part");
        let lines = documents(golden().join(format!("{rows}.jsonl"))).expect("reads");
        let table = documents(at(name)).unwrap_or_else(|e| panic!("{e}"));
        assert!(table.texts.len() > 20 && table.texts == lines.texts, "{name}");
        let counts = |d: &Documents| {
            let texts = d.left_out.texts.iter();
            texts.map(|(why, named)| (*why, named.number)).collect::<Vec<_>>()
        };
        assert_eq!(counts(&table), counts(&lines), "{name}");
        compared += 1;
    }
    assert!(compared >= 24, "{compared}");
    let error = documents(at("empty")).expect_err("no rows").to_string();
    assert!(error.contains("1 file without text"), "{error}");
}

#[test]
fn the_corpus_is_that_of_the_json_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store::Store::open(folder.path()).expect("opens");
    let options = DataOptions { vocab: 512, ..DataOptions::default() };
    let mut roots = ["texts.jsonl", "texts-zstd.parquet"].map(|name| {
        let mut documents = documents(golden().join(name)).expect("reads");
        assert_eq!(documents.left_out.texts[&WhyText::Empty].number, 1);
        documents.source = "the same".to_owned();
        build(&store, &documents, &options, &mut |_| {}).expect("builds").root.hash
    });
    roots.sort();
    assert_eq!(roots[0], roots[1]);
}

#[test]
fn what_is_not_read_is_named() {
    for (name, words) in [
        ("bad-lz4", &["row group 1, row 1: its pages are packed with LZ4, which is not"][..]),
        ("bad-brotli", &["Brotli"]),
        ("bad-bytes", &["row group 2, row 3: a text is not UTF-8, at byte 3"]),
        ("bad-null", &["row group 2, row 3: no \"text\" in it"]),
        ("bad-columns", &["no column of texts", "its columns are body"]),
        (
            "bad-number",
            &["no column of texts", "its columns are text; what is in \"text\" is not text"],
        ),
        ("bad-encrypted", &["it is encrypted"]),
        ("bad-encrypted-column", &["it is encrypted"]),
    ] {
        let error = refused(name);
        assert!(error.contains(name), "{error}");
        assert!(words.iter().all(|words| error.contains(words)), "{error}");
    }
}

#[test]
fn a_table_without_texts_is_left_out_of_a_folder_and_a_broken_one_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy =
        |from: PathBuf, name: &str| fs::copy(from, folder.path().join(name)).expect("copies");
    copy(at("content"), "b.PARQUET");
    copy(at("bad-columns"), "c.parquet");
    let read = || documents(folder.path().to_path_buf());
    let found = read().expect("reads");
    assert_eq!((found.files, found.texts.len()), (1, 39));
    assert_eq!(found.left_out.files[&WhyFile::NoDocuments].number, 1);
    // In the cache of a hub a file is called by its hash.
    copy(at("content"), "1f3a");
    let named = documents(folder.path().join("1f3a")).expect("reads");
    assert_eq!(named.texts, found.texts);
    fs::write(folder.path().join("a.parquet"), "version https://git-lfs.github.com/spec/v1\n")
        .expect("writes");
    let error = read().expect_err("no Parquet").to_string();
    assert!(error.contains("a.parquet: it is no Parquet file, or it is cut off"), "{error}");
    fs::remove_file(folder.path().join("a.parquet")).expect("removes");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::copy(&mut File::open(at("texts-none")).expect("opens"), &mut gz).expect("packs");
    let packed = folder.path().join("d.parquet.gz");
    fs::write(&packed, gz.finish().expect("packs")).expect("writes");
    assert!(read().is_ok_and(|d| d.left_out.files.contains_key(&WhyFile::PackedParquet)));
    let error = documents(packed).expect_err("packed").to_string();
    assert!(error.contains("in an archive"), "{error}");
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.parquet");
    let whole = fs::read(at("texts-gzip")).expect("reads");
    for length in (0..whole.len()).step_by(37) {
        fs::write(&path, &whole[..length]).expect("writes");
        assert!(documents(path.clone()).is_err(), "{length} bytes");
    }
}

#[test]
fn what_is_read_is_bounded() {
    let mut texts = 0;
    let mut count = |document: Document| texts += document.text.len();
    let error =
        read(&at("texts-none"), 1000, &mut |_| {}, &mut count).expect_err("more than 1000 bytes");
    assert!(matches!(error.why(), ParquetError::TooLarge { most: 1000 }), "{error}");
    assert!(error.to_string().contains("more than 1000 bytes"), "{error}");
    // 200 short texts from a dictionary of five: a page of a few bytes, and more than that in text.
    let mut rows = 0;
    let error = read(&at("repeated-dictionary"), 3000, &mut |_| {}, &mut |_| rows += 1)
        .expect_err("repeats");
    assert!(matches!(error.why(), ParquetError::TooLarge { most: 3000 }), "{error}");
    assert!(rows > 5, "{rows}");
    let all = read(&at("repeated-dictionary"), 1 << 20, &mut |_| {}, &mut |_| {}).expect("reads");
    assert_eq!(all, 200);
    // What a short file claims is bounded by its length.
    let short = ParquetError::from(Budget::new(1 << 30, 100).limit);
    let said = short.to_string();
    assert!(said.contains("67211264 bytes") && said.contains("a file of 100 bytes"), "{said}");
    let long = ParquetError::from(Budget::new(1 << 30, 1 << 20).limit);
    assert!(matches!(long, ParquetError::TooLarge { most } if most == 1 << 30), "{long}");
}

static CASE: AtomicU32 = AtomicU32::new(0);

/// Reads a file with other bytes in it, which must end and not panic.
fn mutated(name: &str, changes: &[(usize, u8)]) -> Result<u64, ParquetError> {
    let mut bytes = fs::read(at(name)).expect("reads");
    for (at, to) in changes {
        let length = bytes.len();
        bytes[at % length] = *to;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(format!("{}.parquet", CASE.fetch_add(1, Ordering::Relaxed)));
    fs::write(&path, bytes).expect("writes");
    read(&path, 4 << 20, &mut |_| {}, &mut |_| {})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn other_bytes_are_an_error_or_other_texts_and_never_a_panic(
        name in prop::sample::select(names()),
        from_end in prop::collection::vec((0usize..600, any::<u8>()), 0..3),
        anywhere in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let length = fs::metadata(at(&name)).expect("it is there").len() as usize;
        // Metadata is at the end: more changes there.
        let mut changes = anywhere;
        changes.extend(from_end.into_iter().map(|(back, to)| (length.saturating_sub(back + 1), to)));
        let _ = mutated(&name, &changes);
    }
}
