//! The work of one height: checkpoint, training, commit, reveal, receipts.

use super::{Node, Task};
use crate::{
    Action, ChainState, Commit, Have, Message, Notice, ObjectRef, PeerId, Phase, Reveal, Rules,
    Signed, Time, TrainJob, TrainOutput, Urgency, WorkError, agreement::Agreement, faults,
    log::Entry, message::secret_hash,
};
use std::collections::{BTreeMap, BTreeSet};
use store::Hash;

use super::{adding::Aggregate, deciding::Checked};

/// A job that failed is tried so many times for one height.
const TRIES: u32 = 3;

/// Everything about the height after the head.
pub struct Work {
    pub height: u64,
    /// When this node got here.
    pub since: Time,
    pub sync: Wanted,
    training: Option<Training>,
    tries: u32,
    retry_at: Time,
    trained_ms: u64,
    pub commits: BTreeMap<PeerId, Slot>,
    pub reveals: BTreeMap<PeerId, Signed<Reveal>>,
    /// By hash of the commit, then by holder.
    haves: BTreeMap<Hash, BTreeMap<PeerId, Signed<Have>>>,
    pub agreement: Agreement,
    pub aggregates: BTreeMap<Hash, Aggregate>,
    pub checked: BTreeMap<Hash, Checked>,
}

struct Training {
    job: TrainJob,
    since: Time,
}

/// One member's contribution, as far as it is known here.
pub struct Slot {
    pub commit: Signed<Commit>,
    pub update: Wanted,
    /// The update does not decode.
    pub bad: bool,
}

/// Something to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// From this time on.
    At(Time),
    Fetching(u64),
    Here,
}

impl Work {
    fn new(height: u64, now: Time, agreement: Agreement) -> Self {
        Self {
            height,
            since: now,
            sync: Wanted::At(now),
            training: None,
            tries: 0,
            retry_at: now,
            trained_ms: 0,
            commits: BTreeMap::new(),
            reveals: BTreeMap::new(),
            haves: BTreeMap::new(),
            agreement,
            aggregates: BTreeMap::new(),
            checked: BTreeMap::new(),
        }
    }

    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    pub fn has_committed(&self, peer: &PeerId) -> bool {
        self.commits.contains_key(peer)
    }

    pub fn age(&self, now: Time) -> u64 {
        now.since(self.since)
    }

    pub fn haves(&self, commit: &Hash) -> impl Iterator<Item = &Signed<Have>> {
        self.haves.get(commit).into_iter().flat_map(|h| h.values())
    }

    pub fn haves_of(&self, holder: &PeerId) -> impl Iterator<Item = Signed<Have>> {
        self.haves.values().filter_map(|h| h.get(holder).cloned())
    }

    /// One receipt per holder and commit, and no more commits per holder than there are members.
    pub fn has_room_for(&self, have: &Signed<Have>) -> bool {
        let of_commit = self.haves.get(&have.body().commit);
        let known = of_commit.is_some_and(|h| h.contains_key(&have.author()));
        !known && self.haves_of(&have.author()).count() < 2 * crate::MAX_MEMBERS as usize
    }

    /// When something may have to happen without anything else happening.
    pub fn deadlines(&self, rules: &Rules) -> Vec<Time> {
        let at = |ms: u64| self.since.after(ms);
        let mut times = vec![
            at(rules.commit_timeout_ms),
            at(rules.commit_timeout_ms.saturating_add(rules.view_timeout_ms)),
            at(rules.audit_timeout_ms / 2),
            at(rules.audit_timeout_ms),
            at(rules.audit_timeout_ms.saturating_mul(2)),
            self.retry_at,
        ];
        times.extend(self.agreement.deadline());
        let fetches = self.commits.values().map(|s| s.update).chain([self.sync]);
        times.extend(fetches.filter_map(|w| match w {
            Wanted::At(time) => Some(time),
            _ => None,
        }));
        times
    }

