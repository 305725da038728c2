//! The log itself: digests of its views, a check of everything, and its tiles for other programs.

use super::{cli::Place, opening};
use crate::{hint::WithHint, progress::Screen};
use anyhow::Result;
use commons::{
    Home, HomeError,
    tiles::{self, TilesError, Written},
    view,
};
use std::{path::Path, process::ExitCode, time::Instant};

pub fn hash(place: &Place) -> Result<()> {
    let workspace = opening::open(place)?;
    let log = workspace.log()?;
    let root = log.root_at(log.size())?;
    let digests = view::digests(&workspace.state);
    if place.json {
        let views: serde_json::Map<String, serde_json::Value> =
            digests.iter().map(|(name, hash)| (name.clone(), hash.to_string().into())).collect();
        let object = serde_json::json!({
            "commons": workspace.state.id, "size": log.size(), "root": root, "views": views,
        });
        println!("{object}");
    } else {
        println!("commons  {}", workspace.state.id);
        println!("log      {root}  {} statements", log.size());
        for (name, hash) in digests {
            println!("view     {hash}  {name}");
        }
    }
    Ok(())
}

pub fn verify(place: &Place) -> Result<ExitCode> {
    let home = Home::open(&place.dir)?;
    let began = Instant::now();
    let mut screen = Screen::new(place.json);
    let outcome = home.verify(&mut |progress| screen.tell(progress));
    drop(screen);
    let seconds = began.elapsed().as_secs_f64();
    let problem = match &outcome {
        Ok((_, reports)) => match reports.last() {
            Some(last) if !last.is_covered() => Some(format!(
                "the newest checkpoint covers {} of {} statements",
                last.covered, last.statements
            )),
            _ => None,
        },
        // What cannot be read is no verdict on the log.
        Err(HomeError::Io { .. } | HomeError::Missing(_)) => {
            return outcome.map(|_| ExitCode::SUCCESS).map_err(Into::into);
        }
        Err(e) => Some(e.to_string()),
    };
    let reports = outcome.map(|(_, reports)| reports).unwrap_or_default();
    if place.json {
        let object = serde_json::json!({
            "holds": problem.is_none(), "problem": problem, "logs": reports, "seconds": seconds,
        });
        println!("{object}");
    } else {
        for report in &reports {
            println!(
                "commons {}: {} statements, {} of them void; {} checkpoints, {} witnessed; root {}",
                report.commons.short(),
                report.statements,
                report.void,
                report.checkpoints,
                report.witnessed,
                report.root
            );
        }
        match &problem {
            None => println!("everything holds, checked in {seconds:.1} s"),
            Some(problem) => println!("does not hold: {problem}"),
        }
    }
    Ok(ExitCode::from(u8::from(problem.is_some())))
}

pub fn export(to: &Path, place: &Place) -> Result<()> {
    let workspace = opening::open(place)?;
    let written = tiles::write(&workspace, to);
    let Written { size, tiles, bundles } = match written {
        Err(TilesError::NotEmpty(_)) => written.hint("name a folder that does not exist"),
        Err(TilesError::NoHead) => {
            written.hint("`understory commons serve` or `commons sync` brings the next one")
        }
        written => Ok(written?),
    }?;
    if place.json {
        println!("{}", serde_json::json!({ "size": size, "tiles": tiles, "bundles": bundles }));
    } else {
        println!("{size} statements as {tiles} tiles and {bundles} bundles in {}", to.display());
    }
    Ok(())
}
