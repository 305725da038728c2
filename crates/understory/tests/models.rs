//! `inspect` and `diff`: what they say of models in every format.

mod common;

use common::{say, text};
use engine::Lineage;
use ids::{Hash, ObjectRef};
use model::decoder::{Family, Sizes};
use model::{Arithmetic, Parameters};
use recipe::{
    CorpusManifest, RunManifest,
    run::{Inner, Outer, Rounds},
};
use serde_json::Value;
use std::{fs, path::Path, path::PathBuf};
use store::Store;
use text::Tokenizer;

/// A small model, with one parameter of layer 1 changed by `change`.
fn tiny(change: f32) -> (Parameters, Tokenizer) {
    let words = "the soil under the old trees holds more than the trees themselves. ".repeat(20);
    let tokenizer = Tokenizer::train([words.as_str()], 300).expect("enough text");
    let sizes = Sizes { layers: 2, ..Sizes::tiny(tokenizer.len()) };
    let decoder = sizes.decoder(Family::Llama);
    let mut params = model::init(&decoder, 3).expect("a valid shape");
    let layout = model::Layout::new(&decoder).expect("a valid shape");
    let one = layout.tensor("model.layers.1.self_attn.q_proj.weight").expect("it is there");
    params[one.range.start] += change;
    (Parameters::new(&decoder, params).expect("a valid model"), tokenizer)
}

fn folder(at: &Path, name: &str, change: f32) -> PathBuf {
    let path = at.join(name);
    let (model, tokenizer) = tiny(change);
    let lineage = Lineage { name: "tiny".to_owned(), run: Some("r1".to_owned()), root: None };
    engine::hf::export(&path, &model, &tokenizer, &lineage).expect("it can be written");
    path
}

fn gguf(at: &Path, name: &str, change: f32) -> PathBuf {
    let path = at.join(name);
    let (model, tokenizer) = tiny(change);
    let lineage = Lineage { name: "tiny".to_owned(), run: Some("r1".to_owned()), root: None };
    engine::gguf::export(&path, &model, &tokenizer, &lineage).expect("it can be written");
    path
}

fn json(args: &[&str], code: i32) -> Value {
    let said = say(args);
    assert_eq!(said.code, Some(code), "{}{}", said.out, said.err);
    serde_json::from_str(&said.out).expect("one JSON object")
}

#[test]
fn inspect_says_what_a_model_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for path in [folder(dir.path(), "hf", 0.0), gguf(dir.path(), "m.gguf", 0.0)] {
        let said = say(&["inspect", text(&path), "--tensors"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        for part in ["llama: 2 layers", "BPE, byte-level", "F32", "r1", "chat template none"] {
            assert!(said.out.contains(part), "no {part:?} in {}", said.out);
        }
        let object = json(&["inspect", text(&path), "--json", "--tensors"], 0);
        assert_eq!(object["architecture"]["layers"], 2);
        let tensors = object["tensors"].as_array().expect("a list");
        let total: u64 = tensors.iter().filter_map(|tensor| tensor["bytes"].as_u64()).sum();
        assert_eq!(object["bytes"], total);
        let hash = tensors[0]["blake3"].as_str().expect("a hash");
        assert_eq!(hash.len(), 64);
    }
}

#[test]
fn the_same_model_in_two_formats_differs_in_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (hf, gguf) = (folder(dir.path(), "hf", 0.0), gguf(dir.path(), "m.gguf", 0.0));
    let same = say(&["diff", text(&hf), text(&hf)]);
    assert_eq!(same.code, Some(0), "{}{}", same.out, same.err);
    assert!(same.out.contains("the same model"), "{}", same.out);
    let object = json(&["diff", text(&hf), text(&gguf), "--json"], 1);
    for tensor in object["tensors"].as_array().expect("a list") {
        // Rows of queries and keys lie in another order, so their bytes differ and values do not.
        let known = ["identical", "equal values"].map(Value::from);
        assert!(known.contains(&tensor["result"]), "{tensor}");
    }
}

