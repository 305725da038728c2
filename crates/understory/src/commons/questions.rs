//! Questions as text: their counts, margins and panels.

use super::{
    cli::{QuestionArgs, TallyArgs},
    opening,
};
use crate::{print::print, units::time};
use anyhow::Result;
use commons::{
    ballot,
    names::name_of,
    state::{State, Status},
    statement::House,
    view::{self, Bounds, Margin, Question, Tallies, Tally},
};
use ids::{Quoted, Short};
use std::fmt::Write;

/// `understory tally`.
pub fn tally(args: &TallyArgs) -> Result<()> {
    let workspace = opening::open(&args.place)?;
    let state = workspace.at(args.at)?;
    let Some(text) = &args.question else {
        let all = view::tallies(&state, Bounds::NONE);
        return print(args.place.json, &all, || questions(&all));
    };
    let tally = view::tally(&state, workspace.question(&state, text)?, Bounds::NONE);
    print(args.place.json, &tally, || tally_text(&state, &tally, args.explain))
}

/// `understory margin`.
pub fn margin(args: &QuestionArgs) -> Result<()> {
    let workspace = opening::open(&args.place)?;
    let state = workspace.at(args.at)?;
    let proposal = workspace.question(&state, &args.question)?;
    let Some(margin) = view::margin(&state, proposal, Bounds::NONE) else {
        anyhow::bail!("{} has no votes that are counted", Quoted(&proposal.body.title));
    };
    print(args.place.json, &margin, || {
        let options = short_names(margin.options.iter());
        let standing = standing(&margin.status, &options, proposal.close);
        format!("{}: {standing}\n\n{}", Quoted(&margin.title), margin_text(&state, &margin))
    })
}

/// `understory panel`.
pub fn panel(args: &QuestionArgs) -> Result<()> {
    let workspace = opening::open(&args.place)?;
    let state = workspace.at(args.at)?;
    let proposal = workspace.question(&state, &args.question)?;
    let Some(panel) = view::panel(&state, proposal) else {
        anyhow::bail!("{} is decided by votes, not by lot", Quoted(&proposal.body.title));
    };
    print(args.place.json, &panel, || {
        // What is drawn has no options.
        let standing = standing(&panel.question.status, &[], proposal.close);
        let mut out = format!("{}: {standing}\n", Quoted(&proposal.body.title));
        let _ = writeln!(out, "drawn from {} members with {} secrets", panel.pool, panel.secrets);
        for (at, round) in panel.rounds.iter().enumerate() {
            let names: Vec<String> =
                round.withheld.iter().map(|member| name_of(&state, member)).collect();
            if !names.is_empty() {
                let (round, names) = (at + 1, names.join(", "));
                let _ = writeln!(out, "round {round}: the secrets of {names} were not revealed");
            }
        }
        if panel.withheld > 0 && !panel.drawn.is_empty() {
            let choices = 2f64.powi(panel.withheld.min(1_000) as i32);
            let _ = writeln!(out, "whoever withheld them could choose among {choices} panels");
        }
        if let Some(possible) = &panel.possible {
            let _ = writeln!(out, "{possible} panels were possible, each as likely");
        }
        for (what, seats) in [("seat", &panel.drawn), ("stand-in", &panel.stand_ins)] {
            for seat in seats {
                let name = name_of(&state, &seat.member);
                let org = Short(seat.employer.as_deref().unwrap_or(""));
                let _ = writeln!(out, "  {what:8}  {}  {name} {org}", seat.member.short());
            }
        }
        out
    })
}

/// All questions in the order of the log, a line each.
pub fn questions(all: &Tallies) -> String {
    let mut out = String::new();
    for question in all.questions.iter().rev() {
        let Question { index, proposal, title, .. } = question;
        let (title, status) = (Quoted(title), status(question));
        let _ = writeln!(out, "  {index:5}  {}  {title}: {status}", proposal.short());
    }
    if out.is_empty() { "nothing was asked here yet\n".into() } else { out }
}

