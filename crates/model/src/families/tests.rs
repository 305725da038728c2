use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::decoder::{Block, Scaling};
use crate::gguf;
use crate::model::Plan;

fn config(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(name);
    let bytes = fs::read(path.join("config.json")).expect("committed");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn read(config: &Value) -> Result<Decoder, FormatError> {
    decoder_of_config(config.to_string().as_bytes())
}

#[test]
fn what_would_be_computed_differently_is_refused_by_name() {
    let cases = [
        ("llama", "model_type", json!("mamba"), "mamba"),
        ("llama", "hidden_act", json!("relu"), "relu"),
        ("llama", "quantization_config", json!({"quant_method": "gptq"}), "GPTQ"),
        ("llama", "quantization", json!({"group_size": 64, "bits": 4}), "MLX"),
        ("llama", "partial_rotary_factor", json!(0.5), "partial_rotary_factor"),
        ("llama", "rope_parameters", json!({"rope_type": "longrope"}), "longrope"),
        ("llama", "rope_parameters", json!({"rope_type": "llama3"}), "factor"),
        ("llama", "rope_parameters", json!("linear"), "not an object"),
        ("llama", "rope_parameters", json!({"factor": 2.0}), "no rope_type"),
        ("llama", "rope_parameters", json!({"rope_type": "linear"}), "no factor"),
        ("llama", "rope_parameters", json!({"rope_type": "yarn"}), "no factor"),
        ("gemma3", "rope_parameters", json!({"full_attention": 1}), "not an object"),
        ("llama", "num_attention_heads", json!(0), "num_attention_heads"),
        ("llama", "num_key_value_heads", json!(4), "kv_heads"),
        ("llama", "hidden_size", json!(1u64 << 60), "dim"),
        ("llama", "num_hidden_layers", json!(1u64 << 60), "num_hidden_layers"),
        ("llama", "rms_norm_eps", json!("small"), "rms_norm_eps"),
        ("gemma3", "use_bidirectional_attention", json!(true), "use_bidirectional_attention"),
        (
            "gemma3",
            "layer_types",
            json!(["chunked_attention", "full_attention", "full_attention"]),
            "chunked_attention",
        ),
        ("gemma3", "layer_types", json!(["full_attention"]), "layer types"),
        ("smollm3", "no_rope_layers", json!([1]), "no_rope_layers"),
        ("falcon_7b", "activation", json!("relu"), "relu"),
        ("falcon_7b", "num_ln_in_parallel_attn", json!(2), "norms"),
        ("falcon_rw", "num_kv_heads", json!(2), "kv heads"),
        (
            "falcon_rw",
            "apply_residual_connection_post_layernorm",
            json!(true),
            "apply_residual_connection_post_layernorm",
        ),
    ];
    for (name, key, value, word) in cases {
        let mut bad = config(name);
        bad[key] = value;
        let error = read(&bad).expect_err(key).to_string();
        assert!(error.contains(word), "{key}: {error}");
    }
}

#[test]
fn dynamic_scaling_begins_beyond_the_context() {
    let mut dynamic = config("llama");
    let plain = read(&dynamic).expect("readable");
    dynamic["rope_parameters"] =
        json!({"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0});
    assert_eq!(read(&dynamic).expect("readable"), plain);
}

#[test]
fn a_multimodal_gemma_has_a_text_model_inside() {
    let text = config("gemma3");
    let whole = json!({"model_type": "gemma3", "text_config": text, "vision_config": {}});
    assert_eq!(read(&whole).expect("readable"), read(&text).expect("readable"));
}

#[test]
fn first_names_of_falcon_are_understood() {
    let old = json!({
        "model_type": "RefinedWebModel", "vocab_size": 64, "hidden_size": 48, "n_layer": 2,
        "n_head": 6, "multi_query": true, "parallel_attn": true, "bias": false, "alibi": false,
        "layer_norm_epsilon": 1e-5,
    });
    let decoder = read(&old).expect("readable");
    assert_eq!((decoder.heads, decoder.kv_heads, decoder.ffn), (6, 1, 192));
    assert_eq!((decoder.block, decoder.context), (Block::Parallel, 2048));
}

fn metadata(pairs: &[(&str, gguf::Value)]) -> Vec<u8> {
    let mut writer = gguf::Writer::default();
    let number = gguf::Value::U32;
    let base = [
        ("general.architecture", gguf::Value::String("qwen2".into())),
        ("qwen2.context_length", number(4096)),
        ("qwen2.embedding_length", number(32)),
        ("qwen2.block_count", number(2)),
        ("qwen2.feed_forward_length", number(48)),
        ("qwen2.attention.head_count", number(4)),
        ("qwen2.attention.head_count_kv", number(2)),
        ("qwen2.attention.layer_norm_rms_epsilon", gguf::Value::F32(1e-6)),
    ];
    let kept = base.iter().filter(|(key, _)| pairs.iter().all(|(other, _)| other != key));
    for (key, value) in kept.chain(pairs) {
        writer.set(key, value.clone());
    }
    writer.tensor("token_embd.weight", &[64, 32], vec![0.0; 64 * 32]);
    let mut out = Vec::new();
    writer.write_to(&mut out).expect("a vector");
    out
}

fn described(pairs: &[(&str, gguf::Value)]) -> Result<Decoder, FormatError> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("m.gguf");
    fs::write(&path, metadata(pairs)).expect("written");
    describe(&Weights::open(&path)?)
}

#[test]
fn metadata_is_read_and_refused_by_name() {
    let plain = described(&[]).expect("readable");
    assert_eq!((plain.vocab, plain.head_dim, plain.tied), (64, 8, true));
    let text = |text: &str| gguf::Value::String(text.into());
    let scaled = described(&[
        ("qwen2.rope.scaling.type", text("linear")),
        ("qwen2.rope.scaling.factor", gguf::Value::F32(4.0)),
    ]);
    assert_eq!(scaled.expect("readable").rotaries[0].scaling, Scaling::Linear(4.0));
    let same = gguf::Value::Array(vec![gguf::Value::U32(2); 2]);
    assert_eq!(described(&[("qwen2.attention.head_count_kv", same)]).expect("readable"), plain);
    let differing = gguf::Value::Array(vec![gguf::Value::U32(2), gguf::Value::U32(4)]);
    for (key, value) in [
        ("general.architecture", text("mamba")),
        ("qwen2.rope.scaling.type", text("longrope")),
        ("qwen2.rope.scaling.type", text("linear")),
        ("qwen2.rope.scaling.type", text("yarn")),
        ("general.type", text("adapter")),
        ("qwen2.attention.head_count_kv", differing),
        ("qwen2.attention.head_count", gguf::Value::U32(0)),
        ("qwen2.block_count", gguf::Value::U64(u64::MAX)),
        ("qwen2.embedding_length", text("wide")),
        ("qwen2.expert_count", gguf::Value::U32(8)),
        ("qwen2.attention.value_length", gguf::Value::U32(16)),
    ] {
        assert!(described(&[(key, value)]).is_err(), "{key}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/qwen3");
    let bytes = fs::read(good.join("model.safetensors")).expect("committed");
    fs::copy(good.join("config.json"), dir.path().join("config.json")).expect("copied");
    let try_with = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = bytes.clone();
        if let Some(at) = bytes.windows(from.len().max(1)).position(|part| part == from.as_bytes())
        {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
        fs::write(dir.path().join("model.safetensors"), bytes).expect("written");
        Plan::new(&Weights::open(dir.path()).expect("whole")).map(|plan| plan.memory())
    };
    let memory = try_with("", "").expect("fits");
    assert_eq!(memory.cache_per_token, 2 * 2 * 2 * 16 * 4);
    assert!(memory.total(2, 10) == memory.weights + 20 * memory.cache_per_token);
    for (from, to, word) in [
        ("layers.1.mlp.up_proj", "layers.1.mlp.xx_proj", "up_proj"),
        ("layers.1.self_attn.q_norm", "layers.1.self_attn.x_norm", "q_norm"),
        ("\"shape\":[64,48]", "\"shape\":[48,64]", "shape"),
        ("\"dtype\":\"BF16\"", "\"dtype\":\"I16\" ", "I16"),
    ] {
        let error = try_with(from, to).expect_err(from).to_string();
        assert!(error.contains(word), "{from}: {error}");
    }
}

proptest! {
    #[test]
    fn mutated_configs_never_panic(which in 0usize..4, at: usize, byte: u8) {
        let name = ["gemma3", "falcon_40b", "smollm3", "qwen2_yarn_window"][which];
        let mut bytes = config(name).to_string().into_bytes();
        let n = bytes.len();
        bytes[at % n] = byte;
        let _ = decoder_of_config(&bytes);
    }
}
