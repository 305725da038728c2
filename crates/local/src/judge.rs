//! Measures every new model on the held-out text, beside the peers.

use crate::compress::compressors;
use ids::Hash;
use kernel::Kernel;
use model::{DecoderError, TrainError};
use recipe::{
    Checkpoint, CheckpointError, Corpus, CorpusError, RunError, RunManifest, held_out::HeldOut,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};
use store::{Store, StoreError};

/// Held-out tokens measured every round; all of them at the end.
const QUICK_TOKENS: usize = 1 << 14;

/// A thread that measures.
#[derive(Debug)]
pub struct Judge {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
    thread: JoinHandle<Result<(), JudgeError>>,
    store: PathBuf,
}

/// What it found.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A compressor's name, and the bits that it makes of a byte of the text.
    Baseline(String, f64),
    /// What a model makes of it.
    Model {
        /// After this round; 0 for the model that training begins with.
        round: u32,
        /// The model's root.
        root: Hash,
        /// Bits per byte.
        bits: f64,
    },
}

/// What is to be measured.
#[derive(Debug)]
struct Question {
    store: PathBuf,
    round: u32,
    root: Hash,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// No thread could be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The thread ended by a fault of this program.
    #[error("measuring panicked")]
    Panicked,
    /// The store belongs to no run.
    #[error("the store has no run")]
    NoRun,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run's manifest cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The text cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The first model cannot be made.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// A model cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A model cannot be measured.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl Judge {
    /// Starts measuring with `kernel` for the run whose corpus is in `store`.
    ///
    /// Errors: there is no thread for it.
    pub fn start(store: PathBuf, kernel: Kernel) -> Result<Self, JudgeError> {
        let (questions, asked) = channel();
        let (answer, answers) = channel();
        let path = store.clone();
        let thread = std::thread::Builder::new()
            .name("judge".to_owned())
            .spawn(move || judge(&path, &kernel, &asked, &answer))
            .map_err(JudgeError::Thread)?;
        Ok(Self { questions, answers, thread, store })
    }

    /// Asks for the root of a round, to be found in `store`.
    pub fn ask(&self, store: PathBuf, round: u32, root: Hash) {
        // If the thread has failed, `finish` says why.
        let _ = self.questions.send(Question { store, round, root });
    }

    /// What was found since the last call.
    pub fn answers(&self) -> Vec<Answer> {
        self.answers.try_iter().collect()
    }

    /// Ends the thread and measures `root` with `kernel` on all held-out text: bits per byte, and
    /// of how many bytes.
    ///
    /// Errors: this or an earlier measurement failed.
    pub fn finish(self, root: &Hash, kernel: &Kernel) -> Result<(f64, u64), JudgeError> {
        drop(self.questions);
        self.thread.join().map_err(|_| JudgeError::Panicked)??;
        let (store, run, corpus) = open(&self.store)?;
        let mut all = HeldOut::new(&corpus, &run.model, run.inner.seq, 0);
        let params = Checkpoint::load(&store, root)?.params;
        Ok((all.bits_per_byte(kernel, &params)?, all.bytes()))
    }
}

fn open(path: &Path) -> Result<(Store, RunManifest, Corpus), JudgeError> {
    let store = Store::open_existing(path)?;
    let id = store.get_ref(cotrain::RUN_REF)?.ok_or(JudgeError::NoRun)?;
    let run = RunManifest::parse(&store.get(&id)?)?;
    let corpus = Corpus::load(&store, &run.corpus.hash)?;
    Ok((store, run, corpus))
}

fn judge(
    path: &Path,
    kernel: &Kernel,
    asked: &Receiver<Question>,
    answer: &Sender<Answer>,
) -> Result<(), JudgeError> {
    let (store, run, corpus) = open(path)?;
    let text = store.get(&corpus.manifest.held_out_text.hash)?;
    for (name, bits) in compressors(&text) {
        let _ = answer.send(Answer::Baseline(name, bits));
    }
    let mut quick = HeldOut::new(&corpus, &run.model, run.inner.seq, QUICK_TOKENS);
    let untrained = model::init(&run.model, run.seed)?;
    let bits = quick.bits_per_byte(kernel, &untrained)?;
    let _ = answer.send(Answer::Model { round: 0, root: Hash::default(), bits });
    let mut last = None;
    while let Ok(question) = asked.recv() {
        let Question { store, round, root } = newest(question, asked);
        if last == Some(root) {
            continue;
        }
        // A peer may have let go of a model by now.
        let Some(params) = params(&store, &root) else { continue };
        let bits = quick.bits_per_byte(kernel, &params)?;
        last = Some(root);
        let _ = answer.send(Answer::Model { round, root, bits });
    }
    Ok(())
}

/// Of the questions that wait, only the newest is worth the time.
fn newest(mut question: Question, asked: &Receiver<Question>) -> Question {
    while let Ok(newer) = asked.try_recv() {
        if newer.round >= question.round {
            question = newer;
        }
    }
    question
}

fn params(store: &Path, root: &Hash) -> Option<Vec<f32>> {
    let store = Store::open_existing(store).ok()?;
    Some(Checkpoint::load(&store, root).ok()?.params)
}
