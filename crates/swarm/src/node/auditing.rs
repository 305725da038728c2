//! Audits, answers to disputes and confirmations made again: this node's own re-runs, and what all
//! of them prove.

use super::{
    Node, Task,
    book::{Accusation, AuditKey, Book, Dispute, Own, OwnStage},
};
use crate::{
    Action, Advance, AuditJob, AuditOutcome, Commit, Evidence, Finding, Message, Notice, ObjectRef,
    PeerId, Sample, Scope, Show, Signed, TrainJob, TrainOutput, Verdict, VerdictKind, WorkError,
    chain::in_range,
    draw::{own_link, rechecks},
    log::Entry,
};
use std::collections::{BTreeMap, BTreeSet};
use store::Hash;

impl Node {
    /// Keeps a book about a new advance; the one before stays open for what comes late.
    pub(super) fn keep_book(&mut self, chain: &crate::ChainState) {
        let now = self.now;
        for advance in chain.previous.iter().chain(&chain.last) {
            let fresh = || Book::new(advance.clone(), now);
            self.books.entry(advance.height).or_insert_with(fresh).advance = advance.clone();
        }
        while self.books.len() > 2 {
            self.books.pop_first();
        }
    }

    /// The book of the newest advance.
    pub(super) fn newest_book(&self) -> Option<&Book> {
        self.books.last_key_value().map(|(_, book)| book)
    }

    /// Shows this node's link for the newest advance, and draws once all that are waited for have
    /// shown theirs or the time is up.
    pub(super) fn show(&mut self) -> bool {
        self.show_link() || self.complete_draws()
    }

    fn show_link(&mut self) -> bool {
        let (Some(chain), Some(book), me) = (&self.chain, self.newest_book(), self.id()) else {
            return false;
        };
        let (height, rules) = (book.advance.height, &self.run.rules);
        let Some(member) = chain.member(&me).filter(|_| !book.shows.contains_key(&me)) else {
            return false;
        };
        let Some(tag) = self.own_chain else { return false };
        // A link takes thousands of hashes: not for somebody whose link would not count.
        let audits = chain.last.as_ref().is_some_and(|last| {
            last.height == height && last.electorate(&self.run).weight(&me) > 0
        });
        if !audits {
            return false;
        }
        let after = height.saturating_sub(member.joined);
        let link = own_link(&self.identity, &self.run.id, rules, tag, after);
        let Some(link) = link else { return false };
        let show = Signed::seal(&self.identity, &self.run.id, Show { height, link });
        if !chain.may_show(&self.run, &show) {
            return false;
        }
        self.broadcast(&Message::Show(show.clone()));
        self.accept_show(show);
        self.hurry_resend();
        true
    }

    fn complete_draws(&mut self) -> bool {
        let (Some(chain), Some(work)) = (&self.chain, &self.work) else { return false };
        let Some(book) = self.newest_book().filter(|b| !b.drawn) else { return false };
        let late = work.age(self.now) >= self.run.rules.draw_timeout_ms;
        let shown = |voter: &PeerId| book.shows.contains_key(voter);
        let audits = book.advance.electorate(&self.run);
        let all = chain.auditing(&self.run).iter().all(|v| audits.weight(v) == 0 || shown(v));
        if !late && !all {
            return false;
        }
        let run = self.run.clone();
        if let Some(mut newest) = self.books.last_entry() {
            newest.get_mut().draw(&run, true);
        }
        true
    }

    pub(super) fn on_show(&mut self, from: PeerId, show: Signed<Show>) {
        let known = self.newest_book().is_none_or(|b| b.shows.contains_key(&show.author()));
        let fits = self.chain.as_ref().is_some_and(|c| c.may_show(&self.run, &show));
        if !known && fits && self.is_right(from, show.envelope()) {
            self.accept_show(show);
        }
    }

    fn accept_show(&mut self, show: Signed<Show>) {
        let run = self.run.clone();
        if let Some(mut newest) = self.books.last_entry() {
            let book = newest.get_mut();
            book.shows.insert(show.author(), show);
            book.draw(&run, book.drawn);
        }
    }

