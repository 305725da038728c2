//! Co-training as a protocol: rounds, commitments, audits, agreement.
//!
//! The crate moves hashes. It opens no socket or file, starts no thread and reads no clock: a
//! [`Node`] takes an [`Event`] and the time and gives back [`Action`]s, so that a simulation with
//! one seed always takes the same course. The work itself is behind [`Worker`].
#![forbid(unsafe_code)]

mod agreement;
mod chain;
mod draw;
mod envelope;
mod event;
mod identity;
mod log;
mod members;
mod message;
mod node;
mod pace;
mod record;
mod rules;
mod worker;

pub use chain::{ChainError, ChainState, LastAdvance, verify_chain};
pub use draw::{Draw, draw_audits};
pub use envelope::{Body, DecodeError, Envelope, SignatureCache, Signed};
pub use event::{
    Action, Event, LogEntry, MemberStatus, Notice, Phase, RecordSummary, Status, VerdictKind,
};
pub use identity::{Identity, ParsePeerIdError, PeerId, Signature};
pub use log::{LogContents, LogContentsError, read_log};
pub use message::{
    Commit, Finding, Have, Join, MAX_LEAVES, MAX_RECORDS, Message, Proposal, Reveal, Scope, Step,
    Verdict, Vote, parse_message, parse_record, secret_hash,
};
pub use node::{Node, RestoreError};
pub use record::{
    Certificate, Contribution, Ejection, Evidence, Kind, Member, Record, SignedRecord,
};
pub use rules::{
    MAX_MEMBERS, MAX_MESSAGE, MAX_RECORD, ObjectRef, Rules, RulesError, Run, State, Time, faults,
    quorum,
};
pub use worker::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Control, Included, Progress, Segments,
    TrainJob, TrainOutput, WorkError, Worker,
};
