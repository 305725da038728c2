//! What a node keeps for after a crash.

use crate::{Envelope, LogEntry, MAX_MESSAGE, Proposal, Record, Signed, SignedRecord};
use ids::{
    DecodeError, Hash, PeerId,
    canonical::{decode, encode},
};
use minicbor::{Decode, Encode, bytes::ByteVec};

/// A log entry's content.
///
/// Encoding: CBOR array `[tag, fields]`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Entry {
    /// A signed record that was agreed on.
    #[n(0)]
    Record(#[n(0)] ByteVec),
    /// Something this node has said, and must not contradict: commits, votes, verdicts.
    #[n(1)]
    Said(#[n(0)] Envelope),
    /// A proposal with its record.
    #[n(2)]
    Proposed {
        #[n(0)]
        header: Envelope,
        #[n(1)]
        record: ByteVec,
    },
    /// A record this node is locked on, and the prevotes that are the reason: others may need them
    /// to vote for it again.
    #[n(3)]
    Locked {
        #[n(0)]
        view: u32,
        #[n(1)]
        record: ByteVec,
        #[n(2)]
        prevotes: Vec<Envelope>,
    },
    /// The run's clock and this node's speed.
    #[n(4)]
    Clock {
        #[n(0)]
        elapsed_ms: u64,
        #[n(1)]
        us_per_step: u64,
    },
    /// Objects that this node stored for the work of the advance at this height, and that were not
    /// there before: they go when that advance is over.
    #[n(5)]
    Stored {
        #[n(0)]
        height: u64,
        #[n(1)]
        objects: Vec<Hash>,
    },
}

impl Entry {
    /// The entry for the driver to keep.
    pub fn to_log(&self) -> LogEntry {
        LogEntry(encode(self))
    }

    /// Reads an entry back.
    ///
    /// Errors: [`DecodeError`].
    pub fn from_log(entry: &LogEntry) -> Result<Self, DecodeError> {
        decode("log entry", &entry.0, 2 * MAX_MESSAGE)
    }
}

/// What somebody who is not the node can check and use of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogContents {
    /// The run that everything in it is about; `None` if it says nothing of any run.
    pub run: Option<Hash>,
    /// Whose log it is; `None` if its owner has said nothing yet.
    pub author: Option<PeerId>,
    /// The signed records, in the order they were agreed on, as their bytes.
    pub records: Vec<Vec<u8>>,
    /// Statements of its owner, all of them signed.
    pub statements: usize,
}

/// Why a log is not what a node writes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("log entry {entry}: {why}")]
pub struct LogContentsError {
    /// Which entry, from 0.
    pub entry: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Reads a node's whole log and checks what can be checked entry by entry: that each decodes, is
/// about one run, and that every statement in it is signed by one author. Whether the records
/// follow each other [`crate::verify_chain`] tells.
///
/// Errors: [`LogContentsError`] for the first entry that is wrong.
pub fn read_log<'a>(
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<LogContents, LogContentsError> {
    let mut contents = LogContents::default();
    for (entry, bytes) in entries.into_iter().enumerate() {
        contents.take(bytes).map_err(|why| LogContentsError { entry, why })?;
    }
    Ok(contents)
}

impl LogContents {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let text = |e: DecodeError| e.to_string();
        match decode("log entry", bytes, 2 * MAX_MESSAGE).map_err(text)? {
            Entry::Record(bytes) => {
                let record = SignedRecord::from_bytes(&bytes).map_err(text)?;
                self.records.push(bytes.into());
                self.is_about(record.record().run)
            }
            Entry::Said(said) => self.heard(&said),
            Entry::Proposed { header, record } => {
                self.heard(&header)?;
                let header = Signed::<Proposal>::open(header).map_err(text)?;
                if Record::hash_of(&record) != header.body().value {
                    return Err("holds another record than its header proposes".to_owned());
                }
                self.is_about(Record::from_bytes(&record).map_err(text)?.run)
            }
            Entry::Locked { record, prevotes, .. } => {
                self.is_about(Record::from_bytes(&record).map_err(text)?.run)?;
                prevotes.iter().try_for_each(|vote| self.quoted(vote))
            }
            Entry::Clock { .. } | Entry::Stored { .. } => Ok(()),
        }
    }

    fn heard(&mut self, said: &Envelope) -> Result<(), String> {
        self.is_about(said.run)?;
        if *self.author.get_or_insert(said.author) != said.author {
            return Err(format!("is signed by {}, others are not", said.author));
        }
        if !said.is_signed() {
            return Err(format!("the signature of {} is wrong", said.author));
        }
        self.statements += 1;
        Ok(())
    }

    /// Somebody else's statement, kept as a reason for an own one.
    fn quoted(&mut self, said: &Envelope) -> Result<(), String> {
        self.is_about(said.run)?;
        match said.is_signed() {
            true => Ok(()),
            false => Err(format!("the signature of {} is wrong", said.author)),
        }
    }

    fn is_about(&mut self, run: Hash) -> Result<(), String> {
        match *self.run.get_or_insert(run) {
            same if same == run => Ok(()),
            other => Err(format!("is about run {run}, the entries before about {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Step, Vote};
    use ids::Identity;

    fn vote(seed: u8, run: Hash) -> Envelope {
        let vote = Vote { height: 3, view: 0, step: Step::Prevote, value: None };
        Signed::seal(&Identity::from_seed([seed; 32]), &run, vote).envelope().clone()
    }

    fn entries(said: &[Envelope]) -> Vec<Vec<u8>> {
        said.iter().map(|s| Entry::Said(s.clone()).to_log().0).collect()
    }

    #[test]
    fn a_log_of_signed_statements_reads_whole() {
        let run = Hash([7; 32]);
        let mut all = entries(&[vote(1, run), vote(1, run)]);
        all.push(Entry::Clock { elapsed_ms: 5, us_per_step: 6 }.to_log().0);
        let contents = read_log(all.iter().map(Vec::as_slice)).expect("whole");
        assert_eq!(contents.statements, 2);
        assert_eq!(contents.run, Some(run));
        assert_eq!(contents.author, Some(Identity::from_seed([1; 32]).id()));
    }

    #[test]
    fn any_flipped_bit_in_a_statement_is_found_with_its_entry() {
        let run = Hash([7; 32]);
        let good = entries(&[vote(1, run), vote(1, run)]);
        for bit in 0..good[1].len() * 8 {
            let mut bad = good.clone();
            bad[1][bit / 8] ^= 1 << (bit % 8);
            let error = read_log(bad.iter().map(Vec::as_slice)).expect_err("a flipped bit");
            assert_eq!(error.entry, 1, "bit {bit}");
        }
    }

    #[test]
    fn refuses_statements_of_two_authors_or_runs() {
        let run = Hash([7; 32]);
        for second in [vote(2, run), vote(1, Hash([8; 32]))] {
            let all = entries(&[vote(1, run), second]);
            let error = read_log(all.iter().map(Vec::as_slice)).expect_err("not one author's");
            assert_eq!(error.entry, 1);
        }
    }
}
