//! What can be done to a model, as pure functions over content-addressed inputs.
//!
//! Now: training together. [`corpus`] turns text into token shards, [`run`] is the manifest that
//! everything hangs on, [`contribution`] one worker's part of a round, [`update`] its encoding,
//! [`carry`] what the worker takes into its next and [`bounds`] what can be in that, [`outer`] what
//! makes the next root of all of them, [`checkpoint`] a root as a stored model, [`held_out`] how
//! good it is.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod bounds;
pub mod carry;
pub mod checkpoint;
pub mod contribution;
pub mod corpus;
pub mod held_out;
pub mod outer;
pub mod run;
pub mod update;

pub use bounds::{Bounds, OutOfBounds};
pub use carry::Carry;
pub use checkpoint::{Checkpoint, CheckpointError};
pub use contribution::{ContributionError, Contributor, InnerState, Task, state_len};
pub use corpus::{Corpus, CorpusError, CorpusManifest};
pub use run::{RunError, RunManifest};
