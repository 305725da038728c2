//! Sums of updates: the state that a record leads to, computed by this node itself.

use super::{Core, Running, Task, working::Wanted};
use crate::{
    Action, AggregateJob, AggregateOutput, Included, Kind, Notice, Record, State, WorkError,
};
use ids::{Hash, PeerId};

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

impl Running {
    /// The state a record leads to, once this node has computed it.
    pub(super) fn state_after(&mut self, core: &mut Core, record: &Record) -> Option<State> {
        match self.sum_of(core, record)? {
            (base, updates) if updates.is_empty() => Some(base),
            (base, updates) => self.aggregate(core, base, updates),
        }
    }

    /// What a record adds up: the state it starts from, and the updates that have any weight.
    fn sum_of(&self, core: &Core, record: &Record) -> Option<(State, Vec<Included>)> {
        let chain = &self.chain;
        let (base, mut updates) = match record.kind {
            Kind::Advance => {
                let commits: Vec<_> =
                    record.contributions.iter().map(|c| c.commit.clone()).collect();
                (chain.state, chain.included(&core.run, &commits))
            }
            Kind::Repair => {
                let rest = chain.last.clone()?.without(&record.culprits().collect());
                (rest.base, rest.included(&core.run))
            }
            Kind::Genesis | Kind::Close => (chain.state, Vec::new()),
        };
        updates.retain(|update| update.weight > 0);
        Some((base, updates))
    }

    fn aggregate(&mut self, core: &mut Core, base: State, updates: Vec<Included>) -> Option<State> {
        let key = aggregate_key(&base, &updates);
        let now = core.now;
        let known = self.work.aggregates.get(&key).map(|a| a.stage);
        match known {
            Some(Stage::Done(state)) => return Some(state),
            Some(Stage::Waiting(time)) if time <= now => {}
            Some(_) => return None,
            None => {}
        }
        let id = core.task(Task::Aggregate(key));
        let job = AggregateJob { id, base, updates };
        self.work.aggregates.insert(key, Aggregate { job: job.clone(), stage: Stage::Running });
        core.out.push(Action::Aggregate(job));
        None
    }

    pub(super) fn aggregated(
        &mut self,
        core: &mut Core,
        id: u64,
        result: Result<AggregateOutput, WorkError>,
    ) {
        let Some(Task::Aggregate(key)) = core.end_task(id) else { return };
        let again = core.now.after(core.run.rules.retry_ms());
        let work = &mut self.work;
        let height = work.height;
        let Some(aggregate) = work.aggregates.get_mut(&key) else { return };
        match result {
            Ok(output) => {
                aggregate.stage = Stage::Done(output.state);
                let AggregateOutput { norms, clipped, .. } = output;
                core.notice(Notice::Aggregated { height, norms, clipped });
            }
            Err(WorkError::Missing(_)) => {
                aggregate.stage = Stage::Fetching;
                let job = aggregate.job.clone();
                let mut objects = vec![job.base.outer];
                objects.extend(job.updates.iter().map(|u| u.update));
                let mut providers: Vec<PeerId> = job.updates.iter().map(|u| u.worker).collect();
                providers.extend(core.connected());
                core.fetch(Task::AggregateInputs(key), objects, vec![job.base.model], providers);
            }
            Err(WorkError::BadUpdate { worker, why }) => {
                aggregate.stage = Stage::Bad;
                if let Some(slot) = work.commits.get_mut(&worker) {
                    slot.bad = true;
                }
                core.notice(Notice::Misbehaved { peer: worker, why });
            }
            Err(error) => {
                aggregate.stage = Stage::Waiting(again);
                core.work_failed(height, &error);
            }
        }
    }

    pub(super) fn aggregate_inputs_fetched(
        &mut self,
        core: &mut Core,
        key: Hash,
        missing: Option<Hash>,
    ) {
        let pause = if missing.is_some() { core.run.rules.retry_ms() } else { 0 };
        let at = core.now.after(pause);
        if let Some(aggregate) = self.work.aggregates.get_mut(&key) {
            aggregate.stage = Stage::Waiting(at);
        }
    }

    /// What this node got for the state of a record, if it has computed it.
    pub(super) fn own_aggregate(&self, core: &Core, record: &Record) -> Option<State> {
        let work = &self.work;
        let (base, updates) = self.sum_of(core, record)?;
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
    let mut parts = vec![base.hash().0];
    for update in updates {
        let weights = [update.weight.to_le_bytes(), update.standing.to_le_bytes()].concat();
        parts.extend([update.worker.0, update.update.hash.0, Hash::of(&weights).0]);
    }
    let parts: Vec<&[u8]> = parts.iter().map(<[u8; 32]>::as_slice).collect();
    Hash::of_parts("understory swarm 2 aggregate", &parts)
}
