//! Records of training runs: what a newcomer to a run compares the history with that it is shown.

use super::bounds::{Bounded, Invalid, invalid};
use ids::Hash;
use minicbor::{Decode, Encode};

/// The record that a run has at some height, as a member of the commons knows it.
///
/// The record's hash covers the state that it leads to and, by the records before it, the whole
/// past of the run; so nothing else is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Milestone {
    /// The run's id: the hash of its manifest.
    #[n(0)]
    pub run: Hash,
    /// The record's height.
    #[n(1)]
    pub height: u64,
    /// The record's hash.
    #[n(2)]
    pub record: Hash,
}

impl Bounded for Milestone {
    fn check(&self) -> Result<(), Invalid> {
        // A height that no run reaches would only keep everybody waiting for it.
        if self.height > u64::from(u32::MAX) {
            return Err(invalid(
                "height",
                format!("is {}, no run has as many records", self.height),
            ));
        }
        Ok(())
    }
}