fn tally_text(state: &State, tally: &Tally, explain: bool) -> String {
    let mut out = format!("{}: {}\n", Quoted(&tally.question.title), status(&tally.question));
    if tally.unopened > 0 {
        let _ = writeln!(out, "sealed and not opened, so not counted: {}", tally.unopened);
    }
    if let Some(problem) = &tally.problem {
        let _ = writeln!(out, "it cannot be counted: {problem}");
    }
    for option in tally.question.options.iter().filter(|option| !option.effect.words.is_empty()) {
        let _ = writeln!(out, "if {} wins, {}", Quoted(&option.name), option.effect.words);
    }
    let options = option_names(&tally.question);
    let columns: Vec<&str> = options.iter().map(String::as_str).collect();
    for house in &tally.counts {
        let who = match house.house {
            Some(House::Users) => "the users' house",
            Some(House::Contributors) => "the contributors' house",
            None => "all members",
        };
        let _ = writeln!(out, "\n{who}: {} of {} voted", house.ballots, house.electors);
        if explain {
            for line in decide::matrix_table(&columns, &house.pairwise) {
                let _ = writeln!(out, "  {line}");
            }
            for line in &house.explanation {
                let _ = writeln!(out, "  {line}");
            }
        } else {
            let _ = writeln!(out, "  ahead: {}", names(&options, &house.winners));
        }
    }
    if !tally.together.is_empty() {
        let _ = writeln!(out, "\nboth houses together");
        tally.together.iter().for_each(|line| {
            let _ = writeln!(out, "  {line}");
        });
    }
    if let Some(margin) = &tally.margin {
        let _ = write!(out, "\n{}", margin_text(state, margin));
    }
    out
}

/// Who could make a result another, in sentences.
fn margin_text(state: &State, margin: &Margin) -> String {
    let options = short_names(margin.options.iter());
    let result = |winners: &[u32]| match names(&options, winners) {
        nothing if nothing.is_empty() => "nothing is decided".to_owned(),
        names => format!("the result is {names}"),
    };
    let of = voters(margin.voters);
    let mut lines = vec![match (margin.least, margin.exact) {
        (None, _) => format!("margin: whoever of {of} is missing, {}", result(&margin.winners)),
        (Some(least), true) => {
            format!("margin: {least} of {of} would have to be missing for another result")
        }
        (Some(least), false) => {
            format!("margin: at least {least} of {of} would have to be missing for another result")
        }
    }];
    if let Some(missing) = &margin.example {
        let who = match missing.who.as_slice() {
            few if few.len() <= 12 => {
                few.iter().map(|id| name_of(state, id)).collect::<Vec<_>>().join(", ")
            }
            many => format!("{} voters (--json names them)", many.len()),
        };
        lines.push(format!("without {who} {}", result(&missing.winners)));
    }
    // What was not tried may do it: nothing is said of others then.
    let others = |what: &str| (margin.untried == 0).then(|| format!("no single {what} decides it"));
    lines.extend(match &margin.employer {
        Some(missing) => {
            let (who, count) = (Short(&missing.who), voters(missing.voters));
            Some(format!("without the people of {who} ({count}) {}", result(&missing.winners)))
        }
        None => others("employer"),
    });
    lines.extend(match &margin.voucher {
        Some(missing) => {
            let (who, count) = (name_of(state, &missing.who), voters(missing.voters));
            let result = result(&missing.winners);
            Some(format!("without those who stand or fall with {who} ({count}) {result}"))
        }
        None => others("voucher"),
    });
    if margin.untried > 0 {
        let untried = margin.untried;
        lines.push(format!("not tried, for want of time: {untried} large employers or vouchers"));
    }
    lines.join("\n  ") + "\n"
}

fn status(question: &Question) -> String {
    standing(&question.status, &option_names(question), question.close)
}

fn option_names(question: &Question) -> Vec<String> {
    short_names(question.options.iter().map(|option| &option.name))
}

fn short_names<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.enumerate().map(|(at, name)| ballot::short_name(name, at)).collect()
}

fn standing(status: &Status, options: &[String], close: u64) -> String {
    let names = |winners: &[u32]| names(options, winners);
    match status {
        Status::Open => format!("open until {}", time(close)),
        Status::Passed { winners, in_force: true, .. } if options.is_empty() => {
            format!("a panel of {} is drawn", winners.len())
        }
        Status::Passed { winners, in_force: true, .. } => format!("passed: {}", names(winners)),
        Status::Passed { winners, due, .. } => {
            format!("passed: {}, in force from {}", names(winners), time(*due))
        }
        Status::Withheld { winners, margin, .. } => {
            format!("withheld: {} would win, but {margin} voters decide", names(winners))
        }
        Status::Failed { .. } => "not passed".into(),
        Status::Overturned { .. } => "overturned by a panel".into(),
    }
}

fn voters(count: u64) -> String {
    if count == 1 { "1 voter".into() } else { format!("{count} voters") }
}

fn names(options: &[String], winners: &[u32]) -> String {
    let name = |winner: &u32| options.get(*winner as usize).map(String::as_str);
    winners.iter().filter_map(name).collect::<Vec<_>>().join(", ")
}