    /// Starts the next re-run that this node has to do.
    pub(super) fn audit(&mut self) -> bool {
        let Some((key, sample)) = self.next_audit() else { return false };
        let now = self.now;
        let Some(book) = self.books.get_mut(&key.height) else { return false };
        let fresh = Own { stage: OwnStage::Busy, since: now, states: Vec::new() };
        let own = book.own.entry(key).or_insert(fresh);
        own.stage = OwnStage::Busy;
        let states = own.states.clone();
        let Some(commit) = book.commit(&key.contributor) else { return false };
        let mut objects = vec![commit.body().trail];
        objects.extend(commit.body().carry_before);
        objects.extend(states);
        let base = book.advance.base.model;
        let mut providers = vec![key.contributor];
        providers.extend(book.about(&key.contributor).map(Signed::author));
        providers.extend(self.connected());
        self.fetch(Task::AuditInputs(key, sample), objects, vec![base], providers);
        true
    }

    fn next_audit(&self) -> Option<(AuditKey, Sample)> {
        let chain = self.chain.as_ref()?;
        if !chain.votes(&self.run, &self.id()) {
            return None;
        }
        let newest = self.newest_book()?.advance.height;
        self.books.values().find_map(|book| {
            let mut tasks = Vec::new();
            if book.advance.height == newest {
                tasks.extend(self.drawn_tasks(book));
            } else {
                tasks.extend(self.recheck_tasks(book));
            }
            tasks.extend(self.asked_tasks(book));
            let height = book.advance.height;
            let keyed =
                |(contributor, scope, sample)| (AuditKey { height, contributor, scope }, sample);
            tasks.into_iter().map(keyed).find(|(key, _)| self.is_to_do(book, key))
        })
    }

    fn drawn_tasks(&self, book: &Book) -> Vec<(PeerId, Scope, Sample)> {
        let me = self.id();
        let contributors: BTreeSet<PeerId> =
            book.draws.iter().filter(|d| d.auditor == me).map(|d| d.contributor).collect();
        let task = |c: PeerId| Some((c, Scope::Drawn, book.sample_of(&me, &c)?));
        contributors.into_iter().filter_map(task).collect()
    }

    /// Confirmations in the newest record that this node's link says to make again.
    fn recheck_tasks(&self, book: &Book) -> Vec<(PeerId, Scope, Sample)> {
        let me = self.id();
        let task = |v: &Signed<Verdict>| {
            let (confirmer, contributor) = (v.author(), v.body().contributor);
            let sample = book.own_sample_of(&confirmer, &contributor)?;
            let scope = Scope::Recheck { auditor: confirmer };
            self.draws_recheck(&me, v).then_some((contributor, scope, sample))
        };
        book.advance.verdicts.iter().filter_map(task).collect()
    }

    /// Whether `auditor`'s link for the newest advance says to make this confirmation again.
    fn draws_recheck(&self, auditor: &PeerId, confirmation: &Signed<Verdict>) -> bool {
        let Some(newest) = self.newest_book() else { return false };
        let Some(show) = newest.shows.get(auditor) else { return false };
        let body = confirmation.body();
        let confirms =
            body.scope == Scope::Drawn && matches!(body.finding, Finding::Confirmed { .. });
        let parts: [&[u8]; 2] = [&newest.advance.record.0, &show.body().link.0];
        let seed = Hash::of_parts("understory swarm 2 recheck seed", &parts);
        let electorate = newest.advance.electorate(&self.run);
        let what = (&confirmation.author(), &body.contributor);
        confirms && rechecks(&self.run.rules, &electorate, &seed, auditor, what)
    }

    /// What others ask everybody to look at.
    fn asked_tasks(&self, book: &Book) -> Vec<(PeerId, Scope, Sample)> {
        let me = self.id();
        let mut tasks = Vec::new();
        for accusation in book.accusations() {
            if accusation.interested().contains(&me) {
                continue;
            }
            let sample = match accusation.scope {
                Scope::Recheck { auditor } => {
                    let contributor = accusation.contributor;
                    let known = book.confirmation(&contributor, &auditor).is_some();
                    book.own_sample_of(&auditor, &contributor).filter(|_| known)
                }
                _ => Some(Sample::Parts(vec![accusation.part])),
            };
            tasks.extend(sample.map(|s| (accusation.contributor, accusation.asks(), s)));
        }
        for (contributor, auditor, part) in book.passed_on() {
            if me != contributor && me != auditor {
                let scope = Scope::Dispute { part };
                tasks.push((contributor, scope, Sample::Parts(vec![part])));
            }
        }
        tasks
    }

