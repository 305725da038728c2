//! `understory propose` and `understory vote`.

use super::{
    cli::{ProposeArgs, VoteArgs},
    flags::Flag,
    opening,
};
use crate::{
    hint::hinted,
    units::{now, time},
};
use anyhow::{Result, anyhow};
use commons::{
    ballot, documents,
    proposal::{Asked, ratio},
    state::{Proposal, State},
    statement::{Method, Vote},
    view::EffectView,
    workspace::Wording,
};
use ids::Quoted;

pub fn propose(args: &ProposeArgs) -> Result<()> {
    let mut workspace = opening::to_sign(&args.place)?;
    let topic = args.topic.0;
    let text = args.text.as_deref();
    let majority = ratio(&args.majority, ':')?;
    let options = Wording { topic, options: &args.options, majority, text, lists: args.list };
    let question =
        |text: &Option<String>| text.as_ref().map(|text| workspace.question_hash(text)).transpose();
    let asked = Asked {
        topic,
        title: args.title.clone(),
        text: text.map(|path| documents::text("", path)).transpose()?.unwrap_or_default(),
        options: workspace.options(&options)?,
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
        quotas: args.quota.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
        open: args.open,
        secret: args.secret,
        appeals: question(&args.appeal)?,
        held: question(&args.held)?,
    };
    let proposal = asked.proposed(&workspace.state, now())?;
    let close = proposal.close;
    let statement = opening::say(&mut workspace, args.place.json, proposal)?;
    if !args.place.json {
        println!("open until {}", time(close));
        let hash = statement.hash().short();
        println!("ballots: `understory vote {hash} …`; the count: `understory tally {hash}`");
    }
    Ok(())
}

pub fn vote(args: &VoteArgs) -> Result<()> {
    let mut workspace = opening::to_sign(&args.place)?;
    let state = workspace.state.clone();
    let proposal = workspace.question(&state, &args.question)?;
    in_time(&state, proposal, args.reveal)?;
    let ballot = if args.reveal {
        workspace.opened_ballot(proposal)?
    } else {
        let groups = ballot::ranking(&proposal.body.options, &args.ranking)?;
        say_ballot(args, &state, proposal, &groups);
        workspace.ballot(proposal, groups)?
    };
    let vote = Vote { proposal: proposal.statement, ballot };
    opening::say(&mut workspace, args.place.json, vote)?;
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

/// Whether a ballot, or what opens a secret one, is taken now.
fn in_time(state: &State, proposal: &Proposal, reveals: bool) -> Result<()> {
    ballot::in_time(proposal, reveals, now().max(state.now()))
        .map_err(|late| hinted(anyhow!(late.words(time)), late.todo()))
}
