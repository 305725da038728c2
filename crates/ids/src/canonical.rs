//! Deterministic CBOR: of every value exactly one encoding is read.

use minicbor::{Decode, Encode};

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// More bytes than anything of this kind may have.
    #[error("{what} of {len} bytes, at most {max} are read")]
    TooLong {
        /// What was decoded.
        what: &'static str,
        /// How many bytes there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// Not CBOR of the right shape.
    #[error("{what} does not decode: {why}")]
    Malformed {
        /// What was decoded.
        what: &'static str,
        /// What CBOR says.
        why: String,
    },
    /// CBOR, but not the only encoding of its content that is allowed.
    #[error("{what} is not in canonical form")]
    NotCanonical {
        /// What was decoded.
        what: &'static str,
    },
}

/// The one encoding of `value`.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory cannot fail")
}

/// Decodes `bytes` and demands that encoding the result gives the same bytes again.
pub fn decode<T>(what: &'static str, bytes: &[u8], max: usize) -> Result<T, DecodeError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    if bytes.len() > max {
        return Err(DecodeError::TooLong { what, len: bytes.len(), max });
    }
    let value: T =
        minicbor::decode(bytes).map_err(|e| DecodeError::Malformed { what, why: e.to_string() })?;
    if encode(&value) != bytes {
        return Err(DecodeError::NotCanonical { what });
    }
    Ok(value)
}
