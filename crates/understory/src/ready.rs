//! A model made ready to continue texts, with what is told of it on standard error.

use crate::{
    hint::{WithHint, with_hints},
    model_source::{explained, opened},
    progress::shown,
    template::Isolated,
    units::now,
};
use anyhow::{Context, Result};
use engine::ready::ReadyError;
use engine::{Opening, Ready};
use kernel::Kernel;
use std::path::Path;
use std::sync::Arc;
use text::chat::Json;

/// Opens what `text` names, as [`opened`] does, and loads its weights as they are, of every family
/// and format.
pub fn open(text: &str, opening: &Opening<'_>, kernel: &Kernel, json: bool) -> Result<Ready> {
    let model = opened(text, json)?;
    let opening = Opening { free: free_memory(), ..*opening };
    let ready = shown(json, |tell| Ready::open(&model, &opening, kernel, Arc::new(Isolated), tell));
    ready.map_err(|error| failed(error, Path::new(text)))
}

/// The ids of a conversation, up to where the model's answer begins.
pub fn chat_ids(ready: &Ready, messages: &[Json]) -> Result<Vec<u32>> {
    let ids = match ready.chat_ids(messages, now()) {
        Err(error @ ReadyError::Template(_)) => {
            Err(error).hint("--raw continues a text without the model's chat template")?
        }
        other => other?,
    };
    ids.context("the model has no chat template")
}

/// An error of the model at `path`, with what can be done.
pub fn failed(error: ReadyError, path: &Path) -> anyhow::Error {
    let hints = error.hints();
    match error {
        ReadyError::Engine(error) if hints.is_empty() => explained(error, path),
        error => with_hints(error, hints),
    }
}

/// Bytes that programs can still get, where the system tells.
fn free_memory() -> Option<u64> {
    let text = bounded::read_text("/proc/meminfo".as_ref(), 1 << 16).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
