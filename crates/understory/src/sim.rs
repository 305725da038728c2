//! `understory sim attacks`: what comes of every attack that we know of.

use crate::{cli::SimArgs, terminal::eprint_over};
use anyhow::{Result, ensure};
use serde_json::json;
use sim::zoo::{self, Row};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, stderr},
    process::ExitCode,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// Runs the attacks that `args` names, prints a line for each, and fails if something broke.
pub fn attacks(args: &SimArgs) -> Result<ExitCode> {
    let mut rows = zoo::rows(args.seeds);
    if let Some(only) = &args.only {
        rows.retain(|row| row.case.name.contains(only.as_str()));
        ensure!(!rows.is_empty(), "no attack has {only:?} in its name");
    }
    if !args.json {
        println!("{}", header());
    }
    let done = run(&rows, |row| match args.json {
        true => println!("{}", as_json(row)),
        false => println!("{}", line(row)),
    });
    if args.only.is_none() && !args.json {
        println!("re-run in a settled run of 50 steps a round: {:.1} %", 100.0 * zoo::steady(0));
    }
    let broken: Vec<&Row> = done.iter().filter(|row| !why(row).is_empty()).collect();
    for row in &broken {
        eprintln!("{} at {}: {}", row.case.name, row.share_text(), why(row).join(", "));
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What had to hold for a row and did not.
fn why(row: &Row) -> Vec<String> {
    let mut why = row.broken();
    if row.is_slow() {
        why.push(format!("{:.0} % of the pace left", 100.0 * row.kept()));
    }
    why
}

/// All rows filled in, on as many threads as the machine has cores; `each` gets them in their order
/// as soon as they are there: a long run that is ended has shown what it found.
fn run(rows: &[Row], mut each: impl FnMut(&Row)) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let watched = stderr().is_terminal();
    let (filled, arriving) = mpsc::channel();
    let work = |filled: mpsc::Sender<(usize, Row)>| {
        let index = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < rows.len());
        while let Some(index) = index() {
            // Nobody listens any more: then nothing is left to do.
            if filled.send((index, rows[index].clone().filled())).is_err() {
                break;
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    let mut waiting = BTreeMap::new();
    let mut done: Vec<Row> = Vec::new();
    thread::scope(|scope| {
        for _ in 0..threads {
            let filled = filled.clone();
            scope.spawn(|| work(filled));
        }
        drop(filled);
        for (index, row) in arriving {
            waiting.insert(index, row);
            while let Some(row) = waiting.remove(&done.len()) {
                each(&row);
                done.push(row);
            }
            if watched {
                eprint_over(&format!("{} of {} rows", done.len() + waiting.len(), rows.len()));
            }
        }
    });
    if watched {
        eprintln!();
    }
    done
}

fn header() -> String {
    format!(
        "{:<20} {:>5} {:>5} {:>7} {:>5} {:>5} {:>6} {:>7} {:>9} {:>7} {:>8} {:>7} {:>6} {:>6}",
        "attack",
        "share",
        "seeds",
        "honest",
        "forks",
        "lost",
        "taken",
        "stalled",
        "attackers",
        "after",
        "expected",
        "pace",
        "audits",
        "loss"
    )
}

fn line(row: &Row) -> String {
    let (sums, after) = (&row.sums, row.caught_after());
    let after = after.map_or_else(String::new, |a| format!("{a:.1}"));
    let expected = row.expected().map_or_else(String::new, |e| format!("{e:.1}"));
    format!(
        "{:<20} {:>5} {:>5} {:>7} {:>5} {:>5} {:>6} {:>7} {:>9} {after:>7} {expected:>8} {:>6.0}% {:>5.0}% {:>6.2}",
        row.case.name,
        row.share_text(),
        row.seeds,
        sums.honest_ejected,
        sums.forks,
        sums.lost,
        format!("{:.0}%", 100.0 * row.robbed()),
        sums.stalled,
        format!("{}/{}", sums.ejected, sums.attackers),
        100.0 * row.kept(),
        100.0 * row.audit_share(),
        row.harm(),
    )
}

fn as_json(row: &Row) -> serde_json::Value {
    let sums = &row.sums;
    json!({
        "attack": row.case.name,
        "what": row.case.what,
        "share": row.share_text(),
        "seeds": row.seeds,
        "honest_ejected": sums.honest_ejected,
        "forks": sums.forks,
        "lost": sums.lost,
        "standing_taken": row.robbed(),
        "stalled": sums.stalled,
        "attackers": sums.attackers,
        "ejected": sums.ejected,
        "caught_after": row.caught_after(),
        "expected": row.expected(),
        "pace_kept": row.kept(),
        "audit_share": row.audit_share(),
        "loss_ratio": row.harm(),
        "broken": why(row),
    })
}
