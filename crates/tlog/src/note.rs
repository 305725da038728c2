//! Signed notes: text, and lines of signatures below it.
//!
//! Source: C2SP, signed-note.

use base64::{Engine, engine::general_purpose::STANDARD};
use ids::{Identity, PeerId, Signature};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// How many bytes a note may have: room for sixteen signatures of the largest kind.
pub const MAX_NOTE: usize = 128 << 10;

/// How many signatures a note may have.
pub const MAX_SIGNATURES: usize = 64;

/// A text and who signed it.
///
/// Nothing is verified by reading a note: the text means nothing before a signature of a key that
/// is trusted was found to hold.
///
/// Encoding: printed as the note itself; what was read prints as the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line of a note.
///
/// Encoding: printed as the line without its newline, `— NAME BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

/// The name of a key: not empty, without white space, plus or control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// What a key signs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Ed25519 over a note's text: a log's signature. Type byte `01`.
    Log,
    /// Ed25519 over a checkpoint and a time: a witness's cosignature. Type byte `04`.
    Witness,
}

/// A public key under a name, to verify signatures of notes with.
///
/// Encoding: as text `NAME+ID+KEY`, the id in eight lower-case hex digits, the key's type byte
/// and 32 bytes in base64; in CBOR that text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey {
    name: KeyName,
    kind: KeyKind,
    key: PeerId,
}

/// Why text is not a note, a signature line, a key or its name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// More bytes than are read.
    #[error("a note of {len} bytes, at most {MAX_NOTE} are read")]
    TooLong {
        /// How many bytes there are.
        len: usize,
    },
    /// More signatures than are read.
    #[error("a note of more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// Not UTF-8, or a control character.
    #[error("a note with bytes that are no text, at byte {at}")]
    NotText {
        /// Where the first one is.
        at: usize,
    },
    /// No newline at the end, no empty line, or no signature after it.
    #[error("a note is text, an empty line and signature lines, each ending in a newline")]
    Shape,
    /// A line below the text is not a signature.
    #[error("not a signature line: {line:?}")]
    SignatureLine {
        /// The line's beginning.
        line: String,
    },
    /// Not the name of a key.
    #[error("not the name of a key: {name:?}")]
    KeyName {
        /// The name's beginning.
        name: String,
    },
    /// Not a key in text.
    #[error("not a verifier key, because of its {part}: {text:?}")]
    VerifierKey {
        /// What is wrong with it.
        part: &'static str,
        /// The text's beginning.
        text: String,
    },
}

impl Note {
    /// A note with `text`, without signatures as yet.
    ///
    /// Errors: `text` does not end in a newline, has a control character or is too long.
    pub fn new(text: String) -> Result<Self, NoteError> {
        check_text(text.as_bytes())?;
        if text.ends_with('\n') {
            Ok(Self { text, signatures: vec![] })
        } else {
            Err(NoteError::Shape)
        }
    }

    /// Reads a note, which has at least one signature.
    ///
    /// Errors: [`NoteError`]; never for a key that is not known.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = check_text(bytes)?;
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Shape)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Shape)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(line.parse()?);
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// What is signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of their lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The signatures that name and id say to be by `key`; whether they hold is not checked.
    pub fn signatures_by(&self, key: &VerifierKey) -> impl Iterator<Item = &NoteSignature> {
        let id = key.id();
        self.signatures.iter().filter(move |s| s.name == key.name && s.key_id == id)
    }

    /// Adds a signature, unless the same is there.
    ///
    /// Errors: the note would become longer than any that is read.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let len = self.to_string().len() + signature.to_string().len() + 1;
        if len > MAX_NOTE {
            return Err(NoteError::TooLong { len });
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Signs the text as a log, under `name`.
    pub fn sign(&self, identity: &Identity, name: &KeyName) -> NoteSignature {
        let key = VerifierKey::new(name.clone(), KeyKind::Log, identity.id());
        NoteSignature::new(&key, &identity.sign(self.text.as_bytes()).0)
    }

    /// Whether `key`, a log's, signed the text.
    ///
    /// A line that claims to be by the key and does not hold spoils the note, as the format
    /// demands.
    pub fn signed_by(&self, key: &VerifierKey) -> Signed {
        if key.kind != KeyKind::Log {
            return Signed::No;
        }
        let mut found = Signed::No;
        for signature in self.signatures_by(key) {
            let holds = signature
                .bytes
                .as_slice()
                .try_into()
                .is_ok_and(|bytes| key.key.verifies(self.text.as_bytes(), &Signature(bytes)));
            found = if holds { Signed::Yes } else { return Signed::Wrong };
        }
        found
    }

    /// The note with the signatures that `keep` keeps.
    pub fn retain(&mut self, keep: impl FnMut(&NoteSignature) -> bool) {
        self.signatures.retain(keep);
    }
}

