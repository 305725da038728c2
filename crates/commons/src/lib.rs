//! Holding models in common: a signed, witnessed log of statements, and what follows from it.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod archive;
pub mod author;
pub mod ballot;
mod cache;
pub mod cosigner;
pub mod documents;
pub mod follow;
pub mod founding;
mod home;
pub mod judge;
pub mod keys;
pub mod names;
pub mod naming;
pub mod operator;
pub mod peer_keys;
pub mod portable;
pub mod proposal;
pub mod receipt;
pub mod state;
pub mod statement;
pub mod tasks;
pub mod tiles;
pub mod verify;
pub mod view;
pub mod workspace;

pub use archive::{Archive, ArchiveError, MAX_PENDING, Pending, Snapshot, origin};
pub use cache::StateCache;
pub use home::{Home, HomeError, parent_of};
pub use statement::{Body, Kind, Place, Seen, Statement, StatementError};
pub use workspace::{Workspace, WorkspaceError};
