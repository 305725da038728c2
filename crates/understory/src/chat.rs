//! A conversation in the terminal.

use crate::{generate::Generator, hint, hint::WithHint};
use anyhow::{Context, Result};
use model::Sampler;
use std::io::BufRead;
use text::chat::{Json, message};

/// Talks until end of input; `system` is the first message, if there is one.
pub fn chat(
    generator: Generator,
    sampler: Sampler,
    max: usize,
    system: Option<String>,
) -> Result<()> {
    let mut chat = Chat { generator, sampler, max, system, turns: Vec::new() };
    eprintln!("say something; /help tells what else there is; end with Ctrl-D");
    let mut input = std::io::stdin().lock();
    loop {
        eprint!("> ");
        let mut line = String::new();
        if input.read_line(&mut line).context("cannot read")? == 0 {
            eprintln!();
            return Ok(());
        }
        if let Err(error) = chat.take(line.trim()) {
            hint::print(&error);
        }
        if line.trim() == "/quit" {
            return Ok(());
        }
    }
}

struct Chat {
    generator: Generator,
    sampler: Sampler,
    max: usize,
    system: Option<String>,
    /// What was said and what was answered.
    turns: Vec<(String, String)>,
}

const HELP: &str = "\
/again         another answer to the last message
/edit TEXT     say this instead of the last message
/undo          take the last message and its answer back
/system TEXT   begin again with this as the system prompt
/new           begin again
/quit          end";

impl Chat {
    fn take(&mut self, line: &str) -> Result<()> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "" | "/quit" => Ok(()),
            "/help" => {
                eprintln!("{HELP}");
                Ok(())
            }
            "/new" => {
                self.turns.clear();
                Ok(())
            }
            "/system" => {
                self.turns.clear();
                self.system = Some(rest.to_owned()).filter(|text| !text.is_empty());
                Ok(())
            }
            "/undo" => {
                self.turns.pop();
                Ok(())
            }
            "/again" => {
                let (said, _) = self.turns.pop().context("nothing was said yet")?;
                self.sampler.seed = self.sampler.seed.wrapping_add(1);
                self.answer(said)
            }
            "/edit" => {
                self.turns.pop().context("nothing was said yet")?;
                self.answer(rest.to_owned())
            }
            _ if command.starts_with('/') => {
                eprintln!("there is no {command}; /help tells what there is");
                Ok(())
            }
            _ => self.answer(line.to_owned()),
        }
    }

    fn answer(&mut self, said: String) -> Result<()> {
        let mut messages = Vec::new();
        messages.extend(self.system.as_ref().map(|text| message("system", text)));
        for (said, answer) in &self.turns {
            messages.push(message("user", said));
            messages.push(message("assistant", answer));
        }
        messages.push(message("user", &said));
        let answer = say(&mut self.generator, &messages, &self.sampler, self.max)?;
        self.turns.push((said, answer));
        Ok(())
    }
}

/// Prints the model's answer as it comes, then on stderr how much of the context is used.
pub fn say(
    generator: &mut Generator,
    messages: &[Json],
    sampler: &Sampler,
    max: usize,
) -> Result<String> {
    let ids = generator.runnable().chat_ids(messages)?;
    let context = generator.runnable().model.context();
    if ids.len() >= context {
        let error = anyhow::anyhow!(
            "the conversation has {} tokens, the model's context {context}: nothing was left out",
            ids.len()
        );
        return Err(error).hint("/undo takes a message back, /new begins again");
    }
    let (answer, done) = generator.tell(&ids, sampler, max, true)?;
    println!();
    eprintln!(
        "[{} tokens read, {} written at {:.0} tokens/s; {} of {context} used]",
        done.read,
        done.tokens,
        done.rate(),
        generator.held()
    );
    Ok(answer)
}
