//! The work itself, which this crate only names: training, audits, aggregation.

use crate::{ObjectRef, State};
use ids::{Hash, PeerId};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// One contribution to compute: a pure function of these fields (and the objects they name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainJob {
    /// Height of the record that would include it.
    pub height: u64,
    /// Round, from 0.
    pub round: u32,
    /// State to start from.
    pub base: State,
    /// Beacon of the record that the round starts from: keys the data drawn.
    pub beacon: Hash,
    /// Whose contribution.
    pub worker: PeerId,
    /// Inner steps.
    pub steps: u32,
    /// The worker's carry after its last included contribution; `None` before the first.
    pub carry: Option<ObjectRef>,
}

/// What a contribution consists of; a [`crate::Commit`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainOutput {
    /// The hash of the training state after each inner step, one after the other: 32 bytes each.
    pub trail: ObjectRef,
    /// The compressed update.
    pub update: ObjectRef,
    /// What the worker carries into its next contribution.
    pub carry: ObjectRef,
}

/// What training made; all of it is in the store when [`Worker::train`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trained {
    /// What is committed to.
    pub output: TrainOutput,
    /// Training states that were kept on the way, so that [`Worker::open`] need not begin at the
    /// base. Nobody else is told of them.
    pub kept: Vec<ObjectRef>,
}

/// A request to show training states of an own contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenJob {
    /// Comes back with the result.
    pub id: u64,
    /// What was computed.
    pub job: TrainJob,
    /// What [`Trained::kept`] has of it.
    pub kept: Vec<ObjectRef>,
    /// The states before these steps are wanted, in ascending order; [`TrainJob::steps`] stands
    /// for the last state. (The state before step 0 is the base's and needs no opening.)
    pub steps: Vec<u32>,
}

/// A claimed contribution to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditJob {
    /// Comes back with the result.
    pub id: u64,
    /// What should have been computed.
    pub job: TrainJob,
    /// What was claimed.
    pub claimed: TrainOutput,
    /// What to re-run.
    pub sample: Sample,
    /// Whose digest to make ([`AuditOutcome::Confirmed`]).
    pub auditor: PeerId,
}

/// Parts of a contribution. With `H` steps, part `s < H` is step `s`: from the state after step
/// `s − 1` (or the base) to the state after it; part `H` encodes update and carry from the last
/// state, the base and the carry before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Everything, from the base.
    All,
    /// These parts, in ascending order.
    Parts(Vec<u32>),
}

impl Sample {
    /// The first part of it, which an "unavailable" names.
    pub fn first_part(&self) -> u32 {
        match self {
            Self::All => 0,
            Self::Parts(parts) => parts.first().copied().unwrap_or(0),
        }
    }

    /// Whether re-running it, of a contribution of so many steps, looks at this part. The encoding is
    /// looked at in any case.
    pub(crate) fn covers(&self, part: u32, steps: u32) -> bool {
        match self {
            Self::All => true,
            Self::Parts(parts) => part == steps || parts.contains(&part),
        }
    }

    /// Whether this can be what came of re-running it.
    pub(crate) fn allows(&self, finding: &crate::Finding) -> bool {
        match finding {
            crate::Finding::Unavailable { part, .. } => *part == self.first_part(),
            crate::Finding::Confirmed { .. } | crate::Finding::Mismatch { .. } => true,
        }
    }
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// Every re-run part gave the claimed hashes.
    Confirmed {
        /// `H(auditor ‖ gradients of the re-run steps)`: only who re-ran them can make it, and it
        /// is another one for each auditor. Where only the encoding was re-run, of its bytes.
        digest: Hash,
    },
    /// This part, started from its claimed beginning, gives another hash than claimed; or what the
    /// contribution names for it cannot be what it should be (a wrong length, a carry out of
    /// bounds): honest work never does.
    Mismatch {
        /// Number of the part in the contribution, from 0.
        part: u32,
    },
    /// These training states are needed too. Each is of the run's state length.
    Needs {
        /// What to fetch, by hash and length.
        states: Vec<ObjectRef>,
    },
    /// An object that the job names is not in the store.
    Unavailable {
        /// Name of the object.
        missing: Hash,
    },
}

/// Updates to add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateJob {
    /// Comes back with the result.
    pub id: u64,
    /// State the updates belong to.
    pub base: State,
    /// The updates, in the order of their workers' keys.
    pub updates: Vec<Included>,
}

