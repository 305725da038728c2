//! A commons in a folder together with the keys of this device: what a person works with. It reads
//! the log, tries out what is to be said, signs it, and gives it its place where the key of the
//! log's operator is here. Times are Unix seconds by the clock of whoever calls.

mod ask;
mod error;
mod find;
pub(crate) mod member;
mod prove;
mod say;

pub use ask::Wording;
pub use error::WorkspaceError;
pub use member::Rotation;
pub use say::TOOL;

use crate::{
    Archive, Body, Home, Snapshot, Statement, author,
    cosigner::Cosigner,
    keys::{Keys, Role},
    names, operator,
    state::{State, VoidReason},
};
use ids::{Identity, PeerId};
use std::path::Path;

/// Statements of those who are no members that one call gives a place to.
const STRANGERS_AT_ONCE: usize = 16;

/// A clock that is behind by no more than this many seconds is right.
const TOLERANCE: u64 = 60;

/// An opened commons. The log's file is open as long as this lives, and others wait for it.
pub struct Workspace {
    /// The folder.
    pub home: Home,
    /// The log.
    pub archive: Archive,
    /// The state of the whole log.
    pub state: State,
    /// The keys of this device.
    pub keys: Keys,
}

/// What became of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its place in the log; none while it waits.
    pub index: Option<u64>,
    /// Why it counts for nothing, if it does.
    pub void: Option<VoidReason>,
}

/// A clock that is behind a time that witnesses vouched for already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// Seconds.
    pub behind: u64,
    /// How many witnesses vouched.
    pub witnesses: usize,
}

type Result<T> = std::result::Result<T, WorkspaceError>;

impl Workspace {
    /// Opens the commons in `dir`. Whoever is going to sign calls [`Keys::unlock`] before, because
    /// others wait for the log while a person is asked for a passphrase.
    ///
    /// Errors: there is none, or it is damaged.
    pub fn open(dir: &Path, keys: Keys) -> Result<Self> {
        let home = Home::open(dir)?;
        let archive = home.archive()?;
        let log = archive.snapshot()?;
        let state = home.state(&log)?;
        drop(log);
        Ok(Self { home, archive, state, keys })
    }

    /// The state as of `size` statements, by default all.
    ///
    /// Errors: the log is shorter or cannot be read.
    pub fn at(&self, size: Option<u64>) -> Result<State> {
        match size {
            None => Ok(self.state.clone()),
            Some(size) => Ok(self.home.state_at(&self.log()?, size)?),
        }
    }

    /// The log as it is now.
    ///
    /// Errors: it cannot be read.
    pub fn log(&self) -> Result<Snapshot> {
        Ok(self.archive.snapshot()?)
    }

    /// The state once all that waits has its place.
    ///
    /// Errors: the log cannot be read.
    pub fn ahead(&self) -> Result<State> {
        let mut next = self.state.clone();
        let log = self.log()?;
        let waiting = log.pending()?;
        next.apply_all(waiting.iter().map(|waiting| &waiting.statement), &log)?;
        Ok(next)
    }

    /// Whether `now` is behind the newest mark by more than a clock may be.
    pub fn late(&self, now: u64) -> Option<Late> {
        let mark = self.state.marks.last()?;
        let behind = mark.time.saturating_sub(now);
        (behind > TOLERANCE).then_some(Late { behind, witnesses: mark.witnesses })
    }

    /// The member that this device's key signs for.
    ///
    /// Errors: [`WorkspaceError::NoMember`], [`WorkspaceError::OutOfForce`].
    pub fn me(&self) -> Result<PeerId> {
        let key = self.keys.public(Role::Current)?;
        let ahead = self.ahead()?;
        if let Some(member) = ahead.member_of(&key) {
            return Ok(member);
        }
        Err(match ahead.owner_of(&key) {
            Some(owner) => WorkspaceError::OutOfForce { key, name: names::name_of(&ahead, &owner) },
            None => WorkspaceError::NoMember { key },
        })
    }

    /// [`Self::say_as`] this device's key.
    ///
    /// Errors: as [`Self::say_as`]; there is no key, or it does not open.
    pub fn say(&mut self, body: impl Into<Body>, now: u64) -> Result<Statement> {
        let me = self.keys.identity(Role::Current)?;
        self.say_as(&me, body, now)
    }

