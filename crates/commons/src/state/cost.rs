//! What the fold costs, in counted steps, and how often its larger parts may be done.
//!
//! Who is a member and who may vote depends on everybody: to work either out anew costs as much as
//! there are members and vouches. Each statement pays for [`PER_STATEMENT`] steps of that, so it is
//! done again only once the statements since the last time have paid for it: at once where that is
//! long ago, and a little later where somebody has it done over and over. What a statement costs
//! everybody is then bounded by its own size, on any log.

use super::{Electorate, State};
use std::sync::Arc;

/// Steps of shared work that each statement pays for.
pub(super) const PER_STATEMENT: u64 = 64;

/// What was done and what is to be done.
#[derive(Clone, Debug, Default)]
pub(super) struct Cost {
    /// Members, vouches, uses, checks, ballots and choices that were looked at.
    pub(super) steps: u64,
    /// Whether something changed by which members may have to be counted anew.
    pub(super) census_wanted: bool,
    /// The size of the log from which that may be done.
    pub(super) census_from: u64,
    /// The last roll of electors, and the size from which a new one may be made.
    pub(super) roll: Option<(Arc<Electorate>, u64)>,
    /// Whether something changed by which the log may get another operator.
    pub(super) operator_wanted: bool,
}

impl Cost {
    /// Members were counted at this size of the log, since so many steps were done.
    pub(super) fn counted(&mut self, size: u64, before: u64) {
        self.census_wanted = false;
        self.census_from = paid_at(size, self.steps - before);
    }
}

/// The size at which the statements after `size` have paid for these steps.
pub(super) fn paid_at(size: u64, steps: u64) -> u64 {
    size + steps / PER_STATEMENT
}

impl State {
    /// Steps that the fold took so far: members, vouches, uses, checks, ballots and choices that
    /// were looked at beyond a statement's own bytes.
    pub fn steps(&self) -> u64 {
        self.cost.steps
    }
}
