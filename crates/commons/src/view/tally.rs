//! How a question stands, and why: the count, each step in words, and who could flip it.

use crate::{
    PeerId, decide,
    state::{HouseCount, Proposal, State, Status},
    statement::{House, Method, ProposalType},
};
use store::Hash;

/// A question and its count.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Tally {
    /// Statements that this is computed from.
    pub size: u64,
    /// The question's statement.
    pub proposal: Hash,
    /// The question.
    pub title: String,
    /// What kind.
    pub topic: ProposalType,
    /// How it is counted.
    pub method: Method,
    /// When voting ends, in Unix seconds of the witnesses' clock.
    pub close: u64,
    /// How it stands.
    pub status: Status,
    /// The options.
    pub options: Vec<OptionView>,
    /// The count of each house; of an open question, as if it closed now.
    pub houses: Vec<HouseView>,
    /// Why it cannot be counted, if so.
    pub problem: Option<String>,
}

/// An option.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OptionView {
    /// Its name.
    pub name: String,
    /// Whether it stands for "none of these".
    pub default: bool,
    /// The majority it needs over the default option.
    pub ratio: (u32, u32),
}

/// The count of one house.
#[derive(Clone, Debug, serde::Serialize)]
pub struct HouseView {
    /// Which; none where all members vote together.
    pub house: Option<House>,
    /// Who may vote.
    pub electors: u64,
    /// Winning options, in order.
    pub winners: Vec<u32>,
    /// The steps, as data.
    pub outcome: decide::Outcome,
    /// The steps, in words.
    pub explanation: Vec<String>,
    /// Who would have to be missing for another result.
    pub margin: Option<MarginView>,
}

/// Who would have to be missing for another result, by name.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MarginView {
    /// The fewest voters that is proven.
    pub voters: Option<u64>,
    /// Whether that many are known to flip it.
    pub exact: bool,
    /// Such voters.
    pub example: Vec<PeerId>,
    /// The one employer without whose people the result is another, and how many voted.
    pub employer: Option<(String, u64)>,
    /// The one voucher without whose vouches it is another, and how many voted that fall with it.
    pub voucher: Option<(PeerId, u64)>,
}

/// How a question stands.
pub fn tally(state: &State, proposal: &Proposal) -> Tally {
    let body = &proposal.body;
    let counts = match proposal.status {
        _ if body.method == Method::Lot => Ok(Vec::new()),
        Status::Open => state.count_so_far(proposal),
        _ => Ok(proposal.counts.clone()),
    };
    let (counts, problem) = match counts {
        Ok(counts) => (counts, None),
        Err(e) => (Vec::new(), Some(e.to_string())),
    };
    let options = body.options.iter().enumerate().map(|(at, option)| OptionView {
        name: option.name.clone(),
        default: body.default.map(usize::from) == Some(at),
        ratio: option.ratio,
    });
    Tally {
        size: state.size,
        proposal: proposal.statement,
        title: body.title.clone(),
        topic: body.topic,
        method: body.method,
        close: body.close,
        status: proposal.status.clone(),
        options: options.collect(),
        houses: counts.iter().map(|count| house(proposal, count)).collect(),
        problem,
    }
}

fn house(proposal: &Proposal, count: &HouseCount) -> HouseView {
    HouseView {
        house: count.house,
        electors: count.election.electors,
        winners: count.outcome.winners.clone(),
        explanation: decide::explain(&count.election, &count.outcome),
        margin: margin(proposal, count),
        outcome: count.outcome.clone(),
    }
}

fn margin(proposal: &Proposal, count: &HouseCount) -> Option<MarginView> {
    let electors = &proposal.electorate.electors;
    let found = count.margin(&proposal.electorate).ok()?;
    let member = |at: u32| electors.get(at as usize).map(|e| e.member);
    let removal = match &found.voters {
        decide::VoterMargin::Exact(removal) => Some(removal),
        decide::VoterMargin::Between { found, .. } => found.as_ref(),
        decide::VoterMargin::Never => None,
    };
    Some(MarginView {
        voters: found.voters.proven(),
        exact: matches!(found.voters, decide::VoterMargin::Exact(_)),
        example: removal.iter().flat_map(|r| &r.voters).filter_map(|&at| member(at)).collect(),
        employer: found.employer.map(|bloc| (bloc.who, bloc.voters)),
        voucher: found.voucher.and_then(|bloc| Some((member(bloc.who)?, bloc.voters))),
    })
}

/// A panel drawn by lot.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PanelView {
    /// Statements that this is computed from.
    pub size: u64,
    /// The question's statement.
    pub proposal: Hash,
    /// How it stands.
    pub status: Status,
    /// Who could be drawn.
    pub pool: usize,
    /// Members whose secrets went into the draw.
    pub secrets: usize,
    /// How many panels were possible, in decimal.
    pub possible: Option<String>,
    /// Who was drawn.
    pub seats: Vec<PanelSeat>,
    /// Who stands in, in order.
    pub stand_ins: Vec<PanelSeat>,
}

/// A seat on a panel.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PanelSeat {
    /// Who.
    pub member: PeerId,
    /// Its name.
    pub name: String,
    /// Its house.
    pub house: Option<House>,
    /// Whom it works for.
    pub employer: Option<String>,
}

/// The panel of a question that is decided by lot; none for others.
pub fn panel(state: &State, proposal: &Proposal) -> Option<PanelView> {
    if proposal.body.method != Method::Lot {
        return None;
    }
    let electors = &proposal.electorate.electors;
    let seat = |id: &String| {
        let elector = electors.iter().find(|e| e.member.to_string() == *id)?;
        Some(PanelSeat {
            member: elector.member,
            name: elector.name.clone(),
            house: elector.house,
            employer: elector.employer.clone(),
        })
    };
    let panel = proposal.panel.as_ref();
    Some(PanelView {
        size: state.size,
        proposal: proposal.statement,
        status: proposal.status.clone(),
        pool: electors.len(),
        secrets: state.secrets(proposal),
        possible: panel.map(|p| p.possible.clone()),
        seats: panel.iter().flat_map(|p| &p.members).filter_map(seat).collect(),
        stand_ins: panel.iter().flat_map(|p| &p.stand_ins).filter_map(seat).take(16).collect(),
    })
}