    pub fn phase(&self, rounds_done: bool, me: &PeerId) -> Phase {
        if self.agreement.has_begun() {
            Phase::Deciding
        } else if rounds_done {
            Phase::Auditing
        } else if self.has_committed(me) {
            Phase::Committed
        } else if self.sync == Wanted::Here {
            Phase::Training
        } else {
            Phase::Syncing
        }
    }
}

impl Node {
    /// Starts on the height after the head.
    pub(super) fn open_height(&mut self) {
        let Some(chain) = &self.chain else { return };
        let agreement = Agreement::new(
            chain.height + 1,
            chain.voters(&self.run),
            self.id(),
            chain.beacon,
            self.run.rules.view_timeout_ms,
        );
        self.work = Some(Work::new(chain.height + 1, self.now, agreement));
        self.say_again();
        self.prune_joins();
        self.take_in_early();
        self.hurry_resend();
    }

    /// Gets the head's state into the store. An aggregate made here is there already.
    pub(super) fn sync(&mut self) -> bool {
        let (Some(work), Some(chain)) = (&self.work, &self.chain) else { return false };
        let due = matches!(work.sync, Wanted::At(time) if time <= self.now);
        if !due {
            return false;
        }
        let (models, objects) = (vec![chain.state.model], vec![chain.state.outer]);
        let providers = self.connected();
        let id = self.fetch(Task::Sync, objects, models, providers);
        if let Some(work) = &mut self.work {
            work.sync = Wanted::Fetching(id);
        }
        true
    }

    pub(super) fn synced(&mut self, missing: Option<Hash>) {
        let again = self.now.after(self.run.rules.retry_ms());
        if let Some(work) = &mut self.work {
            work.sync = match missing {
                None => Wanted::Here,
                Some(_) => Wanted::At(again),
            };
        }
    }

    pub(super) fn fetch(
        &mut self,
        task: Task,
        objects: Vec<ObjectRef>,
        models: Vec<ObjectRef>,
        mut providers: Vec<PeerId>,
    ) -> u64 {
        let me = self.id();
        providers.retain(|p| *p != me);
        let mut seen = BTreeSet::new();
        providers.retain(|p| seen.insert(*p));
        let urgency = match task {
            Task::Sync => Urgency::Checkpoint,
            Task::AuditInputs(_) | Task::Audit(_) => Urgency::Audit,
            Task::Update(_) | Task::Aggregate(_) | Task::AggregateInputs(_) => Urgency::Round,
        };
        let id = self.task(task);
        self.out.push(Action::Fetch { id, objects, models, providers, urgency });
        id
    }

    /// Starts training once the checkpoint is here.
    pub(super) fn train(&mut self) -> bool {
        let (Some(work), Some(chain)) = (&self.work, &self.chain) else { return false };
        let ready = work.sync == Wanted::Here
            && work.training.is_none()
            && work.tries < TRIES
            && work.retry_at <= self.now
            && !work.has_committed(&self.id())
            && chain.round < self.run.rules.rounds;
        let Some(member) = self.standing().filter(|m| m.active && ready) else { return false };
        let rules = &self.run.rules;
        let steps = self.pace.steps(rules, self.now, rules.rounds - chain.round);
        let job = TrainJob {
            height: chain.height + 1,
            round: chain.round,
            base: chain.state,
            beacon: chain.beacon,
            worker: self.id(),
            steps,
            leaf_every: rules.leaf_every,
            carry: member.carry,
        };
        self.steps = steps;
        let since = self.now;
        if let Some(work) = &mut self.work {
            work.training = Some(Training { job: job.clone(), since });
        }
        self.out.push(Action::Train(job));
        true
    }

