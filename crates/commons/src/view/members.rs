//! Who belongs here, who vouched for whom, who sits where.

use crate::{
    state::{Affiliation, State},
    statement::House,
};
use ids::PeerId;

/// Everybody who is or was a member or asks to be one.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Members {
    /// Statements that this is computed from.
    pub size: u64,
    /// The time of the last mark, in Unix seconds.
    pub now: u64,
    /// By where they began in the log.
    pub members: Vec<MemberView>,
    /// Who vouches for whom.
    pub vouches: Vec<Vouch>,
    /// The stewards who have a say.
    pub stewards: Vec<PeerId>,
}

/// One of them.
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
pub fn members(state: &State) -> Members {
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
    let vouching = state.members.iter().filter(|(_, member)| !member.removed);
    let vouches = vouching.flat_map(|(by, member)| {
        member.vouches.iter().map(|subject| Vouch { by: *by, subject: *subject })
    });
    Members { size: state.size, now: state.now(), members, vouches: vouches.collect(), stewards }
}
