//! A ballot that is committed to now and opened later. What opens it is kept in the commons'
//! folder, beside what opens earlier ones: until the statement has its place the earlier one is in
//! force.

use crate::{
    Home,
    state::{Proposal, State},
    statement::VoteBody,
};
use ids::{Hash, PeerId, canonical};
use std::{fs, io, path::PathBuf};
use store::file::{self, Readers};

/// Bytes of a file that are read: a statement, which has to hold the ballot, is shorter.
const MAX_KEPT: u64 = 1 << 20;

/// A ballot, and the secret that keeps others from guessing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBallot {
    groups: Vec<Vec<u16>>,
    salt: Hash,
}

/// Why a ballot cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The system gives no randomness.
    #[error(transparent)]
    Random(io::Error),
    /// What opens it cannot be kept.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nothing was committed to.
    #[error("no ballot on this question was committed to on this device")]
    None,
    /// What opens it is not here.
    #[error("no ballot on this question was committed to on this device")]
    Elsewhere(#[source] io::Error),
    /// What is kept is no ballot.
    #[error("the ballot that is kept here is damaged")]
    Damaged(#[source] serde_json::Error),
    /// What is kept opens another commitment.
    #[error("the ballot that is kept here is not the one that was cast last")]
    Other,
}

impl SealedError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::None => Some("cast one with `understory vote QUESTION …` while it is open"),
            Self::Elsewhere(_) | Self::Other => {
                Some("reveal it on the device on which the newest ballot was cast")
            }
            _ => None,
        }
    }
}

impl SealedBallot {
    /// Seals a ballot with a new secret.
    ///
    /// Errors: the system gives none.
    pub fn new(groups: Vec<Vec<u16>>) -> Result<Self, SealedError> {
        Ok(Self { groups, salt: Hash(file::random().map_err(SealedError::Random)?) })
    }

    /// What its author commits to: nobody can tell the ballot from it.
    pub fn commitment(&self, question: &Hash, voter: &PeerId) -> Hash {
        let ballot = canonical::encode(&self.groups);
        Hash(decide::commitment(&question.0, &voter.0, &self.salt.0, &ballot))
    }

    /// Keeps what opens it, durably, and returns the commitment for the log.
    ///
    /// Errors: it cannot be written; then nothing is to be committed to.
    pub fn keep(
        &self,
        home: &Home,
        question: &Hash,
        voter: &PeerId,
    ) -> Result<VoteBody, SealedError> {
        let digest = self.commitment(question, voter);
        let path = path(home, question, voter, Some(&digest));
        let bytes = serde_json::to_vec(&(&self.groups, self.salt)).map_err(SealedError::Damaged)?;
        let folder = path.parent().expect("it is in a folder");
        let kept =
            fs::create_dir_all(folder).and_then(|()| file::create(&path, &bytes, Readers::Owner));
        kept.map_err(|source| SealedError::Write { path, source })?;
        Ok(VoteBody::Commit(digest))
    }

    /// Opens the commitment of `voter` that is in force in `state`.
    ///
    /// Errors: there is none, or what opens it is not here.
    pub fn reveal(
        home: &Home,
        state: &State,
        question: &Hash,
        voter: &PeerId,
    ) -> Result<VoteBody, SealedError> {
        let proposal = state.proposals.get(question);
        let digest = proposal.and_then(|p| committed(p, voter)).ok_or(SealedError::None)?;
        let kept = read(path(home, question, voter, Some(&digest)))
            // Earlier versions kept one ballot for each question.
            .or_else(|_| read(path(home, question, voter, None)))
            .map_err(SealedError::Elsewhere)?;
        let (groups, salt) = serde_json::from_slice(&kept).map_err(SealedError::Damaged)?;
        let ballot = Self { groups, salt };
        match ballot.commitment(question, voter) == digest {
            true => Ok(VoteBody::Reveal { groups: ballot.groups, salt: ballot.salt }),
            false => Err(SealedError::Other),
        }
    }
}

/// The commitment of a voter that is in force.
fn committed(proposal: &Proposal, voter: &PeerId) -> Option<Hash> {
    let casts = proposal.casts.get(voter)?;
    casts.iter().rev().find_map(|cast| match cast.ballot {
        VoteBody::Commit(digest) => Some(digest),
        _ => None,
    })
}

/// Where what opens a commitment is kept.
fn path(home: &Home, question: &Hash, voter: &PeerId, commitment: Option<&Hash>) -> PathBuf {
    let digest = commitment.map_or_else(String::new, |digest| format!("-{}", digest.short()));
    home.dir().join("ballots").join(format!("{question}-{}{digest}.json", voter.short()))
}

fn read(path: PathBuf) -> io::Result<Vec<u8>> {
    bounded::read(&path, MAX_KEPT)
}
