//! The families of models that are read, each as a [`Decoder`] and the names of its tensors.
//!
//! | Family | `model_type` in `config.json` | architecture in GGUF |
//! |---|---|---|
//! | Llama 1–3.x, Falcon 3, SmolLM 1–2 | `llama` | `llama` |
//! | Mistral | `mistral` | `llama` |
//! | Falcon 7B, 40B, 180B, RW | `falcon`, `RefinedWeb`, `RefinedWebModel` | `falcon` |
//! | SmolLM 3 | `smollm3` | `smollm3` |
//! | Qwen 2, 2.5 | `qwen2` | `qwen2` |
//! | Qwen 3 | `qwen3` | `qwen3` |
//! | Gemma 2 | `gemma2` | `gemma2` |
//! | Gemma 3 (text) | `gemma3_text`, `gemma3` | `gemma3` |
//!
//! What would be computed differently is refused by name. [`write`] is the way back: a model as the
//! files of its family.

mod gguf;
mod hf;
mod hf_rope;
pub(crate) mod names;
#[cfg(test)]
mod tests;
pub mod write;

pub use gguf::decoder_of_metadata;
pub use hf::decoder_of_config;

use crate::weights::{Origin, Weights};
use crate::{Decoder, FormatError};
use names::Style;

/// Reads what a model computes from its headers, without its weights.
pub fn describe(weights: &Weights) -> Result<Decoder, FormatError> {
    Ok(style(weights)?.0)
}

/// The description, and how its tensors are named and laid out.
pub(crate) fn style(weights: &Weights) -> Result<(Decoder, Style), FormatError> {
    match weights.origin() {
        Origin::Gguf(metadata) => {
            let mut decoder = decoder_of_metadata(metadata, weights.tensors())?;
            gguf::add_frequency_factors(&mut decoder, weights)?;
            let style = gguf::style(&decoder);
            Ok((decoder, style))
        }
        Origin::HuggingFace { config, .. } => {
            let (decoder, layout) = hf::parse(config)?;
            let style = hf::style(&decoder, layout, weights)?;
            Ok((decoder, style))
        }
    }
}
