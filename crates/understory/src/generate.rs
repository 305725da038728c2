//! Text from a model, for the command line and for the page.

use crate::model_source::LoadedModel;
use anyhow::Result;
use kernel::Kernel;
use model::{Finish, Model, Sampler, Session, StreamDecoder, Tokenizer};
use std::{sync::Arc, time::Instant};

/// A model ready to continue texts.
pub struct Generator {
    model: Arc<Model>,
    tokenizer: Tokenizer,
    kernel: Kernel,
}

/// What came out.
pub struct Generated {
    /// Tokens generated.
    pub tokens: usize,
    /// Seconds it took, the prompt included.
    pub seconds: f64,
    /// Why it ended.
    pub finish: Finish,
}

impl Generator {
    /// Takes over a loaded model.
    pub fn new(loaded: LoadedModel, kernel: Kernel) -> Result<Self> {
        let model = Arc::new(Model::new(&loaded.config, loaded.params)?);
        Ok(Self { model, tokenizer: loaded.tokenizer, kernel })
    }

    /// Continues `prompt` by at most `max` tokens; `emit` gets the text piece by piece and stops
    /// it by returning `false`.
    ///
    /// The text starts as documents do in training, after one end-of-text token.
    pub fn generate(
        &self,
        prompt: &str,
        sampler: &Sampler,
        max: usize,
        emit: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Generated> {
        let start = Instant::now();
        let end = self.tokenizer.end_of_text();
        let mut ids = vec![end];
        ids.extend(self.tokenizer.encode(prompt));
        let mut session = Session::new(self.model.clone(), self.kernel.clone());
        let (mut decoder, mut tokens) = (StreamDecoder::default(), 0);
        let finish = session.generate(&ids, sampler, max, &[end], |id| {
            tokens += 1;
            let piece = decoder.push(&self.tokenizer, id);
            piece.is_empty() || emit(&piece)
        })?;
        let rest = decoder.finish();
        if !rest.is_empty() {
            emit(&rest);
        }
        Ok(Generated { tokens, seconds: start.elapsed().as_secs_f64(), finish })
    }
}
