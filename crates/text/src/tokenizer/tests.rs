use std::str::FromStr;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const TEXT: &str = "The common good is held in common. It's ours, isn't it? We'll see in 2026.\n\n\
    fn main() {\n    println!(\"{}\", 1 + 2);\n}\nDas Gemeinsame gehört allen; 共有地は皆のもの。\n\
    The common good is held in common, and the commons hold. éàü ǆ Ⅻ ² a\u{301} 👩\u{200d}🌾 \
    <|endoftext|>   \t\n  end";

fn trained() -> Tokenizer {
    Tokenizer::train([TEXT, TEXT], 400).expect("enough room")
}

fn json(tokenizer: &Tokenizer) -> String {
    tokenizer.to_json().expect("of GPT-2's kind")
}

/// The crate's own tokenizer, from our JSON.
fn reference(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    let mut out = tokenizers::Tokenizer::from_str(&json(tokenizer)).expect("valid JSON");
    out.set_encode_special_tokens(true);
    out
}

#[test]
fn decoding_gives_the_text_back() {
    let tokenizer = trained();
    let ids = tokenizer.encode(TEXT).expect("cheap");
    assert_eq!(tokenizer.decode(&ids), TEXT);
    assert_eq!(tokenizer.byte_len(&ids), TEXT.len());
    assert!(ids.len() < TEXT.len() * 3 / 4, "{} tokens", ids.len());
    assert!(!ids.contains(&tokenizer.end_of_text()), "text that spells a special token is text");
}

#[test]
fn training_is_deterministic_in_any_order_of_texts() {
    let texts: Vec<String> = (0..300)
        .map(|i| format!("{} word{} {TEXT} num{}", i * 7919 % 1000, i % 17, i * 31 % 257))
        .collect();
    let forward = Tokenizer::train(texts.iter().map(String::as_str), 900).expect("enough room");
    for _ in 0..4 {
        let backward = Tokenizer::train(texts.iter().rev().map(String::as_str), 900);
        assert_eq!(json(&forward), json(&backward.expect("enough room")));
    }
    assert_eq!(forward.end_of_text(), 0);
    assert_eq!(forward.token(0), END_OF_TEXT);
}

#[test]
fn the_library_writes_the_same_file() {
    for json in [trained().to_json(), trained().to_hugging_face()] {
        let json = json.expect("of GPT-2's kind");
        let again = tokenizers::Tokenizer::from_str(&json).expect("valid JSON");
        assert_eq!(again.to_string(false).expect("it writes"), json);
    }
}

#[test]
fn json_round_trips() {
    let tokenizer = trained();
    let json = json(&tokenizer);
    let again = Tokenizer::from_json(json.as_bytes()).expect("own JSON");
    assert_eq!(again, tokenizer);
    assert_eq!(again.to_json(), Ok(json));
}

#[test]
fn encodes_like_the_library_that_reads_our_json() {
    let tokenizer = trained();
    let reference = reference(&tokenizer);
    for text in [TEXT, "", " ", "  ", "\n", " a", "a ", "''s 's", "1a ²x\u{3000} \u{3000}b", "'"] {
        let want = reference.encode(text, false).expect("encodes");
        assert_eq!(tokenizer.encode(text).expect("cheap"), want.get_ids(), "{text:?}");
    }
}

#[test]
fn streams_never_cut_a_character() {
    let tokenizer = trained();
    let mut stream = StreamDecoder::default();
    let mut text = String::new();
    for id in tokenizer.encode("né 共👩\u{200d}🌾!").expect("cheap") {
        let piece = stream.push(&tokenizer, id);
        assert!(!piece.contains(char::REPLACEMENT_CHARACTER), "{piece:?}");
        text += &piece;
    }
    assert_eq!(text + &stream.finish(), "né 共👩\u{200d}🌾!");
    let lone = tokenizer.encode("é").expect("cheap")[0];
    let half = (0..tokenizer.len() as u32).find(|&id| tokenizer.bytes(id) == [0xc3]);
    let half = half.expect("every byte is a token");
    assert_eq!(stream.push(&tokenizer, half), "");
    assert_eq!(stream.push(&tokenizer, half), "\u{fffd}");
    assert_eq!(stream.finish(), "\u{fffd}");
    assert!(tokenizer.bytes(lone).starts_with(&[0xc3]));
}

