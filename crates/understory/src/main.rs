//! The `understory` program: commands, printing, exit codes, wiring.
#![forbid(unsafe_code)]

#[macro_use]
mod terminal;

mod bench;
mod cancel;
mod chat;
mod cli;
mod commons;
mod corpus_source;
mod demo;
mod diff;
mod events;
mod export;
mod files;
mod founding;
mod generate;
mod hint;
mod hub_settings;
mod import;
mod inspect;
mod model_source;
mod object;
mod peer;
mod peer_key;
mod print;
mod progress;
mod prompt;
mod pull;
mod ready;
mod run;
mod score;
mod scratch;
mod sim;
mod status;
mod template;
mod tokens;
mod units;
mod verify;

use anyhow::Result;
use cli::{Cli, Command, SimCommand, SwarmCommand};
use cotrain::config::{self, RunConfig};
use hint::WithHint;
use kernel::{Isa, Kernel};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::asked();
    match dispatch(&cli.command) {
        Ok(code) => match terminal::lost() {
            None => code,
            Some(error) => {
                eprintln!("error: standard output cannot be written: {error}");
                ExitCode::from(2)
            }
        },
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            hint::print(&error);
            ExitCode::from(2)
        }
    }
}

fn dispatch(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => return demo::demo(args),
        Command::Pull(args) => pull::pull(args)?,
        Command::RenderTemplate => template::serve()?,
        Command::Run(args) => return run::run(args),
        Command::Tokens(args) => tokens::tokens(args)?,
        Command::Score(args) => score::score(args)?,
        Command::Import(args) => import::import(args)?,
        Command::Inspect(args) => inspect::inspect(args)?,
        Command::Diff(args) => return diff::diff(args),
        Command::Verify(args) => return verify::verify(args),
        Command::Export(args) => export::export(args)?,
        Command::Bench { command } => bench::bench(command)?,
        Command::Sim { command: SimCommand::Attacks(args) } => return sim::attacks(args),
        Command::Swarm { command } => swarm_command(command)?,
        Command::Commons { command } => return commons::commons(command),
        Command::Key { command } => commons::key(command)?,
        Command::Propose(args) => commons::propose(args)?,
        Command::Vote(args) => commons::vote(args)?,
        Command::Tally(args) => commons::tally(args)?,
        Command::Margin(args) => commons::margin(args)?,
        Command::Panel(args) => commons::panel(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn swarm_command(command: &SwarmCommand) -> Result<()> {
    match command {
        SwarmCommand::Start(args) => peer::start(args),
        SwarmCommand::Join(args) => peer::join(args),
        SwarmCommand::Continue(args) => peer::go_on(args),
        SwarmCommand::Key(args) => peer_key::show(args),
        SwarmCommand::Status { dir, json } => status::print(dir, *json),
        SwarmCommand::Config => {
            print!("{}", config::commented(&RunConfig::default()));
            Ok(())
        }
    }
}

/// The kernel that the environment asks for, on `threads` threads or all.
fn kernel_for(threads: Option<usize>) -> Result<Kernel> {
    let isa = Isa::from_env().hint("unset UNDERSTORY_ISA to take the best there is")?;
    let all = std::thread::available_parallelism().map_or(1, |n| n.get());
    Ok(Kernel::new(isa, threads.unwrap_or(all).clamp(1, 256)))
}

/// Whoever read our output has had enough (`understory … | head`): that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
