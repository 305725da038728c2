//! What waits for a place in the log, as the network sees it: how much of it anybody may cause.

use commons::{
    ArchiveError, Body, PeerId, Snapshot, Statement,
    state::State,
    statement::{Asset, Candidate},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};
use store::Hash;

/// Statements of one author whose key is in force that may wait.
const MAX_MEMBER: usize = 512;
/// Statements of one author whom nobody knows yet.
const MAX_STRANGER: usize = 8;
/// Statements of all such authors together.
const MAX_STRANGERS: usize = 2048;
/// Of these, how many one peer may bring.
const MAX_FROM_ONE: usize = 256;
/// How far ahead of its author's chain a statement may be.
const MAX_AHEAD: u64 = 4096;
/// Refused statements that are remembered, so that they are not asked for again.
const MAX_REFUSED: usize = 4096;
/// Commands add statements too: what is remembered of the file is good for so long.
const FRESH: Duration = Duration::from_millis(200);

/// The statements that wait.
#[derive(Default)]
pub(crate) struct Waiting {
    read: Option<Instant>,
    all: BTreeMap<Hash, Statement>,
    /// Who brought statements of authors whom nobody knows.
    brought: BTreeMap<Hash, PeerId>,
    refused: VecDeque<Hash>,
}

impl Waiting {
    /// As it is on disk, at most a moment ago.
    ///
    /// Errors: the file cannot be read.
    pub fn fresh(&mut self, log: &Snapshot) -> Result<&mut Self, ArchiveError> {
        if self.read.is_none_or(|at| at.elapsed() > FRESH) {
            let pending = log.pending()?;
            self.all = pending.into_iter().map(|p| (p.statement.hash(), p.statement)).collect();
            self.brought.retain(|hash, _| self.all.contains_key(hash));
            self.read = Some(Instant::now());
        }
        Ok(self)
    }

    /// Reads it anew the next time.
    pub fn forget(&mut self) {
        self.read = None;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The same for the same statements, and hardly for others.
    pub fn digest(&self) -> u64 {
        let word = |hash: &Hash| {
            u64::from_le_bytes(hash.0[..8].try_into().expect("eight bytes were sliced"))
        };
        self.all.keys().map(word).fold(self.all.len() as u64, |sum, word| sum ^ word)
    }

    /// Their hashes.
    pub fn hashes(&self) -> Vec<Hash> {
        self.all.keys().copied().collect()
    }

    /// The bytes of one that waits.
    pub fn bytes(&self, hash: &Hash) -> Option<&[u8]> {
        self.all.get(hash).map(Statement::bytes)
    }

    /// Whether it waits or was refused lately.
    pub fn knows(&self, hash: &Hash) -> bool {
        self.all.contains_key(hash) || self.refused.contains(hash)
    }

    /// Whether a statement that waits names `key` as the log's operator.
    pub fn names_operator(&self, key: &PeerId) -> bool {
        self.all.values().any(|statement| {
            matches!(&statement.body, Body::Rights(rights)
                if rights.asset == Asset::Log && rights.holder == Candidate::Key(*key))
        })
    }

    /// Whether a statement is new and may wait.
    ///
    /// Errors: why it may not.
    pub fn admit(
        &mut self,
        state: &State,
        statement: &Statement,
        from: Option<PeerId>,
    ) -> Result<bool, String> {
        let hash = statement.hash();
        if self.all.contains_key(&hash) {
            return Ok(false);
        }
        if let Err(why) = self.check(state, statement, from) {
            self.refuse(hash);
            return Err(why);
        }
        if let Some(from) = from.filter(|_| state.member_of(&statement.author).is_none()) {
            self.brought.insert(hash, from);
        }
        self.all.insert(hash, statement.clone());
        Ok(true)
    }

    /// Remembers that a statement is not wanted.
    pub fn refuse(&mut self, hash: Hash) {
        self.refused.push_back(hash);
        if self.refused.len() > MAX_REFUSED {
            self.refused.pop_front();
        }
    }

    /// Statements that can have no place any more, because their author's chain went another way:
    /// no operator takes them in.
    pub fn hopeless(&self, state: &State) -> Vec<Hash> {
        let is_hopeless = |statement: &&Statement| {
            let (seq, prev) = state.chain_head(&statement.author);
            statement.seq == seq && statement.prev != prev
        };
        self.all.values().filter(is_hopeless).map(Statement::hash).collect()
    }

    fn check(
        &self,
        state: &State,
        statement: &Statement,
        from: Option<PeerId>,
    ) -> Result<(), String> {
        if statement.log != state.id {
            return Err("it is of another commons".to_owned());
        }
        if matches!(statement.body, Body::Genesis(_)) {
            return Err("a commons has one genesis".to_owned());
        }
        if statement.seq > state.chain_head(&statement.author).0.saturating_add(MAX_AHEAD) {
            return Err("it is too far ahead of its author's last".to_owned());
        }
        let of_author = self.all.values().filter(|s| s.author == statement.author).count();
        if is_known(state, &statement.author) {
            return bounded(of_author, MAX_MEMBER, "of its author");
        }
        bounded(of_author, MAX_STRANGER, "of its author, whom nobody knows,")?;
        let strangers = self.all.values().filter(|s| !is_known(state, &s.author)).count();
        bounded(strangers, MAX_STRANGERS, "of authors whom nobody knows")?;
        let brought = self.brought.values().filter(|peer| Some(**peer) == from).count();
        bounded(brought, MAX_FROM_ONE, "of authors whom nobody knows, from one peer,")
    }
}

/// The log's operator is known even where it is nobody's member: its marks wait too.
fn is_known(state: &State, author: &PeerId) -> bool {
    state.member_of(author).is_some() || state.operator() == *author
}

fn bounded(count: usize, most: usize, whose: &str) -> Result<(), String> {
    if count < most { Ok(()) } else { Err(format!("{most} statements {whose} wait already")) }
}
