//! What the next record is, and whether somebody's is right.

use super::{
    Node,
    intake::excluded_by,
    working::{Wanted, admissible},
};
use crate::{
    Certificate, ChainState, Ejection, Evidence, Finding, Kind, Message, Notice, PeerId, Proposal,
    Record, Signed, SignedRecord, Vote,
    agreement::{Output, Validity},
    faults,
    log::Entry,
    members::member,
};
use std::collections::{BTreeMap, BTreeSet};
use store::Hash;

/// A proposed record, and what this node makes of it.
pub enum Checked {
    Good(Box<Record>),
    Bad,
}

impl Node {
    /// Proposes, votes, decides.
    pub(super) fn decide(&mut self) -> bool {
        let due = self.due();
        let guilty = self.guilty();
        let now = self.now;
        let Some(work) = &mut self.work else { return false };
        work.agreement.discount(guilty);
        if let Some(kind) = due {
            work.agreement.begin(now);
            if work.agreement.wants_value() {
                self.offer(kind);
            }
        }
        self.judge();
        let Some(work) = &mut self.work else { return false };
        let outputs = work.agreement.run(now);
        let moved = !outputs.is_empty();
        for output in outputs {
            self.carry_out(output);
        }
        moved
    }

    /// Which record this node thinks is due.
    fn due(&self) -> Option<Kind> {
        let (work, chain, rules) = (self.work.as_ref()?, self.chain.as_ref()?, &self.run.rules);
        if work.sync != Wanted::Here {
            return None;
        }
        let age = work.age(self.now);
        if self.must_repair() {
            return Some(Kind::Repair);
        }
        let audited =
            age >= rules.audit_timeout_ms || self.audits_are_done() && !self.is_disputed();
        if !audited {
            None
        } else if chain.round >= rules.rounds {
            Some(Kind::Close)
        } else {
            self.contributions_are_in().then_some(Kind::Advance)
        }
    }

    /// Whether only a repair is right: somebody is guilty, and there is time left to agree on it.
    fn must_repair(&self) -> bool {
        let Some(work) = &self.work else { return false };
        let patience = self.run.rules.audit_timeout_ms.saturating_mul(2);
        work.age(self.now) < patience && !self.guilty().is_empty()
    }

    /// Everybody's contribution is here, or the time is up and what was committed is here, or the
    /// time for that is up too and there is at least one.
    fn contributions_are_in(&self) -> bool {
        let (Some(work), Some(chain)) = (&self.work, &self.chain) else { return false };
        let (age, rules) = (work.age(self.now), &self.run.rules);
        let expected = chain.active().filter(|m| !self.evidence.contains_key(&m.id));
        let (mut here, mut committed, mut missing) = (0, 0, 0);
        for member in expected {
            match admissible(work, chain, &member.id) {
                Some(_) => here += 1,
                None if work.commits.get(&member.id).is_some_and(|s| !s.bad) => committed += 1,
                None => missing += 1,
            }
        }
        let closed = rules.commit_timeout_ms;
        let over = closed.saturating_add(rules.view_timeout_ms);
        here > 0 && (committed + missing == 0 || committed == 0 && age >= closed || age >= over)
    }

    /// Makes the record that is due, as soon as its state is known.
    fn offer(&mut self, kind: Kind) {
        let draft = match kind {
            Kind::Repair => self.repair(),
            Kind::Close => self.ordinary(Kind::Close),
            _ => self.ordinary(Kind::Advance),
        };
        let Some(mut record) = draft else { return };
        let Some(state) = self.state_after(&record) else { return };
        record.state = state;
        let Some(chain) = &self.chain else { return };
        let expected = chain.expected(&self.run, &record);
        record.members = expected.members;
        record.beacon = expected.beacon;
        record.round = expected.round;
        let body = record.to_bytes();
        let hash = Record::hash_of(&body);
        if let Err(why) = ChainState::after(Some(chain), &self.run, &record, hash, &self.cache) {
            // Something that looked right by itself does not fit: better none than a wrong one.
            return self.notice(Notice::WorkFailed { height: record.height, why });
        }
        let excluded = excluded_by(&record);
        if let Some(work) = &mut self.work {
            work.checked.insert(hash, Checked::Good(Box::new(record)));
            work.agreement.offer(hash, body, excluded);
        }
    }

