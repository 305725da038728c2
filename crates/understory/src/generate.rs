//! Text from a model, for the command line and for the page.

use crate::{cancel::Cancel, hint::WithHint, reading::Reading, runnable::Runnable};
use anyhow::{Result, anyhow};
use kernel::{Activations, Kernel};
use model::{Finish, Sampler, Session, Step};
use std::io::Write;
use std::time::Instant;
use text::{Stops, StreamDecoder};

/// A model that continues texts, and the text it continued last.
pub struct Generator {
    runnable: Runnable,
    session: Session,
    /// Ends a text where somebody wants no more of it.
    cancel: Cancel,
}

/// How a text is continued.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub sampler: Sampler,
    /// Most tokens.
    pub max: usize,
    /// Texts at which it ends; they are not part of it.
    pub stops: Vec<String>,
}

/// What came out.
pub struct Generated {
    /// Tokens generated.
    pub tokens: usize,
    /// Tokens of the prompt that were not held already.
    pub read: usize,
    /// Seconds until the first token.
    pub first_s: f64,
    /// Seconds it took, the prompt included.
    pub seconds: f64,
    /// Why it ended.
    pub finish: Finish,
    /// The stop text at which it ended.
    pub stop: Option<String>,
}

impl Generated {
    /// Tokens per second after the first.
    pub fn rate(&self) -> f64 {
        match self.tokens {
            0 | 1 => self.tokens as f64 / self.seconds.max(1e-9),
            tokens => (tokens - 1) as f64 / (self.seconds - self.first_s).max(1e-9),
        }
    }

    /// Why it ended, in one word or two.
    pub fn reason(&self) -> &'static str {
        match self.finish {
            Finish::Stop => "stop",
            Finish::Cancelled => "cancelled",
            Finish::ContextFull => "context full",
            Finish::Length => "length",
        }
    }

    /// Why it ended, as a sentence.
    pub fn ending(&self) -> String {
        match (self.finish, &self.stop) {
            (Finish::Stop, Some(text)) => format!("it came to the stop text {text:?}"),
            (Finish::Stop, None) => "the model ended it".to_owned(),
            (Finish::Length, _) => format!(
                "cut off after {} tokens; -n sets how many there may be, -n -1 lifts the limit",
                self.tokens
            ),
            (Finish::ContextFull, _) => "cut off: the context is full".to_owned(),
            (Finish::Cancelled, _) => "cancelled".to_owned(),
        }
    }
}

impl Generator {
    /// Takes over a model; quantized products get their inputs as `activations`.
    pub fn new(runnable: Runnable, kernel: Kernel, activations: Activations) -> Self {
        let mut session = Session::with(runnable.model.clone(), kernel, activations);
        session.set_context(runnable.context);
        Self { runnable, session, cancel: Cancel::default() }
    }

    /// Lets `cancel` end texts.
    pub fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// The model.
    pub fn runnable(&self) -> &Runnable {
        &self.runnable
    }

    /// Tokens held, prompt and answer.
    pub fn held(&self) -> usize {
        self.session.len()
    }

    /// Continues the text `prompt`, as [`Generator::continue_ids`].
    pub fn generate(
        &mut self,
        prompt: &str,
        wanted: &Wanted,
        emit: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Generated> {
        let ids = self.runnable.text_ids(prompt, false)?;
        self.continue_ids(&ids, wanted, &mut Reading::silent(), emit)
    }

    /// Continues `ids` as [`Generator::continue_ids`] and gives the text; with `print` it also goes
    /// to standard output as it comes. A reader that goes away ends it with that error.
    pub fn tell(
        &mut self,
        ids: &[u32],
        wanted: &Wanted,
        print: bool,
    ) -> Result<(String, Generated)> {
        let (mut text, mut out, mut broken) = (String::new(), crate::terminal::stdout(), None);
        let mut reading = Reading::shown("reading the prompt", ids.len());
        let done = self.continue_ids(ids, wanted, &mut reading, &mut |piece| {
            text.push_str(piece);
            if print && broken.is_none() {
                broken = write!(out, "{piece}").and_then(|()| out.flush()).err();
            }
            broken.is_none()
        });
        match broken {
            Some(error) => Err(error.into()),
            None => Ok((text, done?)),
        }
    }

    /// Continues `ids`; `emit` gets the text piece by piece and stops it by returning `false`. What
    /// was read before and is the same is not read again, which changes no bit.
    pub fn continue_ids(
        &mut self,
        ids: &[u32],
        wanted: &Wanted,
        reading: &mut Reading,
        emit: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Generated> {
        self.check_fits(ids.len())?;
        let start = Instant::now();
        let same = ids.iter().zip(self.session.tokens()).take_while(|(a, b)| a == b).count();
        let same = same.min(ids.len().saturating_sub(1)); // the last is read for its logits
        self.session.truncate(same);
        let mut stops = Stops::new(wanted.stops.clone());
        let (mut decoder, mut tokens, mut first_s) = (StreamDecoder::default(), 0, 0.0);
        let Self { runnable, session, cancel } = self;
        let tokenizer = &runnable.tokenizer;
        let ends = runnable.ends(&wanted.stops);
        cancel.begin();
        let finish = session.generate(&ids[same..], &wanted.sampler, wanted.max, &ends, |step| {
            let id = match step {
                Step::Read(read) => {
                    reading.at(same + read);
                    return !cancel.is_asked();
                }
                Step::Token(id) => id,
            };
            if tokens == 0 {
                reading.over();
                first_s = start.elapsed().as_secs_f64();
            }
            tokens += 1;
            let text = stops.push(&decoder.push(tokenizer, id));
            let more = text.is_empty() || emit(&text);
            more && stops.found().is_none() && !cancel.is_asked()
        });
        reading.over();
        cancel.end();
        let mut finish = finish?;
        let rest = stops.push(&decoder.finish()) + &stops.finish();
        if !rest.is_empty() {
            emit(&rest);
        }
        let stop = stops.found().map(str::to_owned);
        if stop.is_some() {
            finish = Finish::Stop;
        }
        let (read, seconds) = (ids.len() - same, start.elapsed().as_secs_f64());
        Ok(Generated { tokens, read, first_s, seconds, finish, stop })
    }

    fn check_fits(&self, tokens: usize) -> Result<()> {
        let (context, most) = (self.runnable.context, self.runnable.model.context());
        if tokens <= context {
            return Ok(());
        }
        let text = format!("the prompt has {tokens} tokens, the context holds {context}");
        Err(anyhow!(text)).hint(match context < most {
            true => format!("nothing was left out; --context may be up to {most}"),
            false => {
                "nothing was left out; shorten it, or take a model with a longer context".to_owned()
            }
        })
    }
}
