//! Ways to cheat, for the demo and the tests: a check that has never caught anybody proves nothing.
//!
//! A [`Cheater`] is a worker of its own around an honest one. Nothing that takes part in a run makes
//! one by itself: whoever wants it hands it to [`crate::peer::Peer::working_as`].

use crate::worker::{
    TrainingWorker, WorkTime, lock, stop_if_cancelled, store_error, task, work_error,
};
use ids::ObjectRef;
use recipe::{Contributor, InnerState, update};
use std::{fmt, str::FromStr, thread::sleep, time::Duration};
use swarm::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Control, OpenJob, TrainJob, TrainOutput,
    Trained, WorkError, Worker,
};

/// How a peer pretends to have worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cheat {
    /// Takes one step and claims all of them.
    Lazy,
    /// Sends random numbers.
    Noise,
    /// Sends another peer's update as its own.
    Copy,
    /// Trains, then sends the opposite of what it learnt.
    SignFlip,
}

impl Cheat {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Lazy, Self::Noise, Self::Copy, Self::SignFlip];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lazy => "lazy",
            Self::Noise => "noise",
            Self::Copy => "copy",
            Self::SignFlip => "signflip",
        }
    }
}

impl fmt::Display for Cheat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No way to cheat has this name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no way to cheat: lazy, noise, copy, signflip")]
pub struct UnknownCheat(String);

impl FromStr for Cheat {
    type Err = UnknownCheat;

    fn from_str(name: &str) -> Result<Self, UnknownCheat> {
        let named = Self::ALL.into_iter().find(|cheat| cheat.name() == name);
        named.ok_or_else(|| UnknownCheat(name.chars().take(80).collect()))
    }
}

/// A worker that cheats in its own contributions and is honest in everything else.
pub struct Cheater {
    worker: TrainingWorker,
    cheat: Cheat,
}

impl Cheater {
    /// One that cheats like this.
    pub fn new(worker: TrainingWorker, cheat: Cheat) -> Self {
        Self { worker, cheat }
    }

    fn contribute(&self, job: &TrainJob, control: &Control) -> Result<Trained, WorkError> {
        let worker = &self.worker;
        match self.cheat {
            Cheat::SignFlip => worker.contribute(job, control, Some(&flip)),
            Cheat::Lazy => make_up(worker, job, control, |contributor, state| {
                contributor.step(&task(job), 0, state).map(|_| ()).map_err(work_error)
            }),
            Cheat::Noise => make_up(worker, job, control, |_, state| {
                let noise = kernel::random::Stream::new(job.height, "noise", 0);
                for (i, p) in state.params_mut().iter_mut().enumerate() {
                    *p += 1e-2 * noise.normal_at(i as u64);
                }
                Ok(())
            }),
            Cheat::Copy => {
                let mut made = make_up(worker, job, control, |_, _| Ok(()))?;
                if let Some(update) = somebody_elses_update(worker, &made.output, control)? {
                    made.output.update = update;
                }
                Ok(made)
            }
        }
    }
}

impl Worker for Cheater {
    fn train(&self, job: &TrainJob, control: &Control) -> Result<Trained, WorkError> {
        WorkTime::add(&self.worker.time.training, || self.contribute(job, control))
    }

    fn open(&self, open: &OpenJob, control: &Control) -> Result<Vec<ObjectRef>, WorkError> {
        if self.cheat == Cheat::SignFlip {
            return self.worker.open(open, control);
        }
        // Its training states are made up, all of them one.
        Ok(open.steps.iter().filter_map(|_| open.kept.first().copied()).collect())
    }

    fn audit(&self, audit: &AuditJob, control: &Control) -> Result<AuditOutcome, WorkError> {
        self.worker.audit(audit, control)
    }

    fn aggregate(&self, job: &AggregateJob) -> Result<AggregateOutput, WorkError> {
        self.worker.aggregate(job)
    }

    fn model_parts(&self, manifest: &[u8]) -> Result<Vec<ObjectRef>, WorkError> {
        self.worker.model_parts(manifest)
    }
}

/// The opposite of what was learnt.
fn flip(base: &[f32], state: &mut InnerState) {
    for (p, b) in state.params_mut().iter_mut().zip(base) {
        *p = b - (*p - b);
    }
}

/// A contribution whose states are made up: `change` instead of the steps of training.
fn make_up(
    worker: &TrainingWorker,
    job: &TrainJob,
    control: &Control,
    change: impl Fn(&mut Contributor, &mut InnerState) -> Result<(), WorkError>,
) -> Result<Trained, WorkError> {
    let mut contributor = lock(&worker.training);
    let beginning = worker.beginning(job)?;
    let mut state = contributor.start(&beginning.base, beginning.carry.as_ref());
    stop_if_cancelled(control)?;
    change(&mut contributor, &mut state)?;
    let kept = worker.keep_relaxed(&contributor.state_bytes(&state))?;
    let trail = kept.hash.0.repeat(job.steps as usize);
    let tokens = u64::from(job.steps) * worker.run.step_tokens();
    control.progress(job.steps, job.steps, 0.0, tokens);
    let output = worker.finish(&contributor, &trail, &beginning, &state, false)?;
    Ok(Trained { output, kept: vec![kept] })
}

/// Waits for an update that another peer published and this store has fetched since.
fn somebody_elses_update(
    worker: &TrainingWorker,
    own: &TrainOutput,
    control: &Control,
) -> Result<Option<ObjectRef>, WorkError> {
    let len = update::encoded_len(worker.run.parameters()) as u64;
    let before = worker.store.objects().map_err(store_error)?;
    for _ in 0..600 {
        stop_if_cancelled(control)?;
        sleep(Duration::from_millis(100));
        let fresh = worker.store.objects().map_err(store_error)?.into_iter().find(|hash| {
            before.binary_search(hash).is_err()
                && *hash != own.update.hash
                && worker.store.len_of(hash) == Some(len)
        });
        if let Some(hash) = fresh {
            return Ok(Some(ObjectRef { hash, len }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_cheat_is_known_by_its_name_and_no_other_is() {
        for cheat in Cheat::ALL {
            assert_eq!(cheat.to_string().parse(), Ok(cheat));
        }
        let unknown = "honest".parse::<Cheat>().expect_err("no way to cheat").to_string();
        assert!(Cheat::ALL.iter().all(|cheat| unknown.contains(cheat.name())), "{unknown}");
    }
}
