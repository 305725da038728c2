//! Proofs that stand alone: files that somebody can check who knows a commons' id and has nothing
//! of its log.
//!
//! Each file has the genesis with it. The id is a hash of the genesis, and the genesis names the
//! log's operator and its witnesses. Whom the members named since then is in the log alone, so
//! there are two ways to judge a proof: by the genesis, or by the log of a member.

mod file;

pub use file::{ProofFileError, read};

use crate::{
    ArchiveError, Body, Snapshot, Statement, StatementError, origin,
    state::{Mark, Split, State, log_key, policy},
    statement::{Check, Evidence, MAX_STATEMENT},
};
use ids::{DecodeError, Hash, PeerId, canonical};
use minicbor::{Decode, Encode, bytes::ByteVec};
use tlog::{
    Checkpoint, Hash as TreeHash, MAX_SPLIT_PROOF, NotLogged, Policy, Signed, SignedCheckpoint,
    SplitError, SplitProof, TlogProof, TlogProofError, VerifierKey, Witnessed, inclusion_proof,
};

/// How many bytes a file may have.
pub const MAX_PORTABLE: usize = 2 * MAX_SPLIT_PROOF;

/// A proof that stands alone.
#[derive(Clone, Debug)]
pub enum Portable {
    /// A statement is in the log.
    Logged(Box<LoggedStatement>),
    /// The log's operator signed two histories.
    Split(Box<PortableSplit>),
}

/// That a statement is in the log of a commons.
///
/// Encoding: a C2SP tlog-proof, whose extra data is the CBOR array of two byte strings, the genesis
/// and the statement.
#[derive(Clone, Debug)]
pub struct LoggedStatement {
    /// The commons' first statement.
    pub genesis: Statement,
    /// The statement.
    pub statement: Statement,
    /// Where it is.
    pub proof: TlogProof,
}

/// That an operator of a commons' log signed two histories.
///
/// Encoding: the CBOR array of two byte strings, the genesis and the [`SplitProof`].
#[derive(Clone, Debug)]
pub struct PortableSplit {
    /// The commons' first statement.
    pub genesis: Statement,
    /// Both histories' heads.
    pub split: SplitProof,
}

/// Who may sign the log of a commons, and who must cosign, as far as somebody knows.
#[derive(Clone, Debug)]
pub struct Trust {
    origin: String,
    operators: Vec<VerifierKey>,
    policy: Policy,
}

/// Why a file holds no proof.
#[derive(Debug, thiserror::Error)]
pub enum PortableError {
    /// Not a tlog-proof.
    #[error(transparent)]
    TlogProof(#[from] TlogProofError),
    /// It does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A statement in it does not hold.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A tlog-proof of something else.
    #[error("the proof has no extra data with a genesis and a statement")]
    NoExtra,
    /// Its first statement begins no commons.
    #[error("the first statement in it is no genesis")]
    NoGenesis,
    /// The statement is not of the commons that the genesis begins.
    #[error("the statement is for commons {statement}, the genesis begins {genesis}")]
    Foreign {
        /// Whose the statement is.
        statement: Hash,
        /// Whose the genesis is.
        genesis: Hash,
    },
}

/// Two things in one file.
#[derive(Encode, Decode)]
struct Enclosed {
    #[n(0)]
    genesis: ByteVec,
    #[n(1)]
    content: ByteVec,
}

impl Portable {
    /// Reads a file: the signatures of statements are checked, nothing else.
    ///
    /// Errors: [`PortableError`], whatever the bytes are.
    pub fn parse(bytes: &[u8]) -> Result<Self, PortableError> {
        if bytes.starts_with(b"c2sp.org/") {
            let proof = TlogProof::parse(bytes)?;
            let extra = proof.extra.as_ref().ok_or(PortableError::NoExtra)?;
            let (genesis, content) = open(extra, 2 * MAX_STATEMENT + 16)?;
            let statement = Statement::parse(&content)?;
            let id = id_of(&genesis);
            if statement.log != id && statement != genesis {
                return Err(PortableError::Foreign { statement: statement.log, genesis: id });
            }
            return Ok(Self::Logged(Box::new(LoggedStatement { genesis, statement, proof })));
        }
        let (genesis, content) = open(bytes, MAX_PORTABLE)?;
        let split = SplitProof::parse(&content)?;
        Ok(Self::Split(Box::new(PortableSplit { genesis, split })))
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Logged(logged) => logged.proof.to_string().into_bytes(),
            Self::Split(split) => enclose(&split.genesis, split.split.to_bytes()),
        }
    }

