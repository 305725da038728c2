//! Text from a model, for the command line and for the page.

use crate::hint::WithHint;
use crate::runnable::Runnable;
use anyhow::Result;
use kernel::{Activations, Kernel};
use model::{Finish, Sampler, Session};
use std::io::Write;
use std::time::Instant;
use text::StreamDecoder;

/// A model that continues texts, and the text it continued last.
pub struct Generator {
    runnable: Runnable,
    session: Session,
    /// The ids that the session holds.
    held: Vec<u32>,
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
}

impl Generated {
    /// Tokens per second after the first.
    pub fn rate(&self) -> f64 {
        match self.tokens {
            0 | 1 => self.tokens as f64 / self.seconds.max(1e-9),
            tokens => (tokens - 1) as f64 / (self.seconds - self.first_s).max(1e-9),
        }
    }
}

impl Generator {
    /// Takes over a model; quantized products get their inputs as `activations`.
    pub fn new(runnable: Runnable, kernel: Kernel, activations: Activations) -> Self {
        let session = Session::with(runnable.model.clone(), kernel, activations);
        Self { runnable, session, held: Vec::new() }
    }

    /// The model.
    pub fn runnable(&self) -> &Runnable {
        &self.runnable
    }

    /// Tokens held, prompt and answer.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Continues the text `prompt`, as [`Generator::continue_ids`].
    pub fn generate(
        &mut self,
        prompt: &str,
        sampler: &Sampler,
        max: usize,
        emit: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Generated> {
        let ids = self.runnable.text_ids(prompt)?;
        self.continue_ids(&ids, sampler, max, emit)
    }

    /// Continues `ids` as [`Generator::continue_ids`] and gives the text; with `print` it also goes
    /// to standard output as it comes. A reader that goes away ends it with that error.
    pub fn tell(
        &mut self,
        ids: &[u32],
        sampler: &Sampler,
        max: usize,
        print: bool,
    ) -> Result<(String, Generated)> {
        let (mut text, mut out, mut broken) = (String::new(), crate::terminal::stdout(), None);
        let done = self.continue_ids(ids, sampler, max, &mut |piece| {
            text.push_str(piece);
            if print && broken.is_none() {
                broken = write!(out, "{piece}").and_then(|()| out.flush()).err();
            }
            broken.is_none()
        });
        if let Some(error) = broken {
            return Err(error.into());
        }
        let done = done.hint("a prompt and its continuation must fit into the model's context")?;
        Ok((text, done))
    }

    /// Continues `ids` by at most `max` tokens; `emit` gets the text piece by piece and stops it by
    /// returning `false`. What was read before and is the same is not read again, which changes
    /// no bit.
    pub fn continue_ids(
        &mut self,
        ids: &[u32],
        sampler: &Sampler,
        max: usize,
        emit: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Generated> {
        let start = Instant::now();
        let same = ids.iter().zip(&self.held).take_while(|(a, b)| a == b).count();
        let same = same.min(ids.len().saturating_sub(1)); // the last is read for its logits
        self.session.truncate(same);
        self.held.truncate(same);
        let (mut decoder, mut made, mut first_s) = (StreamDecoder::default(), Vec::new(), 0.0);
        let Runnable { tokenizer, .. } = &self.runnable;
        let finish = self.session.generate(&ids[same..], sampler, max, tokenizer.ends(), |id| {
            if made.is_empty() {
                first_s = start.elapsed().as_secs_f64();
            }
            made.push(id);
            let piece = decoder.push(tokenizer, id);
            piece.is_empty() || emit(&piece)
        })?;
        let rest = decoder.finish();
        if !rest.is_empty() {
            emit(&rest);
        }
        self.held.extend(&ids[same..]);
        self.held.extend(&made);
        self.held.truncate(self.session.len()); // the last token was chosen, not read
        let (tokens, read) = (made.len(), ids.len() - same);
        Ok(Generated { tokens, read, first_s, seconds: start.elapsed().as_secs_f64(), finish })
    }
}