    pub(super) fn trained(&mut self, height: u64, result: Result<TrainOutput, WorkError>) {
        let Some(work) = self.work.as_mut().filter(|w| w.height == height) else { return };
        let Some(Training { job, since }) = work.training.take() else { return };
        match result {
            Ok(output) => {
                let ms = self.now.since(since);
                work.trained_ms = ms;
                self.pace.trained(job.steps, ms);
                self.commit(&job, output);
            }
            Err(WorkError::NonFinite { step, what }) => {
                let root = job.base.model.hash;
                self.fatal(format!(
                    "training gave a non-finite {what} at step {step} of round {}; \
                     the last good root is {root}",
                    job.round
                ));
            }
            Err(error) => {
                work.tries += 1;
                work.retry_at = self.now.after(self.run.rules.retry_ms());
                if let WorkError::Missing(_) = error {
                    work.sync = Wanted::At(work.retry_at);
                }
                self.work_failed(height, &error);
            }
        }
    }

    fn commit(&mut self, job: &TrainJob, output: TrainOutput) {
        let secret = self.secret(job.height);
        let commit = Commit {
            height: job.height,
            round: job.round,
            base: job.base.root(),
            steps: job.steps,
            leaves: output.leaves,
            update: output.update,
            carry_before: job.carry,
            carry: output.carry,
            secret_hash: secret_hash(&secret),
        };
        let commit = Signed::seal(&self.identity, &self.run.id, commit);
        let Some(chain) = &self.chain else { return };
        if let Err(why) = chain.check_commit(&self.run, &commit) {
            return self.fatal(format!("training gave what the run's rules do not allow: {why}"));
        }
        self.out.push(Action::Keep { objects: objects_of(&commit) });
        self.persist(&Entry::Said(commit.envelope().clone()));
        self.broadcast(&Message::Commit(commit.clone()));
        self.accept_commit(commit);
        self.hurry_resend();
    }

    fn secret(&self, height: u64) -> Hash {
        self.identity.derive("beacon secret", &[&self.run.id.0, &height.to_le_bytes()])
    }

    /// Takes in a commit that was checked.
    pub(super) fn accept_commit(&mut self, commit: Signed<Commit>) {
        let (author, me, now) = (commit.author(), self.id(), self.now);
        let Some(work) = &mut self.work else { return };
        let update = if author == me { Wanted::Here } else { Wanted::At(now) };
        let (height, steps) = (work.height, commit.body().steps);
        work.commits.insert(author, Slot { commit, update, bad: false });
        self.notice(Notice::Committed { peer: author, height, steps });
    }

    pub(super) fn accept_reveal(&mut self, reveal: Signed<Reveal>) {
        if let Some(work) = &mut self.work {
            work.reveals.insert(reveal.author(), reveal);
        }
    }

    pub(super) fn accept_have(&mut self, have: Signed<Have>) {
        if let Some(work) = &mut self.work {
            work.haves.entry(have.body().commit).or_default().insert(have.author(), have);
        }
    }

    /// Fetches committed updates, and shows the secret when the time has come.
    pub(super) fn collect(&mut self) -> bool {
        self.fetch_an_update() || self.reveal()
    }

    fn fetch_an_update(&mut self) -> bool {
        let (Some(work), Some(chain)) = (&self.work, &self.chain) else { return false };
        let due = |slot: &Slot| matches!(slot.update, Wanted::At(time) if time <= self.now);
        let Some((&author, slot)) = work.commits.iter().find(|(_, s)| due(s)) else {
            return false;
        };
        let mut providers = vec![author];
        providers.extend(work.haves(&slot.commit.hash()).map(Signed::author));
        providers.retain(|p| !chain.ejected.contains(p));
        let objects = vec![slot.commit.body().update];
        let id = self.fetch(Task::Update(author), objects, Vec::new(), providers);
        if let Some(slot) = self.work.as_mut().and_then(|w| w.commits.get_mut(&author)) {
            slot.update = Wanted::Fetching(id);
        }
        true
    }

    pub(super) fn update_fetched(&mut self, author: &PeerId, missing: Option<Hash>) {
        let again = self.now.after(self.run.rules.retry_ms());
        let Some(work) = &mut self.work else { return };
        let Some(slot) = work.commits.get_mut(author) else { return };
        if missing.is_some() {
            slot.update = Wanted::At(again);
            return;
        }
        slot.update = Wanted::Here;
        let have = Have { height: work.height, commit: slot.commit.hash() };
        if self.is_active() {
            let have = Signed::seal(&self.identity, &self.run.id, have);
            self.broadcast(&Message::Have(have.clone()));
            self.accept_have(have);
        }
    }

