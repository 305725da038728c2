//! The views as text; those of questions are in `questions`.

use super::{
    cli::{Place, Shown},
    opening,
    questions::questions,
};
use crate::{print::print, units::time};
use anyhow::Result;
use commons::{
    Workspace,
    names::name_of,
    state::{Affiliation, State},
    statement::House,
    view::{self, Bounds},
};
use ids::{Hash, PeerId, Quoted, Short};
use std::{collections::BTreeSet, fmt::Write};

pub fn show(shown: Shown, at: Option<u64>, place: &Place) -> Result<()> {
    let workspace = opening::open(place)?;
    let state = workspace.at(at)?;
    match shown {
        Shown::Members => {
            let view = view::members(&state, Bounds::NONE);
            print(place.json, &view, || members(&state, &view))
        }
        Shown::Lineage => {
            let view = view::lineage(&state, Bounds::NONE);
            print(place.json, &view, || lineage(&state, &view))
        }
        Shown::Milestones => print(place.json, &view::milestones(&state), || milestones(&state)),
        Shown::Health => {
            let beside = view::Beside::of(&workspace.home, &workspace.log()?, &state)?;
            let view = view::health(&state, &beside, Bounds::NONE);
            print(place.json, &view, || late(&state, &view) + &health(&state, &view))
        }
        Shown::Questions => {
            let view = view::tallies(&state, Bounds::NONE);
            print(place.json, &view, || questions(&view))
        }
        Shown::Rules => print(place.json, &state.rules, || {
            toml::to_string_pretty(&state.rules).unwrap_or_default()
        }),
        Shown::Charter => {
            let text = workspace.home.objects()?.get(&state.charter);
            let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let object = serde_json::json!({ "digest": state.charter, "text": text.as_ref().ok() });
            let shown = text.unwrap_or_else(|_| {
                format!("the text with digest {} is not here\n", state.charter)
            });
            print(place.json, &object, || shown)
        }
        Shown::Log => log(&workspace, &state, place.json),
        Shown::Waiting => waiting(&workspace, place.json),
    }
}

fn members(state: &State, view: &view::Members) -> String {
    let mut out = format!(
        "{}, {} statements, {}\n",
        Quoted(&state.name),
        view.size,
        if state.marks.is_empty() { "never witnessed".into() } else { time(view.now) }
    );
    for view::Person { member, .. } in &view.members {
        let mut notes = Vec::new();
        if member.founder {
            notes.push("founder".to_owned());
        }
        if member.steward {
            notes.push("steward".to_owned());
        }
        match member.house {
            Some(House::Users) => notes.push("users' house".to_owned()),
            Some(House::Contributors) => notes.push("contributors' house".to_owned()),
            None => {}
        }
        if member.removed {
            notes.push("removed".to_owned());
        } else if !member.is_member {
            notes.push("not a member yet".to_owned());
        }
        let at = view.now;
        let employers =
            member.affiliations.iter().filter(|a| a.from <= at && a.to.is_none_or(|to| at < to));
        let works = |a: &Affiliation| format!("{} at {}", Quoted(&a.role), Quoted(&a.org));
        notes.extend(some(employers.map(works)));
        let conflicts = member.conflicts.iter();
        notes.extend(some(conflicts.map(|with| format!("interest in {}", Quoted(with)))));
        if member.recoveries > 0 {
            notes.push("keys are being recovered".to_owned());
        }
        let vouched: Vec<String> = view
            .vouches
            .iter()
            .filter(|v| v.subject == member.id)
            .map(|v| name_of(state, &v.by))
            .collect();
        if !vouched.is_empty() {
            notes.push(format!("vouched for by {}", vouched.join(" and ")));
        }
        let name = name_of(state, &member.id);
        let _ = writeln!(out, "  {}  {:16} {}", member.id.short(), name, notes.join(", "));
    }
    out
}

/// The first of what somebody said, and how much more there is: a line has an end.
fn some(all: impl Iterator<Item = String>) -> Vec<String> {
    const SOME: usize = 8;
    let mut all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(SOME);
    all.truncate(SOME);
    all.extend((more > 0).then(|| format!("and {more} more (--json has them)")));
    all
}

