//! A new head: what a certified record changes, and what is said of it.

use super::{Core, Running, working::Wanted};
use crate::{
    Action, Body, ChainState, Ejection, Evidence, Finding, Kind, Notice, RecordSummary, Signed,
    SignedRecord, Verdict, log::Entry, members::member,
};
use ids::PeerId;

impl Running {
    /// Takes a certified record as the new head; `from` is who gave it, if it was not agreed on
    /// here.
    ///
    /// Errors: it does not follow the head, or is not the one that the run is known to have there.
    pub(super) fn follow(
        &mut self,
        core: &mut Core,
        record: SignedRecord,
        from: Option<PeerId>,
    ) -> Result<(), String> {
        let next = ChainState::follow(Some(&self.chain), &core.run, &record, &core.cache)
            .map_err(|e| e.to_string())?;
        core.fits(next.height, next.hash)?;
        let mine = self.own_aggregate(core, record.record());
        if let Some(mine) = mine.filter(|s| *s != next.state) {
            let (height, theirs) = (next.height, next.state.hash());
            core.persist(&Entry::Record(record.to_bytes().into()));
            let mine = mine.hash();
            self.fatal(
                core,
                format!(
                    "this machine computes state {mine} for record {height}, the others agreed on \
                     {theirs}"
                ),
            );
            return Ok(());
        }
        let before = std::mem::replace(&mut self.chain, next);
        self.take_up(core, record, Some(&before), from);
        self.open_height(core);
        if mine.is_some() {
            self.work.sync = Wanted::Here;
        }
        Ok(())
    }

    /// What the record does that led from `before` to the state that is the chain's now.
    pub fn take_up(
        &mut self,
        core: &mut Core,
        record: SignedRecord,
        before: Option<&ChainState>,
        from: Option<PeerId>,
    ) {
        core.persist(&Entry::Record(record.to_bytes().into()));
        core.pace.start(core.now);
        if from.is_some() {
            core.adopt_clock(&self.chain);
        }
        core.persist(&Entry::Clock {
            elapsed_ms: core.pace.elapsed_ms(core.now),
            us_per_step: (core.pace.ms_per_step() * 1000.0) as u64,
        });
        let kept = self.close_work(core);
        self.keep_books(core.now);
        self.note_own_join(core.id(), &record);
        if let Some(book) = self.books.get_mut(&self.chain.height) {
            book.kept = kept;
            book.has_base = self.work.sync == Wanted::Here;
        }
        self.drop_old(core);
        self.evidence.retain(|peer, _| !self.chain.ejected.contains(peer));
        tell(core, &record, before, &self.chain);
        core.records.push(record);
    }
}

/// Says what a record changed.
fn tell(core: &mut Core, record: &SignedRecord, before: Option<&ChainState>, next: &ChainState) {
    let body = record.record();
    let height = body.height;
    core.notice(Notice::Decided(summary(record, next)));
    for Ejection { peer, evidence } in &body.ejected {
        let peer = *peer;
        core.notice(Notice::Ejected { peer, height, evidence: describe(evidence) });
        if peer != core.id() {
            core.out.push(Action::Disconnect { peer, why: "ejected".to_owned() });
        }
    }
    for line in &next.members {
        let was = before.and_then(|b| member(&b.members, &line.id));
        let was = was.map(|m| m.is_away(&core.run.rules));
        let peer = line.id;
        match (was, line.is_away(&core.run.rules)) {
            (None, _) => core.notice(Notice::Joined { peer, height }),
            (Some(false), true) => core.notice(Notice::Absent { peer, height }),
            (Some(true), false) => core.notice(Notice::Rejoined { peer, height }),
            _ => {}
        }
    }
    for line in before.iter().flat_map(|b| &b.members) {
        let peer = line.id;
        if member(&next.members, &peer).is_none() && !next.ejected.contains(&peer) {
            core.notice(Notice::Gone { peer, height });
        }
    }
}

/// A record, and what the chain is after it.
pub(super) fn summary(record: &SignedRecord, next: &ChainState) -> RecordSummary {
    let body = record.record();
    let made = match body.kind {
        // What is left of the advance that it takes the place of.
        Kind::Repair => next.last.iter().flat_map(|last| &last.contributions).collect(),
        _ => body.contributions.iter().map(|c| &c.commit).collect::<Vec<_>>(),
    };
    RecordSummary {
        height: body.height,
        kind: body.kind,
        round: body.round,
        view: record.certificate().view,
        record: record.hash(),
        state_hash: body.state.hash(),
        state: body.state,
        contributions: made.into_iter().map(|c| (c.author(), c.body().steps)).collect(),
        ejected: body.culprits().collect(),
        joined: body.joins.iter().map(Signed::author).collect(),
        active: next.members.iter().map(|m| m.id).collect(),
    }
}

/// Evidence in a sentence.
fn describe(evidence: &Evidence) -> String {
    let names = |peers: Vec<PeerId>| peers.iter().map(PeerId::short).collect::<Vec<_>>().join(", ");
    match evidence {
        Evidence::Mismatch { height, verdicts } => {
            let part = verdicts.iter().find_map(|v| match v.body().finding {
                Finding::Mismatch { part } => Some(part),
                _ => None,
            });
            format!(
                "part {} of its contribution to record {height} re-run by {}: other bits",
                // Parts are counted from 1 wherever somebody reads them.
                part.unwrap_or(0) + 1,
                names(verdicts.iter().map(Signed::author).collect())
            )
        }
        Evidence::FalseAccusation { accusation, contradictions } => format!(
            "accused {} about record {}; {} re-ran it and found what was claimed",
            accusation.body().contributor.short(),
            accusation.body().height,
            names(contradictions.iter().map(Signed::author).collect())
        ),
        Evidence::BlindConfirmation { confirmation, verdicts } => format!(
            "confirmed the work of {} in record {} without looking: {} found otherwise",
            confirmation.body().contributor.short(),
            confirmation.body().height,
            names(verdicts.iter().map(Signed::author).collect())
        ),
        Evidence::Equivocation { first, .. } => match first.kind {
            2 => "signed two commits for one height".to_owned(),
            5 => "signed two proposals for one view".to_owned(),
            Verdict::KIND => "signed two verdicts on one contribution".to_owned(),
            _ => "signed two votes for one step".to_owned(),
        },
    }
}
