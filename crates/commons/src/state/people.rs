//! Members: vouched for by members, from the founders on; where they work; who stewards.

use super::{Recovery, Refused, State};
use crate::{
    PeerId,
    statement::{Attest, Claim, Genesis, House},
};
use std::collections::{BTreeMap, BTreeSet};
use store::Hash;

/// A person who is a member, was one or asks to be.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it calls itself.
    pub name: String,
    /// Where in the log it began.
    pub began: u64,
    /// Whether the genesis names it.
    pub founder: bool,
    /// Whether it is a member now.
    pub is_member: bool,
    /// Whether it was removed by decision; the vouches it gave do not count.
    pub removed: bool,
    /// Which admission made it a member.
    admission: u64,
    /// Digest of its next key.
    pub next: Hash,
    /// Who may recover its keys.
    pub guardians: Vec<PeerId>,
    /// How many of them it takes.
    pub threshold: u8,
    /// Recoveries on their way.
    pub recoveries: Vec<Recovery>,
    /// Members it vouched for and has not withdrawn, in order.
    pub vouches: Vec<PeerId>,
    /// Members that vouched for it.
    pub vouchers: BTreeSet<PeerId>,
    /// Where it works, by its own word.
    pub affiliations: Vec<Affiliation>,
    /// Interests it declared.
    pub conflicts: Vec<String>,
    /// The house it chose.
    pub house: Option<House>,
}

/// Where somebody works.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Affiliation {
    /// The organisation.
    pub org: String,
    /// As what.
    pub role: String,
    /// Since, in Unix seconds.
    pub from: u64,
    /// Until.
    pub to: Option<u64>,
    /// The statement's index.
    pub index: u64,
}

/// A steward's seat.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Steward {
    /// Who has it.
    pub member: PeerId,
    /// Until when, in Unix seconds; nobody's seat ends before others are elected.
    pub until: u64,
}

impl Member {
    pub(super) fn new(began: u64, next: Hash) -> Self {
        Self {
            name: String::new(),
            began,
            founder: false,
            is_member: false,
            removed: false,
            admission: 0,
            next,
            guardians: Vec::new(),
            threshold: 0,
            recoveries: Vec::new(),
            vouches: Vec::new(),
            vouchers: BTreeSet::new(),
            affiliations: Vec::new(),
            conflicts: Vec::new(),
            house: None,
        }
    }

    /// Organisations it works for at `time`.
    pub fn employers(&self, time: u64) -> impl Iterator<Item = &str> {
        let at = move |a: &&Affiliation| a.from <= time && a.to.is_none_or(|to| time < to);
        self.affiliations.iter().filter(at).map(|a| a.org.as_str())
    }

    /// The organisation that counts where only one can: the one it joined last.
    pub fn employer(&self, time: u64) -> Option<&str> {
        self.employers(time).last()
    }
}

impl State {
    /// Whether somebody is a member now.
    pub fn is_member(&self, member: &PeerId) -> bool {
        self.members.get(member).is_some_and(|m| m.is_member)
    }

    pub(super) fn take_attest(
        &mut self,
        index: u64,
        author: PeerId,
        attest: &Attest,
    ) -> Result<(), Refused> {
        let vouch = matches!(attest.claim, Claim::Vouch { .. });
        if vouch == (attest.subject == author) {
            return Err("one vouches for others, and says everything else of oneself".into());
        }
        if let Claim::Vouch { withdrawn } = attest.claim {
            return self.take_vouch(author, attest.subject, withdrawn);
        }
        let newcomer = !self.is_member(&author);
        let member = self.members.get_mut(&author).expect("a key in force is a member's");
        match &attest.claim {
            Claim::Person { name } => member.name = name.clone(),
            _ if newcomer && !matches!(attest.claim, Claim::Affiliation { .. }) => {
                return Err("its author is not a member".into());
            }
            Claim::Affiliation { org, role, from, to } => {
                let (org, role) = (org.clone(), role.clone());
                member.affiliations.retain(|a| (&a.org, a.from) != (&org, *from));
                if member.affiliations.len() >= 64 {
                    return Err("it has 64 affiliations already".into());
                }
                let (from, to) = (*from, *to);
                member.affiliations.push(Affiliation { org, role, from, to, index });
            }
            Claim::Conflict { with, ended } => {
                member.conflicts.retain(|c| c != with);
                if !ended {
                    if member.conflicts.len() >= 64 {
                        return Err("it has 64 conflicts already".into());
                    }
                    member.conflicts.push(with.clone());
                }
            }
            Claim::House { house } => member.house = Some(*house),
            Claim::Vouch { .. } => unreachable!("taken above"),
        }
        self.electorate = None;
        Ok(())
    }

