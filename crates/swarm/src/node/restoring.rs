//! After a restart: what was said before it stays said.

use super::{Life, Node, intake::open};
use crate::{Commit, Proposal, Record, Signed, Vote, chain::Ruling, log::Entry};

impl Node {
    /// Takes what was said for this height before a restart as said.
    pub(super) fn say_again(&mut self) {
        if self.restored.is_empty() || self.life != Life::Running {
            return;
        }
        let entries = std::mem::take(&mut self.restored);
        self.restore_verdicts(&entries);
        let (Some(height), now) = (self.work.as_ref().map(|w| w.height), self.now) else { return };
        let said: Vec<Said> = entries.iter().filter_map(|e| Said::of(e, height)).collect();
        let rulings: Vec<_> = said.iter().map(|s| self.ruling_of(s)).collect();
        let broken = |(s, r): (&Said, &Option<Ruling>)| matches!(s, Said::Lock(..)) && r.is_none();
        if said.iter().zip(&rulings).any(broken) {
            return self.fatal("the log has a lock on a record that may not follow".to_owned());
        }
        let Some(work) = &mut self.work else { return };
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
            self.accept_commit(commit);
        }
    }
}

impl Node {
    fn ruling_of(&self, said: &Said) -> Option<Ruling> {
        match said {
            Said::Proposal(_, record, body) | Said::Lock(_, record, body, _) => {
                self.ruling(&Record::hash_of(body), record).ok()
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
