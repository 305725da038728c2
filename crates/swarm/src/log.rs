//! What a node keeps for after a crash.

use crate::{
    DecodeError, Envelope, LogEntry, MAX_MESSAGE,
    envelope::{decode, encode},
};
use minicbor::{Decode, Encode, bytes::ByteVec};

/// A log entry's content.
///
/// Encoding: CBOR array `[tag, fields]`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Entry {
    /// A signed record that was agreed on.
    #[n(0)]
    Record(#[n(0)] ByteVec),
    /// Something this node has said, and must not contradict: commits, votes, verdicts.
    #[n(1)]
    Said(#[n(0)] Envelope),
    /// A proposal with its record.
    #[n(2)]
    Proposed {
        #[n(0)]
        header: Envelope,
        #[n(1)]
        record: ByteVec,
    },
    /// A record this node is locked on.
    #[n(3)]
    Locked {
        #[n(0)]
        view: u32,
        #[n(1)]
        record: ByteVec,
    },
    /// The run's clock and this node's speed.
    #[n(4)]
    Clock {
        #[n(0)]
        elapsed_ms: u64,
        #[n(1)]
        us_per_step: u64,
    },
}

impl Entry {
    /// The entry for the driver to keep.
    pub fn to_log(&self) -> LogEntry {
        LogEntry(encode(self))
    }

    /// Reads an entry back.
    ///
    /// Errors: [`DecodeError`].
    pub fn from_log(entry: &LogEntry) -> Result<Self, DecodeError> {
        decode("log entry", &entry.0, 2 * MAX_MESSAGE)
    }
}
