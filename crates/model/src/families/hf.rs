//! `config.json` of Hugging Face `transformers`, as versions 4 and 5 write it.

use serde_json::Value;

use super::hf_rope::{Ropes, ropes};
use super::names::{FalconLayout, Style};
use super::{SUPPORTED, UNQUANTIZED};
use crate::decoder::{Activation, Biases, Block, Family, Layer, NormKind};
use crate::weights::Weights;
use crate::{Decoder, FormatError};

/// Reads a `config.json`.
pub fn decoder_of_config(bytes: &[u8]) -> Result<Decoder, FormatError> {
    Ok(parse(bytes)?.0)
}

/// The family that a `model_type` names.
fn family(name: &str) -> Result<Family, FormatError> {
    let text = match name {
        "RefinedWeb" | "RefinedWebModel" => return Ok(Family::Falcon),
        "gemma3_text" => return Ok(Family::Gemma3),
        "" => "config.json: model_type is missing".to_owned(),
        name => match name.parse() {
            Ok(family) => return Ok(family),
            Err(_) => format!("config.json: models of type {name} are not supported"),
        },
    };
    Err(FormatError::refused(text, SUPPORTED))
}

/// Reads a `config.json`; also says how Falcon's fused weights lie.
pub(super) fn parse(bytes: &[u8]) -> Result<(Decoder, Option<FalconLayout>), FormatError> {
    let config: Value = serde_json::from_slice(bytes)
        .map_err(|error| FormatError::new(format!("config.json: {error}")))?;
    let whole = Fields(&config);
    let name = whole.text("model_type")?.unwrap_or_default();
    let family = family(name)?;
    for key in ["quantization_config", "compression_config"] {
        if let Some(found) = whole.get(&[key]) {
            let method = found.get("quant_method").and_then(Value::as_str);
            return Err(quantized(method.unwrap_or("a method that is not named")));
        }
    }
    if whole.get(&["quantization"]).is_some() {
        return Err(quantized("MLX"));
    }
    // A multimodal Gemma 3 has a text model inside.
    let fields = match whole.get(&["text_config"]) {
        Some(text) if family == Family::Gemma3 => Fields(text),
        _ => whole,
    };
    let parsed = match family {
        Family::Falcon => falcon(&fields, name == "RefinedWeb").map(|(d, l)| (d, Some(l)))?,
        family => (llama_like(&fields, family)?, None),
    };
    parsed.0.validate()?;
    Ok(parsed)
}

fn quantized(method: &str) -> FormatError {
    let name = match method {
        "gptq" => "GPTQ",
        "awq" => "AWQ",
        other => other,
    };
    let text = format!("config.json: weights quantized by {name} are not supported");
    FormatError::refused(text, UNQUANTIZED)
}

/// How the folder names its tensors.
pub(super) fn style(
    decoder: &Decoder,
    falcon: Option<FalconLayout>,
    weights: &Weights,
) -> Result<Style, FormatError> {
    let with = |prefix: &str, table: &str| {
        weights.tensors().contains_key(&format!("{prefix}{table}.weight"))
    };
    if let Some(layout) = falcon {
        let prefix = if with("transformer.", "word_embeddings") { "transformer." } else { "" };
        return Ok(Style::Falcon { prefix: prefix.to_owned(), layout });
    }
    let prefixes = ["model.", "model.language_model.", "language_model.model.", ""];
    let prefix = prefixes.into_iter().find(|prefix| with(prefix, "embed_tokens"));
    let prefix =
        prefix.ok_or_else(|| FormatError::new("tensor model.embed_tokens.weight is missing"))?;
    let head = if prefix == "language_model.model." { "language_model.lm_head" } else { "lm_head" };
    Ok(Style::Llama {
        prefix: prefix.to_owned(),
        head: head.to_owned(),
        shifted_norms: decoder.family.is_gemma(),
    })
}

/// What a family has where `config.json` says nothing.
struct Defaults {
    head_dim: Option<usize>,
    theta: f32,
    context: usize,
    tied: bool,
    activation: &'static str,
}

