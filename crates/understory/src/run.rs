//! `understory run`: text from a model, or a conversation with it.

use crate::{
    chat,
    cli::{Inputs, RunArgs},
    generate::{Generated, Generator},
    kernel_for, runnable,
};
use anyhow::{Context, Result, bail};
use kernel::Activations;
use model::{Finish, Sampler};
use std::io::{IsTerminal, Read, Write};
use text::chat::message;

pub fn run(args: &RunArgs) -> Result<()> {
    let sampler = Sampler {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        seed: args.seed,
    };
    sampler.validate()?;
    let kernel = kernel_for(args.threads)?;
    let most = args.max_tokens.saturating_add(args.prompt.as_ref().map_or(0, String::len));
    let runnable = runnable::open(&args.model, most, &kernel)?;
    if args.system.is_some() && (args.raw || runnable.template.is_none()) {
        bail!("there is no place for a system prompt: the text is continued as it is");
    }
    let talks = runnable.template.is_some() && !args.raw;
    let activations = match args.inputs {
        Inputs::Int8 => Activations::Int8,
        Inputs::F32 => Activations::F32,
    };
    let generator = Generator::new(runnable, kernel, activations);
    if talks && args.prompt.is_none() && !args.json && std::io::stdin().is_terminal() {
        return chat::chat(generator, sampler, args.max_tokens, args.system.clone());
    }
    let prompt = match &args.prompt {
        Some(prompt) => prompt.clone(),
        None => read_prompt()?,
    };
    once(args, generator, &sampler, &prompt, talks)
}

/// One continuation, or one answer.
fn once(
    args: &RunArgs,
    mut generator: Generator,
    sampler: &Sampler,
    prompt: &str,
    talks: bool,
) -> Result<()> {
    let ids = if talks {
        let mut messages = Vec::new();
        messages.extend(args.system.as_ref().map(|text| message("system", text)));
        messages.push(message("user", prompt));
        generator.runnable().chat_ids(&messages)?
    } else {
        generator.runnable().text_ids(prompt)?
    };
    let mut out = crate::terminal::stdout();
    if !args.json && !talks {
        write!(out, "{prompt}")?;
        out.flush()?;
    }
    let (text, done) = generator.tell(&ids, sampler, args.max_tokens, !args.json)?;
    let root = generator.runnable().root;
    if args.json {
        let object = serde_json::json!({
            "prompt": prompt, "text": text, "tokens": done.tokens, "root": root,
            "prompt_tokens": ids.len(), "first_token_s": done.first_s, "seconds": done.seconds,
            "finish": finish_name(done.finish),
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    writeln!(out)?;
    report(&done, root);
    Ok(())
}

fn report(done: &Generated, root: Option<ids::Hash>) {
    let from = root.map_or_else(String::new, |r| format!(", root {}", r.short()));
    eprintln!(
        "[{} tokens read, {} written at {:.0} tokens/s, the first after {:.2} s{from}]",
        done.read,
        done.tokens,
        done.rate(),
        done.first_s
    );
    if done.finish == Finish::ContextFull {
        eprintln!("[stopped: the model's context is full]");
    }
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
