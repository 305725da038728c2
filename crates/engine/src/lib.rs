//! Models ready to use: tokenizer, templates and weights of what a path names, and models written
//! in other programs' formats.
//!
//! | Module | What |
//! |---|---|
//! | [`open()`], [`Opened`] | a model of any kind, by path, `FOLDER@ROOT` or a hub's name, without its weights |
//! | [`inspection`], [`difference`] | what a model is, and what changed between two, as data |
//! | [`import()`] | a root for a model of other files, which stay where they lie |
//! | [`export()`] | a model in the format of another program, in a folder that is whole or absent |
//! | [`gguf`], [`hf`] | the two formats of other programs: tokenizer, templates, writing |
//! | [`hub`] | models from a hub, an address or a path, fetched and checked |
//! | [`Ready`], [`Generator`] | a model with its weights, and the texts it continues |
//! | [`scoring`] | how likely a model finds a text |
//! | [`template`] | chat templates, run where the program has bounds for them |
//! | [`Progress`] | what long work tells while it goes on |
//! | [`mod@expect`] | logits and greedy text, for comparing other programs with ours |
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod causes;
pub mod difference;
pub mod expect;
pub mod export;
mod files;
pub mod generation;
pub mod gguf;
pub mod hf;
pub mod hub;
mod import;
pub mod inspection;
mod lineage;
pub mod metadata;
mod names;
mod open;
mod opened;

pub mod ready;
pub mod scoring;
pub mod template;
pub mod units;

pub use difference::diff;
pub use export::export;
pub use generation::Generator;
pub use import::import;
pub use inspection::inspect;
pub use lineage::Lineage;
pub use names::{files_at, store_at};
pub use open::open;
pub use opened::{Opened, split_root};
pub use progress::{Progress, Tell};
pub use ready::{Opening, Ready};

use std::path::PathBuf;

use hub::HubError;
use model::weights::Origin;
use model::{FormatError, GenerateError, Weights};
use store::{ManifestError, StoreError};
use text::{
    Tokenizer, TokenizerError,
    chat::{ChatError, ChatTemplates},
};

/// Why a model cannot be opened, written or run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no model of any kind.
    #[error("no model at {}", hub::shown(&.0.to_string_lossy()))]
    NoModel(PathBuf),
    /// A model cannot be fetched.
    #[error(transparent)]
    Hub(#[from] Box<HubError>),
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
    /// A store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored model is not whole, or none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl EngineError {
    /// What the person can do, the nearest to the cause first; nothing where nothing is known.
    pub fn hints(&self) -> Vec<String> {
        match self {
            EngineError::NoModel(path) => {
                let text = hub::shown(&path.to_string_lossy());
                let elsewhere = ["https://", "http://"];
                vec![match elsewhere.iter().any(|start| text.starts_with(start)) {
                    true => format!("`understory pull {text}` fetches it and says its path"),
                    false => NAMES.to_owned(),
                }]
            }
            EngineError::Hub(error) => error.hints(),
            EngineError::Format(error) => error.todo().map(str::to_owned).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

const NAMES: &str =
    "name the folder of a demo or of a peer, a Hugging Face folder, a .gguf file, or hf:OWNER/NAME";

/// The tokenizer beside a model's weights.
pub fn tokenizer(weights: &Weights) -> Result<Tokenizer, EngineError> {
    match weights.origin() {
        Origin::Gguf(metadata) => gguf::tokenizer(metadata),
        Origin::HuggingFace { files, .. } => hf::tokenizer(files),
        Origin::Own(_) => Err(FormatError::new("its tokenizer lies in a store").into()),
    }
}

/// The chat templates beside a model's weights.
pub fn templates(weights: &Weights) -> Result<ChatTemplates, EngineError> {
    match weights.origin() {
        Origin::Gguf(metadata) => Ok(gguf::templates(metadata)),
        Origin::HuggingFace { files, .. } => hf::templates(files),
        Origin::Own(_) => Ok(ChatTemplates::default()),
    }
}
