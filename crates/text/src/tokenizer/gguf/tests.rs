use proptest::prelude::*;

use super::*;

fn text(value: &str) -> Field<'static> {
    Field::Text(value.to_owned().into())
}

fn texts(values: &[&str]) -> Field<'static> {
    Field::List(values.iter().map(|value| text(value)).collect())
}

fn small() -> Metadata<'static> {
    let tokens = ["<s>", "a", "b", "ab", "<|im_end|>", "", "</s>", "x"];
    let kinds = [3, 1, 1, 1, 1, 1, 1, 4].map(Field::Whole).to_vec();
    let keys = [
        ("model", text("gpt2")),
        ("pre", text("gpt-2")),
        ("tokens", texts(&tokens)),
        ("token_type", Field::List(kinds)),
        ("merges", texts(&["a b"])),
        ("bos_token_id", Field::Whole(0)),
        ("add_bos_token", Field::Flag(true)),
    ];
    keys.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect()
}

fn with(key: &str, value: Field<'static>) -> Metadata<'static> {
    let mut metadata = small();
    metadata.insert(format!("tokenizer.ggml.{key}"), value);
    metadata
}

#[test]
fn finds_the_tokens_that_end_a_text() {
    let tokenizer = Tokenizer::from_gguf(&small()).expect("good");
    assert_eq!(tokenizer.end_of_turn(), Some(4));
    assert_eq!(tokenizer.ends(), [4, 6]);
    assert!(tokenizer.is_special(4), "whatever its type says");
    assert_eq!((tokenizer.bos(), tokenizer.prefix()), (Some(0), [0].as_slice()));
    assert_eq!(tokenizer.encode("ab<|im_end|>x"), Ok(vec![3, 7]));
    assert_eq!(tokenizer.encode_with("ab<|im_end|>x", true), Ok(vec![3, 4, 7]));
    assert_eq!(tokenizer.encode_prompt("<s>a", true), Ok(vec![0, 1]), "BOS is not doubled");
    assert_eq!(tokenizer.encode_prompt("a", true), Ok(vec![0, 1]));
    assert_eq!(tokenizer.decode(&[0, 3, 7]), "abx");
}

#[test]
fn refuses_by_name_what_it_would_encode_differently() {
    let changes = [
        ("model", text("bert"), "bert"),
        ("pre", text("nobody's"), "nobody's"),
        ("merges", texts(&["a c"]), "unknown tokens"),
        ("merges", texts(&["ab"]), "not two"),
        ("merges", Field::Whole(1), "no list"),
        ("token_type", Field::List(vec![Field::Whole(1)]), "1 types"),
        ("tokens", texts(&["a", "a"]), "twice"),
        ("tokens", Field::List(vec![Field::Whole(1)]), "no text"),
        ("tokens", Field::List(vec![]), "0 tokens"),
        ("add_bos_token", Field::Whole(1), "true nor false"),
        ("eos_token_id", Field::Whole(8), "eos_token_id is 8, there are 8 tokens"),
        ("bos_token_id", Field::Whole(u64::MAX), "bos_token_id"),
        ("add_space_prefix", Field::Flag(true), "a space before"),
        ("bos_token_id", text("0"), "no id"),
    ];
    for (key, value, says) in changes {
        let error = Tokenizer::from_gguf(&with(key, value)).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(Tokenizer::from_gguf(&Metadata::new()).is_err());
    let scores = with("model", text("llama"));
    assert!(Tokenizer::from_gguf(&scores).is_err_and(|error| error.to_string().contains("scores")));
}

proptest! {
    #[test]
    fn any_tokens_and_merges_are_read_or_refused(
        tokens in prop::collection::vec("[a-cĠ<|>0x]{0,3}", 1..12),
        merges in prop::collection::vec("[a-cĠ]{0,2} ?[a-c]{0,2}", 0..8),
        kinds in prop::collection::vec(0u64..8, 12),
        text in "[a-d <|>\n]{0,12}",
    ) {
        let mut metadata = with("tokens", texts(&tokens.iter().map(String::as_str).collect::<Vec<_>>()));
        metadata.insert("tokenizer.ggml.token_type".into(), Field::List(kinds.into_iter().map(Field::Whole).collect()));
        metadata.insert("tokenizer.ggml.merges".into(), texts(&merges.iter().map(String::as_str).collect::<Vec<_>>()));
        metadata.insert("tokenizer.ggml.eos_token_id".into(), Field::Whole(0));
        if let Ok(tokenizer) = Tokenizer::from_gguf(&metadata) {
            for special in [false, true] {
                let ids = tokenizer.encode_with(&text, special).expect("cheap");
                prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.len()));
                // A byte's letter that is also a token of the user's counts as that letter, which
                // is two bytes at most.
                prop_assert!(tokenizer.byte_len(&ids) <= 2 * text.len());
            }
        }
    }
}
