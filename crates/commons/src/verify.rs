//! Checking a log from its genesis on, trusting nothing that is stored beside the statements.

use crate::{
    ArchiveError, Home, HomeError, Snapshot,
    follow::{FollowError, parse_all},
    state::{ReplayError, Roots, State},
};
use ids::{Hash, PeerId};
use progress::Tell;
use tlog::{Hash as TreeHash, MemoryTree, root};

/// Statements that are parsed at a time.
const CHUNK: u64 = 8192;

/// What a check of a whole log found.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    /// The commons' id.
    pub commons: Hash,
    /// Statements whose encoding and signature hold.
    pub statements: u64,
    /// The root over them.
    pub root: TreeHash,
    /// How many of them the newest checkpoint covers.
    pub covered: u64,
    /// Checkpoints that are signed by the operator of their size and have the log's root there.
    pub checkpoints: u64,
    /// Of those, how many enough witnesses cosigned.
    pub witnessed: u64,
    /// Statements that count for nothing.
    pub void: usize,
}

/// What came of a commons from its genesis on.
#[derive(Debug)]
pub struct Checked {
    /// Of each log, that of the oldest ancestor first; none where something does not hold.
    pub reports: Vec<Report>,
    /// What is wrong, if anything is.
    pub problem: Option<Problem>,
}

/// Why a commons does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nobody signed for its newest statements.
    #[error("the newest checkpoint covers {covered} of {statements} statements")]
    Uncovered {
        /// Statements that the newest checkpoint covers.
        covered: u64,
        /// Statements in the log.
        statements: u64,
    },
    /// Something in it.
    #[error(transparent)]
    Broken(HomeError),
}

impl Home {
    /// [`Self::verify`] with a verdict in the place of an error.
    ///
    /// Errors: it cannot be read, which is no verdict.
    pub fn check(&self, tell: &mut Tell<'_>) -> Result<Checked, HomeError> {
        match self.verify(tell) {
            Err(
                error @ (HomeError::Io { .. }
                | HomeError::Missing(_)
                | HomeError::Archive(ArchiveError::Busy)),
            ) => Err(error),
            Err(error) => {
                let problem = Some(Problem::Broken(error));
                Ok(Checked { reports: Vec::new(), problem })
            }
            Ok((_, reports)) => {
                let last = reports.last().filter(|report| !report.is_covered());
                let problem = last.map(|&Report { covered, statements, .. }| Problem::Uncovered {
                    covered,
                    statements,
                });
                Ok(Checked { reports, problem })
            }
        }
    }
}

/// Why a log is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It has no genesis.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A statement does not hold.
    #[error(transparent)]
    Statement(#[from] FollowError),
    /// Another root than a checkpoint says.
    #[error("the checkpoint of size {size} says root {said}, the statements give {root}")]
    Root {
        /// The size.
        size: u64,
        /// What the checkpoint says.
        said: TreeHash,
        /// What the statements give.
        root: TreeHash,
    },
    /// A checkpoint that the operator did not sign.
    #[error("the checkpoint of size {size} is not signed by {operator}, who operated the log then")]
    Unsigned {
        /// The size.
        size: u64,
        /// Who should have.
        operator: PeerId,
    },
}

/// Checks every statement, the tree and every checkpoint of a log; `parent` is the state of the log
/// that it was forked from, checked before. `heard` gets how many
/// statements were checked since it heard last.
///
/// Errors: the first thing that does not hold. That the newest checkpoint covers all is
/// [`Report::is_covered`].
pub fn verify(
    log: &Snapshot,
    parent: Option<&State>,
    mut heard: impl FnMut(u64),
) -> Result<(State, Report), VerifyError> {
    let mut tree = Tree(MemoryTree::new());
    let mut state: Option<State> = None;
    let mut next = 0;
    while next < log.size() {
        let end = (next + CHUNK).min(log.size());
        let entries: Vec<Vec<u8>> = log.entries(next..end)?.collect::<Result<_, _>>()?;
        if entries.len() as u64 != end - next {
            return Err(ArchiveError::Missing { index: next, size: log.size() }.into());
        }
        let statements = parse_all(&entries, next)?;
        for statement in &statements {
            tree.0.push(TreeHash::of_leaf(statement.bytes()));
        }
        let rest = match &mut state {
            None => {
                state = Some(State::begin(&statements[0], parent)?);
                &statements[1..]
            }
            Some(_) => &statements[..],
        };
        state.as_mut().expect("it has begun").apply_all(rest, &tree)?;
        heard(end - next);
        next = end;
    }
    let state = state.ok_or(ReplayError::NoGenesis)?;
    let report = check_heads(log, &state, &tree)?;
    Ok((state, report))
}

impl Report {
    /// Whether a checkpoint covers every statement. The log that a fork comes from may end between
    /// two checkpoints: there the fork's genesis vouches for the root.
    pub fn is_covered(&self) -> bool {
        self.covered == self.statements
    }
}

fn check_heads(log: &Snapshot, state: &State, tree: &Tree) -> Result<Report, VerifyError> {
    let (mut checkpoints, mut witnessed, mut covered) = (0, 0, 0);
    for signed in log.checkpoints()? {
        let signed = signed?;
        let head = signed.checkpoint();
        let root = tree.root_at(head.size)?;
        if root != head.root {
            return Err(VerifyError::Root { size: head.size, said: head.root, root });
        }
        let operator = state.operator_at(head.size);
        if !state.is_signed(&signed) {
            return Err(VerifyError::Unsigned { size: head.size, operator });
        }
        checkpoints += 1;
        witnessed += u64::from(state.is_witnessed(&signed));
        covered = head.size;
    }
    Ok(Report {
        commons: state.id,
        statements: log.size(),
        root: tree.root_at(log.size())?,
        covered,
        checkpoints,
        witnessed,
        void: state.voids.len(),
    })
}

struct Tree(MemoryTree);

impl Roots for Tree {
    fn root_at(&self, size: u64) -> Result<TreeHash, ArchiveError> {
        Ok(root(size, &self.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        author,
        keys::Role,
        statement::{Attest, Claim},
        workspace::member::tests::{NOW, garden},
    };

    #[test]
    fn a_statement_that_nobody_signed_for_is_a_problem_and_a_log_in_use_no_verdict() {
        let dir = tempfile::tempdir().expect("a folder");
        let garden = garden(dir.path());
        let me = garden.keys.identity(Role::Current).expect("a key");
        let subject = garden.me().expect("a member");
        let crate::Workspace { home, archive, state, .. } = garden;
        drop(archive);
        let checked = home.check(&mut |_| ()).expect("it can be read");
        assert!(checked.problem.is_none() && checked.reports.len() == 1, "{checked:?}");

        let archive = home.archive().expect("it opens");
        let log = archive.snapshot().expect("it reads");
        let claim = Claim::Conflict { with: "plums".to_owned(), ended: false };
        let body = crate::Body::from(Attest { subject, claim });
        let said = author::draft_at(&log, &state, &me, NOW, body).expect("it is signed");
        archive.append(&[said]).expect("it is written");
        let size = state.size;
        drop(log);
        let busy = home.check(&mut |_| ());
        assert!(matches!(busy, Err(HomeError::Archive(ArchiveError::Busy))), "{busy:?}");
        drop(archive);
        let checked = home.check(&mut |_| ()).expect("it can be read");
        let uncovered = |problem: &Problem| {
            let Problem::Uncovered { covered, statements } = problem else { return false };
            (*covered, *statements) == (size, size + 1)
        };
        assert!(checked.problem.as_ref().is_some_and(uncovered), "{checked:?}");
    }
}
