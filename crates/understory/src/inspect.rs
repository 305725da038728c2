//! `understory inspect`: what a model is, from its headers.

mod metadata;
mod opened;

pub use metadata::find;
pub use opened::{Bytes, Opened, Tensor};

use crate::cli::InspectArgs;
use crate::units::{bytes, count};
use anyhow::Result;
use ids::Plain;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use text::Tokenizer;

pub fn inspect(args: &InspectArgs) -> Result<()> {
    let model = Opened::open(&args.model)?;
    let hashes = if args.tensors { hashes(&model)? } else { Vec::new() };
    model.check_unchanged()?;
    let mut out = crate::terminal::stdout();
    if args.json {
        writeln!(out, "{}", to_json(&model, &hashes))?;
        return Ok(());
    }
    print(&model, &mut out)?;
    for (tensor, hash) in model.tensors.iter().zip(&hashes) {
        let shape = shape(&tensor.shape);
        writeln!(out, "{hash:.16}  {:<7} {shape:>14}  {}", tensor.element, Plain(&tensor.name))?;
    }
    Ok(())
}

fn hashes(model: &Opened) -> Result<Vec<String>> {
    model.tensors.iter().map(|tensor| Ok(model.hash(tensor)?.to_string())).collect()
}

fn print(model: &Opened, out: &mut impl Write) -> Result<()> {
    let mut line = |name: &str, text: String| writeln!(out, "{name:<13} {}", Plain(text));
    line("model", model.name.clone())?;
    line("format", format!("{}, {} tensors", model.kind(), model.tensors.len()))?;
    let files = model.files();
    if files.len() > 1 {
        line("files", format!("{}, the first {}", files.len(), files[0].display()))?;
    }
    if let Some(root) = model.root() {
        line("root", root.to_string())?;
    }
    match model.decoder() {
        Ok(decoder) => {
            line("architecture", shape_of(&decoder))?;
            line("context", format!("{} tokens", decoder.context))?;
        }
        Err(error) => line("architecture", format!("not run here: {error}"))?,
    }
    line("parameters", format!("{} in {}", count(elements(model)), bytes(size(model))))?;
    for (element, (tensors, elements, size)) in types(model) {
        let text = format!(
            "{element:<7} {tensors:>5} tensors  {:>13}  {:>9}",
            count(elements),
            bytes(size)
        );
        line("", text)?;
    }
    match model.tokenizer() {
        Ok(tokenizer) => line("tokenizer", tokenizer_text(&tokenizer))?,
        Err(error) => line("tokenizer", format!("not read here: {error}"))?,
    }
    line("chat template", template_text(model))?;
    let missing = model.missing();
    if !missing.is_empty() {
        line("missing", missing.join("; "))?;
    }
    if let Some(why) = model.refusal() {
        line("not run here", why)?;
    }
    let metadata = model.metadata();
    for (name, keys) in FACTS {
        if let Some(value) = find(&metadata, keys) {
            line(name, value.to_owned())?;
        }
    }
    Ok(())
}

fn shape_of(decoder: &model::Decoder) -> String {
    let heads = match decoder.kv_heads == decoder.heads {
        true => format!("{} heads", decoder.heads),
        false => format!("{}/{} heads", decoder.heads, decoder.kv_heads),
    };
    let tied = if decoder.tied { ", tied" } else { "" };
    let local = decoder.layers.iter().filter_map(|layer| layer.window).collect::<Vec<_>>();
    let window = match local.first() {
        Some(window) => format!(", window {window} in {} layers", local.len()),
        None => String::new(),
    };
    format!(
        "{}: {} layers of width {}, {heads} of {}, feed-forward {}, {} ids{tied}{window}",
        decoder.family,
        decoder.layers.len(),
        decoder.dim,
        decoder.head_dim,
        decoder.ffn,
        decoder.vocab
    )
}

fn tokenizer_text(tokenizer: &Tokenizer) -> String {
    let show = |id: u32| match (id as usize) < tokenizer.len() {
        true => format!("{id} {}", tokenizer.token(id)),
        false => format!("{id} without a name"),
    };
    let bos = tokenizer.bos().map_or("none".to_owned(), show);
    let added = if tokenizer.add_bos() { " (put before texts)" } else { "" };
    let ends: Vec<String> = tokenizer.ends().iter().map(|&id| show(id)).collect();
    let (kind, tokens) = (tokenizer.describe(), tokenizer.len());
    format!("{kind}, {tokens} tokens; begins {bos}{added}; ends {}", ends.join(", "))
}

