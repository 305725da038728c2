//! What follows from a log: a fold over its statements, the same for everybody who has them.
//!
//! A statement can be in the log and still count for nothing, because its author is no member,
//! its key is out of force, its ballot came late. Then it is *void*, with a reason: the log keeps
//! what was said, the state says what it means.
//!
//! The clock is the witnesses'. A `Check` on the log with a cosigned checkpoint as evidence is a
//! *mark*: everything before its size was there at its time. Nobody's own word for the time counts.

mod appeals;
mod artifacts;
mod asking;
mod clock;
mod cost;
mod counting;
mod deciding;
mod electorate;
mod faults;
mod force;
mod keys;
mod milestones;
mod names;
mod panel;
mod people;
mod receipts;
mod time;
mod void;

pub use artifacts::{Artifact, Edge, EdgeState, LiveUse, WorkDone};
pub use clock::{Interval, Mark, Operator, log_key, policy};
pub use counting::{Count, Cutoff, HouseCount};
pub use deciding::{Cast, Held, Proposal, Status};
pub use electorate::{Elector, Electorate};
pub use faults::{Equivocation, Split};
pub use keys::{KeyRing, Recovery};
pub use milestones::MarkedRecord;
pub use panel::Round;
pub use people::{Affiliation, Member, Steward};
pub use receipts::Promised;
pub use time::Coming;
pub use void::{Detail, Void, VoidReason};

use crate::{
    ArchiveError, Body, Kind, Snapshot, Statement, StatementError,
    statement::{
        Asset, Check, Genesis, OLDEST_WRITTEN, ParentLog, ProposalType, Rights, Rules, Subject,
        Verdict, Witnesses,
    },
};
use faults::Chain;
use ids::{Hash, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tlog::Hash as TreeHash;

/// A power that was declared.
#[derive(Clone, Debug)]
pub struct Power {
    /// The declaring statement's index.
    pub index: u64,
    /// The member that declared it.
    pub by: PeerId,
    /// What it said.
    pub rights: Rights,
}

/// What a log means, up to some size.
#[derive(Clone, Debug)]
pub struct State {
    /// The commons' id.
    pub id: Hash,
    /// Its name.
    pub name: String,
    /// The version of the rules that its genesis names.
    pub version: u32,
    /// Statements read.
    pub size: u64,
    /// The charter's digest.
    pub charter: Hash,
    /// The rules in force.
    pub rules: Rules,
    /// Where it was forked from.
    pub parent: Option<ParentLog>,
    /// Who may sign checkpoints, since which size.
    pub operators: Vec<Operator>,
    /// The witness policy in force.
    pub witnesses: Witnesses,
    /// Witnesses that were decided on and come into force when enough of them have cosigned.
    pub coming: Option<Coming>,
    /// Times that witnesses vouched for, in the log's order.
    pub marks: Vec<Mark>,
    /// Everybody who ever was a member or asked to be one, by id.
    pub members: BTreeMap<PeerId, Member>,
    /// The stewards, in the order of their election.
    pub stewards: Vec<Steward>,
    /// Every question, by its statement's hash.
    pub proposals: BTreeMap<Hash, Proposal>,
    /// Artifacts, by digest.
    pub artifacts: BTreeMap<Hash, Artifact>,
    /// What was made from what, in the log's order.
    pub edges: Vec<Edge>,
    /// Work, in the log's order.
    pub work: Vec<WorkDone>,
    /// Records of training runs, by run and height: who said which record it is there.
    milestones: milestones::Milestones,
    /// Who uses what, by member and artifact.
    pub uses: BTreeMap<(PeerId, Hash), LiveUse>,
    /// Declared powers, by who declared them, over what kind of thing, and which.
    pub powers: BTreeMap<(PeerId, Asset, String), Power>,
    /// Authors that said two things in one place.
    pub equivocations: Vec<Equivocation>,
    /// Statements that prove a second history of this log.
    pub splits: Vec<Split>,
    /// Statements that had no place when an operator's receipt for them was shown, by statement and
    /// operator.
    promised: BTreeMap<(Hash, PeerId), Promised>,
    /// Statements that count for nothing.
    pub voids: Vec<Void>,
    created: u64,
    keys: KeyRing,
    chains: BTreeMap<PeerId, Chain>,
    /// Statement → index and kind, for what others refer to.
    places: BTreeMap<Hash, (u64, Kind)>,
    /// Where authors said they had seen a head; those found right are not looked at twice.
    heads: BTreeSet<crate::Seen>,
    electorate: Option<Arc<Electorate>>,
    /// What checks are counted of.
    checkable: BTreeMap<Hash, artifacts::Checkable>,
    /// What each member made and somebody confirmed: its standing as a contributor may rest on it.
    confirmed: BTreeMap<PeerId, BTreeSet<artifacts::Checkable>>,
    /// Recoveries on their way: their statement → the member.
    recoveries: BTreeMap<Hash, PeerId>,
    /// Those that enough guardians endorsed: when they come into force, index, statement.
    due_recoveries: BTreeSet<(u64, u64, Hash)>,
    /// What is to be done about questions, and when: time, index, question.
    agenda: BTreeSet<(u64, u64, Hash)>,
    /// How many open questions each member has asked.
    open: BTreeMap<PeerId, u32>,
    /// Panels that may hear appeals: when they were drawn, index, question.
    panels: BTreeSet<(u64, u64, Hash)>,
    /// Results in force that replaced something, in that order.
    in_force: BTreeMap<ProposalType, Vec<Hash>>,
    /// Stewards' words for a new operator: who names whom.
    named_operators: BTreeMap<PeerId, PeerId>,
    /// What holds the time of one witness.
    steps: time::Steps,
    /// What the fold costs.
    cost: cost::Cost,
    /// Questions that no mark covers yet: index, question.
    unopened: BTreeSet<(u64, Hash)>,
    /// Questions for a panel that may hear appeals and is not drawn yet: when asked, index, question.
    open_panels: BTreeSet<(u64, u64, Hash)>,
    /// Members who withheld a secret from a draw, and until when they take part in none.
    barred: BTreeMap<PeerId, u64>,
    /// The last list of seats that are held already, of each committee.
    held_seats: BTreeMap<String, Hash>,
    /// Who holds which name.
    names: names::Names,
}

/// Why a log has no state: only a damaged one does not.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log's file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The first statement is no genesis.
    #[error("the log does not begin with a genesis")]
    NoGenesis,
    /// A fork needs the log that it was forked from.
    #[error("the log was forked from {}", expected.map_or("no other".to_owned(), |id| id.to_string()))]
    Parent {
        /// The commons that it was forked from.
        expected: Option<Hash>,
    },
    /// It is wanted for writing, and follows an older version of the rules.
    #[error(transparent)]
    OldRules(#[from] OldRules),
}

/// A commons of an older version of the rules: it is read as it always was, and goes on as a fork.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "commons {id} follows version {version} of the rules, in which nothing new is written: it can \
     be read, and goes on with its history as a fork (`understory commons fork NAME FOLDER`)"
)]
pub struct OldRules {
    /// The commons.
    pub id: Hash,
    /// The version its genesis names.
    pub version: u32,
}

