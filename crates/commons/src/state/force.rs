//! What results change, when they come into force, and how an appeal takes them back.

use super::{Electorate, Refused, State, Status, Steward, deciding::Proposal};
use crate::{
    PeerId,
    decide::Ratio,
    statement::{Effect, ProposalType, Propose, Quota, Rules, Witnesses},
};
use std::sync::Arc;
use store::Hash;

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
        self.schedule(hash);
    }

    /// A question was closed, with the status it has.
    pub(super) fn ended(&mut self, proposal: &Proposal, closed: u64) {
        if let Some(open) = self.open.get_mut(&proposal.member) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&proposal.member);
            }
        }
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

    /// Whether a panel may hear appeals: whoever asked for it chose its quotas, and must not have
    /// chosen who sits on it. It is as large as the stewards' council, no house has to have more
    /// than half of it or less, and no employer a seat or fewer than the cap allows.
    fn hears_appeals(&self, panel: &Proposal) -> bool {
        let seats = u32::from(panel.body.seats);
        let council = usize::from(self.rules.steward_seats).min(panel.electorate.electors.len());
        let (num, den) = self.rules.employer_cap;
        let cap = Ratio::new(num, den).floor_of(seats).max(1);
        let fair = |quota: &Quota| {
            let (min, max) = (u32::from(quota.min), u32::from(quota.max));
            if super::panel::is_house(&quota.stratum) {
                2 * min <= seats && seats <= 2 * max
            } else {
                min == 0 && max >= cap
            }
        };
        seats as usize >= council && panel.body.quotas.iter().all(fair)
    }

    /// The panel that hears an appeal: the first that was drawn since the result, so that nobody
    /// draws until it likes one.
    pub(super) fn panel_for(
        &self,
        appealed: &Hash,
        appeal: &Propose,
    ) -> Result<Arc<Electorate>, Refused> {
        let target = self.proposals.get(appealed).ok_or("it appeals against no question")?;
        let (closed, late) = match &target.status {
            Status::Passed { closed, .. } => {
                (*closed, self.now() > closed.saturating_add(self.rules.appeal_period))
            }
            Status::Withheld { closed, .. } => (*closed, false),
            _ => return Err("what it appeals against is not decided".into()),
        };
        if late {
            return Err("the time to appeal is over".into());
        }
        if target.inherited
            || matches!(target.body.topic, ProposalType::Appeal | ProposalType::Panel)
        {
            return Err(
                "there is no appeal against an appeal, a draw or what was decided before a fork"
                    .into(),
            );
        }
        // What is appealed against waits for it.
        let notice = self.rules.notice;
        let latest = self.now().saturating_add(2 * notice).saturating_add(self.rules.appeal_period);
        let end = appeal.reveal.unwrap_or(appeal.close);
        if end > latest || !appeal.houses.is_empty() {
            return Err(format!(
                "an appeal is heard by one panel, and ends at {latest} at the latest"
            ));
        }
        let first = self.panels.range((closed, 0, Hash::default())..).next();
        let panel = first.map(|(_, _, hash)| &self.proposals[hash]);
        let Some((panel, Status::Passed { winners, .. })) = panel.map(|p| (p, &p.status)) else {
            return Err("no panel that may hear it was drawn since the result".into());
        };
        let seats = winners.iter().filter_map(|&at| panel.electorate.electors.get(at as usize));
        let mut electors: Vec<_> = seats.cloned().collect();
        electors.iter_mut().for_each(|e| e.vouches.clear());
        electors.sort_by_key(|e| e.member);
        Ok(Arc::new(Electorate { electors, vouches_needed: self.rules.vouches_needed }))
    }

    /// Puts a decided question into force when it is due and no appeal against it is open.
    pub(super) fn enforce(&mut self, hash: Hash) {
        let now = self.now();
        let proposal = self.proposals.get_mut(&hash).expect("what is settled was asked");
        let Status::Passed { winners, due, in_force, .. } = &mut proposal.status else { return };
        if *in_force || *due > now || proposal.appeals > 0 {
            return;
        }
        *in_force = true;
        let options = winners.iter().filter_map(|&w| proposal.body.options.get(w as usize));
        let effects: Vec<Effect> = options.map(|option| option.effect.clone()).collect();
        let (topic, appeals) = (proposal.body.topic, proposal.body.appeals);
        if let Some(undo) = self.put_into_force(topic, &effects) {
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
    fn put_into_force(&mut self, topic: ProposalType, effects: &[Effect]) -> Option<Undo> {
        self.electorate = None;
        if topic == ProposalType::Stewards {
            let until = self.now().saturating_add(self.rules.steward_term);
            let seat = |effect: &Effect| match effect {
                Effect::Seat(member) => Some(Steward { member: *member, until }),
                _ => None,
            };
            let elected: Vec<Steward> = effects.iter().filter_map(seat).collect();
            return (!elected.is_empty()).then(|| self.replace(Undo::Stewards(elected)));
        }
        match effects.first()? {
            Effect::Charter(charter) => Some(self.replace(Undo::Charter(*charter))),
            Effect::Rules(rules) => Some(self.replace(Undo::Rules(Box::new(rules.clone())))),
            Effect::Witnesses(witnesses) => Some(self.replace(Undo::Witnesses(witnesses.clone()))),
            Effect::Remove(member, _) => {
                self.remove(member);
                Some(Undo::Removed(*member))
            }
            Effect::None | Effect::Seat(_) | Effect::Overturn => None,
        }
    }

    /// Puts something in the place of what is in force; what that was.
    fn replace(&mut self, new: Undo) -> Undo {
        use std::mem::replace;
        match new {
            Undo::Charter(charter) => Undo::Charter(replace(&mut self.charter, charter)),
            Undo::Rules(rules) => {
                let old = replace(&mut self.rules, *rules);
                self.settle_members();
                Undo::Rules(Box::new(old))
            }
            Undo::Witnesses(new) => Undo::Witnesses(self.appoint(new)),
            Undo::Stewards(new) => {
                // What former stewards said of the operator was said in their term.
                self.named_operators.clear();
                Undo::Stewards(replace(&mut self.stewards, new))
            }
            Undo::Removed(member) => {
                self.members.entry(member).and_modify(|m| m.removed = false);
                self.settle_members();
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

    /// Lets a withheld result pass.
    fn uphold(&mut self, hash: Hash) {
        let now = self.now();
        if let Some(proposal) = self.proposals.get_mut(&hash)
            && let Status::Withheld { winners, closed, .. } = &proposal.status
        {
            let wait =
                if proposal.body.topic.is_constitutional() { self.rules.exit_period } else { 0 };
            proposal.status = Status::Passed {
                winners: winners.clone(),
                closed: *closed,
                due: now.saturating_add(wait),
                in_force: false,
            };
            self.schedule(hash);
        }
    }
}