    fn is_to_do(&self, book: &Book, key: &AuditKey) -> bool {
        let said = book.verdicts.contains_key(&(key.contributor, self.id(), key.scope));
        let due = match book.own.get(key).map(|own| own.stage) {
            None => true,
            Some(OwnStage::At(time)) => time <= self.now,
            Some(OwnStage::Busy) => false,
        };
        !said && due && book.commit(&key.contributor).is_some()
    }

    pub(super) fn audit_inputs_fetched(
        &mut self,
        key: AuditKey,
        sample: Sample,
        missing: Option<Hash>,
        stored: Vec<Hash>,
    ) {
        let Some(book) = self.books.get(&key.height) else { return };
        let Some(commit) = book.commit(&key.contributor) else { return };
        let mut theirs: BTreeSet<Hash> = [commit.body().trail.hash].into();
        theirs.extend(book.own.get(&key).iter().flat_map(|own| &own.states).map(|s| s.hash));
        let (job, claimed) = claim(&book.advance, commit);
        self.note_stored(key.height, stored.into_iter().filter(|h| theirs.contains(h)).collect());
        theirs.extend(job.carry.map(|c| c.hash));
        match missing {
            None => {
                let id = self.task(Task::Audit(key, sample.clone()));
                let auditor = match key.scope {
                    Scope::Recheck { auditor } => auditor,
                    _ => self.id(),
                };
                let audit = AuditJob { id, job, claimed, sample, auditor };
                self.out.push(Action::Audit(audit));
            }
            Some(missing) if theirs.contains(&missing) => self.without(key, &sample, missing),
            // The base is for everybody to have: nobody's fault but this node's.
            Some(_) => self.audit_again(key, self.run.rules.retry_ms()),
        }
    }

    /// Something that the contributor has to serve is not to be had: again, until the time is up.
    fn without(&mut self, key: AuditKey, sample: &Sample, missing: Hash) {
        let patience = self.run.rules.audit_timeout_ms / 2;
        let since = self.books.get(&key.height).and_then(|b| b.own.get(&key)).map(|o| o.since);
        if since.is_some_and(|since| self.now.since(since) < patience) {
            return self.audit_again(key, self.run.rules.retry_ms());
        }
        self.conclude(key, Finding::Unavailable { part: first_part(sample), missing });
    }

    fn audit_again(&mut self, key: AuditKey, pause_ms: u64) {
        let again = self.now.after(pause_ms);
        if let Some(own) = self.books.get_mut(&key.height).and_then(|b| b.own.get_mut(&key)) {
            own.stage = OwnStage::At(again);
        }
    }

    pub(super) fn audited(&mut self, id: u64, result: Result<AuditOutcome, WorkError>) {
        let Some(Task::Audit(key, sample)) = self.tasks.remove(&id) else { return };
        match result {
            Ok(AuditOutcome::Confirmed { digest }) => self.confirmed(key, &sample, digest),
            Ok(AuditOutcome::Mismatch { part }) => self.mismatched(key, part),
            Ok(AuditOutcome::Needs { states }) if self.wants_states(&key, &sample, &states) => {
                let now = self.now;
                let own = self.books.get_mut(&key.height).and_then(|b| b.own.get_mut(&key));
                if let Some(own) = own {
                    (own.states, own.stage) = (states, OwnStage::At(now));
                }
            }
            Ok(AuditOutcome::Unavailable { missing }) | Err(WorkError::Missing(missing)) => {
                self.without(key, &sample, missing);
            }
            Ok(AuditOutcome::Needs { .. }) => {
                // It has them and asks again: this machine's fault; later it may go better.
                self.audit_again(key, self.run.rules.audit_timeout_ms / 4);
            }
            Err(error) => {
                // Nothing was found out, so nothing is said.
                self.audit_again(key, self.run.rules.audit_timeout_ms / 4);
                self.work_failed(key.height, &error);
            }
        }
    }

