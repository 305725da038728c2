//! `config.json` as `transformers` reads it: version 5, with version 4's keys beside them.

use serde_json::{Map, Value, json};

use crate::Decoder;
use crate::decoder::{Activation, Block, Family, Rotary, Scaling};

/// The configuration of a decoder; the caller reads it back to see that nothing is lost.
pub(super) fn config(d: &Decoder) -> Value {
    let mut config = match d.family {
        Family::Falcon => falcon(d),
        _ => llama_like(d),
    };
    let shared = json!({
        "architectures": [class(d.family)],
        "vocab_size": d.vocab,
        "hidden_size": d.dim,
        "num_hidden_layers": d.layers.len(),
        "num_attention_heads": d.heads,
        "max_position_embeddings": d.context,
        "tie_word_embeddings": d.tied,
        "initializer_range": 0.02,
        "attention_dropout": 0.0,
        // Else a family's usual one is taken, which need not be in this vocabulary.
        "pad_token_id": null,
        "torch_dtype": "float32",
        "dtype": "float32",
        "use_cache": true,
    });
    merge(&mut config, shared);
    config
}

/// The class of `transformers` that runs the family.
fn class(family: Family) -> &'static str {
    match family {
        Family::Llama => "LlamaForCausalLM",
        Family::Mistral => "MistralForCausalLM",
        Family::Falcon => "FalconForCausalLM",
        Family::Smollm3 => "SmolLM3ForCausalLM",
        Family::Qwen2 => "Qwen2ForCausalLM",
        Family::Qwen3 => "Qwen3ForCausalLM",
        Family::Gemma2 => "Gemma2ForCausalLM",
        Family::Gemma3 => "Gemma3ForCausalLM",
    }
}

fn llama_like(d: &Decoder) -> Value {
    let model_type = match d.family {
        Family::Gemma3 => "gemma3_text",
        family => family.as_str(),
    };
    let mut config = json!({
        "model_type": model_type,
        "intermediate_size": d.ffn,
        "num_key_value_heads": d.kv_heads,
        "head_dim": d.head_dim,
        "hidden_act": activation(d.activation),
        "attention_bias": d.biases.output,
        "mlp_bias": d.biases.ffn,
        "rms_norm_eps": number(d.norm_eps),
    });
    if d.family.is_gemma() {
        let scalar = 1.0 / (f64::from(d.attention_scale) * f64::from(d.attention_scale));
        let gemma = json!({
            "hidden_activation": activation(d.activation),
            "query_pre_attn_scalar": whole(scalar.round() as f32),
            "attn_logit_softcapping": d.attention_cap.map(number),
            "final_logit_softcapping": d.final_cap.map(number),
        });
        merge(&mut config, gemma);
    }
    merge(&mut config, windows(d));
    merge(&mut config, ropes(d));
    config
}

/// Which layers look back over a window, and which have no rotary positions.
fn windows(d: &Decoder) -> Value {
    let window = d.layers.iter().find_map(|layer| layer.window);
    let mut config = json!({ "sliding_window": window });
    match d.family {
        Family::Llama | Family::Falcon => return json!({}),
        Family::Mistral => return config,
        _ => {}
    }
    let kind = |sliding| if sliding { "sliding_attention" } else { "full_attention" };
    let types: Vec<&str> = d.layers.iter().map(|layer| kind(layer.window.is_some())).collect();
    merge(&mut config, json!({ "layer_types": types }));
    if !d.family.is_gemma() {
        merge(&mut config, json!({ "use_sliding_window": window.is_some() }));
    }
    if d.family == Family::Smollm3 {
        let rotary = d.layers.iter().map(|layer| u8::from(layer.rotary.is_some()));
        merge(&mut config, json!({ "no_rope_layers": rotary.collect::<Vec<u8>>() }));
    }
    config
}

/// Rotary positions: one kind, or one for each kind of attention.
fn ropes(d: &Decoder) -> Value {
    let Some(first) = d.rotaries.first() else { return json!({}) };
    let parameters = rope(first);
    let mut config = json!({ "rope_theta": number(first.theta) });
    if first.scaling != Scaling::None {
        let mut scaling = parameters.clone();
        scaling.as_object_mut().and_then(|scaling| scaling.remove("rope_theta"));
        merge(&mut config, json!({ "rope_scaling": scaling }));
    }
    match d.rotaries.get(1) {
        Some(local) if d.family == Family::Gemma3 => {
            let both = json!({ "full_attention": parameters, "sliding_attention": rope(local) });
            let local = number(local.theta);
            merge(&mut config, json!({ "rope_parameters": both, "rope_local_base_freq": local }));
        }
        _ => merge(&mut config, json!({ "rope_parameters": parameters })),
    }
    config
}

fn rope(rotary: &Rotary) -> Value {
    let mut parameters = match &rotary.scaling {
        Scaling::None => json!({ "rope_type": "default" }),
        Scaling::Linear(factor) => json!({ "rope_type": "linear", "factor": number(*factor) }),
        // No file of this format says them; reading it back shows the difference.
        Scaling::Factors(_) => json!({ "rope_type": "default" }),
        Scaling::Llama3 { factor, low, high, original } => json!({
            "rope_type": "llama3",
            "factor": number(*factor),
            "low_freq_factor": number(*low),
            "high_freq_factor": number(*high),
            "original_max_position_embeddings": whole(*original),
        }),
        Scaling::Yarn { factor, attention, fast, slow, original, truncate } => json!({
            "rope_type": "yarn",
            "factor": number(*factor),
            "attention_factor": number(*attention),
            "beta_fast": number(*fast),
            "beta_slow": number(*slow),
            "original_max_position_embeddings": whole(*original),
            "truncate": truncate,
        }),
    };
    merge(&mut parameters, json!({ "rope_theta": number(rotary.theta) }));
    parameters
}

fn falcon(d: &Decoder) -> Value {
    let parallel = d.block != Block::Sequential;
    let new = d.block == Block::ParallelTwoNorms || (parallel && d.kv_heads != 1);
    let mut config = json!({
        "model_type": "falcon",
        "num_kv_heads": d.kv_heads,
        "ffn_hidden_size": d.ffn,
        "new_decoder_architecture": new,
        "multi_query": d.kv_heads == 1,
        "parallel_attn": parallel,
        "alibi": d.alibi,
        "bias": d.biases.qkv,
        "layer_norm_epsilon": number(d.norm_eps),
        "activation": "gelu",
        "hidden_dropout": 0.0,
    });
    if new {
        let norms = if d.block == Block::ParallelTwoNorms { 2 } else { 1 };
        merge(&mut config, json!({ "num_ln_in_parallel_attn": norms }));
    }
    merge(&mut config, ropes(d));
    config
}

fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "silu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
        Activation::GeluErf => "gelu",
    }
}

/// The shortest decimal of an `f32`, so that 1e-5 does not become 0.000009999999747378752.
fn number(value: f32) -> Value {
    let shortest: f64 = value.to_string().parse().expect("a printed float can be read");
    json!(shortest)
}

/// A number that `transformers` wants as an integer, where it is one.
fn whole(value: f32) -> Value {
    if value.fract() == 0.0 && value < 1e9 { json!(value as u64) } else { number(value) }
}

fn merge(config: &mut Value, more: Value) {
    let (Value::Object(config), Value::Object(more)) = (config, more) else { return };
    let more: Map<String, Value> = more;
    config.extend(more);
}
