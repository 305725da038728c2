//! What is left of the ballots of an election when some are taken away.

use super::election::{Election, Method};
use super::pairwise::Pairwise;
use super::pile::Pile;

/// What is left of the ballots.
#[derive(Clone)]
pub(super) struct Left {
    /// Of each pile.
    pub(super) counts: Vec<u64>,
    pub(super) ballots: u64,
    pub(super) matrix: Pairwise,
    /// Approvals, for that method only.
    pub(super) approvals: Vec<u64>,
}

impl Left {
    /// All ballots of these piles.
    pub(super) fn all(election: &Election, piles: &[Pile]) -> Self {
        let counts: Vec<u64> = piles.iter().map(|pile| pile.voters.len() as u64).collect();
        let mut matrix = Pairwise::new(election.options.len());
        let mut approvals = Vec::new();
        if election.method == Method::Approval {
            approvals.resize(election.options.len(), 0);
        }
        for (pile, &count) in piles.iter().zip(&counts) {
            matrix.add(&pile.prefers, count);
            if !approvals.is_empty() {
                for &option in pile.groups.first().into_iter().flatten() {
                    approvals[option as usize] += count;
                }
            }
        }
        Self { ballots: counts.iter().sum(), counts, matrix, approvals }
    }
}
