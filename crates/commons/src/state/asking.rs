//! Whether a question may be asked as it is.

use super::{Detail, Held, Proposal, State, Status, VoidReason};
use crate::naming::check_options;
use crate::statement::{Choice, Effect, HeldSeats, Method, ProposalType, Propose, TieRule};

impl State {
    /// How long it is open, and with that how far the members who may vote on it can be from those
    /// when it is decided.
    pub(super) fn check_times(&self, body: &Propose) -> Result<(), VoidReason> {
        let notice = self.rules.notice;
        let earliest = self.now().saturating_add(notice);
        if body.close < earliest {
            return Err(VoidReason::ClosesTooEarly { close: body.close, notice });
        }
        let window = body.reveal.map_or(u64::MAX, |reveal| reveal - body.close);
        if window < notice {
            return Err(VoidReason::RevealTooShort { window, notice });
        }
        let longest = self.rules.longest_open.unwrap_or(u64::MAX);
        let (end, latest) = (body.reveal.unwrap_or(body.close), self.now().saturating_add(longest));
        if end > latest {
            return Err(VoidReason::OpenTooLong { end, latest });
        }
        if self.version == 1 {
            return Ok(());
        }
        if body.method == Method::Lot && body.reveal.is_none() {
            return Err(VoidReason::PanelWithoutReveal);
        }
        if matches!(body.tie, TieRule::Lot { .. }) && body.reveal.is_none() {
            return Err(VoidReason::LotWithoutSecrets);
        }
        Ok(())
    }

    pub(super) fn check_proposal(&self, body: &Propose) -> Result<(), VoidReason> {
        if self.names_hold() {
            let names = body.options.iter().map(|option| option.name.as_str());
            check_options(names)?;
        }
        if body.topic.is_constitutional() && body.houses.len() != 2 {
            return Err(VoidReason::NeedsBothHouses { topic: body.topic });
        }
        if body.houses.len() == 1 && body.topic != ProposalType::Question {
            return Err(VoidReason::OneHouseAlone);
        }
        if (body.topic == ProposalType::Panel) != (body.method == Method::Lot) {
            return Err(VoidReason::LotOnlyForPanels);
        }
        if body.method != Method::Lot && !body.quotas.is_empty() {
            return Err(VoidReason::QuotasWithoutPanel);
        }
        let lists = body.options.iter().any(|option| matches!(option.effect, Effect::Seats(_)));
        if lists && (self.version == 1 || !body.houses.is_empty()) {
            return Err(VoidReason::ListNeedsAllMembers);
        }
        let decides =
            lists || body.topic.is_constitutional() || body.topic == ProposalType::Removal;
        if decides && (body.default.is_none() || !body.method.counts_by(decide::Method::Schulze)) {
            return Err(VoidReason::NeedsDefaultAndSchulze);
        }
        if body.topic == ProposalType::Appeal && !is_fair_appeal(body) {
            return Err(VoidReason::UnfairAppeal);
        }
        let default = body.default.and_then(|at| body.options.get(usize::from(at)));
        if default.is_some_and(|option| option.effect != Effect::None) {
            return Err(VoidReason::DefaultHasEffect);
        }
        if self.version > 1 {
            for option in &body.options {
                if let Effect::Rules(rules) = &option.effect {
                    rules
                        .check_current()
                        .map_err(|e| VoidReason::BadRules { why: Detail::of(e) })?;
                }
            }
        }
        body.options.iter().try_for_each(|option| fits(body.topic, &option.effect))
    }

