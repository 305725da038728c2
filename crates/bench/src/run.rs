//! Running a model: prompt, decoding and several streams in one batch; beside llama.cpp's
//! `llama-bench` on the same file and threads, if it is named.

mod beside;

use crate::BenchError;
use beside::Beside;
use kernel::Kernel;
use model::{Cache, Chunk, Logits, Model, Plan, Weights, Workspace};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// A `.gguf` file or a Hugging Face folder.
    pub model: PathBuf,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens that are decoded.
    pub generate: usize,
    /// Sequences that are decoded side by side; 1 leaves this test out.
    pub streams: usize,
    /// How often each is measured.
    pub turns: u32,
    /// The program `llama-bench` of llama.cpp, to be measured in turn.
    pub beside: Option<PathBuf>,
}

/// What came out for one kind of work: tokens per second of each turn.
#[derive(Debug, Serialize)]
pub struct Test {
    /// `pp512`, `tg128`, `tg32 x8`.
    pub name: String,
    /// This program's.
    pub ours: Vec<f64>,
    /// The other program's, where it was measured.
    pub peer: Vec<f64>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// The bench's name.
    pub bench: &'static str,
    /// The model's path.
    pub model: String,
    /// Instruction set.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// Bytes of the packed weights.
    pub weights: u64,
    /// Seconds from opening the file to the first token after one.
    pub first_token_s: f64,
    /// The most memory that the process had, where the system tells.
    pub peak_rss_mib: Option<f64>,
    /// One for each kind of work.
    pub tests: Vec<Test>,
}

/// Kinds of work.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// A prompt of so many tokens, in one chunk.
    Prompt(usize),
    /// So many tokens, one after the other.
    Decode(usize),
    /// So many tokens each of so many sequences side by side.
    Streams(usize, usize),
}

/// Measures in turn, this program and the one beside it; `tell` hears the number of each turn, from
/// 1.
///
/// Errors: the model cannot be opened, a test is too long for it, or the other program fails.
pub fn run(
    options: &Options,
    kernel: Kernel,
    tell: &mut dyn FnMut(u32),
) -> Result<Figures, BenchError> {
    let begun = Instant::now();
    let weights = Weights::open(&options.model).map_err(BenchError::Open)?;
    let plan = Plan::new(&weights).map_err(BenchError::Load)?;
    let (tokens, context) = (options.prompt.max(options.generate), plan.decoder().context);
    if tokens > context {
        return Err(BenchError::Context { tokens, context });
    }
    let mut bench = Bench::new(plan.load(&kernel).map_err(BenchError::Load)?, kernel);
    bench.turn(Work::Decode(1));
    let first_token_s = begun.elapsed().as_secs_f64();
    let tests = tests(options, &mut bench, tell)?;
    Ok(Figures {
        bench: "run",
        model: options.model.display().to_string(),
        isa: bench.kernel.isa().to_string(),
        threads: bench.kernel.threads(),
        weights: bench.model.bytes(),
        first_token_s,
        peak_rss_mib: model::bench::peak_rss_mib(),
        tests,
    })
}

fn tests(
    options: &Options,
    bench: &mut Bench,
    tell: &mut dyn FnMut(u32),
) -> Result<Vec<Test>, BenchError> {
    let works = works(options);
    let beside = options.beside.as_deref();
    let beside = beside.map(|path| Beside::new(path, &options.model, bench.kernel.threads()));
    let beside = beside.transpose()?;
    for &work in &works {
        bench.turn(work); // warm up
    }
    let mut tests: Vec<Test> = works.iter().map(|&work| empty(work)).collect();
    for turn in 1..=options.turns {
        tell(turn);
        for (test, &work) in tests.iter_mut().zip(&works) {
            test.ours.push(bench.turn(work));
            if let Some(beside) = &beside {
                test.peer.extend(beside.turn(work)?);
            }
        }
    }
    Ok(tests)
}

fn works(options: &Options) -> Vec<Work> {
    let mut works = vec![Work::Prompt(options.prompt), Work::Decode(options.generate)];
    if options.streams > 1 {
        works.push(Work::Streams(options.streams, options.generate));
    }
    works
}

fn empty(work: Work) -> Test {
    let name = match work {
        Work::Prompt(tokens) => format!("pp{tokens}"),
        Work::Decode(tokens) => format!("tg{tokens}"),
        Work::Streams(streams, tokens) => format!("tg{tokens} x{streams}"),
    };
    Test { name, ours: Vec::new(), peer: Vec::new() }
}

/// A model and the buffers to run it.
struct Bench {
    model: Model,
    kernel: Kernel,
    work: Workspace,
    /// Any tokens will do: the work is the same.
    tokens: kernel::random::Stream,
}

impl Bench {
    fn new(model: Model, kernel: Kernel) -> Bench {
        let tokens = kernel::random::Stream::new(1, "bench run", 0);
        Bench { model, kernel, work: Workspace::default(), tokens }
    }

    /// Tokens per second of one turn, from an empty context.
    fn turn(&mut self, work: Work) -> f64 {
        match work {
            Work::Prompt(tokens) => self.rate(1, 1, tokens),
            Work::Decode(tokens) => self.rate(1, tokens, 1),
            Work::Streams(streams, tokens) => self.rate(streams, tokens, 1),
        }
    }

    /// `steps` steps of `tokens` tokens in each of `streams` sequences.
    fn rate(&mut self, streams: usize, steps: usize, tokens: usize) -> f64 {
        let new = || Cache::new(&self.model, &self.kernel);
        let mut caches: Vec<Cache> = std::iter::repeat_with(new).take(streams).collect();
        let vocab = self.model.vocab() as u64;
        let begun = Instant::now();
        for step in 0..steps {
            let first = (step * streams * tokens) as u64;
            let token = |i: usize| self.tokens.below(first + i as u64, vocab) as u32;
            let ids: Vec<u32> = (0..streams * tokens).map(token).collect();
            let chunks = caches.iter_mut().zip(ids.chunks(tokens));
            let mut chunks: Vec<Chunk<'_>> =
                chunks.map(|(cache, tokens)| Chunk { cache, tokens, want: Logits::Last }).collect();
            self.model.step(&self.kernel, &mut self.work, &mut chunks);
        }
        (streams * steps * tokens) as f64 / begun.elapsed().as_secs_f64()
    }
}
