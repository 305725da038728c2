//! Beginning a commons, and forking one.

use super::{
    cli::{CreateArgs, ForkArgs},
    holder, opening,
};
use crate::{hint::hinted, print::print, units::now};
use anyhow::Result;
use commons::{
    Home, HomeError, Workspace, documents,
    founding::{self, Forking, Founding, FoundingError, founder, named_founder, witnesses},
    keys::{Keys, Role},
};
use ids::Quoted;

pub fn create(args: &CreateArgs) -> Result<()> {
    let keys = holder::keys(args.place.keys.as_deref())?;
    let me = keys.identity(Role::Current)?;
    let operator = keys.make(Role::Operator)?;
    let charter = documents::charter(args.charter.as_deref())?;
    let rules = args.rules.as_deref().map(documents::rules).transpose()?.unwrap_or_default();
    let mut founders = vec![founder(&args.me, &keys.card()?)];
    for text in &args.founder {
        founders.push(named_founder(text)?);
    }
    let witnesses = witnesses(&keys, &args.witness, args.threshold)?;
    let founding = Founding { name: args.name.clone(), charter, rules, founders, witnesses };
    let home = founding::create(&args.place.dir, &me, &operator, founding, now())
        .map_err(elsewhere("name another folder with --dir"))?;
    begin(&home, keys, args.place.json)
}

pub fn fork(args: &ForkArgs) -> Result<()> {
    let workspace = opening::to_sign(&args.place)?;
    let me = workspace.keys.identity(Role::Current)?;
    let operator = workspace.keys.make(Role::Operator)?;
    let size = args.at.unwrap_or(workspace.state.size);
    let forking = Forking {
        name: args.name.clone(),
        charter: args.charter.as_deref().map(|path| documents::charter(Some(path))).transpose()?,
        with: args.with.clone(),
        size: Some(size),
        witnesses: witnesses(&workspace.keys, &args.witness, args.threshold)?,
    };
    // The log's file is opened again by the fork.
    let Workspace { home, keys, state, archive } = workspace;
    drop(archive);
    let fork = founding::fork(&home, &args.to, &me, &operator, forking, now())
        .map_err(elsewhere("name another folder"))?;
    if !args.place.json {
        println!("forked from {} at statement {size} of {}", Quoted(&state.name), state.size);
    }
    begin(&fork, keys, args.place.json)
}

/// Tells what to do where there is a commons already.
fn elsewhere(todo: &'static str) -> impl FnOnce(FoundingError) -> anyhow::Error {
    move |error| match &error {
        FoundingError::Home(HomeError::Exists(_)) => hinted(error, todo),
        _ => error.into(),
    }
}

/// The first mark, and what was made.
fn begin(home: &Home, keys: Keys, json: bool) -> Result<()> {
    let mut workspace = Workspace::open(home.dir(), keys)?;
    workspace.mark_newest(now())?;
    let (id, name) = (workspace.state.id, Quoted(&workspace.state.name));
    print(json, &serde_json::json!({ "commons": id, "dir": home.dir() }), || {
        format!(
            "{name} is commons {id}\nkept in {}; its rules: `understory commons show rules`\n\
             `understory commons serve` lets others join\n",
            home.dir().display()
        )
    })
}
