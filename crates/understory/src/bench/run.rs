//! Running a model: prompt, decoding and several streams in one batch; beside llama.cpp's
//! `llama-bench` on the same file and threads, if it is named.

mod peer;

use crate::{cli::BenchRunArgs, hint::WithHint, kernel_for};
use anyhow::{Result, bail};
use kernel::Kernel;
use model::{Cache, Chunk, Logits, Model, Plan, Weights, Workspace};
use peer::Peer;
use serde::Serialize;
use std::time::Instant;

/// What came out for one kind of work: tokens per second of each turn.
#[derive(Debug, Serialize)]
struct Test {
    /// `pp512`, `tg128`, `tg32 x8`.
    name: String,
    ours: Vec<f64>,
    /// The peer's, where it was measured.
    peer: Vec<f64>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Figures {
    bench: &'static str,
    model: String,
    isa: String,
    threads: usize,
    /// Bytes of the packed weights.
    weights: u64,
    /// Seconds from opening the file to the first token after one.
    first_token_s: f64,
    peak_rss_mib: Option<f64>,
    tests: Vec<Test>,
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

/// Measures in turn, ours and the peer's, and prints the figures.
pub fn run(args: &BenchRunArgs) -> Result<()> {
    let kernel = kernel_for(args.threads)?;
    let begun = Instant::now();
    let weights =
        Weights::open(&args.model).hint("bench run takes a .gguf file or a Hugging Face folder")?;
    let plan = Plan::new(&weights)?;
    let (tokens, context) = (args.prompt.max(args.generate) as usize, plan.decoder().context);
    if tokens > context {
        bail!("{tokens} tokens do not fit into the model's context of {context}");
    }
    let model = plan.load(&kernel)?;
    let mut bench = Bench::new(model, kernel);
    bench.turn(Work::Decode(1));
    let first_token_s = begun.elapsed().as_secs_f64();
    let works = works(args);
    let peer = args.beside.as_deref().map(|path| Peer::new(path, args, bench.kernel.threads()));
    let peer = peer.transpose()?;
    for &work in &works {
        bench.turn(work); // warm up
    }
    let mut tests: Vec<Test> = works.iter().map(|&work| empty(work)).collect();
    for turn in 0..args.turns {
        eprintln!("turn {} of {}", turn + 1, args.turns);
        for (test, &work) in tests.iter_mut().zip(&works) {
            test.ours.push(bench.turn(work));
            if let Some(peer) = &peer {
                test.peer.extend(peer.turn(work)?);
            }
        }
    }
    let figures = Figures {
        bench: "run",
        model: args.model.display().to_string(),
        isa: bench.kernel.isa().to_string(),
        threads: bench.kernel.threads(),
        weights: bench.model.bytes(),
        first_token_s,
        peak_rss_mib: model::bench::peak_rss_mib(),
        tests,
    };
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print(&figures);
    }
    Ok(())
}

fn works(args: &BenchRunArgs) -> Vec<Work> {
    let (prompt, generate) = (args.prompt as usize, args.generate as usize);
    let mut works = vec![Work::Prompt(prompt), Work::Decode(generate)];
    if args.streams > 1 {
        works.push(Work::Streams(args.streams as usize, generate));
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

fn print(f: &Figures) {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!("model            {}", f.model);
    println!("on               {} threads, {}", f.threads, f.isa);
    let peak = f.peak_rss_mib.map_or_else(String::new, |mib| format!(", peak {mib:.0} MiB"));
    println!("weights          {:.0} MiB packed{peak}", mib(f.weights as f64));
    println!("first token      {:.2} s after opening the file", f.first_token_s);
    for Test { name, ours, peer } in &f.tests {
        let middle = median(ours);
        print!("{name:<16} {middle:.0} tokens/s ({})", list(ours));
        if peer.is_empty() {
            println!();
        } else {
            println!("; peer {:.0} ({}): {:.2} x", median(peer), list(peer), middle / median(peer));
        }
    }
}

fn list(rates: &[f64]) -> String {
    rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(", ")
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
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