    fn blank(&self, kind: Kind, evidence: BTreeMap<PeerId, Evidence>) -> Option<Record> {
        let chain = self.chain.as_ref()?;
        let ejected = evidence.into_iter().map(|(peer, evidence)| Ejection { peer, evidence });
        Some(Record {
            run: self.run.id,
            height: chain.height + 1,
            kind,
            round: chain.round,
            prev: chain.hash,
            members: Vec::new(),
            joins: Vec::new(),
            contributions: Vec::new(),
            verdicts: Vec::new(),
            ejected: ejected.collect(),
            state: chain.state,
            beacon: chain.beacon,
        })
    }

    fn repair(&self) -> Option<Record> {
        self.blank(Kind::Repair, self.evidence_for_repair())
    }

    fn ordinary(&self, kind: Kind) -> Option<Record> {
        let (chain, work) = (self.chain.as_ref()?, self.work.as_ref()?);
        let mut record = self.blank(kind, self.evidence_for_advance())?;
        let out: BTreeSet<PeerId> = record.culprits().collect();
        record.verdicts = self.verdicts_for_record();
        if kind == Kind::Advance {
            let members = chain.active().map(|m| m.id).filter(|m| !out.contains(m));
            record.contributions = members.filter_map(|m| admissible(work, chain, &m)).collect();
            let room = self.run.rules.max_members as usize;
            let mut count = chain.members.len();
            let joins = self.joins.values().filter(|j| !out.contains(&j.author()));
            for join in joins.filter(|j| chain.may_join(j)) {
                let fresh = member(&chain.members, &join.author()).is_none();
                if !fresh || count < room {
                    count += usize::from(fresh);
                    record.joins.push(join.clone());
                }
            }
            if record.contributions.is_empty() {
                return None;
            }
        }
        Some(record)
    }

    /// Finds out about proposed records what can be found out by now.
    fn judge(&mut self) {
        let pending = self.work.as_ref().map_or(Vec::new(), |w| w.agreement.pending());
        for hash in pending {
            let validity = match self.read(&hash) {
                Some(record) => self.votable(&hash, &record),
                None => Validity::Invalid,
            };
            if let Some(work) = &mut self.work {
                work.agreement.judge(&hash, validity);
            }
        }
    }

    /// A proposed record, if it may follow the head.
    fn read(&mut self, hash: &Hash) -> Option<Record> {
        let work = self.work.as_ref()?;
        if let Some(checked) = work.checked.get(hash) {
            return match checked {
                Checked::Good(record) => Some(record.as_ref().clone()),
                Checked::Bad => None,
            };
        }
        let record = Record::from_bytes(work.agreement.body(hash)?).ok()?;
        let chain = self.chain.as_ref();
        let checked = ChainState::after(chain, &self.run, &record, *hash, &self.cache);
        let good = checked.is_ok();
        if let Err(why) = checked {
            let view = work.agreement.view();
            let peer = work.agreement.proposer_of(hash).or(work.agreement.proposer(view))?;
            self.notice(Notice::Misbehaved { peer, why });
        }
        let checked = match good {
            true => Checked::Good(Box::new(record.clone())),
            false => Checked::Bad,
        };
        self.work.as_mut()?.checked.insert(*hash, checked);
        good.then_some(record)
    }

    /// Whether this node may vote for a record that follows the rules.
    fn votable(&mut self, hash: &Hash, record: &Record) -> Validity {
        let policy = match record.kind {
            Kind::Repair => self.may_repair(record),
            _ => self.may_go_on(hash, record),
        };
        if policy != Validity::Valid {
            return policy;
        }
        if self.has_bad_update(record) {
            return Validity::Invalid;
        }
        match self.state_after(record) {
            None => Validity::Pending,
            Some(state) if state == record.state => Validity::Valid,
            Some(_) => Validity::Invalid,
        }
    }

    fn has_bad_update(&self, record: &Record) -> bool {
        let Some(work) = &self.work else { return false };
        record.contributions.iter().any(|c| {
            let slot = work.commits.get(&c.commit.author());
            slot.is_some_and(|s| s.bad && s.commit == c.commit)
        })
    }

    /// A repair ejects: that takes this node's own re-run of what every culprit did.
    fn may_repair(&self, record: &Record) -> Validity {
        record.ejected.iter().map(|e| self.may_eject(e)).max().unwrap_or(Validity::Invalid)
    }

