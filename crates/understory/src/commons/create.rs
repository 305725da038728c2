//! Beginning a commons, and forking one.

use super::{
    cli::{CreateArgs, ForkArgs},
    desk::{Desk, MAX_DOCUMENT},
    keys::{Card, Keys, Role},
    names,
};
use crate::{hint::WithHint, units::now};
use anyhow::{Context, Result, bail};
use commons::{
    Home, author,
    state::State,
    statement::{Founder, Genesis, ParentLog, RULES_VERSION, Rules, WitnessKey, Witnesses},
};
use ids::{Hash, Identity};
use std::path::Path;

const DEFAULT_CHARTER: &str = "We hold what we make in common: everybody may use it, see how it was \
                               made, and take part in deciding what becomes of it.\n";

pub fn create(args: &CreateArgs) -> Result<()> {
    let keys = Keys::at(args.place.keys.as_deref())?;
    let me = keys.identity(Role::Current)?;
    let operator = keys.make(Role::Operator)?;
    let charter = charter_text(args.charter.as_deref())?;
    let rules = read_rules(args.rules.as_deref())?;
    let mut founders = vec![founder(&args.me, keys.card()?)];
    for text in &args.founder {
        let (name, card) = text.split_once('=').context("a founder is NAME=CARD")?;
        founders.push(founder(name, card.parse()?));
    }
    let genesis = Genesis {
        name: args.name.clone(),
        charter: Hash::of(charter.as_bytes()),
        rules,
        founders,
        operator: operator.id(),
        witnesses: witnesses(&keys, &args.witness, args.threshold)?,
        parent: None,
        created: now(),
        version: Some(RULES_VERSION),
    };
    names::check_genesis(&genesis)?;
    let (genesis, head) = author::found(&me, &operator, genesis)?;
    let home = Home::create(&args.place.dir, &genesis, Some(&head))
        .hint("name another folder with --dir")?;
    home.objects()?.put(charter.as_bytes())?;
    begin(&home, &keys, args.place.json)
}

pub fn fork(args: &ForkArgs) -> Result<()> {
    // Members come along as they are called.
    names::check("the name", &args.name)?;
    let desk = Desk::to_sign(&args.place)?;
    let keys = &desk.keys;
    let me = keys.identity(Role::Current)?;
    let operator = keys.make(Role::Operator)?;
    let charter = args.charter.as_deref().map(|path| charter_text(Some(path))).transpose()?;
    let size = args.at.unwrap_or(desk.state.size);
    let witnesses = witnesses(keys, &args.witness, args.threshold)?;
    let old_charter = desk.home.objects()?.get(&desk.state.charter).ok();
    // The log's file is opened again by the fork.
    let Desk { home, keys, state, archive, .. } = desk;
    drop(archive);
    let fork = home.fork::<anyhow::Error>(&args.to, size, |parent, old| {
        let charter = charter.as_ref().map_or(old.charter, |text| Hash::of(text.as_bytes()));
        let founders = comrades(old, &me, &args.with)?;
        let genesis = Genesis {
            name: args.name.clone(),
            charter,
            rules: old.rules.clone().completed(),
            founders,
            operator: operator.id(),
            witnesses,
            parent: Some(ParentLog { ..parent }),
            created: now(),
            version: Some(RULES_VERSION),
        };
        Ok(author::found(&me, &operator, genesis)?)
    })?;
    let objects = fork.objects()?;
    match (&charter, old_charter) {
        (Some(text), _) => drop(objects.put(text.as_bytes())?),
        (None, Some(text)) => drop(objects.put(&text)?),
        (None, None) => {}
    }
    if !args.place.json {
        println!("forked from {:?} at statement {size} of {}", state.name, state.size);
    }
    begin(&fork, &keys, args.place.json)
}

/// The first mark, and what was made.
fn begin(home: &Home, keys: &Keys, json: bool) -> Result<()> {
    let place = super::cli::Place {
        dir: home.dir().to_owned(),
        keys: Some(keys.dir().to_owned()),
        json: false,
    };
    let mut desk = Desk::open(&place)?;
    desk.first_mark()?;
    if json {
        println!("{}", serde_json::json!({ "commons": desk.state.id, "dir": home.dir() }));
    } else {
        println!("{:?} is commons {}", desk.state.name, desk.state.id);
        println!("kept in {}; its rules: `understory commons show rules`", home.dir().display());
        println!("`understory commons serve` lets others join");
    }
    Ok(())
}

/// The founders of a fork: whoever forks, and the members who come along.
fn comrades(old: &State, me: &Identity, with: &[String]) -> Result<Vec<Founder>> {
    let mine = old
        .member_of(&me.id())
        .context("your key is in force for nobody in the old commons")
        .hint("name the folder of the key that is, with --keys")?;
    let mut members = vec![mine];
    for text in with {
        let member = names::find_member(old, text)?;
        if !members.contains(&member) {
            members.push(member);
        }
    }
    let known = |id| {
        let member = &old.members[&id];
        Founder {
            name: if member.name.is_empty() { id.short() } else { member.name.clone() },
            member: id,
            next: member.next,
            guardians: member.guardians.clone(),
            threshold: member.threshold,
            steward: true,
        }
    };
    Ok(members.into_iter().map(known).collect())
}

fn founder(name: &str, card: Card) -> Founder {
    Founder {
        name: name.to_owned(),
        member: card.key,
        next: card.next,
        guardians: Vec::new(),
        threshold: 0,
        steward: true,
    }
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
    if found.len() > 32 {
        bail!("{} witnesses, at most 32 can be named", found.len());
    }
    let most = found.len() as u8 / 2 + 1;
    Ok(Witnesses { threshold: threshold.unwrap_or(most), keys: found })
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
