//! The state machine of one participant.
//!
//! [`Node::handle`] first takes in what happened, then asks again and again what follows from what
//! it knows ([`Running::step`]) until nothing does. So it does not matter in which order things
//! become known, and a restart is no special case.

mod adding;
mod arriving;
mod auditing;
mod book;
mod catchup;
mod core;
mod deciding;
mod heading;
mod intake;
mod lobby;
mod opening;
mod peers;
mod proving;
mod restoring;
mod retention;
mod running;
mod status;
mod working;

use crate::{
    Action, ChainState, Event, Kind, LogEntry, Notice, RulesError, Run, Sample, SignatureCache,
    SignedRecord, Time,
};
use book::AuditKey;
use core::Core;
use ids::{DecodeError, Hash, Identity, PeerId};
use restoring::Restored;
use running::Running;

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

/// Things that follow from one event: far fewer than this.
const MOST_PASSES: u32 = 1000;

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

/// Where a participant is in the life of a run.
enum Stage {
    /// Before [`Event::Start`].
    New(Box<Restored>),
    /// The run has not begun, or nothing of it is known here yet.
    Lobby,
    /// It goes on.
    Running(Box<Running>),
    /// Its last record is there.
    Finished(Box<ChainState>),
    /// This participant has left.
    Left(Option<Box<ChainState>>),
    /// After [`Action::Fatal`].
    Dead(Option<Box<ChainState>>),
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
    core: Core,
    stage: Stage,
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
        let mut core = Core::new(identity, run, arrival, cache);
        let mut restored = Restored::default();
        for (number, entry) in log.iter().enumerate() {
            restored.take(&mut core, number, entry)?;
        }
        Ok(Self { core, stage: Stage::New(Box::new(restored)) })
    }

    /// This node's key.
    pub fn id(&self) -> PeerId {
        self.core.id()
    }

    /// The run it takes part in.
    pub fn run(&self) -> &Run {
        &self.core.run
    }

    /// The records from genesis on.
    pub fn chain(&self) -> &[SignedRecord] {
        &self.core.records
    }

    /// What the records lead to; `None` before genesis.
    pub fn chain_state(&self) -> Option<&ChainState> {
        match &self.stage {
            Stage::New(restored) => restored.chain.as_ref(),
            Stage::Lobby => None,
            Stage::Running(running) => Some(&running.chain),
            Stage::Finished(chain) => Some(chain),
            Stage::Left(chain) | Stage::Dead(chain) => chain.as_deref(),
        }
    }

    fn running(&self) -> Option<&Running> {
        match &self.stage {
            Stage::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Takes in one event and says what to do. `now` never goes back.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.core.now = now.max(self.core.now);
        match (&self.stage, event) {
            (Stage::Dead(_) | Stage::Left(_), _) => {}
            (Stage::New(_), Event::Start) => self.start(),
            (Stage::New(_), _) => {}
            (_, event) => {
                if self.take_in(event) {
                    self.progress();
                }
            }
        }
        self.check();
        std::mem::take(&mut self.core.out)
    }

    fn start(&mut self) {
        let Stage::New(restored) = &mut self.stage else { return };
        let Restored { chain, said } = std::mem::take(&mut **restored);
        self.core.resend_at = self.core.now;
        self.stage = match chain {
            // Before the first record nothing is said that has to stay said.
            None => Stage::Lobby,
            Some(chain) => {
                if let Some(newest) = self.core.records.last() {
                    let newest = heading::summary(newest, &chain);
                    self.core.notice(Notice::Resumed(newest));
                }
                Stage::Running(Box::new(Running::resume(&mut self.core, chain, &said)))
            }
        };
        self.settle();
        self.progress();
    }

    /// Takes in what happened; whether something may follow from it.
    fn take_in(&mut self, event: Event) -> bool {
        match event {
            Event::PeerUp(peer) => {
                if self.core.peer_up(peer) {
                    for message in self.repeats() {
                        self.core.send(peer, &message);
                    }
                }
            }
            Event::PeerDown(peer) => self.core.peer_down(&peer),
            Event::Message { from, bytes } => {
                // A stranger only asks: what it says changes nothing that there is to do, but for
                // records that were lacking.
                let (asks, records) = (self.is_stranger(&from), self.core.records.len());
                self.message(from, &bytes);
                self.settle();
                return !asks || self.core.records.len() > records;
            }
            Event::Leave => self.leave(),
            event => {
                if let Stage::Running(running) = &mut self.stage {
                    running.take_in(&mut self.core, event);
                }
            }
        }
        self.settle();
        true
    }

    /// Does whatever follows from what is known, until nothing more does.
    fn progress(&mut self) {
        if matches!(self.stage, Stage::Lobby | Stage::Running(_) | Stage::Finished(_)) {
            self.resend_if_due();
        }
        // Each pass either ends or changes what is known; the bound only guards against a mistake.
        for pass in 0..MOST_PASSES {
            debug_assert!(pass + 1 < MOST_PASSES, "the same follows again and again");
            let moved = match &mut self.stage {
                Stage::Lobby => self.open_run(),
                Stage::Running(running) => running.step(&mut self.core),
                _ => false,
            };
            self.settle();
            if !moved {
                break;
            }
        }
        if self.core.died {
            return;
        }
        self.tell_stage();
        match &self.stage {
            Stage::Running(running) => self.core.set_alarm(running.deadlines(&self.core)),
            Stage::Lobby | Stage::Finished(_) => self.core.set_alarm([]),
            Stage::New(_) | Stage::Left(_) | Stage::Dead(_) => {}
        }
    }

    fn leave(&mut self) {
        if let Stage::Running(running) = &self.stage {
            running.stop_training(&mut self.core);
        }
        self.stage = Stage::Left(self.chain_state().cloned().map(Box::new));
    }

    /// Goes over to the stage that what was taken in has led to.
    fn settle(&mut self) {
        if self.core.died {
            if !matches!(self.stage, Stage::Dead(_)) {
                self.stage = Stage::Dead(self.chain_state().cloned().map(Box::new));
            }
            return;
        }
        let Stage::Running(running) = &self.stage else { return };
        if running.chain.kind != Kind::Close {
            return;
        }
        // What was audited last can be disputed no more.
        self.core.drop_before(u64::MAX, &running.named(&self.core));
        let chain = running.chain.clone();
        let (state, height) = (chain.state, chain.height);
        self.stage = Stage::Finished(Box::new(chain));
        self.core.notice(Notice::Finished { height, state_hash: state.hash() });
        self.core.out.push(Action::Finished { state, height });
    }

    /// What is true after every event, whatever others say and in whatever order.
    fn check(&self) {
        debug_assert_eq!(
            self.core.height(),
            self.chain_state().map(|chain| chain.height),
            "the records lead to the chain's state"
        );
        debug_assert!(!self.core.died || matches!(self.stage, Stage::Dead(_)), "it ends at once");
        if let Stage::Running(running) = &self.stage {
            running.check(&self.core);
        }
    }
}