fn lineage(state: &State, view: &view::Lineage) -> String {
    let name = |digest: &Hash| {
        let known = view.nodes.iter().find(|n| n.digest == *digest).and_then(|n| n.name.clone());
        known.map_or(digest.short(), |name| format!("{} ({})", Short(name), digest.short()))
    };
    let mut out = String::new();
    for edge in &view.edges {
        let from = edge.parent.as_ref().map_or("nothing that is named".into(), &name);
        let how = edge.relation.map_or("made".into(), |r| r.to_string());
        let found = match edge.verdict {
            _ if edge.disputed > 0 => format!("DISPUTED by {}", edge.disputed),
            _ if edge.confirmed > 0 => format!("confirmed by {}", edge.confirmed),
            _ => "declared".into(),
        };
        let by = name_of(state, &edge.member);
        let _ = writeln!(out, "  {} <- {how} {from}: {found}, by {by}", name(&edge.child));
    }
    let made: BTreeSet<&Hash> =
        view.edges.iter().flat_map(|edge| edge.parent.iter().chain([&edge.child])).collect();
    for node in view.nodes.iter().filter(|node| !made.contains(&node.digest)) {
        let _ = writeln!(out, "  {}: nothing is said of what it was made from", name(&node.digest));
    }
    if out.is_empty() { "nothing was made here yet\n".into() } else { out }
}

fn milestones(state: &State) -> String {
    let view = view::milestones(state);
    let mut out = String::new();
    for run in &view.runs {
        let _ = writeln!(out, "run {}", run.run);
        for milestone in &run.milestones {
            let several = milestone.records.len() > 1;
            let alarm = if several { "  CONTRADICTION" } else { "" };
            for said in &milestone.records {
                let by: Vec<String> = said.by.iter().map(|id| name_of(state, id)).collect();
                let (height, record) = (milestone.height, said.record);
                let _ = writeln!(out, "  {height:6}  {record}  {}{alarm}", by.join(", "));
            }
        }
    }
    if out.is_empty() { "no record of a run was marked here yet\n".into() } else { out }
}

/// What waits for too long, and whether anybody can be charged with it.
fn late(state: &State, health: &view::Health) -> String {
    let mut out = String::new();
    for late in &health.beside.overdue {
        let _ = writeln!(
            out,
            "ALARM  statement {} of {} is overdue: operator {} signed to have it and left it out of \
             {} checkpoints",
            late.statement.short(),
            author(state, &late.author),
            late.operator.short(),
            late.checkpoints
        );
    }
    for left in &health.log.left_out {
        let _ = writeln!(
            out,
            "ALARM  statement {} of {} is overdue: operator {} signed to have it at size {}, as \
             statement {} shows",
            left.statement.short(),
            author(state, &left.author),
            left.operator.short(),
            left.size,
            left.index
        );
    }
    for one in &health.beside.unanswered {
        let _ = writeln!(
            out,
            "NOTE   statement {} of {} waits since {} checkpoints without a receipt: it may not have \
             reached the operator",
            one.statement.short(),
            author(state, &one.author),
            one.checkpoints
        );
    }
    out
}

/// Who decides the time, where that is not as usual.
fn clock(health: &view::LogHealth) -> String {
    let mut out = String::new();
    if health.one_decides {
        let _ = writeln!(
            out,
            "time        ONE WITNESS decides it alone, up to {} s beyond what two members have seen; \
             with two that must cosign none does",
            health.step
        );
    }
    if let Some(held) = health.held {
        let _ = writeln!(
            out,
            "time        a mark says {} and is held: it counts once members' statements have seen it \
             and another follows",
            time(held)
        );
    }
    if let Some(coming) = &health.coming {
        let _ = writeln!(
            out,
            "witnesses   to come: {} of {} ({}) have to cosign a head of more than {} statements",
            coming.threshold,
            coming.names.len(),
            some(coming.names.iter().map(|name| Quoted(name).to_string())).join(", "),
            coming.since
        );
    }
    out
}

