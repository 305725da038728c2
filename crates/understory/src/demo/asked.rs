//! The demo that the flags ask for: a new one, or the one to go on with.

use crate::{
    cli::DemoArgs,
    hint::{WithHint, hinted},
};
use anyhow::{Context, Error, Result, anyhow};
use local::{
    free_demo, newest_demo,
    plan::{Plan, PlanError, Wanted},
};
use std::path::{Path, PathBuf};

/// The folder and plan of it.
pub fn asked(args: &DemoArgs) -> Result<(PathBuf, Plan)> {
    if args.resume {
        return resumed(args);
    }
    let plan = Plan::new(&wanted(args)).map_err(for_plan)?;
    if plan.may_not_decide() {
        eprintln!(
            "note: with {} of {} peers cheating, a third or more, the honest ones may not be \
             enough to decide",
            args.cheaters, args.peers
        );
    }
    let folder = args.dir.clone().unwrap_or_else(|| free_demo(Path::new("")));
    plan.keep(&folder).map_err(for_plan)?;
    Ok((folder, plan))
}

fn resumed(args: &DemoArgs) -> Result<(PathBuf, Plan)> {
    let folder = match &args.dir {
        Some(folder) => folder.clone(),
        None => {
            newest_demo(Path::new("")).context("no demo in this folder").hint("start one first")?
        }
    };
    let plan = match Plan::read(&folder) {
        Err(error @ PlanError::Read { .. }) => {
            Err(error).hint("--dir names the folder of a demo")?
        }
        read => read?,
    };
    Ok((folder, plan))
}

fn wanted(args: &DemoArgs) -> Wanted {
    Wanted {
        peers: args.peers,
        cheaters: args.cheaters,
        cheat: args.cheat,
        data: args.data.clone(),
        family: args.family,
        minutes: args.minutes,
        rounds: args.rounds,
        steps: args.steps,
        seed: args.seed,
    }
}

/// An error with the flags that help.
fn for_plan(error: PlanError) -> Error {
    match error {
        PlanError::NobodyHonest { .. } => hinted(error, "use fewer --cheaters or more --peers"),
        PlanError::Minutes(minutes) => anyhow!("--minutes is {minutes}, must be above 0"),
        PlanError::Taken(_) => {
            hinted(error, "go on with it with --resume, or choose another --dir")
        }
        PlanError::Founding(error) => error.into(),
        error => error.into(),
    }
}
