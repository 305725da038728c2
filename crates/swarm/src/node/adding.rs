//! Sums of updates: the state that a record leads to, computed by this node itself.

use super::{Node, Task, working::Wanted};
use crate::{
    Action, AggregateJob, AggregateOutput, Included, Kind, Notice, PeerId, Record, State, WorkError,
};
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
        match self.sum_of(record)? {
            (base, updates) if updates.is_empty() => Some(base),
            (base, updates) => self.aggregate(base, updates),
        }
    }

    /// What a record adds up: the state it starts from, and the updates that have any weight.
    fn sum_of(&self, record: &Record) -> Option<(State, Vec<Included>)> {
        let chain = self.chain.as_ref()?;
        let (base, mut updates) = match record.kind {
            Kind::Advance => {
                let commits: Vec<_> =
                    record.contributions.iter().map(|c| c.commit.clone()).collect();
                (chain.state, chain.included(&self.run, &commits))
            }
            Kind::Repair => {
                let rest = chain.last.clone()?.without(&record.culprits().collect());
                (rest.base, rest.included(&self.run))
            }
            Kind::Genesis | Kind::Close => (chain.state, Vec::new()),
        };
        updates.retain(|update| update.weight > 0);
        Some((base, updates))
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
                let mut objects = vec![job.base.outer];
                objects.extend(job.updates.iter().map(|u| u.update));
                let mut providers: Vec<PeerId> = job.updates.iter().map(|u| u.worker).collect();
                providers.extend(self.connected());
                self.fetch(Task::AggregateInputs(key), objects, vec![job.base.model], providers);
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
        let work = self.work.as_ref()?;
        let (base, updates) = self.sum_of(record)?;
        if updates.is_empty() {
            // The state stays; it is here if it was here.
            let same = record.kind == Kind::Close && work.sync == Wanted::Here;
            return same.then_some(base);
        }
        match work.aggregates.get(&aggregate_key(&base, &updates))?.stage {
            Stage::Done(state) => Some(state),
            _ => None,
        }
    }
}

fn aggregate_key(base: &State, updates: &[Included]) -> Hash {
    let mut parts = vec![base.root().0];
    for update in updates {
        let weights = [update.weight.to_le_bytes(), update.standing.to_le_bytes()].concat();
        parts.extend([update.worker.0, update.update.hash.0, Hash::of(&weights).0]);
    }
    let parts: Vec<&[u8]> = parts.iter().map(<[u8; 32]>::as_slice).collect();
    Hash::of_parts("understory swarm 2 aggregate", &parts)
}
