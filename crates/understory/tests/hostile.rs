//! Models whose files are made against whoever looks at them: text that would steer a terminal or
//! look like a line of ours, and tokenizers that would take all memory or time.

mod common;

use common::{Said, say, text};
use engine::Lineage;
use model::Parameters;
use model::decoder::{Family, Sizes};
use model::gguf::{Value as Gguf, Writer};
use serde_json::{Value, json};
use std::{fs, path::Path, path::PathBuf};
use text::Tokenizer;

/// Sets the title of the window, clears the line and writes another.
const STEERS: &str = "bad\u{1b}]0;owned\u{7}\u{1b}[2K\rlicence       apache-2.0 (checked)";
/// The same with other means: C1 controls, direction, line separators, a line feed, tags.
const TRICKS: [&str; 7] = [
    "x\u{9b}2Ky",
    "x\u{202e}ecnecil\u{2066}",
    "x\u{2028}licence apache",
    "x\u{85}y\u{8}\u{8}\u{7f}",
    "x\nlicence       apache-2.0 (checked)",
    "x\u{200b}\u{feff}\u{e0041}",
    "x\u{90}q\u{9c}\u{1b}P1;2q\u{1b}\\",
];

fn tiny() -> (Parameters, Tokenizer) {
    let words = "the soil under the old trees holds more than the trees themselves. ".repeat(20);
    let tokenizer = Tokenizer::train([words.as_str()], 300).expect("enough text");
    let sizes = Sizes { layers: 1, ..Sizes::tiny(tokenizer.len()) };
    let decoder = sizes.decoder(Family::Llama);
    let params = model::init(&decoder, 3).expect("a valid shape");
    (Parameters::new(&decoder, params).expect("a valid model"), tokenizer)
}

fn folder(at: &Path, name: &str) -> PathBuf {
    let path = at.join(name);
    let (model, tokenizer) = tiny();
    let lineage = Lineage { name: name.to_owned(), run: None, root: None };
    engine::hf::export(&path, &model, &tokenizer, &lineage).expect("it can be written");
    path
}

/// A GGUF file without a decoder that can be run, with these texts in its metadata.
fn gguf(at: &Path, name: &str, metadata: &[(&str, &str)], tensor: &str) -> PathBuf {
    let path = at.join(name);
    let mut out = Writer::default();
    out.set("general.architecture", Gguf::String("llama".to_owned()));
    for (key, value) in metadata {
        out.set(key, Gguf::String((*value).to_owned()));
    }
    out.tensor(tensor, &[2, 32], vec![0.5; 64]);
    let mut file = fs::File::create(&path).expect("a file");
    out.write_to(&mut file).expect("written");
    path
}

/// That nothing in it does more than stand in its line.
#[track_caller]
fn is_plain(said: &Said) {
    for text in [&said.out, &said.err] {
        let bad = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
        };
        assert!(!text.contains(bad), "{text:?}");
    }
    let ours = |line: &&str| line.starts_with("licence ");
    assert!(said.out.lines().filter(ours).count() < 2, "{}", said.out);
}

#[test]
fn a_model_card_cannot_steer_the_terminal() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = folder(dir.path(), "hf");
    for trick in TRICKS.iter().filter(|trick| !trick.contains('\n')).chain([&STEERS]) {
        let card = format!("---\nlicense: {trick}\nbase_model:\n- {trick}\n---\n");
        fs::write(path.join("README.md"), card).expect("writes");
        let said = say(&["inspect", text(&path)]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        is_plain(&said);
        assert!(said.out.contains("\\u"), "it is shown, not left out: {}", said.out);
    }
}

#[test]
fn metadata_and_names_of_tensors_are_shown_plain_by_inspect_and_diff() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (i, trick) in TRICKS.iter().chain([&STEERS]).enumerate() {
        let facts = [("general.name", *trick), ("general.license", trick), (trick, trick)];
        let a = gguf(dir.path(), &format!("a{i}.gguf"), &facts, trick);
        let b = gguf(dir.path(), &format!("b{i}.gguf"), &[], &format!("{trick}2"));
        is_plain(&say(&["inspect", text(&a), "--tensors"]));
        let said = say(&["diff", text(&a), text(&b)]);
        assert_eq!(said.code, Some(1), "{}", said.err);
        is_plain(&said);
        // JSON says the same to a program and is as plain.
        let said = say(&["inspect", text(&a), "--json", "--tensors"]);
        is_plain(&said);
        let object: Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!(object["metadata"]["general.license"], *trick);
        is_plain(&say(&["diff", text(&a), text(&b), "--json"]));
    }
}

