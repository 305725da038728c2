//! The work of a participant: real training behind the protocol's [`swarm::Worker`].

mod audit;
mod rules;
#[cfg(test)]
mod tests;

use crate::events::PeerEvent;
use ids::{Hash, ObjectRef, PeerId};
use kernel::Kernel;
use net::with_causes;
use recipe::{
    Carry, Checkpoint, CheckpointError, ContributionError, Contributor, Corpus, InnerState,
    RunManifest, Task, checkpoint,
    outer::{self, Weighted},
    update,
};
pub use rules::{protocol_run, rules};
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use store::{Store, StoreError};
use swarm::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Control, OpenJob, State, TrainJob,
    TrainOutput, Trained, WorkError, Worker,
};

/// Trains, audits and aggregates for one run.
pub struct TrainingWorker {
    pub(crate) store: Store,
    pub(crate) run: Arc<RunManifest>,
    tokenizer: ObjectRef,
    kernel: Kernel,
    /// One for the contribution, one for checks and one to show states: they run side by side, and
    /// whoever asks for states must not wait for a check.
    pub(crate) training: Mutex<Contributor>,
    checking: Mutex<Contributor>,
    showing: Mutex<Contributor>,
    alone: bool,
    pub(crate) time: Arc<WorkTime>,
}

/// How long each kind of work took, in milliseconds.
#[derive(Debug, Default)]
pub struct WorkTime {
    pub(crate) training: AtomicU64,
    pub(crate) auditing: AtomicU64,
    aggregating: AtomicU64,
}

impl WorkTime {
    /// The times so far, for screens.
    pub fn event(&self) -> PeerEvent {
        let seconds = |ms: &AtomicU64| ms.load(Ordering::Relaxed) as f64 / 1000.0;
        PeerEvent::Work {
            training_s: seconds(&self.training),
            auditing_s: seconds(&self.auditing),
            aggregating_s: seconds(&self.aggregating),
        }
    }

    pub(crate) fn add<T>(into: &AtomicU64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        into.fetch_add(start.elapsed().as_millis() as u64, Ordering::Relaxed);
        result
    }
}

/// What a contribution starts from.
pub(crate) struct Beginning {
    pub(crate) base: Vec<f32>,
    pub(crate) carry: Option<Carry>,
}

/// What becomes of the last training state, given what the contribution starts from.
pub(crate) type Twist<'a> = &'a dyn Fn(&[f32], &mut InnerState);

/// Constructors, and the state a run starts from.
impl TrainingWorker {
    /// A worker for `run` whose corpus is in `store`.
    ///
    /// Errors: the run and the corpus do not belong together.
    pub fn new(
        store: Store,
        run: Arc<RunManifest>,
        corpus: Arc<Corpus>,
        kernel: Kernel,
    ) -> Result<Self, ContributionError> {
        let contributor =
            || Contributor::new(kernel.clone(), run.clone(), corpus.clone()).map(Mutex::new);
        let (training, checking, showing) = (contributor()?, contributor()?, contributor()?);
        let tokenizer = corpus.manifest.tokenizer;
        let time = Arc::default();
        let alone = false;
        Ok(Self { store, run, tokenizer, kernel, training, checking, showing, alone, time })
    }

    /// Checks whole contributions where nobody can be asked for anything: keeps the carry of each
    /// that is confirmed, from which the author's next one starts, and does without a trail that
    /// is in no store, by its hash alone.
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Adds up in `time` how long each kind of work takes.
    pub fn timed(self, time: Arc<WorkTime>) -> Self {
        Self { time, ..self }
    }

    /// The state every participant starts from: the one that the manifest names, which must be in
    /// the store, or else one computed from the manifest and kept there.
    ///
    /// Errors: a part of it is missing or is not of this run.
    pub fn initial_state(&self) -> Result<State, WorkError> {
        if let Some(start) = self.run.start {
            let state = State { model: start.model, outer: start.outer };
            self.params(&state.model)?;
            self.momentum(&state.outer)?;
            return Ok(state);
        }
        let params = model::init(&self.run.model, self.run.seed).map_err(other)?;
        let momentum = vec![0.0; params.len()];
        self.save(params, &momentum)
    }
}

/// Objects.
impl TrainingWorker {
    fn save(&self, params: Vec<f32>, momentum: &[f32]) -> Result<State, WorkError> {
        let decoder = self.run.model.clone();
        let checkpoint = Checkpoint { decoder, params, tokenizer: self.tokenizer };
        let model = checkpoint.save(&self.store).map_err(checkpoint_error)?;
        let outer = self.keep(&checkpoint::to_bytes(momentum))?;
        Ok(State { model, outer })
    }

