//! Renders chat templates, for comparing with other programs.
//!
//! Usage: `chat < LINES`, where each line is what `oracle/chat_golden.py --render` prints: JSON with
//! `template` (a path), `messages`, `extra`, and `text` or `error`. Prints each case that differs
//! and at the end how many were the same.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::Deserialize;
use text::chat::{ChatTemplate, Conversation, Json};

#[derive(Deserialize)]
struct Line {
    template: String,
    name: String,
    messages: Vec<Json>,
    extra: BTreeMap<String, Json>,
    text: Option<String>,
    error: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut same, mut other) = (0, 0);
    for line in std::io::stdin().lock().lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let got = render(&line);
        // Where Python's engine refuses, ours must too, in whatever words.
        let agree = match &line.text {
            Some(text) => got.as_ref() == Ok(text),
            None => got.is_err(),
        };
        if agree {
            same += 1;
            continue;
        }
        other += 1;
        let want = line.text.or(line.error).unwrap_or_default();
        println!("{} {}\n  want {want:?}\n  got  {got:?}", line.template, line.name);
    }
    println!("{same} the same, {other} not");
    Ok(())
}

fn render(line: &Line) -> Result<String, String> {
    let source = std::fs::read_to_string(&line.template).map_err(|error| error.to_string())?;
    let template = ChatTemplate::new(&source).map_err(|error| error.to_string())?;
    let mut conversation = Conversation::new(&line.messages);
    conversation.now = NOW;
    conversation.tokens = BTreeMap::from([("bos_token", "<s>"), ("eos_token", "</s>")]);
    let tools: Vec<Json> = match line.extra.get("tools") {
        Some(tools) => tools.try_iter().map_err(|error| error.to_string())?.collect(),
        None => Vec::new(),
    };
    conversation.tools = line.extra.contains_key("tools").then_some(&tools);
    for (name, value) in line.extra.iter().filter(|(name, _)| *name != "tools") {
        if name == "add_generation_prompt" {
            conversation.add_generation_prompt = value.is_true();
        }
        conversation.extra.insert(name, value.clone());
    }
    template.render(&conversation).map_err(|error| error.to_string())
}

/// 29 February 2024, 12:00 UTC, as in the oracle.
const NOW: u64 = 1_709_208_000;
