//! Audits, answers to disputes and confirmations made again: this node's own re-runs, and what all
//! of them prove.

use super::{
    Core, Running, Task,
    book::{AuditKey, Book, Own, OwnStage},
};
use crate::{
    Action, Advance, AuditJob, AuditOutcome, Commit, Finding, Message, Notice, ObjectRef, Sample,
    Scope, Show, Signed, Time, TrainJob, TrainOutput, Verdict, VerdictKind, WorkError,
    chain::in_range,
    draw::{own_link, rechecks},
    log::Entry,
};
use ids::{Hash, PeerId};
use std::collections::BTreeSet;

impl Running {
    /// Keeps a book about a new advance; the one before stays open for what comes late.
    pub(super) fn keep_books(&mut self, now: Time) {
        for advance in self.chain.previous.iter().chain(&self.chain.last) {
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
    pub(super) fn show(&mut self, core: &mut Core) -> bool {
        self.show_link(core) || self.complete_draws(core)
    }

    fn show_link(&mut self, core: &mut Core) -> bool {
        let (chain, me) = (&self.chain, core.id());
        let Some(book) = self.newest_book() else { return false };
        let (height, rules) = (book.advance.height, &core.run.rules);
        let Some(member) = chain.member(&me).filter(|_| !book.shows.contains_key(&me)) else {
            return false;
        };
        let Some(tag) = self.own_chain else { return false };
        // A link takes thousands of hashes: not for somebody whose link would not count.
        let audits = chain.last.as_ref().is_some_and(|last| {
            last.height == height && last.electorate(&core.run).weight(&me) > 0
        });
        if !audits {
            return false;
        }
        let after = height.saturating_sub(member.joined);
        let link = own_link(&core.identity, &core.run.id, rules, tag, after);
        let Some(link) = link else { return false };
        let show = Signed::seal(&core.identity, &core.run.id, Show { height, link });
        if !chain.may_show(&core.run, &show) {
            return false;
        }
        core.broadcast(&Message::Show(show.clone()));
        self.accept_show(core, show);
        core.hurry_resend();
        true
    }

    fn complete_draws(&mut self, core: &mut Core) -> bool {
        let Some(book) = self.newest_book().filter(|b| !b.drawn) else { return false };
        let late = self.work.age(core.now) >= core.run.rules.draw_timeout_ms;
        let shown = |voter: &PeerId| book.shows.contains_key(voter);
        let audits = book.advance.electorate(&core.run);
        let all = self.chain.auditing(&core.run).iter().all(|v| audits.weight(v) == 0 || shown(v));
        if !late && !all {
            return false;
        }
        if let Some(mut newest) = self.books.last_entry() {
            newest.get_mut().draw(&core.run, true);
        }
        true
    }

    pub(super) fn on_show(&mut self, core: &mut Core, from: PeerId, show: Signed<Show>) {
        let author = show.author();
        let known = |b: &Book| b.shows.contains_key(&author) || b.wrong_links.contains(&author);
        // The signature first: a link takes as many hashes as heights have passed.
        if self.newest_book().is_none_or(known) || !core.is_right(from, show.envelope()) {
            return;
        }
        if self.chain.may_show(&core.run, &show) {
            self.accept_show(core, show);
        } else if let Some(mut newest) = self.books.last_entry() {
            newest.get_mut().wrong_links.insert(author);
        }
    }

    fn accept_show(&mut self, core: &mut Core, show: Signed<Show>) {
        if let Some(mut newest) = self.books.last_entry() {
            let book = newest.get_mut();
            book.heard.insert((show.author(), show.author()), core.now);
            book.shows.insert(show.author(), show);
            book.draw(&core.run, book.drawn);
        }
    }

    /// Starts the next re-run that this node has to do.
    pub(super) fn audit(&mut self, core: &mut Core) -> bool {
        let Some((key, sample)) = self.next_audit(core) else { return false };
        let now = core.now;
        let Some(book) = self.books.get_mut(&key.height) else { return false };
        let (stage, states) = (OwnStage::At(now), Vec::new());
        let fresh = Own { stage, since: now, states, alone: false };
        let own = book.own.entry(key).or_insert(fresh);
        let (states, alone) = (own.states.clone(), own.alone);
        let Some(commit) = book.commit(&key.contributor) else { return false };
        let mut objects = vec![commit.body().trail];
        objects.extend(commit.body().carry_before);
        objects.extend(states);
        let base = book.advance.base.model;
        let mut providers = vec![key.contributor];
        if !alone {
            providers.extend(book.about(&key.contributor).map(Signed::author));
            providers.extend(core.connected());
        }
        let id = core.fetch(Task::AuditInputs(key, sample), objects, vec![base], providers);
        self.set_stage(&key, OwnStage::Fetching(id));
        true
    }

    /// Ends a fetch that takes longer than a contributor has for serving what its work can be
    /// checked by: whoever serves it too slowly has not served it.
    pub(super) fn give_up_fetch(&mut self, core: &mut Core) -> bool {
        let patience = core.run.rules.serve_ms();
        let slow = |own: &Own| match own.stage {
            OwnStage::Fetching(id) if own.gives_up_at(patience) <= core.now => Some(id),
            _ => None,
        };
        let blamed = self.books.values().filter(|book| book.has_base);
        let found =
            blamed.flat_map(|book| &book.own).find_map(|(key, own)| Some((*key, slow(own)?)));
        let Some((key, id)) = found else { return false };
        let task = core.cancel_fetch(id);
        let Some(book) = self.books.get_mut(&key.height) else { return true };
        let missing = book.commit(&key.contributor).map(|commit| commit.body().trail.hash);
        let Some(own) = book.own.get_mut(&key) else { return true };
        own.stage = OwnStage::At(core.now);
        if !std::mem::replace(&mut own.alone, true) {
            return true;
        }
        // The contributor may be out by now: then nothing is left to say.
        if let (Some(Task::AuditInputs(_, sample)), Some(missing)) = (task, missing) {
            self.conclude(core, key, Finding::Unavailable { part: sample.first_part(), missing });
        }
        true
    }

    fn set_stage(&mut self, key: &AuditKey, stage: OwnStage) {
        if let Some(own) = self.books.get_mut(&key.height).and_then(|b| b.own.get_mut(key)) {
            own.stage = stage;
        }
    }

    fn next_audit(&self, core: &Core) -> Option<(AuditKey, Sample)> {
        let chain = &self.chain;
        if !chain.votes(&core.run, &core.id()) {
            return None;
        }
        let newest = self.newest_book()?.advance.height;
        self.books.values().find_map(|book| {
            let mut tasks = Vec::new();
            if book.advance.height == newest {
                tasks.extend(self.drawn_tasks(core, book));
            } else {
                tasks.extend(self.recheck_tasks(core, book));
            }
            tasks.extend(self.asked_tasks(core, book));
            let height = book.advance.height;
            let keyed =
                |(contributor, scope, sample)| (AuditKey { height, contributor, scope }, sample);
            tasks.into_iter().map(keyed).find(|(key, _)| self.is_to_do(core, book, key))
        })
    }

    fn drawn_tasks(&self, core: &Core, book: &Book) -> Vec<(PeerId, Scope, Sample)> {
        let me = core.id();
        let contributors: BTreeSet<PeerId> =
            book.draws.iter().filter(|d| d.auditor == me).map(|d| d.contributor).collect();
        let task = |c: PeerId| Some((c, Scope::Drawn, book.sample_of(&me, &c)?));
        contributors.into_iter().filter_map(task).collect()
    }

    /// Confirmations in the newest record that this node's link says to make again.
    fn recheck_tasks(&self, core: &Core, book: &Book) -> Vec<(PeerId, Scope, Sample)> {
        let me = core.id();
        let task = |v: &Signed<Verdict>| {
            let (confirmer, contributor) = (v.author(), v.body().contributor);
            let sample = book.own_sample_of(&confirmer, &contributor)?;
            let scope = Scope::Recheck { auditor: confirmer };
            self.draws_recheck(core, &me, v).then_some((contributor, scope, sample))
        };
        book.advance.verdicts.iter().filter_map(task).collect()
    }

    /// Whether `auditor`'s link for the newest advance says to make this confirmation again.
    fn draws_recheck(&self, core: &Core, auditor: &PeerId, confirmation: &Signed<Verdict>) -> bool {
        let Some(newest) = self.newest_book() else { return false };
        let Some(show) = newest.shows.get(auditor) else { return false };
        let body = confirmation.body();
        let parts: [&[u8]; 2] = [&newest.advance.record.0, &show.body().link.0];
        let seed = Hash::of_parts("understory swarm 2 recheck seed", &parts);
        let electorate = newest.advance.electorate(&core.run);
        let what = (&confirmation.author(), &body.contributor);
        body.confirms_draw() && rechecks(&core.run.rules, &electorate, &seed, auditor, what)
    }

    /// What others ask everybody to look at.
    fn asked_tasks(&self, core: &Core, book: &Book) -> Vec<(PeerId, Scope, Sample)> {
        let me = core.id();
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

    fn is_to_do(&self, core: &Core, book: &Book, key: &AuditKey) -> bool {
        let said = book.verdicts.contains_key(&(key.contributor, core.id(), key.scope));
        let due = match book.own.get(key).map(|own| own.stage) {
            None => true,
            Some(OwnStage::At(time)) => time <= core.now,
            Some(OwnStage::Fetching(_) | OwnStage::Running) => false,
        };
        !said && due && book.commit(&key.contributor).is_some()
    }

    pub(super) fn audit_inputs_fetched(
        &mut self,
        core: &mut Core,
        key: AuditKey,
        sample: Sample,
        missing: Option<Hash>,
        stored: &[Hash],
    ) {
        let Some(book) = self.books.get(&key.height) else { return };
        let Some(commit) = book.commit(&key.contributor) else { return };
        let mut theirs: BTreeSet<Hash> = [commit.body().trail.hash].into();
        theirs.extend(book.own.get(&key).iter().flat_map(|own| &own.states).map(|s| s.hash));
        let (job, claimed) = claim(&book.advance, commit);
        core.note_stored(
            key.height,
            stored.iter().copied().filter(|h| theirs.contains(h)).collect(),
        );
        theirs.extend(job.carry.map(|c| c.hash));
        match missing {
            None => {
                let id = core.task(Task::Audit(key, sample.clone()));
                let auditor = match key.scope {
                    Scope::Recheck { auditor } => auditor,
                    _ => core.id(),
                };
                let audit = AuditJob { id, job, claimed, sample, auditor };
                core.out.push(Action::Audit(audit));
                self.set_stage(&key, OwnStage::Running);
            }
            Some(missing) if theirs.contains(&missing) => self.without(core, key, &sample, missing),
            // The base is for everybody to have: nobody's fault but this node's.
            Some(_) => self.audit_again(core, key, core.run.rules.retry_ms()),
        }
    }

    /// Something that the contributor has to serve is not to be had: again, until the time is up.
    fn without(&mut self, core: &mut Core, key: AuditKey, sample: &Sample, missing: Hash) {
        let patience = core.run.rules.serve_ms();
        let since = self.books.get(&key.height).and_then(|b| b.own.get(&key)).map(|o| o.since);
        if since.is_some_and(|since| core.now.since(since) < patience) {
            return self.audit_again(core, key, core.run.rules.retry_ms());
        }
        self.conclude(core, key, Finding::Unavailable { part: sample.first_part(), missing });
    }

    fn audit_again(&mut self, core: &mut Core, key: AuditKey, pause_ms: u64) {
        self.set_stage(&key, OwnStage::At(core.now.after(pause_ms)));
    }

    pub(super) fn audited(
        &mut self,
        core: &mut Core,
        id: u64,
        result: Result<AuditOutcome, WorkError>,
    ) {
        let Some(Task::Audit(key, sample)) = core.end_task(id) else { return };
        match result {
            Ok(AuditOutcome::Confirmed { digest }) => self.confirmed(core, key, &sample, digest),
            Ok(AuditOutcome::Mismatch { part }) => self.mismatched(core, key, part),
            Ok(AuditOutcome::Needs { states })
                if self.wants_states(core, &key, &sample, &states) =>
            {
                let now = core.now;
                let own = self.books.get_mut(&key.height).and_then(|b| b.own.get_mut(&key));
                if let Some(own) = own {
                    (own.states, own.stage) = (states, OwnStage::At(now));
                }
            }
            Ok(AuditOutcome::Unavailable { missing }) | Err(WorkError::Missing(missing)) => {
                self.without(core, key, &sample, missing);
            }
            Ok(AuditOutcome::Needs { .. }) => {
                // It has them and asks again: this machine's fault; later it may go better.
                self.audit_again(core, key, core.run.rules.audit_timeout_ms / 4);
            }
            Err(error) => {
                // Nothing was found out, so nothing is said.
                self.audit_again(core, key, core.run.rules.audit_timeout_ms / 4);
                core.work_failed(key.height, &error);
            }
        }
    }

    /// Whether states that a re-run asks for are what it may need: few, of the right length, and
    /// not those that it was given.
    fn wants_states(
        &self,
        core: &Core,
        key: &AuditKey,
        sample: &Sample,
        states: &[ObjectRef],
    ) -> bool {
        let own = self.books.get(&key.height).and_then(|b| b.own.get(key));
        let most = match sample {
            Sample::All => 1,
            Sample::Parts(parts) => parts.len() + 1,
        };
        states.len() <= most
            && states.iter().all(|s| s.len == core.run.rules.state_len)
            && own.is_some_and(|own| own.states != states)
    }

    fn confirmed(&mut self, core: &mut Core, key: AuditKey, sample: &Sample, digest: Hash) {
        let Scope::Recheck { auditor } = key.scope else {
            return self.conclude(core, key, Finding::Confirmed { digest });
        };
        // What the record has: a verdict that was lost here is no false one.
        let book = self.books.get(&key.height);
        let confirmation = book.and_then(|b| b.confirmation(&key.contributor, &auditor));
        let Some(claimed) = confirmation.map(|v| v.body().finding) else {
            return self.audit_again(core, key, core.run.rules.audit_timeout_ms);
        };
        let same = claimed == Finding::Confirmed { digest };
        self.conclude(
            core,
            key,
            match same {
                true => Finding::Confirmed { digest },
                false => Finding::Mismatch { part: sample.first_part() },
            },
        );
    }

    fn mismatched(&mut self, core: &mut Core, key: AuditKey, part: u32) {
        self.conclude(core, key, Finding::Mismatch { part });
        if !key.scope.is_of_work() {
            // What was confirmed is wrong: so is the contribution itself.
            let work = AuditKey { scope: Scope::Dispute { part }, ..key };
            self.conclude(core, work, Finding::Mismatch { part });
        }
    }

    fn conclude(&mut self, core: &mut Core, key: AuditKey, finding: Finding) {
        let AuditKey { height, contributor, scope } = key;
        let verdict = Verdict { height, contributor, scope, finding };
        let verdict = Signed::seal(&core.identity, &core.run.id, verdict);
        core.persist(&Entry::Said(verdict.envelope().clone()));
        core.broadcast(&Message::Verdict(verdict.clone()));
        self.accept_verdict(core, verdict);
        core.hurry_resend();
    }

    /// Takes in a member's verdict.
    pub(super) fn on_verdict(&mut self, core: &mut Core, from: PeerId, verdict: Signed<Verdict>) {
        let (author, Verdict { height, contributor, scope, .. }) =
            (verdict.author(), *verdict.body());
        let book = self.books.get(&height);
        let known = book.and_then(|book| book.verdicts.get(&(contributor, author, scope)));
        if let Some(known) = known.filter(|v| v.body() != verdict.body() && scope == Scope::Drawn) {
            let known = known.envelope().clone();
            return self.contradiction(core, from, known, verdict.envelope());
        }
        if !self.wants(core, &verdict) || !core.is_right(from, verdict.envelope()) {
            return;
        }
        // Who accuses speaks to all: its word is passed on, and who is accused shows what it takes to
        // judge it.
        let accuses = matches!(verdict.body().finding, Finding::Mismatch { .. });
        if accuses && scope == Scope::Drawn && from == author {
            core.broadcast(&Message::Verdict(verdict.clone()));
        }
        self.accept_verdict(core, verdict);
    }

    /// Whether a verdict is new and a voter's, and one that was asked for: by its draw, or by what
    /// somebody found in a draw. So nobody accuses whom it likes, and of what it drew it can say one
    /// thing only.
    fn wants(&self, core: &Core, verdict: &Signed<Verdict>) -> bool {
        let (body, author) = (verdict.body(), verdict.author());
        let (chain, Some(book)) = (&self.chain, self.books.get(&body.height)) else { return false };
        let Some(commit) = book.commit(&body.contributor) else { return false };
        let known = book.verdicts.contains_key(&(body.contributor, author, body.scope));
        let voter = chain.votes(&core.run, &author) && author != body.contributor;
        let asked = match (body.scope, body.finding) {
            (Scope::Drawn, finding) => {
                let sample = book.sample_of(&author, &body.contributor);
                sample.is_some_and(|sample| sample.allows(&finding))
            }
            (scope @ Scope::Dispute { part }, Finding::Mismatch { part: found }) => {
                part == found && book.is_asked(&body.contributor, scope)
            }
            (scope @ Scope::Dispute { .. }, _) => book.is_asked(&body.contributor, scope),
            (scope @ Scope::Recheck { auditor }, _) => {
                let confirmation = book.confirmation(&body.contributor, &auditor);
                auditor != author
                    && book.own_sample_of(&auditor, &body.contributor).is_some()
                    && (book.is_asked(&body.contributor, scope)
                        || confirmation.is_some_and(|c| self.draws_recheck(core, &author, c)))
            }
        };
        !known && voter && asked && in_range(commit, body)
    }

    pub(super) fn accept_verdict(&mut self, core: &mut Core, verdict: Signed<Verdict>) {
        let (auditor, body) = (verdict.author(), *verdict.body());
        let Some(book) = self.books.get_mut(&body.height) else { return };
        if body.scope == Scope::Drawn {
            book.heard.insert((auditor, body.contributor), core.now);
        }
        book.verdicts.insert((body.contributor, auditor, body.scope), verdict);
        let (kind, part) = match body.finding {
            Finding::Confirmed { .. } => (VerdictKind::Confirmed, None),
            Finding::Mismatch { part } => (VerdictKind::Mismatch, Some(part)),
            Finding::Unavailable { .. } => (VerdictKind::Unavailable, None),
        };
        let Verdict { height, contributor, scope, .. } = body;
        let dispute = scope != Scope::Drawn;
        core.notice(Notice::Verdict { height, contributor, auditor, dispute, kind, part });
        if let (false, Some(part)) = (dispute, part) {
            core.notice(Notice::Disputed { height, contributor, accuser: auditor, part });
        }
    }

    /// What this node found out about a contribution itself.
    pub(super) fn own_finding(
        &self,
        core: &Core,
        height: u64,
        contributor: &PeerId,
    ) -> Option<Finding> {
        self.books.get(&height)?.finding(contributor, &core.id())
    }

    /// What this node answered to exactly this.
    pub(super) fn own_answer(
        &self,
        core: &Core,
        height: u64,
        contributor: &PeerId,
        scope: Scope,
    ) -> Option<Finding> {
        self.books.get(&height)?.answer(contributor, &core.id(), scope)
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
