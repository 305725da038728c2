//! Audits that the beacon drew, disputes that follow from them, and what they prove.

use super::{Node, Task, intake::open, working::Wanted, working::leaves_of};
use crate::{
    Action, AuditJob, AuditOutcome, ChainState, Commit, Draw, Evidence, Finding, LastAdvance,
    Message, Notice, ObjectRef, PeerId, Scope, Segments, Signed, TrainJob, TrainOutput, Verdict,
    VerdictKind, WorkError, log::Entry,
};
use std::collections::{BTreeMap, BTreeSet};
use store::Hash;

/// Verdicts in the evidence of a mismatch: two prove it, and a record has to stay small.
const WITNESSES: usize = 3;

/// Which re-run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditKey {
    pub height: u64,
    pub contributor: PeerId,
    pub scope: Scope,
}

/// Everything about the audits of one advance.
pub struct Book {
    pub advance: LastAdvance,
    verdicts: BTreeMap<(PeerId, PeerId, Scope), Signed<Verdict>>,
    own: BTreeMap<AuditKey, Option<Wanted>>,
}

/// Where an accusation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispute {
    /// Answers are missing.
    Open,
    /// Two members or more found a mismatch.
    Proven,
    /// Enough others found none.
    Refuted,
    /// Everybody has answered, and neither is proven.
    Undecided,
}

impl Book {
    fn new(advance: LastAdvance) -> Self {
        Self { advance, verdicts: BTreeMap::new(), own: BTreeMap::new() }
    }

    pub fn verdicts_by(&self, author: &PeerId) -> impl Iterator<Item = Signed<Verdict>> {
        self.verdicts.values().filter(move |v| v.author() == *author).cloned()
    }

    fn about(&self, contributor: &PeerId) -> impl Iterator<Item = &Signed<Verdict>> {
        let contributor = *contributor;
        self.verdicts.values().filter(move |v| v.body().contributor == contributor)
    }

    fn commit(&self, contributor: &PeerId) -> Option<&Signed<Commit>> {
        self.advance.contributions.iter().find(|c| c.author() == *contributor)
    }

    /// Mismatches found by auditors that the beacon drew: `(contributor, accuser, segment)`.
    fn accusations(&self) -> Vec<(PeerId, PeerId, u32)> {
        let accusation = |v: &Signed<Verdict>| match (v.body().scope, v.body().finding) {
            (Scope::Drawn, Finding::Mismatch { segment }) => {
                Some((v.body().contributor, v.author(), segment))
            }
            _ => None,
        };
        self.verdicts.values().filter_map(accusation).collect()
    }

    /// Whether an auditor found a mismatch in this segment.
    fn is_disputed(&self, contributor: &PeerId, segment: u32) -> bool {
        self.accusations().iter().any(|(c, _, s)| c == contributor && *s == segment)
    }

    /// One mismatch per member that found one.
    fn mismatches(&self, contributor: &PeerId) -> BTreeMap<PeerId, &Signed<Verdict>> {
        self.about(contributor)
            .filter(|v| matches!(v.body().finding, Finding::Mismatch { .. }))
            .map(|v| (v.author(), v))
            .collect()
    }

    fn refutations(&self, contributor: &PeerId, segment: u32) -> Vec<Signed<Verdict>> {
        self.about(contributor)
            .filter(|v| v.body().scope == Scope::Dispute { segment })
            .filter(|v| v.body().finding == Finding::Confirmed)
            .cloned()
            .collect()
    }

    /// What one member found about a contribution; a mismatch before anything else.
    pub fn finding(&self, contributor: &PeerId, member: &PeerId) -> Option<Finding> {
        let findings = || self.about(contributor).filter(|v| v.author() == *member);
        let worst =
            findings().map(|v| v.body().finding).find(|f| matches!(f, Finding::Mismatch { .. }));
        // An answer to a dispute looks at the segment in question; a drawn audit may not have.
        worst.or_else(|| findings().last().map(|v| v.body().finding))
    }

