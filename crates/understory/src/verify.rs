//! `understory verify`: a run checked from its stored objects alone.
//!
//! Nothing in the run's folder is written. The peers' stores are laid over each other in a
//! scratch store of links; what has to be computed lands there and goes away at the end.

mod history;
mod marks;
mod report;
mod rerun;
mod schedule;
mod stores;

use crate::{
    cli::VerifyArgs, commons::Scribe, hint::WithHint, kernel_for, model_source::peer_folders,
    scratch::Scratch, worker, worker::TrainingWorker,
};
use anyhow::{Context, Result};
use history::History;
use ids::{Hash, ObjectRef};
use kernel::Kernel;
use recipe::{Corpus, CorpusError, CorpusManifest, RunError, RunManifest};
use report::{Report, Verdict};
use std::{process::ExitCode, sync::Arc, time::Instant};
use store::{Store, StoreError};
use stores::Peer;
use swarm::{State, WorkError};

/// Checks the run in `args.run` and says what came out: exit status 0 confirmed, 1 mismatch,
/// 2 unavailable.
pub fn verify(args: &VerifyArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let folders = peer_folders(&args.run);
    if folders.is_empty() {
        return Err(anyhow::anyhow!("no run at {}", args.run.display()))
            .hint("name the folder of a demo, or the one given to `understory swarm` with --dir");
    }
    let kernel = kernel_for(args.threads)?;
    let scribe = args.commons.as_deref();
    let scribe =
        scribe.map(|dir| Scribe::of_member(dir, args.keys.as_deref())).transpose()?.flatten();
    let scratch = Scratch::new("verify")?;
    let mut report = Report::new(args)?;
    let (peers, overlay) = stores::open(&folders, &scratch, kernel.threads(), &mut report)?;
    if let Some(run) = OpenRun::open(&peers, overlay, kernel, &mut report)? {
        let history = History::read(&peers, &run, &mut report);
        stores::check_refs(&peers, &history, &mut report)?;
        if let Some(dir) = &args.commons {
            marks::check(dir, &history, &mut report)?;
        }
        history.replay(&run, &mut report)?;
        rerun::rerun(args, &run, &history, &mut report)?;
    }
    if let Some(scribe) = &scribe {
        judge(scribe, &report)?;
    }
    report.seconds = begun.elapsed().as_secs_f64();
    report.print()?;
    Ok(ExitCode::from(match report.verdict() {
        Verdict::Confirmed => 0,
        Verdict::Mismatch => 1,
        Verdict::Unavailable => 2,
    }))
}

/// Says in a commons what was found, if it was found.
fn judge(scribe: &Scribe, report: &Report) -> Result<()> {
    let (Some(root), verdict) = (report.newest_model(), report.verdict()) else { return Ok(()) };
    if verdict != Verdict::Unavailable && !scribe.judge(&root, verdict == Verdict::Confirmed)? {
        eprintln!("the commons has no derivation of {root} by somebody else");
    }
    Ok(())
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
    /// Reads what everything else needs; `None` if something is not there, which is then in the
    /// report.
    fn open(
        peers: &[Peer],
        store: Store,
        kernel: Kernel,
        report: &mut Report,
    ) -> Result<Option<Self>> {
        let Some(id) = run_id(peers, report) else {
            report.unavailable("no peer has a readable log or a ref to its run".to_owned());
            return Ok(None);
        };
        let Some(bytes) = needed(&store, &id, "the run's manifest", report)? else {
            return Ok(None);
        };
        let manifest = match RunManifest::parse(&bytes) {
            Ok(manifest) => Arc::new(manifest),
            Err(old @ RunError::Old(_)) => return Err(old.into()),
            Err(e) => {
                report.mismatch(format!("object {id} is no run manifest: {e}"));
                return Ok(None);
            }
        };
        report.run = Some((id, manifest.name.clone(), manifest.rounds.rounds));
        let Some(corpus) = open_corpus(&store, &manifest.corpus, report)? else { return Ok(None) };
        let fits = corpus.manifest.vocab as usize == manifest.model.vocab;
        let run = worker::protocol_run(&manifest, id, NO_STATE);
        if !fits || run.validate().is_err() {
            report.mismatch(format!("run {id} has rules or a vocabulary that no run can have"));
            return Ok(None);
        }
        let worker = TrainingWorker::new(
            store.clone(),
            manifest.clone(),
            corpus.clone(),
            kernel.clone(),
            None,
        )?;
        let initial = match worker.initial_state() {
            Ok(initial) => initial,
            Err(WorkError::Missing(hash)) => {
                report.missing(&hash, "a part of the state that the run begins from");
                return Ok(None);
            }
            Err(error) => return Err(error).context("the initial state"),
        };
        let protocol = swarm::Run { initial, ..run };
        Ok(Some(Self { store, manifest, corpus, kernel, protocol }))
    }

    /// Somebody to do the work again, on `threads` threads.
    fn worker(&self, threads: usize) -> Result<TrainingWorker> {
        let kernel = Kernel::new(self.kernel.isa(), threads);
        let (store, manifest) = (self.store.clone(), self.manifest.clone());
        let worker = TrainingWorker::new(store, manifest, self.corpus.clone(), kernel, None)?;
        Ok(worker.alone())
    }
}

/// The run that the logs are about; without any, the one that the refs name.
fn run_id(peers: &[Peer], report: &mut Report) -> Option<Hash> {
    let logs = peers.iter().find_map(|p| p.log.run);
    let id = logs.or_else(|| peers.iter().find_map(|p| p.run_ref))?;
    for peer in peers {
        if let Some(other) = peer.log.run.filter(|other| *other != id) {
            report.mismatch(format!(
                "{}: is about run {other}, another peer's about {id}",
                peer.log_path().display()
            ));
        }
        if let Some(other) = peer.run_ref.filter(|other| *other != id) {
            report.mismatch(format!(
                "{}: names run {other}, the log is about {id}",
                peer.ref_path("run").display()
            ));
        }
    }
    Some(id)
}

fn open_corpus(
    store: &Store,
    root: &ObjectRef,
    report: &mut Report,
) -> Result<Option<Arc<Corpus>>> {
    let Some(bytes) = needed(store, &root.hash, "the corpus's manifest", report)? else {
        return Ok(None);
    };
    if let Ok(manifest) = CorpusManifest::parse(&bytes) {
        let mut whole = true;
        for object in manifest.references() {
            if !store.has(&object.hash) {
                report.missing(&object.hash, "a part of the corpus");
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
            report.mismatch(format!("corpus {}: {e}", root.hash));
            Ok(None)
        }
    }
}

/// An object that nothing can go on without.
fn needed(store: &Store, hash: &Hash, what: &str, report: &mut Report) -> Result<Option<Vec<u8>>> {
    match store.get(hash) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::Missing { .. }) => {
            report.missing(hash, what);
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}