fn defaults(family: Family) -> Defaults {
    let base = Defaults {
        head_dim: None,
        theta: 10_000.0,
        context: 2048,
        tied: false,
        activation: "silu",
    };
    let gemma = Defaults {
        head_dim: Some(256),
        context: 8192,
        tied: true,
        activation: "gelu_pytorch_tanh",
        ..base
    };
    match family {
        Family::Llama | Family::Falcon => base,
        Family::Mistral => Defaults { context: 131_072, ..base },
        Family::Smollm3 => Defaults { theta: 2e6, context: 32_768, tied: true, ..base },
        Family::Qwen2 => Defaults { context: 32_768, ..base },
        Family::Qwen3 => Defaults { head_dim: Some(128), context: 32_768, ..base },
        Family::Gemma2 => gemma,
        Family::Gemma3 => Defaults { theta: 1e6, context: 131_072, ..gemma },
    }
}

/// Everything but Falcon: Llama's block with options.
fn llama_like(f: &Fields<'_>, family: Family) -> Result<Decoder, FormatError> {
    let default = defaults(family);
    let gemma = family.is_gemma();
    let (dim, heads) = (f.needed("hidden_size")?, f.needed("num_attention_heads")?);
    if heads == 0 {
        return refuse("num_attention_heads is 0".to_owned());
    }
    let head_dim = f.size(&["head_dim"])?.or(default.head_dim).unwrap_or(dim / heads);
    if f.flag("use_bidirectional_attention")?.unwrap_or(false) {
        return refuse("use_bidirectional_attention is not supported".to_owned());
    }
    let context = f.size(&["max_position_embeddings"])?.unwrap_or(default.context);
    let count = f.needed("num_hidden_layers")?;
    if count > 1 << 10 {
        return refuse(format!("num_hidden_layers is {count}"));
    }
    let windows = windows(f, family, count)?;
    let Ropes { rotaries, local } = ropes(f, family, head_dim, context, default.theta)?;
    let turned = turned(f, family, count)?;
    let layer = |(window, turned): (Option<usize>, bool)| Layer {
        window,
        rotary: turned.then_some(if local && window.is_some() { 1 } else { 0 }),
    };
    let attention_bias = f.flag("attention_bias")?.unwrap_or(false);
    let scalar = match gemma {
        true => f.float("query_pre_attn_scalar")?.unwrap_or(256.0),
        false => head_dim as f32,
    };
    let cap = |key: &str, usual: Option<f32>| match f.0.get(key) {
        Some(Value::Null) => Ok(None),
        _ => f.float(key).map(|cap| cap.or(usual)),
    };
    let gemma2 = family == Family::Gemma2;
    Ok(Decoder {
        family,
        vocab: f.needed("vocab_size")?,
        dim,
        heads,
        kv_heads: f.size(&["num_key_value_heads"])?.unwrap_or(match family {
            Family::Mistral => 8,
            Family::Smollm3 | Family::Gemma2 | Family::Gemma3 => 4,
            _ => heads,
        }),
        head_dim,
        ffn: f.needed("intermediate_size")?,
        context,
        tied: f.flag("tie_word_embeddings")?.unwrap_or(default.tied),
        norm: NormKind::Rms,
        norm_eps: f.float("rms_norm_eps")?.unwrap_or(1e-6),
        block: Block::Sequential,
        post_norms: gemma,
        qk_norms: matches!(family, Family::Qwen3 | Family::Gemma3),
        biases: Biases {
            qkv: attention_bias || family == Family::Qwen2,
            output: attention_bias && family != Family::Qwen2,
            ffn: f.flag("mlp_bias")?.unwrap_or(false),
        },
        activation: activation(f, default.activation)?,
        gated: true,
        attention_scale: 1.0 / scalar.sqrt(),
        attention_cap: if gemma2 { cap("attn_logit_softcapping", Some(50.0))? } else { None },
        alibi: false,
        embedding_scale: if gemma { (dim as f32).sqrt() } else { 1.0 },
        final_cap: match family {
            Family::Gemma2 => cap("final_logit_softcapping", Some(30.0))?,
            Family::Gemma3 => cap("final_logit_softcapping", None)?,
            _ => None,
        },
        rotaries,
        layers: windows.into_iter().zip(turned).map(layer).collect(),
    })
}

