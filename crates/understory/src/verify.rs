//! `understory verify`: a run checked from its stored objects alone.

mod report;
mod screen;
mod words;

use crate::{
    cli::VerifyArgs,
    commons::{judged_json, recorder_of_member, report_judged},
    hint::WithHint,
    kernel_for,
    scratch::Scratch,
    units::drawn_seed,
};
use anyhow::Result;
use cotrain::{
    recorder::{Judged, RunRecorder, marks},
    verify::{Found, Progress, Verdict, Verification},
};
use kernel::Kernel;
use local::peer_folders;
use report::Report;
use screen::Screen;
use std::{path::PathBuf, process::ExitCode, time::Instant};

/// Checks the run in `args.run` and says what came out: exit status 0 confirmed, 1 mismatch,
/// 2 unavailable.
pub fn verify(args: &VerifyArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let folders = peer_folders(&args.run);
    if folders.is_empty() {
        return Err(anyhow::anyhow!("no run at {}", args.run.display()))
            .hint("name the folder of a demo, or the one given to `understory swarm` with --dir");
    }
    let kernel = kernel_for(args.threads)?;
    let recorder = args.commons.as_deref();
    let recorder =
        recorder.map(|dir| recorder_of_member(dir, args.keys.as_deref())).transpose()?.flatten();
    let share = if args.all { 1.0 } else { args.sample };
    let seed = args.seed.map_or_else(drawn_seed, Ok)?;
    let found = find(args, &folders, kernel, (share, seed))?;
    let judged = recorder.map(|recorder| judge_model(&recorder, &found)).transpose()?.flatten();
    let seconds = begun.elapsed().as_secs_f64();
    let said = judged.as_ref().map(judged_json);
    let report = Report { found: &found, judged: said, share, seed, seconds };
    // In words what was said in the commons comes first, in JSON it is a part of the object.
    if args.json {
        report.print(true)?;
    }
    judged.map(|judged| report_judged(judged, args.json)).transpose()?;
    if !args.json {
        report.print(false)?;
    }
    Ok(ExitCode::from(match found.verdict() {
        Verdict::Confirmed => 0,
        Verdict::Mismatch => 1,
        Verdict::Unavailable => 2,
    }))
}

/// Checks a part of the contributions, drawn by a seed, and everything else.
fn find(
    args: &VerifyArgs,
    folders: &[PathBuf],
    kernel: Kernel,
    (share, seed): (f64, u64),
) -> Result<Found> {
    let scratch = Scratch::new("verify")?;
    let mut screen = Screen::new(args.json);
    let tell = &mut |progress: Progress<'_>| screen.show(progress);
    let mut verification = Verification::begin(folders, scratch.path(), kernel, tell)?;
    if let (Some(dir), Some(run)) = (&args.commons, verification.run()) {
        verification.compare(marks(dir, &run)?);
    }
    let found = verification.finish(share, seed, tell);
    screen.end()?;
    Ok(found?)
}

/// Says in a commons what was found, if it was found and there is something to judge.
fn judge_model(recorder: &RunRecorder, found: &Found) -> Result<Option<Judged>> {
    let (Some(root), verdict) = (found.newest_model(), found.verdict()) else { return Ok(None) };
    if verdict == Verdict::Unavailable {
        return Ok(None);
    }
    let judged = recorder.judge(&root, verdict == Verdict::Confirmed)?;
    if judged.is_none() {
        eprintln!("the commons has no derivation of {root} by somebody else");
    }
    Ok(judged)
}
