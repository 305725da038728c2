//! Why a model could not be fetched, and what can be done.

use std::error::Error;
use std::path::PathBuf;

use model::FormatError;

pub use super::http::HttpError;
use crate::{EngineError, units};

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// What the person named is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The hub's address is none.
    #[error("the hub's address {0:?} is no address")]
    Endpoint(String),
    /// The token for the hub is not a token. It is not repeated: it may be a secret with a typing
    /// error.
    #[error("the token for the hub is not a token")]
    Token,
    /// A server does not give what was asked for.
    #[error("cannot get {what}")]
    Get {
        /// What was asked for.
        what: String,
        /// Why there is none.
        source: HttpError,
    },
    /// An answer broke off.
    #[error("cannot get {what}")]
    BrokenOff {
        /// What was asked for.
        what: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The hub's list of files is longer than this many bytes.
    #[error("the list of files is longer than {0} bytes")]
    LongListing(u64),
    /// The hub's list of files is refused.
    #[error("the hub's list of files is not good")]
    Listing(#[from] ListingError),
    /// The hub gives another commit than the one that was asked for.
    #[error("asked for commit {asked}, the hub gives {given}")]
    OtherCommit {
        /// The commit that was named.
        asked: String,
        /// The hub's.
        given: String,
    },
    /// What the hub says of a file is no hash.
    #[error("what the hub says of {file} is not good")]
    Said {
        /// The file.
        file: String,
        /// Why.
        source: DigestError,
    },
    /// The hub does not say what a file is.
    #[error("the hub does not say the size and hash of {0}: it cannot be checked")]
    Unchecked(String),
    /// A repository has no model that can be taken.
    #[error("cannot take {repository} at {revision}")]
    Choice {
        /// `OWNER/NAME`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// Why.
        source: ChoiceError,
    },
    /// A list of weight files cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A repository lacks a weight file that its index names.
    #[error("{shard} is missing, which {index} names")]
    NoShard {
        /// The file that is missing.
        shard: String,
        /// The list of weight files.
        index: &'static str,
    },
    /// A server does not say how large a file is.
    #[error("the server does not say how large the file is")]
    NoLength,
    /// An address does not end with the name of a file.
    #[error("the address does not end with the name of a file")]
    NoFileName,
    /// There is no folder for what is fetched.
    #[error("there is no folder for models")]
    NoFolder,
    /// A file cannot be fetched.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// More bytes than can be counted.
    #[error("more bytes than can be counted")]
    Uncountable,
    /// The disk is too full.
    #[error("{} do not fit into {}", units::bytes(*.missing), .folder.display())]
    NoRoom {
        /// Bytes to fetch.
        missing: u64,
        /// Where to.
        folder: PathBuf,
    },
    /// It cannot be found out how much room there is.
    #[error("cannot look at the disk of {}", .folder.display())]
    Disk {
        /// A folder on the disk.
        folder: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A model on this machine is not what it should be.
    #[error(transparent)]
    Model(#[from] Box<EngineError>),
    /// A store is to be copied.
    #[error("{} is a store, it is not copied file by file", .0.display())]
    Stored(PathBuf),
    /// One hash for several files.
    #[error("the SHA-256 is of one file, there are {0}")]
    SeveralFiles(usize),
    /// A file is not the one that was asked for.
    #[error("{}", .path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// How it differs.
        source: DigestError,
    },
    /// Another of these, with what can be done about it with this hub.
    #[error("{error}")]
    Advised {
        /// What went wrong.
        #[source]
        error: Box<HubError>,
        /// What to do.
        advice: String,
    },
}

/// A name that is refused.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Not `OWNER/NAME`.
    #[error("{0:?} is not OWNER/NAME")]
    Repository(String),
    /// Not the name of a revision.
    #[error("{0:?} is no name of a branch, tag or commit")]
    Revision(String),
    /// Not the name of a file, or one that leads elsewhere.
    #[error("{0:?} is no name of a file that is taken")]
    File(String),
    /// Not an address.
    #[error("{0:?} is no address")]
    Address(String),
}

/// A hash that is none, or another.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// Not 40 or 64 hex digits.
    #[error("{0:?} is no SHA-256 and no git blob id")]
    NoHash(String),
    /// A file has another hash.
    #[error("its {kind} is {found}, not {wanted}")]
    Differs {
        /// Which hash.
        kind: &'static str,
        /// The file's, in hex.
        found: String,
        /// The one it must be.
        wanted: String,
    },
    /// The hash of that kind is not known.
    #[error("its {0} was not computed")]
    NotComputed(&'static str),
}

/// What is wrong with a hub's list of files.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// Not the JSON of a list.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The commit is none.
    #[error("{0:?} is no commit")]
    Commit(String),
    /// A file has a name that is not taken.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The hash of a file is none.
    #[error(transparent)]
    Hash(#[from] DigestError),
    /// A file is listed twice.
    #[error("{0:?} is there twice")]
    Twice(String),
}

/// Why no model of a repository is taken.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// No file is called so.
    #[error("there is no file {wanted}")]
    NoFile {
        /// What was asked for.
        wanted: String,
        /// The files, in words.
        there: String,
    },
    /// Several models are called so.
    #[error("several files match {wanted}")]
    SeveralFiles {
        /// What was asked for.
        wanted: String,
        /// The models, in words.
        there: String,
    },
    /// No model in a format that is read.
    #[error("there is no model in safetensors or GGUF")]
    NoModel,
    /// Several models, and none was asked for.
    #[error("there are {count} models, name one with hf:OWNER/NAME:FILE")]
    SeveralModels {
        /// How many.
        count: usize,
        /// The models, in words.
        there: String,
    },
    /// A part of a model in several files is not there.
    #[error("{0} is missing")]
    NoPart(String),
}

