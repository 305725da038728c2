//! Errors and losses of a text that is given to train on: whoever began it is told.

mod common;

use common::{run, say, text, understory};
use std::{fs, os::unix::fs::symlink, path::Path};

/// A run over `data` that is small and has one round.
fn config(folder: &Path, data: &Path) -> std::path::PathBuf {
    let path = folder.join("config.toml");
    let paths = toml::Value::Array(vec![text(data).into()]);
    let settings = format!(
        "[data]\npaths = {paths}\n[data.options]\nvocab = 512\n[model]\ndim = 32\nlayers = 1\n\
         heads = 2\nkv_heads = 1\nffn = 64\ncontext = 32\n[inner]\nseq = 16\nbatch = 2\n\
         [rounds]\nrounds = 1\nsteps_min = 2\nsteps_max = 2\nmin_members = 1\n"
    );
    fs::write(&path, settings).expect("writes");
    path
}

#[test]
fn the_demo_passes_on_what_its_peer_found_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("bad.jsonl");
    fs::write(&data, "{\"text\":\"a\"}\n{\"text\": nul}\n").expect("writes");
    let dir = folder.path().join("demo");
    let demo = ["demo", "--no-page", "--dir", text(&dir), "--data", text(&data)];
    let said = say(&demo);
    assert_eq!(said.code, Some(2));
    for words in ["bad.jsonl", "line 2", "at byte 13", "hint: "] {
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
    assert!(!said.err.contains("unexpectedly"));
    fs::remove_dir_all(&dir).expect("removes");
    let said = run(understory().args(demo).arg("--json"));
    let failed = said.out.lines().find(|line| line.contains("\"event\":\"failed\""));
    let failed = failed.expect("an event for machines");
    let event: serde_json::Value = serde_json::from_str(failed).expect("it is JSON");
    assert!(event["error"].as_str().is_some_and(|error| error.contains("line 2")), "{event}");
    assert!(event["hints"].as_array().is_some_and(|hints| !hints.is_empty()) && event["peer"] == 1);
}

#[test]
fn settings_are_refused_before_a_text_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("absent");
    let path = config(folder.path(), &data);
    let settings = fs::read_to_string(&path).expect("reads").replace("vocab = 512", "vocab = 5");
    fs::write(&path, settings).expect("writes");
    let peer = folder.path().join("peer");
    let said = say(&["swarm", "start", text(&path), "--dir", text(&peer), "--once"]);
    assert!(said.err.contains("vocabulary of 5") && said.err.contains("hint: "), "{said:?}");
    assert!(!said.out.contains("reading the text"), "{said:?}");
}

#[test]
fn what_is_left_out_is_told_in_words_and_in_json() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("makes");
    let words: String = (0..4000).map(|i| format!("{} ", i * i % 977)).collect();
    fs::write(data.join("a.TXT"), words).expect("writes");
    fs::write(data.join("b.csv"), "x,y").expect("writes");
    fs::write(folder.path().join("secret.txt"), "secret").expect("writes");
    symlink("../secret.txt", data.join("c.txt")).expect("links");
    let path = config(folder.path(), &data);
    let start = |peer: &str, more: &[&str]| {
        let dir = folder.path().join(peer);
        let mut command = understory();
        command.args(["swarm", "start", text(&path), "--dir", text(&dir), "--once"]);
        run(command.args(["--bind", "127.0.0.1:0"]).args(more))
    };
    let said = start("words", &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("left out: 1 file of another kind (") && said.out.contains("b.csv"));
    assert!(said.out.contains("left out: 1 link out of the folder ("), "{said:?}");
    let said = start("json", &["--json"]);
    let event = said.out.lines().find(|line| line.contains("\"event\":\"left_out\""));
    let event: serde_json::Value =
        serde_json::from_str(event.expect("an event")).expect("it is JSON");
    assert_eq!(event["files"]["link_out"]["number"], 1, "{event}");
    assert!(
        event["files"]["other_kind"]["first"][0].as_str().is_some_and(|n| n.ends_with("b.csv"))
    );
}

#[test]
fn parquet_is_trained_on_and_what_is_wrong_with_it_has_a_way_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipe/tests/parquet");
    let start = |peer: &str, table: &str| {
        let path = config(folder.path(), &tables.join(table));
        let dir = folder.path().join(peer);
        let mut command = understory();
        command.args(["swarm", "start", text(&path), "--dir", text(&dir), "--once"]);
        run(command.args(["--bind", "127.0.0.1:0"]))
    };
    let cut = folder.path().join("cut.txt.zst");
    fs::write(&cut, [0x28, 0xb5, 0x2f, 0xfd]).expect("writes");
    let said = start("cut", text(&cut));
    assert!(said.err.contains("hint: the archive is damaged or cut off"), "{said:?}");
    let said = start("good", "texts-zstd.parquet");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("left out: 1 empty document ("), "{said:?}");
    for (table, words) in [
        ("bad-null.parquet", &["row group 2, row 3", "hint: put the row right"][..]),
        ("bad-columns.parquet", &["its columns are body", "hint: rename the column"]),
        ("bad-lz4.parquet", &["LZ4", "hint: write it again with a common packing"]),
        ("bad-encrypted.parquet", &["it is encrypted", "hint: write it again as one plain file"]),
        ("texts.parquet", &["cannot read", "hint: "]),
    ] {
        let said = start(table, table);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(words.iter().all(|words| said.err.contains(words)), "{said:?}");
    }
}
