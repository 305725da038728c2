//! The work of a participant: real training behind the protocol's [`swarm::Worker`].

use crate::cheat::Cheat;
use crate::events::PeerEvent;
use kernel::Kernel;
use recipe::{
    Checkpoint, CheckpointError, ContributionError, Contributor, Corpus, InnerState, RunManifest,
    Task, checkpoint,
    outer::{self, Weighted},
    update,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use store::{Hash, ObjectRef, Store, StoreError};
use swarm::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Control, PeerId, Run, Segments, State,
    TrainJob, TrainOutput, WorkError, Worker,
};

/// Trains, audits and aggregates for one run.
pub struct TrainingWorker {
    store: Store,
    run: Arc<RunManifest>,
    tokenizer: ObjectRef,
    kernel: Kernel,
    /// One for the contribution and one for checks: they run side by side.
    training: Mutex<Contributor>,
    checking: Mutex<Contributor>,
    cheat: Option<Cheat>,
    keep_carry: bool,
    time: Arc<WorkTime>,
}

/// How long each kind of work took, in milliseconds.
#[derive(Debug, Default)]
pub struct WorkTime {
    training: AtomicU64,
    auditing: AtomicU64,
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

    fn add<T>(into: &AtomicU64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        into.fetch_add(start.elapsed().as_millis() as u64, Ordering::Relaxed);
        result
    }
}

impl TrainingWorker {
    /// A worker for `run` whose corpus is in `store`.
    pub fn new(
        store: Store,
        run: Arc<RunManifest>,
        corpus: Arc<Corpus>,
        kernel: Kernel,
        cheat: Option<Cheat>,
    ) -> Result<Self, ContributionError> {
        let contributor =
            || Contributor::new(kernel.clone(), run.clone(), corpus.clone()).map(Mutex::new);
        let (training, checking) = (contributor()?, contributor()?);
        let tokenizer = corpus.manifest.tokenizer;
        let time = Arc::default();
        let keep_carry = false;
        Ok(Self { store, run, tokenizer, kernel, training, checking, cheat, keep_carry, time })
    }

    /// Keeps the carry of every contribution that an audit confirms, so that the author's
    /// next one can be re-run where the author's own store is not at hand.
    pub fn keeping_carry(self) -> Self {
        Self { keep_carry: true, ..self }
    }

    /// Adds up in `time` how long each kind of work takes.
    pub fn timed(self, time: Arc<WorkTime>) -> Self {
        Self { time, ..self }
    }

    /// The state every participant starts from, computed from the manifest and kept in the store.
    pub fn initial_state(&self) -> Result<State, WorkError> {
        let params = model::init(&self.run.model, self.run.seed).map_err(other)?;
        let momentum = vec![0.0; params.len()];
        self.save(params, &momentum)
    }

    fn save(&self, params: Vec<f32>, momentum: &[f32]) -> Result<State, WorkError> {
        let config = self.run.model.clone();
        let checkpoint = Checkpoint { config, params, tokenizer: self.tokenizer };
        let model = checkpoint.save(&self.store).map_err(checkpoint_error)?;
        let bytes = checkpoint::to_bytes(momentum);
        let hash = self.store.put(&bytes).map_err(store_error)?;
        Ok(State { model, outer: ObjectRef { hash, len: bytes.len() as u64 } })
    }

