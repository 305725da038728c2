//! Artifacts, what they were made of, by whose work, who checked it and who uses it.

use super::{Member, State, VoidReason};
use crate::{
    Statement,
    statement::{
        Check, Component, Derive, Evidence, Publish, Relation, Reproducible, Subject, Use, Verdict,
        Work,
    },
};
use ids::{Hash, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// Something that was published.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// What people call it.
    pub name: String,
    /// The statement.
    pub statement: Hash,
    /// Its index.
    pub index: u64,
    /// Who published it.
    pub member: PeerId,
    /// Its parts.
    pub components: Vec<Component>,
}

/// What was made from what, and what others found when they made it again.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The `Derive` statement.
    pub statement: Hash,
    /// Its index.
    pub index: u64,
    /// The key that signed it.
    pub key: PeerId,
    /// Its place in the key's chain.
    pub seq: u64,
    /// Who says so.
    pub member: PeerId,
    /// The result.
    pub child: Hash,
    /// What it was made of, how, and its part in thousandths.
    pub parents: Vec<(Hash, Relation, u16)>,
    /// The recipe.
    pub recipe: Hash,
    /// The program.
    pub tool: String,
    /// Whether running it again should give the same.
    pub reproducible: Reproducible,
    /// The last verdict of each member that checked it.
    pub checks: BTreeMap<PeerId, Verdict>,
}

/// What is known of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EdgeState {
    /// Members independent of the author, and of each other, who got the same.
    pub confirmed: usize,
    /// Members who got something else or contradict it.
    pub disputed: usize,
}

/// Work that somebody did.
#[derive(Clone, Debug)]
pub struct WorkDone {
    /// The statement.
    pub statement: Hash,
    /// Its index.
    pub index: u64,
    /// The key that signed it.
    pub key: PeerId,
    /// Its place in the key's chain.
    pub seq: u64,
    /// Who did it.
    pub member: PeerId,
    /// What.
    pub work: Work,
    /// The last verdict of each member that checked it.
    pub checks: BTreeMap<PeerId, Verdict>,
}

/// Somebody uses an artifact.
#[derive(Clone, Debug)]
pub struct LiveUse {
    /// Who.
    pub member: PeerId,
    /// What.
    pub artifact: Hash,
    /// For which organisation.
    pub by: Option<String>,
    /// Until when.
    pub expiry: u64,
}

/// A statement whose checks are counted, by place in its list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Checkable {
    Edge(usize),
    Work(usize),
}

impl State {
    /// What is known of an edge. Nobody confirms its own work or its employer's, and of one
    /// employer's people one counts.
    pub fn edge_state(&self, edge: &Edge) -> EdgeState {
        let confirmed = self.independent(&edge.member, &edge.checks, |v| v == Verdict::Confirmed);
        let disputed = disputes(&edge.checks);
        EdgeState { confirmed, disputed }
    }

    /// Whether work was confirmed by somebody independent and disputed by nobody.
    pub fn stands(&self, work: &WorkDone) -> bool {
        self.counts(work.key, work.seq)
            && self.independent(&work.member, &work.checks, |v| v == Verdict::Confirmed) > 0
            && disputes(&work.checks) == 0
    }

    /// Whether what somebody made gives it standing as a contributor: as many independent members
    /// confirm it as contradict it. One who contradicts takes away nobody's vote.
    pub(super) fn gives_standing(&self, made: Checkable) -> bool {
        let (key, seq, author, checks) = match made {
            Checkable::Edge(at) => {
                let edge = &self.edges[at];
                (edge.key, edge.seq, &edge.member, &edge.checks)
            }
            Checkable::Work(at) => {
                let work = &self.work[at];
                (work.key, work.seq, &work.member, &work.checks)
            }
        };
        let confirmed = self.independent(author, checks, |v| v == Verdict::Confirmed);
        let disputed = self.independent(author, checks, is_dispute);
        self.counts(key, seq) && confirmed > 0 && confirmed >= disputed
    }

    pub(super) fn checks_of(&self, made: Checkable) -> &BTreeMap<PeerId, Verdict> {
        match made {
            Checkable::Edge(at) => &self.edges[at].checks,
            Checkable::Work(at) => &self.work[at].checks,
        }
    }

    /// Members of some verdict who share no employer with the author nor with each other.
    fn independent(
        &self,
        author: &PeerId,
        checks: &BTreeMap<PeerId, Verdict>,
        of_kind: impl Fn(Verdict) -> bool,
    ) -> usize {
        let now = self.now();
        let of = |id| self.members.get(id).into_iter().flat_map(|m: &Member| m.employers(now));
        let mut employers: BTreeSet<&str> = of(author).collect();
        let said = checks.iter().filter(|(_, verdict)| of_kind(**verdict));
        let counts = said.filter(|(id, _)| {
            let own: Vec<&str> = of(id).collect();
            let independent = own.iter().all(|org| !employers.contains(org));
            employers.extend(own.iter().filter(|_| independent));
            independent
        });
        counts.count()
    }

