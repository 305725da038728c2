//! `understory inspect`: what a model is, from its headers.

use crate::cli::InspectArgs;
use crate::model_source::{opened, run_of};
use crate::object;
use crate::progress::shown;
use crate::template::Isolated;
use crate::units::{bytes, count};
use anyhow::Result;
use engine::Opened;
use engine::inspection::{Inspection, Told};
use engine::metadata::{FACTS, find};
use engine::template::Render;
use ids::{Hash, Plain};
use serde::Serialize;
use std::io::Write;
use text::Tokenizer;
use text::chat::Job;

pub fn inspect(args: &InspectArgs) -> Result<()> {
    if object::show(&args.model, args.json)? {
        return Ok(());
    }
    let model = opened(&args.model, args.json)?;
    let found = shown(args.json, |tell| engine::inspect(&model, args.tensors, tell))?;
    let run = run(&model);
    let mut out = crate::terminal::stdout();
    if args.json {
        let mut object = serde_json::to_value(&found)?;
        object["run"] = serde_json::to_value(&run)?;
        writeln!(out, "{object}")?;
        return Ok(());
    }
    print(&model, &found, run.as_ref(), &mut out)?;
    for tensor in &found.tensors {
        let (hash, shape) = (tensor.blake3.to_string(), shape(&tensor.shape));
        writeln!(out, "{hash:.16}  {:<7} {shape:>14}  {}", tensor.element, Plain(&tensor.name))?;
    }
    Ok(())
}

/// What the run that made a model says of it.
#[derive(Serialize)]
struct Run {
    id: Hash,
    /// Which arithmetic gives the bits of training.
    arithmetic: String,
}

/// The run that made the model, where its store keeps one, or why that cannot be read.
fn run(model: &Opened) -> Option<Told<Run>> {
    match run_of(model) {
        Ok(run) => run.map(|(manifest, id)| {
            Told::Known(Run { id, arithmetic: manifest.arithmetic.to_string() })
        }),
        Err(error) => Some(Told::Unknown { error: format!("{error:#}") }),
    }
}

fn print(
    model: &Opened,
    found: &Inspection,
    run: Option<&Told<Run>>,
    out: &mut impl Write,
) -> Result<()> {
    let mut line = |name: &str, text: String| writeln!(out, "{name:<13} {}", Plain(text));
    line("model", found.model.clone())?;
    let tensors = found.types.iter().map(|kind| kind.tensors).sum::<usize>();
    line("format", format!("{}, {tensors} tensors", found.format))?;
    if let [first, _, ..] = found.files.as_slice() {
        line("files", format!("{}, the first {}", found.files.len(), first.display()))?;
    }
    if let Some(root) = found.root {
        line("root", root.to_string())?;
    }
    match run {
        None => {}
        Some(Told::Known(run)) => {
            line("run", run.id.to_string())?;
            line("arithmetic", run.arithmetic.clone())?;
        }
        Some(Told::Unknown { error }) => line("run", format!("not read here: {error}"))?,
    }
    match model.decoder() {
        Ok(decoder) => {
            line("architecture", shape_of(&decoder))?;
            line("context", format!("{} tokens", decoder.context))?;
        }
        Err(error) => line("architecture", format!("not run here: {error}"))?,
    }
    line("parameters", format!("{} in {}", count(found.parameters), bytes(found.bytes)))?;
    for kind in &found.types {
        let (element, tensors) = (kind.element, kind.tensors);
        let (parameters, size) = (count(kind.parameters), bytes(kind.bytes));
        line("", format!("{element:<7} {tensors:>5} tensors  {parameters:>13}  {size:>9}"))?;
    }
    match model.tokenizer() {
        Ok(tokenizer) => line("tokenizer", tokenizer_text(tokenizer))?,
        Err(error) => line("tokenizer", format!("not read here: {error}"))?,
    }
    line("chat template", template_text(model))?;
    if !found.missing.is_empty() {
        line("missing", found.missing.join("; "))?;
    }
    if let Some(why) = &found.refused {
        line("not run here", why.clone())?;
    }
    let metadata = model.metadata();
    for (name, keys) in FACTS {
        if let Some(value) = find(&metadata, keys) {
            line(name, value.to_owned())?;
        }
    }
    Ok(())
}

/// What a decoder computes, in a line.
pub fn shape_of(decoder: &model::Decoder) -> String {
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
    let lacking = tokenizer.lacking_end();
    let lacking = lacking.map_or_else(String::new, |text| format!("; {text}, named, is no token"));
    format!("{kind}, {tokens} tokens; begins {bos}{added}; ends {}{lacking}", ends.join(", "))
}

fn template_text(model: &Opened) -> String {
    match model.templates() {
        Err(error) => format!("not read here: {error}"),
        Ok(templates) if templates.is_empty() => "none".to_owned(),
        Ok(templates) => {
            let text = |(name, source): (&str, &str)| {
                let hash = blake3::hash(source.as_bytes()).to_hex();
                let bad = Isolated.render(&Job::compile(source)).err();
                let bad = bad.map_or_else(String::new, |error| format!(", not run here: {error}"));
                format!("{name}, {} bytes, blake3 {}…{bad}", source.len(), &hash[..12])
            };
            templates.iter().map(text).collect::<Vec<_>>().join("; ")
        }
    }
}

/// `49152 × 576`.
pub fn shape(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_written_as_products() {
        assert_eq!(shape(&[3, 4]), "3 × 4");
    }
}
