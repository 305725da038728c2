//! Short statements: about oneself, about others, about artifacts.

use super::{
    cli::{CommonsCommand, Place},
    opening::{self, digest},
};
use crate::units::now;
use anyhow::Result;
use commons::statement::{
    Attest, Check, Claim, Component, Derive, Evidence, Parent, Publish, Purpose, Relation,
    Reproducible, Rights, Subject, Use,
};
use ids::{Hash, PeerId};

/// Runs one of the commands that say something.
pub fn say(command: &CommonsCommand) -> Result<()> {
    match command {
        CommonsCommand::Introduce { name, place } => introduce(place, name),
        CommonsCommand::Vouch { member, withdraw, place } => {
            let mut workspace = opening::to_sign(place)?;
            let subject = workspace.member(member)?;
            let claim = Claim::Vouch { withdrawn: *withdraw };
            opening::say(&mut workspace, place.json, Attest { subject, claim })?;
            if !place.json {
                let (name, member) =
                    (workspace.name(&subject), workspace.state.is_member(&subject));
                println!("{name} is {}a member", if member { "" } else { "not yet " });
            }
            Ok(())
        }
        CommonsCommand::Affiliation { org, role, from, to, place } => {
            let from = from.unwrap_or_else(now);
            let (org, role) = (org.clone(), role.clone());
            about_me(place, Claim::Affiliation { org, role, from, to: *to })
        }
        CommonsCommand::Conflict { with, ended, place } => {
            let claim = Claim::Conflict { with: with.clone(), ended: *ended };
            about_me(place, claim)
        }
        CommonsCommand::House { house, place } => about_me(place, Claim::House { house: house.0 }),
        CommonsCommand::Use { artifact, by, days, place } => {
            let artifact = digest(artifact)?;
            let (by, purpose) = (by.clone(), Purpose::Personal);
            let mut workspace = opening::to_sign(place)?;
            let expiry =
                workspace.state.now().max(now()).saturating_add(days.saturating_mul(24 * 60 * 60));
            let used = Use { artifact, by, purpose, expiry };
            opening::say(&mut workspace, place.json, used).map(drop)
        }
        CommonsCommand::Publish { name, artifact, licence, place } => {
            publish(place, name, digest(artifact)?, licence)
        }
        CommonsCommand::Derive { child, parent, relation, recipe, place } => {
            derive(place, child, parent, relation.0, recipe)
        }
        CommonsCommand::Check { statement, verdict, note, place } => {
            let mut workspace = opening::to_sign(place)?;
            let subject = Subject::Statement(workspace.statement(statement)?.hash());
            let evidence = note.clone().map_or(Evidence::None, Evidence::Note);
            let check = Check { subject, verdict: verdict.0, evidence };
            opening::say(&mut workspace, place.json, check).map(drop)
        }
        CommonsCommand::Operator { key, place } => {
            let mut workspace = opening::to_sign(place)?;
            let holder = key.parse::<PeerId>().or_else(|_| workspace.member(key))?;
            let rights = Rights::to_operate(holder);
            opening::say(&mut workspace, place.json, rights)?;
            if !place.json {
                println!("the log's operator is {}", workspace.state.operator());
            }
            Ok(())
        }
        _ => unreachable!("the other commands are no statements"),
    }
}

/// Begins as a member and says one's name; of somebody known only the name.
fn introduce(place: &Place, name: &str) -> Result<()> {
    let mut workspace = opening::to_sign(place)?;
    if let Some(begun) = workspace.begin(now())? {
        opening::report(workspace.outcome(&begun), place.json, &begun)?;
    }
    let subject = workspace.me()?;
    let claim = Claim::Person { name: name.to_owned() };
    opening::say(&mut workspace, place.json, Attest { subject, claim })?;
    if !workspace.state.is_member(&subject) {
        println!("your id is {subject}");
        println!(
            "{} members have to vouch for you: `understory commons vouch {}`",
            workspace.state.rules.vouches_needed,
            subject.short()
        );
    }
    Ok(())
}

fn about_me(place: &Place, claim: Claim) -> Result<()> {
    let mut workspace = opening::to_sign(place)?;
    let subject = workspace.me()?;
    opening::say(&mut workspace, place.json, Attest { subject, claim }).map(drop)
}

fn publish(place: &Place, name: &str, artifact: Hash, licence: &str) -> Result<()> {
    let mut workspace = opening::to_sign(place)?;
    let supersedes = workspace.state.artifacts.get(&artifact).map(|known| known.statement);
    let component = Component {
        mof: 0,
        digest: Some(artifact),
        licence: licence.to_owned(),
        text: None,
        mutable: false,
        location: String::new(),
    };
    let components = if licence.is_empty() { Vec::new() } else { vec![component] };
    let publish = Publish { name: name.to_owned(), artifact, components, supersedes };
    opening::say(&mut workspace, place.json, publish).map(drop)
}

fn derive(
    place: &Place,
    child: &str,
    parents: &[String],
    relation: Relation,
    recipe: &str,
) -> Result<()> {
    let mut workspace = opening::to_sign(place)?;
    let share = (1000 / parents.len().max(1)).min(1000) as u16;
    let parents = parents
        .iter()
        .map(|text| Ok(Parent { digest: digest(text)?, relation, share }))
        .collect::<Result<_>>()?;
    let derive = Derive {
        child: digest(child)?,
        parents,
        recipe: digest(recipe)?,
        tool: concat!("understory ", env!("CARGO_PKG_VERSION")).into(),
        reproducible: Reproducible::Exact,
    };
    opening::say(&mut workspace, place.json, derive).map(drop)
}
