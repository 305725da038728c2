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
    fs::write(at("c.jsonl"), "{\"text\":\"third\"}\n\n{\"prompt\":\"4\",\"completion\":\"th\"}\n")
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
    for bad in ["{\"text\":\"a\"}\n{\"txt\":1}", "5\n", "{", "{\"messages\":[{}]}"] {
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
    assert!(matches!(error, DocumentError::Nothing { .. }));
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
    fs::write(
        at("d.JSONL"),
        [0xfe, 0xff].into_iter().chain(utf16_be("\n{\"text\":\"four\"}")).collect::<Vec<u8>>(),
    )
    .expect("write");
    let documents = Documents::from_paths(&[dir.path().to_path_buf()]).expect("read");
    assert_eq!(documents.texts, ["one\n", "two\n", "a\n", "four\n"]);
    fs::write(at("e.txt"), utf16_be("no mark")).expect("write");
    let error = Documents::from_paths(&[at("e.txt")]).expect_err("UTF-16").to_string();
    assert!(error.contains("UTF-16"), "{error}");
}

fn utf16_be(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[test]
fn json_is_read_as_lines_values_or_an_array() {
    let dir = folder();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("write");
    write("a.json", "[{\"text\":\"a\"},\n{\"text\":\"\"},{\"text\":\"b\"}]");
    write("b.json", "{\"text\":\"c\"}\n{\"text\":\"d\"}\n");
    write("c.ndjson", "{\"text\":\"e\"}\n");
    write("d.jsonl", "\n[{\"text\":\"f\"}]\n");
    write("e.json", "{\"architectures\":[]}");
    write("f.json", "[]");
    let read = || Documents::from_paths(&[dir.path().to_path_buf()]);
    let documents = read().expect("read");
    assert_eq!(documents.texts, ["a\n", "b\n", "c\n", "d\n", "e\n", "f\n"]);
    let number = |why| documents.left_out.files[&why].number;
    assert_eq!((number(WhyFile::NoDocuments), number(WhyFile::Empty)), (1, 1));
    assert_eq!(documents.left_out.texts[&WhyText::Empty].number, 1);
    let error = Documents::from_paths(&[dir.path().join("e.json")]).expect_err("settings");
    assert!(matches!(error, DocumentError::Entry { number: 1, .. }), "{error}");
    write("g.json", "\n[{\"text\":\"a\"},\n{\"text\":\"b\",}]");
    let error = read().expect_err("no JSON").to_string();
    assert!(error.contains("g.json, document 2: ") && error.contains("line 3"), "{error}");
    write("g.json", "{\"text\":\"a\"}");
    fs::write(dir.path().join("h.jsonl"), b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}").expect("write");
    let error = read().expect_err("no UTF-8").to_string();
    assert!(error.contains("h.jsonl, line 2: it is not UTF-8, at byte 10"), "{error}");
}

#[test]
fn what_is_left_out_of_a_folder_is_told() {
    let dir = folder();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).expect("write");
    let long = "the same words again ".repeat(20);
    write("a.txt", format!("one\n\n{long}").as_bytes());
    write("b.TXT.GZ", b"");
    write("c.txt", b"caf\xe9");
    write("d.txt", b"a\0b");
    write("e.csv", b"x,y");
    write("g.txt", &utf16_be("no mark"));
    write("h.md", format!("{long}\n\ntwo").as_bytes());
    write("i.txt", b" \n");
    let documents = Documents::from_paths(&[dir.path().to_path_buf()]).expect("read");
    assert_eq!(documents.files, 2);
    let files: Vec<(WhyFile, u64)> =
        documents.left_out.files.iter().map(|(why, named)| (*why, named.number)).collect();
    let want = [
        (WhyFile::OtherKind, 1),
        (WhyFile::NotText, 2),
        (WhyFile::UnmarkedUtf16, 1),
        (WhyFile::Empty, 2),
    ];
    assert_eq!(files, want);
    let repeated = &documents.left_out.texts[&WhyText::RepeatedParagraph];
    assert_eq!((repeated.number, repeated.bytes), (1, long.trim_end().len() as u64));
    assert!(repeated.first[0].ends_with("h.md"));
    for (name, what) in [("c.txt", "at byte 3"), ("d.txt", "at byte 1")] {
        let error = Documents::from_paths(&[dir.path().join(name)]).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    }
    let error = Documents::from_paths(&[dir.path().join("i.txt")]).expect_err("empty").to_string();
    assert!(error.contains("1 file without text"), "{error}");
}

#[test]
fn an_archive_is_read_in_full_or_is_an_error() {
    let dir = folder();
    let path = dir.path().join("x.jsonl.zst");
    let packed = |text: &str| {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(text.as_bytes(), level)
    };
    let two = [packed("{\"text\":\"a\"}\n{\"te"), packed("xt\":\"b\"}")].concat();
    fs::write(&path, &two).expect("write");
    let read = || Documents::from_paths(std::slice::from_ref(&path));
    assert_eq!(read().expect("read").texts, ["a\n", "b\n"]);
    fs::write(&path, &two[..two.len() - 3]).expect("write");
    assert!(matches!(read(), Err(DocumentError::Io { .. })));
    let mut limited = Limited { inner: io::repeat(b'a'), left: 9999 };
    let error = io::copy(&mut limited, &mut io::sink()).expect_err("endless");
    assert!(matches!(failed(&path, error), DocumentError::TooLarge { .. }));
}

/// What is not read of a line takes no memory, and lines are of bounded length: otherwise a
/// compressed megabyte becomes a gigabyte of brackets and that tens of gigabytes of values.
#[test]
fn a_line_of_brackets_costs_no_more_than_itself() {
    let brackets = |n: usize| format!("{{\"x\":[{}0],\"text\":\"a\"}}\n", "[],".repeat(n));
    let dir = folder();
    let path = dir.path().join("x.jsonl.gz");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(brackets(24 << 20).as_bytes()).expect("compress");
    fs::write(&path, gz.finish().expect("compress")).expect("write");
    let error = Documents::from_paths(&[path]).expect_err("72 MB in a line").to_string();
    assert!(error.contains("line 1: it has more than"), "{error}");
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

#[test]
fn reading_tells_how_much_of_the_files_is_read() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    // One long file, one that is left out, and one that is packed: all count by their bytes.
    let line = format!("{{\"text\":\"{}\"}}\n", "a word. ".repeat(1000));
    fs::write(at("a.jsonl"), line.repeat(200)).expect("write");
    fs::write(at("b.txt"), [0xff; 5000]).expect("write");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"packed").expect("compress");
    fs::write(at("c.txt.gz"), gz.finish().expect("compress")).expect("write");
    let bytes = |name: &str| fs::metadata(at(name)).expect("written").len();
    let all = bytes("a.jsonl") + bytes("b.txt") + bytes("c.txt.gz");
    let mut told = Vec::new();
    let tell = &mut |progress| match progress {
        progress::Progress::At(at) if at.work == Work::Gathering => told.push(at),
        other => panic!("{other:?}"),
    };
    Documents::from_paths_told(&[dir.path().to_path_buf()], tell).expect("reads");
    assert!(told.iter().filter(|at| at.done < bytes("a.jsonl")).count() > 3, "{told:?}");
    assert!(told.is_sorted_by_key(|at| at.done) && told.iter().all(|at| at.total == all));
    assert_eq!(told.last().map(|at| at.done), Some(all));
}
