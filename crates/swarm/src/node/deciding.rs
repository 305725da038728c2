//! What the next record is, whether somebody's is right, and what happens once it is decided.

use super::{
    Life, Node, Task,
    intake::{excluded_by, open},
    working::{Wanted, admissible},
};
use crate::{
    Action, AggregateJob, AggregateOutput, Certificate, ChainState, Commit, Contribution, Ejection,
    Evidence, Finding, Included, Kind, Member, Message, Notice, PeerId, Proposal, Record,
    RecordSummary, Signed, SignedRecord, State, Vote, WorkError,
    agreement::{Output, Validity},
    faults,
    log::Entry,
    members::member,
};
use std::collections::{BTreeMap, BTreeSet};
use store::Hash;

/// A sum of updates that a record needs.
pub struct Aggregate {
    job: AggregateJob,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Fetching,
    Waiting(crate::Time),
    Done(State),
    Bad,
}

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

    /// The state a record leads to, once this node has computed it.
    fn state_after(&mut self, record: &Record) -> Option<State> {
        let (chain, last) = (self.chain.as_ref()?, self.chain.as_ref()?.last.as_ref());
        let (base, commits) = match (record.kind, last) {
            (Kind::Advance, _) => {
                let commits: Vec<_> = record.contributions.iter().map(|c| &c.commit).collect();
                (chain.state, commits)
            }
            (Kind::Repair, Some(last)) => {
                let out: BTreeSet<PeerId> = record.culprits().collect();
                let rest = last.contributions.iter().filter(|c| !out.contains(&c.author()));
                (last.base, rest.collect())
            }
            _ => return Some(chain.state),
        };
        let updates: Vec<Included> = commits.iter().map(|c| included(c)).collect();
        if updates.is_empty() {
            return Some(base);
        }
        self.aggregate(base, updates)
    }

    fn aggregate(&mut self, base: State, updates: Vec<Included>) -> Option<State> {
        let key = aggregate_key(&base, &updates);
        let now = self.now;
        let known = self.work.as_ref()?.aggregates.get(&key).map(|a| a.stage);
        match known {
            Some(Stage::Done(state)) => return Some(state),
            Some(Stage::Waiting(time)) if time <= now => {}
            Some(_) => return None,
            None => {}
        }
        let id = self.task(Task::Aggregate(key));
        let job = AggregateJob { id, base, updates };
        let work = self.work.as_mut()?;
        work.aggregates.insert(key, Aggregate { job: job.clone(), stage: Stage::Running });
        self.out.push(Action::Aggregate(job));
        None
    }

    pub(super) fn aggregated(&mut self, id: u64, result: Result<AggregateOutput, WorkError>) {
        let Some(Task::Aggregate(key)) = self.tasks.remove(&id) else { return };
        let again = self.now.after(self.run.rules.retry_ms());
        let Some(work) = &mut self.work else { return };
        let height = work.height;
        let Some(aggregate) = work.aggregates.get_mut(&key) else { return };
        match result {
            Ok(output) => {
                aggregate.stage = Stage::Done(output.state);
                let AggregateOutput { norms, clipped, .. } = output;
                self.notice(Notice::Aggregated { height, norms, clipped });
            }
            Err(WorkError::Missing(_)) => {
                aggregate.stage = Stage::Fetching;
                let job = aggregate.job.clone();
                let mut objects = vec![job.base.model, job.base.outer];
                objects.extend(job.updates.iter().map(|u| u.update));
                let mut providers: Vec<PeerId> = job.updates.iter().map(|u| u.worker).collect();
                providers.extend(self.connected());
                self.fetch(Task::AggregateInputs(key), objects, true, providers);
            }
            Err(WorkError::BadUpdate { worker, why }) => {
                aggregate.stage = Stage::Bad;
                if let Some(slot) = work.commits.get_mut(&worker) {
                    slot.bad = true;
                }
                self.notice(Notice::Misbehaved { peer: worker, why });
            }
            Err(error) => {
                aggregate.stage = Stage::Waiting(again);
                self.work_failed(height, &error);
            }
        }
    }

    pub(super) fn aggregate_inputs_fetched(&mut self, key: Hash, missing: Option<Hash>) {
        let pause = if missing.is_some() { self.run.rules.retry_ms() } else { 0 };
        let at = self.now.after(pause);
        if let Some(aggregate) = self.work.as_mut().and_then(|w| w.aggregates.get_mut(&key)) {
            aggregate.stage = Stage::Waiting(at);
        }
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

    /// What this node got for the state of a record, if it has computed it.
    fn own_aggregate(&self, record: &Record) -> Option<State> {
        let (work, chain) = (self.work.as_ref()?, self.chain.as_ref()?);
        let (base, updates): (State, Vec<Included>) = match record.kind {
            Kind::Advance => {
                (chain.state, record.contributions.iter().map(|c| included(&c.commit)).collect())
            }
            Kind::Repair => {
                let last = chain.last.as_ref()?;
                let rest = last.contributions.iter();
                let rest = rest.filter(|c| !record.culprits().any(|p| p == c.author()));
                (last.base, rest.map(included).collect())
            }
            // The state stays; it is here if it was here.
            _ => return (work.sync == Wanted::Here).then_some(chain.state),
        };
        match work.aggregates.get(&aggregate_key(&base, &updates))?.stage {
            Stage::Done(state) => Some(state),
            _ => None,
        }
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

    /// Takes what was said for this height before a restart as said.
    pub(super) fn say_again(&mut self) {
        if self.restored.is_empty() || self.life != Life::Running {
            return;
        }
        let entries = std::mem::take(&mut self.restored);
        self.restore_verdicts(&entries);
        let Some(work) = &mut self.work else { return };
        let (height, now) = (work.height, self.now);
        let said: Vec<Said> = entries.iter().filter_map(|e| Said::of(e, height)).collect();
        let view = said.iter().filter_map(Said::view).max().unwrap_or(0);
        work.agreement.restore_view(view);
        let mut commits = Vec::new();
        for said in said {
            match said {
                Said::Commit(commit) => commits.push(commit),
                Said::Vote(vote) => {
                    work.agreement.vote(vote);
                }
                Said::Proposal(header, record, body) => {
                    work.agreement.propose(header, body, excluded_by(&record));
                }
                Said::Lock(view, record, body, prevotes) => {
                    let hash = Record::hash_of(&body);
                    work.agreement.restore_lock(view, hash, body, excluded_by(&record));
                    for vote in prevotes {
                        work.agreement.vote(vote);
                    }
                }
            }
        }
        work.agreement.resume(now);
        for commit in commits {
            self.accept_commit(commit);
        }
    }
}

/// Something said before a restart, for the height that is open.
enum Said {
    Commit(Signed<Commit>),
    Vote(Signed<Vote>),
    Proposal(Signed<Proposal>, Box<Record>, Vec<u8>),
    Lock(u32, Box<Record>, Vec<u8>, Vec<Signed<Vote>>),
}

impl Said {
    fn of(entry: &Entry, height: u64) -> Option<Self> {
        match entry {
            Entry::Said(envelope) => {
                let commit = open::<Commit>(envelope).filter(|c| c.body().height == height);
                let vote = open::<Vote>(envelope).filter(|v| v.body().height == height);
                commit.map(Self::Commit).or(vote.map(Self::Vote))
            }
            Entry::Proposed { header, record } => {
                let header = open::<Proposal>(header).filter(|h| h.body().height == height)?;
                let body = record.to_vec();
                Some(Self::Proposal(header, Box::new(Record::from_bytes(&body).ok()?), body))
            }
            Entry::Locked { view, record, prevotes } => {
                let body = record.to_vec();
                let record = Record::from_bytes(&body).ok().filter(|r| r.height == height)?;
                let prevotes = prevotes.iter().filter_map(open::<Vote>).collect();
                Some(Self::Lock(*view, Box::new(record), body, prevotes))
            }
            Entry::Record(_) | Entry::Clock { .. } => None,
        }
    }

    fn view(&self) -> Option<u32> {
        match self {
            Self::Commit(_) => None,
            Self::Vote(vote) => Some(vote.body().view),
            Self::Proposal(header, _, _) => Some(header.body().view),
            Self::Lock(view, ..) => Some(*view),
        }
    }
}

fn included(commit: &Signed<Commit>) -> Included {
    let body = commit.body();
    Included { worker: commit.author(), steps: body.steps, update: body.update }
}

fn aggregate_key(base: &State, updates: &[Included]) -> Hash {
    let mut parts = vec![base.root().0];
    for update in updates {
        let steps = Hash::of(&update.steps.to_le_bytes()).0;
        parts.extend([update.worker.0, update.update.hash.0, steps]);
    }
    let parts: Vec<&[u8]> = parts.iter().map(<[u8; 32]>::as_slice).collect();
    Hash::of_parts("understory swarm 1 aggregate", &parts)
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
