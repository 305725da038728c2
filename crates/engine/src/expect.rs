//! What a model computes, written down so that another program can be compared with it.

use std::sync::Arc;

use kernel::Kernel;
use serde::Serialize;

use model::{GenerateError, Model, Sampler, Session};
use text::Tokenizer;

use crate::EngineError;

/// A prompt, the logits after each of its tokens, and the greedy continuation.
#[derive(Debug, Clone, Serialize)]
pub struct Expectation {
    /// The prompt.
    pub prompt: String,
    /// The ids that a program puts before a text by itself.
    pub prefix: Vec<u32>,
    /// The prompt's ids, without these.
    pub ids: Vec<u32>,
    /// One row of logits for each id.
    pub logits: Vec<Vec<f32>>,
    /// Ids chosen greedily after the prompt, without the end-of-text token.
    pub greedy: Vec<u32>,
    /// Their text.
    pub text: String,
    /// Smallest lead of a chosen logit over the next best: another program whose logits differ
    /// by less than half of it must choose the same.
    pub margin: f32,
}

/// Computes an [`Expectation`] of up to `max` greedy tokens.
pub fn expectation(
    kernel: &Kernel,
    model: &Arc<Model>,
    tokenizer: &Tokenizer,
    prompt: &str,
    max: usize,
) -> Result<Expectation, EngineError> {
    let ids = tokenizer.encode(prompt)?;
    let mut session = Session::new(Arc::clone(model), kernel.clone());
    let mut logits = Vec::new();
    for &id in &ids {
        logits.push(session.extend(&[id])?.to_vec());
    }
    let (mut greedy, mut margin) = (Vec::new(), f32::INFINITY);
    let mut last = logits.last().ok_or(GenerateError::Empty)?.clone();
    for _ in 0..max {
        let token = Sampler::greedy().choose(&last, 0).map_err(GenerateError::from)?;
        margin = margin.min(lead(&last, token));
        if token == tokenizer.end_of_text() || session.room() == 0 {
            break;
        }
        greedy.push(token);
        last.copy_from_slice(session.extend(&[token])?);
    }
    let text = tokenizer.decode(&greedy);
    let (prompt, prefix) = (prompt.to_owned(), tokenizer.prefix().to_vec());
    Ok(Expectation { prompt, prefix, ids, logits, greedy, text, margin })
}

/// How far a logit is above all others.
fn lead(logits: &[f32], chosen: u32) -> f32 {
    let others = logits.iter().enumerate().filter(|(id, _)| *id != chosen as usize);
    let next = others.map(|(_, &logit)| logit).fold(f32::NEG_INFINITY, f32::max);
    logits[chosen as usize] - next
}
