//! Statements: what somebody says, signed, in one encoding, as a link of its author's chain.

mod artifact;
mod bounds;
mod govern;
mod milestone;
mod names;
mod numbered;
mod people;
mod tie;

pub use artifact::{
    Boundary, Cell, Check, Component, Derive, Evaluate, Evidence, FenceCell, Parent, Pay, Publish,
    Relation, Reproducible, SourceClass, Stance, Subject, Verdict, Work, WorkType,
};
pub use bounds::Invalid;
pub use decide::{TieRule, Unranked};
pub use govern::{
    Asset, Candidate, Choice, Effect, Founder, Genesis, HeldSeat, HeldSeats, Method,
    OLDEST_WRITTEN, ParentLog, Power, ProposalType, Propose, Quota, RULES_VERSION, Rights, Rules,
    Vote, VoteBody, WitnessKey, Witnesses,
};
pub use milestone::Milestone;
pub use people::{Attest, Claim, DeviceKey, House, Key, KeyOp, ParseDeviceError, Purpose, Use};

use bounds::Bounded;
use ids::{
    DecodeError, Hash, Identity, PeerId, Signature,
    canonical::{decode, encode},
};
use minicbor::{Decode, Encode};

/// What every signature on a statement covers first.
const DOMAIN: &[u8] = b"understory commons 1\n";

/// The last kind that version 1 of the rules has.
const LAST_OF_VERSION_1: Kind = Kind::Pay;

/// Bytes a statement may have: what a C2SP entry bundle holds.
pub const MAX_STATEMENT: usize = 65_535;

/// The signature's CBOR at a statement's end: two bytes of header and 64 of signature.
const SIGNATURE_BYTES: usize = 66;

/// The head of the log that an author had seen when it signed: with the log's own signature, so
/// that a statement which crosses from one history into another proves that there are two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Debug)]
pub struct Seen {
    /// Statements in the log.
    #[n(0)]
    pub size: u64,
    /// The Merkle tree's root.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub root: [u8; 32],
    /// The operator's over the checkpoint of `size` and `root` (C2SP, without extensions).
    #[n(2)]
    pub signature: Signature,
}

/// What a statement says. The number in front is the kind on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// 1: the first statement of a commons.
    Genesis(Genesis),
    /// 2: a member's keys.
    Key(Key),
    /// 3: something about a person.
    Attest(Attest),
    /// 4: an artifact and its parts.
    Publish(Publish),
    /// 5: what was made from what.
    Derive(Derive),
    /// 6: work that was done.
    Work(Work),
    /// 7: results of an evaluation.
    Evaluate(Evaluate),
    /// 8: a judgement on a statement: audit, rebuild, dispute, proof.
    Check(Check),
    /// 9: somebody uses an artifact.
    Use(Use),
    /// 10: a community's fences.
    Boundary(Boundary),
    /// 11: who holds power over what.
    Rights(Rights),
    /// 12: a question to the members.
    Propose(Propose),
    /// 13: a ballot.
    Vote(Vote),
    /// 14: money or its like.
    Pay(Pay),
    /// 15: a record of a training run. Since version 2 of the rules.
    Milestone(Milestone),
}

/// Runs `$each!(Variant, number)` for every kind: the one list of them.
macro_rules! kinds {
    ($each:ident) => {
        $each! {
            Genesis 1, Key 2, Attest 3, Publish 4, Derive 5, Work 6, Evaluate 7,
            Check 8, Use 9, Boundary 10, Rights 11, Propose 12, Vote 13, Pay 14,
            Milestone 15
        }
    };
}

