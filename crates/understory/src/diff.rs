//! `understory diff`: what changed between two models, and by how much.

mod report;

use crate::cli::DiffArgs;
use crate::model_source::opened;
use crate::progress::Screen;
use anyhow::Result;
use std::process::ExitCode;

/// Exit status: 0 nothing changed, 1 something did.
pub fn diff(args: &DiffArgs) -> Result<ExitCode> {
    let (a, b) = (opened(&args.a, args.json)?, opened(&args.b, args.json)?);
    let mut screen = Screen::new(args.json);
    let difference = engine::diff(&a, &b, &mut |progress| screen.tell(progress))?;
    drop(screen);
    let mut out = crate::terminal::stdout();
    if args.json {
        report::json(&difference, &mut out)?;
    } else {
        report::text(&difference, args.tensors, &mut out)?;
    }
    Ok(if difference.is_nothing() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
