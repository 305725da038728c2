//! Who may vote, fixed where a question stands in the log.

use super::{State, cost::paid_at, panel::house};
use crate::statement::House;
use decide::Strata;
use ids::{Hash, PeerId};
use std::sync::Arc;

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
    /// Members it vouches for.
    pub vouches: Vec<PeerId>,
}

/// All who may vote on a question.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Electorate {
    /// By id. One who did not change is shared by all rolls.
    pub electors: Vec<Arc<Elector>>,
    /// Vouches that make a member.
    pub vouches_needed: u8,
    /// The electors by house and employer, for draws.
    pub(super) strata: Strata,
}

impl Electorate {
    /// Electors, by id.
    pub(super) fn new(electors: Vec<Arc<Elector>>, vouches_needed: u8) -> Self {
        let of = |e: &'_ Arc<Elector>| (house(e.house), e.employer.clone().unwrap_or_default());
        let people: Vec<(&str, String)> = electors.iter().map(of).collect();
        let strata = Strata::new(people.iter().map(|(house, org)| (*house, org.as_str())));
        Self { electors, vouches_needed, strata }
    }

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
            let subjects = self.electors[at].vouches.iter();
            for subject in subjects.filter_map(|subject| self.position(subject)) {
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
    /// The members as electors; questions between two changes share it. A new roll is made once the
    /// statements since the last one have paid for it.
    pub(super) fn shared_electorate(&mut self) -> Arc<Electorate> {
        if let Some(electorate) = &self.electorate {
            return electorate.clone();
        }
        if let Some((roll, from)) = &self.cost.roll
            && self.size < *from
            && self.version > 1
        {
            return roll.clone();
        }
        let (electorate, steps) = self.roll();
        let electorate = Arc::new(electorate);
        self.cost.steps += steps;
        self.cost.roll = Some((electorate.clone(), paid_at(self.size, steps)));
        self.electorate = Some(electorate.clone());
        electorate
    }

    /// The members as electors, as they are now.
    pub fn electorate(&self) -> Electorate {
        self.roll().0
    }

    /// The same, and how many steps it took.
    fn roll(&self) -> (Electorate, u64) {
        let (now, mut steps) = (self.now(), 0);
        let last = self.cost.roll.as_ref().map(|(roll, _)| roll);
        let mut elector = |id: &PeerId, member: &super::Member| {
            steps += (1 + member.affiliations.len() + member.vouches.len()) as u64;
            let vouches = member.vouches.iter().filter(|v| self.is_member(v));
            let elector = Elector {
                member: *id,
                name: member.name.clone(),
                house: house_of(member.house, self.standing(id, &mut steps)),
                employer: member.employer(now).map(str::to_owned),
                founder: member.founder,
                vouches: vouches.copied().collect(),
            };
            let known = last.and_then(|roll| Some(&roll.electors[roll.position(id)?]));
            match known.filter(|known| ***known == elector) {
                Some(known) => known.clone(),
                None => Arc::new(elector),
            }
        };
        let members = self.members.iter().filter(|(_, member)| member.is_member);
        let electors: Vec<_> = members.map(|(id, member)| elector(id, member)).collect();
        steps += self.members.len() as u64;
        (Electorate::new(electors, self.rules.vouches_needed), steps)
    }

    /// Whether a member has standing in the users' and the contributors' house.
    fn standing(&self, id: &PeerId, steps: &mut u64) -> (bool, bool) {
        let now = self.now();
        let mut uses = self.uses.range((*id, Hash([0; 32]))..=(*id, Hash([255; 32])));
        let user = uses.any(|(_, used)| {
            *steps += 1;
            used.expiry > now
        });
        let founder = self.members.get(id).is_some_and(|m| m.founder);
        let mut made = self.confirmed.get(id).into_iter().flatten();
        let contributor = founder
            || made.any(|made| {
                *steps += 1 + self.checks_of(*made).len() as u64;
                self.gives_standing(*made)
            });
        (user, contributor)
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
