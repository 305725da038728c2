//! How a question stands, and why: the count, each step in words.

use crate::{
    state::{Count, HouseCount, Proposal, Round, State, Status},
    statement::{House, Method, ProposalType},
};
use decide;
use ids::{Hash, PeerId};

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
    /// What two houses decide together, in words; nothing where all members vote together.
    pub together: Vec<String>,
    /// Sealed ballots that were not opened, and so are not counted.
    pub unopened: usize,
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
}

impl Tally {
    /// The data alone: without what is said in words.
    pub fn without_words(mut self) -> Self {
        self.together.clear();
        self.houses.iter_mut().for_each(|house| house.explanation.clear());
        self.problem = self.problem.map(|_| String::new());
        self
    }
}

/// How a question stands.
pub fn tally(state: &State, proposal: &Proposal) -> Tally {
    let body = &proposal.body;
    let (count, problem) = match state.count(proposal) {
        Ok(count) => (count, None),
        Err(e) => (None, Some(e.to_string())),
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
        close: proposal.close,
        status: proposal.status.clone(),
        options: options.collect(),
        together: count.as_ref().map(together).unwrap_or_default(),
        houses: count.iter().flat_map(|count| &count.houses).map(house).collect(),
        unopened: state.unopened(proposal),
        problem,
    }
}

fn house(count: &HouseCount) -> HouseView {
    HouseView {
        house: count.house,
        electors: count.election.electors,
        winners: count.outcome.winners.clone(),
        explanation: decide::explain(&count.election, &count.outcome),
        outcome: count.outcome.clone(),
    }
}

fn together(count: &Count) -> Vec<String> {
    match count.houses.as_slice() {
        [users, contributors] => {
            decide::explain_houses(&users.election, &users.outcome, &contributors.outcome)
        }
        _ => Vec::new(),
    }
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
    /// The rounds of the draw that are over.
    pub rounds: Vec<Round>,
    /// Secrets that were withheld in the last round: those who did could choose among the panels
    /// with and without each of them, 2 to this power.
    pub withheld: usize,
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
        withheld: proposal.rounds.last().map_or(0, |round| round.withheld.len()),
        rounds: proposal.rounds.clone(),
        possible: panel.map(|p| p.possible.clone()),
        seats: panel.iter().flat_map(|p| &p.members).filter_map(seat).collect(),
        stand_ins: panel.iter().flat_map(|p| &p.stand_ins).filter_map(seat).take(16).collect(),
    })
}
