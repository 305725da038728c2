//! Holding models in common: a signed, witnessed log of statements, and what follows from it.
#![forbid(unsafe_code)]

pub mod canonical;
pub mod decide;
mod identity;
pub mod statement;
pub mod tlog;

pub use canonical::DecodeError;
pub use identity::{Identity, ParsePeerIdError, PeerId, Signature};
pub use statement::{Body, Place, Seen, Statement, StatementError};