    /// The commons' first statement.
    pub fn genesis(&self) -> &Statement {
        match self {
            Self::Logged(logged) => &logged.genesis,
            Self::Split(split) => &split.genesis,
        }
    }

    /// The id of the commons that it is about.
    pub fn commons(&self) -> Hash {
        id_of(self.genesis())
    }
}

impl LoggedStatement {
    /// The proof that the statement at `index` is in the log: with the newest mark that covers it
    /// and that the genesis' operator signed and its witnesses cosigned, or else with the newest
    /// that those now in force did. `None` if there is none yet.
    ///
    /// Errors: the log cannot be read, or has no such statement.
    pub fn new(log: &Snapshot, state: &State, index: u64) -> Result<Option<Self>, ArchiveError> {
        let (genesis, statement) = (log.statement(0)?, log.statement(index)?);
        let founders = Trust::of_genesis(&genesis);
        let mut later = None;
        for mark in state.marks.iter().rev().take_while(|mark| mark.size > index) {
            let founded = founders.names(state.operator_at(mark.size));
            if !founded && later.is_some() {
                continue;
            }
            let hashes = inclusion_proof(index, mark.size, log)?;
            let (genesis, statement) = (genesis.clone(), statement.clone());
            let found = Self::assemble(genesis, statement, index, hashes, marked(log, mark)?);
            if found.check(&founders).is_ok() {
                return Ok(Some(found));
            }
            if later.is_none() && found.check(&Trust::of_state(state, mark.size)).is_ok() {
                later = Some(found);
            }
        }
        Ok(later)
    }

    /// The file of these parts; whether they fit is not checked.
    pub fn assemble(
        genesis: Statement,
        statement: Statement,
        index: u64,
        hashes: Vec<TreeHash>,
        checkpoint: SignedCheckpoint,
    ) -> Self {
        let extra = Some(enclose(&genesis, statement.bytes().to_vec()));
        Self { genesis, statement, proof: TlogProof { extra, index, hashes, checkpoint } }
    }

    /// Checks it. Returns which witnesses cosigned.
    ///
    /// Errors: [`NotLogged`].
    pub fn check(&self, trust: &Trust) -> Result<Witnessed, NotLogged> {
        let leaf = TreeHash::of_leaf(self.statement.bytes());
        self.proof.verify(&leaf, &trust.origin, &trust.operators, &trust.policy)
    }
}

impl PortableSplit {
    /// Of all proofs of two histories that are at hand one that the genesis suffices to check, or
    /// else one that the log does. `kept` are those that are not in the log.
    ///
    /// Errors: the log cannot be read.
    pub fn new(
        log: &Snapshot,
        state: &State,
        kept: Vec<SplitProof>,
    ) -> Result<Option<Self>, ArchiveError> {
        let genesis = log.statement(0)?;
        let (founders, all) = (Trust::of_genesis(&genesis), Trust::of_all(state));
        let mut later = None;
        let kept = kept.into_iter().map(|split| Ok(Some(split)));
        for split in kept.chain(state.splits.iter().map(|split| shown(log, state, split))) {
            let Some(split) = split? else { continue };
            let found = Self { genesis: genesis.clone(), split };
            if found.check(&founders).is_ok() {
                return Ok(Some(found));
            }
            if later.is_none() && found.check(&all).is_ok() {
                later = Some(found);
            }
        }
        Ok(later)
    }

    /// Checks it. Returns the operator that signed both histories.
    ///
    /// Errors: [`SplitError`].
    pub fn check(&self, trust: &Trust) -> Result<PeerId, SplitError> {
        Ok(self.split.verify(&trust.operators)?.key())
    }
}

impl Trust {
    /// The operator and witnesses that a genesis names.
    ///
    /// Panics: it is no genesis.
    pub fn of_genesis(genesis: &Statement) -> Self {
        let Body::Genesis(body) = &genesis.body else { panic!("a genesis has its body") };
        let origin = origin(&id_of(genesis));
        let operators = vec![log_key(&origin, body.operator)];
        Self { operators, policy: policy(&body.witnesses), origin }
    }

    /// The operator of a log at `size`, and the witnesses in force.
    pub fn of_state(state: &State, size: u64) -> Self {
        let origin = origin(&state.id);
        let operators = vec![state.log_key_at(size)];
        Self { operators, policy: state.policy(), origin }
    }

    /// Everybody who ever operated a log, and the witnesses in force.
    pub fn of_all(state: &State) -> Self {
        let origin = origin(&state.id);
        let operators = state.operators.iter().map(|o| log_key(&origin, o.key)).collect();
        Self { operators, policy: state.policy(), origin }
    }

