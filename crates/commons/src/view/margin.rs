//! Who could make a question's result another: the fewest voters, one employer's people, one voucher's.

use super::Bounds;
use crate::state::{Proposal, State, Status};
use decide::{Bloc, Removal, VoterMargin};
use ids::{Hash, PeerId};

/// The margin of a question, of all houses that vote on it together.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Margin {
    /// Statements that this is computed from.
    pub size: u64,
    /// The question's statement.
    pub proposal: Hash,
    /// The question.
    pub title: String,
    /// How it stands.
    pub status: Status,
    /// The options' names.
    pub options: Vec<String>,
    /// The result, by option: the default option where it stands, none where two houses do not
    /// agree. Of an open question, as if it closed now.
    pub winners: Vec<u32>,
    /// How many voters' ballots count.
    pub voters: u64,
    /// Fewer missing voters than this do not change the result, which is proven; none if no number
    /// does.
    pub least: Option<u64>,
    /// Whether so many are known to change it.
    pub exact: bool,
    /// The fewest voters known to change it.
    pub example: Option<Missing<Vec<PeerId>>>,
    /// The employer of the fewest voters without whom the result is another.
    pub employer: Option<Missing<String>>,
    /// The same for the voucher without whose vouches they would be no members.
    pub voucher: Option<Missing<PeerId>>,
    /// How many employers and vouchers of many voters were not tried, for want of time.
    pub untried: u64,
}

/// Voters without whom the result is another.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Missing<T> {
    /// They, or what they have in common; of many voters the first.
    pub who: T,
    /// How many.
    pub voters: u64,
    /// The result without them, by option.
    pub winners: Vec<u32>,
}

/// The margin of a question; none where a lot decides, or it cannot be counted.
pub fn margin(state: &State, proposal: &Proposal, bounds: Bounds) -> Option<Margin> {
    let count = state.count(proposal).ok()??;
    let found = count.margin(&proposal.electorate).clone();
    let electors = &proposal.electorate.electors;
    let member = |at: u32| electors.get(at as usize).map(|elector| elector.member);
    let least = found.voters.proven();
    let (exact, example) = match found.voters {
        VoterMargin::Exact(removal) => (true, Some(removal)),
        VoterMargin::Between { found, .. } => (false, found),
        VoterMargin::Never => (true, None),
    };
    let example = example.map(|Removal { voters, winners }| Missing {
        voters: voters.len() as u64,
        who: voters.into_iter().filter_map(member).take(bounds.events).collect(),
        winners,
    });
    Some(Margin {
        size: state.size,
        proposal: proposal.statement,
        title: proposal.body.title.clone(),
        status: proposal.status.clone(),
        options: proposal.body.options.iter().map(|option| option.name.clone()).collect(),
        winners: count.winners().to_vec(),
        voters: count.houses.iter().map(|house| house.outcome.ballots).sum(),
        least,
        exact,
        example,
        employer: found.employer.map(|Bloc { who, voters, winners }| Missing {
            who,
            voters,
            winners,
        }),
        voucher: found.voucher.and_then(|Bloc { who, voters, winners }| {
            Some(Missing { who: member(who)?, voters, winners })
        }),
        untried: found.untried,
    })
}
