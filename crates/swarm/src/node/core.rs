//! What a participant has in every stage of a run: its key, the records, the other peers, the time,
//! and what it is about to do.

use super::{Arrival, Task, arriving::Shown, lobby::Wish, peers::Peer, retention::Retention};
use crate::{
    Action, Envelope, Message, Notice, ObjectRef, Phase, Run, SignatureCache, SignedRecord, Time,
    Urgency, WorkError, log::Entry, pace::Pace,
};
use ids::{Hash, Identity, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// Rounds wait for audits as long as it takes this machine to train for a round, so many times.
const AUDIT_TIMES: f64 = 4.0;

/// What does not depend on the stage.
pub struct Core {
    pub identity: Identity,
    pub run: Run,
    pub arrival: Arrival,
    pub cache: SignatureCache,
    pub now: Time,
    /// From genesis on.
    pub records: Vec<SignedRecord>,
    /// Before the newest record that the run is known to have is there: what each peer has shown.
    pub shown: BTreeMap<PeerId, Shown>,
    pub peers: BTreeMap<PeerId, Peer>,
    pub joins: BTreeMap<PeerId, Wish>,
    pub retention: Retention,
    pub pace: Pace,
    pub resend_at: Time,
    pub resend_ms: u64,
    /// Steps of the contribution that was begun last.
    pub steps: u32,
    /// This machine is at fault or differs: the node ends with this event.
    pub died: bool,
    pub out: Vec<Action>,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    wake_at: Option<Time>,
    phase: Option<Phase>,
    waiting: Option<String>,
}

impl Core {
    pub fn new(identity: Identity, run: Run, arrival: Arrival, cache: SignatureCache) -> Self {
        Self {
            resend_ms: run.rules.retry_ms(),
            identity,
            run,
            arrival,
            cache,
            now: Time(0),
            records: Vec::new(),
            shown: BTreeMap::new(),
            peers: BTreeMap::new(),
            joins: BTreeMap::new(),
            retention: Retention::default(),
            pace: Pace::default(),
            resend_at: Time(0),
            steps: 0,
            died: false,
            out: Vec::new(),
            tasks: BTreeMap::new(),
            next_task: 1,
            wake_at: None,
            phase: None,
            waiting: None,
        }
    }

    /// This node's key.
    pub fn id(&self) -> PeerId {
        self.identity.id()
    }

    /// Height of the newest record.
    pub fn height(&self) -> Option<u64> {
        self.records.len().checked_sub(1).map(|height| height as u64)
    }

    /// How long a round waits for audits: `audit_timeout_ms`, and where this machine takes so long to
    /// train, as long as whole audits of two beside it take. Who audits honestly pays for no delay
    /// that it could not avoid.
    pub fn audits_ms(&self) -> u64 {
        let rules = &self.run.rules;
        let training_ms = self.pace.ms_per_step() * f64::from(rules.steps_max);
        rules.audit_timeout_ms.max((AUDIT_TIMES * training_ms) as u64)
    }

    pub fn broadcast(&mut self, message: &Message) {
        self.out.push(Action::Broadcast { bytes: message.to_bytes() });
    }

    pub fn send(&mut self, to: PeerId, message: &Message) {
        self.out.push(Action::Send { to, bytes: message.to_bytes() });
    }

    pub fn persist(&mut self, entry: &Entry) {
        self.out.push(Action::Persist(entry.to_log()));
    }

    pub fn notice(&mut self, notice: Notice) {
        self.out.push(Action::Notice(notice));
    }

    pub fn work_failed(&mut self, height: u64, error: &WorkError) {
        self.notice(Notice::WorkFailed { height, why: error.to_string() });
    }

    /// Nothing that another peer says leads here.
    pub fn die(&mut self, why: String) {
        self.out.push(Action::Fatal(why));
        self.died = true;
    }

    /// Whether the signature is right; if not, whoever passed it on is to blame.
    pub fn is_right(&mut self, from: PeerId, envelope: &Envelope) -> bool {
        let right = self.cache.is_signed(envelope, &self.run.id);
        if !right && from != self.id() {
            self.strike(from, "a wrong signature");
        }
        right
    }

    pub fn task(&mut self, task: Task) -> u64 {
        let id = self.next_task;
        self.next_task += 1;
        self.tasks.insert(id, task);
        id
    }

    /// What a result is for; `None` for one that nobody waits for any more.
    pub fn end_task(&mut self, id: u64) -> Option<Task> {
        self.tasks.remove(&id)
    }

    /// Ends a fetch; what it was for.
    pub fn cancel_fetch(&mut self, id: u64) -> Option<Task> {
        self.out.push(Action::CancelFetch { id });
        self.tasks.remove(&id)
    }

    pub fn fetch(
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
            Task::AuditInputs(..) | Task::Audit(..) | Task::Open(..) => Urgency::Audit,
            Task::Update(_) | Task::Aggregate(_) | Task::AggregateInputs(_) => Urgency::Round,
        };
        let id = self.task(task);
        self.out.push(Action::Fetch { id, objects, models, providers, urgency });
        id
    }

    /// Remembers, also over a restart, what this node stored for the work of a round.
    pub fn note_stored(&mut self, height: u64, objects: Vec<Hash>) {
        let fresh = self.retention.note(height, objects);
        if !fresh.is_empty() {
            self.persist(&Entry::Stored { height, objects: fresh });
        }
    }

    /// Removes what was stored for advances before `height`, but for what is `named`.
    pub fn drop_before(&mut self, height: u64, named: &BTreeSet<Hash>) {
        let objects = self.retention.close_before(height, named);
        debug_assert!(objects.iter().all(|object| !named.contains(object)), "what is named stays");
        if !objects.is_empty() {
            self.out.push(Action::Drop { objects });
        }
    }

    /// Asks to be woken at the first of these times that is still to come.
    pub fn set_alarm(&mut self, times: impl IntoIterator<Item = Time>) {
        let next = times.into_iter().chain([self.resend_at]).filter(|t| *t > self.now).min();
        if let Some(next) = next.filter(|next| self.wake_at != Some(*next)) {
            self.wake_at = Some(next);
            self.out.push(Action::WakeAt(next));
        }
    }

    /// Says so when what this node does has changed; `round` as the chain has it.
    pub fn note_phase(&mut self, phase: Phase, round: u32) {
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            let height = self.height().map_or(0, |height| height + 1);
            self.notice(Notice::PhaseChanged { height, round, phase });
        }
    }

    /// Says so, once, when nothing can be decided.
    pub fn note_waiting(&mut self, why: Option<String>) {
        if self.waiting != why {
            self.waiting = why.clone();
            if let Some(why) = why {
                self.notice(Notice::Waiting { why });
            }
        }
    }
}
