use std::sync::LazyLock;

use model::decoder::{Family, Sizes};
use model::gguf::parse;
use model::weights::SmallFiles;
use model::{Plan, Weights};

use super::*;

fn model(tied: bool, family: Family) -> (Parameters, Tokenizer) {
    let texts = ["the commons hold the commons", "the commons hold"];
    let tokenizer = Tokenizer::train(texts, 262).expect("enough room");
    // Two ids more than the tokenizer has, to see them filled up.
    let decoder = Sizes { tied, ..Sizes::tiny(tokenizer.len() + 2) }.decoder(family);
    let params = model::init(&decoder, 5).expect("valid");
    (Parameters::new(&decoder, params).expect("fits"), tokenizer)
}

fn bytes(tied: bool, family: Family) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (model, tokenizer) = model(tied, family);
    let lineage = Lineage { name: "m".into(), run: Some("r".into()), root: Some("0".into()) };
    let path = dir.path().join("m.gguf");
    export(&path, &model, &tokenizer, &lineage).expect("written");
    std::fs::read(path).expect("there")
}

static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| bytes(true, Family::Llama));

#[test]
fn a_model_of_every_family_comes_back_the_same() {
    let all = [true, false].into_iter().flat_map(|tied| Family::ALL.map(|family| (tied, family)));
    // Nobody's Gemma 2 has a head of its own: llama.cpp would not look for it.
    for (tied, family) in all.filter(|&(tied, family)| tied || family != Family::Gemma2) {
        let (model, trained) = model(tied, family);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("m.gguf");
        std::fs::write(&path, bytes(tied, family)).expect("written");
        let weights = Weights::open(&path).expect("own file");
        let back = Plan::new(&weights).expect("whole").parameters().expect("floats");
        // Llama.cpp knows Mistral as Llama.
        assert!(back.decoder() == model.decoder() || family == Family::Mistral);
        assert_eq!(back.values(), model.values(), "{family}");
        let read = crate::tokenizer(&weights).expect("own file");
        let known = (0..trained.len() as u32).all(|id| read.token(id) == trained.token(id));
        assert!(known && read.merges().eq(trained.merges()));
        assert_eq!(read.prefix(), trained.prefix());
    }
}

#[test]
fn a_text_begins_as_in_training() {
    let (model, tokenizer) = model(true, Family::Llama);
    let file = parse(&FILE).expect("own file");
    let read = super::tokenizer(file.metadata()).expect("own file");
    assert_eq!(read.prefix(), [tokenizer.end_of_text()]);
    let dir = tempfile::tempdir().expect("a temporary folder");
    crate::hf::export(dir.path(), &model, &tokenizer, &Lineage::default()).expect("written");
    let read =
        crate::hf::tokenizer(&SmallFiles::Folder(dir.path().to_owned())).expect("own folder");
    assert_eq!(read.prefix(), [tokenizer.end_of_text()]);
    // Programs that read `tokenizer.json` alone are told there.
    let json = std::fs::read(dir.path().join("tokenizer.json")).expect("there");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("own file");
    let first = &json["post_processor"]["single"][0]["SpecialToken"]["id"];
    assert_eq!(first, tokenizer.token(tokenizer.end_of_text()));
    // A file that asks for nothing gets nothing.
    let mut metadata = file.metadata().clone();
    metadata.insert("tokenizer.ggml.add_bos_token".to_owned(), Value::Bool(false));
    assert!(super::tokenizer(&metadata).expect("own file").prefix().is_empty());
}

#[test]
fn a_weight_that_is_no_number_is_found_and_its_tensor_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("m.gguf");
    let kernel = kernel::Kernel::new(kernel::Isa::best(), 1);
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        let weights = model::Weights::open(&path).expect("its header is right");
        model::Plan::new(&weights).expect("so are its shapes").load(&kernel).map(|_| ())
    };
    load(&FILE).expect("own file");
    let file = parse(&FILE).expect("own file");
    for name in ["token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_norm.weight"] {
        let bytes = file.tensors()[name].bytes;
        let last = bytes.as_ptr() as usize - FILE.as_ptr() as usize + bytes.len() - 4;
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let mut changed = FILE.clone();
            changed[last..last + 4].copy_from_slice(&bad.to_le_bytes());
            let error = load(&changed).expect_err("it is no number").to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn query_rows_alternate_between_halves() {
    let (model, _) = model(true, Family::Llama);
    let name = "model.layers.0.self_attn.q_proj.weight";
    let range = model.layout().tensor(name).expect("present").range.clone();
    let ours = &model.values()[range];
    let bytes = bytes(true, Family::Llama);
    let file = parse(&bytes).expect("own file");
    let theirs = file.floats("blk.0.attn_q.weight", &[32, 32]).expect("present");
    // Heads of 8 rows: pairs (0, 4), (1, 5), … of each head become neighbours.
    let row = |values: &[f32], i: usize| values[i * 32..(i + 1) * 32].to_vec();
    assert_eq!(row(&theirs, 1), row(ours, 4));
    assert_eq!(row(&theirs, 2), row(ours, 1));
    assert_eq!(row(&theirs, 8 + 7), row(ours, 8 + 7));
}

#[test]
fn carries_lineage_and_alignment() {
    let file = parse(&FILE).expect("own file");
    assert_eq!(file.metadata()["general.understory.run"].as_str(), Some("r"));
    assert_eq!(file.metadata()["general.name"].as_str(), Some("m"));
    let base = FILE.as_ptr() as usize;
    for info in file.tensors().values() {
        assert!((info.bytes.as_ptr() as usize - base).is_multiple_of(32));
    }
}