fn from_hf(json: &str) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_hf(&HfFiles { tokenizer: json.as_bytes(), ..HfFiles::default() })
}

#[test]
fn refuses_other_kinds_of_tokenizer() {
    let json = json(&trained());
    let template = |single: &str| {
        let to =
            format!("\"post_processor\":{{\"type\":\"TemplateProcessing\",\"single\":[{single}]}}");
        json.replace("\"post_processor\":null", &to)
    };
    let text = "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}";
    let start = "{\"SpecialToken\":{\"id\":\"<|endoftext|>\",\"type_id\":0}}";
    assert!(Tokenizer::from_json(template(text).as_bytes()).is_ok(), "as transformers saves it");
    assert!(Tokenizer::from_json(template(&format!("{start},{text}")).as_bytes()).is_ok(), "ours");
    let other = start.replace("endoftext", "other");
    for single in [format!("{text},{start}"), format!("{start},{start},{text}"), other + "," + text]
    {
        assert!(Tokenizer::from_json(template(&single).as_bytes()).is_err(), "{single}");
    }
    let changed = [
        ("\"use_regex\":true", "\"use_regex\":false"),
        ("\"add_prefix_space\":false", "\"add_prefix_space\":true"),
        ("\"type\":\"BPE\"", "\"type\":\"Unigram\""),
        ("\"ignore_merges\":false", "\"ignore_merges\":true"),
        ("\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}"),
        ("\"special\":true", "\"special\":false"),
        ("\"!\":", "\"!x\":"),
    ];
    for (from, to) in changed {
        assert!(json.contains(from), "{from}");
        let json = json.replace(from, to);
        assert!(Tokenizer::from_json(json.as_bytes()).is_err(), "{to}");
        // Where it is read as one of another kind, it is not written as one of ours.
        assert!(!from_hf(&json).is_ok_and(|other| other.to_json().is_ok()), "{to}");
    }
    let same = from_hf(&json).expect("a file of ours");
    assert_eq!(same.to_json(), Ok(json));
    assert!(Tokenizer::train([TEXT], 256).is_err());
}

#[test]
fn text_can_not_become_a_special_token_by_merging() {
    let good = trained();
    let (a, b) = good.merges().next().expect("a merge");
    let id = good.id(&format!("{a}{b}")).expect("a token") as usize;
    let mut special = vec![false; good.len()];
    special[0] = true;
    let build = |special| {
        let merges = good.merges().map(|(a, b)| (a.to_owned(), b.to_owned()));
        let tokens = good.tokens().map(str::to_owned);
        Tokenizer::from_parts(tokens.collect(), special, merges.collect())
    };
    assert_eq!(build(special.clone()).as_ref(), Ok(&good));
    special[id] = true;
    assert!(build(special).is_err());
}

proptest! {
    #[test]
    fn any_text_round_trips_and_agrees_with_the_library(text in "\\PC{0,40}|[ \t\n'a-z0-9é²ー.]{0,40}") {
        let tokenizer = FIXED.clone();
        let ids = tokenizer.encode(&text).expect("cheap");
        prop_assert_eq!(tokenizer.decode(&ids), text.clone());
        let want = REFERENCE.encode(text, false).expect("encodes");
        prop_assert_eq!(ids, want.get_ids());
    }

    #[test]
    fn mutated_json_never_panics(at: usize, byte: u8, cut: usize) {
        let mut json = FIXED_JSON.as_bytes().to_vec();
        let n = json.len();
        json[at % n] = byte;
        json.truncate(n - if cut % 2 == 0 { 0 } else { cut % n });
        let _ = Tokenizer::from_json(&json);
    }
}

static FIXED: LazyLock<Tokenizer> = LazyLock::new(trained);
static FIXED_JSON: LazyLock<String> = LazyLock::new(|| json(&FIXED));
static REFERENCE: LazyLock<tokenizers::Tokenizer> = LazyLock::new(|| reference(&FIXED));