    /// Signs a statement, lets it wait, and, where the log's operator's key is here too, gives it
    /// its place. What would mislead people or count for nothing is not signed.
    ///
    /// Errors: [`WorkspaceError`]. Until it waits nothing is changed.
    pub fn say_as(&mut self, me: &Identity, body: impl Into<Body>, now: u64) -> Result<Statement> {
        let body = body.into();
        names::check_statement(&self.ahead()?, self.state.member_of(&me.id()), &body)?;
        let statement = author::draft_at(&self.log()?, &self.state, me, now, body)
            .map_err(WorkspaceError::Draft)?;
        self.rehearse(&statement)?;
        self.archive.hold(&statement)?;
        self.settle(now)?;
        Ok(statement)
    }

    /// Whether a statement would count as things stand: one that would not is not even kept.
    fn rehearse(&self, statement: &Statement) -> Result<()> {
        let mut next = self.ahead()?;
        next.apply(statement, &self.log()?)?;
        match next.voids.last().filter(|void| void.statement == statement.hash()) {
            None => Ok(()),
            Some(void) => Err(WorkspaceError::Void { reason: void.reason.clone() }),
        }
    }

    /// What became of a statement that was said.
    pub fn outcome(&self, statement: &Statement) -> Outcome {
        let hash = statement.hash();
        let void = self.state.voids.iter().find(|void| void.statement == hash);
        Outcome {
            index: self.state.place(&hash).map(|(index, _)| index),
            void: void.map(|void| void.reason.clone()),
        }
    }

    /// As the operator: gives what waits its place, signs the head, and has it cosigned by a
    /// witness whose key is here. Whether there was anything to do for a key that is here.
    ///
    /// Errors: the log cannot be written; a key does not open.
    pub fn settle(&mut self, now: u64) -> Result<bool> {
        let log = self.log()?;
        if log.pending()?.is_empty() || !self.operates()? {
            return Ok(false);
        }
        drop(log);
        let key = self.keys.identity(Role::Operator)?;
        // What a service of this operator has left waiting is not let in by the next command.
        let mut left = STRANGERS_AT_ONCE;
        let mut admit = |_: &Statement| {
            let fits = left > 0;
            left = left.saturating_sub(1);
            fits
        };
        operator::integrate_some(&self.archive, &mut self.state, &key, &mut admit)?;
        self.mark(&key, now)?;
        Ok(true)
    }

    /// Whether the key that operates the log now, or will once what waits has its place, is here.
    ///
    /// Errors: the log or the key cannot be read.
    pub fn operates(&self) -> Result<bool> {
        if !self.keys.has(Role::Operator) {
            return Ok(false);
        }
        let key = self.keys.public(Role::Operator)?;
        Ok(self.ahead()?.operator() == key || self.state.operator() == key)
    }

    /// Has the newest head cosigned by a witness whose key is here, if one is, and enters the mark:
    /// after a genesis.
    ///
    /// Errors: the operator's key is not here or does not open; the log cannot be written.
    pub fn mark_newest(&mut self, now: u64) -> Result<()> {
        let key = self.keys.identity(Role::Operator)?;
        self.mark(&key, now)
    }

    /// Lets a witness of this key folder cosign the newest head, and enters the mark.
    fn mark(&mut self, operator: &Identity, now: u64) -> Result<()> {
        if !self.keys.has(Role::Witness)
            || self.state.witness_name(&self.keys.public(Role::Witness)?).is_none()
        {
            return Ok(());
        }
        let key = self.keys.identity(Role::Witness)?;
        let Some(witness) = Cosigner::of(&self.archive, &self.state, &key) else { return Ok(()) };
        let Some(head) = witness.cosign_newest(&self.state, now)? else { return Ok(()) };
        self.archive.keep_checkpoint(&head)?;
        if operator::mark(&self.archive, &self.state, operator, &head)?.is_some() {
            operator::integrate_some(&self.archive, &mut self.state, operator, &mut |_| false)?;
        }
        Ok(())
    }
}