/// Why a file cannot be fetched or copied.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// A file or folder cannot be made, read, written, locked or removed.
    #[error("cannot {doing} {}", .path.display())]
    File {
        /// `make`, `read`, `write`, `lock` or `remove`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Another file has that name.
    #[error("{} exists already and is another file{how}", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// `: ` and how it differs, or nothing.
        how: String,
    },
    /// The hub says another thing of a file than when the same commit of it was fetched.
    #[error("{}: the hub now says other bytes of the same commit than when it was fetched: {how}", .path.display())]
    OtherWord {
        /// The file, as it was fetched.
        path: PathBuf,
        /// How it differs from what the hub says now.
        how: String,
    },
    /// The server does not give it.
    #[error("cannot get {name}")]
    Get {
        /// The file.
        name: String,
        /// Why there is none.
        source: HttpError,
    },
    /// The server sends another part than was asked for.
    #[error("{name}: asked for {wanted:?}, got {got:?}")]
    OtherPart {
        /// The file.
        name: String,
        /// The range that was asked for.
        wanted: String,
        /// The range that is sent.
        got: String,
    },
    /// The server has no such part.
    #[error("{0}: no such part")]
    NoPart(String),
    /// The server announces another length.
    #[error("{name}: {sent} bytes are sent, not {wanted}")]
    Length {
        /// The file.
        name: String,
        /// Bytes that are announced.
        sent: u64,
        /// Bytes that there should be.
        wanted: u64,
    },
    /// The server sends more than there should be.
    #[error("{name}: more than {most} bytes are sent")]
    TooMuch {
        /// The file.
        name: String,
        /// Bytes that there should be.
        most: u64,
    },
    /// The server ends too early.
    #[error("{name}: ended after {have} of {all} bytes")]
    Short {
        /// The file.
        name: String,
        /// Bytes that are here.
        have: u64,
        /// Bytes that there should be.
        all: u64,
    },
    /// The connection broke.
    #[error("{name}: the connection broke")]
    Broken {
        /// The file.
        name: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Several attempts in a row brought little.
    #[error("{0}")]
    GaveUp(#[source] Box<DownloadError>),
    /// What came is not the file.
    #[error("{name} is not what it should be")]
    Differs {
        /// The file.
        name: String,
        /// How it differs.
        source: DigestError,
    },
    /// Another program changed the file while it came.
    #[error("{} was changed by another program", .0.display())]
    Changed(PathBuf),
}

impl HubError {
    /// What the person can do, the nearest to the cause first; nothing where nothing is known.
    pub fn hints(&self) -> Vec<String> {
        match self {
            // It knows more than what is said of a server's answers in general, but not that what was
            // fetched of a file is kept.
            HubError::Advised { error, advice } => {
                let own = match **error {
                    HubError::Download(_) => error.hints(),
                    _ => Vec::new(),
                };
                own.into_iter().filter(|hint| hint != advice).chain([advice.clone()]).collect()
            }
            HubError::Choice { source, .. } => source.hint().into_iter().collect(),
            HubError::Format(error) => error.todo().map(str::to_owned).into_iter().collect(),
            HubError::Model(error) => error.hints(),
            other => other.hint().map(str::to_owned).into_iter().collect(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            HubError::Name(_) => {
                "name hf:OWNER/NAME, hf:OWNER/NAME@REVISION:FILE, https://…, or a path"
            }
            HubError::Endpoint(_) => "unset HF_ENDPOINT to take https://huggingface.co",
            HubError::Token => "look at HF_TOKEN or ~/.cache/huggingface/token",
            HubError::Get { source, .. } => source.advice(),
            HubError::NoLength | HubError::NoFileName => {
                "fetch it with another program, then run it by its path"
            }
            HubError::NoFolder => {
                "set HOME or XDG_CACHE_HOME to a folder, or name one with `understory pull --to`"
            }
            HubError::Download(error) => return error.hint(),
            HubError::NoRoom { .. } => {
                "make room, or name a folder on another disk: with `understory pull --to`, or for all \
                 models with XDG_CACHE_HOME"
            }
            HubError::Stored(_) => "understory export writes it as a GGUF or a Hugging Face folder",
            _ => return None,
        })
    }

    /// The refusal of a server that is the cause, if one is.
    pub(super) fn http(&self) -> Option<&HttpError> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(http) = error.downcast_ref() {
                return Some(http);
            }
            cause = error.source();
        }
        None
    }
}

impl ChoiceError {
    fn hint(&self) -> Option<String> {
        match self {
            ChoiceError::NoFile { there, .. }
            | ChoiceError::SeveralFiles { there, .. }
            | ChoiceError::SeveralModels { there, .. } => Some(there.clone()),
            ChoiceError::NoModel => Some(
                "take a repository that has one of the two; files of pickle (.bin, .pt) are not \
                 read"
                    .to_owned(),
            ),
            ChoiceError::NoPart(_) => Some("name another file".to_owned()),
        }
    }
}

impl DownloadError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            DownloadError::Exists { .. } => Some("remove it, or name another folder with --to"),
            DownloadError::OtherWord { .. } => Some(
                "a commit does not change: ask whoever runs the hub. The file here is what was \
                 fetched then and is run by its path; remove it to take what the hub says now",
            ),
            DownloadError::GaveUp(_) => {
                Some("what came is kept: the same command goes on from there")
            }
            DownloadError::Differs { .. } => {
                Some("nothing of it was kept; try again, or do not trust this server")
            }
            _ => None,
        }
    }

    /// [`DownloadError::File`] about this file.
    pub(super) fn file(
        doing: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> DownloadError {
        let path = path.to_owned();
        move |source| DownloadError::File { doing, path, source }
    }
}
