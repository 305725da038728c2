//! A witness: cosigns what only grew, and remembers it.
//!
//! Source: C2SP, tlog-witness, the call `add-checkpoint`.

use super::{
    Hash, MAX_NOTE, MAX_PROOF, SplitProof,
    checkpoint::{CheckpointError, SignedCheckpoint, parse_size},
    note::{KeyKind, KeyName, NoteError, NoteSignature, VerifierKey, beginning},
    proof::{consistency_proof, verify_consistency},
    tree::{Nodes, TreeError},
};
use ids::Identity;
use std::{collections::BTreeMap, fmt};

/// How many bytes a request may have.
pub const MAX_REQUEST: usize = MAX_NOTE + 32 + MAX_PROOF * 45;

/// What a log asks a witness: to cosign a checkpoint that continues what the witness has seen.
///
/// Encoding: printed as the body of the request, `old SIZE`, a line in base64 for each hash, an
/// empty line and the checkpoint; what was read prints as the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness cosigned last.
    pub old: u64,
    /// That the checkpoint continues the tree of this size.
    pub proof: Vec<Hash>,
    /// What is to be cosigned.
    pub checkpoint: SignedCheckpoint,
}

/// Why bytes are not a request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// More bytes than are read.
    #[error("a request of {len} bytes, at most {MAX_REQUEST} are read")]
    TooLong {
        /// How many bytes there are.
        len: usize,
    },
    /// Not UTF-8, or no empty line before the checkpoint.
    #[error("a request is an old size, lines of hashes, an empty line and a checkpoint")]
    Shape,
    /// A line before the checkpoint is wrong.
    #[error("a request's {what} is wrong: {line:?}")]
    Line {
        /// What the line should be.
        what: &'static str,
        /// Its beginning.
        line: String,
    },
    /// More hashes than a proof can have.
    #[error("a proof of more than {MAX_PROOF} hashes")]
    TooManyHashes,
    /// The checkpoint is wrong.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What a witness answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// 200: the cosignatures.
    Cosigned(Vec<NoteSignature>),
    /// 400: not a request.
    BadRequest(String),
    /// 403: not signed by a key that may sign for this log.
    Forbidden,
    /// 404: a log that the witness does not watch.
    UnknownLog,
    /// 409: the old size is not what the witness cosigned last.
    Conflict {
        /// What it cosigned last.
        size: u64,
    },
    /// 422: the checkpoint does not continue what the witness cosigned last.
    Inconsistent(String),
}

/// A response that no witness gives.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResponseError {
    /// A status that the protocol does not have.
    #[error("a witness does not answer with status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// More bytes than are read.
    #[error("a response of {len} bytes, at most {MAX_NOTE} are read")]
    TooLong {
        /// How many bytes there are.
        len: usize,
    },
    /// The content does not fit the status.
    #[error("a response with status {status} does not say {body:?}")]
    Body {
        /// The status.
        status: u16,
        /// The content's beginning.
        body: String,
    },
    /// A line is not a signature.
    #[error(transparent)]
    Line(#[from] NoteError),
}

/// What a witness does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What to answer, once `persist` is durable.
    pub response: Response,
    /// The log's new latest checkpoint, with the log's signatures and the witness's cosignature.
    /// It must be durable before the response leaves; if it cannot be made so, no response may.
    pub persist: Option<SignedCheckpoint>,
    /// The request proves that the log shows two histories.
    pub split: Option<SplitProof>,
}

/// A witness of any number of logs: their latest checkpoints, and a key to cosign with.
pub struct Witness {
    identity: Identity,
    name: KeyName,
    latest: BTreeMap<String, SignedCheckpoint>,
}

impl Witness {
    /// A witness that has seen nothing.
    pub fn new(identity: Identity, name: KeyName) -> Self {
        Self { identity, name, latest: BTreeMap::new() }
    }

    /// Gives back what [`Answer::persist`] said, after a restart.
    pub fn restore(&mut self, latest: SignedCheckpoint) {
        self.latest.insert(latest.checkpoint().origin.clone(), latest);
    }

    /// The key that verifies its cosignatures.
    pub fn key(&self) -> VerifierKey {
        VerifierKey::new(self.name.clone(), KeyKind::Witness, self.identity.id())
    }

    /// The largest checkpoint of the log `origin` that it has cosigned.
    pub fn latest(&self, origin: &str) -> Option<&SignedCheckpoint> {
        self.latest.get(origin)
    }

    /// Answers a request at time `now`, in seconds since 1970.
    ///
    /// `keys` says which keys may sign for the log with the origin that it is given; none if the
    /// witness does not watch it. Memory is one checkpoint for each log that it watches.
    ///
    /// Panics: `now` is beyond 2⁶³ − 1.
    pub fn add_checkpoint(
        &mut self,
        request: &[u8],
        now: u64,
        keys: impl FnOnce(&str) -> Option<Vec<VerifierKey>>,
    ) -> Answer {
        let request = match AddCheckpoint::parse(request) {
            Ok(request) => request,
            Err(error) => return Response::BadRequest(error.to_string()).into(),
        };
        let Some(keys) = keys(&request.checkpoint.checkpoint().origin) else {
            return Response::UnknownLog.into();
        };
        if !request.checkpoint.signed_by_one_of(&keys) {
            return Response::Forbidden.into();
        }
        let latest = self.latest.get(&request.checkpoint.checkpoint().origin);
        let split = latest.and_then(|latest| {
            keys.iter().find_map(|key| SplitProof::of_one_size(key, latest, &request.checkpoint))
        });
        if let Err(response) = check(&request, latest) {
            return Answer { response, persist: None, split };
        }
        self.cosign(&request.checkpoint, &keys, now)
    }

