//! The log itself: digests of its views, a check of everything, and its tiles for other programs.

use super::{cli::Place, opening};
use crate::{hint::WithHint, print::print, progress::shown};
use anyhow::Result;
use commons::{
    Home,
    tiles::{self, TilesError, Written},
    verify::Checked,
    view,
};
use std::{path::Path, process::ExitCode, time::Instant};

pub fn hash(place: &Place) -> Result<()> {
    let workspace = opening::open(place)?;
    let log = workspace.log()?;
    let root = log.root_at(log.size())?;
    let digests = view::digests(&workspace.state);
    let (id, size) = (workspace.state.id, log.size());
    let views: serde_json::Map<String, serde_json::Value> =
        digests.iter().map(|(name, hash)| (name.clone(), hash.to_string().into())).collect();
    let object = serde_json::json!({ "commons": id, "size": size, "root": root, "views": views });
    print(place.json, &object, || {
        let views = digests.iter().map(|(name, hash)| format!("view     {hash}  {name}\n"));
        let head = format!("commons  {id}\nlog      {root}  {size} statements\n");
        head + &views.collect::<String>()
    })
}

pub fn verify(place: &Place) -> Result<ExitCode> {
    let home = Home::open(&place.dir)?;
    let began = Instant::now();
    let checked = shown(place.json, |tell| home.check(tell));
    let seconds = began.elapsed().as_secs_f64();
    let Checked { reports, problem } = checked?;
    let problem = problem.map(|problem| problem.to_string());
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
    let object = serde_json::json!({ "size": size, "tiles": tiles, "bundles": bundles });
    print(place.json, &object, || {
        format!("{size} statements as {tiles} tiles and {bundles} bundles in {}\n", to.display())
    })
}
