//! `understory run`: text from a model.

use crate::{cli::RunArgs, generate::Generator, hint::WithHint, kernel_for, model_source};
use anyhow::{Context, Result};
use model::{Finish, Sampler};
use std::io::{IsTerminal, Read, Write};

pub fn run(args: &RunArgs) -> Result<()> {
    let sampler = Sampler {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        seed: args.seed,
    };
    sampler.validate()?;
    let prompt = match &args.prompt {
        Some(prompt) => prompt.clone(),
        None => read_prompt()?,
    };
    let loaded = model_source::load(&args.model)?;
    let root = loaded.root;
    let generator = Generator::new(loaded, kernel_for(args.threads)?)?;
    let mut text = String::new();
    let mut out = std::io::stdout();
    if !args.json {
        write!(out, "{prompt}")?;
        out.flush()?;
    }
    let mut broken = None;
    let done = generator.generate(&prompt, &sampler, args.max_tokens, &mut |piece| {
        text.push_str(piece);
        if args.json {
            return true;
        }
        match write!(out, "{piece}").and_then(|()| out.flush()) {
            Ok(()) => true,
            Err(e) => {
                broken = Some(e);
                false
            }
        }
    });
    if let Some(error) = broken {
        return Err(error.into());
    }
    let done = done.hint("a prompt and its continuation must fit into the model's context")?;
    if args.json {
        let object = serde_json::json!({
            "prompt": prompt, "text": text, "tokens": done.tokens, "root": root,
            "seconds": done.seconds, "finish": finish_name(done.finish),
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    writeln!(out)?;
    let rate = done.tokens as f64 / done.seconds;
    let from = root.map_or_else(String::new, |r| format!(", root {}", r.short()));
    eprintln!("[{} tokens, {rate:.0} tokens/s{from}]", done.tokens);
    if done.finish == Finish::ContextFull {
        eprintln!("[stopped: the model's context is full]");
    }
    Ok(())
}

fn read_prompt() -> Result<String> {
    if std::io::stdin().is_terminal() {
        eprintln!("[type a prompt, end with Ctrl-D]");
    }
    let mut bytes = Vec::new();
    std::io::stdin().take(1 << 20).read_to_end(&mut bytes).context("cannot read the prompt")?;
    let text = String::from_utf8(bytes).context("the prompt is not UTF-8")?;
    Ok(text.trim_end_matches('\n').to_owned())
}

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Cancelled => "cancelled",
        Finish::ContextFull => "context full",
        Finish::Length => "length",
    }
}
