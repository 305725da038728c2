//! Who may vote, fixed where a question stands in the log.

use super::State;
use crate::{PeerId, statement::House};
use std::sync::Arc;
use store::Hash;

/// One who may vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elector {
    /// The member.
    pub member: PeerId,
    /// Its name.
    pub name: String,
    /// The house it sits in, if it has standing in one.
    pub house: Option<House>,
    /// Whom it works for.
    pub employer: Option<String>,
    /// Whether it is a member whoever vouches for it.
    pub founder: bool,
    /// Electors it vouches for, by place.
    pub vouches: Vec<u32>,
}

/// All who may vote on a question.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Electorate {
    /// By id.
    pub electors: Vec<Elector>,
    /// Vouches that make a member.
    pub vouches_needed: u8,
}

impl Electorate {
    /// A member's place.
    pub fn position(&self, member: &PeerId) -> Option<usize> {
        self.electors.binary_search_by_key(member, |e| e.member).ok()
    }

    /// How many sit in a house; all of them for none.
    pub fn count(&self, house: Option<House>) -> usize {
        self.electors.iter().filter(|e| house.is_none() || e.house == house).count()
    }

    /// Who would be no member if `voucher` had vouched for nobody: a voucher's fakes, and theirs.
    pub fn dependants(&self, voucher: usize) -> Vec<u32> {
        let needed = u32::from(self.vouches_needed);
        let mut count = vec![0u32; self.electors.len()];
        let mut open: Vec<usize> =
            (0..count.len()).filter(|&at| self.electors[at].founder).collect();
        let mut member: Vec<bool> = self.electors.iter().map(|e| e.founder).collect();
        while let Some(at) = open.pop() {
            if at == voucher {
                continue;
            }
            for &subject in &self.electors[at].vouches {
                let subject = subject as usize;
                count[subject] += 1;
                if count[subject] >= needed && !member[subject] {
                    member[subject] = true;
                    open.push(subject);
                }
            }
        }
        (0..).zip(member).filter(|(_, member)| !member).map(|(at, _)| at).collect()
    }
}

impl State {
    /// The members as electors, as they are now; questions between two changes share it.
    pub(super) fn shared_electorate(&mut self) -> Arc<Electorate> {
        if let Some(electorate) = &self.electorate {
            return electorate.clone();
        }
        let electorate = Arc::new(self.electorate());
        self.electorate = Some(electorate.clone());
        electorate
    }

    /// The members as electors, as they are now.
    pub fn electorate(&self) -> Electorate {
        let now = self.now();
        let members: Vec<PeerId> =
            self.members.iter().filter(|(_, m)| m.is_member).map(|(id, _)| *id).collect();
        let elector = |id: &PeerId| {
            let member = &self.members[id];
            let known = member.vouches.iter().filter_map(|v| members.binary_search(v).ok());
            Elector {
                member: *id,
                name: member.name.clone(),
                house: house_of(member.house, self.standing(id)),
                employer: member.employer(now).map(str::to_owned),
                founder: member.founder,
                vouches: known.map(|at| at as u32).collect(),
            }
        };
        let electors = members.iter().map(elector).collect();
        Electorate { electors, vouches_needed: self.rules.vouches_needed }
    }

    /// Whether a member has standing in the users' and the contributors' house.
    fn standing(&self, id: &PeerId) -> (bool, bool) {
        let now = self.now();
        let mut uses = self.uses.range((*id, Hash([0; 32]))..=(*id, Hash([255; 32])));
        let mut made = self.confirmed.get(id).into_iter().flatten();
        let mut contributes = || made.any(|made| self.gives_standing(*made));
        let founder = self.members.get(id).is_some_and(|m| m.founder);
        (uses.any(|(_, used)| used.expiry > now), founder || contributes())
    }
}

/// A member sits in one house: the one it chose, if it has standing there, else where it has.
fn house_of(chosen: Option<House>, (user, contributor): (bool, bool)) -> Option<House> {
    match chosen {
        Some(House::Users) if user => Some(House::Users),
        Some(House::Contributors) if contributor => Some(House::Contributors),
        _ if contributor => Some(House::Contributors),
        _ if user => Some(House::Users),
        _ => None,
    }
}
