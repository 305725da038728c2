//! `understory export`: a model in other programs' formats.

use crate::{
    cli::{ExportArgs, ExportFormat},
    model_source::{explained, opened, run_of},
    progress::Screen,
};
use anyhow::Result;
use engine::Lineage;
use engine::export::Format;

pub fn export(args: &ExportArgs) -> Result<()> {
    let opened = opened(&args.model, args.json)?;
    let run = run_of(&opened)?;
    let mut screen = Screen::new(args.json);
    let tell = &mut |progress| screen.tell(progress);
    let model = opened.parameters(tell)?;
    let lineage = Lineage {
        name: run.as_ref().map_or_else(|| "understory".to_owned(), |(run, _)| run.name.clone()),
        run: run.map(|(_, id)| id.to_string()),
        root: opened.root().map(|root| root.to_string()),
    };
    let format = match args.to {
        ExportFormat::Hf => Format::HuggingFace,
        ExportFormat::Gguf => Format::Gguf,
    };
    let written = engine::export(&args.dir, format, (&model, opened.tokenizer()?), &lineage, tell)
        .map_err(|error| explained(error, &args.dir))?;
    drop(screen);
    if args.json {
        println!("{}", serde_json::json!({ "written": written }));
    } else {
        println!("wrote {}", written.display());
    }
    Ok(())
}