fn health(state: &State, health: &view::Health) -> String {
    let mut out = String::new();
    for split in &health.log.splits {
        let _ = writeln!(
            out,
            "ALARM  operator {} signed another history at size {}: statement {} shows it",
            split.operator.short(),
            split.size,
            split.index
        );
    }
    if health.beside.split_proof {
        out.push_str(
            "ALARM  the log has two histories: `understory commons prove --split` writes ",
        );
        out.push_str("the proof for others\n");
    }
    for run in health.runs.iter().filter(|run| !run.contradicted.is_empty()) {
        let _ = writeln!(
            out,
            "ALARM  members say two things of a record of run {}: `understory commons show milestones`",
            run.run.short()
        );
    }
    for double in &health.log.equivocations {
        let _ = writeln!(
            out,
            "ALARM  {} said two things in one place ({} and {}); nothing from there on counts",
            author(state, &double.author),
            double.first.short(),
            double.second.short()
        );
    }
    let log = &health.log;
    let operator = log.operators.last().map_or_else(String::new, |o| o.key.short());
    let _ = writeln!(out, "statements  {}, {} of them void", log.size, log.void);
    let _ = writeln!(out, "operator    {operator}, the {}.", log.operators.len());
    let _ = writeln!(
        out,
        "witnesses   {} of {} must cosign; {} marks, the last {}; {} statements since",
        log.threshold,
        log.witnesses,
        log.marks,
        log.last_mark.map_or("never".into(), time),
        log.unwitnessed
    );
    out.push_str(&clock(log));
    for void in &health.last_void {
        let _ = writeln!(out, "  void {:6}  {}", void.index, void.reason.words);
    }
    out
}

fn author(state: &State, key: &PeerId) -> String {
    state.member_of(key).map_or_else(|| key.short(), |id| name_of(state, &id))
}

fn log(workspace: &Workspace, state: &State, json: bool) -> Result<()> {
    let log = workspace.log()?;
    for index in 0..state.size {
        let line = view::log_line(state, index, &log.statement(index)?);
        print(json, &line, || {
            let void = line.void.as_ref().map(|reason| format!("  void: {}", reason.words));
            let (kind, void) = (line.kind, void.unwrap_or_default());
            let by = author(state, &line.author);
            let [_, until] = line.between;
            let when = until.map_or("not witnessed yet".into(), |to| format!("by {}", time(to)));
            format!("{index:6}  {}  {kind:9} {by:16} {when}{void}\n", line.statement.short())
        })?;
    }
    Ok(())
}

fn waiting(workspace: &Workspace, json: bool) -> Result<()> {
    for waiting in workspace.log()?.pending()? {
        let line = view::waiting_line(&waiting.statement);
        print(json, &line, || {
            let by = author(&workspace.state, &line.author);
            format!("{}  {:9} {by}\n", line.statement.short(), line.kind)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use commons::{
        author,
        statement::{Founder, Genesis, Key, Rules, WitnessKey, Witnesses},
    };
    use ids::Identity;

    fn state() -> State {
        let key = |number: u8| Identity::from_seed([number; 32]);
        let founder = Founder {
            name: "Anna".to_owned(),
            member: key(1).id(),
            next: Key::digest(&key(2).id()),
            guardians: Vec::new(),
            threshold: 0,
            steward: true,
        };
        let witness = WitnessKey { name: "w".to_owned(), key: key(3).id() };
        let genesis = Genesis {
            name: "Garden".to_owned(),
            charter: Hash::of(b"charter"),
            rules: Rules::default(),
            founders: vec![founder],
            operator: key(4).id(),
            witnesses: Witnesses { keys: vec![witness], threshold: 1 },
            parent: None,
            created: 1_700_000_000,
            version: Some(3),
        };
        let (statement, _) = author::found(&key(1), &key(4), genesis).expect("a genesis");
        State::begin(&statement, None).expect("a state")
    }

    #[test]
    fn what_members_say_of_themselves_does_not_fill_the_screen() {
        let mut state = state();
        let long = "\u{202e}so long".repeat(30);
        let anna = state.members.values_mut().next().expect("a founder");
        let (org, role) = (long.clone(), long.clone());
        anna.affiliations = vec![Affiliation { org, role, from: 0, to: None, index: 0 }; 100];
        anna.conflicts = vec![long.clone(); 100];
        let text = members(&state, &view::members(&state, Bounds::NONE));
        assert!(text.contains("and 92 more (--json has them)"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 4000), "{text}");
        assert!(!text.contains('\u{202e}') && !text.contains(&long), "{text}");
    }
}
