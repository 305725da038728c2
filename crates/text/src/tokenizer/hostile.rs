//! Files and texts that are made to cost much: each ends with an error that names the part, after
//! a number of steps that is the same on every machine. Without the budget each of them takes
//! gigabytes or minutes, or is taken as good.

use serde_json::{Value, json};

use super::alphabet::letter;
use super::budget::Budget;
use super::*;

/// A byte-level tokenizer of the 256 bytes, `<eos>` and what is added.
fn file(normalizer: Value, pre: Vec<Value>, added: &[(&str, bool)]) -> Value {
    let vocab = (0..=255u8).map(|byte| (letter(byte).to_string(), json!(byte)));
    let mut tokens = vec![json!({"id": 299, "content": "<eos>", "special": true})];
    tokens.extend(added.iter().enumerate().map(|(i, (content, normalized))| {
        json!({"id": 300 + i, "content": content, "special": false, "normalized": normalized})
    }));
    json!({
        "added_tokens": tokens, "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre}, "post_processor": null,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab.collect::<serde_json::Map<_, _>>(), "merges": []},
    })
}

fn load(file: &Value) -> Result<Tokenizer, TokenizerError> {
    let config: &[u8] = br#"{"eos_token": "<eos>"}"#;
    let text = file.to_string();
    Tokenizer::from_hf(&HfFiles {
        tokenizer: text.as_bytes(),
        config: Some(config),
        ..HfFiles::default()
    })
}

fn byte_level() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})
}

fn split(regex: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated"})
}

fn replace(from: &str, to: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": from}, "content": to})
}

fn sequence(normalizers: Vec<Value>) -> Value {
    json!({"type": "Sequence", "normalizers": normalizers})
}

