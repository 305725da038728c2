//! GGUF: tokenizer and templates of any file; Llama models in F32, written and read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use model::gguf::{File, Value, Writer, parse};
use model::{Config, FormatError, Layout, Parameters};
use text::{Field, Metadata, Tokenizer, chat::ChatTemplates};

use crate::files::{read_file, write_file};
use crate::{EngineError, Imported, Lineage};

/// The tokenizer that a file's metadata describes; see [`Tokenizer::from_gguf`].
pub fn tokenizer(metadata: &BTreeMap<String, Value>) -> Result<Tokenizer, EngineError> {
    Ok(Tokenizer::from_gguf(&fields(metadata, "tokenizer.ggml."))?)
}

/// The chat templates in a file's metadata.
pub fn templates(metadata: &BTreeMap<String, Value>) -> ChatTemplates {
    ChatTemplates::from_gguf(&fields(metadata, "tokenizer.chat_template"))
}

/// The values whose keys begin so: a vocabulary is long, and whoever looks for templates needs none.
fn fields<'a>(metadata: &'a BTreeMap<String, Value>, start: &str) -> Metadata<'a> {
    let told = metadata.iter().filter(|(key, _)| key.starts_with(start));
    told.map(|(key, value)| (key.clone(), field(value))).collect()
}

fn field(value: &Value) -> Field<'_> {
    match value {
        Value::String(text) => Field::Text(Cow::Borrowed(text)),
        Value::Bool(flag) => Field::Flag(*flag),
        Value::Array(values) => Field::List(values.iter().map(field).collect()),
        number => {
            let whole = number.as_u64().map(Field::Whole);
            whole.or(number.as_f32().map(Field::Float)).unwrap_or(Field::Other)
        }
    }
}

/// Writes a model with its tokenizer as a GGUF file that llama.cpp loads: F32, architecture
/// `llama`, tokenizer `gpt2`. Ids beyond the tokenizer become unused tokens.
pub fn export(
    path: &Path,
    model: &Parameters,
    tokenizer: &Tokenizer,
    lineage: &Lineage,
) -> Result<(), EngineError> {
    let (config, mut out) = (model.config(), Writer::default());
    if tokenizer.len() > config.vocab {
        let text = format!("tokenizer of {} tokens, model of {}", tokenizer.len(), config.vocab);
        return Err(FormatError::new(text).into());
    }
    set_general(&mut out, lineage);
    set_shape(&mut out, config);
    set_tokenizer(&mut out, tokenizer, config.vocab);
    for tensor in model.layout().tensors() {
        let (name, heads) = gguf_name(&tensor.name, config);
        let values = &model.params()[tensor.range.clone()];
        let values = match heads {
            Some(heads) => Cow::Owned(to_pairs(values, heads, config)),
            None => Cow::Borrowed(values),
        };
        out.tensor(&name, &tensor.shape, values);
    }
    Ok(write_file(path, |file| out.write_to(file))?)
}

/// Reads a Llama model of F32, F16 or BF16 tensors from a file. The tokenizer is read if it is
/// byte-level BPE with GPT-2's way of cutting words, and left out otherwise.
pub fn import(path: &Path) -> Result<Imported, EngineError> {
    parse_model(&read_file(path, MAX_FILE)?)
}

/// [`import`] from bytes.
pub fn parse_model(bytes: &[u8]) -> Result<Imported, EngineError> {
    let file = parse(bytes)?;
    let config = read_shape(&file)?;
    let layout = Layout::new(&config).map_err(FormatError::from)?;
    let mut params = Vec::with_capacity(layout.len().min(bytes.len() / 2));
    for tensor in layout.tensors() {
        let (name, heads) = gguf_name(&tensor.name, &config);
        let values = file.floats(&name, &tensor.shape)?;
        match heads {
            Some(heads) => params.extend(to_halves(&values, heads, &config)),
            None => params.extend(values),
        }
    }
    let named = layout.tensors().iter().map(|tensor| gguf_name(&tensor.name, &config).0);
    let names: std::collections::BTreeSet<String> = named.collect();
    if let Some(name) = file.tensors().keys().find(|name| !names.contains(*name)) {
        return Err(FormatError::new(format!("tensor {name} has no place in this model")).into());
    }
    let tokenizer = read_tokenizer(&file)?;
    Ok(Imported { config, params, tokenizer })
}

fn set_general(out: &mut Writer<'_>, lineage: &Lineage) {
    let text = |text: &str| Value::String(text.to_owned());
    out.set("general.architecture", text("llama"));
    out.set("general.type", text("model"));
    if !lineage.name.is_empty() {
        out.set("general.name", text(&lineage.name));
    }
    out.set("general.file_type", Value::U32(0));
    let mut facts = Vec::new();
    for (key, value) in lineage.pairs() {
        facts.push(format!("{key} {value}"));
        out.set(&format!("general.{key}"), text(value));
    }
    if !facts.is_empty() {
        out.set("general.description", Value::String(facts.join(", ")));
    }
}

