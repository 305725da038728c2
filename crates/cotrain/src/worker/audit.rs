//! A claimed contribution, checked: whole or by parts.
//!
//! Whatever the claim names and an honest author would not have named is a mismatch: an object of
//! another length, a trail or a carry that cannot be read, a carry that no training leaves. What
//! is not in the store is said to be missing. An error is only what is wrong on this machine.

use super::{Beginning, TrainingWorker, lock, stop_if_cancelled, task, work_error};
use ids::{Hash, ObjectRef};
use recipe::{
    ContributionError, Contributor, InnerState, carry::carry_len, contribution::Digest, state_len,
    update,
};
use std::sync::MutexGuard;
use store::StoreError;
use swarm::{AuditJob, AuditOutcome, Control, Sample, WorkError};

/// Re-runs what `audit` asks for.
///
/// Errors: [`WorkError`] for whatever is not the claim's fault.
pub(super) fn audit(
    worker: &TrainingWorker,
    audit: &AuditJob,
    control: &Control,
) -> Result<AuditOutcome, WorkError> {
    let done = Audit::begin(worker, audit, control).and_then(|audit| audit.run());
    match done {
        Ok(outcome) | Err(Stop::Found(outcome)) => Ok(outcome),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Why an audit ends before its end.
enum Stop {
    Found(AuditOutcome),
    Failed(WorkError),
}

type Step<T> = Result<T, Stop>;

/// An audit whose inputs are all there but for training states.
struct Audit<'a> {
    worker: &'a TrainingWorker,
    contributor: MutexGuard<'a, Contributor>,
    audit: &'a AuditJob,
    control: &'a Control,
    beginning: Beginning,
    /// The claimed hash of the state after each step; empty where it is in no store.
    trail: Vec<Hash>,
    /// What was found in its place.
    found: Vec<u8>,
    digest: Digest<'a>,
}

impl<'a> Audit<'a> {
    fn begin(worker: &'a TrainingWorker, audit: &'a AuditJob, control: &'a Control) -> Step<Self> {
        let contributor = lock(&worker.checking);
        let (job, claimed) = (&audit.job, &audit.claimed);
        let n = worker.run.parameters();
        let lengths = [
            (Some(&claimed.trail), 32 * u64::from(job.steps)),
            (Some(&claimed.update), update::encoded_len(n) as u64),
            (Some(&claimed.carry), carry_len(n) as u64),
            (job.carry.as_ref(), carry_len(n) as u64),
        ];
        let fits = |(object, len): &(Option<&ObjectRef>, u64)| object.is_none_or(|o| o.len == *len);
        if !lengths.iter().all(fits) {
            return Err(mismatch(job.steps));
        }
        let base = worker.params(&job.base.model)?;
        let trail = match input(worker, &claimed.trail, job.steps) {
            Err(Stop::Found(AuditOutcome::Unavailable { .. }))
                if worker.alone && audit.sample == Sample::All =>
            {
                Vec::new()
            }
            trail => trail?,
        };
        let hash = |bytes: &[u8]| Hash(bytes.try_into().expect("chunks of 32"));
        let trail = trail.chunks_exact(32).map(hash).collect();
        let read = |carry| {
            let bytes = input(worker, carry, job.steps)?;
            let most = steps_by(job.round, worker);
            contributor.read_carry(&bytes, most).map_err(|_| mismatch(job.steps))
        };
        let carry = job.carry.as_ref().map(read).transpose()?;
        let beginning = Beginning { base, carry };
        let digest = Digest::new(&worker.kernel);
        let found = Vec::new();
        Ok(Self { worker, contributor, audit, control, beginning, trail, found, digest })
    }

    fn run(mut self) -> Step<AuditOutcome> {
        let last = match &self.audit.sample {
            Sample::All => self.whole()?,
            Sample::Parts(parts) => self.parts(parts)?,
        };
        self.encoding(&last)?;
        let digest = self.digest.of(&Hash(self.audit.auditor.0));
        Ok(AuditOutcome::Confirmed { digest })
    }

    /// Takes every step from the base on; returns the last state.
    fn whole(&mut self) -> Step<InnerState> {
        let mut state = self.start();
        for step in 0..self.audit.job.steps {
            if let Err(stop) = self.step(step, &mut state) {
                if let (Stop::Found(_), true) = (&stop, step > 0) {
                    self.leave_state_before(step)?;
                }
                return Err(stop);
            }
        }
        Ok(state)
    }

    /// Takes these steps, each from its claimed beginning; returns the last state, as claimed.
    fn parts(&mut self, parts: &[u32]) -> Step<InnerState> {
        let steps = self.audit.job.steps;
        let parts: Vec<u32> = parts.iter().copied().filter(|part| *part < steps).collect();
        // Whoever takes the last step has the last state.
        let ends = (!parts.contains(&(steps - 1))).then_some(steps);
        let states = parts.iter().copied().chain(ends).filter(|part| *part > 0);
        let mut states: Vec<ObjectRef> = states.map(|part| self.state_before(part)).collect();
        states.retain(|state| !self.worker.store.has(&state.hash));
        if !states.is_empty() {
            states.sort_unstable();
            states.dedup();
            return Err(Stop::Found(AuditOutcome::Needs { states }));
        }
        let mut last = None;
        for step in parts {
            let mut state = if step == 0 { self.start() } else { self.load(step)? };
            self.step(step, &mut state)?;
            last = (step + 1 == steps).then_some(state);
        }
        last.map_or_else(|| self.load(steps), Ok)
    }

    fn start(&self) -> InnerState {
        self.contributor.start(&self.beginning.base, self.beginning.carry.as_ref())
    }

    /// The name of the state before this part, which is not the first.
    fn state_before(&self, part: u32) -> ObjectRef {
        let len = state_len(self.worker.run.parameters()) as u64;
        ObjectRef { hash: self.trail[part as usize - 1], len }
    }

    fn load(&self, part: u32) -> Step<InnerState> {
        let object = self.state_before(part);
        let bytes = match self.worker.store.get(&object.hash) {
            Ok(bytes) => bytes,
            Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => {
                return Err(Stop::Found(AuditOutcome::Needs { states: vec![object] }));
            }
            Err(error) => return Err(super::store_error(error).into()),
        };
        let state = self.contributor.read_state(&bytes).map_err(|_| mismatch(part))?;
        let before = self.beginning.carry.as_ref().map_or(0, |carry| carry.steps);
        if before.checked_add(part) != Some(state.steps()) {
            return Err(mismatch(part));
        }
        Ok(state)
    }

    /// Takes a step and compares the state after it. A claimed state that leads to a value that
    /// is no number was not reached by honest work, which stops there.
    fn step(&mut self, step: u32, state: &mut InnerState) -> Step<()> {
        stop_if_cancelled(self.control)?;
        match self.contributor.step(&task(&self.audit.job), step, state) {
            Ok(_) => {}
            Err(ContributionError::NonFinite { .. }) => return Err(mismatch(step)),
            Err(error) => return Err(work_error(error).into()),
        }
        self.digest.add(self.contributor.gradient());
        let hash = self.contributor.state_hash(state);
        self.found.extend(hash.0);
        let same = self.trail.get(step as usize).is_none_or(|claimed| *claimed == hash);
        if same { Ok(()) } else { Err(mismatch(step)) }
    }

    /// Encodes again and compares update and carry.
    fn encoding(&mut self, last: &InnerState) -> Step<()> {
        let AuditJob { job, claimed, sample, .. } = self.audit;
        let Beginning { base, carry } = &self.beginning;
        let change = match self.contributor.change(base, last, carry.as_ref()) {
            Ok(change) => change,
            Err(ContributionError::NonFinite { .. }) => return Err(mismatch(job.steps)),
            Err(error) => return Err(work_error(error).into()),
        };
        self.digest.add(&change);
        let (update, carry) = self.contributor.encode(change, last);
        let trail = !self.trail.is_empty() || Hash::of(&self.found) == claimed.trail.hash;
        let same = trail
            && Hash::of(&update) == claimed.update.hash
            && Hash::of(&carry) == claimed.carry.hash;
        let most = steps_by(job.round.saturating_add(1), self.worker);
        if !same || self.contributor.read_carry(&carry, most).is_err() {
            if *sample == Sample::All {
                self.worker.keep_relaxed(&self.contributor.state_bytes(last))?;
            }
            return Err(mismatch(job.steps));
        }
        if self.worker.alone {
            self.worker.keep_relaxed(&carry)?;
        }
        Ok(())
    }

    /// Puts the state before `step` into the store: whoever re-runs that step in the dispute needs
    /// it. The trail is right up to there, so it is what it names.
    fn leave_state_before(&mut self, step: u32) -> Step<()> {
        let mut state = self.start();
        for step in 0..step {
            stop_if_cancelled(self.control)?;
            let task = task(&self.audit.job);
            self.contributor.step(&task, step, &mut state).map_err(work_error)?;
        }
        self.worker.keep_relaxed(&self.contributor.state_bytes(&state))?;
        Ok(())
    }
}

/// What the claim names, of the length it names.
fn input(worker: &TrainingWorker, object: &ObjectRef, part: u32) -> Step<Vec<u8>> {
    let bytes = worker.object(object)?;
    if bytes.len() as u64 == object.len { Ok(bytes) } else { Err(mismatch(part)) }
}

/// The most steps that anybody can have taken in so many rounds.
fn steps_by(rounds: u32, worker: &TrainingWorker) -> u64 {
    u64::from(rounds) * u64::from(worker.run.rounds.steps_max)
}

fn mismatch(part: u32) -> Stop {
    Stop::Found(AuditOutcome::Mismatch { part })
}

/// What is missing is an outcome.
impl From<WorkError> for Stop {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Missing(missing) => Self::Found(AuditOutcome::Unavailable { missing }),
            error => Self::Failed(error),
        }
    }
}
