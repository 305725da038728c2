//! The work of one height: checkpoint, training, commit, receipts.

use super::{Core, Running, Task};
use crate::{
    Action, ChainState, Commit, Have, Message, Notice, ObjectRef, Phase, Record, Rules, Run,
    Signed, Time, TrainJob, Trained, WorkError, agreement::Agreement, log::Entry,
};
use ids::{Hash, PeerId};
use std::collections::BTreeMap;

use super::adding::Aggregate;

/// A job that failed is tried so many times for one height.
const TRIES: u32 = 3;

/// The longest pause before a job is tried again that this machine could not do.
const MAX_PAUSE_MS: u64 = 30_000;

/// Everything about the height after the head.
pub struct Work {
    pub height: u64,
    /// When this node got here.
    pub since: Time,
    pub sync: Wanted,
    training: Option<Training>,
    tries: u32,
    /// How often in a row this machine could not, for a cause that may pass.
    held: u32,
    retry_at: Time,
    trained_ms: u64,
    /// States that this node kept while it trained.
    kept: Vec<ObjectRef>,
    /// Since when this node thinks that a record is due.
    pub due_since: Option<Time>,
    /// The settled voters' contributions are in: so long voters among the newcomers have.
    pub grace_until: Option<Time>,
    pub commits: BTreeMap<PeerId, Slot>,
    /// By hash of the commit, then by holder.
    haves: BTreeMap<Hash, BTreeMap<PeerId, Signed<Have>>>,
    pub agreement: Agreement,
    pub aggregates: BTreeMap<Hash, Aggregate>,
    /// Proposed records that are not judged for good, so that their bytes are read once.
    pub proposed: BTreeMap<Hash, Record>,
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
    /// On the record after the head of this chain.
    pub fn after(core: &Core, chain: &ChainState) -> Self {
        let (height, now) = (chain.height + 1, core.now);
        let electorate = chain.electorate(&core.run);
        let view_ms = core.run.rules.view_timeout_ms;
        let agreement = Agreement::new(height, electorate, core.id(), chain.beacon, view_ms);
        Self {
            height,
            since: now,
            sync: Wanted::At(now),
            training: None,
            tries: 0,
            held: 0,
            retry_at: now,
            trained_ms: 0,
            kept: Vec::new(),
            due_since: None,
            grace_until: None,
            commits: BTreeMap::new(),
            haves: BTreeMap::new(),
            agreement,
            aggregates: BTreeMap::new(),
            proposed: BTreeMap::new(),
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

    /// When something may have to happen without anything else happening; `audits_ms` is what audits
    /// have.
    pub fn deadlines(&self, rules: &Rules, audits_ms: u64) -> Vec<Time> {
        let at = |ms: u64| self.since.after(ms);
        let mut times = vec![
            at(rules.commit_timeout_ms),
            at(rules.commit_timeout_ms.saturating_add(rules.view_timeout_ms)),
            at(rules.draw_timeout_ms),
            at(audits_ms),
            at(audits_ms.saturating_mul(2)),
            at(audits_ms.saturating_mul(3)),
            self.retry_at,
        ];
        let patience = rules.view_timeout_ms.saturating_mul(2);
        times.extend(self.due_since.map(|since| since.after(patience)));
        times.extend(self.grace_until);
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

impl Running {
    /// Gets the head's state into the store. An aggregate made here is there already.
    pub(super) fn sync(&mut self, core: &mut Core) -> bool {
        let (work, chain) = (&self.work, &self.chain);
        let due = matches!(work.sync, Wanted::At(time) if time <= core.now);
        if !due {
            return false;
        }
        let (outer, model) = (vec![chain.state.outer], vec![chain.state.model]);
        let providers = core.connected();
        let id = core.fetch(Task::Sync, outer, model, providers);
        self.work.sync = Wanted::Fetching(id);
        true
    }

    pub(super) fn synced(&mut self, core: &mut Core, missing: Option<Hash>) {
        let again = core.now.after(core.run.rules.retry_ms());
        self.work.sync = match missing {
            None => Wanted::Here,
            Some(_) => Wanted::At(again),
        };
    }

    /// Starts training once the checkpoint is here.
    pub(super) fn train(&mut self, core: &mut Core) -> bool {
        let (work, chain) = (&self.work, &self.chain);
        let ready = work.sync == Wanted::Here
            && work.training.is_none()
            && work.tries < TRIES
            && work.retry_at <= core.now
            && !work.has_committed(&core.id())
            && chain.round < core.run.rules.rounds;
        let Some(member) = self.own_line(core).filter(|_| ready) else { return false };
        let rules = &core.run.rules;
        let steps = match member.votes(rules) {
            true => core.pace.steps(rules, core.now, rules.rounds - chain.round),
            false => rules.steps_min,
        };
        let job = TrainJob {
            height: chain.height + 1,
            round: chain.round,
            base: chain.state,
            beacon: chain.beacon,
            worker: core.id(),
            steps,
            carry: member.carry,
        };
        core.steps = steps;
        let since = core.now;
        self.work.training = Some(Training { job: job.clone(), since });
        core.out.push(Action::Train(job));
        true
    }

    pub(super) fn trained(
        &mut self,
        core: &mut Core,
        height: u64,
        result: Result<Trained, WorkError>,
    ) {
        let work = &mut self.work;
        // Of a height that is over.
        let Some(Training { job, since }) = work.training.take_if(|_| work.height == height) else {
            return;
        };
        match result {
            Ok(trained) => {
                let ms = core.now.since(since);
                work.trained_ms = ms;
                core.pace.trained(job.steps, ms);
                self.commit(core, &job, trained);
            }
            Err(WorkError::NonFinite { step, what }) => {
                let root = job.base.model.hash;
                self.fatal(
                    core,
                    format!(
                        "training gave a non-finite {what} at step {step} of round {}; \
                     the last good root is {root}",
                        job.round
                    ),
                );
            }
            Err(error @ WorkError::Passing(_)) => {
                let pause = core.run.rules.retry_ms() << work.held.min(16);
                work.held += 1;
                work.retry_at = core.now.after(pause.min(MAX_PAUSE_MS));
                core.work_failed(height, &error);
            }
            Err(error) => {
                work.tries += 1;
                work.retry_at = core.now.after(core.run.rules.retry_ms());
                if let WorkError::Missing(_) = error {
                    work.sync = Wanted::At(work.retry_at);
                }
                core.work_failed(height, &error);
            }
        }
    }

    fn commit(&mut self, core: &mut Core, job: &TrainJob, Trained { output, kept }: Trained) {
        let commit = Commit {
            height: job.height,
            round: job.round,
            base: job.base.hash(),
            steps: job.steps,
            trail: output.trail,
            update: output.update,
            carry_before: job.carry,
            carry: output.carry,
        };
        let commit = Signed::seal(&core.identity, &core.run.id, commit);
        let chain = &self.chain;
        if let Err(why) = chain.check_commit(&core.run, &commit) {
            return self
                .fatal(core, format!("training gave what the run's rules do not allow: {why}"));
        }
        let states = kept.iter().chain([&output.trail]).map(|o| o.hash).collect();
        core.note_stored(job.height, states);
        self.work.kept = kept;
        core.persist(&Entry::Said(commit.envelope().clone()));
        core.broadcast(&Message::Commit(commit.clone()));
        self.accept_commit(core, commit);
        core.hurry_resend();
    }

    /// Takes in a commit that was checked.
    pub(super) fn accept_commit(&mut self, core: &mut Core, commit: Signed<Commit>) {
        let (author, me, now) = (commit.author(), core.id(), core.now);
        let work = &mut self.work;
        let update = if author == me { Wanted::Here } else { Wanted::At(now) };
        let (height, steps) = (work.height, commit.body().steps);
        work.commits.insert(author, Slot { commit, update, bad: false });
        core.notice(Notice::Committed { peer: author, height, steps });
    }

    pub(super) fn accept_have(&mut self, have: Signed<Have>) {
        self.work.haves.entry(have.body().commit).or_default().insert(have.author(), have);
    }

    /// Fetches committed updates, and the trails that they are checked by; of members in probation
    /// also the carry. So whoever votes has all that an audit of their next contribution takes, and
    /// they can hold up none.
    pub(super) fn collect(&mut self, core: &mut Core) -> bool {
        let (work, chain) = (&self.work, &self.chain);
        let due = |slot: &Slot| matches!(slot.update, Wanted::At(time) if time <= core.now);
        let Some((&author, slot)) = work.commits.iter().find(|(_, s)| due(s)) else {
            return false;
        };
        let mut providers = vec![author];
        providers.extend(work.haves(&slot.commit.hash()).map(Signed::author));
        providers.retain(|p| !chain.ejected.contains(p));
        let body = slot.commit.body();
        let mut objects = vec![body.update, body.trail];
        if chain.member(&author).is_some_and(|m| !m.votes(&core.run.rules)) {
            objects.push(body.carry);
        }
        let id = core.fetch(Task::Update(author), objects, Vec::new(), providers);
        if let Some(slot) = self.work.commits.get_mut(&author) {
            slot.update = Wanted::Fetching(id);
        }
        true
    }

    pub(super) fn update_fetched(
        &mut self,
        core: &mut Core,
        author: &PeerId,
        missing: Option<Hash>,
        stored: &[Hash],
    ) {
        let height = self.work.height;
        let slot = self.work.commits.get(author);
        if let Some(trail) = slot.map(|slot| slot.commit.body().trail.hash) {
            core.note_stored(height, stored.iter().copied().filter(|s| *s == trail).collect());
        }
        let again = core.now.after(core.run.rules.retry_ms());
        let work = &mut self.work;
        let Some(slot) = work.commits.get_mut(author) else { return };
        if missing.is_some() {
            slot.update = Wanted::At(again);
            return;
        }
        slot.update = Wanted::Here;
        let have = Have { height: work.height, commit: slot.commit.hash() };
        let me = core.id();
        if self.chain.votes(&core.run, &me) {
            let have = Signed::seal(&core.identity, &core.run.id, have);
            core.broadcast(&Message::Have(have.clone()));
            self.accept_have(have);
        }
    }

    /// Ends what was under way for the height that is over.
    /// Returns the training states that this node kept, if the chain has its contribution.
    pub(super) fn close_work(&mut self, core: &mut Core) -> Vec<ObjectRef> {
        let work = &mut self.work;
        if work.is_training() {
            core.out.push(Action::CancelTrain);
        }
        let overhead = work.age(core.now).saturating_sub(work.trained_ms);
        if work.trained_ms > 0 {
            core.pace.height_done(overhead);
        }
        let fetching = work.commits.values().map(|s| s.update).chain([work.sync]);
        for wanted in fetching.collect::<Vec<_>>() {
            if let Wanted::Fetching(id) = wanted {
                core.cancel_fetch(id);
            }
        }
        let me = core.id();
        let Some(slot) = work.commits.get(&me) else { return Vec::new() };
        let last = self.chain.last.as_ref().filter(|last| last.height == work.height);
        if last.is_some_and(|last| last.contributions.contains(&slot.commit)) {
            return std::mem::take(&mut work.kept);
        }
        // Nobody will audit or add up what was not included.
        let body = slot.commit.body();
        let void = [body.update, body.carry, body.trail].map(|o| o.hash).to_vec();
        core.note_stored(work.height, void);
        Vec::new()
    }
}

/// A member's contribution, if it may go into the next record: its commit, and holders of its
/// update of enough standing, as far as this node knows.
pub fn admissible(
    run: &Run,
    work: &Work,
    chain: &ChainState,
    peer: &PeerId,
) -> Option<crate::Contribution> {
    let slot = work.commits.get(peer).filter(|s| s.update == Wanted::Here && !s.bad)?;
    let electorate = chain.electorate(run);
    let mut haves: Vec<Signed<Have>> = Vec::new();
    let enough =
        |haves: &[Signed<Have>]| chain.enough_hold(run, peer, haves.iter().map(Signed::author));
    let counts = |h: &&Signed<Have>| h.author() != *peer && electorate.weight(&h.author()) > 0;
    for have in work.haves(&slot.commit.hash()).filter(counts) {
        if enough(&haves) {
            break;
        }
        haves.push(have.clone());
    }
    enough(&haves).then(|| crate::Contribution { commit: slot.commit.clone(), haves })
}
