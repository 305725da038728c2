//! What the verdicts that are here prove, what of them a record has to say, and what it has to wait
//! for.

use super::{
    Core, Running,
    book::{Accusation, Book, Dispute},
};
use crate::{Ejection, Evidence, Finding, Scope, Show, Signed, Verdict, agreement::Validity};
use ids::PeerId;
use std::collections::{BTreeMap, BTreeSet};

impl Running {
    /// Contributors of the newest advance that are proven to have cheated, by this node's own
    /// re-run too, with work that weighed something: that has to be repaired.
    pub(super) fn guilty(&self, core: &Core) -> BTreeSet<PeerId> {
        let last = self.chain.last.as_ref().map(|l| l.height);
        match self.newest_book().filter(|b| Some(b.advance.height) == last) {
            Some(book) => self.to_repair(core, book).into_keys().collect(),
            None => BTreeSet::new(),
        }
    }

    fn to_repair(&self, core: &Core, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let (weighty, mut proven) = (book.advance.weighty(&core.run), self.proven(core, book));
        proven.retain(|peer, _| weighty.contains(peer));
        proven
    }

    fn proven(&self, core: &Core, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let chain = &self.chain;
        let (all, me) = (chain.electorate(&core.run), core.id());
        let found = |c: &PeerId| book.found_wrong(c, &me);
        let accusations = book.accusations().into_iter().filter(|a| a.scope.is_of_work());
        accusations
            .filter(|a| chain.member(&a.contributor).is_some() && found(&a.contributor))
            .filter(|a| book.dispute(chain, &all, a) == Dispute::Proven)
            .map(|a| {
                let verdicts = enough(&all, book.agreeing(&a).into_values().cloned());
                let height = book.advance.height;
                (a.contributor, Evidence::Mismatch { height, verdicts })
            })
            .collect()
    }

    /// The evidence against the guilty, for a repair. Nobody is a witness that goes with it.
    pub(super) fn evidence_for_repair(&self, core: &Core) -> BTreeMap<PeerId, Evidence> {
        let Some(book) = self.newest_book() else { return BTreeMap::new() };
        let found = self.to_repair(core, book);
        let culprits = found.keys().copied().collect();
        self.consistent(core, book, found, &culprits)
    }

    /// Everybody that has to go with the next ordinary record, and why: those that contradicted
    /// themselves; and for as long as there is patience accusers that were refuted, auditors that
    /// confirmed blindly, cheats that came to light too late for a repair.
    pub(super) fn evidence_for_advance(&self, core: &Core) -> BTreeMap<PeerId, Evidence> {
        let (chain, work) = (&self.chain, &self.work);
        let patience = core.audits_ms().saturating_mul(3);
        let books = self.books.values().filter(|_| work.age(core.now) < patience);
        let found: Vec<_> = books.map(|book| (book, self.found(core, book))).collect();
        let mut culprits: BTreeSet<PeerId> = self.evidence.keys().copied().collect();
        culprits.extend(found.iter().flat_map(|(_, found)| found.keys()));
        let consistent = |(book, found)| self.consistent(core, book, found, &culprits);
        let mut all: BTreeMap<_, _> = found.into_iter().flat_map(consistent).collect();
        // Who contradicted itself goes for that: it takes no re-run to agree on.
        all.extend(self.evidence.iter().map(|(peer, evidence)| (*peer, evidence.clone())));
        all.retain(|peer, _| chain.member(peer).is_some());
        all
    }

    /// Whom re-runs for one advance prove to be wrong: about work, about others' work, about what
    /// it looked at.
    fn found(&self, core: &Core, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let mut found = self.proven(core, book);
        found.extend(self.refuted(core, book));
        found.extend(self.blind(core, book));
        found.extend(self.belied(core, book));
        found
    }

    fn refuted(&self, core: &Core, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let chain = &self.chain;
        let (all, me) = (chain.electorate(&core.run), core.id());
        let mut out = BTreeMap::new();
        // Of work that is gone nobody can be asked any more.
        let here = |a: &Accusation| book.commit(&a.contributor).is_some();
        for accusation in book.accusations().into_iter().filter(here) {
            let Accusation { contributor, accuser, scope, .. } = accusation;
            let own = book.answer(&contributor, &me, accusation.asks());
            let agrees = me == contributor || matches!(own, Some(Finding::Confirmed { .. }));
            if agrees
                && book.dispute(chain, &all, &accusation) == Dispute::Refuted
                && let Some(verdict) = book.verdicts.get(&(contributor, accuser, scope))
            {
                let contradictions = enough(&all, book.contradicting(&accusation).into_iter());
                let accusation = verdict.clone();
                out.insert(accuser, Evidence::FalseAccusation { accusation, contradictions });
            }
        }
        out
    }

