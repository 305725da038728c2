//! Checkpoints: a log's size and root, signed by the log and cosigned by witnesses.
//!
//! Sources: C2SP, tlog-checkpoint and tlog-cosignature.

use super::{
    Hash, MAX_SIZE,
    note::{KeyKind, KeyName, Note, NoteError, NoteSignature, Signed, VerifierKey, beginning},
};
use ids::{Identity, Signature};
use std::{fmt, str::FromStr};

/// What a log says of itself: how long it is and what its root is.
///
/// Encoding: printed as the text of the note, `ORIGIN\nSIZE\nBASE64\n` and a line for each
/// extension; what was read prints as the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Which log it is: one line, not empty.
    pub origin: String,
    /// How many leaves it has, at most [`MAX_SIZE`].
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
    /// Further lines, none of them empty; nobody checks what they say.
    pub extensions: Vec<String>,
}

/// A checkpoint as a note, with its signatures; reading it verifies none of them.
///
/// Encoding: printed as the note; in CBOR that text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

/// Why text is not a checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// It is not even a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A line is missing, empty or not what it has to be.
    #[error("a checkpoint's {line} is wrong: {text:?}")]
    Line {
        /// Which line.
        line: &'static str,
        /// Its beginning.
        text: String,
    },
}

impl Checkpoint {
    /// A checkpoint without extensions.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Self {
        Self { origin: origin.into(), size, root, extensions: vec![] }
    }

    /// Signs it with the log's key, under the origin as the key's name.
    ///
    /// Errors: the fields make no checkpoint that would be read, or the origin no key's name.
    pub fn sign(self, log: &Identity) -> Result<SignedCheckpoint, CheckpointError> {
        let name: KeyName = self.origin.parse()?;
        let mut note = self.to_note()?;
        note.add(note.sign(log, &name))?;
        Ok(SignedCheckpoint { checkpoint: self, note })
    }

    /// The text to sign, which everybody reads as this checkpoint.
    fn to_note(&self) -> Result<Note, CheckpointError> {
        let note = Note::new(self.to_string())?;
        let read: Self = note.text().parse()?;
        if read != *self {
            return Err(wrong("extension", &self.extensions.concat()));
        }
        Ok(note)
    }
}

