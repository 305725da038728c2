//! Ways to cheat, for the demo and the tests: a check that has never caught anybody proves nothing.

use crate::worker::{TrainingWorker, lock, stop_if_cancelled, store_error, task, work_error};
use ids::ObjectRef;
use recipe::{Contributor, InnerState, update};
use std::{thread::sleep, time::Duration};
use swarm::{Control, OpenJob, TrainJob, TrainOutput, Trained, WorkError};

/// How a peer pretends to have worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
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

impl std::fmt::Display for Cheat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lazy => "lazy",
            Self::Noise => "noise",
            Self::Copy => "copy",
            Self::SignFlip => "signflip",
        })
    }
}

impl Cheat {
    /// Whether its training states are made up, all of them one.
    pub(crate) fn makes_up(self) -> bool {
        self != Self::SignFlip
    }

    /// The states that are asked for.
    pub(crate) fn show(self, open: &OpenJob) -> Vec<ObjectRef> {
        open.steps.iter().filter_map(|_| open.kept.first().copied()).collect()
    }

    /// What it contributes.
    pub(crate) fn train(
        self,
        worker: &TrainingWorker,
        job: &TrainJob,
        control: &Control,
    ) -> Result<Trained, WorkError> {
        match self {
            Self::SignFlip => worker.train_honestly(job, control, |base, state| {
                for (p, b) in state.params_mut().iter_mut().zip(base) {
                    *p = b - (*p - b);
                }
            }),
            Self::Lazy => make_up(worker, job, control, |contributor, state| {
                contributor.step(&task(job), 0, state).map(|_| ()).map_err(work_error)
            }),
            Self::Noise => make_up(worker, job, control, |_, state| {
                let noise = kernel::random::Stream::new(job.height, "noise", 0);
                for (i, p) in state.params_mut().iter_mut().enumerate() {
                    *p += 1e-2 * noise.normal_at(i as u64);
                }
                Ok(())
            }),
            Self::Copy => {
                let mut made = make_up(worker, job, control, |_, _| Ok(()))?;
                if let Some(update) = somebody_elses_update(worker, &made.output, control)? {
                    made.output.update = update;
                }
                Ok(made)
            }
        }
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
    let output = worker.finish(&contributor, &trail, &beginning, &state)?;
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
