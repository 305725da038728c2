//! Members: vouched for by members, from the founders on; where they work; who stewards.

use super::{Recovery, State, VoidReason};
use crate::statement::{Attest, Claim, Genesis, House};
use ids::{Hash, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// Affiliations, and conflicts, that one person may declare.
const MAX_CLAIMS: u32 = 64;

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
    /// Digest of its next key.
    pub next: Hash,
    /// Who may recover its keys.
    pub guardians: Vec<PeerId>,
    /// How many of them it takes.
    pub threshold: u8,
    /// Recoveries on their way, by their statement.
    pub recoveries: BTreeMap<Hash, Recovery>,
    /// Members it vouched for and has not withdrawn, in order.
    pub vouches: Vec<PeerId>,
    /// How many members vouch for it.
    pub support: u32,
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
            next,
            guardians: Vec::new(),
            threshold: 0,
            recoveries: BTreeMap::new(),
            vouches: Vec::new(),
            support: 0,
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
    ) -> Result<(), VoidReason> {
        let vouch = matches!(attest.claim, Claim::Vouch { .. });
        if vouch == (attest.subject == author) {
            return Err(VoidReason::WrongSubject);
        }
        if let Claim::Vouch { withdrawn } = attest.claim {
            return self.take_vouch(author, attest.subject, withdrawn);
        }
        let newcomer = !self.is_member(&author);
        let member = self.members.get_mut(&author).expect("a key in force is a member's");
        match &attest.claim {
            Claim::Person { name } => self.take_name(author, name)?,
            _ if newcomer && !matches!(attest.claim, Claim::Affiliation { .. }) => {
                return Err(VoidReason::NotAMember);
            }
            Claim::Affiliation { org, role, from, to } => {
                let (org, role) = (org.clone(), role.clone());
                member.affiliations.retain(|a| (&a.org, a.from) != (&org, *from));
                if member.affiliations.len() >= MAX_CLAIMS as usize {
                    return Err(VoidReason::TooManyAffiliations { most: MAX_CLAIMS });
                }
                self.cost.operator_wanted = true;
                let (from, to) = (*from, *to);
                member.affiliations.push(Affiliation { org, role, from, to, index });
            }
            Claim::Conflict { with, ended } => {
                member.conflicts.retain(|c| c != with);
                if !ended {
                    if member.conflicts.len() >= MAX_CLAIMS as usize {
                        return Err(VoidReason::TooManyConflicts { most: MAX_CLAIMS });
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
    ) -> Result<(), VoidReason> {
        if !self.is_member(&author) {
            return Err(VoidReason::NotAMember);
        }
        let known = self.members.get(&subject).is_some_and(|m| !m.removed);
        if !withdrawn && !known {
            return Err(VoidReason::VouchesForNobody);
        }
        let budget = usize::from(self.rules.vouch_budget);
        let member = self.members.get_mut(&author).expect("a member was just found");
        let given = member.vouches.iter().position(|v| *v == subject);
        match (withdrawn, given) {
            (true, Some(at)) => drop(member.vouches.remove(at)),
            (true, None) => return Err(VoidReason::NoSuchVouch),
            (false, Some(_)) => return Err(VoidReason::AlreadyVouched),
            (false, None) if member.vouches.len() >= budget => {
                return Err(VoidReason::VouchesSpent {
                    budget: u32::from(self.rules.vouch_budget),
                });
            }
            (false, None) => member.vouches.push(subject),
        }
        self.electorate = None;
        self.cost.steps += budget as u64;
        if withdrawn {
            if let Some(subject) = self.members.get_mut(&subject) {
                subject.support = subject.support.saturating_sub(1);
            }
            self.cost.census_wanted = true;
        } else {
            self.members.entry(subject).and_modify(|m| m.support += 1);
            self.admit(vec![subject]);
        }
        Ok(())
    }

    /// Makes those of `candidates` members for whom enough members vouch, and whoever follows.
    fn admit(&mut self, mut candidates: Vec<PeerId>) {
        while let Some(id) = candidates.pop() {
            self.cost.steps += 1;
            if self.members[&id].is_member || !self.deserves(&id) {
                continue;
            }
            let member = self.members.get_mut(&id).expect("it was just looked at");
            member.is_member = true;
            let vouches = member.vouches.clone();
            self.note_fresh(id);
            self.cost.steps += vouches.len() as u64;
            for subject in &vouches {
                self.members.entry(*subject).and_modify(|m| m.support += 1);
            }
            candidates.extend(vouches);
        }
    }

    /// Whether somebody is a founder, or enough members vouch for it.
    fn deserves(&self, id: &PeerId) -> bool {
        let member = &self.members[id];
        let enough = member.support >= u32::from(self.rules.vouches_needed);
        !member.removed && (member.founder || enough)
    }

    /// Counts anew who is a member: whoever stands on the founders by enough vouches, and nobody
    /// on those who stand on it.
    pub(super) fn census(&mut self) {
        let before = self.cost.steps;
        let mut founders = Vec::new();
        for (id, member) in &mut self.members {
            (member.is_member, member.support) = (false, 0);
            founders.extend(member.founder.then_some(*id));
        }
        self.cost.steps += self.members.len() as u64;
        self.admit(founders);
        self.electorate = None;
        self.cost.operator_wanted = true;
        self.cost.counted(self.size, before);
    }

    /// Counts anew who is a member if that is wanted and the statements since the last time paid
    /// for it. Without this bound two members could take one vouch back and give it again, over a
    /// tree of fakes, and make each of those statements cost everybody the whole tree.
    pub(super) fn settle_members(&mut self) {
        if self.cost.census_wanted && (self.version == 1 || self.size >= self.cost.census_from) {
            self.census();
        }
    }

    /// Ends a membership by decision: with it go the vouches it gave.
    pub(super) fn remove(&mut self, member: &PeerId) {
        if let Some(known) = self.members.get_mut(member) {
            known.removed = true;
            if std::mem::take(&mut known.is_member) {
                let vouches = known.vouches.clone();
                for subject in &vouches {
                    let less = |m: &mut Member| m.support = m.support.saturating_sub(1);
                    self.members.entry(*subject).and_modify(less);
                }
            }
            self.cost.census_wanted = true;
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
