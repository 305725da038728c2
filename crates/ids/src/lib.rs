//! What names things: hashes of objects, keys of peers, and the one way in which each is written.
//!
//! A [`struct@Hash`] is a BLAKE3 of bytes, an [`ObjectRef`] adds their length. A [`PeerId`] is an Ed25519
//! public key and an [`Identity`] the secret one. [`canonical`] is the deterministic CBOR in which
//! everything is hashed and signed; [`key_file`] is a secret key as a text. [`name`] says what
//! people may call things. [`plain`] makes foreign text safe for a terminal or a page.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod as_text;
pub mod canonical;
mod hash;
mod identity;
pub mod key_file;
pub mod name;
mod object_ref;
mod pieces;
mod plain;

pub use canonical::DecodeError;
pub use hash::{Hash, ParseHashError};
pub use identity::{Identity, ParsePeerIdError, PeerId, Signature};
pub use object_ref::ObjectRef;
pub use plain::{
    IN_LINE, Plain, PlainStream, Quoted, Short, is_plain, plain, plain_lines, plain_short,
};
