//! Contributions computed again and compared with what their authors signed.

use super::{
    OpenRun, Progress, Tell, VerifyError, counted,
    found::{Found, Outcome, Rerun},
    history::{Decided, History},
    schedule::Queue,
    told,
};
use ids::{Hash, PeerId};
use kernel::{Kernel, random::Stream};
use progress::Work;
use recipe::{Contributor, Task};
use std::{
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use swarm::{AuditJob, AuditOutcome, Control, Sample, TrainJob, TrainOutput, WorkError, Worker};

/// The most contributions re-run side by side: each takes the memory of a training step.
const MAX_LANES: usize = 8;

/// Re-runs `share` of the contributions, drawn by `seed`, and tells of each in their order.
pub fn rerun(
    (share, seed): (f64, u64),
    run: &OpenRun,
    history: &History,
    found: &mut Found,
    tell: &mut Tell<'_>,
) -> Result<(), VerifyError> {
    let jobs: Vec<&Decided> = sample(history.contributions.len(), share, seed)
        .into_iter()
        .map(|i| &history.contributions[i])
        .collect();
    found.contributions = Some(history.contributions.len());
    found.reruns.reserve(jobs.len());
    if jobs.is_empty() {
        return Ok(());
    }
    let threads = run.kernel.threads();
    let lanes = threads.min(jobs.len()).min(MAX_LANES);
    let each = (threads / lanes).max(1);
    if let Some(step) = time_of_a_step(run, each)? {
        let steps: u32 = jobs.iter().map(|j| j.commit.body().steps).sum();
        let time = step.mul_f64(f64::from(steps) / lanes as f64);
        told(tell, Progress::Estimate { contributions: jobs.len(), steps, time })?;
    }
    let workers = (0..lanes).map(|_| run.worker(each)).collect::<Result<Vec<_>, _>>()?;
    let queue = Queue::new(&jobs, &run.store);
    let (sender, results) = channel();
    std::thread::scope(|scope| {
        for worker in workers {
            let (sender, queue, jobs) = (sender.clone(), &queue, &jobs);
            scope.spawn(move || {
                while let Some(taken) = queue.take() {
                    let outcome = again(&worker, jobs[taken.job]);
                    if sender.send((taken.job, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let told = gather(&results, &jobs, found, tell);
        // Nobody reads the results any more: the lanes need not go on.
        queue.stop();
        drop(results);
        told
    })
}

/// Takes results in the order of the jobs as they come.
fn gather(
    results: &Receiver<(usize, Outcome)>,
    jobs: &[&Decided],
    found: &mut Found,
    tell: &mut Tell<'_>,
) -> Result<(), VerifyError> {
    let mut ready: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
    let (mut next, mut done) = (0, 0);
    for (job, outcome) in results {
        ready[job] = Some(outcome);
        done += 1;
        while let Some(outcome) = ready.get_mut(next).and_then(Option::take) {
            let rerun = line(jobs[next], outcome);
            told(tell, Progress::Reran(&rerun))?;
            found.reruns.push(rerun);
            next += 1;
        }
        counted(tell, Work::Rerunning, done as u64, jobs.len() as u64)?;
    }
    Ok(())
}

fn line(decided: &Decided, outcome: Outcome) -> Rerun {
    let body = decided.commit.body();
    Rerun {
        height: decided.height,
        round: body.round + 1,
        worker: decided.commit.author(),
        steps: body.steps,
        excluded: decided.excluded,
        outcome,
    }
}

/// Which of `n` to re-run: `share` of them, rounded up, in ascending order.
fn sample(n: usize, share: f64, seed: u64) -> Vec<usize> {
    let stream = Stream::new(seed, "verify", 0);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|i| (stream.u64_at(*i as u64), *i));
    order.truncate((n as f64 * share).ceil() as usize);
    order.sort_unstable();
    order
}

fn again(worker: &impl Worker, decided: &Decided) -> Outcome {
    let body = decided.commit.body();
    let job = TrainJob {
        height: body.height,
        round: body.round,
        base: decided.base,
        beacon: decided.beacon,
        worker: decided.commit.author(),
        steps: body.steps,
        carry: body.carry_before,
    };
    let claimed = TrainOutput { trail: body.trail, update: body.update, carry: body.carry };
    // Nobody else sees the digest.
    let (sample, auditor) = (Sample::All, PeerId([0; 32]));
    let audit = AuditJob { id: decided.height, job, claimed, sample, auditor };
    match worker.audit(&audit, &Control::quiet()) {
        Ok(AuditOutcome::Confirmed { .. }) => Outcome::Confirmed,
        Ok(AuditOutcome::Mismatch { part }) => Outcome::Mismatch { part },
        Ok(AuditOutcome::Needs { .. }) => {
            Outcome::Failed { why: "a whole re-run asked for training states".to_owned() }
        }
        Ok(AuditOutcome::Unavailable { missing }) | Err(WorkError::Missing(missing)) => {
            Outcome::Unavailable { missing }
        }
        Err(error) => Outcome::Failed { why: error.to_string() },
    }
}

/// How long one inner step takes here on `threads` threads.
fn time_of_a_step(run: &OpenRun, threads: usize) -> Result<Option<Duration>, VerifyError> {
    let kernel = Kernel::new(run.kernel.isa(), threads);
    let mut contributor = Contributor::new(kernel, run.manifest.clone(), run.corpus.clone())?;
    let mut state = contributor.start(&model::init(&run.manifest.model, run.manifest.seed)?, None);
    let task = Task { beacon: Hash::default(), worker: Hash::default(), round: 0, steps: 2 };
    let mut begun = Instant::now();
    for step in 0..2 {
        begun = Instant::now();
        if contributor.step(&task, step, &mut state).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(begun.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_its_share_and_depends_on_the_seed_alone() {
        assert_eq!(sample(80, 0.05, 3).len(), 4);
        assert_eq!(sample(10, 0.01, 3).len(), 1, "rounded up");
        assert_eq!(sample(10, 0.0, 3), Vec::<usize>::new());
        assert_eq!(sample(5, 1.0, 3), [0, 1, 2, 3, 4]);
        assert_eq!(sample(80, 0.1, 3), sample(80, 0.1, 3));
        assert_ne!(sample(80, 0.1, 3), sample(80, 0.1, 4));
    }
}
