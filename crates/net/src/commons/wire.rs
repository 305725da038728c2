//! What members of a commons ask each other, byte by byte.
//!
//! Connections are made, greeted and kept as those of a run (see `crate::transport::wire`), under another
//! protocol name and with the commons' id for the run's. A message on the kept stream is a
//! [`News`]; everything else is asked on bidirectional streams, one each, which the asker closes
//! after the request and the other after the answer:
//!
//! ```text
//! request   kind u8 · body to the end of the stream
//! answer    status u8 (0 here it is, 1 not here, 2 busy) · body to the end of the stream
//!
//! kind 1    what is your head       CBOR [above]             → CBOR [size, [note…], pending, witness]
//! kind 2    statements of a log     CBOR [log, first, head, most bytes]  → CBOR range proof
//! kind 3    a commons' genesis      CBOR [id]                → the statement
//! kind 4    how did it grow         CBOR [old, new]          → CBOR [root at old, [hash…]]
//! kind 5    what waits              nothing                  → CBOR [[hash…]]
//! kind 6    give me statements      CBOR [[hash…]]           → CBOR [[statement…]]
//! kind 7    please add              CBOR [[statement…]]      → CBOR [[why not or null…]]
//! kind 8    please cosign           C2SP add-checkpoint      → HTTP status u16 LE · its body
//! kind 9    how long is an object   CBOR [hash]              → CBOR [length]
//! kind 10   an object's bytes       the 48 bytes of `crate::transport::wire`, answered as there
//! kind 11   have you got these      CBOR [[hash…]]           → CBOR [[receipt…]]
//! ```

use crate::transport::wire::whole;
use commons::{
    follow::{MAX_RANGE, MAX_RANGE_BYTES, RangeProof},
    receipt::MAX_RECEIPT,
    statement::MAX_STATEMENT,
};
use ids::{Hash, PeerId};
use minicbor::{Decode, Encode, bytes::ByteVec};
use tlog::{Hash as TreeHash, MAX_NOTE, MAX_PROOF, MAX_REQUEST};

/// The name under which members' endpoints agree to speak this protocol.
pub const ALPN: &[u8] = b"understory-commons/2";

/// Statements in one request or answer of kinds 6 and 7.
pub(crate) const MAX_STATEMENTS: usize = 64;
/// Bytes of the statements in one request of kind 7 or answer of kind 6.
pub(crate) const MAX_BATCH_BYTES: usize = 1 << 20;
/// Heads in one answer.
pub(crate) const MAX_HEADS: usize = 8;

const HEAD: u8 = 1;
const RANGE: u8 = 2;
const GENESIS: u8 = 3;
const GROWTH: u8 = 4;
const PENDING: u8 = 5;
const STATEMENTS: u8 = 6;
const SUBMIT: u8 = 7;
const COSIGN: u8 = 8;
const LENGTH: u8 = 9;
const RECEIPTS: u8 = 11;
/// The kind of a request for an object's bytes.
pub(crate) const OBJECT: u8 = 10;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Head(HeadRequest),
    Range(RangeRequest),
    Genesis(Hash),
    Growth(GrowthRequest),
    Pending,
    Statements(Vec<Hash>),
    Submit(Vec<ByteVec>),
    Cosign(Vec<u8>),
    Length(Hash),
    Receipts(Vec<Hash>),
}

/// Which heads lead on from a log of `above` statements.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct HeadRequest {
    #[n(0)]
    pub above: u64,
}

/// Statements from `first` on, with the proof that they lead to the log of size `head`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RangeRequest {
    /// The commons whose log it is: this one or an ancestor.
    #[n(0)]
    pub log: Hash,
    #[n(1)]
    pub first: u64,
    #[n(2)]
    pub head: u64,
    /// Bytes of statements that the asker wants at a time.
    #[n(3)]
    pub most: u32,
}

/// How the log of size `old` grew into that of size `new`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct GrowthRequest {
    #[n(0)]
    pub old: u64,
    #[n(1)]
    pub new: u64,
}

/// What a member has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct HeadAnswer {
    /// Statements in its log.
    #[n(0)]
    pub size: u64,
    /// Notes of checkpoints, the smallest first: those between which the log was handed over, the
    /// newest that witnesses saw, the newest of all.
    #[n(1)]
    pub heads: Vec<String>,
    /// The digest of what waits.
    #[n(2)]
    pub pending: u64,
    /// The name and key with which it cosigns, if it is a witness.
    #[n(3)]
    pub witness: Option<WitnessName>,
}

/// How a witness is named in a commons' policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) struct WitnessName {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub key: PeerId,
}

/// The root at the old size, and the proof that the new log continues it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Growth {
    #[n(0)]
    pub root: TreeHash,
    #[n(1)]
    pub proof: Vec<TreeHash>,
}

/// The first byte of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Here = 0,
    NotHere = 1,
    Busy = 2,
}

