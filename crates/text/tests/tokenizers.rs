//! Tokenizers of other models against what the `tokenizers` library and llama.cpp make of
//! difficult texts; the golden files are written by `oracle/token_golden.py`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use text::{Field, Metadata, StreamDecoder, Tokenizer, tokenizer::HfFiles};

type Ids = Vec<u32>;
/// Ids without and with special tokens, ids of the whole text with what is put around it, and
/// the text that the first decode to.
type HfCase = (Ids, Ids, Ids, String);

#[derive(Deserialize)]
struct HfGolden {
    texts: Vec<String>,
    models: BTreeMap<String, Value>,
    variants: BTreeMap<String, Value>,
    cases: BTreeMap<String, Vec<HfCase>>,
}

#[derive(Deserialize)]
struct GgufGolden {
    texts: Vec<String>,
    tokens: BTreeMap<String, Vec<String>>,
    merges: BTreeMap<String, Vec<String>>,
    vocabs: BTreeMap<String, Value>,
    cases: BTreeMap<String, Vec<[Ids; 3]>>,
}

fn hf() -> HfGolden {
    serde_json::from_str(include_str!("golden/tokenizers_hf.json")).expect("the oracle wrote it")
}

fn gguf() -> GgufGolden {
    serde_json::from_str(include_str!("golden/tokenizers_gguf.json")).expect("the oracle wrote it")
}

/// The `tokenizer.json` of a variant.
fn whole(golden: &HfGolden, name: &str) -> Value {
    let mut whole = golden.variants[name].clone();
    let model = whole["model"].as_str().expect("a name").to_owned();
    let ignore_merges = whole.get("ignore_merges").cloned().unwrap_or(json!(false));
    whole["model"] = golden.models[&model].clone();
    whole["model"]["ignore_merges"] = ignore_merges;
    whole
}

fn read_hf(json: &Value) -> Tokenizer {
    let text = json.to_string();
    let config = br#"{"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}}"#;
    let files = HfFiles { tokenizer: text.as_bytes(), config: Some(config), ..HfFiles::default() };
    Tokenizer::from_hf(&files).expect("understood")
}

#[test]
fn encodes_and_decodes_like_the_library_that_writes_tokenizer_json() {
    let golden = hf();
    for (name, cases) in &golden.cases {
        let tokenizer = read_hf(&whole(&golden, name));
        for (text, (plain, special, full, decoded)) in golden.texts.iter().zip(cases) {
            assert_eq!(tokenizer.encode(text).as_ref(), Ok(plain), "{name}: {text:?}");
            let ids = tokenizer.encode_with(text, true).expect("cheap");
            assert_eq!(&ids, special, "{name}, special tokens: {text:?}");
            let whole = [tokenizer.prefix(), &ids, tokenizer.suffix()].concat();
            assert_eq!(&whole, full, "{name}, whole: {text:?}");
            assert_eq!(&tokenizer.decode(plain), decoded, "{name}, decoded: {text:?}");
        }
    }
    assert!(golden.cases.len() >= 14);
}

/// Metadata of a GGUF file.
fn metadata(golden: &GgufGolden, vocab: &Value) -> Metadata<'static> {
    let list = |value: &Value, one: fn(&Value) -> Field<'static>| -> Field<'static> {
        Field::List(value.as_array().expect("a list").iter().map(one).collect())
    };
    let joined = |extra: &str, base: Vec<Value>| {
        let more = vocab.get(extra).and_then(Value::as_array).cloned().unwrap_or_default();
        Value::Array([base, more].concat())
    };
    let text: fn(&Value) -> Field<'static> =
        |value| Field::Text(value.as_str().expect("text").to_owned().into());
    let int: fn(&Value) -> Field<'static> =
        |value| Field::Whole(value.as_i64().expect("a number") as u64);
    let float: fn(&Value) -> Field<'static> =
        |value| Field::Float(value.as_f64().expect("a number") as f32);
    let tokens = golden.tokens[vocab["tokens"].as_str().expect("a name")].iter();
    let tokens = joined("extra", tokens.map(|token| json!(token)).collect());
    let types = vocab["types"].as_array().expect("a list").clone();
    let mut out = BTreeMap::from([
        ("model".to_owned(), text(&vocab["model"])),
        ("tokens".to_owned(), list(&tokens, text)),
        ("token_type".to_owned(), list(&joined("extra_types", types), int)),
        ("bos_token_id".to_owned(), Field::Whole(vocab["bos"].as_u64().expect("an id"))),
        ("eos_token_id".to_owned(), Field::Whole(vocab["eos"].as_u64().expect("an id"))),
    ]);
    if let Some(pre) = vocab.get("pre") {
        out.insert("pre".to_owned(), text(pre));
        let merges = &golden.merges[vocab["merges"].as_str().expect("a name")];
        out.insert("merges".to_owned(), list(&json!(merges), text));
    }
    if let Some(scores) = vocab.get("scores") {
        let count = tokens.as_array().expect("a list").len();
        let mut scores = scores.as_array().expect("a list").clone();
        scores.resize(count, json!(0.0));
        out.insert("scores".to_owned(), list(&Value::Array(scores), float));
    }
    for (key, name) in [("add_space_prefix", "add_space_prefix"), ("add_bos", "add_bos_token")] {
        if let Some(flag) = vocab.get(key) {
            out.insert(name.to_owned(), Field::Flag(flag.as_bool().expect("a flag")));
        }
    }
    out.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect()
}

#[test]
fn encodes_like_llama_cpp() {
    let golden = gguf();
    for (name, cases) in &golden.cases {
        let metadata = metadata(&golden, &golden.vocabs[name]);
        let tokenizer = Tokenizer::from_gguf(&metadata).expect("understood");
        for (text, [plain, special, with_bos]) in golden.texts.iter().zip(cases) {
            assert_eq!(tokenizer.encode(text).as_ref(), Ok(plain), "{name}: {text:?}");
            let ids = tokenizer.encode_with(text, true).expect("cheap");
            assert_eq!(&ids, special, "{name}, special tokens: {text:?}");
            let prompt = [tokenizer.prefix(), plain].concat();
            assert_eq!(&prompt, with_bos, "{name}, with its prefix: {text:?}");
        }
    }
    assert!(golden.cases.len() >= 20);
}

#[test]
fn streams_what_it_decodes() {
    let golden = hf();
    for name in golden.cases.keys() {
        let tokenizer = read_hf(&whole(&golden, name));
        for text in &golden.texts {
            let ids = tokenizer.encode(text).expect("cheap");
            let mut stream = StreamDecoder::default();
            let mut pieces: String = ids.iter().map(|&id| stream.push(&tokenizer, id)).collect();
            pieces += &stream.finish();
            let whole = tokenizer.decode(&ids);
            assert!(
                pieces == whole || pieces.strip_prefix(' ') == Some(&whole),
                "{name}: {text:?}"
            );
        }
    }
}
