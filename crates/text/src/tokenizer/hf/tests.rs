use proptest::prelude::*;
use serde_json::json;

use super::*;

fn small() -> Value {
    json!({
        "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|[^\\p{N}]+"}, "behavior": "Isolated"},
            {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
        ]},
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "</s>": 5}, "merges": ["a b"]},
    })
}

fn read(tokenizer: &Value, config: &Value) -> Result<Tokenizer, TokenizerError> {
    let (tokenizer, config) = (tokenizer.to_string(), config.to_string());
    let (tokenizer, config) = (tokenizer.as_bytes(), Some(config.as_bytes()));
    let generation: &[u8] = br#"{"eos_token_id": [5, 2]}"#;
    let generation = Some(generation);
    Tokenizer::from_hf(&HfFiles { tokenizer, config, generation, ..HfFiles::default() })
}

#[test]
fn configuration_beats_template() {
    let named = json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}});
    let tokenizer = read(&small(), &named).expect("good");
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), ([3].as_slice(), [].as_slice()));
    assert_eq!((tokenizer.len(), tokenizer.kind(4)), (6, Kind::Unused), "id 4 has no token");
    assert_eq!(tokenizer.ends(), [2, 5], "those of the generation config too");
    assert_eq!(tokenizer.encode_prompt("ab<s>", true), Ok(vec![3, 2, 3]));
    let mut config = named;
    config["add_bos_token"] = json!(false);
    config["add_eos_token"] = json!(true);
    let tokenizer = read(&small(), &config).expect("good");
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), ([].as_slice(), [5].as_slice()));
    assert!(tokenizer.to_json().is_err(), "only GPT-2's kind is written");
}

#[test]
fn end_tokens_come_from_every_file_and_must_exist() {
    let tokenizer = small().to_string();
    let read = |generation: Value, model: Value| {
        let (generation, model) = (generation.to_string(), model.to_string());
        let files = HfFiles {
            tokenizer: tokenizer.as_bytes(),
            generation: Some(generation.as_bytes()),
            model: Some(model.as_bytes()),
            ..HfFiles::default()
        };
        let read = Tokenizer::from_hf(&files).map_err(|error| error.to_string());
        read.map(|tokenizer| tokenizer.ends().to_vec())
    };
    let none = json!({});
    assert_eq!(read(json!({"eos_token_id": null}), none.clone()), Ok(vec![5]));
    assert_eq!(read(json!({"eos_token_id": [1]}), json!({"eos_token_id": 2})), Ok(vec![1, 2, 5]));
    let nested = json!({"text_config": {"eos_token_id": [0], "vocab_size": 9}});
    assert_eq!(read(none.clone(), nested), Ok(vec![0, 5]));
    // An id that only the model has ends a text as well.
    let padded = json!({"vocab_size": 8, "eos_token_id": 7});
    assert_eq!(read(json!({"eos_token_id": 6}), padded), Ok(vec![5, 6, 7]));
    for bad in [json!(6), json!([2, 600]), json!(-1), json!("</s>"), json!(1.5)] {
        let refused = read(none.clone(), json!({"eos_token_id": bad}));
        assert!(refused.is_err_and(|text| text.contains("config.json: eos_token_id")), "{bad}");
        assert!(read(none.clone(), json!({"bos_token_id": bad})).is_err(), "{bad}");
    }
}