    /// With a further operator.
    pub fn and_operator(mut self, key: PeerId) -> Self {
        self.operators.push(log_key(&self.origin, key));
        self
    }

    /// Whether `key` is an operator's.
    pub fn names(&self, key: PeerId) -> bool {
        self.operators.iter().any(|operator| operator.key() == key)
    }

    /// Which witnesses count, and how many must cosign.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Proves that `other`, a head of this log as somebody else was shown it, is of another history
/// than the log here. `None` if it is not, or if its operator signed no head here that is as large.
///
/// Errors: the log cannot be read.
pub fn contradiction(
    log: &Snapshot,
    state: &State,
    other: &SignedCheckpoint,
) -> Result<Option<SplitProof>, ArchiveError> {
    let origin = origin(&state.id);
    for (at, operator) in state.operators.iter().enumerate() {
        let key = log_key(&origin, operator.key);
        if other.signed_by(&key) != Signed::Yes {
            continue;
        }
        let until = state.operators.get(at + 1).map_or(u64::MAX, |next| next.since);
        let from = other.checkpoint().size.max(operator.since);
        let ours = log.checkpoint_from(from)?.filter(|ours| ours.checkpoint().size < until);
        let proof = ours.map(|ours| SplitProof::compare(&key, &ours, other, log));
        if let Some(Ok(Some(proof))) = proof {
            return Ok(Some(proof));
        }
    }
    Ok(None)
}

/// The newest head that enough witnesses of the policy in force cosigned: what somebody with a
/// witness policy can use. `None` if there is none yet.
///
/// Errors: the log cannot be read.
pub fn cosigned_head(
    log: &Snapshot,
    state: &State,
) -> Result<Option<SignedCheckpoint>, ArchiveError> {
    let holds = |head: &SignedCheckpoint| {
        state.is_signed(head)
            && state.policy().witnessed(head).is_ok_and(|witnessed| witnessed.holds())
    };
    // Beyond the newest mark are at most the heads since; what it enters is cosigned.
    let newest = state.newest_mark();
    let marked_size = newest.map_or(1, |mark| mark.size);
    let mut size = log.size();
    while let Some(head) = log.checkpoint_before(size)? {
        if head.checkpoint().size < marked_size {
            break;
        }
        if holds(&head) {
            return Ok(Some(head));
        }
        size = head.checkpoint().size - 1;
    }
    let of_mark = newest.map(|mark| marked(log, mark)).transpose()?;
    Ok(of_mark.filter(holds))
}

/// The proof of a split that a statement in the log shows.
fn shown(log: &Snapshot, state: &State, split: &Split) -> Result<Option<SplitProof>, ArchiveError> {
    let statement = log.statement(split.index)?;
    if let Body::Check(Check { evidence: Evidence::TwoHistories(bytes), .. }) = &statement.body {
        return Ok(SplitProof::parse(bytes).ok());
    }
    let Some(seen) = statement.seen else { return Ok(None) };
    let origin = origin(&state.id);
    let head = Checkpoint::new(origin.clone(), seen.size, TreeHash(seen.root));
    let key = log_key(&origin, split.operator);
    match SignedCheckpoint::with_signature(head, &key, &seen.signature) {
        Ok(other) => contradiction(log, state, &other),
        Err(_) => Ok(None),
    }
}

/// The cosigned checkpoint that a mark entered into the log.
pub(crate) fn marked(log: &Snapshot, mark: &Mark) -> Result<SignedCheckpoint, ArchiveError> {
    let wrong = |why: String| ArchiveError::Checkpoint { size: mark.size, why };
    let Body::Check(Check { evidence: Evidence::Checkpoint(note), .. }) =
        log.statement(mark.index)?.body
    else {
        return Err(wrong(format!("is not in statement {}", mark.index)));
    };
    SignedCheckpoint::parse(note.as_bytes()).map_err(|e| wrong(e.to_string()))
}

fn enclose(genesis: &Statement, content: Vec<u8>) -> Vec<u8> {
    let genesis = genesis.bytes().to_vec().into();
    canonical::encode(&Enclosed { genesis, content: content.into() })
}

/// The genesis and what is beside it.
fn open(bytes: &[u8], max: usize) -> Result<(Statement, ByteVec), PortableError> {
    let Enclosed { genesis, content } = canonical::decode("a proof that stands alone", bytes, max)?;
    let genesis = Statement::parse(&genesis)?;
    if genesis.commons_id().is_none() {
        return Err(PortableError::NoGenesis);
    }
    Ok((genesis, content))
}

fn id_of(genesis: &Statement) -> Hash {
    genesis.commons_id().expect("it was looked at when it was read")
}
