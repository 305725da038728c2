//! What peers say to each other.
//!
//! Every message is one CBOR value of at most [`MAX_MESSAGE`] bytes, in the only encoding that is
//! accepted for its content (decoding and encoding again must give the same bytes). What matters
//! later is signed ([`Signed`]) and may be passed on by anybody; [`Message::Head`],
//! [`Message::RecordsRequest`] and [`Message::Records`] are hints between two peers.

use crate::{Body, MAX_MESSAGE, MAX_RECORD, ObjectRef, Signed, SignedRecord, record::Evidence};
use ids::{
    DecodeError, Hash, Identity, PeerId, Signature,
    canonical::{decode, encode},
};
use minicbor::{Decode, Encode, bytes::ByteVec};

/// Wants to be a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Join {
    /// Goes into the first beacon if this is about genesis.
    #[n(0)]
    pub nonce: Hash,
    /// The newest height the author knows.
    #[n(1)]
    pub height: u64,
    /// The end of the hash chain that the author's draws will show link by link
    /// ([`crate::Draw`]).
    #[n(2)]
    pub chain: Hash,
    /// Makes the author a founding voter, if this is about genesis.
    #[n(3)]
    pub invitation: Option<Invitation>,
}

/// What an invitation's secret key says of the one key that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Invitation {
    /// The invitation's public key, named in the run's manifest.
    #[n(0)]
    pub key: PeerId,
    /// Its signature over the run and the guest.
    #[n(1)]
    pub signature: Signature,
}

impl Invitation {
    /// Uses the invitation with this secret for `guest`.
    pub fn new(secret: &Identity, run: &Hash, guest: &PeerId) -> Self {
        let signature = secret.sign(&Self::signed_bytes(run, guest));
        Self { key: secret.id(), signature }
    }

    /// Whether it invites `guest` to `run`.
    pub fn invites(&self, run: &Hash, guest: &PeerId) -> bool {
        self.key.verifies(&Self::signed_bytes(run, guest), &self.signature)
    }

    fn signed_bytes(run: &Hash, guest: &PeerId) -> Vec<u8> {
        [b"understory swarm 2 invitation".as_slice(), &run.0, &guest.0].concat()
    }
}

/// "I have done the work of this height".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Commit {
    /// Height of the record it is for.
    #[n(0)]
    pub height: u64,
    /// Round, from 0.
    #[n(1)]
    pub round: u32,
    /// Hash of the state it starts from ([`crate::State::hash`]).
    #[n(2)]
    pub base: Hash,
    /// Inner steps.
    #[n(3)]
    pub steps: u32,
    /// The hash of the training state after each step ([`crate::TrainOutput::trail`]).
    #[n(4)]
    pub trail: ObjectRef,
    /// The compressed update.
    #[n(5)]
    pub update: ObjectRef,
    /// The carry before; what the chain has for the author.
    #[n(6)]
    pub carry_before: Option<ObjectRef>,
    /// The carry after.
    #[n(7)]
    pub carry: ObjectRef,
}

/// Shows the next link of the author's hash chain, which with the record's hash draws what the
/// author audits of the advance at this height. Nobody else could know it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Show {
    /// Height of the advance.
    #[n(0)]
    pub height: u64,
    /// The link.
    #[n(1)]
    pub link: Hash,
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
    /// The author's draw said so.
    #[n(0)]
    Drawn,
    /// Somebody found a mismatch in this part, or could not get what it takes.
    #[n(1)]
    Dispute {
        /// The part.
        #[n(0)]
        part: u32,
    },
    /// A confirmation of this auditor is made again, to compare its digest.
    #[n(2)]
    Recheck {
        /// Whose confirmation.
        #[n(0)]
        auditor: PeerId,
    },
}

impl Scope {
    /// Whether it is about the contribution, and not about somebody's confirmation of it.
    pub fn is_of_work(self) -> bool {
        !matches!(self, Self::Recheck { .. })
    }

    /// The scope of an answer to a mismatch that was found in `part` in this scope.
    pub(crate) fn asks(self, part: u32) -> Self {
        match self {
            Self::Recheck { .. } => self,
            Self::Drawn | Self::Dispute { .. } => Self::Dispute { part },
        }
    }
}

/// What somebody found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Finding {
    /// The claimed hashes (or, of a confirmation made again, the same digest).
    #[n(0)]
    Confirmed {
        /// [`crate::AuditOutcome::Confirmed`], keyed by the verdict's author.
        #[n(0)]
        digest: Hash,
    },
    /// Another hash (or another digest).
    #[n(1)]
    Mismatch {
        /// First part with another hash; of a confirmation made again, the first part re-run.
        #[n(0)]
        part: u32,
    },
    /// Could not be re-run.
    #[n(2)]
    Unavailable {
        /// First part that could not.
        #[n(0)]
        part: u32,
        /// What was missing.
        #[n(1)]
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
    pub contributor: PeerId,
    /// Why.
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
impl Body for Show {
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
impl Verdict {
    /// Whether it confirms what its author had drawn.
    pub(crate) fn confirms_draw(&self) -> bool {
        self.scope == Scope::Drawn && matches!(self.finding, Finding::Confirmed { .. })
    }
}

impl Body for Verdict {
    const KIND: u8 = 7;
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
    /// See [`Show`].
    #[n(3)]
    Show(#[n(0)] Signed<Show>),
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
            Self::Show(m) => m.envelope().run,
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