    fn drawn(&self, contributor: &PeerId, auditor: &PeerId) -> Option<Finding> {
        self.verdicts.get(&(*contributor, *auditor, Scope::Drawn)).map(|v| v.body().finding)
    }

    /// Where the accusation of `contributor` in `segment` stands.
    fn dispute(&self, chain: &ChainState, accusation: &(PeerId, PeerId, u32)) -> Dispute {
        let (contributor, accuser, segment) = accusation;
        let witnesses = self.mismatches(contributor);
        let counted = witnesses.keys().filter(|w| *w != contributor && !chain.ejected.contains(w));
        let refuted = self.refutations(contributor, *segment).len();
        let others = chain.active().filter(|m| m.id != *contributor && m.id != *accuser);
        let key = |m: PeerId| (*contributor, m, Scope::Dispute { segment: *segment });
        if counted.count() >= 2 {
            Dispute::Proven
        } else if refuted >= chain.contradictions_needed(accuser, contributor) {
            Dispute::Refuted
        } else if others.map(|m| m.id).all(|m| self.verdicts.contains_key(&key(m))) {
            Dispute::Undecided
        } else {
            Dispute::Open
        }
    }

    /// Whether nothing more is to be expected of a drawn audit.
    fn is_done(&self, chain: &ChainState, draw: &Draw) -> bool {
        let auditors = chain.auditors(draw);
        let findings: Vec<_> =
            auditors.iter().filter_map(|a| self.drawn(&draw.contributor, a)).collect();
        chain.ejected.contains(&draw.contributor)
            || findings.iter().any(|f| !matches!(f, Finding::Unavailable { .. }))
            || findings.len() == auditors.len()
    }
}

impl Node {
    /// Keeps a book about a new advance; the one before stays open for what comes late.
    pub(super) fn keep_book(&mut self, chain: &ChainState) {
        let Some(last) = &chain.last else { return };
        self.books.entry(last.height).or_insert_with(|| Book::new(last.clone())).advance =
            last.clone();
        while self.books.len() > 2 {
            let Some((_, old)) = self.books.pop_first() else { return };
            self.out.push(Action::Drop { objects: leaves_of(&old.advance.contributions) });
        }
    }

    /// The book of the newest advance.
    fn newest_book(&self) -> Option<&Book> {
        self.books.last_key_value().map(|(_, book)| book)
    }

    /// Starts the next re-run that this node has to do.
    pub(super) fn audit(&mut self) -> bool {
        let Some(key) = self.next_audit() else { return false };
        let Some(book) = self.books.get_mut(&key.height) else { return false };
        book.own.insert(key, None);
        let Some(commit) = book.commit(&key.contributor) else { return false };
        let objects = inputs(&book.advance, commit, &segments_of(book, &key));
        let models = vec![book.advance.base.model];
        let mut providers = vec![key.contributor];
        providers.extend(book.mismatches(&key.contributor).into_keys());
        providers.extend(self.connected());
        self.fetch(Task::AuditInputs(key), objects, models, providers);
        true
    }

    fn next_audit(&self) -> Option<AuditKey> {
        let chain = self.chain.as_ref().filter(|_| self.is_active())?;
        let newest = self.newest_book()?.advance.height;
        self.books.values().find_map(|book| {
            let drawn = book
                .advance
                .draws
                .iter()
                .filter(|d| book.advance.height == newest && self.has_to_audit(chain, book, d));
            let drawn = drawn.map(|d| (d.contributor, Scope::Drawn));
            let disputed = book.accusations().into_iter().filter_map(|(c, accuser, segment)| {
                let mine = c == self.id() || accuser == self.id();
                (!mine).then_some((c, Scope::Dispute { segment }))
            });
            drawn
                .chain(disputed)
                .map(|(contributor, scope)| AuditKey {
                    height: book.advance.height,
                    contributor,
                    scope,
                })
                .find(|key| self.is_to_do(chain, book, key))
        })
    }

