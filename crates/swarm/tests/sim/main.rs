//! Whole runs of the protocol on a virtual clock, by seed.
//!
//! A failing seed is named in the panic; `SEED=17 cargo test -p understory-swarm --test sim NAME`
//! runs it alone, and with `TRACE=1` prints what the nodes noticed.

mod babble;
mod rate;
mod rng;
mod scenarios;
mod tamper;
mod work;
mod world;
