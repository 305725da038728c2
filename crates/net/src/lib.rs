//! Peers that find, authenticate and feed each other: the only crate that knows iroh.
//!
//! | Module | What |
//! |---|---|
//! | `transport` | connections by public key, addresses, frames, transfer of objects by hash, quotas |
//! | [`mod@swarm`] | one [`::swarm::Node`]: its messages, its work on threads, its promises on disk |
//! | [`mod@commons`] | one commons: statements, heads, ranges of the log, an operator's intake |
//! | [`key`] | the secret key of an endpoint in a file |
//!
//! Peers are strangers: whatever they send is bounded before it costs memory or time.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod causes;
pub mod commons;
#[doc(hidden)]
pub mod fuzz;
pub mod key;
pub mod swarm;
mod transport;

#[cfg(test)]
mod tests;

pub use causes::{BoxError, with_causes};
pub use transport::{
    ALPN, ClockDoubt, EndpointError, FetchRequest, MAX_ADDRS, MAX_FRAME, MAX_RELAY_LEN,
    MAX_TICKET_PEERS, Parts, PeerAddr, Relay, TicketError, Traffic,
};