    /// Whether states that a re-run asks for are what it may need: few, of the right length, and
    /// not those that it was given.
    fn wants_states(&self, key: &AuditKey, sample: &Sample, states: &[ObjectRef]) -> bool {
        let own = self.books.get(&key.height).and_then(|b| b.own.get(key));
        let most = match sample {
            Sample::All => 1,
            Sample::Parts(parts) => parts.len() + 1,
        };
        states.len() <= most
            && states.iter().all(|s| s.len == self.run.rules.state_len)
            && own.is_some_and(|own| own.states != states)
    }

    fn confirmed(&mut self, key: AuditKey, sample: &Sample, digest: Hash) {
        let Scope::Recheck { auditor } = key.scope else {
            return self.conclude(key, Finding::Confirmed { digest });
        };
        // What the record has: a verdict that was lost here is no false one.
        let book = self.books.get(&key.height);
        let confirmation = book.and_then(|b| b.confirmation(&key.contributor, &auditor));
        let Some(claimed) = confirmation.map(|v| v.body().finding) else {
            return self.audit_again(key, self.run.rules.audit_timeout_ms);
        };
        let same = claimed == Finding::Confirmed { digest };
        self.conclude(
            key,
            match same {
                true => Finding::Confirmed { digest },
                false => Finding::Mismatch { part: first_part(sample) },
            },
        );
    }

