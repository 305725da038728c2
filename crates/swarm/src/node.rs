//! The state machine of one participant.
//!
//! [`Node::handle`] first takes in what happened, then asks again and again what follows from what
//! it knows ([`Node::progress`]) until nothing does. So it does not matter in which order things
//! become known, and a restart is no special case.

mod adding;
mod arriving;
mod auditing;
mod book;
mod catchup;
mod deciding;
mod heading;
mod intake;
mod lobby;
mod opening;
mod restoring;
mod retention;
mod working;

use crate::{
    Action, Body, ChainState, DecodeError, Event, Evidence, Identity, Join, LogEntry, Member,
    MemberStatus, Message, Notice, PeerId, Phase, RulesError, Run, Sample, SignatureCache, Signed,
    SignedRecord, Status, Time, Verdict, WorkError, log::Entry, pace::Pace,
};
use arriving::Shown;
use book::{AuditKey, Book};
use catchup::Peer;
use retention::Retention;
use std::collections::BTreeMap;
use store::Hash;
use working::Work;

/// Why a node cannot be made from what was persisted.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The run's rules cannot hold.
    #[error("the run's rules cannot hold")]
    Rules(#[from] RulesError),
    /// A log entry does not decode.
    #[error("log entry {entry} does not decode")]
    Entry {
        /// Its number, from 0.
        entry: usize,
        /// Why.
        source: DecodeError,
    },
    /// A record in the log does not follow the one before.
    #[error("log entry {entry} is a record that does not fit: {why}")]
    Record {
        /// Its number, from 0.
        entry: usize,
        /// Why.
        why: String,
    },
    /// The log is another peer's.
    #[error("log entry {entry} was said by {author}, not by this peer")]
    Author {
        /// Its number, from 0.
        entry: usize,
        /// Whose it is.
        author: PeerId,
    },
    /// The log's records are not those that the run is known to have.
    #[error("{0}")]
    OtherHistory(String),
}

/// What a result is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Task {
    /// Fetching the checkpoint of the head.
    Sync,
    /// Fetching a committed update.
    Update(PeerId),
    /// Fetching what an audit needs.
    AuditInputs(AuditKey, Sample),
    /// The audit.
    Audit(AuditKey, Sample),
    /// Opening training states of the own contribution to the advance at this height.
    Open(u64, Vec<u32>),
    /// Adding up the updates with this key.
    Aggregate(Hash),
    /// Fetching what that needs.
    AggregateInputs(Hash),
}

/// Whether the node still takes part, whatever the chain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Before [`Event::Start`].
    New,
    Running,
    Finished,
    Left,
    /// After [`Action::Fatal`].
    Dead,
}

/// What a participant brings beside its key.
#[derive(Clone, Default)]
pub struct Arrival {
    /// The secret of an invitation: makes this key a founding voter.
    pub invitation: Option<Identity>,
    /// Records that the run is known to have: another history is refused.
    pub checkpoints: Vec<Checkpoint>,
}

/// A record that somebody who was there vouches for. Old keys can write another past; nobody who
/// knows one recent record takes it for the run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub record: Hash,
}

/// One participant: takes events, gives actions.
pub struct Node {
    identity: Identity,
    run: Run,
    arrival: Arrival,
    /// Before the newest record that the run is known to have is there: what each peer has shown.
    shown: BTreeMap<PeerId, Shown>,
    records: Vec<SignedRecord>,
    chain: Option<ChainState>,
    cache: SignatureCache,
    life: Life,
    now: Time,
    peers: BTreeMap<PeerId, Peer>,
    joins: BTreeMap<PeerId, Signed<Join>>,
    work: Option<Work>,
    /// Audits of the last advance and of the one before, by height.
    books: BTreeMap<u64, Book>,
    retention: Retention,
    /// [`Join::height`] of the join that made this node a member: names its hash chain.
    own_chain: Option<u64>,
    evidence: BTreeMap<PeerId, Evidence>,
    pace: Pace,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    /// Said before the restart; taken in again when the height is opened.
    restored: Vec<Entry>,
    /// Messages for the next height that came early.
    early: Vec<(PeerId, Vec<u8>)>,
    resend_at: Time,
    resend_ms: u64,
    wake_at: Option<Time>,
    phase: Option<Phase>,
    waiting: Option<String>,
    steps: u32,
    out: Vec<Action>,
}

