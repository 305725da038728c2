//! Records of training runs that members have marked, and where they contradict each other.

use crate::state::State;
use ids::{Hash, PeerId};

/// All of them.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Milestones {
    /// Statements that this is computed from.
    pub size: u64,
    /// By run.
    pub runs: Vec<MarkedRun>,
}

/// The marked records of one run.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MarkedRun {
    /// The run's id.
    pub run: Hash,
    /// Heights of which members say different things.
    pub contradicted: Vec<u64>,
    /// In the order of heights.
    pub milestones: Vec<Milestone>,
}

/// What members say of one height.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Milestone {
    /// The height.
    pub height: u64,
    /// The record there; more than one is a contradiction.
    pub records: Vec<SaidRecord>,
}

/// A record and who says that it is the run's.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SaidRecord {
    /// The record's hash.
    pub record: Hash,
    /// Members that say so.
    pub by: Vec<PeerId>,
}

/// The milestones of every run that has any.
pub fn milestones(state: &State) -> Milestones {
    let runs = state.marked_runs().into_iter().map(|run| {
        let milestones = of_run(state, &run);
        let contradicted = milestones.iter().filter(|m| m.records.len() > 1);
        let contradicted = contradicted.map(|m| m.height).collect();
        MarkedRun { run, contradicted, milestones }
    });
    Milestones { size: state.size, runs: runs.collect() }
}

fn of_run(state: &State, run: &Hash) -> Vec<Milestone> {
    let mut found: Vec<Milestone> = Vec::new();
    for marked in state.marked_records(run) {
        let by = marked.by.into_iter().map(|(member, _)| member).collect();
        let said = SaidRecord { record: marked.record, by };
        match found.last_mut() {
            Some(last) if last.height == marked.height => last.records.push(said),
            _ => found.push(Milestone { height: marked.height, records: vec![said] }),
        }
    }
    found
}
