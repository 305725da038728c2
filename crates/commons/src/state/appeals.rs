//! Appeals: who hears them, until when they may be brought, and what waits for them.

use super::{Elector, Electorate, State, Status, VoidReason, deciding::Proposal};
use crate::statement::{ProposalType, Propose, Quota};
use decide::Ratio;
use ids::Hash;
use std::sync::Arc;

impl State {
    /// Whether a panel may hear appeals: whoever asked for it chose its quotas, and must not have
    /// chosen who sits on it. It is as large as the stewards' council, no house has to have more
    /// than half of it or less, and no employer a seat or fewer than the cap allows.
    pub(super) fn hears_appeals(&self, panel: &Proposal) -> bool {
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
    ) -> Result<Arc<Electorate>, VoidReason> {
        let target = self.proposals.get(appealed).ok_or(VoidReason::AppealsAgainstNothing)?;
        let (closed, waits) = match &target.status {
            Status::Passed { closed, .. } => (*closed, false),
            Status::Withheld { closed, .. } => (*closed, self.version == 1),
            _ => return Err(VoidReason::AppealedNotDecided),
        };
        let until = self.appeal_until(closed);
        if !waits && self.now() > until {
            return Err(VoidReason::AppealTooLate { until });
        }
        if target.inherited
            || matches!(target.body.topic, ProposalType::Appeal | ProposalType::Panel)
        {
            return Err(VoidReason::NoAppealAgainstThis);
        }
        // What is appealed against waits for it.
        let notice = self.rules.notice;
        let latest = self.now().saturating_add(2 * notice).saturating_add(self.rules.appeal_period);
        let end = appeal.reveal.unwrap_or(appeal.close);
        if end > latest || !appeal.houses.is_empty() {
            return Err(VoidReason::AppealTooLong { latest });
        }
        let first = self.panels.range((closed, 0, Hash::default())..).next();
        let panel = first.map(|(_, _, hash)| &self.proposals[hash]);
        let Some((panel, Status::Passed { winners, .. })) = panel.map(|p| (p, &p.status)) else {
            return Err(VoidReason::NoPanelForAppeal);
        };
        let seats = winners.iter().filter_map(|&at| panel.electorate.electors.get(at as usize));
        let alone = |e: &Arc<Elector>| Arc::new(Elector { vouches: Vec::new(), ..(**e).clone() });
        let mut electors: Vec<_> = seats.map(alone).collect();
        electors.sort_by_key(|e| e.member);
        Ok(Arc::new(Electorate::new(electors, self.rules.vouches_needed)))
    }

    /// Until when an appeal may be brought against a result that was closed then: for the appeal
    /// period, and where a panel that may hear it was asked for by its end, until that is drawn and
    /// for the notice. Nobody gets out of an appeal by keeping a panel from being drawn.
    pub(super) fn appeal_until(&self, closed: u64) -> u64 {
        let end = closed.saturating_add(self.rules.appeal_period);
        if self.version == 1 {
            return end;
        }
        let asked = |hash: &Hash| self.proposals.get(hash).map_or(u64::MAX, |p| p.asked);
        let until = match self.panels.range((closed, 0, Hash::default())..).next() {
            Some((drawn, _, panel)) => (asked(panel) <= end).then_some(*drawn),
            None => {
                let mut open = self.open_panels.range(..=(end, u64::MAX, Hash([255; 32])));
                open.next().map(|(_, _, panel)| self.proposals[panel].end().saturating_add(1))
            }
        };
        until.map_or(end, |until| end.max(until.saturating_add(self.rules.notice)))
    }

    /// Ends a withheld result that nobody has appealed against in time: it is no result that
    /// somebody can wake years later.
    pub(super) fn lapse(&mut self, hash: Hash) {
        let (now, proposal) = (self.now(), &self.proposals[&hash]);
        let Status::Withheld { closed, .. } = proposal.status else { return };
        if self.version == 1 || proposal.appeals > 0 {
            return;
        }
        if now > self.appeal_until(closed) {
            let failed = Status::Failed { closed: now };
            self.proposals.entry(hash).and_modify(|p| p.status = failed);
        } else {
            self.schedule(hash);
        }
    }

    /// Whether a result waits for a panel that could still hear an appeal against it, and if so has
    /// it looked at again then.
    pub(super) fn waits_for_panel(&mut self, hash: Hash) -> bool {
        let (now, proposal) = (self.now(), &self.proposals[&hash]);
        let Status::Passed { closed, due, in_force: false, .. } = proposal.status else {
            return false;
        };
        let until = self.appeal_until(closed);
        let longer = until > closed.saturating_add(self.rules.appeal_period);
        let waits = due > closed && longer && until >= now;
        if waits {
            self.agenda.insert((until.saturating_add(1), proposal.index, hash));
        }
        waits
    }

    /// Lets a withheld result pass.
    pub(super) fn uphold(&mut self, hash: Hash) {
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
