//! `understory diff`: what changed between two models, and by how much.

mod report;

use crate::cli::DiffArgs;
use crate::model_source::opened;
use crate::progress::shown;
use anyhow::Result;
use std::io::Write;
use std::process::ExitCode;

/// Exit status: 0 nothing changed, 1 something did.
pub fn diff(args: &DiffArgs) -> Result<ExitCode> {
    let (a, b) = (opened(&args.a, args.json)?, opened(&args.b, args.json)?);
    let difference = shown(args.json, |tell| engine::diff(&a, &b, tell))?;
    let mut out = crate::terminal::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_value(&difference)?)?;
    } else {
        report::text(&difference, args.tensors, &mut out)?;
    }
    Ok(if difference.is_nothing() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