fn set_shape(out: &mut Writer<'_>, config: &Config) {
    let number = |x: usize| Value::U32(x as u32); // validated configs are far below 2³²
    out.set("llama.vocab_size", number(config.vocab));
    out.set("llama.context_length", number(config.context));
    out.set("llama.embedding_length", number(config.dim));
    out.set("llama.block_count", number(config.layers));
    out.set("llama.feed_forward_length", number(config.ffn));
    out.set("llama.attention.head_count", number(config.heads));
    out.set("llama.attention.head_count_kv", number(config.kv_heads));
    out.set("llama.attention.key_length", number(config.head_dim));
    out.set("llama.attention.value_length", number(config.head_dim));
    out.set("llama.rope.dimension_count", number(config.head_dim));
    out.set("llama.rope.freq_base", Value::F32(config.rope_theta));
    out.set("llama.attention.layer_norm_rms_epsilon", Value::F32(config.norm_eps));
}

fn set_tokenizer(out: &mut Writer<'_>, tokenizer: &Tokenizer, vocab: usize) {
    let mut tokens: Vec<Value> =
        tokenizer.tokens().map(|token| Value::String(token.to_owned())).collect();
    let special = (0..tokenizer.len() as u32).map(|id| tokenizer.is_special(id));
    let mut kinds: Vec<Value> =
        special.map(|special| Value::I32(if special { CONTROL } else { NORMAL })).collect();
    for id in tokens.len()..vocab {
        tokens.push(Value::String(format!("[PAD{id}]")));
        kinds.push(Value::I32(UNUSED));
    }
    let merges: Vec<Value> =
        tokenizer.merges().map(|(a, b)| Value::String(format!("{a} {b}"))).collect();
    out.set("tokenizer.ggml.model", Value::String("gpt2".to_owned()));
    out.set("tokenizer.ggml.pre", Value::String("gpt-2".to_owned()));
    out.set("tokenizer.ggml.tokens", Value::Array(tokens));
    out.set("tokenizer.ggml.token_type", Value::Array(kinds));
    if merges.is_empty() {
        // An empty array has no element type of its own, and llama.cpp asks for text.
        out.set("tokenizer.ggml.merges", Value::Array(vec![Value::String(String::new())]));
    } else {
        out.set("tokenizer.ggml.merges", Value::Array(merges));
    }
    let end = tokenizer.end_of_text();
    out.set("tokenizer.ggml.bos_token_id", Value::U32(end));
    out.set("tokenizer.ggml.eos_token_id", Value::U32(end));
    out.set("tokenizer.ggml.add_bos_token", Value::Bool(tokenizer.add_bos()));
    out.set("tokenizer.ggml.add_eos_token", Value::Bool(false));
}

/// llama.cpp's name of a tensor, and its number of heads if its rows are permuted.
fn gguf_name(name: &str, config: &Config) -> (String, Option<usize>) {
    let fixed = match name {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return (fixed.to_owned(), None);
    }
    let rest = name.strip_prefix("model.layers.").expect("all other tensors are in blocks");
    let (layer, part) = rest.split_once('.').expect("a block's tensor has a part");
    let (short, heads) = match part {
        "input_layernorm.weight" => ("attn_norm", None),
        "self_attn.q_proj.weight" => ("attn_q", Some(config.heads)),
        "self_attn.k_proj.weight" => ("attn_k", Some(config.kv_heads)),
        "self_attn.v_proj.weight" => ("attn_v", None),
        "self_attn.o_proj.weight" => ("attn_output", None),
        "post_attention_layernorm.weight" => ("ffn_norm", None),
        "mlp.gate_proj.weight" => ("ffn_gate", None),
        "mlp.up_proj.weight" => ("ffn_up", None),
        "mlp.down_proj.weight" => ("ffn_down", None),
        other => unreachable!("{other} is not in the layout"),
    };
    (format!("blk.{layer}.{short}.weight"), heads)
}

/// Rows of each head from two halves to neighbouring pairs: row `2i + j` is row `j·d/2 + i`.
fn to_pairs(values: &[f32], heads: usize, config: &Config) -> Vec<f32> {
    permute(values, heads, config, |row, half| row % 2 * half + row / 2)
}

/// The other way round.
fn to_halves(values: &[f32], heads: usize, config: &Config) -> Vec<f32> {
    permute(values, heads, config, |row, half| row % half * 2 + row / half)
}

fn permute(
    values: &[f32],
    heads: usize,
    config: &Config,
    source: impl Fn(usize, usize) -> usize,
) -> Vec<f32> {
    let (d, c) = (config.head_dim, config.dim);
    let mut out = Vec::with_capacity(values.len());
    for row in 0..heads * d {
        let from = row / d * d + source(row % d, d / 2);
        out.extend_from_slice(&values[from * c..(from + 1) * c]);
    }
    out
}

