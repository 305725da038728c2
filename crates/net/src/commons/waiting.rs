//! What waits for a place in the log, as the network sees it: how much of it anybody may cause.

use super::intake::Origin;
use commons::{
    ArchiveError, Body, Snapshot, Statement,
    operator::{self, is_members},
    state::State,
};
use ids::{Hash, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// Statements of one member that may wait, and their bytes.
const MAX_MEMBER: (usize, usize) = (512, 4 << 20);
/// Those of one author who is no member.
const MAX_STRANGER: (usize, usize) = (8, 16 << 10);
/// Statements of all such authors together.
const MAX_STRANGERS: usize = 2048;
/// Of these, how many one peer may bring, and how many all peers at one address.
const MAX_FROM_ONE: usize = 256;
const MAX_FROM_ADDRESS: usize = 512;
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
    /// Who brought statements of authors who are no members.
    brought: BTreeMap<Hash, Origin>,
    refused: VecDeque<Hash>,
    /// What there was no room for: worth another try once the log has changed.
    crowded: BTreeSet<Hash>,
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

    /// Reads it anew the next time: the log has changed.
    pub fn forget(&mut self) {
        self.read = None;
        self.crowded.clear();
    }

    /// Who brought a statement that waits, if its author is no member.
    pub fn origin(&self, statement: &Statement) -> Option<Origin> {
        self.brought.get(&statement.hash()).copied()
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

    /// All of them.
    pub fn statements(&self) -> impl Iterator<Item = (&Hash, &Statement)> {
        self.all.iter()
    }

    /// The bytes of one that waits.
    pub fn bytes(&self, hash: &Hash) -> Option<&[u8]> {
        self.all.get(hash).map(Statement::bytes)
    }

    /// Whether it waits or was refused lately.
    pub fn knows(&self, hash: &Hash) -> bool {
        self.all.contains_key(hash) || self.refused.contains(hash) || self.crowded.contains(hash)
    }

    /// Whether a statement that waits names `key` as the log's operator.
    pub fn names_operator(&self, key: &PeerId) -> bool {
        self.all.values().any(|statement| operator::named(statement) == Some(*key))
    }

    /// Whether a statement is new and may wait.
    ///
    /// Errors: why it may not.
    pub(super) fn admit(
        &mut self,
        state: &State,
        statement: &Statement,
        from: Option<Origin>,
    ) -> Result<bool, String> {
        let hash = statement.hash();
        if self.all.contains_key(&hash) {
            return Ok(false);
        }
        if let Err(why) = possible(state, statement) {
            self.refuse(hash);
            return Err(why);
        }
        if let Err(why) = self.room(state, statement, from) {
            if self.crowded.len() < MAX_REFUSED {
                self.crowded.insert(hash);
            }
            return Err(why);
        }
        if let Some(from) = from.filter(|_| !is_members(state, statement)) {
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

    fn room(
        &self,
        state: &State,
        statement: &Statement,
        from: Option<Origin>,
    ) -> Result<(), String> {
        let next = state.chain_head(&statement.author).0;
        if statement.seq > next.saturating_add(MAX_AHEAD) {
            return Err("it is too far ahead of its author's last".to_owned());
        }
        let of_author = || self.all.values().filter(|s| s.author == statement.author);
        let count = of_author().count();
        let bytes = of_author().map(|s| s.bytes().len()).sum::<usize>() + statement.bytes().len();
        if is_members(state, statement) {
            return bounded(count, bytes, MAX_MEMBER, "of its author");
        }
        bounded(count, bytes, MAX_STRANGER, "of its author, who is no member,")?;
        // What may never get its place would take it from other newcomers for ever.
        let follows = statement.seq <= next
            || of_author().any(|s| s.seq.checked_add(1) == Some(statement.seq));
        if !follows || statement.seen.is_some_and(|seen| seen.size > state.size) {
            return Err("what it follows is not here, and its author is no member".to_owned());
        }
        let any = usize::MAX;
        let strangers = self.all.values().filter(|s| !is_members(state, s)).count();
        bounded(strangers, 0, (MAX_STRANGERS, any), "of authors who are no members")?;
        let Some(from) = from else { return Ok(()) };
        let by = |of: &dyn Fn(&Origin) -> bool| self.brought.values().filter(|o| of(o)).count();
        let whose = "of authors who are no members, from one peer,";
        bounded(by(&|other| other.peer == from.peer), 0, (MAX_FROM_ONE, any), whose)?;
        let Some(network) = from.network else { return Ok(()) };
        let whose = "of authors who are no members, from one address,";
        bounded(by(&|other| other.network == Some(network)), 0, (MAX_FROM_ADDRESS, any), whose)
    }
}

/// Whether a statement may ever get a place in this log.
fn possible(state: &State, statement: &Statement) -> Result<(), String> {
    if statement.log != state.id {
        return Err("it is of another commons".to_owned());
    }
    if matches!(statement.body, Body::Genesis(_)) {
        return Err("a commons has one genesis".to_owned());
    }
    Ok(())
}

fn bounded(count: usize, bytes: usize, most: (usize, usize), whose: &str) -> Result<(), String> {
    if count >= most.0 {
        return Err(format!("{} statements {whose} wait already", most.0));
    }
    if bytes > most.1 {
        return Err(format!("with it {bytes} bytes {whose} would wait, at most {} may", most.1));
    }
    Ok(())
}