/// Whether a key signed a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// It did.
    Yes,
    /// No line claims so.
    No,
    /// A line claims so, and its signature does not hold.
    Wrong,
}

impl NoteSignature {
    /// The line that says that `key` made `signature`.
    pub(super) fn new(key: &VerifierKey, signature: &[u8]) -> Self {
        Self { name: key.name.clone(), key_id: key.id(), bytes: signature.to_vec() }
    }

    /// Under which name the key signs.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Which of the name's keys it is.
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// What the key's kind makes of the text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl KeyName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyKind {
    /// The type byte that goes into the key's id.
    pub fn type_byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }
}

impl VerifierKey {
    /// `key` under `name`.
    pub fn new(name: KeyName, kind: KeyKind, key: PeerId) -> Self {
        Self { name, kind, key }
    }

    /// The name it signs under.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key.
    pub fn key(&self) -> PeerId {
        self.key
    }

    /// What tells it from other keys of its name: the first bytes of SHA-256 over name, newline,
    /// type byte and key.
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(self.name.0.as_bytes())
            .chain_update([b'\n', self.kind.type_byte()])
            .chain_update(self.key.0)
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let error = || NoteError::SignatureLine { line: beginning(line) };
        let rest = line.strip_prefix("\u{2014} ").ok_or_else(error)?;
        let (name, signature) = rest.split_once(' ').ok_or_else(error)?;
        let name = name.parse().map_err(|_| error())?;
        let signature = decode_base64(signature).ok_or_else(error)?;
        let (key_id, bytes) = signature.split_first_chunk().ok_or_else(error)?;
        if bytes.is_empty() {
            return Err(error());
        }
        Ok(Self { name, key_id: *key_id, bytes: bytes.to_vec() })
    }
}

impl FromStr for KeyName {
    type Err = NoteError;

    fn from_str(name: &str) -> Result<Self, NoteError> {
        let wrong = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        if name.is_empty() || name.len() > MAX_NOTE || name.contains(wrong) {
            return Err(NoteError::KeyName { name: beginning(name) });
        }
        Ok(Self(name.to_owned()))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let error = |part| NoteError::VerifierKey { part, text: beginning(text) };
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or_else(|| error("shape"));
        let (name, id, key) = (part()?, part()?, part()?);
        let name = name.parse().map_err(|_| error("name"))?;
        let key: [u8; 33] = match decode_base64(key).map(Vec::try_into) {
            Some(Ok(key)) => key,
            _ => return Err(error("key")),
        };
        let (kind, key) = key.split_first().expect("of 33 bytes one is the first");
        let kind = match kind {
            1 => KeyKind::Log,
            4 => KeyKind::Witness,
            _ => return Err(error("type")),
        };
        let key = PeerId(key.try_into().expect("of 33 bytes 32 are the rest"));
        let key = Self { name, kind, key };
        if hex(key.id()) == id { Ok(key) } else { Err(error("id")) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = STANDARD.encode([&self.key_id[..], &self.bytes].concat());
        write!(f, "\u{2014} {} {signature}", self.name)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[self.kind.type_byte()], &self.key.0[..]].concat());
        write!(f, "{}+{}+{key}", self.name, hex(self.id()))
    }
}

impl<C> minicbor::Encode<C> for VerifierKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for VerifierKey {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?.parse().map_err(minicbor::decode::Error::custom)
    }
}

/// `bytes` as text without control characters but newlines.
fn check_text(bytes: &[u8]) -> Result<&str, NoteError> {
    if bytes.len() > MAX_NOTE {
        return Err(NoteError::TooLong { len: bytes.len() });
    }
    if let Some(at) = bytes.iter().position(|b| *b < 0x20 && *b != b'\n') {
        return Err(NoteError::NotText { at });
    }
    std::str::from_utf8(bytes).map_err(|e| NoteError::NotText { at: e.valid_up_to() })
}

/// Base64 with padding and without stray bits: one spelling for all bytes.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

/// As much of `text` as a message shows.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}
