//! Holding a commons together: every member has the whole log, checked, and passes on what waits.
//!
//! Nobody is trusted. Statements come in ranges with a proof that they lead to a head that the
//! log's operator signed; a head that contradicts another is kept as a proof; a peer whose answer
//! does not hold is cut off for a minute. What a peer can make a member hold is bounded.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use net::{Relay, commons::{Config, Visit, join, start, sync}};
//! use std::{path::Path, time::Duration};
//!
//! // A member that serves, operates (if the log is its key's) and cosigns:
//! let mut config = Config::new("commons", [7; 32]);
//! config.operator = Some(ids::Identity::from_seed([1; 32]));
//! config.witness = Some(ids::Identity::from_seed([2; 32]));
//! let service = start(config).await?;
//! println!("{}", service.ticket());
//!
//! // Somebody else, elsewhere, and again after an interruption:
//! let visit = Visit {
//!     seed: [8; 32],
//!     bind: "0.0.0.0:0".parse()?,
//!     relay: Relay::None,
//!     patience: Duration::from_secs(30),
//! };
//! join(&service.ticket(), Path::new("copy"), &visit, |size| eprintln!("{size}")).await?;
//!
//! // A command that wrote a statement, where no service runs to notice it:
//! let home = commons::Home::open(Path::new("copy"))?;
//! sync(home, &service.ticket().peers, &visit).await?;
//! service.stop().await;
//! # Ok(()) }
//! ```
//!
//! A command beside a running service only writes to the folder (`Archive::hold`, `write`): the
//! service notices within [`Pace::batch`].

mod client;
mod heads;
mod intake;
mod join;
pub mod known;
mod operate;
mod pull;
mod receipts;
mod replica;
mod server;
mod service;
mod ticket;
mod waiting;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

pub use intake::{Intake, Rate};
pub use join::{Visit, VisitError, Visited, join, sync};
pub use replica::ReplicaError;
pub use service::{Config, Handle, Pace, ServiceError, Status, start};
pub use ticket::Ticket;
pub use wire::ALPN;
