//! A commons' views as the page reads them: those of [`commons::view`](::commons::view) with what
//! a picture needs beside them, and bounds on how much of each is shown.

use std::collections::{BTreeMap, BTreeSet};

use ::commons::state::{Proposal, State, Status};
use ::commons::statement::{House, Method, ParentLog, ProposalType, Verdict};
use ::commons::view::{self, HouseView, LineageEdge, MemberView, OptionView, Overdue, Unanswered};
use decide::Pairwise;
use ids::{Hash, PeerId};
use serde::Serialize;

use super::Reading;
use super::standing::{Standing, standings};

/// Most members, edges, questions and so on that one view shows; it says how many there are.
pub const MAX_SHOWN: usize = 2000;
/// Most of what is shown as a list of events, newest last.
const MAX_EVENTS: usize = 200;
/// Most lines of a count's explanation.
const MAX_LINES: usize = 1000;

/// What can be asked of a commons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// Who belongs to it.
    Members,
    /// What was made from what.
    Lineage,
    /// The questions.
    Tallies,
    /// The count of a question.
    Tally(Hash),
    /// The panel of a question that is decided by lot.
    Panel(Hash),
    /// Whether the log is well.
    Health,
}

/// A view as JSON; none if there is no such question.
pub(super) fn json(reading: &Reading, view: View) -> Option<String> {
    let state = &reading.state;
    match view {
        View::Members => text(&members(state)),
        View::Lineage => text(&lineage(state)),
        View::Tallies => text(&tallies(state)),
        View::Tally(hash) => text(&tally(state, state.proposals.get(&hash)?)),
        View::Panel(hash) => text(&panel(state, state.proposals.get(&hash)?)?),
        View::Health => text(&health(reading)),
    }
}

fn text(view: &impl Serialize) -> Option<String> {
    Some(serde_json::to_string(view).expect("views have no maps with keys that JSON lacks"))
}

#[derive(Serialize)]
struct Members {
    size: u64,
    now: u64,
    vouches_needed: u8,
    /// All of them, shown or not.
    count: usize,
    members: Vec<Person>,
    vouches: Vec<view::Vouch>,
}

#[derive(Serialize)]
struct Person {
    #[serde(flatten)]
    member: MemberView,
    /// The organisation that counts where only one can.
    employer: Option<String>,
    /// Members that vouch for it.
    vouchers: usize,
}

fn members(state: &State) -> Members {
    let (all, now) = (view::members(state), state.now());
    let person = |member: MemberView| {
        let known = &state.members[&member.id];
        Person {
            employer: known.employer(now).map(str::to_owned),
            vouchers: known.support as usize,
            member,
        }
    };
    let count = all.members.len();
    let members: Vec<Person> = all.members.into_iter().take(MAX_SHOWN).map(person).collect();
    let shown: BTreeSet<PeerId> = members.iter().map(|p| p.member.id).collect();
    let both = |v: &view::Vouch| shown.contains(&v.by) && shown.contains(&v.subject);
    Members {
        size: all.size,
        now,
        vouches_needed: state.rules.vouches_needed,
        count,
        vouches: all.vouches.into_iter().filter(both).take(4 * MAX_SHOWN).collect(),
        members,
    }
}

#[derive(Serialize)]
struct Lineage {
    size: u64,
    /// Members that an edge needs.
    confirmations: u8,
    /// All edges, shown or not: the newest are.
    count: usize,
    nodes: Vec<view::LineageNode>,
    edges: Vec<LineageEdge>,
    /// By the statement of an edge.
    derivations: BTreeMap<String, Derivation>,
}

#[derive(Serialize)]
struct Derivation {
    tool: String,
    /// How many members checked it.
    count: usize,
    checks: Vec<(PeerId, Verdict)>,
}

fn lineage(state: &State) -> Lineage {
    let mut all = view::lineage(state);
    let count = all.edges.len();
    let edges = all.edges.split_off(count.saturating_sub(MAX_SHOWN));
    let statements: BTreeSet<Hash> = edges.iter().map(|edge| edge.statement).collect();
    let ends: BTreeSet<Hash> =
        edges.iter().flat_map(|edge| [Some(edge.child), edge.parent]).flatten().collect();
    let derived = state.edges.iter().filter(|edge| statements.contains(&edge.statement));
    let derivation = |edge: &::commons::state::Edge| {
        let checks = edge.checks.iter().take(MAX_EVENTS).map(|(id, verdict)| (*id, *verdict));
        let (tool, count) = (edge.tool.clone(), edge.checks.len());
        (edge.statement.to_string(), Derivation { tool, count, checks: checks.collect() })
    };
    let (mut nodes, lone): (Vec<_>, Vec<_>) =
        all.nodes.into_iter().partition(|node| ends.contains(&node.digest));
    nodes.extend(lone.into_iter().filter(|node| node.name.is_some()).take(MAX_SHOWN));
    Lineage {
        size: all.size,
        confirmations: state.rules.confirmations,
        count,
        nodes,
        derivations: derived.map(derivation).collect(),
        edges,
    }
}

