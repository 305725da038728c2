//! GGUF: tokenizer and templates of any file; models of every family in F32, written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use model::gguf::{Value, Writer};
use model::{FormatError, Parameters, families};
use text::{Field, Metadata, Tokenizer, chat::ChatTemplates};

use crate::files::write_file;
use crate::{EngineError, Lineage};

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

/// Writes a model of any family with its tokenizer as a GGUF file that llama.cpp loads: F32,
/// tokenizer `gpt2`. Ids beyond the tokenizer become unused tokens.
///
/// Errors: also a model that the format has no place for, and a tokenizer of another kind than
/// GPT-2's.
pub fn export(
    path: &Path,
    model: &Parameters,
    tokenizer: &Tokenizer,
    lineage: &Lineage,
) -> Result<(), EngineError> {
    write(path, model, tokenizer, lineage, &mut |_| {})
}

/// [`export`]; `written` hears how many bytes were written since it heard last.
pub(crate) fn write(
    path: &Path,
    model: &Parameters,
    tokenizer: &Tokenizer,
    lineage: &Lineage,
    written: &mut dyn FnMut(u64),
) -> Result<(), EngineError> {
    let (vocab, mut out) = (model.decoder().vocab, Writer::default());
    if tokenizer.len() > vocab {
        let text = format!("tokenizer of {} tokens, model of {vocab}", tokenizer.len());
        return Err(FormatError::new(text).into());
    }
    tokenizer.check_writable()?;
    let (metadata, tensors) = families::write::gguf(model)?;
    for (key, value) in metadata {
        out.set(&key, value);
    }
    set_general(&mut out, lineage);
    set_tokenizer(&mut out, tokenizer, vocab);
    for tensor in tensors {
        out.tensor(&tensor.name, &tensor.shape, tensor.values);
    }
    Ok(write_file(path, written, |file| out.write_to(file))?)
}

fn set_general(out: &mut Writer<'_>, lineage: &Lineage) {
    let text = |text: &str| Value::String(text.to_owned());
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

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

#[cfg(test)]
mod tests;
