//! `understory propose` and `understory vote`.

use super::{
    cli::{ProposeArgs, VoteArgs},
    create::read_rules,
    flags::Flag,
    opening::{self, MAX_DOCUMENT},
};
use crate::{
    hint::{WithHint, hinted},
    units::{now, time},
};
use anyhow::{Context, Result, anyhow};
use commons::{
    Workspace,
    ballot::{self, SealedBallot},
    proposal::{Asked, ProposalError, option},
    state::{Proposal, State},
    statement::{Choice, Effect, HeldSeat, HeldSeats, Method, ProposalType, Quota, Vote, VoteBody},
    view::EffectView,
};
use decide::Method::Approval;
use ids::{Hash, Quoted};
use std::path::Path;

pub fn propose(args: &ProposeArgs) -> Result<()> {
    let mut workspace = opening::to_sign(&args.place)?;
    let topic = args.topic.0;
    let text = match &args.text {
        Some(path) => bounded::read_named_text(path, MAX_DOCUMENT)
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => String::new(),
    };
    let majority = ratio(&args.majority, ':')?;
    let options = args.options.iter();
    let options = options.map(|option| choice(&workspace, args, topic, majority, option));
    let asked = Asked {
        topic,
        title: args.title.clone(),
        text,
        options: options.collect::<Result<_>>()?,
        default: args.default.clone(),
        majority,
        method: args.method.map(|Flag(method)| Method::Counted(method)),
        unranked: args.unranked.0,
        tie: match args.tie {
            Some(Flag(rule)) => {
                let me = workspace.me()?;
                Some(rule.with(Some, |()| Some(me)))
            }
            None => None,
        },
        seats: args.seats,
        cap: args.cap.as_deref().map(|text| ratio(text, '/')).transpose()?,
        quotas: args.quota.iter().map(|text| quota(text)).collect::<Result<_>>()?,
        open: args.open,
        secret: args.secret,
        appeals: question(&workspace, args.appeal.as_deref())?,
        held: question(&workspace, args.held.as_deref())?,
    };
    let proposal = asked.proposed(&workspace.state, now());
    let proposal = match proposal {
        Err(ProposalError::NoOptions) => proposal.hint(
            "name each with --option: a file for a charter or rules, else a member or a text",
        ),
        // Names have hints of their own.
        other => Ok(other?),
    }?;
    let close = proposal.close;
    let statement = opening::say(&mut workspace, args.place.json, proposal)?;
    if !args.place.json {
        println!("open until {}", time(close));
        let hash = statement.hash().short();
        println!("ballots: `understory vote {hash} …`; the count: `understory tally {hash}`");
    }
    Ok(())
}

/// The statement of another question, by what a person calls it.
fn question(workspace: &Workspace, text: Option<&str>) -> Result<Option<Hash>> {
    let found = text.map(|text| workspace.question(&workspace.state, text)).transpose()?;
    Ok(found.map(|question| question.statement))
}

/// An option as the topic reads it.
fn choice(
    workspace: &Workspace,
    args: &ProposeArgs,
    topic: ProposalType,
    majority: (u32, u32),
    text: &str,
) -> Result<Choice> {
    let mut choice = option(text, majority);
    match topic {
        ProposalType::Charter => {
            let charter = bounded::read_named(Path::new(text), MAX_DOCUMENT)
                .with_context(|| format!("cannot read the charter {text}"))?;
            let digest = workspace.home.objects()?.put(&charter)?;
            choice.effect = Effect::Charter(digest);
            choice.digest = Some(digest);
        }
        ProposalType::Rules => {
            choice.effect = Effect::Rules(read_rules(Some(Path::new(text)))?);
        }
        ProposalType::Stewards => {
            let member = workspace.member(text)?;
            choice.name = workspace.name(&member);
            choice.effect = Effect::Seat(member);
        }
        ProposalType::Removal => {
            let member = workspace.member(text)?;
            choice.name = format!("remove {}", workspace.name(&member));
            let evidence = args.text.as_deref().map(|path| bounded::read_named(path, MAX_DOCUMENT));
            let evidence = evidence.transpose()?.unwrap_or_default();
            choice.effect = Effect::Remove(member, Hash::of(&evidence));
        }
        ProposalType::Appeal => choice.effect = Effect::Overturn,
        ProposalType::Question if args.list => {
            let text = bounded::read_named_text(Path::new(text), MAX_DOCUMENT)
                .with_context(|| format!("cannot read the list {text}"))?;
            let list: SeatList = toml::from_str(&text).context("it does not list seats").hint(
                "committee = \"…\" and for each seat [[seat]] with name, org (or none) and until",
            )?;
            choice.name = format!("seats held on {}", list.committee);
            choice.effect = Effect::Seats(list.seats());
        }
        _ => {}
    }
    Ok(choice)
}