    fn is_to_do(&self, chain: &ChainState, book: &Book, key: &AuditKey) -> bool {
        let said = book.verdicts.contains_key(&(key.contributor, self.id(), key.scope));
        let due = match book.own.get(key) {
            None => true,
            Some(Some(Wanted::At(time))) => *time <= self.now,
            Some(_) => false,
        };
        !said && due && !chain.ejected.contains(&key.contributor)
    }

    /// Whether it is this node's turn to audit a drawn contribution.
    fn has_to_audit(&self, chain: &ChainState, book: &Book, draw: &Draw) -> bool {
        let auditors = chain.auditors(draw);
        if auditors.first() == Some(&self.id()) {
            return true;
        }
        let second = auditors.get(1) == Some(&self.id());
        let first = auditors.first().and_then(|a| book.drawn(&draw.contributor, a));
        let late = self
            .work
            .as_ref()
            .is_some_and(|w| w.age(self.now) >= self.run.rules.audit_timeout_ms / 2);
        second
            && match first {
                Some(Finding::Unavailable { .. }) => true,
                Some(_) => false,
                None => late,
            }
    }

    pub(super) fn audit_inputs_fetched(&mut self, key: AuditKey, missing: Option<Hash>) {
        let Some(book) = self.books.get(&key.height) else { return };
        let Some(commit) = book.commit(&key.contributor) else { return };
        let carry = commit.body().carry_before.map(|f| f.hash);
        let base = [book.advance.base.model.hash, book.advance.base.outer.hash];
        // Without a leaf the worker can still start from the base; without these nobody can.
        if let Some(missing) = missing.filter(|m| Some(*m) == carry || base.contains(m)) {
            return self.conclude(key, Finding::Unavailable { missing });
        }
        let (job, claimed) = claim(&book.advance, commit);
        let segments = segments_of(book, &key);
        let id = self.task(Task::Audit(key));
        self.out.push(Action::Audit(AuditJob { id, job, claimed, segments }));
    }

    pub(super) fn audited(&mut self, id: u64, result: Result<AuditOutcome, WorkError>) {
        let Some(Task::Audit(key)) = self.tasks.remove(&id) else { return };
        match result {
            Ok(AuditOutcome::Confirmed) => self.conclude(key, Finding::Confirmed),
            Ok(AuditOutcome::Mismatch { segment }) => {
                self.conclude(key, Finding::Mismatch { segment });
            }
            Ok(AuditOutcome::Unavailable { missing }) | Err(WorkError::Missing(missing)) => {
                self.conclude(key, Finding::Unavailable { missing });
            }
            Err(error) => {
                // Nothing was found out, so nothing is said; later it may go better.
                let again = self.now.after(self.run.rules.audit_timeout_ms / 4);
                if let Some(book) = self.books.get_mut(&key.height) {
                    book.own.insert(key, Some(Wanted::At(again)));
                }
                self.work_failed(key.height, &error);
            }
        }
    }

    fn conclude(&mut self, key: AuditKey, finding: Finding) {
        let AuditKey { height, contributor, scope } = key;
        let verdict = Verdict { height, contributor, scope, finding };
        let verdict = Signed::seal(&self.identity, &self.run.id, verdict);
        self.persist(&Entry::Said(verdict.envelope().clone()));
        self.broadcast(&Message::Verdict(verdict.clone()));
        self.accept_verdict(verdict);
        self.hurry_resend();
    }

    /// Takes in a member's verdict.
    pub(super) fn on_verdict(&mut self, from: PeerId, verdict: Signed<Verdict>) {
        if self.wants(&verdict) && self.is_right(from, verdict.envelope()) {
            self.accept_verdict(verdict);
        }
    }