    fn cosign(&mut self, checkpoint: &SignedCheckpoint, keys: &[VerifierKey], now: u64) -> Answer {
        let line = checkpoint.cosign(&self.identity, &self.name, now);
        let origin = &checkpoint.checkpoint().origin;
        let before = self.latest.get(origin).map(|latest| latest.checkpoint().size);
        let mut persist = None;
        if before.is_none_or(|size| size < checkpoint.checkpoint().size) {
            let mut latest = checkpoint.only(keys);
            // A log that leaves no room for a cosignature has its checkpoint kept without.
            drop(latest.add(line.clone()));
            self.latest.insert(origin.clone(), latest.clone());
            persist = Some(latest);
        }
        Answer { response: Response::Cosigned(vec![line]), persist, split: None }
    }
}

impl AddCheckpoint {
    /// The request to cosign `checkpoint`, made by whoever has the log's `nodes`.
    ///
    /// Errors: `old` is beyond the checkpoint, or a node cannot be read.
    pub fn new<N: Nodes>(
        old: u64,
        checkpoint: SignedCheckpoint,
        nodes: &N,
    ) -> Result<Self, TreeError<N::Error>> {
        let proof = consistency_proof(old, checkpoint.checkpoint().size, nodes)?;
        Ok(Self { old, proof, checkpoint })
    }

    /// Reads a request. No signature or proof is verified.
    ///
    /// Errors: [`RequestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > MAX_REQUEST {
            return Err(RequestError::TooLong { len: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RequestError::Shape)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(RequestError::Shape)?;
        let mut lines = head.split('\n');
        let first = lines.next().unwrap_or_default();
        let old = first.strip_prefix("old ").and_then(parse_size);
        let old = old.ok_or_else(|| wrong("old size", first))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF {
                return Err(RequestError::TooManyHashes);
            }
            proof.push(Hash::from_base64(line).ok_or_else(|| wrong("hash", line))?);
        }
        Ok(Self { old, proof, checkpoint: SignedCheckpoint::parse(checkpoint.as_bytes())? })
    }
}

impl Response {
    /// Its HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::BadRequest(_) => 400,
            Self::Forbidden => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }

    /// What its content is.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "text/x.tlog.size",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// Its content.
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
            Self::BadRequest(why) | Self::Inconsistent(why) => format!("{why}\n"),
            Self::Forbidden => "no signature by a key of this log, or a wrong one\n".into(),
            Self::UnknownLog => "this log is not watched\n".into(),
            Self::Conflict { size } => format!("{size}\n"),
        }
    }

    /// Reads a response. Cosignatures are not verified: add them to the checkpoint and ask a
    /// [`super::Policy`].
    ///
    /// Errors: [`ResponseError`].
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, ResponseError> {
        if body.len() > MAX_NOTE {
            return Err(ResponseError::TooLong { len: body.len() });
        }
        let text = String::from_utf8_lossy(body);
        let error = || ResponseError::Body { status, body: beginning(&text) };
        Ok(match status {
            200 => {
                let lines = text.strip_suffix('\n').ok_or_else(error)?;
                Self::Cosigned(lines.split('\n').map(str::parse).collect::<Result<_, _>>()?)
            }
            400 => Self::BadRequest(reason(&text)),
            403 => Self::Forbidden,
            404 => Self::UnknownLog,
            409 => {
                let size = text.strip_suffix('\n').and_then(parse_size).ok_or_else(error)?;
                Self::Conflict { size }
            }
            422 => Self::Inconsistent(reason(&text)),
            _ => return Err(ResponseError::Status { status }),
        })
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, persist: None, split: None }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Whether the request continues `latest`, in the order in which the protocol has its refusals.
fn check(request: &AddCheckpoint, latest: Option<&SignedCheckpoint>) -> Result<(), Response> {
    let new = request.checkpoint.checkpoint();
    let latest = latest.map(SignedCheckpoint::checkpoint);
    let (size, root) = latest.map_or((0, Hash::EMPTY_TREE), |latest| (latest.size, latest.root));
    if request.old > new.size {
        let why = format!("old size {} is beyond the checkpoint's {}", request.old, new.size);
        return Err(Response::BadRequest(why));
    }
    if request.old != size {
        return Err(Response::Conflict { size });
    }
    let inconsistent = |why: String| Err(Response::Inconsistent(why));
    if new.size == 0 && new.root != Hash::EMPTY_TREE {
        return inconsistent(format!("a log of size 0 does not have root {}", new.root));
    }
    if size > 0 {
        let proof = verify_consistency(size, &root, new.size, &new.root, &request.proof);
        return proof.or_else(|error| inconsistent(error.to_string()));
    }
    if request.proof.is_empty() { Ok(()) } else { inconsistent("a proof from size 0".into()) }
}

/// As much of what a witness says as a message shows.
fn reason(body: &str) -> String {
    beginning(body).trim_end().to_owned()
}

fn wrong(what: &'static str, line: &str) -> RequestError {
    RequestError::Line { what, line: beginning(line) }
}