    fn blind(&self, core: &Core, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let chain = &self.chain;
        let (all, me) = (chain.electorate(&core.run), core.id());
        let mut out = BTreeMap::new();
        for accusation in book.accusations() {
            let Scope::Recheck { auditor } = accusation.scope else { continue };
            let contributor = accusation.contributor;
            let own = book.answer(&contributor, &me, accusation.scope);
            if matches!(own, Some(Finding::Mismatch { .. }))
                && book.dispute(chain, &all, &accusation) == Dispute::Proven
                && let Some(verdict) = book.confirmation(&contributor, &auditor)
            {
                let verdicts = enough(&all, book.agreeing(&accusation).into_values().cloned());
                let confirmation = verdict.clone();
                out.insert(auditor, Evidence::BlindConfirmation { confirmation, verdicts });
            }
        }
        out
    }

    /// Who confirmed work in which a part is proven to be wrong that it had drawn.
    fn belied(&self, core: &Core, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let all = self.chain.electorate(&core.run);
        let me = core.id();
        let confirms = |v: &&Signed<Verdict>| {
            v.body().confirms_draw() && book.found_wrong(&v.body().contributor, &me)
        };
        let evidence = |confirmation: &Signed<Verdict>| {
            let against = self.against(core, book, confirmation).into_values();
            let (peer, verdicts) = (confirmation.author(), enough(&all, against));
            let proves = all.prove(verdicts.iter().map(Signed::author));
            let confirmation = confirmation.clone();
            let evidence = Evidence::BlindConfirmation { confirmation, verdicts };
            proves.then_some(Ejection { peer, evidence })
        };
        let found = book.verdicts.values().filter(confirms).filter_map(evidence);
        found
            .filter(|ejection| self.may_eject(core, ejection) == Validity::Valid)
            .map(|ejection| (ejection.peer, ejection.evidence))
            .collect()
    }

