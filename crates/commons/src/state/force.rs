//! What results change, when they come into force, and how an appeal takes them back.

use super::{Held, State, Status, Steward, deciding::Proposal};
use crate::statement::{Effect, Method, ProposalType, Rules, Witnesses};
use ids::{Hash, PeerId};

/// What a result replaced.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Undo {
    Charter(Hash),
    Rules(Box<Rules>),
    Witnesses(Witnesses),
    Stewards(Vec<Steward>),
    /// Nothing: the member was one.
    Removed(PeerId),
}

impl State {
    /// A question was asked.
    pub(super) fn asked(&mut self, hash: Hash) {
        let (member, appealed) = (self.proposals[&hash].member, self.proposals[&hash].body.appeals);
        *self.open.entry(member).or_default() += 1;
        if let Some(target) = appealed.and_then(|target| self.proposals.get_mut(&target)) {
            target.appeals += 1;
        }
        if self.version == 1 {
            return self.schedule(hash);
        }
        let proposal = &self.proposals[&hash];
        self.unopened.insert((proposal.index, hash));
        if proposal.body.method == Method::Lot && self.hears_appeals(proposal) {
            self.open_panels.insert((proposal.asked, proposal.index, hash));
        }
    }

    /// A question was closed, with the status it has.
    pub(super) fn ended(&mut self, proposal: &Proposal, closed: u64) {
        if let Some(open) = self.open.get_mut(&proposal.member) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&proposal.member);
            }
        }
        self.open_panels.remove(&(proposal.asked, proposal.index, proposal.statement));
        if proposal.panel.is_some() && self.hears_appeals(proposal) {
            self.panels.insert((closed, proposal.index, proposal.statement));
        }
        if let Some(hash) = proposal.body.appeals
            && let Some(target) = self.proposals.get_mut(&hash)
        {
            target.appeals -= 1;
            self.schedule(hash);
        }
    }

    /// Puts a decided question into force when it is due and no appeal against it is open.
    pub(super) fn enforce(&mut self, hash: Hash) {
        let (now, proposal) = (self.now(), &self.proposals[&hash]);
        let Status::Passed { due, in_force, .. } = &proposal.status else { return };
        if *in_force || *due > now || proposal.appeals > 0 || self.waits_for_panel(hash) {
            return;
        }
        let proposal = self.proposals.get_mut(&hash).expect("it was just looked at");
        let Status::Passed { winners, in_force, .. } = &mut proposal.status else { return };
        *in_force = true;
        let options = winners.iter().filter_map(|&w| proposal.body.options.get(w as usize));
        let effects: Vec<Effect> = options.map(|option| option.effect.clone()).collect();
        let (topic, appeals) = (proposal.body.topic, proposal.body.appeals);
        if let Some(Effect::Seats(list)) = effects.first() {
            self.held_seats.insert(list.committee.clone(), hash);
        }
        let held = proposal.held.clone();
        if let Some(undo) = self.put_into_force(topic, &effects, &held) {
            self.proposals.entry(hash).and_modify(|p| p.undo = Some(undo));
            self.in_force.entry(topic).or_default().push(hash);
        }
        match appeals {
            Some(appealed) if effects.contains(&Effect::Overturn) => self.overturn(appealed),
            Some(appealed) => self.uphold(appealed),
            None => {}
        }
    }

    /// Every kind of question but that for stewards has one winner.
    fn put_into_force(
        &mut self,
        topic: ProposalType,
        effects: &[Effect],
        held: &[Held],
    ) -> Option<Undo> {
        self.electorate = None;
        if topic == ProposalType::Stewards {
            return self.seat_elected(effects, held);
        }
        match effects.first()? {
            Effect::Charter(charter) => Some(self.replace(Undo::Charter(*charter))),
            Effect::Rules(rules) => Some(self.replace(Undo::Rules(Box::new(rules.clone())))),
            Effect::Witnesses(witnesses) => Some(self.replace(Undo::Witnesses(witnesses.clone()))),
            Effect::Remove(member, _) => {
                self.remove(member);
                Some(Undo::Removed(*member))
            }
            Effect::None | Effect::Seat(_) | Effect::Overturn | Effect::Seats(_) => None,
        }
    }

    /// Seats the elected stewards beside those who stay. Where all seats were elected and terms end
    /// in groups, the first get the longest.
    fn seat_elected(&mut self, effects: &[Effect], held: &[Held]) -> Option<Undo> {
        let (now, term) = (self.now(), self.rules.steward_term);
        let elected: Vec<PeerId> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Seat(member) => Some(*member),
                _ => None,
            })
            .collect();
        if elected.is_empty() {
            return None;
        }
        let groups = if held.is_empty() { self.rules.steward_groups.unwrap_or(1) } else { 1 };
        let stays = |s: &&Steward| s.until > now && held.contains(&Held::Steward(s.member));
        let mut seated: Vec<Steward> = self.stewards.iter().filter(stays).cloned().collect();
        for (at, &member) in (0u64..).zip(&elected) {
            let group = at * u64::from(groups) / elected.len() as u64;
            let part = term.saturating_mul(u64::from(groups) - group) / u64::from(groups);
            seated.push(Steward { member, until: now.saturating_add(part) });
        }
        Some(self.replace(Undo::Stewards(seated)))
    }

    /// Puts something in the place of what is in force; what that was.
    fn replace(&mut self, new: Undo) -> Undo {
        use std::mem::replace;
        match new {
            Undo::Charter(charter) => Undo::Charter(replace(&mut self.charter, charter)),
            Undo::Rules(rules) => {
                let old = replace(&mut self.rules, *rules);
                self.cost.census_wanted = true;
                Undo::Rules(Box::new(old))
            }
            Undo::Witnesses(new) => Undo::Witnesses(self.appoint(new)),
            Undo::Stewards(new) => {
                // What former stewards said of the operator was said in their term.
                self.named_operators.clear();
                self.cost.operator_wanted = true;
                Undo::Stewards(replace(&mut self.stewards, new))
            }
            Undo::Removed(member) => {
                self.members.entry(member).and_modify(|m| m.removed = false);
                self.cost.census_wanted = true;
                Undo::Removed(member)
            }
        }
    }

    /// Takes back what a result changed, and nothing that was decided after it.
    fn overturn(&mut self, hash: Hash) {
        let at = self.now();
        let Some(proposal) = self.proposals.get_mut(&hash) else { return };
        proposal.status = Status::Overturned { at };
        let (topic, Some(undo)) = (proposal.body.topic, proposal.undo.take()) else { return };
        let later = self.in_force.entry(topic).or_default();
        let Some(place) = later.iter().position(|other| *other == hash) else { return };
        later.remove(place);
        if let Undo::Removed(_) = undo {
            let again =
                later.iter().any(|other| self.proposals[other].undo.as_ref() == Some(&undo));
            if !again {
                self.replace(undo);
            }
        } else if let Some(next) = later.get(place).and_then(|next| self.proposals.get_mut(next)) {
            next.undo = Some(undo);
        } else {
            self.replace(undo);
        }
        self.electorate = None;
    }
}
