//! `understory run`: text from a model, or a conversation with it.

use crate::{
    cancel::Cancel,
    chat,
    cli::{RunArgs, Seed},
    generate::{ending, reason, tell},
    hint::WithHint,
    kernel_for, prompt, ready,
    units::drawn_seed,
};
use anyhow::{Result, anyhow, bail};
use engine::generation::{Generated, Wanted};
use engine::{Generator, Opening};
use model::{Finish, Sampler};
use std::io::Write;
use std::process::ExitCode;
use text::chat::message;

pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let sampler = sampler(args)?;
    check_stops(&args.stop)?;
    let given = prompt::given(args.prompt.as_deref(), args.prompt_file.as_deref())?;
    let kernel = kernel_for(args.threads)?;
    let opening = Opening {
        prompt: given.as_ref().map_or(0, String::len),
        answer: args.max_tokens,
        context: args.context,
        raw: args.raw,
        template: args.template_name.as_deref(),
        free: None,
    };
    let ready = ready::open(&args.model, &opening, &kernel, args.json)?;
    let talks = ready.template.is_some();
    if args.system.is_some() && !talks {
        bail!("there is no place for a system prompt: the text is continued as it is");
    }
    if args.special && talks {
        return Err(anyhow!("--special is for texts that are continued as they are"))
            .hint("the model's template writes the special tokens; --raw leaves it out");
    }
    let max = args.max_tokens.unwrap_or(if talks { usize::MAX } else { CONTINUED });
    let wanted = Wanted { sampler, max, stops: args.stop.clone() };
    let generator = Generator::new(ready, kernel, args.inputs.into());
    match given {
        Some(prompt) => once(args, generator, &wanted, &prompt),
        None if talks && !args.json => {
            chat::chat(generator, wanted, args.system.clone())?;
            Ok(ExitCode::SUCCESS)
        }
        None => once(args, generator, &wanted, &prompt::typed()?),
    }
}

fn sampler(args: &RunArgs) -> Result<Sampler> {
    let seed = match args.seed {
        Seed::Given(seed) => seed,
        Seed::Drawn => {
            let seed = drawn_seed()?;
            // With --json it is in the object.
            if !args.json {
                eprintln!("[seed {seed}]");
            }
            seed
        }
    };
    let sampler = Sampler {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        seed,
        repeat_penalty: args.repeat_penalty,
        repeat_last: args.repeat_last,
        frequency_penalty: args.frequency_penalty,
        presence_penalty: args.presence_penalty,
    };
    sampler.validate()?;
    Ok(sampler)
}

fn check_stops(stops: &[String]) -> Result<()> {
    if stops.iter().any(String::is_empty) {
        bail!("--stop is empty: every text would end before it begins");
    }
    Ok(())
}

/// One continuation, or one answer.
fn once(
    args: &RunArgs,
    mut generator: Generator,
    wanted: &Wanted,
    prompt: &str,
) -> Result<ExitCode> {
    let cancel = Cancel::on_interrupt(|| std::process::exit(130));
    let model = generator.ready();
    let talks = model.template.is_some();
    let ids = if talks {
        let mut messages = Vec::new();
        messages.extend(args.system.as_ref().map(|text| message("system", text)));
        messages.push(message("user", prompt));
        ready::chat_ids(model, &messages)?
    } else {
        model.text_ids(prompt, args.special)?
    };
    let mut out = crate::terminal::stdout();
    if !args.json && !talks {
        write!(out, "{prompt}")?;
        out.flush()?;
    }
    let (text, done) = tell(&mut generator, &cancel, &ids, wanted, args.json)?;
    let model = generator.ready();
    if args.json {
        let object = serde_json::json!({
            "prompt": prompt, "text": text, "tokens": done.tokens, "root": model.root,
            "prompt_tokens": ids.len(), "first_token_s": done.first_s, "seconds": done.seconds,
            "finish": reason(done.finish), "stop": done.stop, "seed": wanted.sampler.seed,
            "template": model.template.as_ref().map(|template| template.name()),
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out)?;
        report(&done, model.root);
    }
    let cancelled = done.finish == Finish::Cancelled;
    Ok(if cancelled { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
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
    eprintln!("[{}]", ending(done));
}

/// Tokens of a text that is continued, where nothing else is asked for.
const CONTINUED: usize = 128;
/// What programs that Ctrl-C ended exit with.
const INTERRUPTED: u8 = 130;