/// Each layer's window.
fn windows(
    f: &Fields<'_>,
    family: Family,
    count: usize,
) -> Result<Vec<Option<usize>>, FormatError> {
    let gemma = family.is_gemma();
    let usual = match family {
        Family::Llama | Family::Falcon => return Ok(vec![None; count]),
        Family::Smollm3 => None,
        _ => Some(4096),
    };
    // A window of null is none; a missing one is the family's.
    let window = match f.0.get("sliding_window") {
        Some(Value::Null) => None,
        _ => f.size(&["sliding_window"])?.or(usual),
    };
    let used = gemma || family == Family::Mistral || f.flag("use_sliding_window")? == Some(true);
    let Some(window) = window.filter(|_| used) else { return Ok(vec![None; count]) };
    let sliding: Vec<bool> = if let Some(types) = f.list("layer_types")? {
        let sliding = types.iter().map(|kind| match kind.as_str() {
            Some("sliding_attention") => Ok(true),
            Some("full_attention") => Ok(false),
            _ => refuse(format!("layer type {kind} is not supported")),
        });
        sliding.collect::<Result<_, _>>()?
    } else {
        let pattern = f.size(&["sliding_window_pattern", "_sliding_window_pattern"])?;
        match family {
            Family::Mistral => vec![true; count],
            Family::Gemma2 => (0..count).map(|i| i % 2 == 0).collect(),
            Family::Gemma3 => {
                let pattern = pattern.unwrap_or(6).max(1);
                (0..count).map(|i| (i + 1) % pattern != 0).collect()
            }
            Family::Smollm3 => turned(f, family, count)?.into_iter().map(|on| !on).collect(),
            _ => {
                let first = f.size(&["max_window_layers"])?.unwrap_or(28);
                (0..count).map(|i| i >= first).collect()
            }
        }
    };
    if sliding.len() != count {
        return refuse(format!("{} layer types for {count} layers", sliding.len()));
    }
    Ok(sliding.into_iter().map(|sliding| sliding.then_some(window)).collect())
}

/// Which layers have rotary positions.
fn turned(f: &Fields<'_>, family: Family, count: usize) -> Result<Vec<bool>, FormatError> {
    if family != Family::Smollm3 {
        return Ok(vec![true; count]);
    }
    if let Some(list) = f.list("no_rope_layers")? {
        let on: Option<Vec<bool>> =
            list.iter().map(|value| value.as_u64().map(|value| value != 0)).collect();
        let Some(on) = on.filter(|on| on.len() >= count) else {
            return refuse(format!("no_rope_layers does not fit {count} layers"));
        };
        return Ok(on[..count].to_vec());
    }
    let interval = f.size(&["no_rope_layer_interval"])?.unwrap_or(4).max(1);
    Ok((0..count).map(|i| (i + 1) % interval != 0).collect())
}

fn activation(f: &Fields<'_>, usual: &str) -> Result<Activation, FormatError> {
    let name = match f.text("hidden_activation")? {
        Some(name) => name,
        None => f.text("hidden_act")?.unwrap_or(usual),
    };
    // Gemma's early files say "gelu" in hidden_act and mean the approximation.
    let gemma = usual == "gelu_pytorch_tanh";
    Ok(match name {
        "silu" | "swish" => Activation::Silu,
        "gelu_pytorch_tanh" | "gelu_new" => Activation::GeluTanh,
        "gelu" if gemma && f.text("hidden_activation")?.is_none() => Activation::GeluTanh,
        "gelu" => Activation::GeluErf,
        other => return refuse(format!("the activation {other} (hidden_act) is not supported")),
    })
}

