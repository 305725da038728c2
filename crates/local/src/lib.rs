//! A swarm on one machine: peers as processes, each with a key and a folder of its own.
//!
//! | Module | What |
//! |---|---|
//! | [`peers`] | starts the processes, reads their events, starts killed ones again, stops all |
//! | [`plan`] | what a demo is to do, kept in its folder |
//! | [`board`] | all events put together into what a screen or a page shows |
//! | [`judge`] | measures every new model on the held-out text, beside the peers |
//! | [`compress`] | what general compressors make of that text |
//!
//! The program that is a peer, and the folder, are handed in. Nothing here prints or asks the
//! environment.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod board;
pub mod compress;
mod folders;
pub mod judge;
pub mod peers;
pub mod plan;

pub use folders::{free_demo, newest_demo, peer_folder, peer_folders, peer_store};
