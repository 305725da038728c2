//! Figures about this program, measured on this machine, as data.
//!
//! | Module | What is measured |
//! |---|---|
//! | [`mod@train`] | a training step at the sizes and with the formulas of a PyTorch script |
//! | [`mod@run`] | a prompt, decoding, several streams; beside llama.cpp |
//! | [`mod@inputs`] | what 8-bit inputs of quantized products lose |
//! | [`mod@loss_gap`] | training apart against data-parallel training |
//! | [`mod@arithmetic`] | training in integers against training in floats |
//! | [`mod@swarm`] | peers as processes against one process |
//!
//! Texts, folders, kernels and programs are handed in. How far a bench is goes to a callback;
//! nothing here prints.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod arithmetic;
mod corpus;
mod error;
pub mod inputs;
pub mod loss_gap;
pub mod run;
pub mod swarm;
pub mod train;

pub use error::BenchError;
