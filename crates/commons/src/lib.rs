//! Holding models in common: a signed, witnessed log of statements, and what follows from it.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod archive;
pub mod author;
pub mod follow;
mod home;
pub mod operator;
pub mod portable;
pub mod receipt;
pub mod state;
pub mod statement;
pub mod verify;
pub mod view;

pub use archive::{Archive, ArchiveError, MAX_PENDING, Pending, Snapshot, origin};
pub use home::{Home, HomeError, parent_of};
pub use statement::{Body, Kind, Place, Seen, Statement, StatementError};