    /// Shows this node's secret once the commits are closed: everybody has committed, the time is
    /// up, or so many others have shown theirs that one of them is honest.
    fn reveal(&mut self) -> bool {
        let (Some(work), Some(chain)) = (&self.work, &self.chain) else { return false };
        let me = self.id();
        if !work.has_committed(&me) || work.reveals.contains_key(&me) {
            return false;
        }
        let everybody = chain.active().all(|m| work.has_committed(&m.id));
        let late = work.age(self.now) >= self.run.rules.commit_timeout_ms;
        let shown = work.reveals.len() > faults(chain.active().count()) && chain.members.len() > 3;
        if !everybody && !late && !shown {
            return false;
        }
        let height = work.height;
        let reveal = Reveal { height, secret: self.secret(height) };
        let reveal = Signed::seal(&self.identity, &self.run.id, reveal);
        self.broadcast(&Message::Reveal(reveal.clone()));
        self.accept_reveal(reveal);
        self.hurry_resend();
        true
    }

    /// Ends what was under way for the height that is over.
    pub(super) fn close_work(&mut self) {
        let Some(work) = self.work.take() else { return };
        if work.is_training() {
            self.out.push(Action::CancelTrain);
        }
        let overhead = work.age(self.now).saturating_sub(work.trained_ms);
        if work.trained_ms > 0 {
            self.pace.height_done(overhead);
        }
        let fetching = work.commits.values().map(|s| s.update).chain([work.sync]);
        for wanted in fetching.collect::<Vec<_>>() {
            if let Wanted::Fetching(id) = wanted {
                self.tasks.remove(&id);
                self.out.push(Action::CancelFetch { id });
            }
        }
        self.drop_void(&work);
    }

    /// This node's own contribution was not included: nobody will audit it.
    fn drop_void(&mut self, work: &Work) {
        let (Some(slot), Some(chain)) = (work.commits.get(&self.id()), &self.chain) else { return };
        let included = chain.last.as_ref().is_some_and(|last| {
            last.height == work.height && last.contributions.contains(&slot.commit)
        });
        if !included {
            self.out.push(Action::Drop { objects: objects_of(&slot.commit) });
        }
    }
}

/// What a contribution is made of.
fn objects_of(commit: &Signed<Commit>) -> Vec<ObjectRef> {
    let body = commit.body();
    let mut objects = body.leaves.clone();
    objects.extend([body.update, body.carry]);
    objects
}

/// The contribution's objects, but not what the run's history needs to be re-run.
pub(super) fn leaves_of(commits: &[Signed<Commit>]) -> Vec<ObjectRef> {
    commits.iter().flat_map(|c| c.body().leaves.iter().copied()).collect()
}

/// Whether a member's contribution can go into a record: committed, revealed, held by others.
pub(super) fn admissible(
    work: &Work,
    chain: &ChainState,
    peer: &PeerId,
) -> Option<crate::Contribution> {
    let slot = work.commits.get(peer)?;
    let secret = work.reveals.get(peer)?.body().secret;
    if secret_hash(&secret) != slot.commit.body().secret_hash {
        return None;
    }
    let counts = |holder: &PeerId| {
        holder != peer && crate::members::member(&chain.members, holder).is_some_and(|m| m.active)
    };
    let hash = slot.commit.hash();
    let haves: Vec<Signed<Have>> = work
        .haves(&hash)
        .filter(|h| counts(&h.author()))
        .take(chain.haves_needed())
        .cloned()
        .collect();
    let enough = haves.len() >= chain.haves_needed();
    let here = slot.update == Wanted::Here && !slot.bad;
    (enough && here).then(|| crate::Contribution { commit: slot.commit.clone(), secret, haves })
}
