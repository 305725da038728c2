//! The state machine of one participant.

use crate::{
    Action, DecodeError, Event, Identity, LogEntry, PeerId, Phase, RulesError, Run, SignedRecord,
    Status, Time,
};

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
}

/// One participant: takes events, gives actions.
pub struct Node {
    identity: Identity,
    run: Run,
    records: Vec<SignedRecord>,
}

impl Node {
    /// A node with what it had persisted, nothing at first.
    ///
    /// Errors: [`RestoreError`] for rules that cannot hold or a damaged log.
    pub fn new(identity: Identity, run: Run, log: Vec<LogEntry>) -> Result<Self, RestoreError> {
        run.rules.validate()?;
        let _ = log;
        Ok(Self { identity, run, records: Vec::new() })
    }

    /// This node's key.
    pub fn id(&self) -> PeerId {
        self.identity.id()
    }

    /// Takes in one event. `now` never goes back.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let _ = (now, event);
        Vec::new()
    }

    /// Where the node stands.
    pub fn status(&self) -> Status {
        Status {
            me: self.id(),
            height: None,
            record: None,
            round: 0,
            rounds: self.run.rules.rounds,
            phase: Phase::Lobby,
            view: 0,
            proposer: None,
            state: self.run.initial,
            root: self.run.initial.root(),
            beacon: store::Hash::default(),
            members: Vec::new(),
            ejected: Vec::new(),
            steps: 0,
            ms_per_step: 0.0,
            elapsed_ms: 0,
        }
    }

    /// The records from genesis on.
    pub fn chain(&self) -> &[SignedRecord] {
        &self.records
    }
}