    pub(super) fn take_publish(
        &mut self,
        index: u64,
        member: PeerId,
        statement: Hash,
        publish: &Publish,
    ) -> Result<(), VoidReason> {
        if let Some(known) = self.artifacts.get(&publish.artifact) {
            if publish.supersedes != Some(known.statement) {
                return Err(VoidReason::AlreadyPublished { by: known.statement });
            }
            if known.member != member && self.is_member(&known.member) {
                return Err(VoidReason::PublishedByOther { by: known.member });
            }
        }
        let (name, components) = (publish.name.clone(), publish.components.clone());
        let artifact = Artifact { name, statement, index, member, components };
        self.artifacts.insert(publish.artifact, artifact);
        Ok(())
    }

    pub(super) fn take_derive(
        &mut self,
        index: u64,
        member: PeerId,
        statement: &Statement,
        derive: &Derive,
    ) -> Result<(), VoidReason> {
        self.checkable.insert(statement.hash(), Checkable::Edge(self.edges.len()));
        self.edges.push(Edge {
            statement: statement.hash(),
            index,
            key: statement.author,
            seq: statement.seq,
            member,
            child: derive.child,
            parents: derive.parents.iter().map(|p| (p.digest, p.relation, p.share)).collect(),
            recipe: derive.recipe,
            tool: derive.tool.clone(),
            reproducible: derive.reproducible,
            checks: BTreeMap::new(),
        });
        Ok(())
    }

    pub(super) fn take_work(
        &mut self,
        index: u64,
        member: PeerId,
        statement: &Statement,
        work: &Work,
    ) -> Result<(), VoidReason> {
        self.checkable.insert(statement.hash(), Checkable::Work(self.work.len()));
        self.work.push(WorkDone {
            statement: statement.hash(),
            index,
            key: statement.author,
            seq: statement.seq,
            member,
            work: work.clone(),
            checks: BTreeMap::new(),
        });
        Ok(())
    }

    pub(super) fn take_use(
        &mut self,
        _index: u64,
        member: PeerId,
        used: &Use,
    ) -> Result<(), VoidReason> {
        if used.expiry <= self.now() {
            return Err(VoidReason::UseEnded { expiry: used.expiry });
        }
        let (artifact, by, expiry) = (used.artifact, used.by.clone(), used.expiry);
        self.uses.insert((member, artifact), LiveUse { member, artifact, by, expiry });
        self.electorate = None;
        Ok(())
    }

    pub(super) fn take_check(
        &mut self,
        index: u64,
        member: PeerId,
        _hash: Hash,
        check: &Check,
    ) -> Result<(), VoidReason> {
        if check.verdict == Verdict::Equivocation {
            return self.take_two_statements(check);
        }
        if matches!(check.evidence, Evidence::Checkpoint(_)) {
            return Err(VoidReason::CheckpointOfStatement);
        }
        let Subject::Statement(subject) = check.subject else {
            unreachable!("checks of the log are taken before");
        };
        if check.verdict == Verdict::Confirmed && self.endorse(member, &subject)? {
            return Ok(());
        }
        // Somebody's word that a statement is missing is kept for the health view; it may well
        // be of a statement that never comes.
        if self.place(&subject).is_none() {
            if let Evidence::Statement(bytes) = &check.evidence {
                return self.take_missing(index, bytes);
            }
            return match check.verdict {
                Verdict::Unavailable | Verdict::Disputed => Ok(()),
                _ => Err(VoidReason::ChecksNothing),
            };
        }
        self.electorate = None;
        let Some(&made) = self.checkable.get(&subject) else { return Ok(()) };
        let (author, checks) = match made {
            Checkable::Edge(at) => (self.edges[at].member, &mut self.edges[at].checks),
            Checkable::Work(at) => (self.work[at].member, &mut self.work[at].checks),
        };
        if author == member {
            return Err(VoidReason::ChecksItself);
        }
        checks.insert(member, check.verdict);
        if check.verdict == Verdict::Confirmed {
            self.confirmed.entry(author).or_default().insert(made);
        }
        Ok(())
    }
}

fn disputes(checks: &BTreeMap<PeerId, Verdict>) -> usize {
    checks.values().filter(|verdict| is_dispute(**verdict)).count()
}

fn is_dispute(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Mismatch | Verdict::Disputed)
}
