//! `understory commons`, `key`, `propose`, `vote`, `tally`, `margin` and `panel`.

pub mod cli;
mod create;
mod flags;
mod holder;
mod key;
mod log;
mod opening;
mod peer_keys;
mod prove;
mod questions;
mod recorder;
mod say;
mod serve;
mod show;
mod vote;

pub use key::key;
pub use peer_keys::name_peer_key;
pub use questions::{margin, panel, tally};
pub use recorder::{judged_json, recorder, recorder_of_member, report_judged};
pub use vote::{propose, vote};

use crate::{print::print, units::now};
use anyhow::Result;
use cli::CommonsCommand;
use commons::keys::Role;
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
    let key = holder::keys(place.keys.as_deref())?.make(role)?.id();
    print(place.json, &serde_json::json!({ "key": key }), || format!("{key}\n"))
}

/// What waits gets its place, by the operator's own hand.
fn settle(place: &cli::Place) -> Result<()> {
    let mut workspace = opening::to_sign(place)?;
    if !workspace.operates()? {
        anyhow::bail!(
            "the key that operates this log is not in {}",
            workspace.keys.dir().display()
        );
    }
    let before = workspace.state.size;
    if !workspace.settle(now())? {
        workspace.mark_newest(now())?;
    }
    let size = workspace.state.size;
    let text = || format!("{size} statements, {before} before\n");
    print(place.json, &serde_json::json!({ "size": size }), text)
}
