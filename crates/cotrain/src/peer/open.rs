//! A run opened from its manifest, which a stranger may have written.

use super::WorkAs;
use crate::{
    Cause, causes,
    worker::{TrainingWorker, WorkTime, protocol_run},
};
use ids::Hash;
use kernel::Kernel;
use recipe::{Corpus, CorpusManifest, RunManifest};
use std::sync::Arc;
use store::{ModelManifest, Store};
use swarm::Run;

/// More bytes than a tokenizer has.
const MAX_TOKENIZER: u64 = 64 << 20;

/// What checks a manifest and makes what works on its run.
pub(super) fn opener(
    kernel: Kernel,
    time: Arc<WorkTime>,
    work_as: WorkAs,
) -> Box<net::swarm::Open> {
    Box::new(move |bytes, store| {
        let (run, worker) = open(bytes, store, kernel).map_err(|e| causes(&*e))?;
        Ok((run, work_as(worker.timed(time))))
    })
}

fn open(bytes: &[u8], store: &Store, kernel: Kernel) -> Result<(Run, TrainingWorker), Cause> {
    let run = Arc::new(RunManifest::parse(bytes)?);
    let corpus = Arc::new(Corpus::load(store, &run.corpus.hash)?);
    let (vocab, tokens) = (run.model.vocab, corpus.manifest.vocab);
    if tokens as usize != vocab {
        return Err(format!("the corpus has {tokens} tokens, the model {vocab}").into());
    }
    let worker = TrainingWorker::new(store.clone(), run.clone(), corpus, kernel)?;
    let protocol = protocol_run(&run, Hash::of(bytes), worker.initial_state()?);
    protocol.validate()?;
    Ok((protocol, worker))
}

/// What a run manifest names: its corpus, whose manifest names the rest and nothing further.
pub(super) fn run_parts(manifest: &[u8]) -> Result<Vec<net::Want>, String> {
    let run = RunManifest::parse(manifest).map_err(|e| e.to_string())?;
    let corpus = |manifest: &[u8]| {
        let corpus = CorpusManifest::parse(manifest).map_err(|e| e.to_string())?;
        Ok(corpus.references().into_iter().map(net::Want::from).collect())
    };
    let mut wants = vec![net::Want::manifest(run.corpus, Arc::new(corpus))];
    if let Some(start) = run.start {
        wants.push(start.outer.into());
        let most = 4 * run.parameters() as u64 + MAX_TOKENIZER;
        let model = move |manifest: &[u8]| model_parts(manifest, most);
        wants.push(net::Want::manifest(start.model, Arc::new(model)));
    }
    Ok(wants)
}

/// What the manifest of the model names that a run begins from, at most `most` bytes in all.
/// Whether it is this run's model is checked once it is here.
fn model_parts(manifest: &[u8], most: u64) -> Result<Vec<net::Want>, String> {
    let parts = ModelManifest::parse(manifest).map_err(|e| e.to_string())?.references();
    let bytes = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.len));
    match bytes {
        Some(bytes) if bytes <= most => Ok(parts.into_iter().map(net::Want::from).collect()),
        _ => Err(format!("the model to begin from is larger than the run's, {most} bytes")),
    }
}
