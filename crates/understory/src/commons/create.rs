//! Beginning a commons, and forking one.

use super::{
    cli::{CreateArgs, ForkArgs},
    holder,
    opening::{self, MAX_DOCUMENT},
};
use crate::{
    hint::{WithHint, hinted},
    units::now,
};
use anyhow::{Context, Result};
use commons::{
    Home, HomeError, Workspace,
    founding::{self, DEFAULT_CHARTER, Forking, Founding, FoundingError, founder},
    keys::{Keys, Role},
    statement::{Rules, WitnessKey, Witnesses},
};
use ids::Quoted;
use std::path::Path;

pub fn create(args: &CreateArgs) -> Result<()> {
    let keys = holder::keys(args.place.keys.as_deref())?;
    let me = keys.identity(Role::Current)?;
    let operator = keys.make(Role::Operator)?;
    let charter = charter_text(args.charter.as_deref())?;
    let rules = read_rules(args.rules.as_deref())?;
    let mut founders = vec![founder(&args.me, &keys.card()?)];
    for text in &args.founder {
        let (name, card) = text.split_once('=').context("a founder is NAME=CARD")?;
        founders.push(founder(name, &card.parse()?));
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
        charter: args.charter.as_deref().map(|path| charter_text(Some(path))).transpose()?,
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
    if json {
        println!("{}", serde_json::json!({ "commons": workspace.state.id, "dir": home.dir() }));
    } else {
        println!("{} is commons {}", Quoted(&workspace.state.name), workspace.state.id);
        println!("kept in {}; its rules: `understory commons show rules`", home.dir().display());
        println!("`understory commons serve` lets others join");
    }
    Ok(())
}

/// The witness policy: those named, or a key of one's own.
fn witnesses(keys: &Keys, named: &[String], threshold: Option<u8>) -> Result<Witnesses> {
    let mut found = Vec::new();
    for text in named {
        let (name, key) = text.split_once('=').context("a witness is NAME=KEY")?;
        found.push(WitnessKey { name: name.to_owned(), key: key.parse()? });
    }
    if found.is_empty() {
        let key = keys.make(Role::Witness)?.id();
        found.push(WitnessKey { name: format!("witness-{}", key.short()), key });
    }
    let threshold = threshold.unwrap_or(founding::majority(found.len()));
    Ok(Witnesses { threshold, keys: found })
}

fn charter_text(path: Option<&Path>) -> Result<String> {
    match path {
        None => Ok(DEFAULT_CHARTER.to_owned()),
        Some(path) => bounded::read_named_text(path, MAX_DOCUMENT)
            .with_context(|| format!("cannot read the charter {}", path.display())),
    }
}

/// Rules from a TOML file, or the defaults.
pub fn read_rules(path: Option<&Path>) -> Result<Rules> {
    let Some(path) = path else { return Ok(Rules::default()) };
    let text = bounded::read_named_text(path, MAX_DOCUMENT)
        .with_context(|| format!("cannot read the rules {}", path.display()))?;
    let rules: Rules = toml::from_str(&text)
        .with_context(|| format!("{} does not hold rules", path.display()))
        .hint("`understory commons show rules` prints all of them")?;
    rules.validate()?;
    Ok(rules)
}