#[test]
fn an_end_token_that_is_none_gives_way_to_one_that_another_file_names() {
    let tokenizer = small().to_string();
    let read = |eos: &str, generation: Value, model: Value| {
        let config = json!({"eos_token": eos, "add_eos_token": true}).to_string();
        let (generation, model) = (generation.to_string(), model.to_string());
        let files = HfFiles {
            tokenizer: tokenizer.as_bytes(),
            config: Some(config.as_bytes()),
            generation: Some(generation.as_bytes()),
            model: Some(model.as_bytes()),
            ..HfFiles::default()
        };
        let read = Tokenizer::from_hf(&files).map_err(|error| error.to_string());
        read.map(|found| {
            let lacking = found.lacking_end().map(str::to_owned);
            (found.end_of_text(), found.suffix().to_vec(), lacking)
        })
    };
    let (none, two) = (json!({}), json!({"eos_token_id": 2}));
    let instead = |id| Ok((id, vec![id], Some("</end>".to_owned())));
    assert_eq!(read("</end>", two.clone(), none.clone()), instead(2));
    assert_eq!(read("</end>", none.clone(), json!({"eos_token_id": [1, 2]})), instead(1));
    assert_eq!(read("</end>", two.clone(), json!({"eos_token_id": 1})), instead(2));
    // Neither an id without a token nor one that only the model has takes its place.
    let padded = json!({"vocab_size": 8, "eos_token_id": [7, 4, 1]});
    assert_eq!(read("</end>", none.clone(), padded), instead(1));
    let only = json!({"vocab_size": 8, "eos_token_id": [7, 4]});
    let refused = read("</end>", none.clone(), only);
    assert!(refused.is_err_and(|why| why.contains("eos_token is \"</end>\", which is no token")));
    assert_eq!(read("</s>", two, none), Ok((5, vec![5], None)), "one that exists stays");
}

#[test]
fn a_token_with_a_task_that_is_none_is_refused() {
    let refused = |config: Value| {
        let (tokenizer, config) = (small().to_string(), config.to_string());
        let (tokenizer, config) = (tokenizer.as_bytes(), Some(config.as_bytes()));
        let files = HfFiles { tokenizer, config, ..HfFiles::default() };
        Tokenizer::from_hf(&files).map(|_| ()).map_err(|e| e.to_string())
    };
    for config in [json!({"eos_token": "</end>"}), json!({"eos_token": {"content": "</end>"}})] {
        let why = refused(config).expect_err("no token ends a text so");
        assert!(why.contains("eos_token is \"</end>\", which is no token"), "{why}");
    }
    let why = refused(json!({"bos_token": "<begin>", "add_bos_token": true}));
    assert!(why.is_err_and(|why| why.contains("bos_token is \"<begin>\"")));
    assert_eq!(refused(json!({"bos_token": "<begin>"})), Ok(()), "nothing puts it anywhere");
}

#[test]
fn refuses_by_name_what_it_would_encode_differently() {
    let bad_split =
        json!({"type": "Split", "pattern": {"Regex": "(?<=a)b"}, "behavior": "Isolated"});
    let changes = [
        ("/model/type", json!("Unigram"), "Unigram"),
        ("/model/dropout", json!(0.5), "dropout"),
        ("/model/continuing_subword_prefix", json!("##"), "prefix or suffix"),
        ("/model/unk_token", json!("<unk>"), "<unk>"),
        ("/model/merges", json!(["a c"]), "unknown tokens"),
        ("/model/merges", json!([["a", "b", "c"]]), "two tokens"),
        ("/model/vocab", json!({"a": 0, "b": 0}), "id 0"),
        ("/model/vocab", json!({"a": 1 << 30}), "1073741825"),
        ("/added_tokens", json!([{"id": 0, "content": "<s>"}]), "id 0"),
        ("/normalizer", json!({"type": "Precompiled"}), "Precompiled"),
        (
            "/normalizer",
            json!({"type": "Replace", "pattern": {"Regex": "a"}, "content": "b"}),
            "expression",
        ),
        ("/pre_tokenizer", json!({"type": "BertPreTokenizer"}), "BertPreTokenizer"),
        ("/pre_tokenizer", bad_split, "(?<=a)b"),
        ("/post_processor", json!({"type": "BertProcessing"}), "BertProcessing"),
        ("/post_processor/single", json!([]), "template"),
    ];
    for (at, value, says) in changes {
        let mut json = small();
        match json.pointer_mut(at) {
            Some(place) => *place = value,
            None => json["model"][at.trim_start_matches("/model/")] = value,
        }
        let error = read(&json, &json!({"eos_token": "</s>"})).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}

proptest! {
    #[test]
    fn mutated_json_never_panics(at: usize, byte: u8) {
        let mut json = small().to_string().into_bytes();
        let n = json.len();
        json[at % n] = byte;
        if let Ok(tokenizer) = Tokenizer::from_hf(&HfFiles { tokenizer: &json, ..HfFiles::default() }) {
            let ids = tokenizer.encode_with("ab 12345 </s> ää<s>", true);
            let ids = ids.expect("one changed byte costs little");
            prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.len()));
        }
    }
}
