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
//! What would be computed differently is refused by name. [`mod@write`] is the way back: a model as the
//! files of its family.

mod gguf;
mod hf;
mod hf_rope;
pub(crate) mod names;
mod shared;
#[cfg(test)]
mod tests;
pub mod write;

pub use gguf::decoder_of_metadata;
pub use hf::decoder_of_config;
pub use shared::{Rows, Shared, shared};

use crate::weights::{Origin, Weights};
use crate::{Decoder, FormatError};
use names::Style;

/// The families, for people.
const SUPPORTED: &str = "Llama 1 to 3, Falcon 1 and 3, SmolLM 1 to 3, Mistral, Qwen 2 and 3, Gemma 2 \
                         and 3 are run";
/// What to do about weights that another program quantized.
const UNQUANTIZED: &str =
    "take a GGUF of the same model, or the folder with weights in F32, F16 or BF16";

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
        Origin::Own(decoder) => Ok((decoder.clone(), own())),
        Origin::HuggingFace { config, .. } => {
            let (decoder, layout) = hf::parse(config)?;
            refuse_quantized(weights)?;
            let style = hf::style(&decoder, layout, weights)?;
            Ok((decoder, style))
        }
    }
}

/// Refuses weights that were quantized without a word of it in `config.json`, by the tensors that
/// only such weights have.
fn refuse_quantized(weights: &Weights) -> Result<(), FormatError> {
    let signs = [
        (".qweight", "GPTQ or AWQ"),
        (".qzeros", "GPTQ or AWQ"),
        (".weight_packed", "compressed-tensors"),
        (".weight_scale", "compressed-tensors"),
        (".weight_scale_inv", "FP8 with scales for blocks"),
        (".weight.absmax", "bitsandbytes"),
        (".SCB", "bitsandbytes"),
        (".scales", "MLX"),
    ];
    for name in weights.tensors().keys() {
        if let Some((_, method)) = signs.iter().find(|(end, _)| name.ends_with(end)) {
            let text = format!("weights quantized by {method} are not supported (tensor {name})");
            return Err(FormatError::refused(text, UNQUANTIZED));
        }
    }
    Ok(())
}

/// The names of [`crate::Layout`].
fn own() -> Style {
    Style::Llama { prefix: "model.".to_owned(), head: "lm_head".to_owned(), shifted_norms: false }
}
