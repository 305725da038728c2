//! How a question stands, and why: the count, each step in words.

use super::effect::EffectView;
use super::{Bounds, Margin, Standing, margin::margin, standing::standings};
use crate::{
    ballot::short_name,
    state::{Count, HouseCount, Proposal, State, Status},
    statement::{Choice, House, Method, ProposalType},
};
use decide::{Election, Pairwise, SpoiltBallot, Step};
use ids::{Hash, PeerId, Short};

/// The questions.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Tallies {
    /// Statements that this is computed from.
    pub size: u64,
    /// The time of the last mark, in Unix seconds.
    pub now: u64,
    /// All questions, shown or not.
    pub count: usize,
    /// The newest, newest first.
    pub questions: Vec<Question>,
}

/// A question, without its count.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Question {
    /// Its statement.
    pub proposal: Hash,
    /// Where in the log it is.
    pub index: u64,
    /// The question in a line.
    pub title: String,
    /// What it is about.
    pub topic: ProposalType,
    /// How it is counted.
    pub method: Method,
    /// Who asked.
    pub member: PeerId,
    /// The houses that vote; none where all members vote together.
    pub houses: Vec<House>,
    /// When voting ends, in Unix seconds of the witnesses' clock.
    pub close: u64,
    /// Until when ballots that were secret can be opened.
    pub reveal: Option<u64>,
    /// How many win, or sit on the panel.
    pub seats: u16,
    /// The question that it is an appeal against.
    pub appeals: Option<Hash>,
    /// How many may vote.
    pub electors: usize,
    /// Members that have cast a ballot, whether it counts or not.
    pub cast: usize,
    /// How it stands.
    pub status: Status,
    /// The options.
    pub options: Vec<OptionView>,
}

/// A question and its count.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Tally {
    /// Statements that this is computed from.
    pub size: u64,
    /// The time of the last mark, in Unix seconds.
    pub now: u64,
    /// The question.
    #[serde(flatten)]
    pub question: Question,
    /// What it says beside its title.
    pub text: String,
    /// The count of each house; of an open question, as if it closed now.
    pub counts: Vec<HouseTally>,
    /// What two houses decide together, in words; nothing where all members vote together.
    pub together: Vec<String>,
    /// Sealed ballots that were not opened, and so are not counted.
    pub unopened: usize,
    /// Who could make it otherwise: what all houses decide together.
    pub margin: Option<Margin>,
    /// Why it cannot be counted, in words, if so.
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
    /// What it does if it wins, whatever it is called.
    pub effect: EffectView,
}

/// The count of one house. Options are named by their place in the list, from 0.
#[derive(Clone, Debug, serde::Serialize)]
pub struct HouseTally {
    /// Which; none where all members vote together.
    pub house: Option<House>,
    /// Who may vote.
    pub electors: u64,
    /// Ballots that count.
    pub ballots: u64,
    /// Ballots that do not.
    pub spoilt: usize,
    /// The first of those, and why not; a voter is named by its place in the electorate.
    pub spoilt_ballots: Vec<SpoiltBallot>,
    /// Winning options, in order.
    pub winners: Vec<u32>,
    /// How each option fared.
    pub standings: Vec<Standing>,
    /// How many prefer each option to each other one.
    pub pairwise: Pairwise,
    /// The steps, as data: the first.
    pub steps: Vec<Step>,
    /// The steps, in words.
    pub explanation: Vec<String>,
}

/// All questions.
pub fn tallies(state: &State, bounds: Bounds) -> Tallies {
    let mut proposals: Vec<&Proposal> = state.proposals.values().collect();
    proposals.sort_by_key(|p| std::cmp::Reverse((p.index, p.statement)));
    let count = proposals.len();
    let some = proposals.into_iter().take(bounds.questions);
    let questions = some.map(|proposal| question(state, proposal)).collect();
    Tallies { size: state.size, now: state.now(), count, questions }
}

pub(super) fn question(state: &State, proposal: &Proposal) -> Question {
    let body = &proposal.body;
    Question {
        proposal: proposal.statement,
        index: proposal.index,
        title: body.title.clone(),
        topic: body.topic,
        method: body.method,
        member: proposal.member,
        houses: body.houses.clone(),
        close: proposal.close,
        reveal: proposal.reveal,
        seats: body.seats,
        appeals: body.appeals,
        electors: proposal.electorate.electors.len(),
        cast: proposal.casts.len(),
        status: proposal.status.clone(),
        options: options(state, proposal),
    }
}

/// The options of a question.
fn options(state: &State, proposal: &Proposal) -> Vec<OptionView> {
    let default = proposal.body.default.map(usize::from);
    let view = |(at, option): (usize, &Choice)| OptionView {
        name: option.name.clone(),
        default: default == Some(at),
        ratio: option.ratio,
        effect: EffectView::new(state, &option.effect),
    };
    proposal.body.options.iter().enumerate().map(view).collect()
}

/// How a question stands.
pub fn tally(state: &State, proposal: &Proposal, bounds: Bounds) -> Tally {
    let (count, problem) = match state.count(proposal) {
        Ok(count) => (count, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let houses = count.iter().flat_map(|count| &count.houses);
    Tally {
        size: state.size,
        now: state.now(),
        question: question(state, proposal),
        text: proposal.body.text.clone(),
        together: count.as_ref().map(together).unwrap_or_default(),
        counts: houses.map(|house| house_tally(house, bounds)).collect(),
        unopened: state.unopened(proposal),
        margin: margin(state, proposal, bounds),
        problem,
    }
}

fn house_tally(count: &HouseCount, bounds: Bounds) -> HouseTally {
    let outcome = &count.outcome;
    HouseTally {
        house: count.house,
        electors: count.election.electors,
        ballots: outcome.ballots,
        spoilt: outcome.spoilt.len(),
        spoilt_ballots: outcome.spoilt.iter().take(bounds.events).cloned().collect(),
        winners: outcome.winners.clone(),
        standings: standings(outcome),
        pairwise: outcome.pairwise.clone(),
        steps: outcome.steps.iter().take(bounds.lines).cloned().collect(),
        explanation: bounded(decide::explain(&readable(&count.election), outcome), bounds.lines),
    }
}

/// The election with names as they are shown inside a line.
fn readable(election: &Election) -> Election {
    let mut election = election.clone();
    for (at, option) in election.options.iter_mut().enumerate() {
        option.name = short_name(&option.name, at);
        option.employer = option.employer.as_ref().map(|employer| Short(employer).to_string());
    }
    election
}

/// So many lines at most; the last one, which has the result, is always there.
fn bounded(mut lines: Vec<String>, most: usize) -> Vec<String> {
    if lines.len() > most {
        let more = lines.len() - most + 1;
        let result = lines.pop();
        lines.truncate(most.saturating_sub(2));
        lines.push(format!("… and {more} more lines."));
        lines.extend(result);
    }
    lines
}

fn together(count: &Count) -> Vec<String> {
    match count.houses.as_slice() {
        [users, contributors] => decide::explain_houses(
            &readable(&users.election),
            &users.outcome,
            &contributors.outcome,
        ),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_explanation_keeps_its_beginning_and_its_result() {
        let lines = |count: usize| (0..count).map(|at| at.to_string()).collect::<Vec<_>>();
        assert_eq!(bounded(lines(1000), 1000), lines(1000));
        let short = bounded(lines(5000), 1000);
        assert_eq!(short.len(), 1000);
        assert_eq!(short[997], "997");
        assert_eq!(short[998], "… and 4001 more lines.");
        assert_eq!(short[999], "4999");
    }
}