impl Node {
    /// A node with what it had persisted, nothing at first.
    ///
    /// Errors: [`RestoreError`] for rules that cannot hold or a damaged log.
    pub fn new(
        identity: Identity,
        run: Run,
        log: Vec<LogEntry>,
        arrival: Arrival,
    ) -> Result<Self, RestoreError> {
        Self::with_cache(identity, run, log, arrival, SignatureCache::default())
    }

    /// The same, sharing the memory of checked signatures with other nodes of this process.
    ///
    /// Errors: as [`Node::new`].
    pub fn with_cache(
        identity: Identity,
        run: Run,
        log: Vec<LogEntry>,
        arrival: Arrival,
        cache: SignatureCache,
    ) -> Result<Self, RestoreError> {
        run.validate()?;
        let resend_ms = run.rules.retry_ms();
        let mut node = Self {
            identity,
            run,
            arrival,
            shown: BTreeMap::new(),
            records: Vec::new(),
            chain: None,
            cache,
            life: Life::New,
            now: Time(0),
            peers: BTreeMap::new(),
            joins: BTreeMap::new(),
            work: None,
            books: BTreeMap::new(),
            retention: Retention::default(),
            own_chain: None,
            evidence: BTreeMap::new(),
            pace: Pace::default(),
            tasks: BTreeMap::new(),
            next_task: 1,
            restored: Vec::new(),
            early: Vec::new(),
            resend_at: Time(0),
            resend_ms,
            wake_at: None,
            phase: None,
            waiting: None,
            steps: 0,
            out: Vec::new(),
        };
        for (number, entry) in log.iter().enumerate() {
            node.restore(number, entry)?;
        }
        Ok(node)
    }

    /// This node's key.
    pub fn id(&self) -> PeerId {
        self.identity.id()
    }

    /// The run it takes part in.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The records from genesis on.
    pub fn chain(&self) -> &[SignedRecord] {
        &self.records
    }

    /// What the records lead to; `None` before genesis.
    pub fn chain_state(&self) -> Option<&ChainState> {
        self.chain.as_ref()
    }

