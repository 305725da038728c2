//! Ballots that say the same, counted once.

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
    let mut contents = Contents::default();
    for ballot in ballots {
        match election.check_ballot(ballot) {
            Err(why) => spoilt.push(SpoiltBallot { voter: ballot.voter, why }),
            Ok(()) => contents.add(election, ballot),
        }
    }
    spoilt.sort_by_key(|ballot| ballot.voter);
    Ok((contents.piles(election), spoilt))
}

/// Ballots as strings of bytes, one after another: options of a group in order, each group closed.
/// Sorting these is several times as fast as a map of lists of lists.
#[derive(Default)]
struct Contents {
    bytes: Vec<u8>,
    /// Where each ballot's bytes are, and whose they are.
    ballots: Vec<(std::ops::Range<usize>, u32)>,
}

/// Closes a group. Options are below [`super::election::MAX_OPTIONS`].
const CLOSE: u8 = u8::MAX;

impl Contents {
    fn add(&mut self, election: &Election, ballot: &Ballot) {
        let start = self.bytes.len();
        let voter = ballot.voter;
        // The casting ballot is a pile of its own, the last.
        self.bytes.push(u8::from(election.tie == TieRule::Casting { voter }));
        for group in &ballot.groups {
            let at = self.bytes.len();
            self.bytes.extend(group.iter().map(|&option| option as u8));
            self.bytes[at..].sort_unstable();
            self.bytes.push(CLOSE);
        }
        self.ballots.push((start..self.bytes.len(), voter));
    }

    fn piles(mut self, election: &Election) -> Vec<Pile> {
        let bytes = &self.bytes;
        let key = |(range, voter): &(std::ops::Range<usize>, u32)| (&bytes[range.clone()], *voter);
        self.ballots.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        let same = |a: &(_, u32), b: &(_, u32)| key(a).0 == key(b).0;
        let pile = |ballots: &[(std::ops::Range<usize>, u32)]| {
            let content = key(&ballots[0]).0;
            let groups: Vec<Vec<u32>> = content[1..]
                .split_inclusive(|&byte| byte == CLOSE)
                .map(|group| group[..group.len() - 1].iter().map(|&o| u32::from(o)).collect())
                .collect();
            Pile {
                prefers: preferences(election, &groups),
                groups,
                voters: ballots.iter().map(|(_, voter)| *voter).collect(),
                casting: content[0] == 1,
            }
        };
        self.ballots.chunk_by(same).map(pile).collect()
    }
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
