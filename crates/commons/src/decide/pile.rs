//! Ballots that say the same, counted once.

use std::collections::BTreeMap;

use super::election::{Ballot, DecideError, Election, MAX_BALLOTS, TieRule};
use super::outcome::SpoiltBallot;
use super::pairwise::preferences;

/// All ballots of one content.
pub(super) struct Pile {
    /// The ballot; options of a group in order.
    pub(super) groups: Vec<Vec<u32>>,
    /// For each option, those that the ballot puts below it.
    pub(super) prefers: Vec<u64>,
    /// Whose, in order.
    pub(super) voters: Vec<u32>,
    /// Whether this is the ballot that settles ties (a pile of one).
    pub(super) casting: bool,
}

/// Piles in the order of their content, and the ballots that count in none.
///
/// Errors: [`DecideError::Ballots`], [`DecideError::VotedTwice`].
pub(super) fn piles(
    election: &Election,
    ballots: &[Ballot],
) -> Result<(Vec<Pile>, Vec<SpoiltBallot>), DecideError> {
    check_voters(ballots)?;
    let mut spoilt = Vec::new();
    let mut by_content: BTreeMap<(bool, Vec<Vec<u32>>), Vec<u32>> = BTreeMap::new();
    for ballot in ballots {
        let voter = ballot.voter;
        match election.check_ballot(ballot) {
            Err(why) => spoilt.push(SpoiltBallot { voter, why }),
            Ok(()) => {
                let casting = election.tie == TieRule::Casting { voter };
                let mut groups = ballot.groups.clone();
                groups.iter_mut().for_each(|group| group.sort_unstable());
                by_content.entry((casting, groups)).or_default().push(voter);
            }
        }
    }
    spoilt.sort_by_key(|ballot| ballot.voter);
    let pile = |((casting, groups), mut voters): ((bool, Vec<Vec<u32>>), Vec<u32>)| {
        voters.sort_unstable();
        Pile { prefers: preferences(election, &groups), groups, voters, casting }
    };
    Ok((by_content.into_iter().map(pile).collect(), spoilt))
}

fn check_voters(ballots: &[Ballot]) -> Result<(), DecideError> {
    if ballots.len() > MAX_BALLOTS {
        return Err(DecideError::Ballots(ballots.len()));
    }
    let mut voters: Vec<u32> = ballots.iter().map(|ballot| ballot.voter).collect();
    voters.sort_unstable();
    match voters.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(DecideError::VotedTwice(pair[0])),
        None => Ok(()),
    }
}
