//! Ballots of which some are taken away, as the search for a margin does.

use super::count::decide;
use super::election::{Ballot, DecideError, Election, Method};
use super::left::Left;
use super::outcome::Log;
use super::pile::{Pile, piles};

/// All ballots of an election, and what they decide.
pub(super) struct Field<'a> {
    pub(super) election: &'a Election,
    pub(super) piles: Vec<Pile>,
    /// Who is elected, in order.
    pub(super) winners: Vec<u32>,
    /// The same as a set.
    pub(super) elected: u64,
    pub(super) all: Left,
}

impl<'a> Field<'a> {
    /// Errors: as for [`super::tally`].
    pub(super) fn new(election: &'a Election, ballots: &[Ballot]) -> Result<Self, DecideError> {
        election.check()?;
        let (piles, _) = piles(election, ballots)?;
        let all = Left::all(election, &piles);
        let mut field = Self { election, piles, winners: Vec::new(), elected: 0, all };
        field.winners = field.decide(&field.all);
        field.elected = set(&field.winners);
        Ok(field)
    }

    /// Who is elected by what is left.
    pub(super) fn decide(&self, left: &Left) -> Vec<u32> {
        decide(self.election, &self.piles, left, &mut Log::silent())
    }

    /// Whether what is left elects others.
    pub(super) fn flipped(&self, left: &Left) -> bool {
        set(&self.decide(left)) != self.elected
    }

    /// What is left without these voters, who are in order.
    pub(super) fn without(&self, voters: &[u32]) -> Left {
        let mut left = self.all.clone();
        for (at, pile) in self.piles.iter().enumerate() {
            let gone = pile.voters.iter().filter(|voter| voters.binary_search(voter).is_ok());
            let gone = gone.count() as u64;
            self.take(&mut left, at, gone);
        }
        left
    }

    /// What it costs to take ballots away and to count again, in some ten nanoseconds.
    pub(super) fn cost(&self) -> u64 {
        let (options, piles) = (self.election.options.len() as u64, self.piles.len() as u64);
        let transfers = if self.election.method == Method::Stv { 8 * options } else { 0 };
        20 + options.pow(3) / 5 + piles * (1 + transfers) / 2
    }

    /// Takes `times` ballots of a pile away, of which there are so many left.
    pub(super) fn take(&self, left: &mut Left, pile: usize, times: u64) {
        left.counts[pile] -= times;
        left.ballots -= times;
        left.matrix.take(&self.piles[pile].prefers, times);
        if !left.approvals.is_empty() {
            for &option in self.piles[pile].groups.first().into_iter().flatten() {
                left.approvals[option as usize] -= times;
            }
        }
    }
}

/// The options as a set.
pub(super) fn set(options: &[u32]) -> u64 {
    options.iter().fold(0, |set, &option| set | 1 << option)
}