/// Every family that llama.cpp's converter writes: the same values under other names, rows of
/// queries and keys in another order, Gemma's norms one larger.
#[test]
fn every_family_is_the_same_in_both_formats() {
    let families = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/families");
    let names = [
        "falcon_7b",
        "falcon_40b",
        "gemma2",
        "gemma3_plain",
        "llama",
        "llama3",
        "qwen2",
        "qwen3",
        "smollm3",
    ];
    for name in names {
        let (hf, gguf) = (families.join(name), families.join(format!("{name}.gguf")));
        let object = json(&["diff", text(&hf), text(&gguf), "--json"], 1);
        for tensor in object["tensors"].as_array().expect("a list") {
            let factors = tensor["name"] == "rope_freqs.weight";
            let known: &[&str] =
                if factors { &["only in b"] } else { &["identical", "equal values"] };
            assert!(known.contains(&tensor["result"].as_str().expect("a word")), "{name} {tensor}");
        }
        let metadata = object["metadata"].as_array().expect("a list");
        // The converter names models by their folders, and gives every Falcon a context of 2048.
        let converted = |fact: &Value| {
            fact["name"] == "name" || fact["name"] == "context" && name.starts_with("falcon")
        };
        let computed = metadata.iter().filter(|fact| !converted(fact));
        assert_eq!(computed.collect::<Vec<_>>(), [&Value::Null; 0], "{name}");
    }
}

#[test]
fn other_architectures_are_told_across_formats() {
    let families = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/families");
    let (a, b) = (families.join("falcon_40b"), families.join("falcon_7b.gguf"));
    let object = json(&["diff", text(&a), text(&b), "--json"], 1);
    let metadata = object["metadata"].as_array().expect("a list");
    let heads = metadata.iter().find(|fact| fact["name"] == "heads").expect("they differ");
    assert_eq!(heads["a"], "6, 2 for keys and values, of 8");
    assert_eq!(heads["b"], "6, 1 for keys and values, of 8");
}

/// 64 weights as Q8_0 with a scale of 1/64, and as F32; `change` is added to the third level.
fn quantized(at: &Path, name: &str, change: Option<i8>) -> PathBuf {
    let path = at.join(name);
    let mut out = model::gguf::Writer::default();
    out.set("general.architecture", model::gguf::Value::String("llama".to_owned()));
    let level = |i: usize| (i * 7 % 255) as u8 as i8;
    match change {
        None => {
            let values: Vec<f32> = (0..64).map(|i| f32::from(level(i)) / 64.0).collect();
            out.tensor("blk.0.attn_v.weight", &[2, 32], values);
        }
        Some(change) => {
            let mut bytes = Vec::new();
            for block in 0..2 {
                bytes.extend(0x2400u16.to_le_bytes());
                bytes.extend((0..32).map(|i| level(32 * block + i) as u8));
            }
            bytes[4] = bytes[4].wrapping_add_signed(change);
            out.tensor_bytes("blk.0.attn_v.weight", &[2, 32], 8, bytes);
        }
    }
    let mut file = fs::File::create(&path).expect("a file");
    out.write_to(&mut file).expect("written");
    path
}

#[test]
fn quantized_weights_are_compared_by_their_values() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let floats = quantized(dir.path(), "floats.gguf", None);
    let same = quantized(dir.path(), "same.gguf", Some(0));
    let other = quantized(dir.path(), "other.gguf", Some(-3));
    let object = json(&["diff", text(&floats), text(&same), "--json"], 1);
    assert_eq!(object["tensors"][0]["result"], "equal values");
    for a in [&floats, &same] {
        let object = json(&["diff", text(a), text(&other), "--json"], 1);
        assert_eq!(object["tensors"][0]["result"], "changed");
        let distance = &object["tensors"][0]["distance"];
        assert_eq!((&distance["largest"], &distance["changed"]), (&(3.0 / 64.0).into(), &1.into()));
    }
}

#[test]
fn diff_says_where_and_how_far() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (a, b) = (folder(dir.path(), "a", 0.0), gguf(dir.path(), "b.gguf", 0.5));
    let object = json(&["diff", text(&a), text(&b), "--json"], 1);
    let changed: Vec<&Value> = object["tensors"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|tensor| tensor["result"] == "changed")
        .collect();
    assert_eq!(changed.len(), 1, "{object}");
    assert_eq!(changed[0]["name"], "model.layers.1.self_attn.q_proj.weight");
    let distance = &changed[0]["distance"];
    let largest = distance["largest"].as_f64().expect("a number");
    assert!((largest - 0.5).abs() < 1e-6, "{distance}");
    assert_eq!(distance["changed"], 1);
    let said = say(&["diff", text(&a), text(&b)]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let layer = said.out.lines().find(|line| line.starts_with("layer 1")).expect("a line");
    assert!(layer.contains('█'), "{layer}");
    let other = said.out.lines().find(|line| line.starts_with("layer 0")).expect("a line");
    assert!(!other.contains('█'), "{other}");
}

