//! `understory commons`, `key`, `propose`, `vote`, `tally`, `margin` and `panel`.

pub mod cli;
mod create;
mod desk;
mod flags;
mod key;
mod keys;
mod log;
mod marked;
mod names;
mod options;
mod peer_keys;
mod prove;
mod questions;
mod record;
mod say;
mod serve;
mod show;
mod vote;

pub use key::key;
pub use marked::marks;
pub use peer_keys::{name_peer_key, peer_keys};
pub use questions::{margin, panel, tally};
pub use record::RunRecorder;
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
        CommonsCommand::Join(args) => serve::join(args)?,
        CommonsCommand::Serve(args) => serve::serve(args, false)?,
        CommonsCommand::Witness(args) => serve::serve(args, true)?,
        CommonsCommand::Sync { peer, relay, place } => serve::sync(place, peer, relay.as_deref())?,
        CommonsCommand::Page { port, place } => serve::page(place, *port)?,
        CommonsCommand::Hash(place) => log::hash(place)?,
        CommonsCommand::Verify(place) => return log::verify(place),
        CommonsCommand::Export { to, place } => log::export(to, place)?,
        CommonsCommand::Prove { statement, out, place, .. } => {
            prove::prove(statement.as_deref(), out.as_deref(), place)?;
        }
        CommonsCommand::CheckProof(args) => return prove::check(args),
        CommonsCommand::Settle(place) => settle(place)?,
        CommonsCommand::WitnessKey(place) => print_key(place, Role::Witness)?,
        CommonsCommand::OperatorKey(place) => print_key(place, Role::Operator)?,
        statement => say::say(statement)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The public key of a role, whose secret is made if there is none.
fn print_key(place: &cli::KeyPlace, role: Role) -> Result<()> {
    let key = Keys::at(place.keys.as_deref())?.make(role)?.id();
    match place.json {
        true => println!("{}", serde_json::json!({ "key": key })),
        false => println!("{key}"),
    }
    Ok(())
}

/// What waits gets its place, by the operator's own hand.
fn settle(place: &cli::Place) -> Result<()> {
    let mut desk = desk::Desk::to_sign(place)?;
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