    /// Verdicts that say that a confirmation is false, one per author. Who confirmed the same work
    /// and now says otherwise is none to rely on: it may be about to go for that.
    fn against<'a>(
        &self,
        core: &Core,
        book: &'a Book,
        confirmation: &Signed<Verdict>,
    ) -> BTreeMap<PeerId, Signed<Verdict>> {
        let (peer, contributor) = (confirmation.author(), confirmation.body().contributor);
        let looked_at = self.chain.looked_at(&core.run, confirmation);
        let again = Scope::Recheck { auditor: peer };
        let says_so = |v: &&'a Signed<Verdict>| match v.body().scope {
            scope if scope == again => matches!(v.body().finding, Finding::Mismatch { .. }),
            _ => looked_at.as_ref().is_some_and(|looked| looked.is_belied_by(v.body())),
        };
        let confirmed = |id: &PeerId| {
            let drawn = book.answer(&contributor, id, Scope::Drawn);
            matches!(drawn, Some(Finding::Confirmed { .. }))
        };
        book.about(&contributor)
            .filter(|v| v.author() != peer && v.author() != contributor)
            .filter(says_so)
            .filter(|v| v.body().scope == again || !confirmed(&v.author()))
            .map(|v| (v.author(), v.clone()))
            .collect()
    }

    /// Evidence in which nobody is a witness that the same record ejects: whose word it rests on
    /// besides is looked for, and what cannot do without is left for later.
    fn consistent(
        &self,
        core: &Core,
        book: &Book,
        evidence: BTreeMap<PeerId, Evidence>,
        culprits: &BTreeSet<PeerId>,
    ) -> BTreeMap<PeerId, Evidence> {
        let all = self.chain.electorate(&core.run);
        let stays = |v: &Signed<Verdict>| !culprits.contains(&v.author());
        let proven = |witnesses: BTreeMap<PeerId, Signed<Verdict>>| {
            let verdicts = enough(&all, witnesses.into_values().filter(stays));
            all.prove(verdicts.iter().map(Signed::author)).then_some(verdicts)
        };
        let again = |(peer, evidence): (PeerId, Evidence)| {
            let evidence = match evidence {
                Evidence::Mismatch { height, .. } => {
                    let about = book
                        .accusations()
                        .into_iter()
                        .find(|a| a.contributor == peer && a.scope.is_of_work())?;
                    let agreeing = book.agreeing(&about).into_iter();
                    let verdicts = proven(agreeing.map(|(id, v)| (id, v.clone())).collect())?;
                    Evidence::Mismatch { height, verdicts }
                }
                Evidence::FalseAccusation { accusation, .. } => {
                    let body = accusation.body();
                    let about = book.accusations().into_iter().find(|a| {
                        (a.accuser, a.contributor, a.scope) == (peer, body.contributor, body.scope)
                    })?;
                    let against = book.contradicting(&about).into_iter();
                    let contradictions = proven(against.map(|v| (v.author(), v)).collect())?;
                    Evidence::FalseAccusation { accusation, contradictions }
                }
                Evidence::BlindConfirmation { confirmation, .. } => {
                    let verdicts = proven(self.against(core, book, &confirmation))?;
                    Evidence::BlindConfirmation { confirmation, verdicts }
                }
                other => other,
            };
            Some((peer, evidence))
        };
        evidence.into_iter().filter_map(again).collect()
    }

    /// Whether an accusation about the newest advance is still to be answered. Work that weighed
    /// nothing is judged beside the next round, which does not wait for it; and so is what only
    /// newcomers say, who could say something else to everybody.
    pub(super) fn is_disputed(&self, core: &Core) -> bool {
        let (chain, Some(book)) = (&self.chain, self.newest_book()) else { return false };
        let all = chain.electorate(&core.run);
        let weighty = book.advance.weighty(&core.run);
        let here = |id: &PeerId| !chain.ejected.contains(id);
        let counts = |a: &Accusation| {
            let listened_to = |id: &PeerId| chain.is_listened_to(&core.run, id);
            weighty.contains(&a.contributor)
                && here(&a.accused())
                && here(&a.accuser)
                && (listened_to(&a.accuser) || book.agreeing(a).keys().any(listened_to))
                && !is_idle_talk(book, a, &core.id())
        };
        let open = |a| matches!(book.dispute(chain, &all, a), Dispute::Open | Dispute::Proven);
        book.accusations().iter().filter(|a| counts(a)).any(open)
    }

    /// Of two voters neither can prove anything to the other: a mismatch stops the run.
    pub(super) fn stalemate(&self, core: &Core) -> Option<PeerId> {
        let (book, chain, me) = (self.newest_book()?, &self.chain, core.id());
        let all = chain.electorate(&core.run);
        let other = all.voters().find(|v| *v != me).filter(|_| all.voters().count() == 2)?;
        let accuses = |a: Accusation| a.accuser == me && a.contributor == other;
        book.accusations().into_iter().any(accuses).then_some(other)
    }

    /// Whether all drawn audits of the newest advance are over that a round waits for: by voters that
    /// are waited for, of work that is audited in time. Of newcomers' work too, as far as these
    /// cannot hold it up: without a verdict in the next record they would be credited with nothing.
    pub(super) fn audits_are_done(&self, core: &Core) -> bool {
        let (chain, Some(book)) = (&self.chain, self.newest_book()) else { return true };
        let awaited = chain.auditing(&core.run);
        let waits = |d: &&crate::Draw| {
            awaited.contains(&d.auditor)
                && book.advance.is_audited_in_time(&core.run, &d.contributor)
        };
        book.drawn && book.draws.iter().filter(waits).all(|draw| book.is_done(draw))
    }

    /// Links that go into the next record.
    pub(super) fn shows_for_record(&self, core: &Core) -> Vec<Signed<Show>> {
        let chain = &self.chain;
        let shows = self.newest_book().into_iter().flat_map(|b| b.shows.values());
        shows.filter(|s| chain.may_show(&core.run, s)).cloned().collect()
    }

    /// Verdicts that go into the next record.
    pub(super) fn verdicts_for_record(&self, core: &Core) -> Vec<Signed<Verdict>> {
        let (chain, Some(book)) = (&self.chain, self.newest_book()) else { return Vec::new() };
        let shown = crate::chain::shown(&self.shows_for_record(core));
        let draws = book.advance.draws(&core.run, &shown, true);
        let counts = |v: &&Signed<Verdict>| chain.counts(&core.run, &draws, v);
        let mut all: Vec<_> = book.verdicts.values().filter(counts).cloned().collect();
        // One word that something is not to be had is enough.
        let mut said = BTreeSet::new();
        all.retain(|v| {
            v.body().scope == Scope::Drawn || said.insert((v.body().contributor, v.author()))
        });
        all
    }
}

/// As many verdicts as prove something: a record has to stay small.
fn enough(
    all: &crate::Electorate,
    verdicts: impl Iterator<Item = Signed<Verdict>>,
) -> Vec<Signed<Verdict>> {
    let mut some: Vec<Signed<Verdict>> = Vec::new();
    for verdict in verdicts.filter(|v| all.weight(&v.author()) > 0) {
        if all.prove(some.iter().map(Signed::author)) {
            break;
        }
        some.push(verdict);
    }
    some.sort_unstable_by_key(Signed::author);
    some
}

/// Whether nobody but the accuser says so, and this node's own re-run of just that found nothing:
/// it will never vote for that ejection. Others may never have heard of it, so that it stays open
/// for ever; its refutation goes beside the next round.
fn is_idle_talk(book: &Book, accusation: &Accusation, me: &PeerId) -> bool {
    let Accusation { contributor, accuser, .. } = accusation;
    let own = book.answer(contributor, me, accusation.asks());
    let alone = book.agreeing(accusation).keys().all(|id| id == accuser);
    alone && (contributor == me || matches!(own, Some(Finding::Confirmed { .. })))
}
