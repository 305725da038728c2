//! Measures every new root on the held-out text, beside the peers.

use crate::kernel_for;
use anyhow::{Context, Result};
use ids::Hash;
use recipe::{Checkpoint, Corpus, RunManifest, held_out::HeldOut};
use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};
use store::Store;

/// Held-out tokens measured every round; all of them at the end.
const QUICK_TOKENS: usize = 1 << 14;

/// A thread that measures.
pub struct Judge {
    questions: Sender<(PathBuf, u32, Hash)>,
    answers: Receiver<Answer>,
    thread: JoinHandle<Result<()>>,
    store: PathBuf,
}

/// What it found.
pub enum Answer {
    /// Bits per byte of a compressor.
    Baseline(String, f64),
    /// Bits per byte of a root.
    Model { round: u32, root: Hash, bits: f64 },
}

impl Judge {
    /// Starts measuring for the run whose corpus is in `store`.
    pub fn start(store: PathBuf) -> Result<Self> {
        let (questions, asked) = channel();
        let (answer, answers) = channel();
        let path = store.clone();
        let thread = std::thread::Builder::new()
            .name("judge".to_owned())
            .spawn(move || judge(&path, &asked, &answer))?;
        Ok(Self { questions, answers, thread, store })
    }

    /// Asks for the root of a round, to be found in `store`.
    pub fn ask(&self, store: PathBuf, round: u32, root: Hash) {
        // If the thread has failed, `finish` says why.
        let _ = self.questions.send((store, round, root));
    }

    /// What was found since the last call.
    pub fn answers(&self) -> Vec<Answer> {
        self.answers.try_iter().collect()
    }

    /// Ends the thread and measures `root` on all held-out text: bits per byte, and of how many
    /// bytes.
    pub fn finish(self, root: &Hash) -> Result<(f64, u64)> {
        drop(self.questions);
        self.thread.join().map_err(|_| anyhow::anyhow!("measuring panicked"))??;
        let (store, run, corpus) = open(&self.store)?;
        let mut all = HeldOut::new(&corpus, &run.model, run.inner.seq, 0);
        let params = Checkpoint::load(&store, root)?.params;
        Ok((all.bits_per_byte(&kernel_for(None)?, &params)?, all.bytes()))
    }
}

fn open(path: &PathBuf) -> Result<(Store, RunManifest, Corpus)> {
    let store = Store::open_existing(path)?;
    let id = store.get_ref(cotrain::RUN_REF)?.context("the store has no run")?;
    let run = RunManifest::parse(&store.get(&id)?)?;
    let corpus = Corpus::load(&store, &run.corpus.hash)?;
    Ok((store, run, corpus))
}

fn judge(
    path: &PathBuf,
    asked: &Receiver<(PathBuf, u32, Hash)>,
    answer: &Sender<Answer>,
) -> Result<()> {
    let (store, run, corpus) = open(path)?;
    let text = store.get(&corpus.manifest.held_out_text.hash)?;
    for (name, bits) in crate::compress::compressors(&text) {
        let _ = answer.send(Answer::Baseline(name, bits));
    }
    let mut quick = HeldOut::new(&corpus, &run.model, run.inner.seq, QUICK_TOKENS);
    let kernel = kernel_for(Some(1))?;
    let untrained = model::init(&run.model, run.seed)?;
    let bits = quick.bits_per_byte(&kernel, &untrained)?;
    let _ = answer.send(Answer::Model { round: 0, root: Hash::default(), bits });
    let mut last = None;
    while let Ok(mut question) = asked.recv() {
        // Only the newest is worth the time.
        while let Ok(newer) = asked.try_recv() {
            if newer.1 >= question.1 {
                question = newer;
            }
        }
        let (path, round, root) = question;
        if last == Some(root) {
            continue;
        }
        let Ok(checkpoint) = Store::open_existing(path)
            .map_err(anyhow::Error::from)
            .and_then(|s| Ok(Checkpoint::load(&s, &root)?))
        else {
            continue;
        };
        let bits = quick.bits_per_byte(&kernel, &checkpoint.params)?;
        last = Some(root);
        let _ = answer.send(Answer::Model { round, root, bits });
    }
    Ok(())
}
