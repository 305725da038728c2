//! What records, audits and measurements say of the rounds.

use super::Board;
use ids::{Hash, PeerId};
use serve::{Audit, Contribution, CurvePoint, Evidence, RoundInfo};
use swarm::{Kind, RecordSummary, VerdictKind};

impl Board {
    /// How well a root predicts the held-out text.
    pub fn measured(&mut self, round: u32, root: Hash, bits_per_byte: f64) {
        let repaired =
            self.decided.values().any(|r| r.kind == Kind::Repair && r.state.model.hash == root);
        // By the round, not by the moment: it may be measured when later rounds are decided.
        let tokens = self.tokens_until(round);
        let point = CurvePoint {
            round,
            t_s: self.start.elapsed().as_secs_f64(),
            tokens,
            bits_per_byte,
            root: root.to_string(),
            repaired,
        };
        let curve = &mut self.snapshot.curve;
        curve.retain(|p| p.round != round);
        curve.push(point);
        curve.sort_by_key(|p| p.round);
    }

    /// Training tokens of all rounds up to and with `round`.
    fn tokens_until(&self, round: u32) -> u64 {
        let advances =
            self.decided.values().filter(|r| r.kind == Kind::Advance && r.round <= round);
        let steps = advances.flat_map(|r| &r.contributions).map(|(_, steps)| u64::from(*steps));
        steps.sum::<u64>() * self.step_tokens
    }

    pub(super) fn record(&mut self, record: RecordSummary) {
        if self.decided.contains_key(&record.height) {
            return;
        }
        let now = self.start.elapsed().as_secs_f64();
        let sent = self.snapshot.totals.bytes_sent;
        let kind = record.kind.to_string();
        let round = record.round;
        if record.kind == Kind::Repair {
            self.mark_culprits(&record);
        }
        let included = &record.contributions;
        if matches!(record.kind, Kind::Advance | Kind::Repair) {
            let total: u32 = included.iter().map(|(_, steps)| steps).sum();
            let contributions = included.iter().map(|(peer, steps)| Contribution {
                peer: peer.to_string(),
                steps: *steps,
                weight: f64::from(*steps) / f64::from(total.max(1)),
                included: true,
                verdict: "not drawn".to_owned(),
                ..Contribution::default()
            });
            self.snapshot.rounds_done.push(RoundInfo {
                round,
                height: record.height,
                kind,
                root: record.state.model.hash.to_string(),
                seconds: now - self.last_decision_s,
                bytes_sent: sent.saturating_sub(self.sent_before),
                bytes_per_param: recipe::update::encoded_len(self.parameters as usize) as f64
                    / self.parameters as f64,
                contributions: contributions.collect(),
            });
        }
        self.snapshot.round = (round + 1).min(self.snapshot.rounds);
        (self.last_decision_s, self.sent_before) = (now, sent);
        let height = record.height;
        self.decided.insert(height, record);
        self.snapshot.totals.tokens = self.tokens_until(round);
        self.fill_norms(height);
    }

    /// The advance that a repair replaces stays visible, with its culprit marked.
    fn mark_culprits(&mut self, record: &RecordSummary) {
        let culprits: Vec<String> = record.ejected.iter().map(PeerId::to_string).collect();
        let replaced = self.snapshot.rounds_done.iter_mut().rev().find(|r| r.round == record.round);
        for contribution in replaced.into_iter().flat_map(|r| &mut r.contributions) {
            if culprits.contains(&contribution.peer) {
                contribution.included = false;
                contribution.verdict = "mismatch".to_owned();
            }
        }
    }

    pub(super) fn fill_norms(&mut self, height: u64) {
        let Some((norms, clipped)) = self.norms.get(&height) else { return };
        let round = self.snapshot.rounds_done.iter_mut().find(|r| r.height == height);
        let Some(round) = round else { return };
        for (i, contribution) in round.contributions.iter_mut().enumerate() {
            contribution.norm = norms.get(i).copied().map_or(0.0, f64::from);
            contribution.clipped = clipped.get(i).copied().unwrap_or(false);
        }
    }

    pub(super) fn verdict(
        &mut self,
        height: u64,
        contributor: PeerId,
        auditor: PeerId,
        kind: VerdictKind,
        part: Option<u32>,
    ) {
        let verdict = kind.to_string();
        let round = self.decided.get(&height).map_or(0, |r| r.round);
        let (contributor, auditor) = (contributor.to_string(), auditor.to_string());
        let known = self.snapshot.audits.iter().any(|a| {
            a.round == round
                && a.contributor == contributor
                && a.auditor == auditor
                && a.verdict == verdict
        });
        if known {
            return;
        }
        if kind == VerdictKind::Confirmed
            && let Some(peer) = self.snapshot.peers.iter_mut().find(|p| p.id == contributor)
        {
            peer.audits_passed += 1;
        }
        for round in self.snapshot.rounds_done.iter_mut().filter(|r| r.height == height) {
            for c in round.contributions.iter_mut().filter(|c| c.peer == contributor) {
                if c.verdict != "mismatch" {
                    c.verdict = verdict.clone();
                }
            }
        }
        let t_s = self.start.elapsed().as_secs_f64();
        self.snapshot.audits.push(Audit { round, contributor, auditor, verdict, part, t_s });
    }

    pub(super) fn ejected(&mut self, id: PeerId, height: u64, what: String) {
        let peer = id.to_string();
        if self.snapshot.evidence.iter().any(|e| e.peer == peer) {
            return;
        }
        let mismatches: Vec<&Audit> = self
            .snapshot
            .audits
            .iter()
            .filter(|a| a.contributor == peer && a.verdict == "mismatch")
            .collect();
        let round = mismatches
            .last()
            .map(|a| a.round)
            .or_else(|| self.decided.get(&height).map(|r| r.round))
            .unwrap_or(0);
        let evidence = Evidence {
            peer: peer.clone(),
            round,
            what: what.clone(),
            part: mismatches.last().and_then(|a| a.part),
            confirmed_by: mismatches.iter().map(|a| a.auditor.clone()).collect(),
            ..Evidence::default()
        };
        self.snapshot.evidence.push(evidence);
        if let Some(i) = self.index.get(&id) {
            let peer = &mut self.snapshot.peers[*i];
            peer.status = "ejected".to_owned();
            peer.reason = Some(what);
            peer.tokens_per_s = 0.0;
        }
    }
}
