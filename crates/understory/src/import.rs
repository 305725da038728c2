//! `understory import`: a root for a model of other files, which stay where they lie.

use crate::cli::ImportArgs;
use crate::model_source::opened;
use crate::terminal;
use crate::units::bytes;
use anyhow::Result;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use store::{MODEL_REF, Store};

pub fn import(args: &ImportArgs) -> Result<()> {
    let model = opened(&args.model)?;
    let store = Store::open(&args.store)?;
    let (watched, mut last) = (std::io::stderr().is_terminal() && !args.json, Instant::now());
    let root = engine::import(&model, &store, |done, of| {
        if watched && last.elapsed() > Duration::from_millis(250) {
            last = Instant::now();
            terminal::eprint_over(&format!("{} of {} hashed", bytes(done), bytes(of)));
        }
    })?;
    store.set_ref(MODEL_REF, &root)?;
    if watched {
        eprintln!();
    }
    if let Some(why) = model.refusal() {
        eprintln!("it is not run here: {why}");
    }
    let name = format!("{}@{root}", args.store.display());
    let mut out = terminal::stdout();
    if args.json {
        let tensors = model.weights().tensors();
        let size = tensors.values().map(|tensor| tensor.bytes).sum::<u64>();
        let object = serde_json::json!({
            "root": root, "name": name, "tensors": tensors.len(), "bytes": size,
        });
        return Ok(writeln!(out, "{object}")?);
    }
    writeln!(out, "{name}")?;
    eprintln!("`understory run {name}` runs it; the files must stay where they are");
    Ok(())
}