#[test]
fn what_is_no_model_is_said_with_a_way_out() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let garbage = dir.path().join("garbage.gguf");
    fs::write(&garbage, "GGUF is not enough").expect("writes");
    let nowhere = dir.path().join("nowhere");
    for args in [["inspect", text(&garbage)], ["inspect", text(&nowhere)]] {
        let said = say(&args);
        assert_eq!(said.code, Some(2), "{}", said.out);
        assert!(said.err.contains("hint: "), "{}", said.err);
    }
}

/// A store of a run that has not begun: its manifest and that of its corpus.
fn store_of_a_run(at: &Path) -> (Store, RunManifest, CorpusManifest) {
    let store = Store::open(at).expect("a new store");
    let corpus = CorpusManifest {
        version: 1,
        tokenizer: ObjectRef::of(b"tokenizer"),
        vocab: 300,
        shards: vec![ObjectRef { hash: Hash::of(b"shard"), len: 2000 }],
        held_out_text: ObjectRef::of(b"text"),
        held_out_tokens: ObjectRef::of(b"tokens"),
        train_bytes: 2_000_000,
        files: 3,
        licences: vec![("MIT".to_owned(), 3)],
        source: "the garden".to_owned(),
    };
    let founder = Hash::of(b"founder");
    let run = RunManifest {
        format: recipe::run::FORMAT,
        arithmetic: Arithmetic::Strict1,
        name: "rose".to_owned(),
        founder,
        founders: vec![founder],
        invitations: vec![Hash::of(b"invitation")],
        seed: 1,
        corpus: ObjectRef::of(&corpus.to_bytes()),
        start: None,
        model: model::Decoder::tiny(300),
        inner: Inner { seq: 16, batch: 2, ..Inner::default() },
        outer: Outer::default(),
        rounds: Rounds { rounds: 5, steps_min: 4, steps_max: 8, ..Rounds::default() },
    };
    (store, run, corpus)
}

#[test]
fn a_run_and_a_corpus_are_described_by_their_hashes_and_run_as_no_model() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = dir.path().join("store");
    let (store, run, corpus) = store_of_a_run(&at);
    let put = |bytes: &[u8]| format!("{}@{}", text(&at), store.put(bytes).expect("is kept"));
    let named = put(run.to_toml().as_bytes());

    let said = say(&["inspect", &named]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines = [
        format!("run           {}\n", run.id()),
        "name          rose\n".to_owned(),
        "arithmetic    strict-1\n".to_owned(),
        format!("parameters    {}\n", run.model.parameters()),
        "rounds        5 of 4 to 8 steps, each of 2 sequences of 16 tokens\n".to_owned(),
        "founders      1 founding voter, 1 invitation\n".to_owned(),
        format!("corpus        {}, not in this store\n", run.corpus.hash),
    ];
    for line in lines {
        assert!(said.out.contains(&line), "no {line:?} in {}", said.out);
    }
    assert!(said.out.contains("\narchitecture  llama: "), "{}", said.out);
    let object = json(&["inspect", &named, "--json"], 0);
    assert_eq!((&object["kind"], &object["corpus"]), (&"run".into(), &Value::Null));
    assert_eq!(object["manifest"]["rounds"]["rounds"], 5);

    // With its corpus at hand.
    let of_corpus = put(&corpus.to_bytes());
    for args in [["inspect", &named], ["inspect", &of_corpus]] {
        let said = say(&args);
        assert!(
            said.out.contains("\ntext          2.0 MB of 3 files, 1000 tokens\n"),
            "{}",
            said.out
        );
        assert!(said.out.contains("\nfrom          the garden\n"), "{}", said.out);
    }
    assert_eq!(json(&["inspect", &named, "--json"], 0)["corpus"]["licences"]["MIT"], 3);
    assert_eq!(json(&["inspect", &of_corpus, "--json"], 0)["kind"], "corpus");

    // Where a model belongs it is an error that names what it is.
    let piece = put(b"a piece of something");
    let cases = [
        (["run", &named, "x"], "is a run, and no model", "`understory inspect "),
        (["tokens", &of_corpus, "x"], "is a corpus, and no model", "`understory inspect "),
        (["run", &piece, "x"], "is no model: it is a part of one or of a run, of 20 B", "verify"),
    ];
    for (args, why, hint) in cases {
        let said = say(&args);
        let hinted = said.err.lines().any(|l| l.starts_with("hint: ") && l.contains(hint));
        assert!(said.code == Some(2) && said.err.contains(why) && hinted, "{}", said.err);
    }
    let said = say(&["inspect", &piece]);
    assert!(said.code == Some(2) && said.err.contains("is no model: "), "{}", said.err);
}