/// One update in an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Included {
    /// Whose.
    pub worker: PeerId,
    /// Its weight in the sum, in inner steps; 0 counts for nothing.
    pub weight: u64,
    /// Its author's standing: its weight in the median of norms that bounds all of them.
    pub standing: u64,
    /// The update.
    pub update: ObjectRef,
}

/// What adding up gives.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateOutput {
    /// The next state, in the store.
    pub state: State,
    /// Norm of each update, in the order of the job.
    pub norms: Vec<f32>,
    /// Which updates were clipped.
    pub clipped: Vec<bool>,
}

/// Why work gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// [`Control::is_cancelled`] said so.
    #[error("cancelled")]
    Cancelled,
    /// A value that is no number; the run cannot go on from here.
    #[error("non-finite {what} at step {step}")]
    NonFinite {
        /// Inner step, from 0.
        step: u32,
        /// Which value.
        what: String,
    },
    /// An object that is not in the store.
    #[error("object {0} is missing")]
    Missing(Hash),
    /// An update that does not decode.
    #[error("update of {} is invalid: {why}", worker.short())]
    BadUpdate {
        /// Whose.
        worker: PeerId,
        /// What is wrong with it.
        why: String,
    },
    /// Something of this machine that may pass by itself, such as a full disk; for people.
    #[error("{0}; it is tried again until that has passed")]
    Passing(String),
    /// Anything else, for people.
    #[error("{0}")]
    Other(String),
}

/// The work of a participant, over real training in the program and over hashes in simulations.
/// Calls block; the driver makes them from threads of its own.
///
/// Every method is a pure function of its job and of the objects the job names: another machine
/// must get the same bits, or it will look like a cheat.
pub trait Worker: Send + Sync + 'static {
    /// Computes a contribution.
    ///
    /// Errors: [`WorkError::Cancelled`] soon after the control says so; whatever else failed.
    fn train(&self, job: &TrainJob, control: &Control) -> Result<Trained, WorkError>;

    /// Puts training states of an own contribution into the store and names them, in the order of
    /// the job; computes again what was not kept.
    ///
    /// Errors: as [`Worker::train`].
    fn open(&self, job: &OpenJob, control: &Control) -> Result<Vec<ObjectRef>, WorkError>;

    /// Re-runs parts of a claimed contribution.
    ///
    /// Errors: as [`Worker::train`], for what is no fault of the claim: a claimed input that
    /// cannot be used is a mismatch, one that cannot be had an outcome too.
    fn audit(&self, job: &AuditJob, control: &Control) -> Result<AuditOutcome, WorkError>;

    /// Adds up updates into the next state.
    ///
    /// Errors: [`WorkError::BadUpdate`] with the culprit if an update does not decode.
    fn aggregate(&self, job: &AggregateJob) -> Result<AggregateOutput, WorkError>;

    /// What the manifest of a model of this run names, so that a checkpoint can be fetched whole.
    /// Their number and lengths follow from the run's rules, not from the manifest.
    ///
    /// Errors: [`WorkError::Other`] for bytes that are no manifest of this run's model: other
    /// tensors, names, shapes or lengths.
    fn model_parts(&self, manifest: &[u8]) -> Result<Vec<ObjectRef>, WorkError>;
}

/// How training tells how far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Inner steps done.
    pub step: u32,
    /// Inner steps in all.
    pub steps: u32,
    /// Training loss of the last step, nats per token.
    pub loss: f32,
    /// Tokens trained on so far in this job.
    pub tokens: u64,
}

type Report = dyn Fn(Progress) + Send + Sync;

/// The driver's hand on a running job.
#[derive(Clone)]
pub struct Control {
    cancelled: Arc<AtomicBool>,
    report: Arc<Report>,
}

impl Control {
    /// A control whose progress goes to `report`.
    pub fn new(report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self { cancelled: Arc::default(), report: Arc::new(report) }
    }

    /// A control that nobody listens to.
    pub fn quiet() -> Self {
        Self::new(|_| ())
    }

    /// Asks the job to stop; every clone of this control sees it.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the job should stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Tells the driver how far the job is.
    pub fn progress(&self, step: u32, steps: u32, loss: f32, tokens: u64) {
        (self.report)(Progress { step, steps, loss, tokens });
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn control_reaches_every_clone() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let control = Control::new(move |p| sink.lock().expect("no panic inside").push(p.step));
        let other = control.clone();
        assert!(!other.is_cancelled());
        control.cancel();
        other.progress(3, 4, 1.0, 9);
        assert!(other.is_cancelled());
        assert_eq!(*seen.lock().expect("no panic inside"), [3]);
    }
}
