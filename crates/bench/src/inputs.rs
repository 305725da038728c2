//! What is lost by making the inputs of quantized products integers of 8 bits: the model's own
//! predictions with them beside those with inputs in f32, over a text.
//!
//! Counted as llama.cpp's `llama-perplexity --kl-divergence` does: windows of their own, of each
//! the second half.

use crate::BenchError;
use engine::Ready;
use kernel::{Activations, Kernel, math::exp64};
use model::Session;
use model::sampler::{largest, log_sum};
use serde::Serialize;
use std::sync::Arc;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most tokens of the text.
    pub tokens: usize,
    /// Tokens of a window, of which the second half is predicted.
    pub window: usize,
}

/// What came out. Divergences are of the prediction with 8-bit inputs from that with f32 inputs,
/// in nats.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// The bench's name.
    pub bench: &'static str,
    /// What the model was named by.
    pub model: String,
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Mean divergence.
    pub mean_kl: f64,
    /// Half of the tokens have no more.
    pub median_kl: f64,
    /// 99 of 100 tokens have no more.
    pub kl_99: f64,
    /// No token has more.
    pub largest_kl: f64,
    /// Share of tokens whose likeliest successor is the same.
    pub same_first: f64,
    /// Mean difference of the text's log-probabilities, without sign.
    pub mean_difference: f64,
    /// Perplexity of the text with 8-bit inputs.
    pub perplexity_int8: f64,
    /// The same with f32 inputs.
    pub perplexity_f32: f64,
}

/// One predicted token.
struct Prediction {
    kl: f64,
    same_first: bool,
    /// The logarithm of the probability of the token that came.
    log_f32: f64,
    log_int8: f64,
}

/// Measures a model, named `name`, on `text`; `tell` hears how many tokens were predicted.
///
/// Errors: a window is longer than the context or the text, or a token is not the model's.
pub fn inputs(
    name: &str,
    model: &Ready,
    kernel: &Kernel,
    text: &str,
    options: Options,
    tell: &mut dyn FnMut(usize),
) -> Result<Figures, BenchError> {
    let (window, context) = (options.window, model.model.context());
    if window > context {
        return Err(BenchError::Window { window, context });
    }
    let mut ids = model.tokenizer.encode(text)?;
    ids.truncate(options.tokens);
    if ids.len() < window {
        return Err(BenchError::TooShort { tokens: ids.len(), window });
    }
    let session = |kind| Session::with(Arc::clone(&model.model), kernel.clone(), kind);
    let (mut exact, mut rounded) = (session(Activations::F32), session(Activations::Int8));
    let mut found = Vec::new();
    for ids in ids.chunks_exact(window) {
        let mut ids = ids.to_vec();
        if let Some(&first) = model.prefix.first() {
            ids[0] = first;
        }
        predict(&mut exact, &mut rounded, &ids, &mut found)?;
        tell(found.len());
    }
    Ok(figures(name, &found))
}

/// Both sessions' predictions of the second half of a window.
fn predict(
    exact: &mut Session,
    rounded: &mut Session,
    ids: &[u32],
    found: &mut Vec<Prediction>,
) -> Result<(), BenchError> {
    let half = ids.len() / 2;
    for session in [&mut *exact, &mut *rounded] {
        session.truncate(0);
        session.extend(&ids[..half])?;
    }
    let vocab = exact.model().vocab();
    let mut logits = Vec::new();
    for first in (half..ids.len() - 1).step_by(AT_ONCE) {
        let asked = &ids[first..(first + AT_ONCE).min(ids.len() - 1)];
        logits.clear();
        exact.extend_all(asked, |_, row| logits.extend_from_slice(row))?;
        rounded.extend_all(asked, |index, row| {
            let next = ids[first + index + 1] as usize;
            found.push(compare(&logits[index * vocab..(index + 1) * vocab], row, next));
        })?;
    }
    Ok(())
}

fn compare(exact: &[f32], rounded: &[f32], next: usize) -> Prediction {
    let (first, other) = (largest(exact), largest(rounded));
    let (exact_sum, other_sum) = (log_sum(exact), log_sum(rounded));
    let mut kl = 0.0;
    for (&x, &y) in exact.iter().zip(rounded) {
        let (x, y) = (f64::from(x) - exact_sum, f64::from(y) - other_sum);
        kl += exp64(x) * (x - y);
    }
    Prediction {
        kl,
        same_first: first == other,
        log_f32: f64::from(exact[next]) - exact_sum,
        log_int8: f64::from(rounded[next]) - other_sum,
    }
}

fn figures(model: &str, found: &[Prediction]) -> Figures {
    let mean = |value: &dyn Fn(&Prediction) -> f64| {
        found.iter().map(value).sum::<f64>() / found.len() as f64
    };
    let mut kl: Vec<f64> = found.iter().map(|one| one.kl).collect();
    kl.sort_by(f64::total_cmp);
    let share = |of_100: usize| kl[(kl.len() * of_100 / 100).min(kl.len() - 1)];
    Figures {
        bench: "inputs",
        model: model.to_owned(),
        tokens: found.len(),
        mean_kl: mean(&|one| one.kl),
        median_kl: share(50),
        kl_99: share(99),
        largest_kl: share(100),
        same_first: mean(&|one| f64::from(u8::from(one.same_first))),
        mean_difference: mean(&|one| (one.log_int8 - one.log_f32).abs()),
        perplexity_int8: exp64(-mean(&|one| one.log_int8)),
        perplexity_f32: exp64(-mean(&|one| one.log_f32)),
    }
}

/// Positions whose logits are held at once.
const AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_two_distributions() {
        // Probabilities 1/2, 1/4, 1/4 against 1/4, 1/2, 1/4.
        let ln2 = std::f32::consts::LN_2;
        let found = compare(&[ln2, 0.0, 0.0], &[5.0, 5.0 + ln2, 5.0], 1);
        let want = f64::from(ln2) * (0.5 - 0.25);
        assert!((found.kl - want).abs() < 1e-7, "{}", found.kl);
        assert!(!found.same_first);
        assert!((exp64(found.log_f32) - 0.25).abs() < 1e-7);
        assert!((exp64(found.log_int8) - 0.5).abs() < 1e-7);
        assert_eq!(compare(&[1.0, 2.0], &[1.0, 2.0], 0).kl, 0.0);
    }
}
