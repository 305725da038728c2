//! `understory score`: how likely a model finds a text.

use crate::{
    cli::ScoreArgs,
    kernel_for, progress, ready,
    tokens::{given, shown, to_json},
    units::plural,
};
use anyhow::Result;
use engine::{
    Opening, Ready,
    scoring::{self, Scored},
};
use serde_json::{Value, json};
use std::io::Write;

pub fn score(args: &ScoreArgs) -> Result<()> {
    let text = given(&args.text)?;
    let kernel = kernel_for(args.threads)?;
    let opening = Opening { context: args.context, raw: true, ..Opening::of(text.len()) };
    let model = ready::open(&args.model, &opening, &kernel, args.json)?;
    let (inputs, special) = (args.inputs.into(), args.text.special);
    let found = progress::shown(args.json, |tell| {
        scoring::score(&model, kernel, inputs, &text, special, tell)
    })?;
    print(args, &model, &found)
}

fn print(args: &ScoreArgs, model: &Ready, found: &Scored) -> Result<()> {
    let tokenizer = &model.tokenizer;
    let Scored { ids, scores, count, bytes, sum, perplexity, bits_per_byte } = found;
    let mut out = crate::terminal::stdout();
    if args.json {
        let token = |(&id, score): (&u32, &Option<f64>)| {
            let mut token = to_json(tokenizer, id);
            token["logprob"] = (*score).into();
            token
        };
        let tokens = ids.iter().zip(scores).map(token).collect::<Vec<_>>();
        let object = json!({
            "model": args.model, "root": model.root, "scored": count, "bytes": bytes,
            "sum": sum, "perplexity": perplexity, "bits_per_byte": bits_per_byte,
            "tokens": if args.total { Value::Null } else { tokens.into() },
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    if !args.total {
        for (&id, score) in ids.iter().zip(scores) {
            let score = score.map_or("first".to_owned(), |score| format!("{score:.4}"));
            writeln!(out, "{score:>10}  {}", shown(tokenizer, id))?;
        }
    }
    writeln!(out, "scored         {}, {}", plural(*count, "token"), plural(*bytes, "byte"))?;
    writeln!(out, "sum            {sum:.4}")?;
    writeln!(out, "perplexity     {perplexity:.4}")?;
    writeln!(out, "bits per byte  {bits_per_byte:.4}")?;
    Ok(())
}
