//! Digests of the views: what two members compare.
//!
//! They are over bytes that stay as they are: a view that shows more, or calls it otherwise, has the
//! digest that it had. What is said in words is not covered.

use super::{
    Bounds, LineageEdge, LineageNode, LogHealth, MemberView, PanelSeat, PanelView, Vouch,
    health::last_void, health::log_health, lineage::all_edges, lineage::all_nodes, margin,
    members::all_members, members::all_vouches, milestones, panel,
};
use crate::{
    state::{Count, HouseCount, Proposal, Round, State, Status},
    statement::{House, Method, ProposalType},
};
use ids::{Hash, PeerId};
use serde::Serialize;

/// The digests of all views of one state, by name: two members with the same prefix of a log have
/// the same. They cover data only: what a view says in words may be said otherwise by another
/// version of this program.
pub fn digests(state: &State) -> Vec<(String, Hash)> {
    let mut digests = vec![
        ("members".to_owned(), digest(&MembersData::of(state))),
        ("lineage".to_owned(), digest(&LineageData::of(state))),
        ("milestones".to_owned(), digest(&milestones(state))),
        ("health".to_owned(), digest(&HealthData::of(state))),
    ];
    let mut proposals: Vec<_> = state.proposals.values().collect();
    proposals.sort_by_key(|p| p.index);
    for proposal in proposals {
        let named = |view| format!("{view} {}", proposal.statement);
        digests.push((named("tally"), TallyData::digest(state, proposal)));
        if let Some(margin) = margin(state, proposal, Bounds::NONE) {
            digests.push((named("margin"), digest(&margin)));
        }
        if let Some(panel) = panel(state, proposal) {
            digests.push((named("panel"), digest(&PanelData::of(&panel))));
        }
    }
    digests
}

/// BLAKE3 of a view's JSON.
pub fn digest(view: &impl Serialize) -> Hash {
    let json = serde_json::to_vec(view).expect("views have no maps with keys that JSON lacks");
    Hash::of(&json)
}

#[derive(Serialize)]
struct MembersData {
    size: u64,
    now: u64,
    members: Vec<MemberView>,
    vouches: Vec<Vouch>,
    stewards: Vec<PeerId>,
}

impl MembersData {
    fn of(state: &State) -> Self {
        Self {
            size: state.size,
            now: state.now(),
            members: all_members(state),
            vouches: all_vouches(state),
            stewards: state.active_stewards(),
        }
    }
}

#[derive(Serialize)]
struct LineageData {
    size: u64,
    nodes: Vec<LineageNode>,
    edges: Vec<LineageEdge>,
}

impl LineageData {
    fn of(state: &State) -> Self {
        let edges = all_edges(state);
        Self { size: state.size, nodes: all_nodes(state, &edges), edges }
    }
}

#[derive(Serialize)]
struct HealthData {
    #[serde(flatten)]
    log: LogHealth,
    last_void: Vec<VoidData>,
}

/// A void statement, whatever it is called why.
#[derive(Serialize)]
struct VoidData {
    index: u64,
    statement: Hash,
    /// Empty: here were the words.
    reason: &'static str,
}

impl HealthData {
    fn of(state: &State) -> Self {
        let void = |void: super::VoidView| VoidData {
            index: void.index,
            statement: void.statement,
            reason: "",
        };
        let last_void = last_void(state).into_iter().map(void).collect();
        Self { log: log_health(state), last_void }
    }
}

#[derive(Serialize)]
struct TallyData<'a> {
    size: u64,
    proposal: Hash,
    title: &'a str,
    topic: ProposalType,
    method: Method,
    close: u64,
    status: &'a Status,
    options: Vec<OptionData<'a>>,
    houses: Vec<HouseData<'a>>,
    /// Empty: here were words.
    together: [(); 0],
    unopened: usize,
    /// Empty where there is one: here were words.
    problem: Option<&'static str>,
}

#[derive(Serialize)]
struct HouseData<'a> {
    house: Option<House>,
    electors: u64,
    winners: &'a [u32],
    outcome: &'a decide::Outcome,
    /// Empty: here were words.
    explanation: [(); 0],
}

impl TallyData<'_> {
    fn digest(state: &State, proposal: &Proposal) -> Hash {
        let (count, problem) = match state.count(proposal) {
            Ok(count) => (count, None),
            Err(_) => (None, Some("")),
        };
        digest(&TallyData::of(state, proposal, count.as_ref(), problem))
    }

    fn of<'a>(
        state: &State,
        proposal: &'a Proposal,
        count: Option<&'a Count>,
        problem: Option<&'static str>,
    ) -> TallyData<'a> {
        let house = |count: &'a HouseCount| HouseData {
            house: count.house,
            electors: count.election.electors,
            winners: &count.outcome.winners,
            outcome: &count.outcome,
            explanation: [],
        };
        TallyData {
            size: state.size,
            proposal: proposal.statement,
            title: &proposal.body.title,
            topic: proposal.body.topic,
            method: proposal.body.method,
            close: proposal.close,
            status: &proposal.status,
            options: options(proposal),
            houses: count.into_iter().flat_map(|count| &count.houses).map(house).collect(),
            together: [],
            unopened: state.unopened(proposal),
            problem,
        }
    }
}

/// An option, as digests have it: what it does is in the statement itself.
#[derive(Serialize)]
struct OptionData<'a> {
    name: &'a str,
    default: bool,
    ratio: (u32, u32),
}

fn options(proposal: &Proposal) -> Vec<OptionData<'_>> {
    let default = proposal.body.default.map(usize::from);
    let all = proposal.body.options.iter().enumerate();
    all.map(|(at, option)| OptionData {
        name: &option.name,
        default: default == Some(at),
        ratio: option.ratio,
    })
    .collect()
}

#[derive(Serialize)]
struct PanelData<'a> {
    size: u64,
    proposal: Hash,
    status: &'a Status,
    pool: usize,
    secrets: usize,
    rounds: &'a [Round],
    withheld: usize,
    possible: Option<&'a str>,
    seats: &'a [PanelSeat],
    stand_ins: &'a [PanelSeat],
}

impl<'a> PanelData<'a> {
    fn of(panel: &'a PanelView) -> Self {
        Self {
            size: panel.size,
            proposal: panel.question.proposal,
            status: &panel.question.status,
            pool: panel.pool,
            secrets: panel.secrets,
            rounds: &panel.rounds,
            withheld: panel.withheld,
            possible: panel.possible.as_deref(),
            seats: &panel.drawn,
            stand_ins: &panel.stand_ins,
        }
    }
}
