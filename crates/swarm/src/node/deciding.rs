//! What the next record is, and whether somebody's is right.

use super::{
    Core, Running,
    lobby::{Wish, drawn},
    working::{Wanted, admissible},
};
use crate::{
    Certificate, Ejection, Evidence, Finding, Kind, MAX_RECORD, Message, Notice, Proposal, Record,
    Scope, Show, Signed, SignedRecord, Verdict, Vote,
    agreement::{Output, Validity},
    log::Entry,
};
use ids::{Hash, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// Newcomers have this part of the time that the settled voters took, once those are done.
const NEWCOMERS_GRACE: u64 = 16;

impl Running {
    /// Proposes, votes, decides.
    pub(super) fn decide(&mut self, core: &mut Core) -> bool {
        let due = self.due(core);
        let guilty = self.guilty(core);
        let now = core.now;
        let work = &mut self.work;
        work.agreement.discount(guilty);
        if let Some(kind) = due {
            work.due_since.get_or_insert(now);
            work.agreement.begin(now);
            if work.agreement.wants_value() {
                self.offer(core, kind);
            }
        }
        self.judge(core);
        let work = &mut self.work;
        let outputs = work.agreement.run(now);
        let moved = !outputs.is_empty();
        for output in outputs {
            self.carry_out(core, output);
        }
        moved
    }

    /// Which record this node thinks is due.
    fn due(&mut self, core: &mut Core) -> Option<Kind> {
        let (work, chain, rules) = (&self.work, &self.chain, &core.run.rules);
        if work.sync != Wanted::Here {
            return None;
        }
        let age = work.age(core.now);
        if self.stalemate(core).is_some() {
            return None;
        }
        if self.must_repair(core) {
            return Some(Kind::Repair);
        }
        let audited =
            age >= core.audits_ms() || self.audits_are_done(core) && !self.is_disputed(core);
        if !audited {
            None
        } else if chain.round >= rules.rounds {
            Some(Kind::Close)
        } else {
            self.contributions_are_in(core).then_some(Kind::Advance)
        }
    }

    /// Whether only a repair is right: somebody is guilty, and there is time left to agree on it.
    fn must_repair(&self, core: &Core) -> bool {
        let work = &self.work;
        let patience = core.audits_ms().saturating_mul(2);
        work.age(core.now) < patience && !self.guilty(core).is_empty()
    }

    /// The contributions of all that are waited for are here, or the time is up and what was
    /// committed is here, or the time for that is up too; and there is one that weighs something.
    /// Once they are, voters among the newcomers have some more time; the others have none, so that
    /// nobody without standing can hold a round up.
    fn contributions_are_in(&mut self, core: &mut Core) -> bool {
        let (now, work, chain) = (core.now, &self.work, &self.chain);
        let (age, rules) = (work.age(now), &core.run.rules);
        let (committed, missing) = self.not_in(core, &chain.awaited(&core.run));
        let closed = rules.commit_timeout_ms;
        let over = closed.saturating_add(rules.view_timeout_ms);
        let in_time = committed + missing == 0 || committed == 0 && age >= closed || age >= over;
        if !in_time {
            return false;
        }
        let late = self.not_in(core, &chain.present(&core.run, |_| true)) != (0, 0);
        let work = &mut self.work;
        let grace = age / NEWCOMERS_GRACE;
        let over = *work.grace_until.get_or_insert(now.after(grace));
        let weighs = self.chain.weighs(&core.run, &self.admissible_here(core));
        weighs && (!late || now >= over)
    }

    /// How many of these have committed to what is not admissible yet, and how many to nothing.
    fn not_in(&self, core: &Core, members: &[PeerId]) -> (usize, usize) {
        let (work, chain) = (&self.work, &self.chain);
        let honest = members.iter().filter(|m| !self.evidence.contains_key(m));
        let not_yet = honest.filter(|m| admissible(&core.run, work, chain, m).is_none()).copied();
        let committed = |m: &PeerId| work.commits.get(m).is_some_and(|slot| !slot.bad);
        let (committed, missing): (Vec<PeerId>, Vec<PeerId>) = not_yet.partition(committed);
        (committed.len(), missing.len())
    }

    /// Every contribution that may go into the next record, in the order of the authors' keys.
    fn admissible_here(&self, core: &Core) -> Vec<crate::Contribution> {
        let (work, chain) = (&self.work, &self.chain);
        let members = chain.members.iter();
        members.filter_map(|m| admissible(&core.run, work, chain, &m.id)).collect()
    }

    /// Makes the record that is due, as soon as its state is known.
    fn offer(&mut self, core: &mut Core, kind: Kind) {
        let draft = match kind {
            Kind::Repair => self.repair(core),
            kind => self.ordinary(core, kind),
        };
        let Some(mut record) = draft else { return };
        let Some(state) = self.state_after(core, &record) else { return };
        record.state = state;
        let chain = &self.chain;
        let body = loop {
            chain.complete(&core.run, &mut record);
            let body = record.to_bytes();
            // The rules leave room for what is usual; of an unusual lot of verdicts some wait.
            if body.len() <= MAX_RECORD || !self.leave_out_one(core, &mut record) {
                break body;
            }
        };
        let hash = Record::hash_of(&body);
        let ruling = match self.ruling(core, &hash, &record) {
            Ok(ruling) => ruling,
            Err(why) => {
                // Something that looked right by itself does not fit: better none than a wrong one.
                return core.notice(Notice::WorkFailed { height: record.height, why });
            }
        };
        self.work.agreement.offer(hash, body, ruling);
    }

    /// Leaves out the verdict that is missed least: that something was not to be had, what somebody
    /// said that is not waited for, then any. False if there is none left.
    fn leave_out_one(&self, core: &Core, record: &mut Record) -> bool {
        let awaited = self.chain.awaited(&core.run);
        let worth =
            |v: &Signed<Verdict>| (v.body().scope == Scope::Drawn, awaited.contains(&v.author()));
        let least = record.verdicts.iter().enumerate().min_by_key(|(_, v)| worth(v));
        let Some(at) = least.map(|(at, _)| at) else { return false };
        record.verdicts.remove(at);
        true
    }

    fn blank(
        &self,
        core: &Core,
        kind: Kind,
        evidence: BTreeMap<PeerId, Evidence>,
    ) -> Option<Record> {
        let chain = &self.chain;
        let ejected = evidence.into_iter().map(|(peer, evidence)| Ejection { peer, evidence });
        Some(Record {
            run: core.run.id,
            height: chain.height + 1,
            kind,
            round: chain.round,
            prev: chain.hash,
            members: Vec::new(),
            joins: Vec::new(),
            contributions: Vec::new(),
            shows: Vec::new(),
            verdicts: Vec::new(),
            ejected: ejected.collect(),
            state: chain.state,
            beacon: chain.beacon,
        })
    }

    fn repair(&self, core: &Core) -> Option<Record> {
        self.blank(core, Kind::Repair, self.evidence_for_repair(core))
    }

    fn ordinary(&self, core: &Core, kind: Kind) -> Option<Record> {
        let chain = &self.chain;
        let mut record = self.blank(core, kind, self.evidence_for_advance(core))?;
        let out: BTreeSet<PeerId> = record.culprits().collect();
        record.shows = self.shows_for_record(core);
        record.verdicts = self.verdicts_for_record(core);
        record.verdicts.sort_unstable_by_key(crate::chain::order_of_verdicts);
        if kind == Kind::Advance {
            record.contributions = self.admissible_here(core);
            record.contributions.retain(|c| !out.contains(&c.commit.author()));
            record.joins = self.joins_for_record(core, &out);
            if !chain.weighs(&core.run, &record.contributions) {
                return None;
            }
        }
        Some(record)
    }

    /// Who comes in: as many as there is room for.
    fn joins_for_record(&self, core: &Core, out: &BTreeSet<PeerId>) -> Vec<Signed<crate::Join>> {
        let chain = &self.chain;
        let fits = |wish: &&Wish| chain.may_join(&wish.join) && !out.contains(&wish.join.author());
        let wishes = core.joins.values().filter(fits);
        drawn(wishes, core.records.len(), &chain.beacon, chain.room(&core.run))
    }

    /// Finds out about proposed records what can be found out by now.
    fn judge(&mut self, core: &mut Core) {
        for hash in self.work.agreement.pending() {
            // Asked again with every event while something is missing: read once.
            let known = self.work.proposed.remove(&hash);
            let record = known.or_else(|| self.read(&hash));
            let validity = match &record {
                Some(record) => self.votable(core, &hash, record),
                None => Validity::Invalid,
            };
            self.work.proposed.extend(record.map(|record| (hash, record)));
            self.work.agreement.judge(&hash, validity);
        }
    }

    /// A proposed record that may follow the head.
    fn read(&self, hash: &Hash) -> Option<Record> {
        Record::from_bytes(self.work.agreement.body(hash)?).ok()
    }

    /// Whether this node may vote for a record that follows the rules.
    fn votable(&mut self, core: &mut Core, hash: &Hash, record: &Record) -> Validity {
        let policy = match record.kind {
            Kind::Repair => self.may_repair(core, record),
            _ => self.may_go_on(core, hash, record),
        };
        if policy != Validity::Valid {
            return policy;
        }
        if self.has_bad_update(record) {
            return Validity::Invalid;
        }
        match self.state_after(core, record) {
            None => Validity::Pending,
            Some(state) if state == record.state => Validity::Valid,
            Some(_) => Validity::Invalid,
        }
    }

    fn has_bad_update(&self, record: &Record) -> bool {
        let work = &self.work;
        record.contributions.iter().any(|c| {
            let slot = work.commits.get(&c.commit.author());
            slot.is_some_and(|s| s.bad && s.commit == c.commit)
        })
    }

    /// A repair ejects: that takes this node's own re-run of what every culprit did.
    fn may_repair(&self, core: &Core, record: &Record) -> Validity {
        record.ejected.iter().map(|e| self.may_eject(core, e)).max().unwrap_or(Validity::Invalid)
    }

    /// Whether this node's own re-run says so too; while there is none, it does not vote.
    pub(super) fn may_eject(&self, core: &Core, ejection: &Ejection) -> Validity {
        match &ejection.evidence {
            Evidence::Mismatch { height, verdicts } => {
                self.found_wrong(core, (*height, ejection.peer), verdicts)
            }
            Evidence::FalseAccusation { accusation, .. } => {
                let body = accusation.body();
                let scope = match body.finding {
                    Finding::Mismatch { part } => body.scope.asks(part),
                    _ => body.scope,
                };
                match self.own_answer(core, body.height, &body.contributor, scope) {
                    _ if body.contributor == core.id() => Validity::Valid,
                    None => Validity::Pending,
                    Some(Finding::Confirmed { .. }) => Validity::Valid,
                    Some(_) => Validity::Invalid,
                }
            }
            Evidence::BlindConfirmation { confirmation, verdicts } => {
                let body = confirmation.body();
                let scope = Scope::Recheck { auditor: confirmation.author() };
                match self.own_answer(core, body.height, &body.contributor, scope) {
                    Some(Finding::Mismatch { .. }) => Validity::Valid,
                    Some(Finding::Confirmed { .. }) => Validity::Invalid,
                    None | Some(Finding::Unavailable { .. }) => {
                        self.found_wrong(core, (body.height, body.contributor), verdicts)
                    }
                }
            }
            Evidence::Equivocation { .. } => Validity::Valid,
        }
    }

    /// Whether this node itself found wrong work that `verdicts` say is wrong. Only its own word that
    /// one of the parts in question is right is a no for good: what else it has found so far, of
    /// other parts, may be followed by more.
    fn found_wrong(
        &self,
        core: &Core,
        (height, contributor): (u64, PeerId),
        verdicts: &[Signed<Verdict>],
    ) -> Validity {
        let right = |v: &Signed<Verdict>| {
            let Finding::Mismatch { part } = v.body().finding else { return false };
            let own = self.own_answer(core, height, &contributor, Scope::Dispute { part });
            matches!(own, Some(Finding::Confirmed { .. }))
        };
        match self.own_finding(core, height, &contributor) {
            _ if verdicts.iter().any(right) => Validity::Invalid,
            Some(Finding::Mismatch { .. }) => Validity::Valid,
            _ => Validity::Pending,
        }
    }

    /// The same of an ejection in the record with this hash. Work that is gone with its author cannot
    /// be re-run any more: who has not done so goes by the votes of more than may be faulty, of whom
    /// the first honest one has. Otherwise these could be bound to a record that the others never
    /// vote for.
    fn may_eject_in(&self, core: &Core, hash: &Hash, ejection: &Ejection) -> Validity {
        let is_gone = match &ejection.evidence {
            Evidence::BlindConfirmation { confirmation, .. } => {
                let body = confirmation.body();
                let book = self.books.get(&body.height);
                book.is_none_or(|book| book.commit(&body.contributor).is_none())
            }
            _ => false,
        };
        match self.may_eject(core, ejection) {
            Validity::Pending if is_gone && self.work.agreement.is_seconded(hash) => {
                Validity::Valid
            }
            validity => validity,
        }
    }

    /// An advance or the end: not while a repair is right, a dispute or an audit is open, somebody
    /// is left out who still has time, or something is left out that this node has.
    fn may_go_on(&self, core: &Core, hash: &Hash, record: &Record) -> Validity {
        let (work, chain) = (&self.work, &self.chain);
        let (age, rules) = (work.age(core.now), &core.run.rules);
        let audits = self.audits_are_done(core) && !self.is_disputed(core);
        let closed = audits || age >= core.audits_ms();
        if self.stalemate(core).is_some() || self.must_repair(core) || !closed {
            return Validity::Pending;
        }
        let eject = record.ejected.iter().map(|e| self.may_eject_in(core, hash, e)).max();
        if let Some(validity) = eject.filter(|v| *v != Validity::Valid) {
            return validity;
        }
        let included = |m: &PeerId| record.contributions.iter().any(|c| c.commit.author() == *m);
        let has_to_be_in = |m: &PeerId| {
            !self.evidence.contains_key(m) && !record.culprits().any(|c| c == *m) && !included(m)
        };
        let left_out =
            record.kind == Kind::Advance && chain.awaited(&core.run).iter().any(has_to_be_in);
        let impatient = work
            .due_since
            .is_none_or(|since| core.now.since(since) < rules.view_timeout_ms.saturating_mul(2));
        let waits =
            left_out && age < rules.commit_timeout_ms || impatient && self.leaves_out(core, record);
        let waits = waits || self.leaves_out_known(core, record);
        // Somebody honest saw the time pass: this node may just have come back.
        match waits && !work.agreement.is_seconded(hash) {
            true => Validity::Pending,
            false => Validity::Valid,
        }
    }

    /// Whether a record lacks contributions, links or verdicts of settled voters, or ejections,
    /// that this node could put into it: nobody who proposes spares itself or leaves others out.
    /// What newcomers say is not insisted on: they could say it to some and not to others.
    fn leaves_out(&self, core: &Core, record: &Record) -> bool {
        let chain = &self.chain;
        let awaited: BTreeSet<PeerId> = chain.awaited(&core.run).into_iter().collect();
        let out: BTreeSet<PeerId> = record.culprits().collect();
        let commits = self.admissible_here(core);
        let counts = |author: PeerId| awaited.contains(&author) && !out.contains(&author);
        let has =
            |c: &crate::Contribution| record.contributions.iter().any(|r| r.commit == c.commit);
        let advance = record.kind == Kind::Advance;
        let lacks_show = |s: &Signed<Show>| counts(s.author()) && !record.shows.contains(s);
        let lacks_verdict = |v: &Signed<Verdict>| counts(v.author()) && !says(record, v);
        advance && commits.iter().any(|c| counts(c.commit.author()) && !has(c))
            || self.shows_for_record(core).iter().any(lacks_show)
            || self.verdicts_for_record(core).iter().any(lacks_verdict)
            || self.evidence_for_advance(core).keys().any(|peer| !out.contains(peer))
    }

    /// Whether a record lacks links of voters that are waited for, or verdicts on what these links
    /// draw, that this node has had for so long that everybody has them: once views fail, everybody
    /// repeats them. This is insisted on without end. Otherwise who proposes in a late view could
    /// take standing from all others by leaving out what they said.
    fn leaves_out_known(&self, core: &Core, record: &Record) -> bool {
        let (chain, Some(book)) = (&self.chain, self.newest_book()) else { return false };
        let out: BTreeSet<PeerId> = record.culprits().collect();
        let patience = core.run.rules.view_timeout_ms.saturating_mul(2);
        let is_old = |author: PeerId, about: PeerId| {
            let heard = book.heard.get(&(author, about));
            heard.is_some_and(|heard| core.now.since(*heard) >= patience)
        };
        let lacks = |author: PeerId| {
            let link = book.shows.get(&author).filter(|show| chain.may_show(&core.run, show));
            let Some(link) = link else { return false };
            if !record.shows.contains(link) {
                return is_old(author, author);
            }
            let verdicts = book.verdicts.values().filter(|v| {
                let about = v.body().contributor;
                v.author() == author
                    && v.body().scope == Scope::Drawn
                    && !out.contains(&about)
                    && book.commit(&about).is_some()
                    && book.own_sample_of(&author, &about).is_some()
                    && is_old(author, about)
            });
            verdicts.into_iter().any(|v| !says(record, v))
        };
        let mut awaited = chain.awaited(&core.run).into_iter().filter(|v| !out.contains(v));
        awaited.any(lacks) && !is_full(record)
    }

    fn carry_out(&mut self, core: &mut Core, output: Output) {
        let (work, run) = (&mut self.work, core.run.id);
        let height = work.height;
        match output {
            Output::Propose { view, valid_view, value } => {
                let Some(body) = work.agreement.body(&value).map(<[u8]>::to_vec) else { return };
                let proposal = Proposal { height, view, valid_view, value };
                let header = Signed::seal(&core.identity, &run, proposal);
                // The value is there, and what decides on it with it.
                work.agreement.propose(header.clone(), body.clone(), None);
                let envelope = header.envelope().clone();
                core.persist(&Entry::Proposed { header: envelope, record: body.clone().into() });
                core.broadcast(&Message::Proposal { header, record: body.into() });
            }
            Output::Vote { view, step, value } => {
                let vote = Signed::seal(&core.identity, &run, Vote { height, view, step, value });
                work.agreement.vote(vote.clone());
                core.persist(&Entry::Said(vote.envelope().clone()));
                core.broadcast(&Message::Vote(vote));
            }
            Output::Lock { view, value } => {
                let Some(body) = work.agreement.body(&value).map(<[u8]>::to_vec) else { return };
                let prevotes = work.agreement.prevotes(view, &value);
                let prevotes = prevotes.iter().map(|v| v.envelope().clone()).collect();
                core.persist(&Entry::Locked { view, record: body.into(), prevotes });
            }
            Output::View(view) => {
                if let Some(proposer) = work.agreement.proposer(view) {
                    core.notice(Notice::ViewChanged { height, view, proposer });
                }
                core.hurry_resend();
            }
            Output::Decided { view, value } => self.decided(core, view, &value),
        }
    }

    fn decided(&mut self, core: &mut Core, view: u32, value: &Hash) {
        let work = &self.work;
        let Some(body) = work.agreement.body(value) else { return };
        let votes = work.agreement.precommits(view, value);
        let signatures = votes.iter().map(|v| (v.author(), v.signature())).collect();
        let record = SignedRecord::new(body.to_vec(), Certificate { view, signatures });
        let followed = match record {
            Ok(record) => self.follow(core, record, None),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = followed {
            // Only what was checked whole is ever counted for, so this cannot be.
            self.fatal(
                core,
                format!("this program decided on a record that breaks the rules: {why}"),
            );
        }
    }
}

/// Whether a record has a verdict of this author on this work.
fn says(record: &Record, verdict: &Signed<Verdict>) -> bool {
    let about = |v: &Signed<Verdict>| (v.author(), v.body().contributor, v.body().scope);
    record.verdicts.iter().any(|v| about(v) == about(verdict))
}

/// Whether one more verdict may be too much for a record.
fn is_full(record: &Record) -> bool {
    record.to_bytes().len() + 1024 > MAX_RECORD
}
