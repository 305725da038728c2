//! The commons and the keys that the flags of a run name.

use super::{holder, opening};
use crate::hint::WithHint;
use anyhow::Result;
use cotrain::recorder::{RecorderError, RunRecorder};
use ids::Hash;
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

/// Says what a verification found of the derivation of `root`, and prints what became of that.
/// Whether there is one to judge.
///
/// Errors: the commons cannot be read or written, or it counts for nothing.
pub fn judge(recorder: &RunRecorder, root: &Hash, confirmed: bool) -> Result<bool> {
    let Some(judged) = recorder.judge(root, confirmed)? else { return Ok(false) };
    opening::report(judged.outcome, false, &judged.statement)?;
    Ok(true)
}