    fn params(&self, model: &ObjectRef) -> Result<Vec<f32>, WorkError> {
        let loaded = Checkpoint::load(&self.store, &model.hash).map_err(checkpoint_error)?;
        if loaded.config != self.run.model {
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

    fn carry(&self, job: &TrainJob) -> Result<Option<Vec<u8>>, WorkError> {
        job.carry.as_ref().map(|f| self.object(f)).transpose()
    }

    fn keep(&self, bytes: &[u8]) -> Result<ObjectRef, WorkError> {
        let hash = self.store.put(bytes).map_err(store_error)?;
        Ok(ObjectRef { hash, len: bytes.len() as u64 })
    }

    fn keep_leaf(&self, bytes: &[u8]) -> Result<ObjectRef, WorkError> {
        let hash = self.store.put_relaxed(bytes).map_err(store_error)?;
        Ok(ObjectRef { hash, len: bytes.len() as u64 })
    }

    fn finish(
        &self,
        contributor: &Contributor,
        job: &TrainJob,
        base: &[f32],
        state: &InnerState,
        leaves: Vec<ObjectRef>,
    ) -> Result<TrainOutput, WorkError> {
        let carry = self.carry(job)?;
        let (update, carry) =
            contributor.encode(base, state, carry.as_deref()).map_err(work_error)?;
        Ok(TrainOutput { leaves, update: self.keep(&update)?, carry: self.keep(&carry)? })
    }

    fn train_honestly(
        &self,
        job: &TrainJob,
        control: &Control,
        change: impl FnOnce(&[f32], &mut InnerState),
    ) -> Result<TrainOutput, WorkError> {
        let mut contributor = lock(&self.training);
        let base = self.params(&job.base.model)?;
        let task = task(job);
        let carry = self.carry(job)?;
        let mut state = contributor.start(&base, carry.as_deref()).map_err(work_error)?;
        let mut leaves = Vec::new();
        let tokens = self.run.step_tokens();
        for step in 0..job.steps {
            stop_if_cancelled(control)?;
            let loss = contributor.step(&task, step, &mut state).map_err(work_error)?;
            let done = step + 1;
            if done % job.leaf_every == 0 || done == job.steps {
                leaves.push(self.keep_leaf(&contributor.leaf(&state))?);
            }
            control.progress(done, job.steps, loss, u64::from(done) * tokens);
        }
        change(&base, &mut state);
        self.finish(&contributor, job, &base, &state, leaves)
    }

    /// A contribution whose states are made up: `change` instead of `steps` of training.
    fn make_up(
        &self,
        job: &TrainJob,
        control: &Control,
        change: impl Fn(&[f32], &mut Contributor, &mut InnerState) -> Result<(), WorkError>,
    ) -> Result<TrainOutput, WorkError> {
        let mut contributor = lock(&self.training);
        let base = self.params(&job.base.model)?;
        let carry = self.carry(job)?;
        let mut state = contributor.start(&base, carry.as_deref()).map_err(work_error)?;
        stop_if_cancelled(control)?;
        change(&base, &mut contributor, &mut state)?;
        let leaf = self.keep_leaf(&contributor.leaf(&state))?;
        let leaves = vec![leaf; job.steps.div_ceil(job.leaf_every) as usize];
        let tokens = u64::from(job.steps) * self.run.step_tokens();
        control.progress(job.steps, job.steps, 0.0, tokens);
        self.finish(&contributor, job, &base, &state, leaves)
    }

    fn cheat(
        &self,
        cheat: Cheat,
        job: &TrainJob,
        control: &Control,
    ) -> Result<TrainOutput, WorkError> {
        match cheat {
            Cheat::SignFlip => self.train_honestly(job, control, |base, state| {
                for (p, b) in state.params_mut().iter_mut().zip(base) {
                    *p = b - (*p - b);
                }
            }),
            Cheat::Lazy => self.make_up(job, control, |_, contributor, state| {
                contributor.step(&task(job), 0, state).map_err(work_error)?;
                Ok(())
            }),
            Cheat::Noise => self.make_up(job, control, |_, _, state| {
                let noise = kernel::random::Stream::new(job.height, "noise", 0);
                for (i, p) in state.params_mut().iter_mut().enumerate() {
                    *p += 1e-2 * noise.normal_at(i as u64);
                }
                Ok(())
            }),
            Cheat::Copy => {
                let mut output = self.make_up(job, control, |_, _, _| Ok(()))?;
                if let Some(update) = self.somebody_elses_update(&output, control)? {
                    output.update = update;
                }
                Ok(output)
            }
        }
    }

    /// Waits for an update that another peer published and this store has fetched since.
    fn somebody_elses_update(
        &self,
        own: &TrainOutput,
        control: &Control,
    ) -> Result<Option<ObjectRef>, WorkError> {
        let len = update::encoded_len(self.run.parameters()) as u64;
        let before = self.store.objects().map_err(store_error)?;
        for _ in 0..600 {
            stop_if_cancelled(control)?;
            std::thread::sleep(std::time::Duration::from_millis(100));
            let fresh = self.store.objects().map_err(store_error)?.into_iter().find(|hash| {
                before.binary_search(hash).is_err()
                    && *hash != own.update.hash
                    && self.store.len_of(hash) == Some(len)
            });
            if let Some(hash) = fresh {
                return Ok(Some(ObjectRef { hash, len }));
            }
        }
        Ok(None)
    }

    /// Re-runs from the base, comparing every leaf up to segment `last` (the encoding included if
    /// it is past the leaves).
    fn audit_from_base(
        &self,
        audit: &AuditJob,
        last: u32,
        control: &Control,
    ) -> Result<AuditOutcome, WorkError> {
        let mut contributor = lock(&self.checking);
        let base = self.params(&audit.job.base.model)?;
        let Some(mut state) = self.start(&contributor, &audit.job, &base)? else {
            return Ok(AuditOutcome::Mismatch { segment: 0 });
        };
        let mut before: Option<Vec<u8>> = None;
        for (segment, claimed) in (0..=last).zip(&audit.claimed.leaves) {
            let ran =
                self.run_segment(&mut contributor, &audit.job, segment, &mut state, control)?;
            let leaf = contributor.leaf(&state);
            if !ran || Hash::of(&leaf) != claimed.hash {
                // Whoever re-runs this segment in the dispute needs what it starts from.
                if let Some(start) = before {
                    self.keep_leaf(&start)?;
                }
                return Ok(AuditOutcome::Mismatch { segment });
            }
            before = Some(leaf);
        }
        if last as usize >= audit.claimed.leaves.len() {
            let outcome = self.audit_encoding(&contributor, audit, &base, &state)?;
            if outcome != AuditOutcome::Confirmed
                && let Some(start) = before
            {
                self.keep_leaf(&start)?;
            }
            return Ok(outcome);
        }
        Ok(AuditOutcome::Confirmed)
    }

    /// Re-runs one segment from its claimed start; from the base if that start cannot be had.
    fn audit_segment(
        &self,
        audit: &AuditJob,
        segment: u32,
        control: &Control,
    ) -> Result<AuditOutcome, WorkError> {
        let mut contributor = lock(&self.checking);
        let base = self.params(&audit.job.base.model)?;
        let start = match segment.checked_sub(1) {
            None => self.start(&contributor, &audit.job, &base)?,
            Some(previous) => match self.object(&audit.claimed.leaves[previous as usize]) {
                Ok(bytes) => Some(contributor.from_leaf(&bytes).map_err(work_error)?),
                Err(WorkError::Missing(_)) => {
                    drop(contributor);
                    return self.audit_from_base(audit, segment, control);
                }
                Err(error) => return Err(error),
            },
        };
        let Some(mut state) = start else {
            return Ok(AuditOutcome::Mismatch { segment });
        };
        let Some(claimed) = audit.claimed.leaves.get(segment as usize) else {
            return self.audit_encoding(&contributor, audit, &base, &state);
        };
        let ran = self.run_segment(&mut contributor, &audit.job, segment, &mut state, control)?;
        if ran && Hash::of(&contributor.leaf(&state)) == claimed.hash {
            Ok(AuditOutcome::Confirmed)
        } else {
            Ok(AuditOutcome::Mismatch { segment })
        }
    }

    /// The state that an audited contribution started with; none if its carry does not decode:
    /// nobody can have worked from that.
    fn start(
        &self,
        contributor: &Contributor,
        job: &TrainJob,
        base: &[f32],
    ) -> Result<Option<InnerState>, WorkError> {
        match contributor.start(base, self.carry(job)?.as_deref()) {
            Ok(state) => Ok(Some(state)),
            Err(ContributionError::Carry(_)) => Ok(None),
            Err(error) => Err(work_error(error)),
        }
    }

    fn audit_encoding(
        &self,
        contributor: &Contributor,
        audit: &AuditJob,
        base: &[f32],
        state: &InnerState,
    ) -> Result<AuditOutcome, WorkError> {
        let before = self.carry(&audit.job)?;
        let same = match contributor.encode(base, state, before.as_deref()) {
            Ok((update, carry)) => {
                let same = Hash::of(&update) == audit.claimed.update.hash
                    && Hash::of(&carry) == audit.claimed.carry.hash;
                if same && self.keep_carry {
                    self.keep_leaf(&carry)?;
                }
                same
            }
            Err(ContributionError::Carry(_)) => false,
            Err(error) => return Err(work_error(error)),
        };
        let segment = audit.claimed.leaves.len() as u32;
        Ok(if same { AuditOutcome::Confirmed } else { AuditOutcome::Mismatch { segment } })
    }

    /// Whether the segment could be run at all: a claimed state that leads to a value that is no
    /// number was not reached by honest work, which stops there.
    fn run_segment(
        &self,
        contributor: &mut Contributor,
        job: &TrainJob,
        segment: u32,
        state: &mut InnerState,
        control: &Control,
    ) -> Result<bool, WorkError> {
        let task = task(job);
        let end = ((segment + 1) * job.leaf_every).min(job.steps);
        for step in segment * job.leaf_every..end {
            stop_if_cancelled(control)?;
            match contributor.step(&task, step, state) {
                Ok(_) => {}
                Err(ContributionError::NonFinite { .. }) => return Ok(false),
                Err(error) => return Err(work_error(error)),
            }
        }
        Ok(true)
    }
}

impl TrainingWorker {
    fn audit_segments(
        &self,
        audit: &AuditJob,
        control: &Control,
    ) -> Result<AuditOutcome, WorkError> {
        let leaves = audit.claimed.leaves.len() as u32;
        match &audit.segments {
            Segments::All => self.audit_from_base(audit, leaves, control),
            Segments::Some(segments) => {
                for segment in segments.iter().filter(|s| **s <= leaves) {
                    let outcome = self.audit_segment(audit, *segment, control)?;
                    if outcome != AuditOutcome::Confirmed {
                        return Ok(outcome);
                    }
                }
                Ok(AuditOutcome::Confirmed)
            }
        }
    }

    fn add_up(&self, job: &AggregateJob) -> Result<AggregateOutput, WorkError> {
        let mut params = self.params(&job.base.model)?;
        let mut momentum = self.momentum(&job.base.outer)?;
        let bad = |worker: PeerId, why: String| WorkError::BadUpdate { worker, why };
        let mut updates = Vec::with_capacity(job.updates.len());
        for included in &job.updates {
            let bytes = self.object(&included.update)?;
            let values = update::decode(&self.kernel, &bytes, params.len())
                .map_err(|e| bad(included.worker, e.to_string()))?;
            updates.push(Weighted { steps: included.steps, values });
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
    fn train(&self, job: &TrainJob, control: &Control) -> Result<TrainOutput, WorkError> {
        WorkTime::add(&self.time.training, || match self.cheat {
            Some(cheat) => self.cheat(cheat, job, control),
            None => self.train_honestly(job, control, |_, _| ()),
        })
    }

    fn audit(&self, audit: &AuditJob, control: &Control) -> Result<AuditOutcome, WorkError> {
        WorkTime::add(&self.time.auditing, || self.audit_segments(audit, control))
    }

    fn aggregate(&self, job: &AggregateJob) -> Result<AggregateOutput, WorkError> {
        WorkTime::add(&self.time.aggregating, || self.add_up(job))
    }

    fn model_parts(&self, manifest: &[u8]) -> Result<Vec<ObjectRef>, WorkError> {
        checkpoint::parts(&self.run.model, &self.tokenizer, manifest).map_err(checkpoint_error)
    }
}

/// The protocol's view of a run manifest.
pub fn protocol_run(run: &RunManifest, id: Hash, initial: State) -> Run {
    Run { id, founder: PeerId(run.founder.0), rules: rules(run), initial }
}

/// The protocol's rules out of a manifest's numbers.
pub fn rules(run: &RunManifest) -> swarm::Rules {
    let rounds = &run.rounds;
    let ms = |seconds: f64| (seconds * 1000.0) as u64;
    let n = run.parameters();
    swarm::Rules {
        rounds: rounds.rounds,
        steps_min: rounds.steps_min,
        steps_max: rounds.steps_max,
        leaf_every: rounds.leaf_every,
        target_ms: ms(rounds.target_seconds),
        commit_timeout_ms: ms(rounds.commit_timeout_seconds),
        view_timeout_ms: ms(rounds.view_timeout_seconds),
        audit_timeout_ms: ms(rounds.audit_timeout_seconds),
        probation: rounds.probation,
        audit_rate_ppm: (rounds.audit_rate * 1e6) as u32,
        audit_segments: rounds.audit_segments,
        min_members: rounds.min_members,
        max_members: rounds.max_members,
        update_len: update::encoded_len(n) as u64,
        leaf_len: recipe::leaf_len(n) as u64,
        carry_len: recipe::carry::carry_len(n) as u64,
        absent_after: rounds.absent_after,
    }
}

fn task(job: &TrainJob) -> Task {
    let worker = Hash(job.worker.0);
    Task { beacon: job.beacon, worker, round: job.round, steps: job.steps }
}

fn stop_if_cancelled(control: &Control) -> Result<(), WorkError> {
    if control.is_cancelled() { Err(WorkError::Cancelled) } else { Ok(()) }
}

/// A panic in one job must not take the others with it: the buffers are written before use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn store_error(error: StoreError) -> WorkError {
    match error {
        StoreError::Missing { hash, .. } | StoreError::Damaged { hash, .. } => {
            WorkError::Missing(hash)
        }
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

fn work_error(error: ContributionError) -> WorkError {
    match error {
        ContributionError::NonFinite { step, why } => WorkError::NonFinite { step, what: why },
        error => other(error),
    }
}

fn other(error: impl std::error::Error) -> WorkError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    WorkError::Other(text)
}