    fn may_eject(&self, ejection: &Ejection) -> Validity {
        match &ejection.evidence {
            Evidence::Mismatch { height, .. } => match self.own_finding(*height, &ejection.peer) {
                None => Validity::Pending,
                Some(Finding::Mismatch { .. }) => Validity::Valid,
                Some(_) => Validity::Invalid,
            },
            Evidence::FalseAccusation { accusation, .. } => {
                let body = accusation.body();
                match self.own_finding(body.height, &body.contributor) {
                    Some(Finding::Mismatch { .. }) => Validity::Invalid,
                    _ => Validity::Valid,
                }
            }
            Evidence::Equivocation { .. } => Validity::Valid,
        }
    }

    /// An advance or the end: not while a repair is right, a dispute or an audit is open, or
    /// somebody is left out who still has time.
    fn may_go_on(&self, hash: &Hash, record: &Record) -> Validity {
        let (Some(work), Some(chain)) = (&self.work, &self.chain) else {
            return Validity::Pending;
        };
        let (age, rules) = (work.age(self.now), &self.run.rules);
        let audits = self.audits_are_done() && !self.is_disputed();
        if self.must_repair() || !audits && age < rules.audit_timeout_ms {
            return Validity::Pending;
        }
        let eject = record.ejected.iter().map(|e| self.may_eject(e)).max();
        if let Some(validity) = eject.filter(|v| *v != Validity::Valid) {
            return validity;
        }
        let left_out = record.kind == Kind::Advance
            && chain.active().any(|m| {
                !self.evidence.contains_key(&m.id)
                    && !record.culprits().any(|c| c == m.id)
                    && !record.contributions.iter().any(|c| c.commit.author() == m.id)
            });
        // Somebody honest saw the time pass: this node may just have come back.
        let voters = chain.voters(&self.run).len();
        let seconded = work.agreement.prevotes_by_others(hash) > faults(voters);
        if left_out && age < rules.commit_timeout_ms && !seconded {
            return Validity::Pending;
        }
        Validity::Valid
    }

    fn carry_out(&mut self, output: Output) {
        let (Some(work), run) = (&mut self.work, self.run.id) else { return };
        let height = work.height;
        match output {
            Output::Propose { view, valid_view, value } => {
                let Some(body) = work.agreement.body(&value).map(<[u8]>::to_vec) else { return };
                let Ok(record) = Record::from_bytes(&body) else { return };
                let proposal = Proposal { height, view, valid_view, value };
                let header = Signed::seal(&self.identity, &run, proposal);
                work.agreement.propose(header.clone(), body.clone(), excluded_by(&record));
                let envelope = header.envelope().clone();
                self.persist(&Entry::Proposed { header: envelope, record: body.clone().into() });
                self.broadcast(&Message::Proposal { header, record: body.into() });
            }
            Output::Vote { view, step, value } => {
                let vote = Signed::seal(&self.identity, &run, Vote { height, view, step, value });
                work.agreement.vote(vote.clone());
                self.persist(&Entry::Said(vote.envelope().clone()));
                self.broadcast(&Message::Vote(vote));
            }
            Output::Lock { view, value } => {
                let Some(body) = work.agreement.body(&value).map(<[u8]>::to_vec) else { return };
                let prevotes = work.agreement.prevotes(view, &value);
                let prevotes = prevotes.iter().map(|v| v.envelope().clone()).collect();
                self.persist(&Entry::Locked { view, record: body.into(), prevotes });
            }
            Output::View(view) => {
                if let Some(proposer) = work.agreement.proposer(view) {
                    self.notice(Notice::ViewChanged { height, view, proposer });
                }
                self.hurry_resend();
            }
            Output::Decided { view, value } => self.decided(view, &value),
        }
    }

    fn decided(&mut self, view: u32, value: &Hash) {
        let Some(work) = &self.work else { return };
        let Some(body) = work.agreement.body(value) else { return };
        let votes = work.agreement.precommits(view, value);
        let signatures = votes.iter().map(|v| (v.author(), v.signature())).collect();
        let record = SignedRecord::new(body.to_vec(), Certificate { view, signatures });
        let followed = match record {
            Ok(record) => self.follow(record, None),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = followed {
            self.fatal(format!("a quorum decided on a record that breaks the rules: {why}"));
        }
    }
}