impl SignedCheckpoint {
    /// Reads a note whose text is a checkpoint. No signature is verified.
    ///
    /// Errors: [`CheckpointError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: note.text().parse()?, note })
    }

    /// The checkpoint with a signature of `log` that is already there, from elsewhere; whether it
    /// holds is not checked.
    ///
    /// Errors: the fields make no checkpoint that would be read.
    pub fn with_signature(
        checkpoint: Checkpoint,
        log: &VerifierKey,
        signature: &Signature,
    ) -> Result<Self, CheckpointError> {
        let mut note = checkpoint.to_note()?;
        note.add(NoteSignature::new(log, &signature.0))?;
        Ok(Self { checkpoint, note })
    }

    /// The bare signature of `log`; none if it did not sign, or wrongly.
    pub fn signature(&self, log: &VerifierKey) -> Option<Signature> {
        let line = self.note.signatures_by(log).next()?;
        let signature = line.bytes().try_into().ok()?;
        (self.signed_by(log) == Signed::Yes).then_some(Signature(signature))
    }

    /// What is signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, with its signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Whether `log` signed it.
    pub fn signed_by(&self, log: &VerifierKey) -> Signed {
        self.note.signed_by(log)
    }

    /// Whether one of `keys` signed it, and no line that claims to be by one of them is wrong.
    pub fn signed_by_one_of(&self, keys: &[VerifierKey]) -> bool {
        let found: Vec<Signed> = keys.iter().map(|key| self.signed_by(key)).collect();
        found.contains(&Signed::Yes) && !found.contains(&Signed::Wrong)
    }

    /// The cosignature of `witness` on it at `time`, in seconds since 1970.
    ///
    /// It says: this is the largest tree that the witness has seen of this log, and it continues
    /// all others. Only [`super::Witness`] checks that.
    ///
    /// Panics: `time` is beyond 2⁶³ − 1, which the format does not have.
    pub fn cosign(&self, witness: &Identity, name: &KeyName, time: u64) -> NoteSignature {
        assert!(time <= MAX_TIME, "a cosignature's time is below 2^63, not {time}");
        let key = VerifierKey::new(name.clone(), KeyKind::Witness, witness.id());
        let signature = witness.sign(&self.cosigned(time)).0;
        NoteSignature::new(&key, &[&time.to_be_bytes()[..], &signature].concat())
    }

    /// When `witness` cosigned it, in seconds since 1970.
    ///
    /// The earliest time if it did so more than once; none if no line claims so.
    ///
    /// Errors: [`WrongCosignature`] if a line claims so and does not hold: such a note is spoilt,
    /// as the format demands.
    pub fn cosigned_by(&self, witness: &VerifierKey) -> Result<Option<u64>, WrongCosignature> {
        if witness.kind() != KeyKind::Witness {
            return Ok(None);
        }
        let mut earliest = None;
        for signature in self.note.signatures_by(witness) {
            let time = self.time_of(signature, witness);
            let time = time.ok_or_else(|| WrongCosignature { witness: witness.name().clone() })?;
            earliest = Some(earliest.map_or(time, |earliest: u64| earliest.min(time)));
        }
        Ok(earliest)
    }

    /// Adds a signature, unless the same is there.
    ///
    /// Errors: the note would become longer than any that is read.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        self.note.add(signature)
    }

    /// The checkpoint with the signatures of `keys` alone.
    pub fn only(&self, keys: &[VerifierKey]) -> Self {
        let ids: Vec<_> = keys.iter().map(|key| (key.name(), key.id())).collect();
        let mut kept = self.clone();
        kept.note.retain(|s| ids.contains(&(s.name(), s.key_id())));
        kept
    }

    fn time_of(&self, signature: &NoteSignature, witness: &VerifierKey) -> Option<u64> {
        let (time, signature) = signature.bytes().split_first_chunk()?;
        let time = u64::from_be_bytes(*time);
        let signature = Signature(signature.try_into().ok()?);
        let holds = time <= MAX_TIME && witness.key().verifies(&self.cosigned(time), &signature);
        holds.then_some(time)
    }

    /// What a witness signs.
    fn cosigned(&self, time: u64) -> Vec<u8> {
        format!("cosignature/v1\ntime {time}\n{}", self.note.text()).into_bytes()
    }
}

/// A line says that a witness cosigned, and the witness's key says otherwise.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the cosignature of {witness} does not hold")]
pub struct WrongCosignature {
    /// Whose it claims to be.
    pub witness: KeyName,
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or_else(|| wrong("last newline", ""))?;
        let mut lines = lines.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        let (origin, size, root) = (line(), line(), line());
        if !is_line(origin) {
            return Err(wrong("origin", origin));
        }
        let size = parse_size(size).ok_or_else(|| wrong("size", size))?;
        let root = Hash::from_base64(root).ok_or_else(|| wrong("root", root))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if let Some(line) = extensions.iter().find(|line| !is_line(line)) {
            return Err(wrong("extension", line));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root.base64())?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.note, f)
    }
}

impl<C> minicbor::Encode<C> for SignedCheckpoint {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for SignedCheckpoint {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::parse(d.str()?.as_bytes()).map_err(minicbor::decode::Error::custom)
    }
}

/// A size in decimal, without sign or leading zeros, of at most [`MAX_SIZE`].
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok().filter(|size| *size <= MAX_SIZE)
}

/// The latest time that a cosignature can have.
pub(super) const MAX_TIME: u64 = i64::MAX as u64;

fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c < ' ')
}

fn wrong(line: &'static str, text: &str) -> CheckpointError {
    CheckpointError::Line { line, text: beginning(text) }
}
