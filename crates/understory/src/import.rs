//! `understory import`: a root for a model of other files, which stay where they lie.

use crate::cli::ImportArgs;
use crate::model_source::opened;
use crate::progress::Screen;
use crate::terminal;
use anyhow::Result;
use progress::{Note, Progress};
use std::io::Write;
use store::{MODEL_REF, Store};

pub fn import(args: &ImportArgs) -> Result<()> {
    let model = opened(&args.model, args.json)?;
    let store = Store::open(&args.store)?;
    let mut screen = Screen::new(args.json);
    let root = engine::import(&model, &store, &mut |progress| screen.tell(progress))?;
    store.set_ref(MODEL_REF, &root)?;
    if let Some(why) = model.refusal() {
        screen.tell(Progress::Note(Note::NotRun { why }));
    }
    drop(screen);
    let name = format!("{}@{root}", args.store.display());
    let mut out = terminal::stdout();
    if args.json {
        let tensors = model.weights().tensors();
        let object = serde_json::json!({
            "root": root, "name": name, "tensors": tensors.len(), "bytes": model.bytes(),
        });
        return Ok(writeln!(out, "{object}")?);
    }
    writeln!(out, "{name}")?;
    eprintln!("`understory run {name}` runs it; the files must stay where they are");
    Ok(())
}
