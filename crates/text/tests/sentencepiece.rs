//! Tokenizers in `tokenizer.model` against what the `sentencepiece` library makes of difficult
//! texts; the golden file is written by `oracle/sentencepiece_golden.py`.

use std::collections::BTreeMap;

use serde::Deserialize;
use text::tokenizer::{HfFiles, Kind};
use text::{StreamDecoder, Tokenizer};

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    models: BTreeMap<String, String>,
    /// Ids of each text, and the text that they decode to.
    cases: BTreeMap<String, Vec<(Vec<u32>, String)>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/sentencepiece.json")).expect("the oracle wrote it")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn read(model: &[u8], config: &str) -> Result<Tokenizer, String> {
    let files = HfFiles { config: Some(config.as_bytes()), ..HfFiles::default() };
    Tokenizer::from_sentencepiece(model, &files).map_err(|error| error.to_string())
}

#[test]
fn encodes_and_decodes_like_the_library() {
    let golden = golden();
    for (name, cases) in &golden.cases {
        let tokenizer = read(&bytes(&golden.models[name]), "{}").expect("understood");
        assert_eq!(tokenizer.prefix(), [1], "{name}");
        assert!(tokenizer.ends().contains(&2), "{name}");
        for (text, (ids, decoded)) in golden.texts.iter().zip(cases) {
            assert_eq!(tokenizer.encode(text).as_ref(), Ok(ids), "{name} {text:?}");
            if ids.iter().any(|&id| tokenizer.kind(id) == Kind::Unknown) {
                continue; // the library writes a mark for what is unknown
            }
            assert_eq!(&tokenizer.decode(ids), decoded, "{name} {text:?}");
            let mut stream = StreamDecoder::default();
            let pieces = ids.iter().map(|&id| stream.push(&tokenizer, id));
            let streamed: String = pieces.collect();
            let whole = streamed + &stream.finish();
            assert_eq!(whole.trim_start_matches(' '), decoded.trim_start_matches(' '));
        }
    }
}

#[test]
fn special_tokens_and_added_ones_are_found_where_they_are_asked_for() {
    let model = bytes(&golden().models["bpe_bytes"]);
    let count = read(&model, "{}").expect("understood").len() as u32;
    let config = serde_json::json!({
        "legacy": false, "add_bos_token": false, "eos_token": "<|end|>",
        "added_tokens_decoder": {
            (count + 1).to_string(): {"content": "<|end|>", "special": true, "rstrip": true},
            (count + 2).to_string(): {"content": "==>", "special": false},
        },
    });
    let tokenizer = read(&model, &config.to_string()).expect("understood");
    assert_eq!(tokenizer.len() as u32, count + 3);
    assert_eq!((tokenizer.kind(count), tokenizer.prefix()), (Kind::Unused, &[][..]));
    assert_eq!(tokenizer.end_of_text(), count + 1);
    let the = tokenizer.encode("the").expect("cheap");
    // Without `legacy` only the very first text has a mark before it.
    let words = |tokenizer: &Tokenizer| {
        let ids = tokenizer.encode_with("the<|end|>  the==>the", true).expect("cheap");
        assert!(ids.contains(&(count + 1)) && ids.contains(&(count + 2)));
        ids.into_iter().filter(|id| the.contains(id)).count()
    };
    assert_eq!((the.len(), words(&tokenizer)), (1, 1));
    let legacy = read(&model, &config.to_string().replace("\"legacy\":false", "\"legacy\":true"))
        .expect("understood");
    assert_eq!(words(&legacy), 3);
    let spelled = tokenizer.encode("<|end|>==>").expect("cheap");
    assert!(!spelled.contains(&(count + 1)) && spelled.contains(&(count + 2)));
    assert_eq!(tokenizer.decode(&[count + 1, count + 2]), "==>");
    let wrong = config.to_string().replace(&format!("\"{}\"", count + 2), "\"5\"");
    assert!(read(&model, &wrong).is_err_and(|error| error.contains("id 5")));
    assert!(read(&model, r#"{"bos_token": null}"#).is_ok_and(|read| read.prefix().is_empty()));
}

/// A field with bytes in it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).expect("short")], bytes].concat()
}

fn piece(text: &str, kind: u8) -> Vec<u8> {
    let score = [&[2 << 3 | 5][..], &1f32.to_le_bytes()].concat();
    field(1, &[field(1, text.as_bytes()), score, vec![3 << 3, kind]].concat())
}

#[test]
fn what_is_no_tokenizer_or_another_kind_is_refused_by_name() {
    let whole = [piece("<unk>", 2), piece("</s>", 3), piece("a", 1)].concat();
    let with = |more: &[u8]| read(&[&whole, more].concat(), "{}");
    assert_eq!(with(&[]).map(|read| read.encode("aa")), Ok(Ok(vec![0, 2, 2])));
    let refused = |result: Result<Tokenizer, String>, why: &str| {
        assert!(result.as_ref().is_err_and(|error| error.contains(why)), "{why}: {result:?}");
    };
    refused(with(&field(2, &[3 << 3, 3])), "model of words");
    refused(with(&field(2, &[3 << 3, 4])), "model of characters");
    refused(with(&field(2, &[3 << 3, 9])), "type 9");
    refused(with(&field(2, &[0xc0, 1, 1])), "white space behind words");
    refused(with(&field(2, &[0x98, 2, 1])), "no piece <0x00>");
    refused(with(&field(5, &field(2, b"x"))), "denormalizer");
    refused(with(&field(3, &field(2, b"xy"))), "charsmap is damaged");
    refused(with(&field(3, &field(2, b"\x08\0\0\0abc"))), "charsmap is damaged");
    refused(with(&piece("a", 1)), "there twice");
    refused(with(&piece("", 1)), "has no text");
    refused(with(&piece("x", 9)), "type 9");
    refused(with(&[1 << 3 | 2, 100, 1]), "cut off");
    refused(with(&[1 << 3, 1]), "another type");
    refused(with(&[0xff; 11]), "cut off");
    refused(read(&piece("<unk>", 2), "{}"), "none of its pieces is text");
    refused(read(&[piece("</s>", 3), piece("a", 1)].concat(), "{}"), "no unknown piece");
    refused(read(&[piece("<unk>", 2), piece("a", 1)].concat(), "{}"), "no token ends a text");
    refused(read(b"", "{}"), "must be from");
    refused(read(b"{\"model\": {}}", "{}"), "tokenizer.model");
}

#[test]
fn a_costly_tokenizer_is_an_error() {
    let long = |length: usize| {
        let inside = [long_field(1, "a".repeat(length).as_bytes()), vec![3 << 3, 1]].concat();
        long_field(1, &inside)
    };
    let model = [piece("<unk>", 2), piece("</s>", 3), piece("a", 1), long(4000)].concat();
    let tokenizer = read(&model, "{}").expect("understood");
    assert_eq!(tokenizer.encode(&"a".repeat(1000)).map(|ids| ids.len()), Ok(1001));
    let refused = tokenizer.encode(&"a".repeat(100_000)).map(|ids| ids.len());
    assert!(refused.is_err_and(|error| error.to_string().contains("merging")));
}

fn long_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = [bytes.len() as u8 & 0x7f | 0x80, (bytes.len() >> 7) as u8];
    [&[number << 3 | 2], &length[..], bytes].concat()
}