fn template_text(model: &Opened) -> String {
    match model.templates() {
        Err(error) => format!("not read here: {error}"),
        Ok(templates) if templates.is_empty() => "none".to_owned(),
        Ok(templates) => {
            let text = |(name, source): (&str, &str)| {
                let hash = blake3::hash(source.as_bytes()).to_hex();
                let bad = crate::template::Template::new(name, source).err();
                let bad = bad.map_or_else(String::new, |error| format!(", not run here: {error}"));
                format!("{name}, {} bytes, blake3 {}…{bad}", source.len(), &hash[..12])
            };
            templates.iter().map(text).collect::<Vec<_>>().join("; ")
        }
    }
}

fn to_json(model: &Opened, hashes: &[String]) -> Value {
    let decoder = model.decoder();
    let architecture = match &decoder {
        Ok(decoder) => json!({
            "family": decoder.family, "layers": decoder.layers.len(), "dim": decoder.dim,
            "heads": decoder.heads, "kv_heads": decoder.kv_heads, "head_dim": decoder.head_dim,
            "ffn": decoder.ffn, "vocab": decoder.vocab, "context": decoder.context,
            "tied": decoder.tied, "cache_bytes_per_token": decoder.cache_bytes_per_token(),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let tokenizer = match model.tokenizer() {
        Ok(tokenizer) => json!({
            "kind": tokenizer.describe(), "tokens": tokenizer.len(), "bos": tokenizer.bos(),
            "add_bos": tokenizer.add_bos(), "ends": tokenizer.ends(),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let types = types(model).into_iter().map(|(element, (tensors, elements, bytes))| {
        json!({ "type": element, "tensors": tensors, "parameters": elements, "bytes": bytes })
    });
    let templates: BTreeMap<String, usize> = model.templates().map_or_else(
        |_| BTreeMap::new(),
        |all| all.iter().map(|(name, source)| (name.to_owned(), source.len())).collect(),
    );
    let metadata: BTreeMap<String, String> = model.metadata().into_iter().collect();
    let mut object = json!({
        "model": model.name, "format": model.kind(), "root": model.root(),
        "architecture": architecture, "parameters": elements(model), "bytes": size(model),
        "types": types.collect::<Vec<_>>(), "tokenizer": tokenizer, "chat_templates": templates,
        "files": model.files(), "metadata": metadata, "missing": model.missing(),
        "refused": model.refusal(),
    });
    if !hashes.is_empty() {
        let tensors = model.tensors.iter().zip(hashes).map(|(tensor, hash)| {
            json!({ "name": tensor.name, "type": tensor.element, "shape": tensor.shape,
                    "bytes": tensor.bytes, "blake3": hash })
        });
        object["tensors"] = tensors.collect();
    }
    object
}

fn types(model: &Opened) -> BTreeMap<&'static str, (usize, u64, u64)> {
    let mut types: BTreeMap<&'static str, (usize, u64, u64)> = BTreeMap::new();
    for tensor in &model.tensors {
        let entry = types.entry(tensor.element).or_default();
        *entry = (entry.0 + 1, entry.1 + tensor.elements(), entry.2 + tensor.bytes);
    }
    types
}

fn elements(model: &Opened) -> u64 {
    model.tensors.iter().map(Tensor::elements).sum()
}

fn size(model: &Opened) -> u64 {
    model.tensors.iter().map(|tensor| tensor.bytes).sum()
}

/// `49152 × 576`.
pub fn shape(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

/// Facts about licence and lineage, and the names under which formats keep them.
pub const FACTS: [(&str, &[&str]); 7] = [
    ("name", &["general.name", "weights.name", "config._name_or_path"]),
    ("author", &["general.author", "general.organization"]),
    ("licence", &["general.license", "general.license.name", "card.license"]),
    ("source", &["general.source.url", "general.url", "general.source.huggingface.repository"]),
    (
        "made from",
        &["general.base_model.0.repo_url", "general.base_model.0.name", "card.base_model"],
    ),
    ("run", &["general.understory.run", "weights.understory.run"]),
    ("made as", &["general.understory.root", "weights.understory.root"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_written_as_products() {
        assert_eq!(shape(&[3, 4]), "3 × 4");
    }
}
