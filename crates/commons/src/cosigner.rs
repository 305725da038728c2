//! A witness of one log whose promises outlive a crash: what it cosigned last is on disk before
//! the cosignature leaves, so that it never cosigns a second history.

use crate::{Archive, ArchiveError, state::State};
use ids::Identity;
use tlog::{
    AddCheckpoint, CheckpointError, KeyName, NoteError, Response, SignedCheckpoint, SplitProof,
    Witness,
};

/// A witness that the members named, with its key.
pub struct Cosigner<'a> {
    archive: &'a Archive,
    key: &'a Identity,
    name: KeyName,
}

/// What a witness does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// What to answer. What it promises is durable.
    pub response: Response,
    /// The request proves that the log shows two histories.
    pub split: Option<SplitProof>,
}

/// Why a witness cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// The log's file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What it cosigned last was changed by something else: without it nothing can be cosigned.
    #[error("the checkpoint that witness {name} cosigned last is damaged: {why}")]
    Damaged {
        /// The witness.
        name: KeyName,
        /// What is wrong with it.
        why: CheckpointError,
    },
    /// A head leaves no room for the cosignature.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl<'a> Cosigner<'a> {
    /// The witness with this key; none if the members did not name it one, in force or to come.
    pub fn of(archive: &'a Archive, state: &State, key: &'a Identity) -> Option<Self> {
        Some(Self { archive, key, name: state.witness_name(&key.id())? })
    }

    /// Answers a request to cosign, in C2SP's tlog-witness, at time `now` in Unix seconds.
    ///
    /// Errors: what it cosigned last cannot be read, or what it cosigns now not be kept. Then
    /// nothing is cosigned.
    pub fn answer(&self, state: &State, request: &[u8], now: u64) -> Result<Cosigned, CosignError> {
        let origin = self.archive.origin();
        let size = AddCheckpoint::parse(request).map_or(0, |r| r.checkpoint.checkpoint().size);
        let log = state.log_key_at(size);
        self.archive.change_fact(&self.fact(), |kept| {
            let mut witness = Witness::new(self.key.clone(), self.name.clone());
            if let Some(bytes) = kept {
                witness.restore(self.parse(bytes)?);
            }
            let answer =
                witness.add_checkpoint(request, now, |asked| (asked == origin).then(|| vec![log]));
            let keep = answer.persist.map(|latest| latest.to_string().into_bytes());
            Ok((Cosigned { response: answer.response, split: answer.split }, keep))
        })
    }

    /// The newest head of the log here with this witness's cosignature; none if there is no head,
    /// or it does not continue what the witness cosigned last.
    ///
    /// Errors: as [`Self::answer`].
    pub fn cosign_newest(
        &self,
        state: &State,
        now: u64,
    ) -> Result<Option<SignedCheckpoint>, CosignError> {
        let log = self.archive.snapshot()?;
        let Some(newest) = log.latest_checkpoint()? else { return Ok(None) };
        // Without older cosignatures: of several by one witness the earliest time counts.
        let mut head = newest.only(&[state.log_key_at(newest.checkpoint().size)]);
        let old = self.last_size()?;
        if old > head.checkpoint().size {
            return Ok(None);
        }
        let request = AddCheckpoint::new(old, head.clone(), &log).map_err(ArchiveError::from)?;
        drop(log);
        let answer = self.answer(state, request.to_string().as_bytes(), now)?;
        let Response::Cosigned(lines) = answer.response else { return Ok(None) };
        lines.into_iter().try_for_each(|line| head.add(line))?;
        Ok(Some(head))
    }

    /// The size that it cosigned last; 0 before the first.
    fn last_size(&self) -> Result<u64, CosignError> {
        let kept = self.archive.fact(&self.fact())?;
        let latest = kept.map(|bytes| self.parse(&bytes)).transpose()?;
        Ok(latest.map_or(0, |latest| latest.checkpoint().size))
    }

    fn parse(&self, bytes: &[u8]) -> Result<SignedCheckpoint, CosignError> {
        let damaged = |why| CosignError::Damaged { name: self.name.clone(), why };
        SignedCheckpoint::parse(bytes).map_err(damaged)
    }

    /// The name under which the archive keeps what it cosigned last.
    fn fact(&self) -> String {
        format!("witness {}", self.key.id())
    }
}