macro_rules! body_table {
    ($($variant:ident $number:literal),*) => {
        /// What kind of thing a statement says.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
        #[repr(u8)]
        pub enum Kind {
            $(#[doc = concat!("[`Body::", stringify!($variant), "`]")] $variant = $number),*
        }

        impl Kind {
            /// Its number on the wire.
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),* }
            }
        }

        impl std::fmt::Display for Kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl Body {
            /// The kind.
            pub const fn kind(&self) -> Kind {
                match self { $(Body::$variant(_) => Kind::$variant),* }
            }

            /// The kind's name.
            pub const fn kind_name(&self) -> &'static str {
                self.kind().name()
            }

            fn encode(&self) -> Vec<u8> {
                match self { $(Body::$variant(body) => encode(body)),* }
            }

            fn decode(kind: u8, bytes: &[u8]) -> Result<Self, DecodeError> {
                match kind {
                    $($number => {
                        decode(concat!(stringify!($variant), " statement"), bytes, MAX_STATEMENT)
                            .map(Body::$variant)
                    })*
                    _ => Err(DecodeError::Malformed {
                        what: "statement",
                        why: format!("kind {kind} is not one of 1 to 15"),
                    }),
                }
            }

            /// Whether lengths and numbers are within what the kind allows.
            ///
            /// Errors: [`Invalid`] names the field.
            pub fn check(&self) -> Result<(), Invalid> {
                match self { $(Body::$variant(body) => body.check()),* }
            }
        }

        $(impl From<$variant> for Body {
            fn from(body: $variant) -> Self {
                Body::$variant(body)
            }
        })*
    };
}

kinds!(body_table);

/// The envelope on the wire: a CBOR array of nine.
#[derive(Encode, Decode)]
struct Wire {
    #[n(0)]
    version: u8,
    #[n(1)]
    log: Hash,
    #[n(2)]
    kind: u8,
    #[n(3)]
    author: PeerId,
    #[n(4)]
    seq: u64,
    #[n(5)]
    prev: Option<Hash>,
    #[n(6)]
    seen: Option<Seen>,
    #[cbor(n(7), with = "minicbor::bytes")]
    body: Vec<u8>,
    #[n(8)]
    signature: Signature,
}

/// A statement, decoded, with the very bytes that were signed.
///
/// Encoding: the CBOR array `[version, log, kind, author, seq, prev, seen, body, signature]` with
/// `body` a byte string. The signature covers `"understory commons 1\n"` and every byte of the
/// array before the signature's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The commons it belongs to; all zeros in a genesis, which is what gives the commons its id.
    pub log: Hash,
    /// The key that signs. One person may have several, each with a chain of its own.
    pub author: PeerId,
    /// The place in the author's chain, from 0.
    pub seq: u64,
    /// The author's statement before this one.
    pub prev: Option<Hash>,
    /// The head the author had seen; only a genesis has none.
    pub seen: Option<Seen>,
    /// What is said.
    pub body: Body,
    bytes: Vec<u8>,
    hash: Hash,
}

/// Where a new statement stands: in which commons, after which, having seen what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The commons' id.
    pub log: Hash,
    /// The place in the author's chain.
    pub seq: u64,
    /// The author's last statement.
    pub prev: Option<Hash>,
    /// The head the author has seen.
    pub seen: Option<Seen>,
}

/// Why bytes are no statement.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StatementError {
    /// Not the one encoding of anything.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Written by a version that this one does not know.
    #[error("statement of version {0}, this program knows version 1")]
    Version(u8),
    /// A field out of its bounds.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Not signed by the author it names.
    #[error("the signature is not {author}'s")]
    Signature {
        /// Whom the statement names.
        author: PeerId,
    },
    /// A first statement has no predecessor, every other has one.
    #[error("statement {seq} of its author {}", if *.seq == 0 { "names a predecessor" } else { "names no predecessor" })]
    Chain {
        /// Its place in the chain.
        seq: u64,
    },
    /// Only a genesis stands outside a log.
    #[error("{0}")]
    Genesis(&'static str),
    /// Of a kind that came later than the rules of the log.
    #[error("kind {kind} is none of version {version} of the rules")]
    Kind {
        /// The kind.
        kind: u8,
        /// The version that the log's genesis names.
        version: u32,
    },
    /// Longer than an entry may be.
    #[error("statement of {0} bytes, at most {MAX_STATEMENT} are allowed")]
    TooLong(usize),
}

