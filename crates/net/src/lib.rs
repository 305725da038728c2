//! Peers that find, authenticate and feed each other: the only crate that knows iroh.
//!
//! [`start`] drives one [`swarm::Node`]: it keeps a connection to every other peer of the run,
//! carries the protocol's messages, fetches objects by hash from whoever has them, runs the
//! [`swarm::Worker`] on threads of its own and keeps the node's promises on disk before it speaks.
//! Peers are strangers: whatever they send is bounded before it costs memory or time.
#![forbid(unsafe_code)]

mod address;
mod book;
pub mod commons;
mod driver;
mod endpoint;
mod fetch;
#[doc(hidden)]
pub mod fuzz;
mod jobs;
mod limit;
mod mesh;
mod objects;
mod outbox;
mod paced;
mod pins;
mod report;
mod start;
mod ticket;
mod traffic;
mod wire;

#[cfg(test)]
mod tests;

pub use address::{MAX_ADDRS, MAX_RELAY_LEN, PeerAddr};
pub use endpoint::{EndpointError, Relay};
pub use fetch::{Parts, Want};
pub use report::{NetStatus, Outcome, Report, Stage};
pub use start::{Config, Handle, MAX_OBJECT, Open, Source, StartError, start};
pub use ticket::{
    Admission, Invitation, MAX_MANIFEST, MAX_TICKET_PEERS, Mark, Ticket, TicketError,
};
pub use traffic::Traffic;
pub use wire::{ALPN, MAX_FRAME};
