//! Checking a log from its genesis on, trusting nothing that is stored beside the statements.

use crate::{
    ArchiveError, Snapshot,
    follow::{FollowError, parse_all},
    state::{ReplayError, Roots, State},
};
use ids::{Hash, PeerId};
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
