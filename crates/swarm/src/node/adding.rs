//! Sums of updates: the state that a record leads to, computed by this node itself.

use super::{Node, Task, working::Wanted};
use crate::{
    Action, AggregateJob, AggregateOutput, Commit, Included, Kind, Notice, PeerId, Record, Signed,
    State, WorkError,
};
use std::collections::BTreeSet;
use store::Hash;

/// A sum of updates that a record needs.
pub struct Aggregate {
    job: AggregateJob,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Fetching,
    Waiting(crate::Time),
    Done(State),
    Bad,
}

impl Node {
    /// The state a record leads to, once this node has computed it.
    pub(super) fn state_after(&mut self, record: &Record) -> Option<State> {
        let (chain, last) = (self.chain.as_ref()?, self.chain.as_ref()?.last.as_ref());
        let (base, commits) = match (record.kind, last) {
            (Kind::Advance, _) => {
                let commits: Vec<_> = record.contributions.iter().map(|c| &c.commit).collect();
                (chain.state, commits)
            }
            (Kind::Repair, Some(last)) => {
                let out: BTreeSet<PeerId> = record.culprits().collect();
                let rest = last.contributions.iter().filter(|c| !out.contains(&c.author()));
                (last.base, rest.collect())
            }
            _ => return Some(chain.state),
        };
        let updates: Vec<Included> = commits.iter().map(|c| included(c)).collect();
        if updates.is_empty() {
            return Some(base);
        }
        self.aggregate(base, updates)
    }

    fn aggregate(&mut self, base: State, updates: Vec<Included>) -> Option<State> {
        let key = aggregate_key(&base, &updates);
        let now = self.now;
        let known = self.work.as_ref()?.aggregates.get(&key).map(|a| a.stage);
        match known {
            Some(Stage::Done(state)) => return Some(state),
            Some(Stage::Waiting(time)) if time <= now => {}
            Some(_) => return None,
            None => {}
        }
        let id = self.task(Task::Aggregate(key));
        let job = AggregateJob { id, base, updates };
        let work = self.work.as_mut()?;
        work.aggregates.insert(key, Aggregate { job: job.clone(), stage: Stage::Running });
        self.out.push(Action::Aggregate(job));
        None
    }

    pub(super) fn aggregated(&mut self, id: u64, result: Result<AggregateOutput, WorkError>) {
        let Some(Task::Aggregate(key)) = self.tasks.remove(&id) else { return };
        let again = self.now.after(self.run.rules.retry_ms());
        let Some(work) = &mut self.work else { return };
        let height = work.height;
        let Some(aggregate) = work.aggregates.get_mut(&key) else { return };
        match result {
            Ok(output) => {
                aggregate.stage = Stage::Done(output.state);
                let AggregateOutput { norms, clipped, .. } = output;
                self.notice(Notice::Aggregated { height, norms, clipped });
            }
            Err(WorkError::Missing(_)) => {
                aggregate.stage = Stage::Fetching;
                let job = aggregate.job.clone();
                let (models, mut objects) = (vec![job.base.model], vec![job.base.outer]);
                objects.extend(job.updates.iter().map(|u| u.update));
                let mut providers: Vec<PeerId> = job.updates.iter().map(|u| u.worker).collect();
                providers.extend(self.connected());
                self.fetch(Task::AggregateInputs(key), objects, models, providers);
            }
            Err(WorkError::BadUpdate { worker, why }) => {
                aggregate.stage = Stage::Bad;
                if let Some(slot) = work.commits.get_mut(&worker) {
                    slot.bad = true;
                }
                self.notice(Notice::Misbehaved { peer: worker, why });
            }
            Err(error) => {
                aggregate.stage = Stage::Waiting(again);
                self.work_failed(height, &error);
            }
        }
    }

    pub(super) fn aggregate_inputs_fetched(&mut self, key: Hash, missing: Option<Hash>) {
        let pause = if missing.is_some() { self.run.rules.retry_ms() } else { 0 };
        let at = self.now.after(pause);
        if let Some(aggregate) = self.work.as_mut().and_then(|w| w.aggregates.get_mut(&key)) {
            aggregate.stage = Stage::Waiting(at);
        }
    }

    /// What this node got for the state of a record, if it has computed it.
    pub(super) fn own_aggregate(&self, record: &Record) -> Option<State> {
        let (work, chain) = (self.work.as_ref()?, self.chain.as_ref()?);
        let (base, updates): (State, Vec<Included>) = match record.kind {
            Kind::Advance => {
                (chain.state, record.contributions.iter().map(|c| included(&c.commit)).collect())
            }
            Kind::Repair => {
                let last = chain.last.as_ref()?;
                let rest = last.contributions.iter();
                let rest = rest.filter(|c| !record.culprits().any(|p| p == c.author()));
                (last.base, rest.map(included).collect())
            }
            // The state stays; it is here if it was here.
            _ => return (work.sync == Wanted::Here).then_some(chain.state),
        };
        match work.aggregates.get(&aggregate_key(&base, &updates))?.stage {
            Stage::Done(state) => Some(state),
            _ => None,
        }
    }
}

fn included(commit: &Signed<Commit>) -> Included {
    let body = commit.body();
    Included { worker: commit.author(), steps: body.steps, update: body.update }
}

fn aggregate_key(base: &State, updates: &[Included]) -> Hash {
    let mut parts = vec![base.root().0];
    for update in updates {
        let steps = Hash::of(&update.steps.to_le_bytes()).0;
        parts.extend([update.worker.0, update.update.hash.0, steps]);
    }
    let parts: Vec<&[u8]> = parts.iter().map(<[u8; 32]>::as_slice).collect();
    Hash::of_parts("understory swarm 1 aggregate", &parts)
}