/// Seats that are held already, in a file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SeatList {
    committee: String,
    seat: Vec<SeatEntry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SeatEntry {
    name: String,
    org: Option<String>,
    /// In Unix seconds.
    until: u64,
}

impl SeatList {
    fn seats(&self) -> HeldSeats {
        let seat = |entry: &SeatEntry| HeldSeat {
            name: entry.name.clone(),
            org: entry.org.clone(),
            until: entry.until,
        };
        HeldSeats { committee: self.committee.clone(), seats: self.seat.iter().map(seat).collect() }
    }
}

/// `3:1` or `1/3`.
fn ratio(text: &str, between: char) -> Result<(u32, u32)> {
    let parse = || {
        let (num, den) = text.split_once(between)?;
        Some((num.trim().parse().ok()?, den.trim().parse().ok()?))
    };
    parse().with_context(|| format!("{text:?} is not two numbers with {between} between"))
}

/// `users=1..2`.
fn quota(text: &str) -> Result<Quota> {
    let parse = || {
        let (stratum, range) = text.rsplit_once('=')?;
        let (min, max) = range.split_once("..")?;
        let (min, max) = (min.parse().ok()?, max.parse().ok()?);
        Some(Quota { stratum: stratum.to_owned(), min, max })
    };
    parse().with_context(|| format!("{text:?} is not a quota like users=1..2"))
}

pub fn vote(args: &VoteArgs) -> Result<()> {
    let mut workspace = opening::to_sign(&args.place)?;
    let state = workspace.state.clone();
    let proposal = workspace.question(&state, &args.question)?;
    in_time(&state, proposal, args.reveal)?;
    let all = &proposal.body.options;
    let cast = if args.reveal {
        SealedBallot::reveal(
            &workspace.home,
            &workspace.ahead()?,
            &proposal.statement,
            &workspace.me()?,
        )?
    } else {
        if args.ranking.is_empty() && proposal.body.method != Method::Lot {
            return Err(anyhow!("a ballot ranks at least one option"))
                .hint(format!("the options: {}", ballot::words(all, &every_one(all))));
        }
        let groups = ballot::ranking(all, &args.ranking)?;
        say_ballot(args, &state, proposal, &groups);
        match (proposal.body.reveal, proposal.body.method) {
            (Some(_), _) => SealedBallot::new(groups)?.keep(
                &workspace.home,
                &proposal.statement,
                &workspace.me()?,
            )?,
            (None, Method::Counted(Approval)) => VoteBody::Approve(groups.concat()),
            (None, _) => VoteBody::Ranking(groups),
        }
    };
    opening::say(
        &mut workspace,
        args.place.json,
        Vote { proposal: proposal.statement, ballot: cast },
    )?;
    if proposal.body.reveal.is_some() && !args.reveal && !args.place.json {
        println!(
            "your ballot is secret; it counts if you reveal it between {} and {}: \
             `understory vote {} --reveal`",
            time(proposal.close),
            time(proposal.end()),
            proposal.statement.short()
        );
    }
    Ok(())
}

/// Repeats a ballot before it is signed: whoever mistyped sees it.
fn say_ballot(args: &VoteArgs, state: &State, proposal: &Proposal, groups: &[Vec<u16>]) {
    let options = &proposal.body.options;
    let words = ballot::words(options, groups);
    let mut words = format!("your ballot on {}: {words}", Quoted(&proposal.body.title));
    // An option is called what its author likes; this is what counts.
    for option in groups.iter().flatten().filter_map(|&at| options.get(usize::from(at))) {
        let effect = EffectView::new(state, &option.effect).words;
        if !effect.is_empty() {
            words.push_str(&format!("\nif {} wins, {effect}", Quoted(&option.name)));
        }
    }
    match args.place.json {
        true => eprintln!("{words}"),
        false => println!("{words}"),
    }
}

fn every_one(all: &[Choice]) -> Vec<Vec<u16>> {
    (0..all.len() as u16).map(|at| vec![at]).collect()
}

/// Whether a ballot, or what opens a secret one, is taken now.
fn in_time(state: &State, proposal: &Proposal, reveals: bool) -> Result<()> {
    ballot::in_time(proposal, reveals, now().max(state.now()))
        .map_err(|late| hinted(anyhow!(late.words(time)), late.todo()))
}