#[derive(Serialize)]
struct Tallies {
    size: u64,
    now: u64,
    /// All questions, shown or not: the newest are.
    count: usize,
    questions: Vec<Question>,
}

/// What a list says of a question.
#[derive(Serialize)]
struct Question {
    proposal: Hash,
    index: u64,
    title: String,
    topic: ProposalType,
    method: Method,
    /// Who asked.
    member: PeerId,
    /// The houses that vote; none where all members vote together.
    houses: Vec<House>,
    close: u64,
    /// Until when ballots that were secret can be opened.
    reveal: Option<u64>,
    seats: u16,
    /// What it is an appeal against.
    appeals: Option<Hash>,
    electors: usize,
    /// Members that have cast a ballot, whether it counts or not.
    cast: usize,
    status: Status,
    options: Vec<OptionView>,
}

fn tallies(state: &State) -> Tallies {
    let mut proposals: Vec<&Proposal> = state.proposals.values().collect();
    proposals.sort_by_key(|p| std::cmp::Reverse((p.index, p.statement)));
    let count = proposals.len();
    let questions = proposals.into_iter().take(MAX_SHOWN / 4).map(question).collect();
    Tallies { size: state.size, now: state.now(), count, questions }
}

fn question(proposal: &Proposal) -> Question {
    let body = &proposal.body;
    let default = body.default.map(usize::from);
    let option = |(at, option): (usize, &::commons::statement::Choice)| OptionView {
        name: option.name.clone(),
        default: default == Some(at),
        ratio: option.ratio,
    };
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
        options: body.options.iter().enumerate().map(option).collect(),
    }
}

#[derive(Serialize)]
struct Tally {
    size: u64,
    now: u64,
    #[serde(flatten)]
    question: Question,
    /// What the question says beside its title.
    text: String,
    houses_counted: Vec<Count>,
    /// Who could make it otherwise: what all houses decide together.
    margin: Option<view::Margin>,
    problem: Option<String>,
}

/// The count of one house.
#[derive(Serialize)]
struct Count {
    house: Option<House>,
    electors: u64,
    ballots: u64,
    spoilt: usize,
    winners: Vec<u32>,
    standings: Vec<Standing>,
    pairwise: Pairwise,
    explanation: Vec<String>,
}

fn tally(state: &State, proposal: &Proposal) -> Tally {
    let view = view::tally(state, proposal);
    Tally {
        size: state.size,
        now: state.now(),
        question: question(proposal),
        text: proposal.body.text.clone(),
        houses_counted: view.houses.into_iter().map(count).collect(),
        margin: view::margin(state, proposal).map(bounded_margin),
        problem: view.problem,
    }
}

fn count(house: HouseView) -> Count {
    Count {
        house: house.house,
        electors: house.electors,
        ballots: house.outcome.ballots,
        spoilt: house.outcome.spoilt.len(),
        winners: house.winners,
        standings: standings(&house.outcome),
        pairwise: house.outcome.pairwise,
        explanation: bounded(house.explanation),
    }
}

/// Of many voters the first are named; how many there are is said beside.
fn bounded_margin(mut margin: view::Margin) -> view::Margin {
    if let Some(missing) = &mut margin.example {
        missing.who.truncate(MAX_EVENTS);
    }
    margin
}

/// So many lines at most; the last one, which has the result, is always there.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES + 1;
        let result = lines.pop();
        lines.truncate(MAX_LINES - 2);
        lines.push(format!("… and {more} more lines."));
        lines.extend(result);
    }
    lines
}

#[derive(Serialize)]
struct Panel {
    #[serde(flatten)]
    question: Question,
    now: u64,
    text: String,
    pool: usize,
    secrets: usize,
    possible: Option<String>,
    quotas: Vec<Quota>,
    drawn: Vec<view::PanelSeat>,
    stand_ins: Vec<view::PanelSeat>,
}

/// How many seats people of a house or an employer have, at least and at most.
#[derive(Serialize)]
struct Quota {
    stratum: String,
    min: u16,
    max: u16,
}

