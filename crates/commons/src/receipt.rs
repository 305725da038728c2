//! An operator's receipt: that it has a statement and will give it its place.
//!
//! Nobody can be charged with leaving out what it may never have got. So a statement is overdue
//! only against a receipt: the operator signed that it has it when the log was so long, and has
//! signed heads since that lack it.

use crate::{Archive, ArchiveError, Pending, Statement, follow::MAX_RANGE_BYTES, state::State};
use ids::{
    DecodeError, Hash, Identity, PeerId, Signature,
    canonical::{decode, encode},
};
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// What every signature on a receipt covers first: no other thing that an operator signs begins so.
const DOMAIN: &[u8] = b"understory commons 1 receipt\n";

/// Bytes a receipt may have.
pub const MAX_RECEIPT: usize = 256;

/// Statements with a receipt that may wait at a time: as many as the next batch has room for, so
/// that an honest operator keeps its word whatever comes meanwhile. Of one author a sixteenth.
const MAX_PROMISED: (usize, usize) = (2048, MAX_RANGE_BYTES / 2);
const AUTHOR_PART: usize = 16;

/// That an operator has a statement.
///
/// Encoding: the CBOR array `[log, statement, size, operator, signature]`. The signature covers
/// `"understory commons 1 receipt\n"` and the array of the first four.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Receipt {
    /// The commons.
    #[n(0)]
    pub log: Hash,
    /// The statement.
    #[n(1)]
    pub statement: Hash,
    /// How many statements the log had.
    #[n(2)]
    pub size: u64,
    /// Who operates the log and signs.
    #[n(3)]
    pub operator: PeerId,
    /// Over all of that.
    #[n(4)]
    pub signature: Signature,
}

#[derive(Encode)]
struct Signed {
    #[n(0)]
    log: Hash,
    #[n(1)]
    statement: Hash,
    #[n(2)]
    size: u64,
    #[n(3)]
    operator: PeerId,
}

impl Receipt {
    /// Signs that `operator` has `statement`, of a log of `size` statements.
    pub fn sign(operator: &Identity, log: Hash, statement: Hash, size: u64) -> Self {
        let mut receipt =
            Self { log, statement, size, operator: operator.id(), signature: Signature([0; 64]) };
        receipt.signature = operator.sign(&receipt.signed_part());
        receipt
    }

    /// Reads a receipt and checks its signature; whether its signer operates the log is for
    /// [`Self::is_of`].
    ///
    /// Errors: not the one encoding of a receipt, or not signed by whom it names.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let receipt = Self::parse_unsigned(bytes)?;
        if !receipt.operator.verifies(&receipt.signed_part(), &receipt.signature) {
            let why = "the signature is not its operator's".to_owned();
            return Err(DecodeError::Malformed { what: "receipt", why });
        }
        Ok(receipt)
    }

    /// [`Self::parse`] without the signature: for receipts that were checked before they were kept.
    pub(crate) fn parse_unsigned(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode("receipt", bytes, MAX_RECEIPT)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Whether it is of this log, and by whoever operated it at that size, which the log has
    /// reached: a promise for a log that does not exist yet would never be due.
    pub fn is_of(&self, state: &State) -> bool {
        self.log == state.id
            && (1..=state.size).contains(&self.size)
            && self.operator == state.operator_at(self.size)
    }

    fn signed_part(&self) -> Vec<u8> {
        let Self { log, statement, size, operator, .. } = *self;
        [DOMAIN, &encode(&Signed { log, statement, size, operator })].concat()
    }
}

/// Signs receipts for those of `wanted` that wait here and are ready for their place, durably
/// before they are returned; what has one gets the same again. `admit` says whether somebody who is
/// no member may have a place now ([`crate::operator::is_members`]).
///
/// Errors: the log cannot be read or written.
pub fn promise(
    archive: &Archive,
    state: &State,
    operator: &Identity,
    wanted: &BTreeSet<Hash>,
    admit: &mut dyn FnMut(&Statement) -> bool,
) -> Result<Vec<Receipt>, ArchiveError> {
    if state.operator() != operator.id() {
        return Ok(Vec::new());
    }
    let pending = archive.snapshot()?.pending()?;
    let mut room = Room::default();
    let is_own = |p: &Pending| p.receipt.is_some_and(|r| r.operator == operator.id());
    pending.iter().filter(|p| is_own(p)).for_each(|p| {
        room.take(&p.statement);
    });
    let (mut given, mut new) = (Vec::new(), Vec::new());
    let mut heads: BTreeMap<PeerId, (u64, Option<Hash>)> = BTreeMap::new();
    // Each author's in the order of its chain.
    for waiting in &pending {
        let (statement, hash) = (&waiting.statement, waiting.statement.hash());
        let head =
            heads.entry(statement.author).or_insert_with(|| state.chain_head(&statement.author));
        let ready = (statement.seq, statement.prev) == *head
            && statement.seen.is_some_and(|seen| seen.size <= state.size);
        if let Some(receipt) = waiting.receipt.filter(|_| is_own(waiting)) {
            given.extend(wanted.contains(&hash).then_some(receipt));
        } else if !ready
            || !wanted.contains(&hash)
            || !(crate::operator::is_members(state, statement) || admit(statement))
            || !room.take(statement)
        {
            continue;
        } else {
            let receipt = Receipt::sign(operator, state.id, hash, state.size);
            new.push(receipt);
        }
        if ready {
            *head = (statement.seq + 1, Some(hash));
        }
    }
    if !new.is_empty() {
        archive.keep_receipts(&new)?;
    }
    given.extend(new);
    Ok(given)
}

/// What may be promised beside what is.
#[derive(Default)]
struct Room {
    all: (usize, usize),
    authors: BTreeMap<PeerId, (usize, usize)>,
}

impl Room {
    fn take(&mut self, statement: &Statement) -> bool {
        let of_author = self.authors.entry(statement.author).or_default();
        let bytes = statement.bytes().len();
        let plus = |(count, sum): (usize, usize)| (count + 1, sum + bytes);
        let (all, own) = (plus(self.all), plus(*of_author));
        let fits = |(count, sum): (usize, usize), part: usize| {
            count <= MAX_PROMISED.0 / part && sum <= MAX_PROMISED.1 / part
        };
        if !fits(all, 1) || !fits(own, AUTHOR_PART) {
            return false;
        }
        (self.all, *of_author) = (all, own);
        true
    }
}
