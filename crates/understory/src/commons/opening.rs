//! What every command of a commons begins with: the folder, the log and the keys that the flags
//! name; and how it says what became of a statement.

use super::cli::Place;
use super::holder;
use crate::{
    hint::WithHint,
    units::{now, span},
};
use anyhow::{Result, anyhow};
use commons::{
    Body, Statement, Workspace, WorkspaceError,
    view::Reason,
    workspace::{Late, Outcome},
};

/// Opens the commons at a place.
pub fn open(place: &Place) -> Result<Workspace> {
    Ok(Workspace::open(&place.dir, holder::keys(place.keys.as_deref())?)?)
}

/// [`open`] for a command that signs: a person is asked for the passphrase first.
pub fn to_sign(place: &Place) -> Result<Workspace> {
    let keys = holder::keys(place.keys.as_deref())?;
    holder::unlock(&keys)?;
    let workspace = Workspace::open(&place.dir, keys)?;
    if let Some(late) = workspace.late(now()) {
        eprintln!("{}", late_words(late));
    }
    Ok(workspace)
}

/// Opens the commons at a place to say something there, and prints what became of it.
///
/// Errors: nothing was said, or it counts for nothing.
pub fn said_by(
    place: &Place,
    say: impl FnOnce(&mut Workspace) -> Result<Statement, WorkspaceError>,
) -> Result<Workspace> {
    let mut workspace = to_sign(place)?;
    let statement = say(&mut workspace)?;
    report(workspace.outcome(&statement), place.json, &statement)?;
    Ok(workspace)
}

/// Says something with this device's key and prints what became of it.
pub fn say(workspace: &mut Workspace, json: bool, body: impl Into<Body>) -> Result<Statement> {
    let statement = workspace.say(body, now())?;
    report(workspace.outcome(&statement), json, &statement)?;
    Ok(statement)
}

/// Prints what became of a statement.
///
/// Errors: it counts for nothing.
pub fn report(outcome: Outcome, json: bool, statement: &Statement) -> Result<()> {
    let (hash, kind) = (statement.hash(), statement.body.kind_name());
    match (outcome.index, &outcome.void) {
        _ if json => println!("{}", as_json(&outcome, statement)),
        (_, Some(_)) => {}
        (Some(index), None) => println!("{kind} statement {index}, {}", hash.short()),
        (None, None) => {
            println!(
                "{kind} statement {} is signed and waits for its place in the log",
                hash.short()
            );
            println!("`understory commons serve` takes it to the others");
        }
    }
    counts(outcome, statement)
}

/// What became of a statement, for programs.
pub fn as_json(outcome: &Outcome, statement: &Statement) -> serde_json::Value {
    serde_json::json!({
        "statement": statement.hash(), "kind": statement.body.kind_name(), "index": outcome.index,
        "void": outcome.void.as_ref().map(Reason::from),
    })
}

/// Fails if a statement counts for nothing.
pub fn counts(outcome: Outcome, statement: &Statement) -> Result<()> {
    let Some(reason) = outcome.void else { return Ok(()) };
    Err(anyhow!("statement {} counts for nothing: {reason}", statement.hash().short()))
        .hint("it stays in the log; say it again once the reason is gone")
}

/// That this machine's clock is behind a time that witnesses vouched for already.
fn late_words(late: Late) -> String {
    match late.witnesses {
        0 | 1 => format!(
            "WARNING: this machine's clock is {} behind that of the log's one witness, and one of \
             the two is wrong: look at yours before you sign",
            span(late.behind)
        ),
        n => format!(
            "WARNING: this machine's clock is {} behind that of {n} witnesses: set it right before \
             you sign",
            span(late.behind)
        ),
    }
}
