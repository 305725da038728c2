//! Running a model token by token.

use std::sync::Arc;

use kernel::{Activations, Kernel};

use crate::forward::{Cache, Chunk, Logits, Workspace};
use crate::{DecoderError, Model, Sampler, SamplerError};

/// Why a model could not be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// The shape is refused.
    #[error(transparent)]
    Config(#[from] DecoderError),
    /// Parameters of another shape.
    #[error("model has {found} parameters, its description asks for {expected}")]
    Length {
        /// What was passed.
        found: usize,
        /// What the description asks for.
        expected: usize,
    },
    /// More tokens than the context holds. The session is as before.
    #[error("context is full: {held} tokens held, {added} more do not fit in {context}")]
    ContextFull {
        /// Tokens in the session.
        held: usize,
        /// Tokens that were to be added.
        added: usize,
        /// The model's context.
        context: usize,
    },
    /// A token id outside the vocabulary. The session is as before.
    #[error("token {token} at index {index}, vocabulary is {vocab}")]
    Token {
        /// Where in the added tokens.
        index: usize,
        /// The id.
        token: u32,
        /// The vocabulary.
        vocab: usize,
    },
    /// The sampler refused its settings or the logits.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// No tokens were added.
    #[error("no tokens to run, an empty prompt needs at least the end-of-text token")]
    Empty,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// A stop token was chosen.
    Stop,
    /// As many tokens as asked for.
    Length,
    /// The context is full.
    ContextFull,
    /// The caller said so.
    Cancelled,
}

/// A text in progress: the keys and values of its tokens so far.
///
/// The logits after a token are the same bits however the tokens were cut into calls, and for
/// models trained here the same as training computes.
pub struct Session {
    model: Arc<Model>,
    kernel: Kernel,
    cache: Cache,
    work: Workspace,
    /// What the cache holds.
    tokens: Vec<u32>,
    context: usize,
}

/// What a generation tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many tokens of the prompt have been read.
    Read(usize),
    /// A token was chosen.
    Token(u32),
}

impl Session {
    /// An empty text. Memory for keys and values grows with it.
    pub fn new(model: Arc<Model>, kernel: Kernel) -> Session {
        Session::with(model, kernel, Activations::default())
    }

    /// An empty text, with inputs of quantized products represented as `activations`.
    pub fn with(model: Arc<Model>, kernel: Kernel, activations: Activations) -> Session {
        let cache = Cache::new(&model, &kernel);
        let context = model.context();
        let work = Workspace::new(activations);
        Session { model, kernel, cache, work, tokens: Vec::new(), context }
    }

    /// Holds at most `tokens`, also if the model's context is longer; never more than the model's.
    pub fn set_context(&mut self, tokens: usize) {
        self.context = tokens.min(self.model.context());
    }

    /// A text that goes on from the first `len` tokens of this one.
    pub fn fork(&self, len: usize) -> Session {
        let work = Workspace::new(self.work.activations());
        let cache = self.cache.fork(len);
        let tokens = self.tokens[..cache.len()].to_vec();
        let (model, kernel) = (Arc::clone(&self.model), self.kernel.clone());
        Session { model, kernel, cache, work, tokens, context: self.context }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The tokens that are held.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Number of tokens held.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.context.saturating_sub(self.cache.len())
    }

    /// Goes back to the first `len` tokens; keeps the memory. Does nothing if there are no more.
    pub fn truncate(&mut self, len: usize) {
        self.cache.truncate(len);
        self.tokens.truncate(len);
    }

    /// Adds tokens and returns the logits of what follows the last of them, `[V]`.
    pub fn extend(&mut self, tokens: &[u32]) -> Result<&[f32], GenerateError> {
        self.read(tokens, &mut |_| true)?;
        Ok(self.work.logits())
    }

    /// Adds tokens; `go_on` hears how many have been added and may end it by `false`.
    fn read(
        &mut self,
        tokens: &[u32],
        go_on: &mut dyn FnMut(Step) -> bool,
    ) -> Result<bool, GenerateError> {
        self.check(tokens)?;
        let (last, mut done) = ((tokens.len() - 1) / CHUNK, 0);
        for (index, chunk) in tokens.chunks(CHUNK).enumerate() {
            self.step(chunk, if index == last { Logits::Last } else { Logits::None });
            done += chunk.len();
            if !go_on(Step::Read(done)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds tokens and hands the logits of what follows each of them, `[V]`, to `each`, with the
    /// token's index.
    pub fn extend_all(
        &mut self,
        tokens: &[u32],
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<(), GenerateError> {
        self.check(tokens)?;
        let vocab = self.model.vocab();
        let some = (LOGITS / vocab).clamp(1, CHUNK);
        for (index, chunk) in tokens.chunks(some).enumerate() {
            self.step(chunk, Logits::All);
            for (i, logits) in self.work.logits().chunks_exact(vocab).enumerate() {
                each(index * some + i, logits);
            }
        }
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], want: Logits) {
        let chunk = Chunk { cache: &mut self.cache, tokens, want };
        self.model.step(&self.kernel, &mut self.work, &mut [chunk]);
        self.tokens.extend_from_slice(tokens);
    }

    /// Adds `prompt`, then chooses up to `max` tokens. `each` hears of the prompt's progress and of
    /// each token, until it returns `false`, a `stop` token comes (which is not handed on), or the
    /// context is full.
    ///
    /// The `i`-th choice uses the sampler's `i`-th random number.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        sampler: &Sampler,
        max: usize,
        stop: &[u32],
        mut each: impl FnMut(Step) -> bool,
    ) -> Result<Finish, GenerateError> {
        sampler.validate()?;
        if !self.read(prompt, &mut each)? {
            return Ok(Finish::Cancelled);
        }
        for index in 0..max {
            let token = self.choose(sampler, index)?;
            if stop.contains(&token) {
                return Ok(Finish::Stop);
            }
            if !each(Step::Token(token)) {
                return Ok(Finish::Cancelled);
            }
            if index + 1 == max {
                break;
            }
            if self.room() == 0 {
                return Ok(Finish::ContextFull);
            }
            self.extend(&[token])?;
        }
        Ok(Finish::Length)
    }

    /// The token after the text, of which the last `made` were chosen.
    fn choose(&self, sampler: &Sampler, made: usize) -> Result<u32, GenerateError> {
        let logits = self.work.logits();
        if !sampler.penalizes() {
            return Ok(sampler.choose(logits, made as u64)?);
        }
        let mut logits = logits.to_vec();
        sampler.penalize(&mut logits, &self.tokens, made);
        Ok(sampler.choose(&logits, made as u64)?)
    }

    fn check(&self, tokens: &[u32]) -> Result<(), GenerateError> {
        let (context, vocab) = (self.context, self.model.vocab());
        if tokens.is_empty() {
            return Err(GenerateError::Empty);
        }
        if tokens.len() > self.room() {
            let (held, added) = (self.len(), tokens.len());
            return Err(GenerateError::ContextFull { held, added, context });
        }
        match tokens.iter().position(|&token| token as usize >= vocab) {
            Some(index) => Err(GenerateError::Token { index, token: tokens[index], vocab }),
            None => Ok(()),
        }
    }
}

/// Most tokens run at once.
const CHUNK: usize = 512;
/// Most logits held at once where those of all tokens are wanted, 64 MiB.
const LOGITS: usize = 1 << 24;

#[cfg(test)]
mod tests;
