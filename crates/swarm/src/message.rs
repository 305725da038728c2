//! What peers say to each other.
//!
//! Every message is one CBOR value of at most [`MAX_MESSAGE`] bytes, in the only encoding that is
//! accepted for its content (decoding and encoding again must give the same bytes). What matters
//! later is signed ([`Signed`]) and may be passed on by anybody; [`Message::Head`],
//! [`Message::RecordsRequest`] and [`Message::Records`] are hints between two peers.

use crate::{
    Body, DecodeError, MAX_MESSAGE, MAX_RECORD, ObjectRef, Signed, SignedRecord, record::Evidence,
};
use commons::canonical::{decode, encode};
use minicbor::{Decode, Encode, bytes::ByteVec};
use store::Hash;

/// Wants to be (or to be again) a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Join {
    /// Goes into the first beacon if this is about genesis.
    #[n(0)]
    pub nonce: Hash,
    /// The newest height the author knows; an older join does not bring an absent member back.
    #[n(1)]
    pub height: u64,
}

/// "I have done the work of this height": fixes the contribution before anybody shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Commit {
    /// Height of the record it is for.
    #[n(0)]
    pub height: u64,
    /// Round, from 0.
    #[n(1)]
    pub round: u32,
    /// Root of the state it starts from ([`crate::State::root`]).
    #[n(2)]
    pub base: Hash,
    /// Inner steps.
    #[n(3)]
    pub steps: u32,
    /// Training state after every `leaf_every` steps.
    #[n(4)]
    pub leaves: Vec<ObjectRef>,
    /// The compressed update.
    #[n(5)]
    pub update: ObjectRef,
    /// The carry before; what the chain has for the author.
    #[n(6)]
    pub carry_before: Option<ObjectRef>,
    /// The carry after.
    #[n(7)]
    pub carry: ObjectRef,
    /// Hash of the secret that [`Reveal`] shows ([`secret_hash`]).
    #[n(8)]
    pub secret_hash: Hash,
}

/// Shows the secret of a [`Commit`]; the secrets of a round make the next beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reveal {
    /// Height of the commit.
    #[n(0)]
    pub height: u64,
    /// The secret.
    #[n(1)]
    pub secret: Hash,
}

/// "I hold this update": a second place to fetch it from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Have {
    /// Height of the commit.
    #[n(0)]
    pub height: u64,
    /// The commit's [`Signed::hash`].
    #[n(1)]
    pub commit: Hash,
}

/// Proposes a record for a height; the record's bytes travel beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Proposal {
    /// Height.
    #[n(0)]
    pub height: u64,
    /// View.
    #[n(1)]
    pub view: u32,
    /// The view in which this record got a quorum of prevotes, if it did.
    #[n(2)]
    pub valid_view: Option<u32>,
    /// Hash of the record.
    #[n(3)]
    pub value: Hash,
}

/// The two votes of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Step {
    /// First: whether the proposal may be decided.
    #[n(0)]
    Prevote,
    /// Second: that a quorum said so.
    #[n(1)]
    Precommit,
}

/// A vote; a quorum of precommits for one record is its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Vote {
    /// Height.
    #[n(0)]
    pub height: u64,
    /// View.
    #[n(1)]
    pub view: u32,
    /// Which of the two.
    #[n(2)]
    pub step: Step,
    /// For this record, or for none in this view.
    #[n(3)]
    pub value: Option<Hash>,
}

/// Why somebody looked at a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Scope {
    /// The beacon drew it.
    #[n(0)]
    Drawn,
    /// An auditor found a mismatch in this segment.
    #[n(1)]
    Dispute {
        /// The segment.
        #[n(0)]
        segment: u32,
    },
}

/// What somebody found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Finding {
    /// The claimed hashes.
    #[n(0)]
    Confirmed,
    /// Another hash.
    #[n(1)]
    Mismatch {
        /// First segment with another hash.
        #[n(0)]
        segment: u32,
    },
    /// Could not be re-run.
    #[n(2)]
    Unavailable {
        /// What was missing.
        #[n(0)]
        missing: Hash,
    },
}

/// The result of re-running (a part of) a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Verdict {
    /// Height of the record that included the contribution.
    #[n(0)]
    pub height: u64,
    /// Whose contribution.
    #[n(1)]
    pub contributor: crate::PeerId,
    /// Drawn or dispute.
    #[n(2)]
    pub scope: Scope,
    /// What came out.
    #[n(3)]
    pub finding: Finding,
}