fn read_shape(file: &File<'_>) -> Result<Config, FormatError> {
    let metadata = file.metadata();
    let architecture = metadata.get("general.architecture").and_then(Value::as_str);
    if architecture != Some("llama") {
        let text = format!("gguf: architecture {architecture:?} is not supported");
        return Err(FormatError::new(text));
    }
    if let Some((key, _)) = metadata.iter().find(|(key, _)| key.starts_with("llama.rope.scaling")) {
        return Err(FormatError::new(format!("gguf: {key} is not supported")));
    }
    let optional = |key: &str| -> Result<Option<usize>, FormatError> {
        let Some(value) = metadata.get(&format!("llama.{key}")) else { return Ok(None) };
        let number = value.as_u64().and_then(|x| usize::try_from(x).ok());
        number.map(Some).ok_or_else(|| FormatError::new(format!("gguf: llama.{key} is no size")))
    };
    let required = |key: &str| -> Result<usize, FormatError> {
        optional(key)?.ok_or_else(|| FormatError::new(format!("gguf: llama.{key} is missing")))
    };
    let float = |key: &str| metadata.get(&format!("llama.{key}")).and_then(Value::as_f32);
    let heads = required("attention.head_count")?;
    let dim = required("embedding_length")?;
    let head_dim = match optional("attention.key_length")? {
        Some(width) => width,
        None => dim.checked_div(heads).ok_or_else(|| FormatError::new("gguf: no heads"))?,
    };
    for key in ["attention.value_length", "rope.dimension_count"] {
        if optional(key)?.is_some_and(|width| width != head_dim) {
            return Err(FormatError::new(format!("gguf: llama.{key} is not {head_dim}")));
        }
    }
    let table = file.tensors().get("token_embd.weight");
    let vocab = table.and_then(|info| info.shape.first().copied());
    let config = Config {
        vocab: vocab.ok_or_else(|| FormatError::new("gguf: token_embd.weight is missing"))?,
        dim,
        layers: required("block_count")?,
        heads,
        kv_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        ffn: required("feed_forward_length")?,
        norm_eps: float("attention.layer_norm_rms_epsilon")
            .ok_or_else(|| FormatError::new("gguf: the norm's epsilon is missing"))?,
        rope_theta: float("rope.freq_base").unwrap_or(10_000.0),
        tied: !file.tensors().contains_key("output.weight"),
        context: required("context_length")?,
    };
    config.validate()?;
    Ok(config)
}

fn read_tokenizer(file: &File<'_>) -> Result<Option<Tokenizer>, EngineError> {
    let text = |key: &str| file.metadata().get(&format!("tokenizer.ggml.{key}"));
    let is = |key: &str, want: &str| text(key).and_then(Value::as_str) == Some(want);
    if !is("model", "gpt2") || !is("pre", "gpt-2") {
        return Ok(None);
    }
    let list = |key: &str| -> Result<&[Value], FormatError> {
        let values = text(key).and_then(Value::as_array);
        values.ok_or_else(|| FormatError::new(format!("gguf: tokenizer has no {key}")))
    };
    let strings = |key: &str| -> Result<Vec<&str>, FormatError> {
        let values = list(key)?.iter().map(|value| value.as_str());
        let values: Option<Vec<&str>> = values.collect();
        values.ok_or_else(|| FormatError::new(format!("gguf: tokenizer's {key} are not texts")))
    };
    let kinds: Vec<Option<u64>> = list("token_type")?.iter().map(Value::as_u64).collect();
    let tokens = strings("tokens")?;
    // Unused tokens at the end fill up the model's vocabulary.
    let used = kinds.iter().rposition(|&kind| kind != Some(UNUSED as u64)).map_or(0, |i| i + 1);
    let used = used.min(tokens.len());
    let special = kinds[..used].iter().map(|&kind| kind == Some(CONTROL as u64)).collect();
    let tokens = tokens[..used].iter().map(|&token| token.to_owned()).collect();
    let merges = strings("merges")?.into_iter().filter(|merge| !merge.is_empty());
    let merges = merges.map(|merge| merge.split_once(' '));
    let merges: Option<Vec<(&str, &str)>> = merges.collect();
    let merges = merges.ok_or_else(|| FormatError::new("gguf: a merge is not two tokens"))?;
    let merges = merges.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    let mut tokenizer = Tokenizer::from_parts(tokens, special, merges)?;
    tokenizer.set_add_bos(text("add_bos_token") == Some(&Value::Bool(true)));
    Ok(Some(tokenizer))
}

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;
/// Largest file read: the largest model in F32 and its metadata.
const MAX_FILE: u64 = 4 * model::config::MAX_PARAMETERS + (1 << 30);
