//! The work itself, which this crate only names: training, audits, aggregation.

use crate::{ObjectRef, PeerId, State};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use store::Hash;

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
    /// A leaf after every so many steps.
    pub leaf_every: u32,
    /// The worker's carry after its last included contribution; `None` before the first.
    pub carry: Option<ObjectRef>,
}

/// What training makes; all of it is in the store when [`Worker::train`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainOutput {
    /// Training state after every `leaf_every` steps; the last after `steps`.
    pub leaves: Vec<ObjectRef>,
    /// The compressed update.
    pub update: ObjectRef,
    /// What the worker carries into its next contribution.
    pub carry: ObjectRef,
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
    pub segments: Segments,
}

/// Parts of a contribution. With L leaves, segment `s < L` runs steps `s·J .. (s+1)·J` from leaf
/// `s − 1` (or the base) to leaf `s`; segment `L` encodes the update from the last leaf, the base
/// and the carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segments {
    /// Everything, from the base.
    All,
    /// These, in ascending order.
    Some(Vec<u32>),
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// Every re-run segment gave the claimed hashes.
    Confirmed,
    /// This segment, started from its claimed beginning, gives another hash than claimed.
    Mismatch { segment: u32 },
    /// Something the re-run needs could not be had.
    Unavailable { missing: Hash },
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
    /// Inner steps: its weight.
    pub steps: u32,
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
    fn train(&self, job: &TrainJob, control: &Control) -> Result<TrainOutput, WorkError>;

    /// Re-runs parts of a claimed contribution; may itself fall back to re-running from the base
    /// when a leaf to start from is missing.
    ///
    /// Errors: as [`Worker::train`]; what could not be had is an outcome, not an error.
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