    fn take_vouch(
        &mut self,
        author: PeerId,
        subject: PeerId,
        withdrawn: bool,
    ) -> Result<(), Refused> {
        if !self.is_member(&author) {
            return Err("its author is not a member".into());
        }
        let known = self.members.get(&subject).is_some_and(|m| !m.removed);
        if !withdrawn && !known {
            return Err("it vouches for nobody who has begun here".into());
        }
        let budget = usize::from(self.rules.vouch_budget);
        let member = self.members.get_mut(&author).expect("a member was just found");
        let given = member.vouches.iter().position(|v| *v == subject);
        match (withdrawn, given) {
            (true, Some(at)) => drop(member.vouches.remove(at)),
            (true, None) => return Err("it withdraws a vouch that was not given".into()),
            (false, Some(_)) => return Err("it has vouched for this one already".into()),
            (false, None) if member.vouches.len() >= budget => {
                return Err(format!("its author's {budget} vouches are given"));
            }
            (false, None) => member.vouches.push(subject),
        }
        self.electorate = None;
        if withdrawn {
            self.members.entry(subject).and_modify(|m| {
                m.vouchers.remove(&author);
            });
            self.dismiss(subject);
        } else {
            self.members.entry(subject).and_modify(|m| {
                m.vouchers.insert(author);
            });
            self.admit(vec![subject]);
        }
        Ok(())
    }

    /// Makes those of `candidates` members for whom enough members vouch, and whoever follows.
    fn admit(&mut self, mut candidates: Vec<PeerId>) {
        while let Some(id) = candidates.pop() {
            if self.members[&id].is_member || !self.deserves(&id, u64::MAX) {
                continue;
            }
            self.admissions += 1;
            let member = self.members.get_mut(&id).expect("it was just looked at");
            (member.is_member, member.admission) = (true, self.admissions);
            candidates.extend(&member.vouches);
        }
    }

    /// Ends memberships that rest on what `id` has lost: of everybody for whom no longer enough
    /// vouch who were members before them, so that nobody stands on somebody who stands on them.
    /// Whoever still has enough without them comes back.
    fn dismiss(&mut self, id: PeerId) {
        let (mut affected, mut open) = (Vec::new(), vec![id]);
        while let Some(id) = open.pop() {
            let member = &self.members[&id];
            if !member.is_member || self.deserves(&id, member.admission) {
                continue;
            }
            open.extend(&member.vouches);
            affected.push(id);
            self.members.entry(id).and_modify(|m| m.is_member = false);
        }
        self.admit(affected);
    }

    /// Whether somebody is a founder, or enough vouch for it who were admitted before `admission`.
    fn deserves(&self, id: &PeerId, admission: u64) -> bool {
        let member = &self.members[id];
        let vouches = |v: &&PeerId| {
            self.members.get(v).is_some_and(|m| m.is_member && m.admission < admission)
        };
        let needed = usize::from(self.rules.vouches_needed);
        let enough = || member.vouchers.iter().filter(vouches).take(needed).count() == needed;
        !member.removed && (member.founder || enough())
    }

    /// Works out anew who is a member: at the beginning, and by other rules.
    pub(super) fn settle_members(&mut self) {
        let mut founders = Vec::new();
        for (id, member) in &mut self.members {
            member.is_member = false;
            founders.extend(member.founder.then_some(*id));
        }
        self.admit(founders);
        self.electorate = None;
    }

    /// Ends a membership by decision: with it go the vouches it gave.
    pub(super) fn remove(&mut self, member: &PeerId) {
        if let Some(known) = self.members.get_mut(member) {
            known.removed = true;
            self.dismiss(*member);
        }
        self.electorate = None;
    }

    pub(super) fn seat_founders(&mut self, genesis: &Genesis) {
        let until = self.created.saturating_add(self.rules.steward_term);
        let seats = genesis.founders.iter().filter(|f| f.steward);
        self.stewards = seats.map(|f| Steward { member: f.member, until }).collect();
    }

    /// The stewards who have a say now: members, in the order of their election, as far as no
    /// employer gets more than its part of the seats. Somebody who changes jobs in the middle of
    /// a term may so lose its say, and get it back.
    pub fn active_stewards(&self) -> Vec<PeerId> {
        let now = self.now();
        let (num, den) = self.rules.employer_cap;
        let seats = self.stewards.len() as u64;
        let cap = (seats * u64::from(num) / u64::from(den)).max(1);
        let mut per_employer: BTreeMap<&str, u64> = BTreeMap::new();
        let mut active = Vec::new();
        for steward in &self.stewards {
            let Some(member) = self.members.get(&steward.member).filter(|m| m.is_member) else {
                continue;
            };
            let employers: BTreeSet<&str> = member.employers(now).collect();
            if employers.iter().any(|org| per_employer.get(org).is_some_and(|n| *n >= cap)) {
                continue;
            }
            employers.into_iter().for_each(|org| *per_employer.entry(org).or_default() += 1);
            active.push(steward.member);
        }
        active
    }
}
