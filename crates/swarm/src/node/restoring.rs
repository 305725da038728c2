//! After a restart: what was said before it stays said.

use super::{
    Life, Node,
    intake::{excluded_by, open},
};
use crate::{Commit, Proposal, Record, Signed, Vote, log::Entry};

impl Node {
    /// Takes what was said for this height before a restart as said.
    pub(super) fn say_again(&mut self) {
        if self.restored.is_empty() || self.life != Life::Running {
            return;
        }
        let entries = std::mem::take(&mut self.restored);
        self.restore_verdicts(&entries);
        let Some(work) = &mut self.work else { return };
        let (height, now) = (work.height, self.now);
        let said: Vec<Said> = entries.iter().filter_map(|e| Said::of(e, height)).collect();
        let view = said.iter().filter_map(Said::view).max().unwrap_or(0);
        work.agreement.restore_view(view);
        let mut commits = Vec::new();
        for said in said {
            match said {
                Said::Commit(commit) => commits.push(commit),
                Said::Vote(vote) => {
                    work.agreement.vote(vote);
                }
                Said::Proposal(header, record, body) => {
                    work.agreement.propose(header, body, excluded_by(&record));
                }
                Said::Lock(view, record, body, prevotes) => {
                    let hash = Record::hash_of(&body);
                    work.agreement.restore_lock(view, hash, body, excluded_by(&record));
                    for vote in prevotes {
                        work.agreement.vote(vote);
                    }
                }
            }
        }
        work.agreement.resume(now);
        for commit in commits {
            self.accept_commit(commit);
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
            Entry::Record(_) | Entry::Clock { .. } => None,
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
