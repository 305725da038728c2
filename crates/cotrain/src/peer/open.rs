//! A run opened from its manifest, which a stranger may have written.

use super::{Tell, WorkAs};
use crate::{
    Cause,
    events::PeerEvent,
    worker::{TrainingWorker, WorkTime, protocol_run},
};
use ids::Hash;
use kernel::Kernel;
use net::BoxError;
use recipe::{Corpus, CorpusManifest, RunManifest};
use std::{sync::Arc, time::Duration};
use store::{ModelManifest, Store};
use swarm::{Notice, Run, WorkError};

/// More bytes than a tokenizer has.
const MAX_TOKENIZER: u64 = 64 << 20;

/// What checks a manifest and makes what works on its run.
pub(super) fn opener(
    kernel: Kernel,
    time: Arc<WorkTime>,
    work_as: WorkAs,
    tell: Arc<Tell>,
) -> Box<net::swarm::Open> {
    Box::new(move |bytes, store| {
        let (run, worker) = open(bytes, store, kernel, &tell)?;
        Ok((run, work_as(worker.timed(time))))
    })
}

fn open(
    bytes: &[u8],
    store: &Store,
    kernel: Kernel,
    tell: &Tell,
) -> Result<(Run, TrainingWorker), Cause> {
    let run = Arc::new(RunManifest::parse(bytes)?);
    let corpus = Arc::new(Corpus::load(store, &run.corpus.hash)?);
    let (vocab, tokens) = (run.model.vocab, corpus.manifest.vocab);
    if tokens as usize != vocab {
        return Err(format!("the corpus has {tokens} tokens, the model {vocab}").into());
    }
    let worker = TrainingWorker::new(store.clone(), run.clone(), corpus, kernel)?;
    let first = patiently(tell, FIRST_PAUSE, || worker.initial_state())?;
    let protocol = protocol_run(&run, Hash::of(bytes), first);
    protocol.validate()?;
    Ok((protocol, worker))
}

/// Works until what keeps this machine from it has passed.
fn patiently<T>(
    tell: &Tell,
    first_pause: Duration,
    mut work: impl FnMut() -> Result<T, WorkError>,
) -> Result<T, WorkError> {
    let mut pause = first_pause;
    loop {
        match work() {
            Err(error @ WorkError::Passing(_)) => {
                tell(&PeerEvent::Protocol { notice: Notice::Waiting { why: error.to_string() } });
                std::thread::sleep(pause);
                pause = (2 * pause).min(LAST_PAUSE);
            }
            ended => return ended,
        }
    }
}

/// Between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(15);

/// What a run manifest names: its corpus, whose manifest names the rest and nothing further.
pub(super) fn run_parts(manifest: &[u8]) -> Result<Vec<net::FetchRequest>, BoxError> {
    let run = RunManifest::parse(manifest)?;
    let corpus = |manifest: &[u8]| {
        let corpus = CorpusManifest::parse(manifest)?;
        Ok(corpus.references().into_iter().map(net::FetchRequest::from).collect())
    };
    let mut wants = vec![net::FetchRequest::manifest(run.corpus, Arc::new(corpus))];
    if let Some(start) = run.start {
        wants.push(start.outer.into());
        let most = 4 * run.parameters() as u64 + MAX_TOKENIZER;
        let model = move |manifest: &[u8]| model_parts(manifest, most);
        wants.push(net::FetchRequest::manifest(start.model, Arc::new(model)));
    }
    Ok(wants)
}

/// What the manifest of the model names that a run begins from, at most `most` bytes in all.
/// Whether it is this run's model is checked once it is here.
fn model_parts(manifest: &[u8], most: u64) -> Result<Vec<net::FetchRequest>, BoxError> {
    let parts = ModelManifest::parse(manifest)?.references();
    let bytes = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.len));
    match bytes {
        Some(bytes) if bytes <= most => {
            Ok(parts.into_iter().map(net::FetchRequest::from).collect())
        }
        _ => Err(format!("the model to begin from is larger than the run's, {most} bytes").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::RunConfig, founding::Founding};
    use ids::{Identity, ObjectRef};
    use recipe::run::Start;

    #[test]
    fn what_is_no_manifest_names_nothing() {
        assert!(run_parts(b"name = 'x'").is_err());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("an empty store");
        let kernel = Kernel::new(kernel::Isa::best(), 1);
        let tell: Tell = Box::new(|_| ());
        let Err(error) = open(b"name = 'x'", &store, kernel, &tell) else { panic!("it is none") };
        assert!(net::with_causes(&*error).contains("run manifest"), "{error}");
    }

    #[test]
    fn who_is_held_by_its_disk_says_so_and_tries_again() {
        let told = Arc::new(std::sync::Mutex::new(0));
        let count = told.clone();
        let tell: Tell = Box::new(move |_| *count.lock().expect("nobody panics") += 1);
        let mut left = 3;
        let work = || match left {
            0 => Ok("done"),
            _ => {
                left -= 1;
                Err(WorkError::Passing("full".to_owned()))
            }
        };
        assert_eq!(patiently(&tell, Duration::from_millis(1), work), Ok("done"));
        assert_eq!(*told.lock().expect("nobody panics"), 3);
        let never = || Err::<(), _>(WorkError::Other("broken".to_owned()));
        assert!(patiently(&tell, Duration::ZERO, never).is_err());
    }

    #[test]
    fn a_run_names_its_corpus_and_what_it_begins_from() {
        let founder = Identity::from_seed([1; 32]).id();
        let corpus = ObjectRef::of(b"corpus");
        let made = RunConfig::default().manifest(founder, &Founding::default(), corpus, 4096);
        let mut run = made.expect("valid");
        let wants = |run: &RunManifest| run_parts(run.to_toml().as_bytes()).expect("valid").len();
        assert_eq!(wants(&run), 1);
        run.start = Some(Start { model: ObjectRef::of(b"model"), outer: ObjectRef::of(b"outer") });
        assert_eq!(wants(&run), 3);
    }

    #[test]
    fn a_model_to_begin_from_has_at_most_so_many_bytes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("an empty store");
        let decoder = model::Decoder::tiny(512);
        let params = vec![0.0; decoder.parameters() as usize];
        let tokenizer = ObjectRef { hash: Hash::of(b"tokenizer"), len: 9 };
        let saved = recipe::Checkpoint { decoder, params, tokenizer }.save(&store).expect("saved");
        let bytes = store.get(&saved.hash).expect("it is there");
        let parts = ModelManifest::parse(&bytes).expect("a manifest").references();
        let all = parts.iter().map(|part| part.len).sum();
        assert_eq!(model_parts(&bytes, all).expect("it fits").len(), parts.len());
        assert!(model_parts(&bytes, all - 1).is_err_and(|why| why.to_string().contains("larger")));
    }
}
