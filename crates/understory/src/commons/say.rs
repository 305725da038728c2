//! Short statements: about oneself, about others, about artifacts.

use super::{
    cli::CommonsCommand,
    desk::{Desk, digest},
    keys::Role,
};
use crate::units::now;
use anyhow::Result;
use commons::statement::{
    Attest, Check, Claim, Component, Derive, DeviceKey, Evidence, Key, KeyOp, Parent, Publish,
    Purpose, Relation, Reproducible, Rights, Subject, Use,
};
use ids::{Hash, PeerId};

/// Runs one of the commands that say something.
pub fn say(command: &CommonsCommand) -> Result<()> {
    match command {
        CommonsCommand::Introduce { name, place } => introduce(&mut Desk::to_sign(place)?, name),
        CommonsCommand::Vouch { member, withdraw, place } => {
            let mut desk = Desk::to_sign(place)?;
            let subject = desk.member(member)?;
            let claim = Claim::Vouch { withdrawn: *withdraw };
            desk.say(Attest { subject, claim })?;
            if !place.json {
                let (name, member) = (desk.name(&subject), desk.state.is_member(&subject));
                println!("{name} is {}a member", if member { "" } else { "not yet " });
            }
            Ok(())
        }
        CommonsCommand::Affiliation { org, role, from, to, place } => {
            let from = from.unwrap_or_else(now);
            let (org, role) = (org.clone(), role.clone());
            about_me(&mut Desk::to_sign(place)?, Claim::Affiliation { org, role, from, to: *to })
        }
        CommonsCommand::Conflict { with, ended, place } => {
            let claim = Claim::Conflict { with: with.clone(), ended: *ended };
            about_me(&mut Desk::to_sign(place)?, claim)
        }
        CommonsCommand::House { house, place } => {
            about_me(&mut Desk::to_sign(place)?, Claim::House { house: house.0 })
        }
        CommonsCommand::Use { artifact, by, days, place } => {
            let artifact = digest(artifact)?;
            let (by, purpose) = (by.clone(), Purpose::Personal);
            let mut desk = Desk::to_sign(place)?;
            let expiry =
                desk.state.now().max(now()).saturating_add(days.saturating_mul(24 * 60 * 60));
            desk.say(Use { artifact, by, purpose, expiry }).map(drop)
        }
        CommonsCommand::Publish { name, artifact, licence, place } => {
            publish(&mut Desk::to_sign(place)?, name, digest(artifact)?, licence)
        }
        CommonsCommand::Derive { child, parent, relation, recipe, place } => {
            derive(&mut Desk::to_sign(place)?, child, parent, relation.0, recipe)
        }
        CommonsCommand::Check { statement, verdict, note, place } => {
            let mut desk = Desk::to_sign(place)?;
            let subject = Subject::Statement(desk.statement(statement)?.hash());
            let evidence = note.clone().map_or(Evidence::None, Evidence::Note);
            desk.say(Check { subject, verdict: verdict.0, evidence }).map(drop)
        }
        CommonsCommand::Operator { key, place } => {
            let mut desk = Desk::to_sign(place)?;
            let holder = key.parse::<PeerId>().or_else(|_| desk.member(key))?;
            let rights = Rights::to_operate(holder);
            desk.say(rights)?;
            if !place.json {
                println!("the log's operator is {}", desk.state.operator());
            }
            Ok(())
        }
        _ => unreachable!("the other commands are no statements"),
    }
}

/// Begins as a member and says one's name; of somebody known only the name.
fn introduce(desk: &mut Desk, name: &str) -> Result<()> {
    let me = desk.keys.identity(Role::Current)?;
    if desk.ahead()?.member_of(&me.id()).is_none() {
        let next = desk.keys.card()?.next;
        let key = Key {
            member: me.id(),
            op: KeyOp::Start,
            keys: vec![DeviceKey::bind(&me, &desk.state.id, &me.id())],
            next,
            guardians: Vec::new(),
            threshold: 0,
        };
        desk.say_as(&me, key)?;
    }
    let subject = desk.me()?;
    let claim = Claim::Person { name: name.to_owned() };
    desk.say_as(&me, Attest { subject, claim })?;
    if !desk.state.is_member(&subject) {
        println!("your id is {subject}");
        println!(
            "{} members have to vouch for you: `understory commons vouch {}`",
            desk.state.rules.vouches_needed,
            subject.short()
        );
    }
    Ok(())
}

fn about_me(desk: &mut Desk, claim: Claim) -> Result<()> {
    let subject = desk.me()?;
    desk.say(Attest { subject, claim }).map(drop)
}

fn publish(desk: &mut Desk, name: &str, artifact: Hash, licence: &str) -> Result<()> {
    let supersedes = desk.state.artifacts.get(&artifact).map(|known| known.statement);
    let component = Component {
        mof: 0,
        digest: Some(artifact),
        licence: licence.to_owned(),
        text: None,
        mutable: false,
        location: String::new(),
    };
    let components = if licence.is_empty() { Vec::new() } else { vec![component] };
    desk.say(Publish { name: name.to_owned(), artifact, components, supersedes }).map(drop)
}

fn derive(
    desk: &mut Desk,
    child: &str,
    parents: &[String],
    relation: Relation,
    recipe: &str,
) -> Result<()> {
    let share = (1000 / parents.len().max(1)).min(1000) as u16;
    let parents = parents
        .iter()
        .map(|text| Ok(Parent { digest: digest(text)?, relation, share }))
        .collect::<Result<_>>()?;
    desk.say(Derive {
        child: digest(child)?,
        parents,
        recipe: digest(recipe)?,
        tool: concat!("understory ", env!("CARGO_PKG_VERSION")).into(),
        reproducible: Reproducible::Exact,
    })
    .map(drop)
}
