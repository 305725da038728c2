//! `understory commons`, `key`, `propose`, `vote`, `tally` and `panel`.

pub mod cli;
mod create;
mod desk;
mod key;
mod keys;
mod log;
mod say;
mod show;
mod vote;

pub use key::key;
pub use show::{panel, tally};
pub use vote::{propose, vote};

use anyhow::Result;
use cli::CommonsCommand;
use keys::{Keys, Role};
use std::process::ExitCode;

/// Runs one of the commands of a commons.
pub fn commons(command: &CommonsCommand) -> Result<ExitCode> {
    match command {
        CommonsCommand::Create(args) => create::create(args)?,
        CommonsCommand::Fork(args) => create::fork(args)?,
        CommonsCommand::Show { view, at, place } => show::show(*view, *at, place)?,
        CommonsCommand::Hash(place) => log::hash(place)?,
        CommonsCommand::Verify(place) => return log::verify(place),
        CommonsCommand::Export { to, place } => log::export(to, place)?,
        CommonsCommand::Settle(place) => settle(place)?,
        CommonsCommand::WitnessKey(place) => {
            let key = Keys::at(place.keys.as_deref())?.make(Role::Witness)?.id();
            match place.json {
                true => println!("{}", serde_json::json!({ "witness": key })),
                false => println!("{key}"),
            }
        }
        statement => say::say(statement)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What waits gets its place, by the operator's own hand.
fn settle(place: &cli::Place) -> Result<()> {
    let mut desk = desk::Desk::open(place)?;
    if !desk.operates()? {
        anyhow::bail!("the key that operates this log is not in {}", desk.keys.dir().display());
    }
    let before = desk.state.size;
    if !desk.settle()? {
        desk.first_mark()?;
    }
    match place.json {
        true => println!("{}", serde_json::json!({ "size": desk.state.size })),
        false => println!("{} statements, {} before", desk.state.size, before),
    }
    Ok(())
}