    fn params(&self, model: &ObjectRef) -> Result<Vec<f32>, WorkError> {
        let loaded = Checkpoint::load(&self.store, &model.hash).map_err(checkpoint_error)?;
        if loaded.decoder != self.run.model || loaded.tokenizer != self.tokenizer {
            return Err(WorkError::Other(format!("model {} is not of this run", model.hash)));
        }
        Ok(loaded.params)
    }

    fn momentum(&self, outer: &ObjectRef) -> Result<Vec<f32>, WorkError> {
        let bytes = self.object(outer)?;
        let n = self.run.parameters();
        if bytes.len() != 4 * n {
            let text = format!("outer state {} is not of this run", outer.hash);
            return Err(WorkError::Other(text));
        }
        Ok(checkpoint::from_bytes(&bytes).collect())
    }

    fn object(&self, object: &ObjectRef) -> Result<Vec<u8>, WorkError> {
        self.store.get(&object.hash).map_err(store_error)
    }

    fn keep(&self, bytes: &[u8]) -> Result<ObjectRef, WorkError> {
        let hash = self.store.put(bytes).map_err(store_error)?;
        Ok(ObjectRef { hash, len: bytes.len() as u64 })
    }

    /// Keeps what can be computed again.
    pub(crate) fn keep_relaxed(&self, bytes: &[u8]) -> Result<ObjectRef, WorkError> {
        let hash = self.store.put_relaxed(bytes).map_err(store_error)?;
        Ok(ObjectRef { hash, len: bytes.len() as u64 })
    }
}

/// Own contributions.
impl TrainingWorker {
    pub(crate) fn beginning(&self, job: &TrainJob) -> Result<Beginning, WorkError> {
        let base = self.params(&job.base.model)?;
        let read = |carry| {
            let bytes = self.object(carry)?;
            Carry::decode(&self.kernel, &bytes, base.len()).map_err(other)
        };
        let carry = job.carry.as_ref().map(read).transpose()?;
        Ok(Beginning { base, carry })
    }

    /// Whether the state after `done` steps is kept.
    fn keeps(&self, job: &TrainJob, done: u32) -> bool {
        done.is_multiple_of(self.run.rounds.keep_every) || done == job.steps
    }

    /// Trains. What a `twist` makes of the outcome is no honest work.
    pub(crate) fn contribute(
        &self,
        job: &TrainJob,
        control: &Control,
        twist: Option<Twist<'_>>,
    ) -> Result<Trained, WorkError> {
        let mut contributor = lock(&self.training);
        let beginning = self.beginning(job)?;
        let task = task(job);
        let mut state = contributor.start(&beginning.base, beginning.carry.as_ref());
        let (mut trail, mut kept) = (Vec::new(), Vec::new());
        let tokens = self.run.step_tokens();
        for step in 0..job.steps {
            stop_if_cancelled(control)?;
            let loss = contributor.step(&task, step, &mut state).map_err(work_error)?;
            trail.extend(contributor.state_hash(&state).0);
            let done = step + 1;
            if self.keeps(job, done) {
                kept.push(self.keep_relaxed(&contributor.state_bytes(&state))?);
            }
            control.progress(done, job.steps, loss, u64::from(done) * tokens);
        }
        if let Some(twist) = twist {
            twist(&beginning.base, &mut state);
        }
        let output = self.finish(&contributor, &trail, &beginning, &state, twist.is_none())?;
        Ok(Trained { output, kept })
    }

    pub(crate) fn finish(
        &self,
        contributor: &Contributor,
        trail: &[u8],
        beginning: &Beginning,
        state: &InnerState,
        honest: bool,
    ) -> Result<TrainOutput, WorkError> {
        let Beginning { base, carry } = beginning;
        let change = contributor.change(base, state, carry.as_ref()).map_err(work_error)?;
        let (update, carry) = contributor.encode(change, state);
        if honest {
            // Others would take it for a cheat's: better that the fault shows here.
            contributor.read_carry(&carry, u64::MAX).map_err(work_error)?;
        }
        let (trail, update) = (self.keep(trail)?, self.keep(&update)?);
        Ok(TrainOutput { trail, update, carry: self.keep(&carry)? })
    }

