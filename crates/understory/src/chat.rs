//! A conversation in the terminal.

mod input;

use crate::{
    cancel::Cancel,
    generate::{ending, tell},
    hint,
    hint::WithHint,
    ready::chat_ids,
};
use anyhow::{Result, anyhow, bail};
use engine::Generator;
use engine::generation::{Generated, Wanted};
use input::Said;
use text::chat::{Json, message};

/// Talks until end of input; `system` is the first message, if there is one.
pub fn chat(generator: Generator, wanted: Wanted, system: Option<String>) -> Result<()> {
    let cancel = Cancel::on_interrupt(|| eprint!("\n[Ctrl-D or /quit ends the conversation]\n> "));
    let mut chat = Chat { generator, cancel, wanted, system, turns: Vec::new() };
    eprintln!(
        "say something; /help tells what else there is; Ctrl-C ends an answer, Ctrl-D all of it"
    );
    let mut stdin = std::io::stdin().lock();
    loop {
        eprint!("> ");
        let pasted = |lines| eprintln!("[{lines} lines; Enter sends them]");
        let done = match input::message(&mut stdin, input::is_waiting, pasted) {
            Ok(Said::End) => {
                eprintln!();
                return Ok(());
            }
            Ok(Said::Message(text)) if text.trim() == "/quit" => return Ok(()),
            Ok(Said::Message(text)) => chat.take(&text),
            Err(error) => Err(error).hint("nothing was sent; --prompt-file takes a long text"),
        };
        if let Err(error) = done {
            hint::print(&error);
        }
    }
}

struct Chat {
    generator: Generator,
    /// Ends an answer.
    cancel: Cancel,
    wanted: Wanted,
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
/quit          end
Several lines that are pasted at once are one message.";

impl Chat {
    fn take(&mut self, said: &str) -> Result<()> {
        let line = said.trim();
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "" => Ok(()),
            _ if line.contains('\n') => self.answer(said.to_owned()),
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
                self.wanted.sampler.seed = self.wanted.sampler.seed.wrapping_add(1);
                self.instead(None)
            }
            "/edit" if rest.is_empty() => bail!("/edit wants the text to say instead"),
            "/edit" => self.instead(Some(rest.to_owned())),
            _ if command.starts_with('/') => {
                eprintln!("there is no {command}; /help tells what there is");
                Ok(())
            }
            _ => self.answer(said.to_owned()),
        }
    }

    /// Answers the last message, or what is said in its place, anew. If that fails, the last
    /// message and its answer stay.
    fn instead(&mut self, said: Option<String>) -> Result<()> {
        let last = self.turns.pop().ok_or_else(|| anyhow!("nothing was said yet"))?;
        let answered = self.answer(said.unwrap_or_else(|| last.0.clone()));
        if answered.is_err() {
            self.turns.push(last);
        }
        answered
    }

    fn answer(&mut self, said: String) -> Result<()> {
        let mut messages = Vec::new();
        messages.extend(self.system.as_ref().map(|text| message("system", text)));
        for (said, answer) in &self.turns {
            messages.push(message("user", said));
            messages.push(message("assistant", answer));
        }
        messages.push(message("user", &said));
        let answer = self.say(&messages)?;
        self.turns.push((said, answer));
        Ok(())
    }

    /// Prints the model's answer as it comes, then on stderr how much of the context is used.
    fn say(&mut self, messages: &[Json]) -> Result<String> {
        let model = self.generator.ready();
        let ids = chat_ids(model, messages)?;
        let context = model.context;
        if ids.len() >= context {
            let error = anyhow!(
                "the conversation has {} tokens, the context holds {context}: nothing was left out",
                ids.len()
            );
            return Err(error).hint("/undo takes a message back, /new begins again");
        }
        let (answer, done) = tell(&mut self.generator, &self.cancel, &ids, &self.wanted, false)?;
        println!();
        self.report(&done, context);
        Ok(answer)
    }

    fn report(&self, done: &Generated, context: usize) {
        eprintln!(
            "[{} tokens read, {} written at {:.0} tokens/s; {} of {context} used; {}]",
            done.read,
            done.tokens,
            done.rate(),
            self.generator.held(),
            ending(done)
        );
    }
}
