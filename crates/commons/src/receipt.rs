//! An operator's receipt: that it has a statement and will give it its place.
//!
//! Nobody can be charged with leaving out what it may never have got. So a statement is overdue
//! only against a receipt: the operator signed that it has it when the log was so long, and has
//! signed heads since that lack it.

use ids::{
    DecodeError, Hash, Identity, PeerId, Signature,
    canonical::{decode, encode},
};
use minicbor::{Decode, Encode};

/// What every signature on a receipt covers first: no other thing that an operator signs begins so.
const DOMAIN: &[u8] = b"understory commons 1 receipt\n";

/// Bytes a receipt may have.
pub const MAX_RECEIPT: usize = 256;

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

    fn signed_part(&self) -> Vec<u8> {
        let Self { log, statement, size, operator, .. } = *self;
        [DOMAIN, &encode(&Signed { log, statement, size, operator })].concat()
    }
}