/// That it is refused for its cost, and which part is named.
#[track_caller]
fn too_costly<T: std::fmt::Debug>(result: Result<T, TokenizerError>, says: &str) {
    let error = result.expect_err("it costs too much");
    assert!(matches!(error, TokenizerError::TooCostly { .. }), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn growing_replacements_are_refused_on_loading_and_on_encoding() {
    let longer = sequence(vec![replace("a", &"a".repeat(1000)); 4]);
    // An added token of two letters would become 10^12.
    let bomb = file(longer.clone(), vec![byte_level()], &[("a-", true)]);
    assert!(bomb.to_string().len() < 20_000);
    too_costly(load(&bomb), "normalizer would take more than");
    // The same for a text; one without the letter is as good as ever.
    let tokenizer = load(&file(longer, vec![byte_level()], &[])).expect("nothing is made longer");
    too_costly(tokenizer.encode("a"), "for encoding a text of 1 bytes");
    assert_eq!(tokenizer.encode("b"), Ok(vec![98]));
}

#[test]
fn many_small_normalizers_together_are_refused() {
    let front = json!({"type": "Prepend", "prepend": "x".repeat(100)});
    let tokenizer =
        load(&file(sequence(vec![front; 4000]), vec![byte_level()], &[])).expect("good");
    too_costly(tokenizer.encode("a"), "normalizer");
    let lower = json!({"type": "Lowercase"});
    let tokenizer = load(&file(sequence(vec![lower; 100_000]), vec![byte_level()], &[]));
    too_costly(tokenizer.expect("good").encode(&"a".repeat(200)), "normalizer");
    // Each doubles: none is long by itself.
    let double = sequence(vec![replace("a", "aa"); 40]);
    too_costly(load(&file(double, vec![byte_level()], &[("a-", true)])), "normalizer");
}

/// Takes all steps there are for a letter that it does not match.
const SLOW: &str = "(?:(?:|){30})~~~q";

#[test]
fn expressions_do_not_get_a_budget_each() {
    let pieces = |slow: usize| {
        let all = [split(".")].into_iter().chain(vec![split(SLOW); slow]).chain([byte_level()]);
        load(&file(Value::Null, all.collect(), &[])).expect("good")
    };
    too_costly(pieces(50).encode(&"x".repeat(200)), "expressions");
    too_costly(pieces(1).encode("x"), "expressions");
    // Nor the pieces between added tokens, nor what is cut in the byte alphabet.
    let each = vec![split("(?:(?:|){17})~"), byte_level()];
    let tokenizer = load(&file(Value::Null, each, &[("<t>", false)])).expect("good");
    assert!(tokenizer.encode("x").is_ok());
    too_costly(tokenizer.encode(&"x<t>".repeat(100)), "expressions");
    let spelled = vec![split("."), byte_level(), split(&format!("é|{SLOW}"))];
    let tokenizer = load(&file(Value::Null, spelled, &[])).expect("good");
    too_costly(tokenizer.encode("xx"), "expressions");
}

#[test]
fn ways_left_to_try_are_bounded() {
    let pre = vec![split("(?:a|b)+"), byte_level()];
    let tokenizer = load(&file(Value::Null, pre, &[])).expect("good");
    assert!(tokenizer.encode(&"a".repeat(100_000)).is_ok());
    too_costly(tokenizer.encode(&"a".repeat(3 << 20)), "expressions");
}

#[test]
fn many_cuts_together_are_refused() {
    let cuts = vec![split("-"); 20_000].into_iter().chain([byte_level()]).collect();
    let tokenizer = load(&file(Value::Null, cuts, &[])).expect("good");
    too_costly(tokenizer.encode(&"a".repeat(300)), "pre-tokenizer");
}

#[test]
fn expressions_are_compiled_within_one_budget() {
    // Repeats nothing 10^12 times.
    let empty = "(?:(?:(?:(?:){1024}){1024}){1024}){1024}";
    too_costly(load(&file(Value::Null, vec![split(empty), byte_level()], &[])), "expressions");
    // A hundred bytes that become 224 kB, a thousand times.
    let many = vec![split("(?:(?:ab){1000}){7}"); 1000];
    let many = many.into_iter().chain([byte_level()]).collect();
    too_costly(load(&file(Value::Null, many, &[])), "expressions");
    // Folding all of Unicode again and again.
    let fold = format!("(?i:[{}])", r"\x{0}-\x{10FFFF}".repeat(900));
    too_costly(load(&file(Value::Null, vec![split(&fold), byte_level()], &[])), "expressions");
    let classes: String = (0..250).map(|i| format!(r"(?i:[\p{{L}}{}])", 100 + i)).collect();
    too_costly(load(&file(Value::Null, vec![split(&classes), byte_level()], &[])), "expressions");
}

#[test]
fn a_template_that_multiplies_its_tokens_is_refused() {
    let mut file = file(Value::Null, vec![byte_level()], &[]);
    let slot = json!({"SpecialToken": {"id": "x", "type_id": 0}});
    file["post_processor"] = json!({
        "type": "TemplateProcessing", "single": vec![slot; 2000],
        "special_tokens": {"x": {"id": "x", "ids": vec![1; 20_000], "tokens": []}},
    });
    too_costly(load(&file), "post-processor");
}

#[test]
fn added_tokens_that_make_the_search_read_again_are_refused() {
    let long = "a".repeat(3000) + "b";
    let added = [("aa", false), (long.as_str(), false)];
    let tokenizer = load(&file(Value::Null, vec![byte_level()], &added)).expect("good");
    too_costly(tokenizer.encode(&"a".repeat(100_000)), "added tokens");
    let many: Vec<String> = (0..1500).map(|i| format!("{i}{}", "x".repeat(4000))).collect();
    let many: Vec<(&str, bool)> = many.iter().map(|text| (text.as_str(), false)).collect();
    let error = load(&file(Value::Null, vec![byte_level()], &many)).expect_err("6 MB");
    assert!(error.to_string().contains("added tokens of"), "{error}");
}

#[test]
fn a_token_is_of_bounded_length() {
    let long = "x".repeat(MAX_TOKEN + 1);
    let error = load(&file(Value::Null, vec![byte_level()], &[(&long, false)]));
    assert!(error.expect_err("long").to_string().contains("at most 4096 are read"));
    // What is trained is never refused for it.
    let word = "ab".repeat(6000);
    let text = format!("{word} {word} {word}");
    let tokenizer = Tokenizer::train([text.as_str()], 300).expect("enough room");
    assert!(tokenizer.tokens().all(|token| token.len() <= MAX_TOKEN));
    assert_eq!(tokenizer.decode(&tokenizer.encode(&text).expect("cheap")), text);
}

#[test]
fn scores_whose_tokens_are_looked_up_at_length_are_refused() {
    use crate::Field;
    let runs = (1..=2500).map(|n| "a".repeat(n));
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let tokens: Vec<String> = bytes.chain(["</s>".to_owned()]).chain(runs).collect();
    // Longer ones first, so that one token grows letter by letter.
    let scores = (0..tokens.len()).map(|id| Field::Float(id as f32)).collect();
    let kind = |id: usize| Field::Whole(if id < 256 { 6 } else { 1 });
    let kinds = (0..tokens.len()).map(kind).collect();
    let text = |text: &str| Field::Text(text.to_owned().into());
    let metadata = [
        ("model", text("llama")),
        ("tokens", Field::List(tokens.iter().map(|token| text(token)).collect())),
        ("scores", Field::List(scores)),
        ("token_type", Field::List(kinds)),
        ("eos_token_id", Field::Whole(256)),
    ];
    let metadata = metadata.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
    let tokenizer = Tokenizer::from_gguf(&metadata.into_iter().collect()).expect("good");
    assert!(tokenizer.encode(&"a".repeat(500)).is_ok());
    too_costly(tokenizer.encode(&"a".repeat(200_000)), "merging");
}

/// What honest tokenizers take of the budget of a long honest text: at most an eighth.
#[test]
fn honest_texts_stay_far_below_the_budget() {
    let text =
        "It's 12345 años,\r\n\n  “水” ΑΒγ’S\u{3000}e\u{301} 1½\t!? a/b/ fn main() { x += 1; }\n";
    let texts = [text.repeat(2000), "aA".repeat(50_000), " ".repeat(100_000), "水".repeat(40_000)];
    let known = ["default", "llama-bpe", "qwen35", "tekken", "gpt-4o", "deepseek-v3", "viking"];
    for (name, text) in known.iter().flat_map(|name| texts.iter().map(move |text| (name, text))) {
        let mut tokenizer = load(&file(Value::Null, vec![byte_level()], &[])).expect("good");
        tokenizer.cuts = cut::named(name).expect("known").cuts;
        let mut budget = Budget::for_text(text.len());
        let mut ids = Vec::new();
        let within = tokenizer.encoder().encode_within(text, true, &mut ids, &mut budget);
        within.expect("honest");
        let (steps, bytes) = budget.spent();
        assert!(steps < 64 * text.len() as u64 + (1 << 19), "{name}: {steps} of {}", text.len());
        assert!(bytes < 8 * text.len() as u64 + (1 << 17), "{name}: {bytes} of {}", text.len());
    }
}

#[test]
fn what_is_refused_is_refused_after_the_same_steps() {
    let all = vec![split("."), split("(?:(?:|){13})~"), byte_level()];
    let tokenizer = load(&file(Value::Null, all, &[])).expect("good");
    let steps = |text: &str| {
        let mut budget = Budget::for_text(text.len());
        let within = tokenizer.encoder().encode_within(text, true, &mut Vec::new(), &mut budget);
        (within.is_ok(), budget.spent())
    };
    let text = "x".repeat(12);
    let (fits, spent) = steps(&text);
    assert!(fits && spent.0 > 12 << 13);
    assert_eq!(steps(&text), (fits, spent));
}
