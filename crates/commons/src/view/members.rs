//! Who belongs here, who vouched for whom, who sits where.

use super::Bounds;
use crate::{
    names::name_of,
    state::{Affiliation, State},
    statement::House,
};
use ids::PeerId;
use std::collections::BTreeSet;

/// Everybody who is or was a member or asks to be one.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Members {
    /// Statements that this is computed from.
    pub size: u64,
    /// The time of the last mark, in Unix seconds.
    pub now: u64,
    /// Members whose vouch makes a member.
    pub vouches_needed: u8,
    /// All of them, shown or not.
    pub count: usize,
    /// By where they began in the log: the first.
    pub members: Vec<Person>,
    /// Who of them vouches for whom.
    pub vouches: Vec<Vouch>,
    /// The stewards who have a say.
    pub stewards: Vec<PeerId>,
}

/// One of them, with what follows from the others.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Person {
    /// What is known of it alone.
    #[serde(flatten)]
    pub member: MemberView,
    /// What it is called where people read it, by commands and pages alike ([`name_of`]).
    pub shown: String,
    /// The organisation that counts where only one can.
    pub employer: Option<String>,
    /// Members that vouch for it.
    pub vouchers: usize,
}

/// A member, or one that asks to be one.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MemberView {
    /// The id.
    pub id: PeerId,
    /// What it calls itself.
    pub name: String,
    /// Where in the log it began.
    pub began: u64,
    /// Whether it is a member now.
    pub is_member: bool,
    /// Whether the genesis names it.
    pub founder: bool,
    /// Whether it was removed by decision.
    pub removed: bool,
    /// The house it sits in.
    pub house: Option<House>,
    /// Whether it has a steward's seat and a say.
    pub steward: bool,
    /// Where it works, by its own word.
    pub affiliations: Vec<Affiliation>,
    /// Interests that it declared.
    pub conflicts: Vec<String>,
    /// Its keys in force.
    pub keys: Vec<PeerId>,
    /// How many guardians of how many can recover its keys.
    pub guardians: (u8, usize),
    /// Recoveries of its keys on their way.
    pub recoveries: usize,
    /// Vouches that it can still give.
    pub vouches_left: usize,
}

/// One vouch.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Vouch {
    /// Who vouches.
    pub by: PeerId,
    /// For whom.
    pub subject: PeerId,
}

/// The members of a commons.
pub fn members(state: &State, bounds: Bounds) -> Members {
    let (all, vouches) = (all_members(state), all_vouches(state));
    let count = all.len();
    let members: Vec<Person> =
        all.into_iter().take(bounds.items).map(|member| person(state, member)).collect();
    let shown: BTreeSet<PeerId> = members.iter().map(|person| person.member.id).collect();
    let both = |vouch: &Vouch| shown.contains(&vouch.by) && shown.contains(&vouch.subject);
    Members {
        size: state.size,
        now: state.now(),
        vouches_needed: state.rules.vouches_needed,
        count,
        vouches: vouches.into_iter().filter(both).take(bounds.vouches).collect(),
        members,
        stewards: state.active_stewards(),
    }
}

fn person(state: &State, member: MemberView) -> Person {
    let known = &state.members[&member.id];
    let employer = known.employer(state.now()).map(str::to_owned);
    let shown = name_of(state, &member.id);
    Person { shown, employer, vouchers: known.support as usize, member }
}

/// All of them, by where they began in the log.
pub(super) fn all_members(state: &State) -> Vec<MemberView> {
    let electorate = state.electorate();
    let stewards = state.active_stewards();
    let house = |id: &PeerId| electorate.position(id).and_then(|at| electorate.electors[at].house);
    let budget = usize::from(state.rules.vouch_budget);
    let mut members: Vec<MemberView> = state
        .members
        .iter()
        .map(|(id, member)| MemberView {
            id: *id,
            name: member.name.clone(),
            began: member.began,
            is_member: member.is_member,
            founder: member.founder,
            removed: member.removed,
            house: house(id),
            steward: stewards.contains(id),
            affiliations: member.affiliations.clone(),
            conflicts: member.conflicts.clone(),
            keys: state.keys_of(id),
            guardians: (member.threshold, member.guardians.len()),
            recoveries: member.recoveries.len(),
            vouches_left: budget.saturating_sub(member.vouches.len()),
        })
        .collect();
    members.sort_by_key(|m| (m.began, m.id));
    members
}

/// Who vouches for whom, by who does.
pub(super) fn all_vouches(state: &State) -> Vec<Vouch> {
    let vouching = state.members.iter().filter(|(_, member)| !member.removed);
    let vouches = vouching.flat_map(|(by, member)| {
        member.vouches.iter().map(|subject| Vouch { by: *by, subject: *subject })
    });
    vouches.collect()
}