    /// The training states before the steps that are asked for, from the nearest that was kept.
    fn show(&self, open: &OpenJob, control: &Control) -> Result<Vec<ObjectRef>, WorkError> {
        let mut contributor = lock(&self.showing);
        let job = &open.job;
        let kept_at = (1..=job.steps).filter(|done| self.keeps(job, *done));
        let kept: Vec<(u32, &ObjectRef)> = kept_at.zip(&open.kept).collect();
        let (mut at, mut state) = (0, None);
        let mut shown = Vec::new();
        for wanted in &open.steps {
            let near = kept
                .iter()
                .rev()
                .find(|(done, state)| done <= wanted && self.store.has(&state.hash));
            if let Some((done, state)) = near
                && done == wanted
            {
                shown.push(**state);
                continue;
            }
            let from = near.map_or(0, |(done, _)| *done);
            let mut current = match (state.take(), near) {
                (Some(state), _) if at >= from && at <= *wanted => state,
                (_, Some((_, kept))) => {
                    at = from;
                    contributor.read_state(&self.object(kept)?).map_err(work_error)?
                }
                (_, None) => {
                    at = 0;
                    let Beginning { base, carry } = self.beginning(job)?;
                    contributor.start(&base, carry.as_ref())
                }
            };
            for step in at..*wanted {
                stop_if_cancelled(control)?;
                contributor.step(&task(job), step, &mut current).map_err(work_error)?;
            }
            at = *wanted;
            shown.push(self.keep_relaxed(&contributor.state_bytes(&current))?);
            state = Some(current);
        }
        Ok(shown)
    }
}

/// The sum.
impl TrainingWorker {
    fn add_up(&self, job: &AggregateJob) -> Result<AggregateOutput, WorkError> {
        let mut params = self.params(&job.base.model)?;
        let mut momentum = self.momentum(&job.base.outer)?;
        let bad = |worker: PeerId, why: String| WorkError::BadUpdate { worker, why };
        let mut updates = Vec::with_capacity(job.updates.len());
        for included in &job.updates {
            let bytes = self.object(&included.update)?;
            let values = update::decode(&self.kernel, &bytes, params.len())
                .map_err(|e| bad(included.worker, e.to_string()))?;
            let (weight, standing) = (included.weight, included.standing);
            updates.push(Weighted { weight, standing, values });
        }
        if updates.iter().all(|u| u.weight == 0) {
            return Err(WorkError::Other("no contribution has any weight".to_owned()));
        }
        let done =
            outer::aggregate(&self.kernel, &self.run.outer, &mut params, &mut momentum, &updates)
                .map_err(|i| bad(job.updates[i].worker, "its norm is no finite number".into()))?;
        if !self.kernel.all_finite(&params) || !self.kernel.all_finite(&momentum) {
            return Err(WorkError::NonFinite { step: 0, what: "aggregate".to_owned() });
        }
        let state = self.save(params, &momentum)?;
        Ok(AggregateOutput { state, norms: done.norms, clipped: done.clipped })
    }
}

impl Worker for TrainingWorker {
    fn train(&self, job: &TrainJob, control: &Control) -> Result<Trained, WorkError> {
        WorkTime::add(&self.time.training, || self.contribute(job, control, None))
    }

    fn open(&self, open: &OpenJob, control: &Control) -> Result<Vec<ObjectRef>, WorkError> {
        WorkTime::add(&self.time.auditing, || self.show(open, control))
    }

    fn audit(&self, audit: &AuditJob, control: &Control) -> Result<AuditOutcome, WorkError> {
        WorkTime::add(&self.time.auditing, || audit::audit(self, audit, control))
    }

    fn aggregate(&self, job: &AggregateJob) -> Result<AggregateOutput, WorkError> {
        WorkTime::add(&self.time.aggregating, || self.add_up(job))
    }

    fn model_parts(&self, manifest: &[u8]) -> Result<Vec<ObjectRef>, WorkError> {
        checkpoint::parts(&self.run.model, &self.tokenizer, manifest).map_err(checkpoint_error)
    }
}

pub(crate) fn task(job: &TrainJob) -> Task {
    let worker = Hash(job.worker.0);
    Task { beacon: job.beacon, worker, round: job.round, steps: job.steps }
}

pub(crate) fn stop_if_cancelled(control: &Control) -> Result<(), WorkError> {
    if control.is_cancelled() { Err(WorkError::Cancelled) } else { Ok(()) }
}

/// A panic in one job must not take the others with it: the buffers are written before use.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(crate) fn store_error(error: StoreError) -> WorkError {
    match error {
        StoreError::Missing { hash, .. } | StoreError::Damaged { hash, .. } => {
            WorkError::Missing(hash)
        }
        error if error.may_pass() => WorkError::Passing(with_causes(&error)),
        error => other(error),
    }
}

fn checkpoint_error(error: CheckpointError) -> WorkError {
    match error {
        CheckpointError::Store(error)
        | CheckpointError::Manifest(store::ManifestError::Store(error)) => store_error(error),
        error => other(error),
    }
}

pub(crate) fn work_error(error: ContributionError) -> WorkError {
    match error {
        ContributionError::NonFinite { step, why } => WorkError::NonFinite { step, what: why },
        error => other(error),
    }
}

fn other(error: impl std::error::Error) -> WorkError {
    WorkError::Other(with_causes(&error))
}
