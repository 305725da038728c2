//! Signed things: the bytes that were signed are the bytes that are kept and passed on.

use ids::{
    DecodeError, Hash, Identity, PeerId, Signature,
    canonical::{decode, encode},
};
use minicbor::{Decode, Encode};
use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What every signature of this protocol covers first.
const DOMAIN: &[u8] = b"understory swarm 2";

/// A statement of one author about one run.
///
/// Encoding: CBOR array `[kind, run, author, body, signature]` with `body` a byte string. The
/// signature is over `"understory swarm 2" ‖ kind (one byte) ‖ run ‖ author ‖ body`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Envelope {
    /// What the body is: [`Body::KIND`].
    #[n(0)]
    pub kind: u8,
    /// The run's id.
    #[n(1)]
    pub run: Hash,
    /// Who says it.
    #[n(2)]
    pub author: PeerId,
    /// The CBOR of the body.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub body: Vec<u8>,
    /// Over everything above.
    #[n(4)]
    pub signature: Signature,
}

/// Something that can be signed.
pub trait Body: Encode<()> + for<'b> Decode<'b, ()> + Clone {
    /// Keeps a signature of one kind of statement from counting as another.
    const KIND: u8;
}

impl Envelope {
    /// What the signature covers.
    fn signed_bytes(kind: u8, run: &Hash, author: &PeerId, body: &[u8]) -> Vec<u8> {
        [DOMAIN, &[kind], &run.0, &author.0, body].concat()
    }

    /// Whether the author signed exactly this.
    pub fn is_signed(&self) -> bool {
        let bytes = Self::signed_bytes(self.kind, &self.run, &self.author, &self.body);
        self.author.verifies(&bytes, &self.signature)
    }

    /// A name for this very statement, signature included.
    pub fn hash(&self) -> Hash {
        Hash::of_parts("understory swarm 2 envelope", &[&encode(self)])
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope(kind {}, by {}, {})", self.kind, self.author.short(), self.hash())
    }
}

/// An envelope together with its decoded body. That it decodes says nothing about the signature:
/// [`Signed::is_signed`] does.
///
/// Encoding: that of the [`Envelope`].
#[derive(Clone)]
pub struct Signed<T> {
    envelope: Envelope,
    body: T,
    hash: Hash,
}

impl<T: Body> Signed<T> {
    /// Signs `body` for `run`.
    pub fn seal(identity: &Identity, run: &Hash, body: T) -> Self {
        let (author, bytes) = (identity.id(), encode(&body));
        let signature = identity.sign(&Envelope::signed_bytes(T::KIND, run, &author, &bytes));
        Self::with(Envelope { kind: T::KIND, run: *run, author, body: bytes, signature }, body)
    }

    /// Puts together a statement of which only body and signature were kept.
    pub fn assemble(run: &Hash, author: PeerId, body: T, signature: Signature) -> Self {
        let bytes = encode(&body);
        Self::with(Envelope { kind: T::KIND, run: *run, author, body: bytes, signature }, body)
    }

    /// Reads the body of an envelope.
    ///
    /// Errors: [`DecodeError`] for another kind of statement or a body that is malformed.
    pub fn open(envelope: Envelope) -> Result<Self, DecodeError> {
        let what = "signed body";
        if envelope.kind != T::KIND {
            let why = format!("kind is {}, expected {}", envelope.kind, T::KIND);
            return Err(DecodeError::Malformed { what, why });
        }
        let body = decode(what, &envelope.body, crate::MAX_MESSAGE)?;
        Ok(Self::with(envelope, body))
    }

    fn with(envelope: Envelope, body: T) -> Self {
        let hash = envelope.hash();
        Self { envelope, body, hash }
    }

    /// Who says it.
    pub fn author(&self) -> PeerId {
        self.envelope.author
    }

    /// What is said.
    pub fn body(&self) -> &T {
        &self.body
    }

    /// The envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The author's signature.
    pub fn signature(&self) -> Signature {
        self.envelope.signature
    }

    /// A name for this very statement ([`Envelope::hash`]).
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether it is about `run` and its author signed it.
    pub fn is_signed(&self, run: &Hash) -> bool {
        self.envelope.run == *run && self.envelope.is_signed()
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.envelope == other.envelope
    }
}

impl<T> Eq for Signed<T> {}

impl<T: fmt::Debug> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} by {}", self.body, self.envelope.author.short())
    }
}

impl<T, C> Encode<C> for Signed<T> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        c: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.envelope.encode(e, c)
    }
}

impl<'b, T: Body, C> Decode<'b, C> for Signed<T> {
    fn decode(d: &mut minicbor::Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::open(Envelope::decode(d, c)?).map_err(minicbor::decode::Error::message)
    }
}

/// Remembers which signatures were found right, so that a statement that comes again, or comes
/// inside a record, is not checked twice. Clones share the memory: right is right for everybody.
#[derive(Clone, Default)]
pub struct SignatureCache {
    right: Arc<Mutex<BTreeSet<Hash>>>,
}

impl SignatureCache {
    /// Signatures remembered before the memory starts over.
    const MAX: usize = 1 << 14;

    /// Whether `envelope` is about `run` and its author signed it.
    pub fn is_signed(&self, envelope: &Envelope, run: &Hash) -> bool {
        self.is_named_signed(envelope, &envelope.hash(), run)
    }

    /// The same for a statement whose name is known.
    pub fn is_right<T: Body>(&self, statement: &Signed<T>, run: &Hash) -> bool {
        self.is_named_signed(statement.envelope(), &statement.hash, run)
    }

    fn is_named_signed(&self, envelope: &Envelope, name: &Hash, run: &Hash) -> bool {
        if envelope.run != *run {
            return false;
        }
        if self.lock().contains(name) {
            return true;
        }
        let right = envelope.is_signed();
        if right {
            let mut known = self.lock();
            if known.len() >= Self::MAX {
                known.clear();
            }
            known.insert(*name);
        }
        right
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Hash>> {
        // A set of hashes is right whatever happened to the thread that held it.
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
