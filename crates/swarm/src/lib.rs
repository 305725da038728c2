//! Co-training as a protocol: rounds, commitments, audits, agreement.
//!
//! The crate moves hashes. It opens no socket or file, starts no thread and reads no clock: a
//! [`Node`] takes an [`Event`] and the time and gives back [`Action`]s, so that a simulation with
//! one seed always takes the same course. The work itself is behind [`Worker`].
//!
//! - Everybody who takes part agrees, height by height, on one chain of [`Record`]s: genesis, an
//!   advance per round, a repair where somebody is proven to have cheated, the close. A record
//!   names the contributions that count and the state they lead to; each voter has computed that
//!   state itself before it signs. [`verify_chain`] checks a chain from nothing but its bytes.
//! - What weighs is standing: inner steps that others have re-run a sample of, never keys.
//! - Each voter draws what it re-runs by a link of a hash chain that it committed to on joining, and
//!   shows it once the work is in a record. A mismatch is re-run by everybody else: voters of more
//!   standing than may be faulty prove it, or prove that there is none and eject the accuser.
//! - What a node must not contradict after a crash it persists before it says it.
//!
//! `docs/protocol.md` has the rules in full, the reasons, and every message byte by byte.
//!
//! ```text
//! envelope   signed statements               chain      which record may follow, what follows from it
//! rules      a run's rules, quorums           members    who takes part, what work earns
//! standing   what each one weighs
//! message    what peers say                   draw       who audits what
//! record     links of the chain               agreement  Tendermint, for one height
//! worker     the work, as a trait             pace       how many steps fit the time
//! event      what goes into a node and out    node       the state machine that wires it all
//! fetching   who is asked for which object, and when a transfer is given up
//! log        what a node keeps for after a crash
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod agreement;
mod chain;
mod draw;
mod envelope;
mod event;
pub mod fetching;
mod log;
mod members;
mod message;
mod node;
mod pace;
mod record;
mod rules;
mod standing;
mod worker;

pub use chain::{Advance, ChainError, ChainState, verify_chain, walk_chain};
pub use draw::Draw;
pub use envelope::{Body, Envelope, SignatureCache, Signed};
pub use event::{
    Action, Event, Lobby, LogEntry, MemberStatus, Notice, Phase, RecordSummary, Status, TooLight,
    Urgency, VerdictKind,
};
pub use log::{LogContents, LogContentsError, read_log};
pub use message::{
    Commit, Finding, Have, Invitation, Join, MAX_RECORDS, Message, Proposal, Scope, Show, Step,
    Verdict, Vote, parse_message, parse_record,
};
pub use node::{Arrival, Checkpoint, Node, RestoreError};
pub use record::{
    Certificate, Contribution, Ejection, Evidence, Kind, Member, Record, SignedRecord,
};
pub use rules::{
    MAX_MEMBERS, MAX_MESSAGE, MAX_RECORD, MAX_STEPS, ObjectRef, Rules, RulesError, Run, State,
    Time, VERSION, faults, quorum,
};
pub use standing::{Electorate, Voters};
pub use worker::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Control, Included, OpenJob, Progress,
    Sample, TrainJob, TrainOutput, Trained, WorkError, Worker,
};
