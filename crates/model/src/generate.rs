//! Running a model token by token.

use std::sync::Arc;

use kernel::{Activations, Kernel};

use crate::forward::{Cache, Piece, Want, Workspace};
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
}

impl Session {
    /// An empty text. Memory for keys and values grows with it.
    pub fn new(model: Arc<Model>, kernel: Kernel) -> Session {
        Session::with(model, kernel, Activations::default())
    }

    /// An empty text, with inputs of quantized products represented as `activations`.
    pub fn with(model: Arc<Model>, kernel: Kernel, activations: Activations) -> Session {
        let cache = Cache::new(&model, &kernel);
        Session { model, kernel, cache, work: Workspace::new(activations) }
    }

    /// A text that goes on from the first `len` tokens of this one.
    pub fn fork(&self, len: usize) -> Session {
        let work = Workspace::new(self.work.activations());
        let cache = self.cache.fork(len);
        Session { model: Arc::clone(&self.model), kernel: self.kernel.clone(), cache, work }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.model.context() - self.cache.len()
    }

    /// Goes back to the first `len` tokens; keeps the memory. Does nothing if there are no more.
    pub fn truncate(&mut self, len: usize) {
        self.cache.truncate(len);
    }

    /// Adds tokens and returns the logits of what follows the last of them, `[V]`.
    pub fn extend(&mut self, tokens: &[u32]) -> Result<&[f32], GenerateError> {
        self.check(tokens)?;
        let last = (tokens.len() - 1) / PIECE;
        for (index, piece) in tokens.chunks(PIECE).enumerate() {
            self.step(piece, if index == last { Want::Last } else { Want::Nothing });
        }
        Ok(self.work.logits())
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
        let some = (LOGITS / vocab).clamp(1, PIECE);
        for (index, piece) in tokens.chunks(some).enumerate() {
            self.step(piece, Want::All);
            for (i, logits) in self.work.logits().chunks_exact(vocab).enumerate() {
                each(index * some + i, logits);
            }
        }
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], want: Want) {
        let piece = Piece { cache: &mut self.cache, tokens, want };
        self.model.step(&self.kernel, &mut self.work, &mut [piece]);
    }

    /// Adds `prompt`, then chooses up to `max` tokens and hands each to `on_token` until that
    /// returns `false`, a `stop` token comes (which is not handed on), or the context is full.
    ///
    /// The `i`-th choice uses the sampler's `i`-th random number.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        sampler: &Sampler,
        max: usize,
        stop: &[u32],
        mut on_token: impl FnMut(u32) -> bool,
    ) -> Result<Finish, GenerateError> {
        sampler.validate()?;
        self.extend(prompt)?;
        for index in 0..max {
            let token = sampler.choose(self.work.logits(), index as u64)?;
            if stop.contains(&token) {
                return Ok(Finish::Stop);
            }
            if !on_token(token) {
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

    fn check(&self, tokens: &[u32]) -> Result<(), GenerateError> {
        let (context, vocab) = (self.model.context(), self.model.vocab());
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
const PIECE: usize = 512;
/// Most logits held at once where those of all tokens are wanted, 64 MiB.
const LOGITS: usize = 1 << 24;

#[cfg(test)]
mod tests;