/// Roots of the log that is replayed, by size.
pub trait Roots {
    /// The root over the first `size` statements.
    ///
    /// Errors: the log is shorter or cannot be read.
    fn root_at(&self, size: u64) -> Result<TreeHash, ArchiveError>;
}

impl Roots for Snapshot {
    fn root_at(&self, size: u64) -> Result<TreeHash, ArchiveError> {
        Snapshot::root_at(self, size)
    }
}

impl State {
    /// Reads the first `size` statements of a log; `parent` is the state of the log that it was
    /// forked from, at the size where it was.
    ///
    /// Errors: the log is shorter or cannot be read, has no genesis or needs another parent.
    pub fn replay(log: &Snapshot, size: u64, parent: Option<&Self>) -> Result<Self, ReplayError> {
        if size == 0 || size > log.size() {
            return Err(ArchiveError::Missing { index: size, size: log.size() }.into());
        }
        let mut state = Self::begin(&log.statement(0)?, parent)?;
        state.advance(log, size)?;
        Ok(state)
    }

    /// Takes in what a log has up to `size`, from where this state ends.
    ///
    /// Errors: the log is shorter or cannot be read; the state may be part of the way.
    pub fn advance(&mut self, log: &Snapshot, size: u64) -> Result<(), ArchiveError> {
        if size > log.size() {
            return Err(ArchiveError::Missing { index: size - 1, size: log.size() });
        }
        for (index, entry) in (self.size..).zip(log.entries(self.size..size)?) {
            let statement = Statement::parse_unsigned(&entry?)
                .map_err(|why| ArchiveError::Statement { index, why })?;
            self.apply(&statement, log)?;
        }
        Ok(())
    }

