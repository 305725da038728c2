//! What can go wrong where a person works with a commons, and what to do about it.

use crate::{
    ArchiveError, HomeError, author::AuthorError, ballot::SealedError, cosigner::CosignError,
    documents::DocumentError, keys::KeyError, names::FindError, naming::NameError,
    operator::OperatorError, state::VoidReason,
};
use ids::{Hash, PeerId};

/// Why something cannot be done in a commons.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The log.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A member is to guard its own keys: whoever lost them could accept nothing.
    #[error("a member cannot be a guardian of its own keys: who lost them could accept nothing")]
    OwnGuardian,
    /// A name that would mislead.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No member is meant.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A statement cannot be signed.
    #[error(transparent)]
    Draft(AuthorError),
    /// Operating the log.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A witness cannot cosign.
    #[error(transparent)]
    Cosign(#[from] CosignError),
    /// A file that was named.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A secret ballot.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// A statement would have no effect.
    #[error("this would count for nothing: {reason}")]
    Void {
        /// Why.
        reason: VoidReason,
    },
    /// This device's key never signed for anybody here.
    #[error("your key {} is in force for nobody here", key.short())]
    NoMember {
        /// The key.
        key: PeerId,
    },
    /// This device's key was replaced or ended.
    #[error("your key {} does not sign for {name} any more", key.short())]
    OutOfForce {
        /// The key.
        key: PeerId,
        /// What the member is called for whom it signed.
        name: String,
    },
    /// No statement is meant.
    #[error("no statement is {text:?}")]
    NoStatement {
        /// The text.
        text: String,
        /// Statements in the log.
        size: u64,
    },
    /// Several statements can be meant.
    #[error("{text:?} can be read as {}", listed(found))]
    Ambiguous {
        /// The text.
        text: String,
        /// Their numbers and hashes.
        found: Vec<(u64, Hash)>,
    },
    /// A statement that waits.
    #[error("the statement has no place in this log")]
    NoPlace,
    /// Nothing proves a statement to others yet.
    #[error("no checkpoint with enough cosignatures has statement {index} yet")]
    NotWitnessed {
        /// Its number.
        index: u64,
    },
    /// Nothing is known against an operator.
    #[error("nothing here proves that an operator of this log signed two histories")]
    NoSplit,
    /// A statement that is no question, or none that counts.
    #[error("statement {text} asks no question that counts")]
    NoQuestion {
        /// The text.
        text: String,
    },
}

impl WorkspaceError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<String> {
        let fixed = match self {
            Self::Home(error) => return error.todo().map(str::to_owned),
            Self::Key(error) => return error.todo(),
            Self::Name(error) => error.todo(),
            Self::Find(error) => return Some(error.todo()),
            Self::Document(error) => return error.todo().map(str::to_owned),
            Self::Sealed(error) => return error.todo().map(str::to_owned),
            Self::OwnGuardian => {
                "nothing was written; name other members with --guardian, who know you and one \
                 another"
            }
            Self::NotWitnessed { .. } => {
                "`understory commons serve` or `commons sync` brings the next one"
            }
            Self::NoSplit => "`understory commons show health` says what is known of the log",
            Self::Draft(_) => "nothing was written; the command's --help says what it takes",
            Self::Void { .. } => {
                "nothing was written; `understory commons sync` brings the log up to date"
            }
            Self::NoMember { .. } => "begin with `understory commons introduce NAME`",
            Self::OutOfForce { .. } => "`understory key rotate` puts your next key into force",
            Self::NoStatement { size, .. } => {
                return Some(format!(
                    "the log has {size} statements, from 0: give a number or at least four digits \
                     of a hash (`understory commons show log`); `understory commons sync` brings \
                     what others wrote since"
                ));
            }
            Self::Ambiguous { .. } => {
                "give more digits of the hash, or the number with # before it"
            }
            Self::NoQuestion { .. } => "`understory commons show questions` lists them",
            Self::Archive(_) | Self::Operator(_) | Self::Cosign(_) | Self::NoPlace => return None,
        };
        Some(fixed.to_owned())
    }
}

fn listed(found: &[(u64, Hash)]) -> String {
    let all = found.iter().map(|(index, hash)| format!("statement #{index}, {hash}"));
    all.collect::<Vec<_>>().join(" and as ")
}
