//! What proves that a key does not belong among the members.

use super::*;
use crate::{Ejection, Evidence};

impl ChainState {
    /// Whether `evidence` proves that `peer` has to go. Nobody that the same record ejects
    /// (`culprits`) is a witness in it.
    pub(crate) fn check_evidence(
        &self,
        run: &Run,
        peer: &PeerId,
        evidence: &Evidence,
        culprits: &BTreeSet<PeerId>,
        cache: &SignatureCache,
    ) -> Check {
        let witnesses = Witnesses { chain: self, run, culprits, cache };
        match evidence {
            Evidence::Mismatch { height, verdicts } => {
                witnesses.knows(*height, peer, Advance::commit)?;
                let about = (*height, *peer);
                witnesses.prove(about, &[*peer], verdicts, |v| {
                    v.scope.is_of_work() && matches!(v.finding, Finding::Mismatch { .. })
                })
            }
            Evidence::FalseAccusation { accusation, contradictions } => {
                let body = accusation.body();
                let (height, contributor) = (body.height, body.contributor);
                let Finding::Mismatch { part } = body.finding else {
                    return Err("it accused nobody".to_owned());
                };
                let accuses = accusation.author() == *peer && cache.is_right(accusation, &run.id);
                demand(accuses, || "it accused nobody".to_owned())?;
                witnesses.knows(height, &contributor, Advance::commit)?;
                let mut interested = vec![*peer, contributor];
                // Who says that a confirmation is false accuses the auditor.
                if let Scope::Recheck { auditor } = body.scope {
                    interested.push(auditor);
                }
                let asks = body.scope.asks(part);
                let about = (height, contributor);
                witnesses.prove(about, &interested, contradictions, |v| {
                    v.scope == asks && matches!(v.finding, Finding::Confirmed { .. })
                })
            }
            Evidence::BlindConfirmation { confirmation, verdicts } => {
                let body = confirmation.body();
                let (height, contributor) = (body.height, body.contributor);
                let confirms = confirmation.author() == *peer
                    && body.confirms_draw()
                    && cache.is_right(confirmation, &run.id);
                demand(confirms, || "it confirmed nothing".to_owned())?;
                witnesses.knows(height, &contributor, Advance::claimed)?;
                let about = (height, contributor);
                let looked_at = self.looked_at(run, confirmation);
                witnesses.prove(about, &[*peer, contributor], verdicts, |v| {
                    v.scope == Scope::Recheck { auditor: *peer }
                        && matches!(v.finding, Finding::Mismatch { .. })
                        || looked_at.as_ref().is_some_and(|looked| looked.is_belied_by(v))
                })
            }
            Evidence::Equivocation { first, second } => {
                demand(evidence.equivocator() == Some(*peer), || {
                    "it did not contradict itself".to_owned()
                })?;
                let signed = cache.is_signed(first, &run.id) && cache.is_signed(second, &run.id);
                demand(signed, || "the evidence is not signed".to_owned())
            }
        }
    }
}

/// Whether evidence is about this peer's part in this advance.
pub(super) fn is_of(evidence: &Evidence, advance: &Advance, peer: &PeerId) -> bool {
    matches!(evidence, Evidence::Mismatch { height, .. } if *height == advance.height)
        && advance.commit(peer).is_some()
}

/// What witnesses have to be.
struct Witnesses<'a> {
    chain: &'a ChainState,
    run: &'a Run,
    culprits: &'a BTreeSet<PeerId>,
    cache: &'a SignatureCache,
}

impl Witnesses<'_> {
    /// Whether there is such a contribution to one of the last two advances: one that still counts
    /// (`Advance::commit`), or any that was in its record (`Advance::claimed`).
    fn knows(
        &self,
        height: u64,
        contributor: &PeerId,
        part: for<'a> fn(&'a Advance, &PeerId) -> Option<&'a Signed<Commit>>,
    ) -> Check {
        let advance = self.chain.advance_at(height);
        demand(advance.is_some_and(|a| part(a, contributor).is_some()), || {
            format!("{contributor} has no part in record {height}, or that is too long ago")
        })
    }

    /// Verdicts of distinct voters about one contribution, all with this finding, of more standing
    /// than may be faulty; none of an interested party or of somebody who goes with this record.
    fn prove(
        &self,
        (height, contributor): (u64, PeerId),
        interested: &[PeerId],
        verdicts: &[Signed<Verdict>],
        finds: impl Fn(&Verdict) -> bool,
    ) -> Check {
        demand(ascends(verdicts.iter().map(Signed::author)), || {
            "the verdicts are not in order".to_owned()
        })?;
        let electorate = self.chain.electorate(self.run);
        for verdict in verdicts {
            let (author, body) = (verdict.author(), verdict.body());
            let fits = (body.height, body.contributor) == (height, contributor)
                && finds(body)
                && !interested.contains(&author)
                && !self.culprits.contains(&author)
                && electorate.weight(&author) > 0
                && self.cache.is_right(verdict, &self.run.id);
            demand(fits, || format!("the verdict of {author} does not count"))?;
        }
        demand(electorate.prove(verdicts.iter().map(Signed::author)), || {
            let (weight, faulty) =
                (electorate.weight_of(verdicts.iter().map(Signed::author)), electorate.faults());
            format!("witnesses of weight {weight} prove nothing: {faulty} may be faulty")
        })
    }
}

impl Ejection {
    /// Verdicts in it.
    pub fn verdicts(&self) -> Vec<Signed<Verdict>> {
        match &self.evidence {
            Evidence::Mismatch { verdicts, .. } => verdicts.clone(),
            Evidence::FalseAccusation { accusation: first, contradictions: others }
            | Evidence::BlindConfirmation { confirmation: first, verdicts: others } => {
                [std::slice::from_ref(first), others].concat()
            }
            Evidence::Equivocation { .. } => Vec::new(),
        }
    }
}
