//! From ballots, or a pairwise matrix, to an outcome.

use super::election::{Ballot, DecideError, Election, Method, Quorum};
use super::left::Left;
use super::outcome::{Log, Outcome, Step, TiePurpose};
use super::pairwise::Pairwise;
use super::pile::{Pile, piles};
use super::schulze::{self, members};
use super::seats::Seats;
use super::stv;
use super::tie::TieOrder;

/// Counts `ballots`. Their order does not matter; ballots that cannot count are listed in the outcome.
///
/// Errors: an election that cannot be held, too many ballots, or two of one voter.
pub fn tally(election: &Election, ballots: &[Ballot]) -> Result<Outcome, DecideError> {
    election.check()?;
    let (piles, spoilt) = piles(election, ballots)?;
    let all = Left::all(election, &piles);
    let ballots = all.ballots;
    let mut log = Log::new();
    let (spoilt_count, electors) = (spoilt.len() as u64, election.electors);
    log.say(|| Step::Counted { ballots, spoilt: spoilt_count, electors });
    let winners = decide(election, &piles, &all, &mut log);
    Ok(Outcome { winners, ballots, spoilt, pairwise: all.matrix, steps: log.into_steps() })
}

/// Counts from a published matrix of `ballots` ballots, where the ballots themselves are not known.
/// [`super::TieRule::Casting`] falls back on the order of the options.
///
/// Errors: an election that cannot be held, [`DecideError::MatrixSize`], or
/// [`DecideError::NotPairwise`] for a method other than Schulze and committee.
pub fn tally_pairwise(
    election: &Election,
    pairwise: &Pairwise,
    ballots: u64,
) -> Result<Outcome, DecideError> {
    election.check()?;
    if pairwise.options() != election.options.len() {
        return Err(DecideError::MatrixSize(pairwise.options(), election.options.len()));
    }
    if !matches!(election.method, Method::Schulze | Method::Committee) {
        return Err(DecideError::NotPairwise(election.method));
    }
    let mut log = Log::new();
    log.say(|| Step::Counted { ballots, spoilt: 0, electors: election.electors });
    let ties = TieOrder::new(election, None);
    let winners = by_pairs(election, pairwise, ballots, &ties, &mut log);
    let winners = or_default(election, winners, &mut log);
    let steps = log.into_steps();
    Ok(Outcome { winners, ballots, spoilt: Vec::new(), pairwise: pairwise.clone(), steps })
}

/// The winners if the ballots `left` count.
pub(super) fn decide(election: &Election, piles: &[Pile], left: &Left, log: &mut Log) -> Vec<u32> {
    // The casting ballot is the last pile, if there is one.
    let last = piles.last().zip(left.counts.last());
    let casting = last.filter(|(pile, count)| pile.casting && **count > 0);
    let ties = TieOrder::new(election, casting.map(|(pile, _)| pile.groups.as_slice()));
    let winners = match election.method {
        Method::Schulze | Method::Committee => {
            by_pairs(election, &left.matrix, left.ballots, &ties, log)
        }
        Method::Approval => by_approval(election, left, &ties, log),
        Method::Stv if enough(election, left.ballots, log) => {
            stv::elect(election, piles, &left.counts, &ties, log)
        }
        Method::Stv => Vec::new(),
    };
    or_default(election, winners, log)
}

fn by_pairs(
    election: &Election,
    matrix: &Pairwise,
    ballots: u64,
    ties: &TieOrder,
    log: &mut Log,
) -> Vec<u32> {
    if election.default.is_none() && !enough(election, ballots, log) {
        return Vec::new();
    }
    let mut left = schulze::admitted(election, election.quorum, matrix, log);
    if election.method == Method::Schulze {
        let winner = schulze::winner(matrix, left, ties, log);
        if election.default != Some(winner) {
            log.say(|| Step::Elected { option: winner });
            return vec![winner];
        }
        return Vec::new();
    }
    // The default option takes no seat; all who are left beat it.
    left &= !election.default.map_or(0, |default| 1 << default);
    let mut seats = Seats::new(election);
    schulze::walk(matrix, left, ties, log, |option, log| {
        seats.offer(option, log);
        seats.left() > 0
    });
    seats.winners
}

fn by_approval(election: &Election, all: &Left, ties: &TieOrder, log: &mut Log) -> Vec<u32> {
    let approvals = &all.approvals;
    for (option, &votes) in (0..).zip(approvals) {
        log.say(|| Step::Approvals { option, votes });
    }
    let mut left = approved(election, approvals, log);
    left &= schulze::admitted(election, Quorum::None, &all.matrix, log);
    left &= !election.default.map_or(0, |default| 1 << default);
    let mut seats = Seats::new(election);
    while left != 0 && seats.left() > 0 {
        let most = members(left).map(|option| approvals[option as usize]).max();
        let first = members(left).filter(|&o| Some(approvals[o as usize]) == most).collect();
        let next = ties.pick(first, TiePurpose::First, log);
        left &= !(1 << next);
        seats.offer(next, log);
    }
    seats.winners
}

/// The options whose approvals reach the quorum.
fn approved(election: &Election, approvals: &[u64], log: &mut Log) -> u64 {
    let mut left = 0;
    for (option, &votes) in (0..).zip(approvals) {
        if election.quorum.met(votes, election.electors) {
            left |= 1 << option;
        } else if election.default != Some(option) {
            let least = election.quorum.least(election.electors);
            log.say(|| Step::BelowQuorum { option, votes, least });
        }
    }
    left
}

fn enough(election: &Election, ballots: u64, log: &mut Log) -> bool {
    let met = election.quorum.met(ballots, election.electors);
    if !met {
        let least = election.quorum.least(election.electors);
        log.say(|| Step::TooFewBallots { ballots, least });
    }
    met
}

/// A single seat that nothing else won is the default option's.
fn or_default(election: &Election, winners: Vec<u32>, log: &mut Log) -> Vec<u32> {
    match election.default {
        Some(default) if winners.is_empty() && election.seats == 1 => {
            log.say(|| Step::DefaultStands { option: default });
            vec![default]
        }
        _ => {
            let vacant = election.seats - winners.len() as u32;
            if vacant > 0 {
                log.say(|| Step::Vacant { seats: vacant });
            }
            winners
        }
    }
}