    fn mismatched(&mut self, key: AuditKey, part: u32) {
        if !key.scope.is_of_work() {
            // What was confirmed is wrong: so is the contribution itself.
            let work = AuditKey { scope: Scope::Dispute { part }, ..key };
            self.conclude(work, Finding::Mismatch { part });
        }
        self.conclude(key, Finding::Mismatch { part });
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

    /// Whether a verdict is new and a voter's, and one that was asked for: by its draw, by a
    /// dispute; or one that begins a dispute, which costs its author dearly if it is refuted. A
    /// newcomer, which has little to lose, may begin one in each advance.
    fn wants(&self, verdict: &Signed<Verdict>) -> bool {
        let (body, author) = (verdict.body(), verdict.author());
        let (Some(book), Some(chain)) = (self.books.get(&body.height), &self.chain) else {
            return false;
        };
        let Some(commit) = book.commit(&body.contributor) else { return false };
        let known = book.verdicts.contains_key(&(body.contributor, author, body.scope));
        let voter = chain.votes(&self.run, &author) && author != body.contributor;
        let settled = chain.member(&author).is_some_and(|m| m.is_settled(&self.run.rules));
        let asked = match (body.scope, body.finding) {
            (Scope::Drawn, _) => book.sample_of(&author, &body.contributor).is_some(),
            // To begin a dispute takes one part; more would only be more work for everybody.
            (scope @ Scope::Dispute { part }, Finding::Mismatch { part: found }) => {
                part == found
                    && (book.is_asked(&body.contributor, scope)
                        || !book.has_accused(&author, settled.then_some(body.contributor)))
            }
            (scope @ Scope::Dispute { .. }, _) => book.is_asked(&body.contributor, scope),
            (scope @ Scope::Recheck { auditor }, _) => {
                let confirmation = book.confirmation(&body.contributor, &auditor);
                auditor != author
                    && book.own_sample_of(&auditor, &body.contributor).is_some()
                    && (book.is_asked(&body.contributor, scope)
                        || confirmation.is_some_and(|c| self.draws_recheck(&author, c)))
            }
        };
        !known && voter && asked && in_range(commit, body)
    }

    pub(super) fn accept_verdict(&mut self, verdict: Signed<Verdict>) {
        let (auditor, body) = (verdict.author(), *verdict.body());
        let Some(book) = self.books.get_mut(&body.height) else { return };
        book.verdicts.insert((body.contributor, auditor, body.scope), verdict);
        let (kind, part) = match body.finding {
            Finding::Confirmed { .. } => (VerdictKind::Confirmed, None),
            Finding::Mismatch { part } => (VerdictKind::Mismatch, Some(part)),
            Finding::Unavailable { .. } => (VerdictKind::Unavailable, None),
        };
        let Verdict { height, contributor, scope, .. } = body;
        let dispute = scope != Scope::Drawn;
        self.notice(Notice::Verdict { height, contributor, auditor, dispute, kind, part });
        if let (false, Some(part)) = (dispute, part) {
            self.notice(Notice::Disputed { height, contributor, accuser: auditor, part });
        }
    }

    /// Contributors of the newest advance that are proven to have cheated, by this node's own
    /// re-run too, with work that weighed something: that has to be repaired.
    pub(super) fn guilty(&self) -> BTreeSet<PeerId> {
        let last = self.chain.as_ref().and_then(|c| c.last.as_ref()).map(|l| l.height);
        match self.newest_book().filter(|b| Some(b.advance.height) == last) {
            Some(book) => self.to_repair(book).into_keys().collect(),
            None => BTreeSet::new(),
        }
    }

    fn to_repair(&self, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let (weighty, mut proven) = (book.advance.weighty(&self.run), self.proven(book));
        proven.retain(|peer, _| weighty.contains(peer));
        proven
    }

    fn proven(&self, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let Some(chain) = &self.chain else { return BTreeMap::new() };
        let (all, me) = (chain.electorate(&self.run), self.id());
        let found = |c: &PeerId| matches!(book.finding(c, &me), Some(Finding::Mismatch { .. }));
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
    pub(super) fn evidence_for_repair(&self) -> BTreeMap<PeerId, Evidence> {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else {
            return BTreeMap::new();
        };
        let all = chain.electorate(&self.run);
        consistent(&all, self.to_repair(book), book)
    }

    /// Everybody that has to go with the next ordinary record, and why: those that contradicted
    /// themselves; and for as long as there is patience accusers that were refuted, auditors that
    /// confirmed blindly, cheats that came to light too late for a repair.
    pub(super) fn evidence_for_advance(&self) -> BTreeMap<PeerId, Evidence> {
        let (Some(chain), Some(work)) = (&self.chain, &self.work) else { return BTreeMap::new() };
        let mut all = self.evidence.clone();
        let patience = self.run.rules.audit_timeout_ms.saturating_mul(3);
        if work.age(self.now) < patience {
            for book in self.books.values() {
                let mut here = self.proven(book);
                here.extend(self.refuted(book));
                here.extend(self.blind(book));
                all.extend(consistent(&chain.electorate(&self.run), here, book));
            }
        }
        all.retain(|peer, _| chain.member(peer).is_some());
        all
    }

    fn refuted(&self, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let Some(chain) = &self.chain else { return BTreeMap::new() };
        let (all, me) = (chain.electorate(&self.run), self.id());
        let mut out = BTreeMap::new();
        for accusation in book.accusations() {
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

    fn blind(&self, book: &Book) -> BTreeMap<PeerId, Evidence> {
        let Some(chain) = &self.chain else { return BTreeMap::new() };
        let (all, me) = (chain.electorate(&self.run), self.id());
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

    /// What this node found out about a contribution itself.
    pub(super) fn own_finding(&self, height: u64, contributor: &PeerId) -> Option<Finding> {
        self.books.get(&height)?.finding(contributor, &self.id())
    }

    /// What this node answered to exactly this.
    pub(super) fn own_answer(
        &self,
        height: u64,
        contributor: &PeerId,
        scope: Scope,
    ) -> Option<Finding> {
        self.books.get(&height)?.answer(contributor, &self.id(), scope)
    }

    /// Whether an accusation about the newest advance is still to be answered. Work that weighed
    /// nothing is judged beside the next round, which does not wait for it.
    pub(super) fn is_disputed(&self) -> bool {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else { return false };
        let all = chain.electorate(&self.run);
        let weighty = book.advance.weighty(&self.run);
        let accusations = book.accusations().into_iter();
        accusations.filter(|a| weighty.contains(&a.contributor)).any(|accusation| {
            let dispute = book.dispute(chain, &all, &accusation);
            let open = matches!(dispute, Dispute::Open | Dispute::Proven);
            let here = |id: &PeerId| !chain.ejected.contains(id);
            open && here(&accusation.accused()) && here(&accusation.accuser)
        })
    }

    /// Of two voters neither can prove anything to the other: a mismatch stops the run.
    pub(super) fn stalemate(&self) -> Option<PeerId> {
        let (book, chain, me) = (self.newest_book()?, self.chain.as_ref()?, self.id());
        let all = chain.electorate(&self.run);
        let other = all.voters().find(|v| *v != me).filter(|_| all.voters().count() == 2)?;
        let accuses = |a: Accusation| a.accuser == me && a.contributor == other;
        book.accusations().into_iter().any(accuses).then_some(other)
    }

    /// Whether all drawn audits of the newest advance are over, but for those of voters that
    /// nobody waits for. Those of newcomers' work too: without a verdict in the next record they
    /// would be credited with nothing.
    pub(super) fn audits_are_done(&self) -> bool {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else { return true };
        let awaited = chain.auditing(&self.run);
        let waits = |d: &&crate::Draw| awaited.contains(&d.auditor);
        book.drawn && book.draws.iter().filter(waits).all(|draw| book.is_done(draw))
    }

    /// Links that go into the next record.
    pub(super) fn shows_for_record(&self) -> Vec<Signed<Show>> {
        let Some(chain) = &self.chain else { return Vec::new() };
        let shows = self.newest_book().into_iter().flat_map(|b| b.shows.values());
        shows.filter(|s| chain.may_show(&self.run, s)).cloned().collect()
    }

    /// Verdicts that go into the next record.
    pub(super) fn verdicts_for_record(&self) -> Vec<Signed<Verdict>> {
        let (Some(book), Some(chain)) = (self.newest_book(), &self.chain) else {
            return Vec::new();
        };
        let shown = crate::chain::shown(&self.shows_for_record());
        let draws = book.advance.draws(&self.run, &shown, true);
        let counts = |v: &&Signed<Verdict>| chain.counts(&self.run, &draws, v);
        let mut all: Vec<_> = book.verdicts.values().filter(counts).cloned().collect();
        // One word that something is not to be had is enough.
        let mut said = BTreeSet::new();
        all.retain(|v| {
            v.body().scope == Scope::Drawn || said.insert((v.body().contributor, v.author()))
        });
        all
    }

    /// Verdicts from before a restart.
    pub(super) fn restore_verdicts(&mut self, entries: &[Entry]) {
        for entry in entries {
            let Entry::Said(envelope) = entry else { continue };
            let Some(verdict) = super::intake::open::<Verdict>(envelope) else { continue };
            let body = *verdict.body();
            if let Some(book) = self.books.get_mut(&body.height) {
                book.verdicts.insert((body.contributor, verdict.author(), body.scope), verdict);
            }
        }
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

/// Evidence in which nobody is a witness that the same evidence ejects: whose word it rests on
/// besides is looked for, and what cannot do without is left for later.
fn consistent(
    all: &crate::Electorate,
    evidence: BTreeMap<PeerId, Evidence>,
    book: &Book,
) -> BTreeMap<PeerId, Evidence> {
    let culprits: BTreeSet<PeerId> = evidence.keys().copied().collect();
    let stays = |v: &Signed<Verdict>| !culprits.contains(&v.author());
    let again = |(peer, evidence): (PeerId, Evidence)| {
        let evidence = match evidence {
            Evidence::Mismatch { height, .. } => {
                let about = book
                    .accusations()
                    .into_iter()
                    .find(|a| a.contributor == peer && a.scope.is_of_work())?;
                let agreeing = book.agreeing(&about).into_values().filter(|v| stays(v)).cloned();
                let verdicts = enough(all, agreeing);
                all.prove(verdicts.iter().map(Signed::author))
                    .then_some(Evidence::Mismatch { height, verdicts })?
            }
            Evidence::FalseAccusation { accusation, contradictions } => {
                contradictions.iter().all(stays).then_some(())?;
                Evidence::FalseAccusation { accusation, contradictions }
            }
            Evidence::BlindConfirmation { confirmation, verdicts } => {
                verdicts.iter().all(stays).then_some(())?;
                Evidence::BlindConfirmation { confirmation, verdicts }
            }
            other => other,
        };
        Some((peer, evidence))
    };
    evidence.into_iter().filter_map(again).collect()
}

fn first_part(sample: &Sample) -> u32 {
    match sample {
        Sample::All => 0,
        Sample::Parts(parts) => parts.first().copied().unwrap_or(0),
    }
}

/// The job behind a commit, and what it says came out.
pub(super) fn claim(advance: &Advance, commit: &Signed<Commit>) -> (TrainJob, TrainOutput) {
    let body = commit.body();
    let job = TrainJob {
        height: body.height,
        round: body.round,
        base: advance.base,
        beacon: advance.base_beacon,
        worker: commit.author(),
        steps: body.steps,
        carry: body.carry_before,
    };
    (job, TrainOutput { trail: body.trail, update: body.update, carry: body.carry })
}