    /// Takes in one event and says what to do. `now` never goes back.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.now = now.max(self.now);
        match (self.life, event) {
            (Life::Dead, _) => {}
            (Life::New, Event::Start) => self.start(),
            (Life::New | Life::Left, _) => {}
            // A stranger only asks: what it says changes nothing that there is to do, but for
            // records that were lacking.
            (_, Event::Message { from, bytes }) if self.is_stranger(&from) => {
                let records = self.records.len();
                self.message(from, &bytes);
                if self.records.len() == records && self.life == Life::Running {
                    return std::mem::take(&mut self.out);
                }
            }
            (_, event) => self.take_in(event),
        }
        if matches!(self.life, Life::Running | Life::Finished) {
            self.progress();
            self.set_alarm();
        }
        std::mem::take(&mut self.out)
    }

    fn restore(&mut self, number: usize, entry: &LogEntry) -> Result<(), RestoreError> {
        let decoded = Entry::from_log(entry)
            .map_err(|source| RestoreError::Entry { entry: number, source })?;
        let author = match &decoded {
            Entry::Said(said) => Some(said.author),
            Entry::Proposed { header, .. } => Some(header.author),
            _ => None,
        };
        if let Some(author) = author.filter(|a| *a != self.id()) {
            return Err(RestoreError::Author { entry: number, author });
        }
        match decoded {
            Entry::Record(bytes) => {
                let bad = |why: String| RestoreError::Record { entry: number, why };
                let record = SignedRecord::from_bytes(&bytes).map_err(|e| bad(e.to_string()))?;
                let next = ChainState::follow(self.chain.as_ref(), &self.run, &record, &self.cache)
                    .map_err(|e| bad(e.to_string()))?;
                self.fits(next.height, next.hash).map_err(RestoreError::OtherHistory)?;
                self.keep_book(&next);
                self.note_own_join(&record);
                self.chain = Some(next);
                self.records.push(record);
                // What was said for this height is history; verdicts are about heights before.
                self.restored
                    .retain(|e| matches!(e, Entry::Said(said) if said.kind == Verdict::KIND));
            }
            Entry::Clock { elapsed_ms, us_per_step } => {
                self.pace.restore(elapsed_ms, us_per_step);
            }
            Entry::Stored { height, objects } => {
                self.retention.note(height, objects);
            }
            said => self.restored.push(said),
        }
        Ok(())
    }

    fn start(&mut self) {
        self.life = Life::Running;
        self.resend_at = self.now;
        if self.chain.is_some() {
            self.pace.start(self.now);
            self.open_height();
            self.check_finished();
        }
    }

    fn take_in(&mut self, event: Event) {
        match event {
            Event::Start | Event::Tick => {}
            Event::PeerUp(peer) => self.peer_up(peer),
            Event::PeerDown(peer) => self.peer_down(&peer),
            Event::Message { from, bytes } => self.message(from, &bytes),
            Event::Trained { height, result } => self.trained(height, result),
            Event::Opened { id, result } => self.opened(id, result),
            Event::Audited { id, result } => self.audited(id, result),
            Event::Aggregated { id, result } => self.aggregated(id, result),
            Event::Fetched { id, stored } => self.fetched(id, None, stored),
            Event::FetchFailed { id, missing, stored } => {
                self.fetched(id, Some(missing), stored);
            }
            Event::Leave => self.leave(),
        }
    }

    /// Does whatever follows from what is known, until nothing more does.
    fn progress(&mut self) {
        self.resend_if_due();
        // Each pass either ends or changes what is known; the bound only guards against a mistake.
        for _ in 0..1000 {
            let Life::Running = self.life else { break };
            let moved = match self.chain.is_some() {
                false => self.open_run(),
                true => {
                    self.show()
                        || self.open_states()
                        || self.audit()
                        || self.sync()
                        || self.train()
                        || self.collect()
                        || self.decide()
                }
            };
            if !moved {
                break;
            }
        }
        self.note_phase();
        self.note_waiting();
    }

    fn leave(&mut self) {
        if self.work.as_ref().is_some_and(|w| w.is_training()) {
            self.out.push(Action::CancelTrain);
        }
        self.life = Life::Left;
        self.note_phase();
    }

    fn fatal(&mut self, why: String) {
        if self.work.as_ref().is_some_and(|w| w.is_training()) {
            self.out.push(Action::CancelTrain);
        }
        self.out.push(Action::Fatal(why));
        self.life = Life::Dead;
    }

    fn fetched(&mut self, id: u64, missing: Option<Hash>, stored: Vec<Hash>) {
        match self.tasks.remove(&id) {
            Some(Task::Sync) => self.synced(missing),
            Some(Task::Update(author)) => self.update_fetched(&author, missing, &stored),
            Some(Task::AuditInputs(key, sample)) => {
                self.audit_inputs_fetched(key, sample, missing, stored);
            }
            Some(Task::AggregateInputs(key)) => self.aggregate_inputs_fetched(key, missing),
            // A result that nobody waits for any more.
            _ => {}
        }
    }

    fn task(&mut self, task: Task) -> u64 {
        let id = self.next_task;
        self.next_task += 1;
        self.tasks.insert(id, task);
        id
    }

    /// This node's line among the members.
    fn own_line(&self) -> Option<&Member> {
        self.chain.as_ref()?.member(&self.id())
    }

    /// Which join made this node a member, if this record did.
    fn note_own_join(&mut self, record: &SignedRecord) {
        let me = self.id();
        if let Some(join) = record.record().joins.iter().find(|j| j.author() == me) {
            self.own_chain = Some(join.body().height);
        }
    }

    fn is_ejected(&self) -> bool {
        self.chain.as_ref().is_some_and(|c| c.ejected.contains(&self.id()))
    }

    fn broadcast(&mut self, message: &Message) {
        self.out.push(Action::Broadcast { bytes: message.to_bytes() });
    }

    fn send(&mut self, to: PeerId, message: &Message) {
        self.out.push(Action::Send { to, bytes: message.to_bytes() });
    }

    fn persist(&mut self, entry: &Entry) {
        self.out.push(Action::Persist(entry.to_log()));
    }

    fn notice(&mut self, notice: Notice) {
        self.out.push(Action::Notice(notice));
    }

    fn work_failed(&mut self, height: u64, error: &WorkError) {
        self.notice(Notice::WorkFailed { height, why: error.to_string() });
    }

    fn set_alarm(&mut self) {
        let mut times = vec![self.resend_at];
        if self.life == Life::Running
            && let Some(work) = &self.work
        {
            times.extend(work.deadlines(&self.run.rules));
            times.extend(self.books.values().flat_map(Book::deadlines));
        }
        let Some(next) = times.into_iter().filter(|t| *t > self.now).min() else { return };
        if self.wake_at != Some(next) {
            self.wake_at = Some(next);
            self.out.push(Action::WakeAt(next));
        }
    }

    fn current_phase(&self) -> Phase {
        match (self.life, &self.work, &self.chain) {
            (Life::Left, _, _) => Phase::Left,
            (Life::Finished, _, _) => Phase::Finished,
            (_, _, None) => Phase::Lobby,
            _ if self.is_ejected() => Phase::Ejected,
            _ if self.own_line().is_none() => Phase::Watching,
            (_, None, _) => Phase::Syncing,
            (_, Some(work), Some(chain)) => {
                work.phase(chain.round >= self.run.rules.rounds, &self.id())
            }
        }
    }

    fn note_phase(&mut self) {
        let phase = self.current_phase();
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            let (height, round) = self.chain.as_ref().map_or((0, 0), |c| (c.height + 1, c.round));
            self.notice(Notice::PhaseChanged { height, round, phase });
        }
    }

    /// Where the node stands.
    pub fn status(&self) -> Status {
        let chain = self.chain.as_ref();
        let state = chain.map_or(self.run.initial, |c| c.state);
        let agreement = self.work.as_ref().map(|w| &w.agreement);
        let electorate = chain.map(|c| c.electorate(&self.run));
        Status {
            me: self.id(),
            height: chain.map(|c| c.height),
            record: chain.map(|c| c.hash),
            round: chain.map_or(0, |c| c.round),
            rounds: self.run.rules.rounds,
            phase: self.current_phase(),
            view: agreement.map_or(0, |a| a.view()),
            proposer: agreement.and_then(|a| a.proposer(a.view())),
            state,
            root: state.root(),
            beacon: chain.map_or(Hash::default(), |c| c.beacon),
            members: chain.map_or(Vec::new(), |c| self.member_lines(c)),
            weight: electorate.as_ref().map_or(0, |e| e.total()),
            quorum: electorate.as_ref().map_or(0, |e| e.quorum()),
            lobby: chain.is_none().then(|| self.lobby()),
            ejected: chain.map_or(Vec::new(), |c| c.ejected.iter().copied().collect()),
            steps: self.steps,
            ms_per_step: self.pace.ms_per_step(),
            elapsed_ms: self.pace.elapsed_ms(self.now),
        }
    }

    fn member_lines(&self, chain: &ChainState) -> Vec<MemberStatus> {
        let electorate = chain.electorate(&self.run);
        let line = |member: &Member| MemberStatus {
            member: *member,
            standing: member.standing(),
            weight: electorate.weight(&member.id),
            away: member.is_away(&self.run.rules),
            probation_left: self.run.rules.probation.saturating_sub(member.clean),
            connected: member.id == self.id() || self.is_up(&member.id),
            committed: self.work.as_ref().is_some_and(|w| w.has_committed(&member.id)),
        };
        chain.members.iter().map(line).collect()
    }
}