fn panel(state: &State, proposal: &Proposal) -> Option<Panel> {
    let view = view::panel(state, proposal)?;
    let quota = |q: &::commons::statement::Quota| Quota {
        stratum: q.stratum.clone(),
        min: q.min,
        max: q.max,
    };
    Some(Panel {
        question: question(proposal),
        now: state.now(),
        text: proposal.body.text.clone(),
        pool: view.pool,
        secrets: view.secrets,
        possible: view.possible,
        quotas: proposal.body.quotas.iter().map(quota).collect(),
        drawn: view.seats,
        stand_ins: view.stand_ins,
    })
}

#[derive(Serialize)]
struct Health {
    id: Hash,
    name: String,
    charter: Hash,
    parent: Option<Parent>,
    now: u64,
    /// How many of each there are; the lists below hold the newest.
    counts: Counts,
    #[serde(flatten)]
    health: view::Health,
    overdue: Vec<Overdue>,
    unanswered: Vec<Unanswered>,
    /// Runs of which members have marked records.
    runs: Vec<Marked>,
    /// Checkpoints after which a statement that waits is overdue.
    overdue_after: u32,
}

#[derive(Serialize)]
struct Counts {
    operators: usize,
    equivocations: usize,
    splits: usize,
    overdue: usize,
    /// What an operator signed to have and left out, as receipts in the log show.
    left_out: usize,
    unanswered: usize,
    runs: usize,
    /// Heights of runs of which members say different things.
    contradicted: usize,
}

/// The marked records of a run.
#[derive(Serialize)]
struct Marked {
    run: Hash,
    /// How many heights have a mark.
    heights: usize,
    newest: view::Milestone,
    /// The newest heights of which members say different things.
    contradicted: Vec<u64>,
}

/// Where a commons was forked from.
#[derive(Serialize)]
struct Parent {
    id: Hash,
    size: u64,
}

fn health(reading: &Reading) -> Health {
    let state = &reading.state;
    let mut health = view::health(state);
    let mut runs = view::milestones(state).runs;
    let counts = Counts {
        operators: health.log.operators.len(),
        equivocations: health.log.equivocations.len(),
        splits: health.log.splits.len(),
        overdue: reading.overdue.len(),
        left_out: health.log.left_out.len(),
        unanswered: reading.unanswered.len(),
        runs: runs.len(),
        contradicted: runs.iter().map(|run| run.contradicted.len()).sum(),
    };
    // Contradictions are not to be missed among many runs.
    runs.sort_by_key(|run| !run.contradicted.is_empty());
    newest(&mut runs);
    newest(&mut health.log.operators);
    newest(&mut health.log.equivocations);
    newest(&mut health.log.splits);
    newest(&mut health.log.left_out);
    Health {
        id: state.id,
        name: state.name.clone(),
        charter: state.charter,
        parent: state.parent.map(|ParentLog { id, size, .. }| Parent { id, size }),
        now: state.now(),
        counts,
        health,
        unanswered: reading.unanswered.iter().take(MAX_EVENTS).cloned().collect(),
        overdue: reading.overdue.iter().take(MAX_EVENTS).cloned().collect(),
        runs: runs.into_iter().filter_map(marked).collect(),
        overdue_after: state.rules.overdue_after,
    }
}

fn marked(run: view::MarkedRun) -> Option<Marked> {
    let view::MarkedRun { run, mut contradicted, mut milestones } = run;
    newest(&mut contradicted);
    let heights = milestones.len();
    Some(Marked { run, heights, newest: milestones.pop()?, contradicted })
}

fn newest<T>(all: &mut Vec<T>) {
    all.drain(..all.len().saturating_sub(MAX_EVENTS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_explanation_keeps_its_beginning_and_its_result() {
        let lines = |count: usize| (0..count).map(|at| at.to_string()).collect::<Vec<_>>();
        assert_eq!(bounded(lines(MAX_LINES)), lines(MAX_LINES));
        let short = bounded(lines(5000));
        assert_eq!(short.len(), MAX_LINES);
        assert_eq!(short[MAX_LINES - 3], (MAX_LINES - 3).to_string());
        assert_eq!(short[MAX_LINES - 2], "… and 4001 more lines.");
        assert_eq!(short[MAX_LINES - 1], "4999");
    }

    #[test]
    fn the_newest_of_many_events_are_kept() {
        let mut all: Vec<usize> = (0..1000).collect();
        newest(&mut all);
        assert_eq!(all, (800..1000).collect::<Vec<_>>());
    }
}
