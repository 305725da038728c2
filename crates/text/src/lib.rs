//! Text for models: tokenizers and chat templates.
//!
//! | Module | What |
//! |---|---|
//! | [`tokenizer`] | text to ids and back: trained here, or read from GGUF and Hugging Face files |
//! | [`chat`] | chat templates: from a conversation to the text that a model continues |
//! | [`stops`] | texts at which a generated text ends |
//! | [`metadata`] | what GGUF files say of both |
//!
//! Bytes in, values out: nothing here opens a file. What comes from outside is bounded before it
//! costs memory or time.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod chat;
pub mod metadata;
pub mod stops;
pub mod tokenizer;

pub use metadata::{Field, Metadata};
pub use stops::Stops;
pub use tokenizer::{StreamDecoder, Tokenizer, TokenizerError};
