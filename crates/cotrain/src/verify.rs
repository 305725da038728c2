//! A run checked from its stored objects alone.
//!
//! Nothing in the run's folder is written. The peers' stores are laid over each other in a
//! scratch store of links; what has to be computed lands there.

mod found;
mod history;
mod marks;
mod rerun;
mod schedule;
mod stores;

use crate::{
    RUN_REF,
    marks::Marks,
    worker::{TrainingWorker, protocol_run},
};
pub use found::{
    ChainFound, Finding, Found, OtherSum, Outcome, Part, PeerFound, Rerun, RerunCounts, Roots,
    RunFound, Verdict,
};
use history::History;
use ids::{Hash, ObjectRef};
use kernel::Kernel;
pub use marks::{MarkChecked, MarkFound, MarksFound};
use progress::{At, Work};
use recipe::{ContributionError, Corpus, CorpusError, CorpusManifest, RunError, RunManifest};
use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::{LogError, Store, StoreError};
use stores::Peer;
use swarm::{State, WorkError};

/// Why a run could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A store cannot be read.
    #[error("reading {folder}")]
    Reading {
        /// The store's folder.
        folder: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file cannot be read or written.
    #[error("{doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The run is one under rules that this program follows no more.
    #[error(transparent)]
    Old(RunError),
    /// Work on the run cannot begin.
    #[error(transparent)]
    Contribution(#[from] ContributionError),
    /// The run's first model cannot be made.
    #[error(transparent)]
    Model(#[from] model::DecoderError),
    /// The run's first state cannot be computed.
    #[error("the initial state")]
    Initial(#[source] WorkError),
    /// Whoever was told had enough.
    #[error("stopped before the end")]
    Stopped,
}

/// How far a verification is.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Stores are hashed, rounds are added up again, or contributions computed again, in whatever
    /// order.
    At(At),
    /// Contributions are about to be re-run.
    Estimate {
        /// So many.
        contributions: usize,
        /// Their inner steps in all.
        steps: u32,
        /// How long it may take.
        time: Duration,
    },
    /// The next contribution in order was re-run.
    Reran(&'a Rerun),
}

/// Whoever is told how far it is, and may have it stop.
pub type Tell<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Tells that so much of `total` is done.
fn counted(tell: &mut Tell<'_>, work: Work, done: u64, total: u64) -> Result<(), VerifyError> {
    told(tell, Progress::At(At { work, done, total, fresh: done }))
}

fn told(tell: &mut Tell<'_>, progress: Progress<'_>) -> Result<(), VerifyError> {
    match tell(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(VerifyError::Stopped),
    }
}

/// A verification whose history is read, and whose contributions are still to be computed again.
pub struct Verification {
    found: Found,
    run: Option<(OpenRun, History)>,
}

impl Verification {
    /// Reads what the peers in `folders` have; `scratch` is a folder for what is computed.
    ///
    /// Errors: a file cannot be read or written, or `tell` wants no more. Whatever is wrong with the
    /// run is a finding.
    pub fn begin(
        folders: &[PathBuf],
        scratch: &Path,
        kernel: Kernel,
        tell: &mut Tell<'_>,
    ) -> Result<Self, VerifyError> {
        let mut found = Found::default();
        let (peers, overlay) = stores::open(folders, scratch, kernel.threads(), &mut found, tell)?;
        let Some(run) = OpenRun::open(&peers, overlay, kernel, &mut found)? else {
            return Ok(Self { found, run: None });
        };
        let history = History::read(&peers, &run, &mut found);
        stores::check_refs(&peers, &history, &mut found)?;
        Ok(Self { found, run: Some((run, history)) })
    }

    /// The run whose history was read, where there is one.
    pub fn run(&self) -> Option<Hash> {
        self.run.as_ref().map(|(_, history)| history.run)
    }

    /// Compares the history with what members of a commons have marked of the run.
    pub fn compare(&mut self, marks: Marks) {
        if let Some((_, history)) = &self.run {
            marks::check(marks, history, &mut self.found);
        }
    }

    /// Adds up every round again and re-runs `share` of the contributions, 0 to 1, drawn by `seed`.
    ///
    /// Errors: the work cannot be done here, or `tell` wants no more. Whatever is wrong with the
    /// run is a finding.
    pub fn finish(self, share: f64, seed: u64, tell: &mut Tell<'_>) -> Result<Found, VerifyError> {
        let Self { mut found, run } = self;
        if let Some((run, history)) = &run {
            history.replay(run, &mut found, tell)?;
            rerun::rerun((share, seed), run, history, &mut found, tell)?;
        }
        Ok(found)
    }
}

/// Stands for the initial state until that is known.
const NO_STATE: State = {
    let none = ObjectRef { hash: Hash([0; 32]), len: 0 };
    State { model: none, outer: none }
};

/// A run whose manifest and corpus are at hand.
struct OpenRun {
    /// Every peer's undamaged objects, and what was computed since.
    store: Store,
    manifest: Arc<RunManifest>,
    corpus: Arc<Corpus>,
    kernel: Kernel,
    /// With the initial state as computed here.
    protocol: swarm::Run,
}

impl OpenRun {
    /// Reads what everything else needs; `None` if something is not there, which is then among the
    /// findings.
    fn open(
        peers: &[Peer],
        store: Store,
        kernel: Kernel,
        found: &mut Found,
    ) -> Result<Option<Self>, VerifyError> {
        let Some(id) = run_id(peers, found) else {
            found.find(Finding::NoRun);
            return Ok(None);
        };
        let Some(bytes) = needed(&store, &id, Part::Manifest, found)? else {
            return Ok(None);
        };
        let manifest = match RunManifest::parse(&bytes) {
            Ok(manifest) => Arc::new(manifest),
            Err(old @ RunError::Old(_)) => return Err(VerifyError::Old(old)),
            Err(e) => {
                found.find(Finding::NoManifest { object: id, why: e.to_string() });
                return Ok(None);
            }
        };
        let (name, rounds) = (manifest.name.clone(), manifest.rounds.rounds);
        found.run = Some(RunFound { id, name, rounds });
        let Some(corpus) = open_corpus(&store, &manifest.corpus, found)? else { return Ok(None) };
        let fits = corpus.manifest.vocab as usize == manifest.model.vocab;
        let run = protocol_run(&manifest, id, NO_STATE);
        if !fits || run.validate().is_err() {
            found.find(Finding::ImpossibleRun { run: id });
            return Ok(None);
        }
        let worker =
            TrainingWorker::new(store.clone(), manifest.clone(), corpus.clone(), kernel.clone())?;
        let initial = match worker.initial_state() {
            Ok(initial) => initial,
            Err(WorkError::Missing(hash)) => {
                found.find(Finding::Missing { object: hash, part: Part::Start });
                return Ok(None);
            }
            Err(error) => return Err(VerifyError::Initial(error)),
        };
        let protocol = swarm::Run { initial, ..run };
        Ok(Some(Self { store, manifest, corpus, kernel, protocol }))
    }

    /// Somebody to do the work again, on `threads` threads.
    fn worker(&self, threads: usize) -> Result<TrainingWorker, VerifyError> {
        let kernel = Kernel::new(self.kernel.isa(), threads);
        let (store, manifest) = (self.store.clone(), self.manifest.clone());
        let worker = TrainingWorker::new(store, manifest, self.corpus.clone(), kernel)?;
        Ok(worker.alone())
    }
}

/// The run that the logs are about; without any, the one that the refs name.
fn run_id(peers: &[Peer], found: &mut Found) -> Option<Hash> {
    let logs = peers.iter().find_map(|p| p.log.run);
    let id = logs.or_else(|| peers.iter().find_map(|p| p.run_ref))?;
    for peer in peers {
        if let Some(other) = peer.log.run.filter(|other| *other != id) {
            found.find(Finding::LogOfOtherRun { log: peer.log_path(), other, run: id });
        }
        if let Some(other) = peer.run_ref.filter(|other| *other != id) {
            found.find(Finding::RefToOtherRun { file: peer.ref_path(RUN_REF), other, run: id });
        }
    }
    Some(id)
}

fn open_corpus(
    store: &Store,
    root: &ObjectRef,
    found: &mut Found,
) -> Result<Option<Arc<Corpus>>, VerifyError> {
    let Some(bytes) = needed(store, &root.hash, Part::CorpusManifest, found)? else {
        return Ok(None);
    };
    if let Ok(manifest) = CorpusManifest::parse(&bytes) {
        let mut whole = true;
        for object in manifest.references() {
            if !store.has(&object.hash) {
                found.find(Finding::Missing { object: object.hash, part: Part::Corpus });
                whole = false;
            }
        }
        if !whole {
            return Ok(None);
        }
    }
    match Corpus::load(store, &root.hash) {
        Ok(corpus) => Ok(Some(Arc::new(corpus))),
        Err(CorpusError::Store(e)) => Err(e.into()),
        Err(e) => {
            found.find(Finding::BadCorpus { corpus: root.hash, why: e.to_string() });
            Ok(None)
        }
    }
}

/// An object that nothing can go on without.
fn needed(
    store: &Store,
    hash: &Hash,
    part: Part,
    found: &mut Found,
) -> Result<Option<Vec<u8>>, VerifyError> {
    match store.get(hash) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::Missing { .. }) => {
            found.find(Finding::Missing { object: *hash, part });
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}
