//! A new head: what a certified record changes, and what is said of it.

use super::Node;
use crate::{
    Action, ChainState, Contribution, Ejection, Evidence, Finding, Notice, PeerId, RecordSummary,
    Signed, SignedRecord, log::Entry, members::member,
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
        self.fits(next.height, next.hash)?;
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
        if from.is_some() {
            self.adopt_clock();
        }
        self.persist(&Entry::Clock {
            elapsed_ms: self.pace.elapsed_ms(self.now),
            us_per_step: (self.pace.ms_per_step() * 1000.0) as u64,
        });
        let kept = self.close_work(&next);
        self.keep_book(&next);
        self.note_own_join(&record);
        if let Some(book) = self.books.get_mut(&next.height) {
            book.kept = kept;
        }
        self.drop_old();
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
        let rules = &self.run.rules;
        let mut notices = Vec::new();
        for line in &next.members {
            let was = before.and_then(|b| member(&b.members, &line.id));
            let was = was.map(|m| m.is_away(rules));
            let peer = line.id;
            match (was, line.is_away(rules)) {
                (None, _) => notices.push(Notice::Joined { peer, height }),
                (Some(false), true) => notices.push(Notice::Absent { peer, height }),
                (Some(true), false) => notices.push(Notice::Rejoined { peer, height }),
                _ => {}
            }
        }
        let gone = before
            .iter()
            .flat_map(|b| &b.members)
            .map(|m| m.id)
            .filter(|id| member(&next.members, id).is_none() && !next.ejected.contains(id));
        notices.extend(gone.map(|peer| Notice::Gone { peer, height }));
        notices.into_iter().for_each(|notice| self.notice(notice));
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
                "step {} of its contribution to record {height} re-run by {}: other bits",
                part.unwrap_or(0),
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
            "confirmed the work of {} in record {} without looking: {} got another digest",
            confirmation.body().contributor.short(),
            confirmation.body().height,
            names(verdicts.iter().map(Signed::author).collect())
        ),
        Evidence::Equivocation { first, .. } => match first.kind {
            2 => "signed two commits for one height".to_owned(),
            5 => "signed two proposals for one view".to_owned(),
            _ => "signed two votes for one step".to_owned(),
        },
    }
}
