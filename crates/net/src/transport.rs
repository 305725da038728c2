//! Connections between peers by their keys, and what is carried over them; knows neither what a
//! run's messages mean nor what a commons' do.

pub(crate) mod address;
pub(crate) mod book;
pub(crate) mod clocks;
pub(crate) mod endpoint;
pub(crate) mod fetch;
pub(crate) mod limit;
pub(crate) mod mesh;
pub(crate) mod objects;
pub(crate) mod outbox;
pub(crate) mod paced;
pub(crate) mod ticket_text;
pub(crate) mod traffic;
pub(crate) mod wire;

pub use address::{MAX_ADDRS, MAX_RELAY_LEN, PeerAddr};
pub use clocks::ClockDoubt;
pub use endpoint::{EndpointError, Relay};
pub use fetch::{FetchRequest, Parts};
pub use ticket_text::{MAX_TICKET_PEERS, TicketError};
pub use traffic::Traffic;
pub use wire::{ALPN, MAX_FRAME};
