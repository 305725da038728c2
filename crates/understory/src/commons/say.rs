//! Short statements: about oneself, about others, about artifacts.

use super::{
    cli::{CommonsCommand, Place},
    opening::{self, said_by},
};
use crate::units::now;
use anyhow::Result;
use commons::{documents::digest, statement::Claim};

/// Runs one of the commands that say something.
pub fn say(command: &CommonsCommand) -> Result<()> {
    match command {
        CommonsCommand::Introduce { name, place } => return introduce(place, name),
        CommonsCommand::Vouch { member, withdraw, place } => {
            let mut subject = None;
            let workspace = said_by(place, |workspace| {
                let member = *subject.insert(workspace.member(member)?);
                workspace.vouch(&member, *withdraw, now())
            })?;
            if let (false, Some(member)) = (place.json, subject) {
                let not_yet = if workspace.state.is_member(&member) { "" } else { "not yet " };
                println!("{} is {not_yet}a member", workspace.name(&member));
            }
            return Ok(());
        }
        CommonsCommand::Affiliation { org, role, from, to, place } => {
            let from = from.unwrap_or_else(now);
            let (org, role) = (org.clone(), role.clone());
            about_me(place, Claim::Affiliation { org, role, from, to: *to })
        }
        CommonsCommand::Conflict { with, ended, place } => {
            about_me(place, Claim::Conflict { with: with.clone(), ended: *ended })
        }
        CommonsCommand::House { house, place } => about_me(place, Claim::House { house: house.0 }),
        CommonsCommand::Use { artifact, by, days, place } => {
            let artifact = digest(artifact)?;
            said_by(place, |workspace| workspace.uses(artifact, by.clone(), *days, now()))
        }
        CommonsCommand::Publish { name, artifact, licence, place } => {
            let artifact = digest(artifact)?;
            said_by(place, |workspace| workspace.publish(name, artifact, licence, now()))
        }
        CommonsCommand::Derive { child, parent, relation, recipe, place } => {
            let (child, recipe) = (digest(child)?, digest(recipe)?);
            let parents = parent.iter().map(|text| digest(text)).collect::<Result<Vec<_>, _>>()?;
            said_by(place, |workspace| workspace.derive(child, &parents, relation.0, recipe, now()))
        }
        CommonsCommand::Check { statement, verdict, note, place } => {
            said_by(place, |workspace| workspace.check(statement, verdict.0, note.clone(), now()))
        }
        CommonsCommand::Operator { key, place } => {
            let workspace = said_by(place, |workspace| workspace.name_operator(key, now()))?;
            if !place.json {
                println!("the log's operator is {}", workspace.state.operator());
            }
            return Ok(());
        }
        _ => unreachable!("the other commands are no statements"),
    }
    .map(drop)
}

/// Begins as a member and says one's name; of somebody known only the name.
fn introduce(place: &Place, name: &str) -> Result<()> {
    let mut workspace = opening::to_sign(place)?;
    let begun = workspace.begin(now())?;
    let mut key = None;
    if let Some(begun) = &begun {
        let outcome = workspace.outcome(begun);
        // With `--json` it is for the one object that is printed; what counts for nothing is all
        // there is to print.
        if !place.json || outcome.void.is_some() {
            opening::report(outcome, place.json, begun)?;
        } else {
            key = Some(opening::as_json(&outcome, begun));
        }
    }
    let claim = Claim::Person { name: name.to_owned() };
    let said = workspace.claim(claim, now())?;
    let (outcome, me) = (workspace.outcome(&said), workspace.me()?);
    let (member, needed) = (workspace.state.is_member(&me), workspace.state.rules.vouches_needed);
    if place.json {
        let mut object = opening::as_json(&outcome, &said);
        object["key"] = key.into();
        object["id"] = serde_json::json!(me);
        object["is_member"] = member.into();
        object["vouches_needed"] = needed.into();
        println!("{object}");
        return opening::counts(outcome, &said);
    }
    opening::report(outcome, false, &said)?;
    if !member {
        println!("your id is {me}");
        println!(
            "{needed} members have to vouch for you: `understory commons vouch {}`",
            me.short()
        );
    }
    Ok(())
}

fn about_me(place: &Place, claim: Claim) -> Result<commons::Workspace> {
    said_by(place, |workspace| workspace.claim(claim, now()))
}
