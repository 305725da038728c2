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
pub mod judge;
pub mod peers;
pub mod plan;

use std::path::{Path, PathBuf};

/// The folder of the peer `number`, from 0, of the swarm in `folder`.
pub fn peer_folder(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("peer-{}", number + 1))
}

/// The folder of that peer's store.
pub fn peer_store(folder: &Path, number: usize) -> PathBuf {
    peer_folder(folder, number).join("store")
}