#[test]
fn an_error_that_quotes_a_file_is_plain_and_gives_no_hint_of_its_own() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for trick in TRICKS.iter().chain([&STEERS, &"x\nhint: run something"]) {
        // The key is there twice, which the error says with its name.
        let path = dir.path().join("twice.gguf");
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend([0u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
        for _ in 0..2 {
            bytes.extend((trick.len() as u64).to_le_bytes());
            bytes.extend(trick.as_bytes());
            bytes.extend([7u32.to_le_bytes().as_slice(), &[1]].concat());
        }
        fs::write(&path, bytes).expect("writes");
        let said = say(&["inspect", text(&path)]);
        assert_eq!(said.code, Some(2));
        assert!(said.err.contains("is there twice"), "{}", said.err);
        is_plain(&said);
        let hints = said.err.lines().filter(|line| line.starts_with("hint: run")).count();
        assert_eq!(hints, 0, "{}", said.err);
    }
    let path = dir.path().join("long.gguf");
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend([0u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
    for _ in 0..2 {
        bytes.extend((1u64 << 20).to_le_bytes());
        bytes.extend(vec![b'x'; 1 << 20]);
        bytes.extend([7u32.to_le_bytes().as_slice(), &[1]].concat());
    }
    fs::write(&path, bytes).expect("writes");
    assert!(say(&["inspect", text(&path)]).err.len() < 10_000, "errors are of bounded length");
}

#[test]
fn what_a_model_writes_is_shown_plain() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = folder(dir.path(), "hf");
    let ids = tiny().1.len() as u64;
    // Whatever it chooses, it writes an escape.
    let added: Vec<Value> = (1..ids)
        .map(|id| json!({"id": id, "content": format!("\u{1b}[{id}m\u{202e}\r"), "special": false}))
        .chain([json!({"id": 0, "content": "<\u{1b}eos>", "special": true})])
        .collect();
    let tokenizer = json!({
        "added_tokens": added, "normalizer": null, "post_processor": null, "decoder": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    });
    fs::write(path.join("tokenizer.json"), tokenizer.to_string()).expect("writes");
    let config = json!({"eos_token": "<\u{1b}eos>"}).to_string();
    fs::write(path.join("tokenizer_config.json"), config).expect("writes");
    let said = say(&["run", text(&path), "x", "--raw", "-n", "4"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("\\u001b["), "{}", said.out);
    is_plain(&said);
    let said = say(&["run", text(&path), "x", "--raw", "-n", "4", "--json"]);
    is_plain(&said);
    let object: Value = serde_json::from_str(&said.out).expect("JSON");
    assert!(object["text"].as_str().is_some_and(|text| text.contains('\u{1b}')), "{object}");
    is_plain(&say(&["inspect", text(&path)]));
    // A template that answers with an error of its own.
    let template = "{{ raise_exception('\u{1b}[2Jx\u{202e}\nhint: y') }}";
    fs::write(path.join("chat_template.jinja"), template).expect("writes");
    let said = say(&["run", text(&path), "x", "-n", "1"]);
    assert_eq!(said.code, Some(2), "{}", said.out);
    is_plain(&said);
}

/// A tokenizer's file that is made to cost much, and what the error says.
fn costly() -> [(&'static str, Value, Value); 2] {
    let longer =
        json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(1000)});
    let bomb = json!({"type": "Sequence", "normalizers": vec![longer; 4]});
    let split =
        |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated"});
    let slow = vec![split("(?:(?:|){30})~~~q"); 50];
    let all: Vec<Value> = [split(".")].into_iter().chain(slow).collect();
    let slow = json!({"type": "Sequence", "pretokenizers": all});
    [("normalizer", bomb, Value::Null), ("expressions", Value::Null, slow)]
}

#[test]
fn a_costly_tokenizer_is_an_error_that_names_the_part() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = folder(dir.path(), "hf");
    for (part, normalizer, pre) in costly() {
        let mut pre = vec![pre];
        pre.retain(|part| !part.is_null());
        pre.push(json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}));
        let tokenizer = json!({
            "added_tokens": [
                {"id": 0, "content": "<eos>", "special": true},
                {"id": 1, "content": "a-", "special": false, "normalized": true},
            ],
            "normalizer": normalizer, "post_processor": null, "decoder": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre},
            "model": {"type": "BPE", "vocab": {"x": 2}, "merges": []},
        });
        fs::write(path.join("tokenizer.json"), tokenizer.to_string()).expect("writes");
        let config = json!({"eos_token": "<eos>"}).to_string();
        fs::write(path.join("tokenizer_config.json"), config).expect("writes");
        let said = say(&["run", text(&path), &"x".repeat(200), "--raw", "-n", "1"]);
        assert_eq!(said.code, Some(2), "{}", said.out);
        assert!(said.err.contains(part) && said.err.contains("more than"), "{}", said.err);
        let said = say(&["inspect", text(&path)]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert_eq!(said.out.contains("not read here: tokenizer"), part == "normalizer");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_with_devices_in_it_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = folder(dir.path(), "hf");
    fs::remove_file(path.join("tokenizer_config.json")).ok();
    std::os::unix::fs::symlink("/dev/zero", path.join("tokenizer_config.json")).expect("a link");
    let said = say(&["run", text(&path), "x", "--raw", "-n", "1"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("not a file"), "{}", said.err);
}
