//! Why nothing was measured.

use cotrain::founding::FoundingError;
use local::peers::{Signal, StartError};
use model::{DecoderError, TrainError, bench::SIZES, format::FormatError, generate::GenerateError};
use recipe::{ContributionError, CorpusError, update::UpdateError};
use std::{io, path::PathBuf};
use store::StoreError;
use text::TokenizerError;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No model of this size is measured.
    #[error("no size {0}; there are {SIZES:?}")]
    NoSize(String),
    /// The model cannot be opened.
    #[error(transparent)]
    Open(FormatError),
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(FormatError),
    /// The text of a test is longer than the model's context.
    #[error("{tokens} tokens do not fit into the model's context of {context}")]
    Context {
        /// Tokens of the test.
        tokens: usize,
        /// Tokens of the context.
        context: usize,
    },
    /// A window is longer than the model's context.
    #[error("a window of {window} tokens, the model's context is {context}")]
    Window {
        /// Tokens of a window.
        window: usize,
        /// Tokens of the context.
        context: usize,
    },
    /// The text has not one window.
    #[error("{tokens} tokens of text, a window has {window}")]
    TooShort {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of a window.
        window: usize,
    },
    /// There is no such program to measure beside.
    #[error("{0} is no file")]
    NoProgram(PathBuf),
    /// Another program cannot be started.
    #[error("cannot start {program}")]
    Program {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Another program failed.
    #[error("{program} failed: {said}")]
    ProgramFailed {
        /// Its name.
        program: String,
        /// Its last line on standard error.
        said: String,
    },
    /// Another program wrote something else than what is read of it.
    #[error("{program} wrote no {what}")]
    ProgramSaid {
        /// Its name.
        program: String,
        /// What is missing.
        what: &'static str,
    },
    /// A step of one size failed in its process.
    #[error("size {size}: {said}")]
    SizeFailed {
        /// The size.
        size: String,
        /// What it wrote on standard error.
        said: String,
    },
    /// What a process of this program wrote cannot be read.
    #[error(transparent)]
    Figures(#[from] serde_json::Error),
    /// A file of the bench cannot be written, or a thread cannot be started.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The text gives no corpus.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The settings give no run.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// The settings have no form as a file.
    #[error(transparent)]
    Form(#[from] toml::ser::Error),
    /// The first model cannot be made.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// Training failed.
    #[error(transparent)]
    Contribution(#[from] ContributionError),
    /// A model cannot be measured.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An update cannot be read.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// An update is infinite or no number.
    #[error("update {0} has no finite norm")]
    Norm(usize),
    /// The text cannot be split into tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The model does not take the tokens.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// More steps than can be counted.
    #[error("{0} steps are too many")]
    Steps(u64),
    /// No peer can be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A peer failed.
    #[error("peer {peer}: {error}")]
    Peer {
        /// Which, from 1.
        peer: usize,
        /// Why.
        error: String,
    },
    /// A peer was killed.
    #[error("peer {peer} was ended by {signal}")]
    Killed {
        /// Which, from 1.
        peer: usize,
        /// By what.
        signal: Signal,
    },
    /// All peers are silent.
    #[error("the peers have said nothing for ten minutes")]
    Silent,
    /// All peers have ended.
    #[error("the peers ended before their run")]
    Ended,
}