/// A member's log or what waits there has changed: a hint to ask, and nothing more.
///
/// Encoding: size, covered and pending as u64 LE each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Statements in the log.
    pub size: u64,
    /// The size of the newest checkpoint.
    pub covered: u64,
    /// A digest of what waits.
    pub pending: u64,
}

/// A request or answer that no honest member sends.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what} is malformed or out of bounds")]
pub(crate) struct Malformed {
    pub what: &'static str,
}

impl Request {
    /// The request as it goes over the stream.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Head(body) => kind(HEAD, &cbor(body)),
            Self::Range(body) => kind(RANGE, &cbor(body)),
            Self::Genesis(id) => kind(GENESIS, &cbor(&[*id])),
            Self::Growth(body) => kind(GROWTH, &cbor(body)),
            Self::Pending => vec![PENDING],
            Self::Statements(hashes) => kind(STATEMENTS, &cbor(&[hashes])),
            Self::Submit(statements) => kind(SUBMIT, &cbor(&[statements])),
            Self::Cosign(body) => kind(COSIGN, body),
            Self::Length(hash) => kind(LENGTH, &cbor(&[*hash])),
            Self::Receipts(hashes) => kind(RECEIPTS, &cbor(&[hashes])),
        }
    }

    /// Bytes that a request of `kind` may have after the kind; `None` for no kind of request.
    pub fn bound(kind: u8) -> Option<usize> {
        Some(match kind {
            HEAD | GROWTH => 32,
            RANGE => 64,
            GENESIS | LENGTH => 40,
            PENDING => 0,
            STATEMENTS | RECEIPTS => 16 + 34 * MAX_STATEMENTS,
            SUBMIT => 16 + 5 * MAX_STATEMENTS + MAX_BATCH_BYTES,
            COSIGN => MAX_REQUEST,
            _ => return None,
        })
    }

    /// Whether reading the request costs much memory.
    pub fn is_large(kind: u8) -> bool {
        matches!(kind, SUBMIT | COSIGN)
    }

    /// Reads a request.
    ///
    /// Errors: too long, too many, not CBOR of the kind's shape, or bytes after it.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, Malformed> {
        let malformed = Malformed { what: "a request" };
        if Self::bound(kind).is_none_or(|most| body.len() > most) {
            return Err(malformed);
        }
        let request = match kind {
            HEAD => whole(body).map(Self::Head),
            RANGE => whole(body).map(Self::Range),
            GENESIS => whole(body).map(|[id]: [Hash; 1]| Self::Genesis(id)),
            GROWTH => whole(body).map(Self::Growth),
            PENDING => Some(Self::Pending),
            STATEMENTS => whole(body).map(|[hashes]: [Vec<Hash>; 1]| Self::Statements(hashes)),
            SUBMIT => whole(body).map(|[all]: [Vec<ByteVec>; 1]| Self::Submit(all)),
            COSIGN => Some(Self::Cosign(body.to_vec())),
            LENGTH => whole(body).map(|[hash]: [Hash; 1]| Self::Length(hash)),
            RECEIPTS => whole(body).map(|[hashes]: [Vec<Hash>; 1]| Self::Receipts(hashes)),
            _ => None,
        };
        request.filter(Self::is_bounded).ok_or(malformed)
    }

    fn is_bounded(&self) -> bool {
        match self {
            Self::Statements(hashes) | Self::Receipts(hashes) => hashes.len() <= MAX_STATEMENTS,
            Self::Submit(statements) => {
                statements.len() <= MAX_STATEMENTS
                    && statements.iter().all(|s| s.len() <= MAX_STATEMENT)
            }
            _ => true,
        }
    }

    /// Bytes that an answer to this request may have after the status.
    pub fn answer_bound(&self) -> usize {
        match self {
            Self::Head(_) => 512 + MAX_HEADS * (MAX_NOTE + 8),
            Self::Range(_) => MAX_RANGE_BYTES + MAX_STATEMENT + 5 * MAX_RANGE + 34 * MAX_PROOF + 64,
            Self::Genesis(_) => MAX_STATEMENT,
            Self::Growth(_) => 64 + 34 * MAX_PROOF,
            Self::Pending => 16 + 34 * commons::MAX_PENDING as usize,
            Self::Statements(_) => 16 + 5 * MAX_STATEMENTS + MAX_BATCH_BYTES,
            Self::Submit(_) => 16 + MAX_STATEMENTS * (MAX_REASON + 8),
            Self::Cosign(_) => 2 + MAX_NOTE,
            Self::Length(_) => 16,
            Self::Receipts(_) => 16 + MAX_STATEMENTS * (MAX_RECEIPT + 3),
        }
    }
}

/// Bytes of the reason why a statement was not taken.
pub(crate) const MAX_REASON: usize = 200;

