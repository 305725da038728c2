//! A new head: what a certified record changes, and what is said of it.

use super::Node;
use crate::{
    Action, ChainState, Contribution, Ejection, Evidence, Finding, Member, Notice, PeerId,
    RecordSummary, Signed, SignedRecord, log::Entry, members::member,
};

use super::working::Wanted;

impl Node {
    /// Takes a certified record as the new head; `from` is who gave it, if it was not agreed on
    /// here.
    pub(super) fn follow(
        &mut self,
        record: SignedRecord,
        from: Option<PeerId>,
    ) -> Result<(), String> {
        let next = ChainState::follow(self.chain.as_ref(), &self.run, &record, &self.cache)
            .map_err(|e| e.to_string())?;
        let mine = self.own_aggregate(record.record());
        if let Some(mine) = mine.filter(|s| *s != next.state) {
            let (height, theirs) = (next.height, next.state.root());
            self.persist(&Entry::Record(record.to_bytes().into()));
            self.fatal(format!(
                "this machine computes root {} for record {height}, the others agreed on {theirs}",
                mine.root()
            ));
            return Ok(());
        }
        self.become_head(record, next, mine.is_some(), from);
        Ok(())
    }

    fn become_head(
        &mut self,
        record: SignedRecord,
        next: ChainState,
        state_is_here: bool,
        from: Option<PeerId>,
    ) {
        self.persist(&Entry::Record(record.to_bytes().into()));
        let before = self.chain.replace(next.clone());
        self.pace.start(self.now);
        if let Some(from) = from {
            self.adopt_clock(&from);
        }
        self.persist(&Entry::Clock {
            elapsed_ms: self.pace.elapsed_ms(self.now),
            us_per_step: (self.pace.ms_per_step() * 1000.0) as u64,
        });
        self.close_work();
        self.keep_book(&next);
        self.evidence.retain(|peer, _| !next.ejected.contains(peer));
        self.tell(&record, before.as_ref(), &next);
        self.records.push(record);
        self.open_height();
        if let (true, Some(work)) = (state_is_here, &mut self.work)
            && work.height == next.height + 1
        {
            work.sync = Wanted::Here;
        }
        self.check_finished();
    }

    /// Says what a record changed.
    fn tell(&mut self, record: &SignedRecord, before: Option<&ChainState>, next: &ChainState) {
        let body = record.record();
        self.notice(Notice::Decided(summary(record, next)));
        for Ejection { peer, evidence } in &body.ejected {
            let (peer, height) = (*peer, body.height);
            self.notice(Notice::Ejected { peer, height, evidence: describe(evidence) });
            if peer != self.id() {
                let why = "ejected".to_owned();
                self.out.push(Action::Disconnect { peer, why });
            }
        }
        let height = body.height;
        for Member { id, active, .. } in &next.members {
            let was = before.and_then(|b| member(&b.members, id)).map(|m| m.active);
            let peer = *id;
            match (was, active) {
                (None, _) => self.notice(Notice::Joined { peer, height }),
                (Some(true), false) => self.notice(Notice::Absent { peer, height }),
                (Some(false), true) => self.notice(Notice::Rejoined { peer, height }),
                _ => {}
            }
        }
    }
}

fn summary(record: &SignedRecord, next: &ChainState) -> RecordSummary {
    let body = record.record();
    let contribution = |c: &Contribution| (c.commit.author(), c.commit.body().steps);
    RecordSummary {
        height: body.height,
        kind: body.kind,
        round: body.round,
        view: record.certificate().view,
        record: record.hash(),
        root: body.state.root(),
        state: body.state,
        contributions: body.contributions.iter().map(contribution).collect(),
        ejected: body.culprits().collect(),
        joined: body.joins.iter().map(Signed::author).collect(),
        active: next.active().map(|m| m.id).collect(),
    }
}

/// Evidence in a sentence.
fn describe(evidence: &Evidence) -> String {
    let names = |peers: Vec<PeerId>| peers.iter().map(PeerId::short).collect::<Vec<_>>().join(", ");
    match evidence {
        Evidence::Mismatch { height, verdicts } => {
            let segment = verdicts.iter().find_map(|v| match v.body().finding {
                Finding::Mismatch { segment } => Some(segment),
                _ => None,
            });
            format!(
                "segment {} of its contribution to record {height} re-run by {}: other bits",
                segment.unwrap_or(0),
                names(verdicts.iter().map(Signed::author).collect())
            )
        }
        Evidence::FalseAccusation { accusation, contradictions } => format!(
            "accused {} about record {}; {} re-ran it and found what was claimed",
            accusation.body().contributor.short(),
            accusation.body().height,
            names(contradictions.iter().map(Signed::author).collect())
        ),
        Evidence::Equivocation { first, .. } => match first.kind {
            2 => "signed two commits for one height".to_owned(),
            5 => "signed two proposals for one view".to_owned(),
            _ => "signed two votes for one step".to_owned(),
        },
    }
}