    /// [`Self::apply`] of statements in order; `log` has them already, or will.
    ///
    /// Errors: as [`Self::apply`]; the state may be part of the way.
    pub fn apply_all<'a>(
        &mut self,
        statements: impl IntoIterator<Item = &'a Statement>,
        log: &impl Roots,
    ) -> Result<(), ArchiveError> {
        statements.into_iter().try_for_each(|statement| self.apply(statement, log))
    }

    /// The state after a genesis. That of a fork keeps the old log's history: artifacts, lineage,
    /// work, questions decided, keys. Members are those whom the genesis names.
    ///
    /// Errors: it is none, or of a fork of something else than `parent`.
    pub fn begin(genesis: &Statement, parent: Option<&Self>) -> Result<Self, ReplayError> {
        let (Body::Genesis(body), Some(id)) = (&genesis.body, genesis.commons_id()) else {
            return Err(ReplayError::NoGenesis);
        };
        let of = parent.map(|parent| (parent.id, parent.size));
        if of != body.parent.map(|parent| (parent.id, parent.size)) {
            return Err(ReplayError::Parent { expected: body.parent.map(|parent| parent.id) });
        }
        let mut state = Self::empty(id, body);
        if let Some(parent) = parent {
            state.inherit(parent);
        }
        state.found(body);
        state.places.insert(genesis.hash(), (0, Kind::Genesis));
        state.size = 1;
        Ok(state)
    }

    fn inherit(&mut self, parent: &Self) {
        self.created = self.created.max(parent.now());
        self.artifacts = parent.artifacts.clone();
        self.edges = parent.edges.clone();
        self.work = parent.work.clone();
        self.milestones = parent.milestones.clone();
        self.uses = parent.uses.clone();
        self.powers = parent.powers.clone();
        self.checkable = parent.checkable.clone();
        self.confirmed = parent.confirmed.clone();
        self.keys = parent.keys.clone();
        self.chains = parent.chains.clone();
        self.places = parent.places.clone();
        let settled = parent.proposals.iter().filter(|(_, proposal)| proposal.is_settled());
        self.proposals = settled.map(|(hash, proposal)| (*hash, proposal.clone())).collect();
        for proposal in self.proposals.values_mut() {
            (proposal.inherited, proposal.undo) = (true, None);
        }
        self.members = parent.members.clone();
        for member in self.members.values_mut() {
            member.founder = false;
            member.removed = false;
            member.vouches.clear();
            member.support = 0;
            member.recoveries.clear();
        }
    }

    fn empty(id: Hash, genesis: &Genesis) -> Self {
        Self {
            id,
            name: genesis.name.clone(),
            version: genesis.rules_version(),
            size: 0,
            charter: genesis.charter,
            rules: genesis.rules.clone(),
            parent: genesis.parent,
            operators: vec![Operator { since: 1, key: genesis.operator }],
            witnesses: genesis.witnesses.clone(),
            coming: None,
            marks: Vec::new(),
            members: BTreeMap::new(),
            stewards: Vec::new(),
            proposals: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            edges: Vec::new(),
            work: Vec::new(),
            milestones: BTreeMap::new(),
            uses: BTreeMap::new(),
            powers: BTreeMap::new(),
            equivocations: Vec::new(),
            splits: Vec::new(),
            promised: BTreeMap::new(),
            voids: Vec::new(),
            created: genesis.created,
            keys: KeyRing::default(),
            chains: BTreeMap::new(),
            places: BTreeMap::new(),
            heads: BTreeSet::new(),
            electorate: None,
            checkable: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            due_recoveries: BTreeSet::new(),
            agenda: BTreeSet::new(),
            open: BTreeMap::new(),
            panels: BTreeSet::new(),
            in_force: BTreeMap::new(),
            named_operators: BTreeMap::new(),
            steps: time::Steps::default(),
            cost: cost::Cost::default(),
            unopened: BTreeSet::new(),
            open_panels: BTreeSet::new(),
            barred: BTreeMap::new(),
            held_seats: BTreeMap::new(),
            names: names::Names::default(),
        }
    }

    /// Takes in the log's next statement, whose signature was checked. Whatever it says, it has
    /// its place; whether it counts is the state's to say.
    ///
    /// Errors: the log cannot be read, or is of a version of the rules without such statements.
    pub fn apply(&mut self, statement: &Statement, log: &impl Roots) -> Result<(), ArchiveError> {
        let index = self.size;
        self.forget_alike();
        statement
            .check_version(self.version)
            .map_err(|why| ArchiveError::Statement { index, why })?;
        let outcome = match self.sees_this_history(statement, log)? {
            Err(reason) => Err(reason),
            Ok(()) => match self.chain(statement) {
                Err(reason) => Err(reason),
                Ok(()) => self.take(index, statement, log)?,
            },
        };
        self.places.insert(statement.hash(), (index, statement.body.kind()));
        self.size += 1;
        match outcome {
            Ok(()) => self.note_seen(statement),
            Err(reason) => {
                self.voids.push(Void { index, statement: statement.hash(), reason });
            }
        }
        self.settle_members();
        self.settle_names();
        self.settle_operator();
        Ok(())
    }

    /// Notes how much of the log the author of a statement that counts had seen, if it is a member:
    /// not by what it says of the log itself, because a mark is no word for the mark before it.
    fn note_seen(&mut self, statement: &Statement) {
        let of_log = matches!(&statement.body, Body::Check(c) if matches!(c.subject, Subject::Log));
        let member = self.member_of(&statement.author).filter(|member| self.is_member(member));
        if let (Some(member), Some(seen), false) = (member, statement.seen, of_log) {
            self.saw(member, seen.size);
        }
    }

    /// Whether anything new may be written into this log.
    ///
    /// Errors: its genesis names a version of the rules that is only read.
    pub fn check_version(&self) -> Result<(), OldRules> {
        let (id, version) = (self.id, self.version);
        if version >= OLDEST_WRITTEN { Ok(()) } else { Err(OldRules { id, version }) }
    }

    /// Where a statement stands in the log, and its kind.
    pub fn place(&self, statement: &Hash) -> Option<(u64, Kind)> {
        self.places.get(statement).copied()
    }

    /// The time now: the last mark's, and before the first the founders' word.
    pub fn now(&self) -> u64 {
        self.marks.last().map_or(self.created, |mark| mark.time)
    }

    /// The member that `key` signs for now.
    pub fn member_of(&self, key: &PeerId) -> Option<PeerId> {
        self.keys.member_of(key)
    }

    /// The member that `key` signs or once signed for.
    pub fn owner_of(&self, key: &PeerId) -> Option<PeerId> {
        self.keys.owner_of(key)
    }

    /// Reads a statement that is shown in another.
    fn read(&self, bytes: &[u8]) -> Result<Statement, StatementError> {
        let statement = Statement::parse(bytes)?;
        statement.check_version(self.version)?;
        Ok(statement)
    }

    fn take(
        &mut self,
        index: u64,
        statement: &Statement,
        log: &impl Roots,
    ) -> Result<Result<(), VoidReason>, ArchiveError> {
        // Keys and marks carry their own proof; for everything else the author has to be somebody.
        match &statement.body {
            Body::Genesis(_) => return Ok(Err(VoidReason::SecondGenesis)),
            Body::Key(key) => return Ok(self.take_key(index, statement, key)),
            Body::Check(check) if matches!(check.subject, Subject::Log) => {
                return self.take_log_check(index, statement, check, log);
            }
            _ => {}
        }
        let Some(author) = self.member_of(&statement.author) else {
            return Ok(Err(VoidReason::KeyNotInForce));
        };
        if let Body::Attest(attest) = &statement.body {
            return Ok(self.take_attest(index, author, attest));
        }
        // Who may vote on a question was fixed when it was asked: nobody silences a voter by taking
        // a vouch back.
        if !self.is_member(&author) && !matches!(statement.body, Body::Vote(_)) {
            return Ok(Err(VoidReason::NotAMember));
        }
        Ok(self.take_from_member(index, statement, author))
    }

    fn take_from_member(
        &mut self,
        index: u64,
        statement: &Statement,
        author: PeerId,
    ) -> Result<(), VoidReason> {
        let hash = statement.hash();
        match &statement.body {
            Body::Publish(publish) => self.take_publish(index, author, hash, publish),
            Body::Derive(derive) => self.take_derive(index, author, statement, derive),
            Body::Work(work) => self.take_work(index, author, statement, work),
            Body::Check(check) => self.take_check(index, author, hash, check),
            Body::Use(used) => self.take_use(index, author, used),
            Body::Rights(rights) => self.take_rights(index, author, rights),
            Body::Propose(propose) => self.take_proposal(index, author, hash, propose),
            Body::Vote(vote) => self.take_vote(index, author, statement, vote),
            Body::Milestone(milestone) => self.take_milestone(index, author, statement, *milestone),
            // Their views come with what they are about; here they only have to be in bounds.
            Body::Evaluate(_) | Body::Boundary(_) | Body::Pay(_) => Ok(()),
            Body::Genesis(_) | Body::Key(_) | Body::Attest(_) => {
                unreachable!("these are taken before")
            }
        }
    }

    fn take_log_check(
        &mut self,
        index: u64,
        statement: &Statement,
        check: &Check,
        log: &impl Roots,
    ) -> Result<Result<(), VoidReason>, ArchiveError> {
        match check.verdict {
            Verdict::Confirmed => self.take_mark(index, check, log),
            Verdict::Equivocation => Ok(self.take_log_proof(index, statement, check)),
            Verdict::Unavailable if self.version >= 2 => Ok(self.take_receipt(index, check)),
            _ => Ok(Err(VoidReason::NoSuchLogCheck)),
        }
    }
}