    /// Whether a verdict is new and one that was asked for: by the beacon, or by a dispute.
    fn wants(&self, verdict: &Signed<Verdict>) -> bool {
        let (body, author) = (verdict.body(), verdict.author());
        let (Some(book), Some(chain)) = (self.books.get(&body.height), &self.chain) else {
            return false;
        };
        let Some(commit) = book.commit(&body.contributor) else { return false };
        let known = book.verdicts.contains_key(&(body.contributor, author, body.scope));
        let asked =
            match body.scope {
                Scope::Drawn => book.advance.draws.iter().any(|d| {
                    d.contributor == body.contributor && chain.auditors(d).contains(&author)
                }),
                Scope::Dispute { segment } => book.is_disputed(&body.contributor, segment),
            };
        let in_range = match body.finding {
            Finding::Mismatch { segment } => segment as usize <= commit.body().leaves.len(),
            _ => true,
        };
        !known && asked && in_range && author != body.contributor
    }

    pub(super) fn accept_verdict(&mut self, verdict: Signed<Verdict>) {
        let (auditor, body) = (verdict.author(), *verdict.body());
        let Some(book) = self.books.get_mut(&body.height) else { return };
        book.verdicts.insert((body.contributor, auditor, body.scope), verdict);
        let (kind, segment) = match body.finding {
            Finding::Confirmed => (VerdictKind::Confirmed, None),
            Finding::Mismatch { segment } => (VerdictKind::Mismatch, Some(segment)),
            Finding::Unavailable { .. } => (VerdictKind::Unavailable, None),
        };
        let Verdict { height, contributor, scope, .. } = body;
        let dispute = scope != Scope::Drawn;
        self.notice(Notice::Verdict { height, contributor, auditor, dispute, kind, segment });
        if let (false, Some(segment)) = (dispute, segment) {
            let accuser = auditor;
            self.notice(Notice::Disputed { height, contributor, accuser, segment });
        }
    }

    /// Contributors of the newest advance that are proven to have cheated, by this node's own
    /// re-run too.
    pub(super) fn guilty(&self) -> BTreeSet<PeerId> {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else {
            return BTreeSet::new();
        };
        let current = chain.last.as_ref().is_some_and(|l| l.height == book.advance.height);
        let guilty = self.proven(chain, book).into_keys();
        if current { guilty.collect() } else { BTreeSet::new() }
    }

    fn proven(&self, chain: &ChainState, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let found =
            |c: &PeerId| matches!(book.finding(c, &self.id()), Some(Finding::Mismatch { .. }));
        let accusations = book.accusations().into_iter();
        accusations
            .filter(|a| !chain.ejected.contains(&a.0) && found(&a.0))
            .filter(|a| book.dispute(chain, a) == Dispute::Proven)
            .map(|(contributor, _, _)| {
                let witnesses = book.mismatches(&contributor).into_values();
                let verdicts = witnesses
                    .filter(|v| crate::members::member(&chain.members, &v.author()).is_some())
                    .take(WITNESSES)
                    .cloned()
                    .collect();
                let height = book.advance.height;
                (contributor, Evidence::Mismatch { height, verdicts })
            })
            .collect()
    }

    /// The evidence against the guilty, for a repair.
    pub(super) fn evidence_for_repair(&self) -> BTreeMap<PeerId, Evidence> {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else {
            return BTreeMap::new();
        };
        self.proven(chain, book)
    }

