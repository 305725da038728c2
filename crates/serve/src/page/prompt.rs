//! What the page asks of a model, without knowing any.

use net::BoxError;
use progress::Tell;
use serde::{Deserialize, Serialize};

/// Longest prompt, in bytes of UTF-8.
pub(crate) const MAX_PROMPT: usize = 16 * 1024;
/// Most tokens that one request may ask for.
pub(crate) const MAX_TOKENS: u32 = 2048;
const MAX_TEMPERATURE: f32 = 5.0;

/// Answers prompts with the newest model of a run.
pub trait Prompt: Send + Sync {
    /// Generates text, handing each piece to `emit`, and says what it did.
    ///
    /// Blocks, and is called away from the async threads, one call at a time. When `emit` returns
    /// `false` nobody is listening any more: stop soon and return what was done so far. What takes
    /// long before the first piece goes to `tell`.
    ///
    /// Errors: a sentence for the person who asked.
    fn generate(
        &self,
        request: PromptRequest,
        emit: &mut dyn FnMut(&str) -> bool,
        tell: &mut Tell<'_>,
    ) -> Result<PromptDone, BoxError>;
}

/// A prompt and how to sample the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptRequest {
    /// The text to continue; not empty, at most 16 KiB.
    pub prompt: String,
    /// Most tokens to generate, 1 to 2048.
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time; at most 5.
    pub temperature: f32,
    /// Sample among the `top_k` likeliest tokens; 0 for all.
    pub top_k: u32,
    /// Sample among the likeliest tokens that reach this probability together, above 0, at most 1.
    pub top_p: f32,
    /// Leave out tokens below this share of the likeliest one's probability, 0 to 1.
    pub min_p: f32,
    /// The same seed, root and prompt give the same text.
    pub seed: u64,
}

impl Default for PromptRequest {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            max_tokens: 128,
            temperature: 0.8,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            seed: 1,
        }
    }
}

impl PromptRequest {
    /// Checks every bound.
    ///
    /// Errors: names the field, its value and what is allowed.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.prompt.is_empty() {
            return Err("prompt is empty".into());
        }
        if self.prompt.len() > MAX_PROMPT {
            return Err(format!(
                "prompt has {} bytes, at most {MAX_PROMPT} are allowed",
                self.prompt.len()
            ));
        }
        if !(1..=MAX_TOKENS).contains(&self.max_tokens) {
            return Err(format!("max_tokens is {}, must be 1 to {MAX_TOKENS}", self.max_tokens));
        }
        if !(0.0..=MAX_TEMPERATURE).contains(&self.temperature) {
            return Err(format!(
                "temperature is {}, must be 0 to {MAX_TEMPERATURE}",
                self.temperature
            ));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(format!("top_p is {}, must be above 0 and at most 1", self.top_p));
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return Err(format!("min_p is {}, must be 0 to 1", self.min_p));
        }
        Ok(())
    }
}

/// What a generation did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptDone {
    /// The root of the model that answered, hex.
    pub root: String,
    /// Tokens generated.
    pub tokens: u32,
    /// Generated tokens per second.
    pub tokens_per_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: impl FnOnce(&mut PromptRequest)) -> Result<(), String> {
        let mut request = PromptRequest { prompt: "fn main".into(), ..PromptRequest::default() };
        change(&mut request);
        request.check()
    }

    #[test]
    fn defaults_and_bounds_are_accepted() {
        assert_eq!(asked(|_| ()), Ok(()));
        assert_eq!(asked(|r| r.temperature = 0.0), Ok(()));
        assert_eq!(asked(|r| r.top_p = 1.0), Ok(()));
        assert_eq!(asked(|r| r.max_tokens = MAX_TOKENS), Ok(()));
    }

    #[test]
    fn each_field_out_of_bounds_is_named() {
        type Change = fn(&mut PromptRequest);
        let cases: [(&str, Change); 10] = [
            ("prompt", |r| r.prompt.clear()),
            ("prompt", |r| r.prompt = "x".repeat(MAX_PROMPT + 1)),
            ("max_tokens", |r| r.max_tokens = 0),
            ("max_tokens", |r| r.max_tokens = MAX_TOKENS + 1),
            ("temperature", |r| r.temperature = -0.1),
            ("temperature", |r| r.temperature = f32::NAN),
            ("top_p", |r| r.top_p = 0.0),
            ("top_p", |r| r.top_p = f32::INFINITY),
            ("min_p", |r| r.min_p = 1.5),
            ("min_p", |r| r.min_p = f32::NAN),
        ];
        for (field, change) in cases {
            let message = asked(change).expect_err(field);
            assert!(message.starts_with(field), "{message}");
        }
    }
}
