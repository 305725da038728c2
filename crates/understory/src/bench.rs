//! `understory bench`: flags, how far it is, and the figures in words or as JSON.

mod words;

use crate::{
    cli::{
        ArithmeticArgs, BenchCommand, BenchInputsArgs, BenchRunArgs, BenchSwarmArgs,
        BenchTrainArgs, LossGapArgs, TrainedOn,
    },
    corpus_source,
    hint::hinted,
    kernel_for,
    print::print,
    ready,
    scratch::{self, Scratch},
    terminal,
    units::threads_each,
};
use ::bench::{
    BenchError, arithmetic, inputs, loss_gap, run,
    swarm::{self, PEERS},
    train,
};
use anyhow::{Context, Error, Result};
use cotrain::config::RunConfig;
use engine::Opening;
use model::bench::SIZES;
use serde::Serialize;
use std::io::Write;

/// Most bytes of text for `bench inputs`.
const MAX_TEXT: u64 = 1 << 30;

/// Measures what is asked for and prints the figures.
pub fn bench(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::LossGap(args) => measure_loss_gap(args),
        BenchCommand::Arithmetic(args) => measure_arithmetic(args),
        BenchCommand::Run(args) => measure_run(args),
        BenchCommand::Inputs(args) => measure_inputs(args),
        BenchCommand::Train(args) => measure_train(args),
        BenchCommand::Swarm(args) => measure_swarm(args),
    }
}

fn measure_loss_gap(args: &LossGapArgs) -> Result<()> {
    let options = loss_gap::Options {
        h: args.h,
        workers: args.workers,
        rounds: args.rounds,
        config: config(&args.on)?,
        kernel: kernel_for(None)?,
    };
    let scratch = Scratch::new("bench")?;
    let documents = corpus_source::documents(&args.on.data, args.json)?;
    let tell = &mut |progress| eprintln!("{}", words::loss_gap_progress(&progress));
    let gap = loss_gap::loss_gap(&options, &documents, scratch.path(), tell).map_err(for_bench)?;
    show(args.json, &gap, words::loss_gap)
}

fn measure_arithmetic(args: &ArithmeticArgs) -> Result<()> {
    let options = arithmetic::Options {
        size: args.size.clone(),
        tokens: args.tokens,
        seeds: args.seeds,
        config: config(&args.on)?,
        kernel: kernel_for(None)?,
    };
    let scratch = Scratch::new("bench")?;
    let documents = corpus_source::documents(&args.on.data, args.json)?;
    let mut shown = Ok(());
    let tell = &mut |progress| match progress {
        arithmetic::Progress::Compared(pair) => {
            let result = show(args.json, &pair, words::pair);
            shown = std::mem::replace(&mut shown, Ok(())).and(result);
        }
        progress => eprintln!("{}", words::arithmetic_progress(&progress)),
    };
    arithmetic::arithmetic(&options, &documents, scratch.path(), tell).map_err(for_bench)?;
    shown
}

fn measure_run(args: &BenchRunArgs) -> Result<()> {
    let options = run::Options {
        model: args.model.clone(),
        prompt: args.prompt as usize,
        generate: args.generate as usize,
        streams: args.streams as usize,
        turns: args.turns,
        beside: args.beside.clone(),
    };
    let tell = &mut |turn| eprintln!("turn {turn} of {}", args.turns);
    let figures = run::run(&options, kernel_for(args.threads)?, tell).map_err(for_bench)?;
    show(args.json, &figures, words::run)
}

fn measure_inputs(args: &BenchInputsArgs) -> Result<()> {
    let kernel = kernel_for(args.threads)?;
    let text = bounded::read_named_text(&args.text, MAX_TEXT)
        .with_context(|| format!("reading {}", args.text.display()))?;
    let path = args.model.to_str().context("the model's path is not UTF-8")?;
    let options = inputs::Options { tokens: args.tokens as usize, window: args.window as usize };
    let model = ready::open(path, &Opening::of(options.window), &kernel, args.json)?;
    let tell = &mut |tokens| eprintln!("{tokens} tokens");
    let figures = inputs::inputs(path, &model, &kernel, &text, options, tell).map_err(for_bench)?;
    show(args.json, &figures, words::inputs)
}

/// Every size has a process of its own, unless there is only one.
fn measure_train(args: &BenchTrainArgs) -> Result<()> {
    let &BenchTrainArgs { threads, steps, arithmetic, json, .. } = args;
    let all = SIZES.map(str::to_owned);
    let sizes = if args.size.is_empty() { &all[..] } else { &args.size };
    sizes.iter().try_for_each(|size| train::check(size)).map_err(for_size)?;
    if !json {
        writeln!(terminal::stdout(), "{}", words::TRAIN_HEAD)?;
    }
    for size in sizes {
        let figures = match sizes {
            [_] => train::here(&kernel_for(threads)?, size, steps, arithmetic),
            _ => train::apart(&std::env::current_exe()?, size, threads, steps, arithmetic),
        };
        let figures = figures.map_err(for_size)?;
        let line = match json {
            true => serde_json::to_value(&figures)?.to_string(),
            false => words::train_row(&figures),
        };
        writeln!(terminal::stdout(), "{line}")?;
    }
    Ok(())
}

fn measure_swarm(args: &BenchSwarmArgs) -> Result<()> {
    let scratch = Scratch::new("bench")?;
    let options = swarm::Options {
        program: std::env::current_exe()?,
        folder: scratch.path().to_owned(),
        seconds: args.seconds,
        kernel: kernel_for(None)?,
        threads_per_peer: threads_each(PEERS),
    };
    eprintln!("preparing the text");
    let documents = corpus_source::documents(&[], args.json)?;
    let tell = &mut |progress| match progress {
        swarm::Progress::Starting(killer) => scratch::on_interrupt(move || killer.kill()),
        swarm::Progress::Alone(rate) => eprintln!("one process: {rate:.0} tokens/s"),
        swarm::Progress::Together { all, settled } => {
            eprintln!("{PEERS} peers: {all:.0} tokens/s, {settled:.0} after probation");
        }
    };
    let figures = swarm::swarm(&options, &documents, tell).map_err(for_bench)?;
    show(args.json, &figures, words::swarm)
}

fn config(on: &TrainedOn) -> Result<RunConfig> {
    Ok(on.config.as_deref().map(RunConfig::read).transpose()?.unwrap_or_default())
}

fn show<T: Serialize>(json: bool, figures: &T, words: fn(&T) -> String) -> Result<()> {
    print(json, figures, || words(figures) + "\n")
}

fn for_bench(error: BenchError) -> Error {
    match error {
        BenchError::Open(_) => {
            hinted(error, "bench run takes a .gguf file or a Hugging Face folder")
        }
        BenchError::NoProgram(_) => {
            hinted(error, "--beside names the program llama-bench of llama.cpp")
        }
        BenchError::Founding(error) => error.into(),
        error => error.into(),
    }
}

fn for_size(error: BenchError) -> Error {
    match error {
        BenchError::NoSize(size) => {
            hinted(anyhow::anyhow!("no size {size}"), format!("there are {}", SIZES.join(", ")))
        }
        error => error.into(),
    }
}