    /// Everybody that has to go with the next ordinary record, and why: those that contradicted
    /// themselves, accusers that were refuted, cheats that came to light too late for a repair.
    pub(super) fn evidence_for_advance(&self) -> BTreeMap<PeerId, Evidence> {
        let Some(chain) = &self.chain else { return BTreeMap::new() };
        let mut all = self.evidence.clone();
        for book in self.books.values() {
            all.extend(self.proven(chain, book));
            for accusation in book.accusations() {
                let (contributor, accuser, segment) = accusation;
                let key = (contributor, accuser, Scope::Drawn);
                let refuted = book.dispute(chain, &accusation) == Dispute::Refuted;
                if let (true, Some(verdict)) = (refuted, book.verdicts.get(&key)) {
                    let accusation = verdict.clone();
                    let mut contradictions = book.refutations(&contributor, segment);
                    contradictions.truncate(chain.contradictions_needed(&accuser, &contributor));
                    let evidence = Evidence::FalseAccusation { accusation, contradictions };
                    all.insert(accuser, evidence);
                }
            }
        }
        all.retain(|peer, _| crate::members::member(&chain.members, peer).is_some());
        all
    }

    /// What this node found out about a contribution itself.
    pub(super) fn own_finding(&self, height: u64, contributor: &PeerId) -> Option<Finding> {
        self.books.get(&height)?.finding(contributor, &self.id())
    }

    /// Whether an accusation about the newest advance is still to be answered.
    pub(super) fn is_disputed(&self) -> bool {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else { return false };
        book.accusations().iter().any(|accusation| {
            let (contributor, accuser, _) = accusation;
            let open = matches!(book.dispute(chain, accusation), Dispute::Open | Dispute::Proven);
            open && !chain.ejected.contains(contributor) && !chain.ejected.contains(accuser)
        })
    }

    /// Whether all drawn audits of the newest advance are over.
    pub(super) fn audits_are_done(&self) -> bool {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else { return true };
        book.advance.draws.iter().all(|draw| book.is_done(chain, draw))
    }

    /// Verdicts that go into the next record.
    pub(super) fn verdicts_for_record(&self) -> Vec<Signed<Verdict>> {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else {
            return Vec::new();
        };
        book.verdicts.values().filter(|v| chain.is_drawn(v)).cloned().collect()
    }

    /// Verdicts from before a restart.
    pub(super) fn restore_verdicts(&mut self, entries: &[Entry]) {
        for entry in entries {
            let Entry::Said(envelope) = entry else { continue };
            let Some(verdict) = open::<Verdict>(envelope) else { continue };
            let body = *verdict.body();
            if let Some(book) = self.books.get_mut(&body.height) {
                book.verdicts.insert((body.contributor, verdict.author(), body.scope), verdict);
            }
        }
    }
}

/// What an audit or an answer to a dispute re-runs.
fn segments_of(book: &Book, key: &AuditKey) -> Segments {
    match key.scope {
        Scope::Dispute { segment } => Segments::Some(vec![segment]),
        Scope::Drawn => {
            let draw = book.advance.draws.iter().find(|d| d.contributor == key.contributor);
            draw.map_or(Segments::All, |d| d.segments.clone())
        }
    }
}

/// The job behind a commit, and what it says came out.
fn claim(advance: &LastAdvance, commit: &Signed<Commit>) -> (TrainJob, TrainOutput) {
    let body = commit.body();
    let job = TrainJob {
        height: body.height,
        round: body.round,
        base: advance.base,
        beacon: advance.base_beacon,
        worker: commit.author(),
        steps: body.steps,
        leaf_every: body.steps / (body.leaves.len().max(1) as u32),
        carry: body.carry_before,
    };
    let (leaves, update, carry) = (body.leaves.clone(), body.update, body.carry);
    (job, TrainOutput { leaves, update, carry })
}

/// What a re-run starts from, besides the base model: the outer state, the author's carry, the
/// leaves before its segments.
fn inputs(advance: &LastAdvance, commit: &Signed<Commit>, segments: &Segments) -> Vec<ObjectRef> {
    let body = commit.body();
    let mut objects = vec![advance.base.outer];
    objects.extend(body.carry_before);
    if let Segments::Some(some) = segments {
        let before = |s: &u32| body.leaves.get(s.checked_sub(1)? as usize).copied();
        objects.extend(some.iter().filter_map(before));
    }
    objects
}