impl HeadAnswer {
    /// Reads an answer.
    ///
    /// Errors: not CBOR of its shape, or too many heads.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let malformed = Malformed { what: "an answer about the head" };
        let name_fits = |w: &WitnessName| w.name.len() <= 256;
        whole::<Self>(body)
            .filter(|a| a.heads.len() <= MAX_HEADS && a.witness.as_ref().is_none_or(name_fits))
            .ok_or(malformed)
    }
}

/// Reads a range; [`commons::follow`] checks what is in it.
///
/// Errors: not CBOR of its shape, or too many statements or hashes.
pub(crate) fn decode_range(body: &[u8]) -> Result<RangeProof, Malformed> {
    let fits = |r: &RangeProof| r.entries.len() <= MAX_RANGE && r.proof.len() <= MAX_PROOF;
    whole::<RangeProof>(body).filter(fits).ok_or(Malformed { what: "a range" })
}

/// Reads a [`Growth`].
///
/// Errors: not CBOR of its shape, or too many hashes.
pub(crate) fn decode_growth(body: &[u8]) -> Result<Growth, Malformed> {
    let fits = |g: &Growth| g.proof.len() <= MAX_PROOF;
    whole::<Growth>(body).filter(fits).ok_or(Malformed { what: "a proof of growth" })
}

/// Reads a list of at most `most` items in an array of one.
///
/// Errors: not CBOR of its shape, or too many.
pub(crate) fn decode_list<T>(
    what: &'static str,
    body: &[u8],
    most: usize,
) -> Result<Vec<T>, Malformed>
where
    T: for<'b> Decode<'b, ()>,
{
    let list = whole(body).map(|[list]: [Vec<T>; 1]| list);
    list.filter(|list| list.len() <= most).ok_or(Malformed { what })
}

impl Status {
    /// The status of a byte, if there is one.
    pub fn decode(byte: u8) -> Option<Self> {
        [Self::Here, Self::NotHere, Self::Busy].into_iter().find(|s| *s as u8 == byte)
    }
}

impl News {
    /// The 24 bytes of the hint.
    pub fn encode(&self) -> Vec<u8> {
        [self.size, self.covered, self.pending].iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    /// Reads a hint.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let [size, covered, pending] = *words else { return None };
        let [size, covered, pending] = [size, covered, pending].map(u64::from_le_bytes);
        Some(Self { size, covered, pending })
    }
}

/// CBOR of a value that is in memory already.
pub(crate) fn cbor<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory does not fail")
}

fn kind(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let hash = Hash::of(b"x");
        vec![
            Request::Head(HeadRequest { above: u64::MAX }),
            Request::Range(RangeRequest {
                log: hash,
                first: u64::MAX,
                head: u64::MAX,
                most: u32::MAX,
            }),
            Request::Genesis(hash),
            Request::Growth(GrowthRequest { old: u64::MAX, new: u64::MAX }),
            Request::Pending,
            Request::Statements(vec![hash; MAX_STATEMENTS]),
            Request::Submit(vec![vec![7; 16_000].into(); MAX_STATEMENTS]),
            Request::Cosign(vec![9; MAX_REQUEST]),
            Request::Length(hash),
            Request::Receipts(vec![hash; MAX_STATEMENTS]),
        ]
    }

    #[test]
    fn requests_of_the_largest_size_read_back() {
        for request in requests() {
            let bytes = request.encode();
            assert_eq!(Request::decode(bytes[0], &bytes[1..]), Ok(request.clone()), "{}", bytes[0]);
            assert_ne!(bytes[0], OBJECT);
        }
    }

    #[test]
    fn requests_with_too_much_in_them_are_refused() {
        let hash = Hash::of(b"x");
        let many = [
            Request::Statements(vec![hash; MAX_STATEMENTS + 1]),
            Request::Receipts(vec![hash; MAX_STATEMENTS + 1]),
            Request::Submit(vec![vec![7; 1].into(); MAX_STATEMENTS + 1]),
            Request::Submit(vec![vec![7; MAX_STATEMENT + 1].into()]),
            Request::Cosign(vec![9; MAX_REQUEST + 1]),
        ];
        for request in many.map(|r| r.encode()) {
            assert!(Request::decode(request[0], &request[1..]).is_err());
        }
        for request in requests() {
            let mut bytes = request.encode();
            bytes.push(0);
            let again = Request::decode(bytes[0], &bytes[1..]);
            assert!(again.is_err() || matches!(request, Request::Cosign(_)));
        }
        assert!(Request::decode(OBJECT, &[0; 48]).is_err());
        assert!(Request::decode(0, &[]).is_err());
    }

    #[test]
    fn a_hint_is_24_bytes() {
        let news = News { size: 1, covered: 2, pending: u64::MAX };
        assert_eq!(News::decode(&news.encode()), Some(news));
        assert_eq!(News::decode(&[0; 23]), None);
        assert_eq!(News::decode(&[0; 32]), None);
    }
}