/// Falcon 7B, 40B, 180B and RW, also under the names of their first publication.
fn falcon(f: &Fields<'_>, is_40b: bool) -> Result<(Decoder, FalconLayout), FormatError> {
    let dim = f.size(&["hidden_size", "n_embed"])?;
    let heads = f.size(&["num_attention_heads", "n_head"])?;
    let layers = f.size(&["num_hidden_layers", "n_layer"])?;
    let (Some(dim), Some(heads), Some(layers)) = (dim, heads, layers) else {
        return refuse("hidden_size, num_attention_heads or num_hidden_layers is missing".into());
    };
    if heads == 0 || !dim.is_multiple_of(heads) || layers > 1 << 10 {
        return refuse(format!("hidden_size {dim}, {heads} heads, {layers} layers"));
    }
    if f.flag("apply_residual_connection_post_layernorm")? == Some(true) {
        return refuse("apply_residual_connection_post_layernorm is not supported".to_owned());
    }
    let flag = |key: &str, usual: bool| f.flag(key).map(|flag| flag.unwrap_or(usual));
    let new = flag("new_decoder_architecture", is_40b)?;
    let (multi_query, parallel) = (flag("multi_query", true)?, flag("parallel_attn", true)?);
    let norms = f.size(&["num_ln_in_parallel_attn"])?;
    let block = match (new, parallel, norms) {
        (true, true, None | Some(2)) => Block::ParallelTwoNorms,
        (true, true, Some(1)) | (false, true, None | Some(1)) => Block::Parallel,
        (false, false, _) => Block::Sequential,
        _ => {
            let norms = norms.map_or("an unnamed number of".to_owned(), |n| n.to_string());
            let text = format!("{norms} norms with parallel_attn {parallel} are not supported");
            return refuse(text);
        }
    };
    let stated = f.size(&["num_kv_heads", "n_head_kv"])?;
    let (kv_heads, layout) = match (new, multi_query) {
        (true, _) => (stated.unwrap_or(heads), FalconLayout::Groups),
        (false, true) => (1, FalconLayout::Groups),
        (false, false) => (heads, FalconLayout::EachHead),
    };
    if kv_heads == 0 || (layout == FalconLayout::EachHead && stated.is_some_and(|n| n != heads)) {
        let stated = stated.unwrap_or(kv_heads);
        return refuse(format!("{stated} kv heads without multi_query are not supported"));
    }
    let (bias, alibi) = (flag("bias", false)?, flag("alibi", false)?);
    let context = f.size(&["max_position_embeddings"])?.unwrap_or(2048);
    let head_dim = dim / heads;
    let rotaries = match alibi {
        true => Vec::new(),
        false => ropes(f, Family::Falcon, head_dim, context, 10_000.0)?.rotaries,
    };
    let name = f.text("activation")?.unwrap_or("gelu");
    if name != "gelu" {
        return refuse(format!("the activation {name} is not supported"));
    }
    let decoder = Decoder {
        family: Family::Falcon,
        vocab: f.needed("vocab_size")?,
        dim,
        heads,
        kv_heads,
        head_dim,
        ffn: f.size(&["ffn_hidden_size"])?.unwrap_or(dim.saturating_mul(4)),
        context,
        tied: flag("tie_word_embeddings", true)?,
        norm: NormKind::Layer,
        norm_eps: f.float("layer_norm_epsilon")?.unwrap_or(1e-5),
        block,
        post_norms: false,
        qk_norms: false,
        biases: Biases { qkv: bias, output: bias, ffn: bias },
        activation: Activation::GeluErf,
        gated: false,
        attention_scale: 1.0 / (head_dim as f32).sqrt(),
        attention_cap: None,
        alibi,
        embedding_scale: 1.0,
        final_cap: None,
        rotaries,
        layers: vec![Layer { window: None, rotary: (!alibi).then_some(0) }; layers],
    };
    Ok((decoder, layout))
}

pub(super) fn refuse<T>(what: String) -> Result<T, FormatError> {
    Err(FormatError::new(format!("config.json: {what}")))
}

/// A JSON object; `null` counts as missing.
pub(super) struct Fields<'a>(pub &'a Value);

impl<'a> Fields<'a> {
    /// The first of these keys that is there.
    pub fn get(&self, keys: &[&str]) -> Option<&'a Value> {
        keys.iter().find_map(|key| self.0.get(key).filter(|value| !value.is_null()))
    }

    pub fn size(&self, keys: &[&str]) -> Result<Option<usize>, FormatError> {
        let Some(value) = self.get(keys) else { return Ok(None) };
        match value.as_u64().and_then(|x| usize::try_from(x).ok()) {
            Some(size) => Ok(Some(size)),
            None => refuse(format!("{} is {value}, not a size", keys[0])),
        }
    }

    pub fn needed(&self, key: &str) -> Result<usize, FormatError> {
        match self.size(&[key])? {
            Some(size) => Ok(size),
            None => refuse(format!("{key} is missing")),
        }
    }

    pub fn float(&self, key: &str) -> Result<Option<f32>, FormatError> {
        let Some(value) = self.get(&[key]) else { return Ok(None) };
        match value.as_f64() {
            Some(x) => Ok(Some(x as f32)),
            None => refuse(format!("{key} is {value}, not a number")),
        }
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, FormatError> {
        let Some(value) = self.get(&[key]) else { return Ok(None) };
        match value.as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => refuse(format!("{key} is {value}, not true or false")),
        }
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>, FormatError> {
        let Some(value) = self.get(&[key]) else { return Ok(None) };
        match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => refuse(format!("{key} is {value}, not a text")),
        }
    }

    pub fn list(&self, key: &str) -> Result<Option<&'a Vec<Value>>, FormatError> {
        let Some(value) = self.get(&[key]) else { return Ok(None) };
        match value.as_array() {
            Some(list) => Ok(Some(list)),
            None => refuse(format!("{key} is not a list")),
        }
    }
}
