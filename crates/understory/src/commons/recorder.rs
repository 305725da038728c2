//! The commons and the keys that the flags of a run name.

use super::{holder, opening};
use crate::hint::WithHint;
use anyhow::Result;
use cotrain::recorder::{Judged, RecorderError, RunRecorder};
use std::path::Path;

/// The commons in `dir` for somebody who has to be a member of it.
///
/// Errors: there is none, or the key is in force for nobody there.
pub fn recorder(dir: &Path, keys: Option<&Path>) -> Result<RunRecorder> {
    match RunRecorder::open(dir, &holder::dir(keys)?, holder::person()) {
        Err(error @ RecorderError::NoMember) => Err(error)
            .hint("begin with `understory commons introduce NAME`, or leave out --commons"),
        opened => Ok(opened?),
    }
}

/// The same for somebody who only reads it if it is no member.
///
/// Errors: there is none, or the key cannot be opened.
pub fn recorder_of_member(dir: &Path, keys: Option<&Path>) -> Result<Option<RunRecorder>> {
    Ok(RunRecorder::of_member(dir, &holder::dir(keys)?, holder::person())?)
}

/// What became of a judgement of a model, for programs.
pub fn judged_json(judged: &Judged) -> serde_json::Value {
    opening::as_json(&judged.outcome, &judged.statement)
}

/// Prints what became of a judgement of a model, unless it is part of what is printed as JSON.
///
/// Errors: it counts for nothing.
pub fn report_judged(judged: Judged, json: bool) -> Result<()> {
    match json {
        true => opening::counts(judged.outcome, &judged.statement),
        false => opening::report(judged.outcome, false, &judged.statement),
    }
}