impl Body for Join {
    const KIND: u8 = 1;
}
impl Body for Commit {
    const KIND: u8 = 2;
}
impl Body for Reveal {
    const KIND: u8 = 3;
}
impl Body for Have {
    const KIND: u8 = 4;
}
impl Body for Proposal {
    const KIND: u8 = 5;
}
impl Body for Vote {
    const KIND: u8 = 6;
}
impl Body for Verdict {
    const KIND: u8 = 7;
}

/// What a [`Commit`] says of the secret that its [`Reveal`] shows.
pub fn secret_hash(secret: &Hash) -> Hash {
    Hash::of_parts("understory swarm 1 secret", &[&secret.0])
}

/// One message. `docs/protocol.md` has each of them byte by byte.
///
/// Encoding: CBOR array `[tag, fields]`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// See [`Join`].
    #[n(1)]
    Join(#[n(0)] Signed<Join>),
    /// See [`Commit`].
    #[n(2)]
    Commit(#[n(0)] Signed<Commit>),
    /// See [`Reveal`].
    #[n(3)]
    Reveal(#[n(0)] Signed<Reveal>),
    /// See [`Have`].
    #[n(4)]
    Have(#[n(0)] Signed<Have>),
    /// See [`Proposal`].
    #[n(5)]
    Proposal {
        /// The signed header.
        #[n(0)]
        header: Signed<Proposal>,
        /// The record it names.
        #[n(1)]
        record: ByteVec,
    },
    /// See [`Vote`].
    #[n(6)]
    Vote(#[n(0)] Signed<Vote>),
    /// See [`Verdict`].
    #[n(7)]
    Verdict(#[n(0)] Signed<Verdict>),
    /// Two statements that no honest author signs both.
    #[n(8)]
    Evidence(#[n(0)] Evidence),
    /// How far the sender is.
    #[n(9)]
    Head {
        /// The run's id.
        #[n(0)]
        run: Hash,
        /// Its newest height; `None` before genesis.
        #[n(1)]
        height: Option<u64>,
        /// Hash of its newest record.
        #[n(2)]
        record: Hash,
        /// Time the run has taken so far by the sender's clock, in ms: a hint for pacing only.
        #[n(3)]
        elapsed_ms: u64,
    },
    /// Asks for records.
    #[n(10)]
    RecordsRequest {
        /// The run's id.
        #[n(0)]
        run: Hash,
        /// First height wanted.
        #[n(1)]
        from: u64,
    },
    /// Records in order of height, as many as fit.
    #[n(11)]
    Records {
        /// The run's id.
        #[n(0)]
        run: Hash,
        /// [`SignedRecord`]s.
        #[n(1)]
        records: Vec<ByteVec>,
    },
}

/// The most leaves of one contribution.
pub const MAX_LEAVES: usize = 4096;

/// The most records in one [`Message::Records`].
pub const MAX_RECORDS: usize = 256;

impl Message {
    /// The message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The run it is about.
    pub fn run(&self) -> Hash {
        match self {
            Self::Join(m) => m.envelope().run,
            Self::Commit(m) => m.envelope().run,
            Self::Reveal(m) => m.envelope().run,
            Self::Have(m) => m.envelope().run,
            Self::Proposal { header, .. } => header.envelope().run,
            Self::Vote(m) => m.envelope().run,
            Self::Verdict(m) => m.envelope().run,
            Self::Evidence(m) => m.run(),
            Self::Head { run, .. } | Self::RecordsRequest { run, .. } => *run,
            Self::Records { run, .. } => *run,
        }
    }
}

/// Reads one message. Any bytes are safe to pass; signatures are not looked at.
///
/// Errors: [`DecodeError`] for too many bytes, bytes that are no message, or a second encoding of
/// one.
pub fn parse_message(bytes: &[u8]) -> Result<Message, DecodeError> {
    let what = "message";
    let message: Message = decode(what, bytes, MAX_MESSAGE)?;
    let bounded = |len: usize, max: usize| match len {
        len if len <= max => Ok(()),
        len => Err(DecodeError::TooLong { what, len, max }),
    };
    match &message {
        Message::Proposal { record, .. } => bounded(record.len(), MAX_RECORD)?,
        Message::Records { records, .. } => bounded(records.len(), MAX_RECORDS)?,
        Message::Commit(commit) => bounded(commit.body().leaves.len(), MAX_LEAVES)?,
        _ => {}
    }
    Ok(message)
}

/// Reads one record with its certificate. Any bytes are safe to pass; signatures are not looked at.
///
/// Errors: as [`parse_message`].
pub fn parse_record(bytes: &[u8]) -> Result<SignedRecord, DecodeError> {
    SignedRecord::from_bytes(bytes)
}
