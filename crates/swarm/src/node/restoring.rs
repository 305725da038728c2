//! After a restart: the records, and what was said before it stays said.

use super::{Core, RestoreError, Running, intake::open};
use crate::{
    Body, ChainState, Commit, LogEntry, Proposal, Record, Signed, SignedRecord, Verdict, Vote,
    chain::Ruling, log::Entry,
};

/// What a log says so far.
#[derive(Default)]
pub struct Restored {
    /// What its records lead to.
    pub chain: Option<ChainState>,
    /// What was said since.
    pub said: Vec<Entry>,
}

impl Restored {
    /// Takes in the next entry, the `number`-th from 0.
    ///
    /// Errors: it does not decode, is another peer's, or is a record that does not follow.
    pub fn take(
        &mut self,
        core: &mut Core,
        number: usize,
        entry: &LogEntry,
    ) -> Result<(), RestoreError> {
        let decoded = Entry::from_log(entry)
            .map_err(|source| RestoreError::Entry { entry: number, source })?;
        let author = match &decoded {
            Entry::Said(said) => Some(said.author),
            Entry::Proposed { header, .. } => Some(header.author),
            _ => None,
        };
        if let Some(author) = author.filter(|a| *a != core.id()) {
            return Err(RestoreError::Author { entry: number, author });
        }
        match decoded {
            Entry::Record(bytes) => self.take_record(core, number, &bytes)?,
            Entry::Clock { elapsed_ms, us_per_step } => {
                core.pace.restore(elapsed_ms, us_per_step);
            }
            Entry::Stored { height, objects } => {
                core.retention.note(height, objects);
            }
            said => self.said.push(said),
        }
        Ok(())
    }

    fn take_record(
        &mut self,
        core: &mut Core,
        number: usize,
        bytes: &[u8],
    ) -> Result<(), RestoreError> {
        let bad = |why: String| RestoreError::Record { entry: number, why };
        let record = SignedRecord::from_bytes(bytes).map_err(|e| bad(e.to_string()))?;
        let next = ChainState::follow(self.chain.as_ref(), &core.run, &record, &core.cache)
            .map_err(|e| bad(e.to_string()))?;
        core.fits(next.height, next.hash).map_err(RestoreError::OtherHistory)?;
        self.chain = Some(next);
        core.records.push(record);
        // What was said for this height is history; verdicts are about heights before.
        self.said.retain(|e| matches!(e, Entry::Said(said) if said.kind == Verdict::KIND));
        Ok(())
    }
}

impl Running {
    /// Takes what was said for this height before a restart as said.
    pub(super) fn say_again(&mut self, core: &mut Core, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        self.restore_verdicts(entries);
        let (height, now) = (self.work.height, core.now);
        let said: Vec<Said> = entries.iter().filter_map(|e| Said::of(e, height)).collect();
        let rulings: Vec<_> = said.iter().map(|s| self.ruling_of(core, s)).collect();
        let broken = |(s, r): (&Said, &Option<Ruling>)| matches!(s, Said::Lock(..)) && r.is_none();
        if said.iter().zip(&rulings).any(broken) {
            return self
                .fatal(core, "the log has a lock on a record that may not follow".to_owned());
        }
        let work = &mut self.work;
        let view = said.iter().filter_map(Said::view).max().unwrap_or(0);
        work.agreement.restore_view(view);
        let mut commits = Vec::new();
        for (said, ruling) in said.into_iter().zip(rulings) {
            match said {
                Said::Commit(commit) => commits.push(commit),
                Said::Vote(vote) => {
                    work.agreement.vote(vote);
                }
                Said::Proposal(header, _, body) => {
                    work.agreement.propose(header, body, ruling);
                }
                Said::Lock(view, _, body, prevotes) => {
                    let Some(ruling) = ruling else { continue };
                    let hash = Record::hash_of(&body);
                    work.agreement.restore_lock(view, hash, body, ruling);
                    for vote in prevotes {
                        work.agreement.vote(vote);
                    }
                }
            }
        }
        work.agreement.resume(now);
        for commit in commits {
            self.accept_commit(core, commit);
        }
    }

    fn ruling_of(&self, core: &Core, said: &Said) -> Option<Ruling> {
        match said {
            Said::Proposal(_, record, body) | Said::Lock(_, record, body, _) => {
                self.ruling(core, &Record::hash_of(body), record).ok()
            }
            _ => None,
        }
    }
}

/// Something said before a restart, for the height that is open.
enum Said {
    Commit(Signed<Commit>),
    Vote(Signed<Vote>),
    Proposal(Signed<Proposal>, Box<Record>, Vec<u8>),
    Lock(u32, Box<Record>, Vec<u8>, Vec<Signed<Vote>>),
}

impl Said {
    fn of(entry: &Entry, height: u64) -> Option<Self> {
        match entry {
            Entry::Said(envelope) => {
                let commit = open::<Commit>(envelope).filter(|c| c.body().height == height);
                let vote = open::<Vote>(envelope).filter(|v| v.body().height == height);
                commit.map(Self::Commit).or(vote.map(Self::Vote))
            }
            Entry::Proposed { header, record } => {
                let header = open::<Proposal>(header).filter(|h| h.body().height == height)?;
                let body = record.to_vec();
                Some(Self::Proposal(header, Box::new(Record::from_bytes(&body).ok()?), body))
            }
            Entry::Locked { view, record, prevotes } => {
                let body = record.to_vec();
                let record = Record::from_bytes(&body).ok().filter(|r| r.height == height)?;
                let prevotes = prevotes.iter().filter_map(open::<Vote>).collect();
                Some(Self::Lock(*view, Box::new(record), body, prevotes))
            }
            Entry::Record(_) | Entry::Clock { .. } | Entry::Stored { .. } => None,
        }
    }

    fn view(&self) -> Option<u32> {
        match self {
            Self::Commit(_) => None,
            Self::Vote(vote) => Some(vote.body().view),
            Self::Proposal(header, _, _) => Some(header.body().view),
            Self::Lock(view, ..) => Some(*view),
        }
    }
}
