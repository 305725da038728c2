//! One participant of a co-training run on the network.
//!
//! [`start`] drives one [`::swarm::Node`]: it keeps a connection to every other peer of the run,
//! carries the protocol's messages, fetches objects by hash from whoever has them, runs the
//! [`::swarm::Worker`] on threads of its own and keeps the node's promises on disk before it
//! speaks.

pub(crate) mod driver;
mod jobs;
mod pins;
mod report;
mod start;
mod ticket;

pub use report::{NetStatus, Outcome, Report, Stage};
pub use start::{Config, Handle, MAX_OBJECT, Open, Source, StartError, start};
pub use ticket::{Admission, Invitation, MAX_MANIFEST, Mark, Ticket};
