//! Text from a model.

use std::ops::ControlFlow;
use std::time::Instant;

use kernel::{Activations, Kernel};
use model::{Finish, Sampler, Session, Step};
use text::{Stops, StreamDecoder};

use crate::{EngineError, Ready};
use progress::{At, Progress, Work};

/// A model that continues texts, and the text it continued last.
pub struct Generator {
    ready: Ready,
    session: Session,
}

/// How a text is continued.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// How tokens are chosen.
    pub sampler: Sampler,
    /// Most tokens.
    pub max: usize,
    /// Texts at which it ends; they are not part of it.
    pub stops: Vec<String>,
}

/// What happens while a text is continued.
#[derive(Debug)]
pub enum Event<'a> {
    /// How far reading the prompt is.
    Progress(Progress),
    /// A token was chosen, and this much of the text is now certain: it may be nothing.
    Text(&'a str),
}

/// What came out.
#[derive(Debug, Clone)]
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

/// Why a text is not continued.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The prompt is longer than the context.
    #[error("the prompt has {tokens} tokens, the context holds {context}")]
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that the context holds.
        context: usize,
        /// Tokens of the model's own context.
        most: usize,
    },
    /// The model cannot continue it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl GenerationError {
    /// What the person can do, the nearest to the cause first; nothing where nothing is known.
    pub fn hints(&self) -> Vec<String> {
        match self {
            GenerationError::TooLong { context, most, .. } => vec![match context < most {
                true => format!("nothing was left out; --context may be up to {most}"),
                false => "nothing was left out; shorten it, or take a model with a longer context"
                    .to_owned(),
            }],
            GenerationError::Engine(error) => error.hints(),
        }
    }
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
    pub fn new(ready: Ready, kernel: Kernel, activations: Activations) -> Self {
        let mut session = Session::with(ready.model.clone(), kernel, activations);
        session.set_context(ready.context);
        Self { ready, session }
    }

    /// The model.
    pub fn ready(&self) -> &Ready {
        &self.ready
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
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, GenerationError> {
        let ids = self.ready.text_ids(prompt, false)?;
        self.continue_ids(&ids, wanted, each)
    }

    /// Continues `ids`; `each` hears what happens and may end it by breaking off. What was read
    /// before and is the same is not read again, which changes no bit.
    pub fn continue_ids(
        &mut self,
        ids: &[u32],
        wanted: &Wanted,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, GenerationError> {
        self.check_fits(ids.len())?;
        let start = Instant::now();
        let same = ids.iter().zip(self.session.tokens()).take_while(|(a, b)| a == b).count();
        let same = same.min(ids.len().saturating_sub(1)); // the last is read for its logits
        self.session.truncate(same);
        let mut stops = Stops::new(wanted.stops.clone());
        let (mut decoder, mut tokens, mut first_s) = (StreamDecoder::default(), 0, 0.0);
        let Self { ready, session } = self;
        let ends = ready.ends(&wanted.stops);
        let finish = session.generate(&ids[same..], &wanted.sampler, wanted.max, &ends, |step| {
            let id = match step {
                Step::Read(read) => return each(reading(same, read, ids.len())).is_continue(),
                Step::Token(id) => id,
            };
            if tokens == 0 {
                first_s = start.elapsed().as_secs_f64();
            }
            tokens += 1;
            let text = stops.push(&decoder.push(&ready.tokenizer, id));
            each(Event::Text(&text)).is_continue() && stops.found().is_none()
        });
        let mut finish = finish.map_err(EngineError::from)?;
        let rest = stops.push(&decoder.finish()) + &stops.finish();
        if !rest.is_empty() {
            // It is over whatever is said to this.
            let _ = each(Event::Text(&rest));
        }
        let stop = stops.found().map(str::to_owned);
        if stop.is_some() {
            finish = Finish::Stop;
        }
        let (read, seconds) = (ids.len() - same, start.elapsed().as_secs_f64());
        Ok(Generated { tokens, read, first_s, seconds, finish, stop })
    }

    fn check_fits(&self, tokens: usize) -> Result<(), GenerationError> {
        let (context, most) = (self.ready.context, self.ready.model.context());
        match tokens <= context {
            true => Ok(()),
            false => Err(GenerationError::TooLong { tokens, context, most }),
        }
    }
}

/// `read` tokens were read after `had`, of `all`.
fn reading(had: usize, read: usize, all: usize) -> Event<'static> {
    let (done, total, fresh) = ((had + read) as u64, all as u64, read as u64);
    Event::Progress(Progress::At(At { work: Work::Reading, done, total, fresh }))
}

#[cfg(test)]
mod tests;