    /// The seats that are held already: of stewards whose terms end after the vote, and else by the
    /// newest list of the committee that the members decided. Whoever asks says nothing about it.
    pub(super) fn held_seats(
        &self,
        body: &Propose,
        members: usize,
    ) -> Result<Vec<Held>, VoidReason> {
        let end = body.reveal.unwrap_or(body.close);
        if body.topic == ProposalType::Stewards {
            if body.held.is_some() {
                return Err(VoidReason::StewardSeatsAreKnown);
            }
            let all = usize::from(self.rules.steward_seats).min(members);
            let staying =
                self.stewards.iter().filter(|s| s.until > end && self.is_member(&s.member));
            let held: Vec<Held> = staying.map(|s| Held::Steward(s.member)).collect();
            // All seats may be elected anew at any time; then nobody stays.
            let part = self.version > 1 && usize::from(body.seats) + held.len() == all;
            return Ok(if part { held } else { Vec::new() });
        }
        let Some(named) = body.held else { return Ok(Vec::new()) };
        if body.topic != ProposalType::Question || self.version == 1 {
            return Err(VoidReason::NoCommittee);
        }
        let Some(list) = self.proposals.get(&named).and_then(|p| self.listed(p)) else {
            return Err(VoidReason::NoListInForce { named });
        };
        let staying = list.seats.iter().filter(|seat| seat.until > end);
        Ok(staying.map(|seat| Held::Listed(seat.name.clone(), seat.org.clone())).collect())
    }

    /// The seats that a question's result lists, if it is the last one for its committee.
    fn listed<'a>(&self, proposal: &'a Proposal) -> Option<&'a HeldSeats> {
        let Status::Passed { winners, in_force: true, .. } = &proposal.status else { return None };
        let option = proposal.body.options.get(*winners.first()? as usize)?;
        let Effect::Seats(list) = &option.effect else { return None };
        (self.held_seats.get(&list.committee) == Some(&proposal.statement)).then_some(list)
    }

    /// All seats that are not held, so that the cap means something, and a way to want none of the
    /// candidates.
    pub(super) fn check_stewards(
        &self,
        body: &Propose,
        held: &[Held],
        members: usize,
    ) -> Result<(), VoidReason> {
        let seats = usize::from(self.rules.steward_seats).min(members);
        if usize::from(body.seats) + held.len() != seats || !body.houses.is_empty() {
            return Err(VoidReason::WrongStewardSeats { seats: seats as u64 });
        }
        let stays = |option: &Choice| match option.effect {
            Effect::Seat(member) => held.contains(&Held::Steward(member)),
            _ => false,
        };
        if body.options.iter().any(stays) {
            return Err(VoidReason::CandidateHasSeat);
        }
        let none = body.options.iter().any(|option| option.effect == Effect::None);
        if !none || (!body.method.counts_by(decide::Method::Stv) && body.default.is_none()) {
            return Err(VoidReason::NoOptionForNone);
        }
        Ok(())
    }
}

/// Whether a panel can say either, and neither is made harder than the other.
fn is_fair_appeal(body: &Propose) -> bool {
    let overturns: Vec<bool> = body.options.iter().map(|o| o.effect == Effect::Overturn).collect();
    let default = body.default.is_some_and(|default| overturns[usize::from(default)]);
    let simple = body.options.iter().all(|option| option.ratio.0 == option.ratio.1);
    let both = overturns.contains(&true) && overturns.contains(&false);
    both && simple && !default && body.method.counts_by(decide::Method::Schulze)
}

/// Whether an option of a question on `topic` may have this effect.
fn fits(topic: ProposalType, effect: &Effect) -> Result<(), VoidReason> {
    let fits = match effect {
        Effect::None => true,
        Effect::Seats(_) => topic == ProposalType::Question,
        Effect::Charter(_) => topic == ProposalType::Charter,
        Effect::Rules(_) => topic == ProposalType::Rules,
        Effect::Witnesses(_) => topic == ProposalType::Witnesses,
        Effect::Seat(_) => topic == ProposalType::Stewards,
        Effect::Remove(..) => topic == ProposalType::Removal,
        Effect::Overturn => topic == ProposalType::Appeal,
    };
    if fits { Ok(()) } else { Err(VoidReason::EffectOutsideTopic { topic }) }
}
