//! Models ready to use: tokenizer, templates and weights of what a path names, and models written
//! in other programs' formats.
//!
//! | Module | What |
//! |---|---|
//! | [`gguf`], [`hf`] | the two formats of other programs: tokenizer, templates, writing |
//! | [`mod@expect`] | logits and greedy text, for comparing other programs with ours |
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod expect;
mod files;
pub mod gguf;
pub mod hf;
mod lineage;

pub use lineage::Lineage;

use model::weights::Origin;
use model::{FormatError, GenerateError, Weights};
use text::{
    Tokenizer, TokenizerError,
    chat::{ChatError, ChatTemplates},
};

/// Why a model cannot be opened, written or run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file is not what it should be.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The tokenizer is refused.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat templates are refused.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The model cannot be run.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

/// The tokenizer beside a model's weights.
pub fn tokenizer(weights: &Weights) -> Result<Tokenizer, EngineError> {
    match weights.origin() {
        Origin::Gguf(metadata) => gguf::tokenizer(metadata),
        Origin::HuggingFace { folder, .. } => hf::tokenizer(folder),
    }
}

/// The chat templates beside a model's weights.
pub fn templates(weights: &Weights) -> Result<ChatTemplates, EngineError> {
    match weights.origin() {
        Origin::Gguf(metadata) => Ok(gguf::templates(metadata)),
        Origin::HuggingFace { folder, .. } => hf::templates(folder),
    }
}
