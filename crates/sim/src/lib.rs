//! Whole runs of the co-training protocol in one process, on a virtual clock, by seed.
//!
//! What an attack may touch runs here for real: the protocol's state machine, the agreement, the
//! scheduling of transfers, the retention of objects, and the sum, over small vectors. Only the
//! training itself is a chain of hashes, so that it can be re-run and compared like the real thing
//! at a millionth of its price.
//!
//! ```text
//! rng        one stream of numbers per seed
//! work       training, audits and sums
//! world      nodes, their stores, a network with delay, loss, doubles, partitions, crashes
//! transfers  objects on their way: `swarm::fetching`, with made-up bytes
//! attack     what an attacker may do at each point: work, say, serve, hear
//! habits     the plain cheats
//! babble     nonsense with a good signature
//! zoo        attackers of every kind that we know of, and what comes of them
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod attack;
pub mod babble;
pub mod habits;
pub mod rng;
pub mod transfers;
pub mod work;
pub mod world;
pub mod zoo;
