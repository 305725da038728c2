//! A run of co-training: strangers who train one model together and need not trust each other.
//!
//! `recipe` knows what a contribution is, `swarm` how peers agree on contributions, `net` how they
//! reach each other. Here the three meet.
//!
//! | Module | What |
//! |---|---|
//! | [`config`] | the settings that a person writes; the run's manifest is made of them |
//! | [`founding`], [`invitations`] | who decides from the first round on |
//! | [`continuing`] | a new run from the last model of an old one |
//! | [`worker`] | real training behind the protocol's [`::swarm::Worker`] |
//! | [`peer`] | one participant with a folder of its own; [`events`] is what it tells |
//! | [`status`] | what a peer writes about itself, for other processes |
//! | [`marks`], [`marking`] | records of a run that members of a commons vouch for |
//! | [`recorder`] | what a run and a verification say in a commons by themselves |
//! | [`verify`] | a run checked from its stored objects alone; what was found, as data |
//! | [`cheat`] | ways to cheat, for the demo and the tests |
//!
//! Nothing here prints, asks the environment or starts a process: what there is to tell goes to a
//! callback, and what goes wrong is an error with a name.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod cheat;
pub mod config;
pub mod continuing;
pub mod events;
pub mod founding;
pub mod invitations;
pub mod marking;
pub mod marks;
pub mod peer;
pub mod recorder;
pub mod status;
pub mod traces;
pub mod verify;
pub mod worker;

pub use store::MODEL_REF;
/// The ref of a peer's store that points at its run's manifest.
pub const RUN_REF: &str = "run";

/// What an error is because of, where that can be many things.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;