impl Statement {
    /// Signs `body` at `place`.
    ///
    /// Errors: a body out of bounds or too long.
    pub fn sign(
        identity: &Identity,
        place: Place,
        body: impl Into<Body>,
    ) -> Result<Self, StatementError> {
        let body = body.into();
        body.check()?;
        let mut wire = Wire {
            version: 1,
            log: place.log,
            kind: body.kind().number(),
            author: identity.id(),
            seq: place.seq,
            prev: place.prev,
            seen: place.seen,
            body: body.encode(),
            signature: Signature([0; 64]),
        };
        let unsigned = encode(&wire);
        wire.signature = identity.sign(&signed_part(&unsigned));
        let bytes = encode(&wire);
        if bytes.len() > MAX_STATEMENT {
            return Err(StatementError::TooLong(bytes.len()));
        }
        let statement = Self::assemble(wire, body, &bytes);
        statement.check_shape()?;
        Ok(statement)
    }

    /// Reads a statement and checks everything that can be checked without its log: the encoding,
    /// the bounds and the signature.
    ///
    /// Errors: [`StatementError`], whatever the bytes are.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let statement = Self::parse_unsigned(bytes)?;
        if !statement.is_signed() {
            return Err(StatementError::Signature { author: statement.author });
        }
        Ok(statement)
    }

    /// [`Self::parse`] without the signature: for statements whose signature was checked before
    /// they were kept.
    pub fn parse_unsigned(bytes: &[u8]) -> Result<Self, StatementError> {
        let wire: Wire = decode("statement", bytes, MAX_STATEMENT)?;
        if wire.version != 1 {
            return Err(StatementError::Version(wire.version));
        }
        let body = Body::decode(wire.kind, &wire.body)?;
        body.check()?;
        let statement = Self::assemble(wire, body, bytes);
        statement.check_shape()?;
        Ok(statement)
    }

    /// Whether the author signed exactly these bytes. Strict: not in a batch, because a batch
    /// accepts signatures that a single check refuses, and then two members would disagree.
    pub fn is_signed(&self) -> bool {
        let signature: [u8; 64] =
            self.bytes[self.bytes.len() - 64..].try_into().expect("64 bytes were asked for");
        self.author.verifies(&signed_part(&self.bytes), &Signature(signature))
    }

    /// Whether a log of this version of the rules may have such a statement.
    ///
    /// Errors: [`StatementError::Kind`], as for any bytes that are no statement there.
    pub fn check_version(&self, version: u32) -> Result<(), StatementError> {
        let kind = self.body.kind();
        if version < 2 && kind > LAST_OF_VERSION_1 {
            return Err(StatementError::Kind { kind: kind.number(), version });
        }
        Ok(())
    }

    /// The bytes, as they were signed and are kept and sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The statement's name: BLAKE3 of its bytes.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The id of the commons that this genesis begins.
    pub fn commons_id(&self) -> Option<Hash> {
        matches!(self.body, Body::Genesis(_))
            .then(|| Hash::of_parts("understory commons 1 id", &[&self.bytes]))
    }

    fn assemble(wire: Wire, body: Body, bytes: &[u8]) -> Self {
        Self {
            log: wire.log,
            author: wire.author,
            seq: wire.seq,
            prev: wire.prev,
            seen: wire.seen,
            body,
            hash: Hash::of(bytes),
            bytes: bytes.to_vec(),
        }
    }

    fn check_shape(&self) -> Result<(), StatementError> {
        if (self.seq == 0) != self.prev.is_none() {
            return Err(StatementError::Chain { seq: self.seq });
        }
        let genesis = matches!(self.body, Body::Genesis(_));
        if genesis && (self.log != Hash::default() || self.seen.is_some() || self.seq != 0) {
            return Err(StatementError::Genesis("a genesis has no log, chain or head before it"));
        }
        if !genesis && (self.log == Hash::default() || self.seen.is_none()) {
            return Err(StatementError::Genesis("only a genesis has no log and has seen no head"));
        }
        Ok(())
    }
}

fn signed_part(bytes: &[u8]) -> Vec<u8> {
    [DOMAIN, &bytes[..bytes.len() - SIGNATURE_BYTES]].concat()
}
