//! A panel: how it was drawn, and who sits on it.

use super::{Question, tally::question};
use crate::{
    state::{Proposal, Round, State},
    statement::{House, Method, Quota},
};
use ids::PeerId;

/// So many of those who stand in are named.
const STAND_INS: usize = 16;

/// A panel drawn by lot.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PanelView {
    /// Statements that this is computed from.
    pub size: u64,
    /// The time of the last mark, in Unix seconds.
    pub now: u64,
    /// The question.
    #[serde(flatten)]
    pub question: Question,
    /// What it says beside its title.
    pub text: String,
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
    /// Seats that a house or an employer must have.
    pub quotas: Vec<QuotaView>,
    /// Who was drawn.
    pub drawn: Vec<PanelSeat>,
    /// Who stands in, in order.
    pub stand_ins: Vec<PanelSeat>,
}

/// How many seats people of a house or an employer have, at least and at most.
#[derive(Clone, Debug, serde::Serialize)]
pub struct QuotaView {
    /// The house, or the employer.
    pub stratum: String,
    /// At least.
    pub min: u16,
    /// At most.
    pub max: u16,
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
    let quota = |q: &Quota| QuotaView { stratum: q.stratum.clone(), min: q.min, max: q.max };
    let panel = proposal.panel.as_ref();
    Some(PanelView {
        size: state.size,
        now: state.now(),
        question: question(state, proposal),
        text: proposal.body.text.clone(),
        pool: electors.len(),
        secrets: state.secrets(proposal),
        withheld: proposal.rounds.last().map_or(0, |round| round.withheld.len()),
        rounds: proposal.rounds.clone(),
        possible: panel.map(|p| p.possible.clone()),
        quotas: proposal.body.quotas.iter().map(quota).collect(),
        drawn: panel.iter().flat_map(|p| &p.members).filter_map(seat).collect(),
        stand_ins: panel
            .iter()
            .flat_map(|p| &p.stand_ins)
            .filter_map(seat)
            .take(STAND_INS)
            .collect(),
    })
}
