//! What co-training and verification say in a commons by themselves: who did which work, what the
//! run made of what, whether it came out the same, and which records are the run's.

mod error;
mod marked;
mod tally;

pub use error::RecorderError;
pub use marked::marks;

use crate::{
    Cause,
    marking::{Ended, Marked, Registrar},
};
use commons::{
    Body, Kind, Statement, Workspace,
    keys::{KeyHolder, Keys, Role},
    statement::{
        Check, Derive, Evidence, Parent, Publish, Relation, Reproducible, Subject, Verdict, Work,
        WorkType,
    },
    workspace::{Outcome, TOOL},
};
use ids::{Hash, Identity, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tally::{Tallied, tally};

/// How long a peer waits for the others' statements before it confirms them.
const PATIENCE: Duration = Duration::from_secs(45);

/// What work in a run is counted in.
const UNIT: &str = "token";

/// A commons to say something in, with the key opened at the start: whoever has to type a
/// passphrase does so before the run, not after it.
#[derive(Clone)]
pub struct RunRecorder {
    dir: PathBuf,
    keys: PathBuf,
    holder: Arc<dyn KeyHolder>,
    me: Identity,
}

/// What was said of a model, and what became of it.
pub struct Judged {
    /// The statement.
    pub statement: Statement,
    /// Its place, or why it counts for nothing.
    pub outcome: Outcome,
}

impl Registrar for RunRecorder {
    fn mark(
        &self,
        run: Hash,
        due: (u64, Hash),
        own: &BTreeMap<u64, Hash>,
    ) -> Result<Marked, Cause> {
        Ok(Self::mark(self, run, due, own)?)
    }

    fn record(&self, ended: &Ended, folder: &Path) -> Result<usize, Cause> {
        Self::record(self, ended, folder)
            .map_err(|error| RecorderError::Record(Box::new(error)).into())
    }
}

impl RunRecorder {
    /// Opens the commons in `dir` with the keys in the folder `keys`, whose passphrase `holder`
    /// knows.
    ///
    /// Errors: there is none, or the key is no member's there.
    pub fn open(
        dir: &Path,
        keys: &Path,
        holder: Arc<dyn KeyHolder>,
    ) -> Result<Self, RecorderError> {
        Self::of_member(dir, keys, holder)?.ok_or(RecorderError::NoMember)
    }

    /// The same for somebody who only reads it if it is no member; `None` then.
    ///
    /// Errors: there is no commons, or the key cannot be opened.
    pub fn of_member(
        dir: &Path,
        keys: &Path,
        holder: Arc<dyn KeyHolder>,
    ) -> Result<Option<Self>, RecorderError> {
        let workspace = Workspace::open(dir, Keys::at(keys, holder.clone()))?;
        let key = workspace.keys.has(Role::Current).then(|| workspace.keys.public(Role::Current));
        let member = key.transpose()?.and_then(|key| workspace.state.member_of(&key));
        if !member.is_some_and(|id| workspace.state.is_member(&id)) {
            return Ok(None);
        }
        // The log is not open while a passphrase is asked for.
        drop(workspace);
        let me = Keys::at(keys, holder.clone()).identity(Role::Current)?;
        Ok(Some(Self { dir: dir.to_owned(), keys: keys.to_owned(), holder, me }))
    }

    fn workspace(&self) -> Result<Workspace, RecorderError> {
        Ok(Workspace::open(&self.dir, Keys::at(&self.keys, self.holder.clone()))?)
    }

    /// Says what this peer did in a run and what the run made, then confirms what others say of
    /// it and it has computed itself. What was said before is not said again. Returns how many
    /// statements were written. Waits for others, not longer than a minute.
    ///
    /// Errors: the commons or the run's log cannot be read or written.
    pub fn record(&self, ended: &Ended, folder: &Path) -> Result<usize, RecorderError> {
        let tallied = tally(folder, ended)?;
        let mut said = self.say_own(ended, &tallied)?;
        let began = Instant::now();
        let mut known = BTreeSet::new();
        loop {
            said += self.confirm(ended, &tallied, &mut known)?;
            let others = tallied.contributors.len().saturating_sub(1);
            // Their work, and where this peer did not begin the run, its derivation.
            let expected = others + usize::from(!ended.founder);
            if known.len() >= expected || began.elapsed() > PATIENCE {
                return Ok(said);
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Says what a verification found of the derivation of `root` by somebody else; `None` if there
    /// is none to judge.
    ///
    /// Errors: the commons cannot be read or written.
    pub fn judge(&self, root: &Hash, confirmed: bool) -> Result<Option<Judged>, RecorderError> {
        let mut workspace = self.workspace()?;
        let mine = workspace.state.member_of(&self.me.id());
        let edge =
            workspace.state.edges.iter().find(|e| e.child == *root && Some(e.member) != mine);
        let Some(edge) = edge else { return Ok(None) };
        let verdict = if confirmed { Verdict::Confirmed } else { Verdict::Mismatch };
        let subject = Subject::Statement(edge.statement);
        let check = Check { subject, verdict, evidence: Evidence::Object(*root) };
        let statement = workspace.say_as(&self.me, check, now())?;
        let outcome = workspace.outcome(&statement);
        Ok(Some(Judged { statement, outcome }))
    }

    fn say_own(&self, ended: &Ended, tallied: &Tallied) -> Result<usize, RecorderError> {
        let workspace = self.workspace()?;
        let mut bodies: Vec<Body> = Vec::new();
        if tallied.steps > 0 && !self.has_worked(&workspace, ended.run)? {
            bodies.push(work(ended, tallied.steps).into());
        }
        if ended.founder {
            let published = workspace.state.artifacts.contains_key(&ended.root);
            if !published && !self.waits(&workspace, Kind::Publish, ended.root)? {
                let (name, artifact) = (ended.name.clone(), ended.root);
                let publish = Publish { name, artifact, components: Vec::new(), supersedes: None };
                bodies.push(publish.into());
            }
            let derived = workspace.state.edges.iter().any(|e| e.child == ended.root);
            if !derived && !self.waits(&workspace, Kind::Derive, ended.root)? {
                bodies.push(derivation(ended).into());
            }
        }
        self.write(&workspace, bodies)
    }

    /// Whether this member has said what it did in a run, or is about to.
    fn has_worked(&self, workspace: &Workspace, run: Hash) -> Result<bool, RecorderError> {
        let mine = workspace.state.member_of(&self.me.id());
        let worked =
            workspace.state.work.iter().any(|w| Some(w.member) == mine && w.work.task == run);
        Ok(worked || self.waits(workspace, Kind::Work, run)?)
    }

    /// Whether a statement of this member of this kind about this waits for its place.
    fn waits(&self, workspace: &Workspace, kind: Kind, about: Hash) -> Result<bool, RecorderError> {
        let pending = workspace.log()?.pending()?;
        Ok(pending.iter().any(|p| {
            p.statement.author == self.me.id()
                && p.statement.body.kind() == kind
                && match &p.statement.body {
                    Body::Work(work) => work.task == about,
                    Body::Derive(derive) => derive.child == about,
                    Body::Publish(publish) => publish.artifact == about,
                    _ => false,
                }
        }))
    }

    fn write(&self, workspace: &Workspace, bodies: Vec<Body>) -> Result<usize, RecorderError> {
        let said = bodies.len();
        for body in bodies {
            workspace.archive.write_at(&workspace.state, &self.me, now(), body)?;
        }
        Ok(said)
    }

    /// Confirms the derivation, whose root this peer has computed itself, and the work of those
    /// whose contributions stand; of those that were caught, says so.
    fn confirm(
        &self,
        ended: &Ended,
        tallied: &Tallied,
        known: &mut BTreeSet<Hash>,
    ) -> Result<usize, RecorderError> {
        let mut workspace = self.workspace()?;
        workspace.settle(now())?;
        let mine = workspace.state.member_of(&self.me.id());
        let mut checks = Vec::new();
        for edge in
            workspace.state.edges.iter().filter(|e| e.child == ended.root && Some(e.member) != mine)
        {
            if known.insert(edge.statement) && !mine.is_some_and(|me| edge.checks.contains_key(&me))
            {
                checks.push((edge.statement, Verdict::Confirmed, Evidence::Object(ended.root)));
            }
        }
        let of_run = || workspace.state.work.iter().filter(|w| w.work.task == ended.run);
        for work in of_run().filter(|w| Some(w.member) != mine) {
            let judged = work.checks.keys().any(|by| Some(*by) == mine);
            if !known.insert(work.statement) || judged {
                continue;
            }
            let peer = peer_of(&work.work);
            let alone = of_run().all(|w| w.member == work.member || peer_of(&w.work) != peer);
            if let Some((verdict, evidence)) = verdict(&work.work, ended, tallied, alone) {
                checks.push((work.statement, verdict, evidence));
            }
        }
        let checks = checks.into_iter().map(|(statement, verdict, evidence)| {
            Check { subject: Subject::Statement(statement), verdict, evidence }.into()
        });
        self.write(&workspace, checks.collect())
    }
}

/// What this peer did in a run.
fn work(ended: &Ended, steps: u64) -> Work {
    Work {
        task: ended.run,
        work: WorkType::Compute,
        quantity: steps.saturating_mul(ended.step_tokens),
        unit: UNIT.into(),
        // The second input says which peer of the run this member was.
        inputs: vec![ended.corpus, Hash(ended.peer.0)],
        output: ended.root,
    }
}

/// What a run made of what.
fn derivation(ended: &Ended) -> Derive {
    Derive {
        child: ended.root,
        parents: vec![Parent { digest: ended.corpus, relation: Relation::Trained, share: 1000 }],
        recipe: ended.run,
        tool: TOOL.into(),
        reproducible: Reproducible::Exact,
    }
}

/// The time by this machine's clock, in Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Which peer of a run somebody says to have been.
fn peer_of(work: &Work) -> Option<PeerId> {
    work.inputs.get(1).map(|peer| PeerId(peer.0))
}

/// What a peer of a run can say of somebody's work in it: that it is what the run counts, or that
/// it came out differently. Nothing of more or less than the run counts, nor where it is not
/// `alone` in saying that it was this peer: that is for people to look at.
fn verdict(
    work: &Work,
    ended: &Ended,
    tallied: &Tallied,
    alone: bool,
) -> Option<(Verdict, Evidence)> {
    let peer = peer_of(work).filter(|peer| *peer != ended.peer && alone)?;
    if tallied.ejected.contains(&peer) {
        let note = "it was re-run by others and came out differently".to_owned();
        return Some((Verdict::Mismatch, Evidence::Note(note)));
    }
    let tokens = tallied.contributors.get(&peer)?.saturating_mul(ended.step_tokens);
    let same = work.output == ended.root && work.quantity == tokens && work.unit == UNIT;
    same.then_some((Verdict::Confirmed, Evidence::Object(ended.run)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_confirmed_if_it_is_what_the_run_counts_and_one_says_so() {
        let peer = |number| PeerId([number; 32]);
        let (run, corpus, root) = (Hash::of(b"run"), Hash::of(b"corpus"), Hash::of(b"root"));
        let name = "rose".to_owned();
        let ended =
            Ended { run, name, corpus, root, step_tokens: 100, peer: peer(1), founder: true };
        let contributors = BTreeMap::from([(peer(1), 5), (peer(2), 7)]);
        let tallied = Tallied { steps: 5, contributors, ejected: BTreeSet::from([peer(3)]) };
        let work = |number, quantity| Work {
            task: run,
            work: WorkType::Compute,
            quantity,
            unit: UNIT.into(),
            inputs: vec![corpus, Hash(peer(number).0)],
            output: root,
        };
        let said = |work: &Work, alone| verdict(work, &ended, &tallied, alone).map(|said| said.0);
        assert_eq!(said(&work(2, 700), true), Some(Verdict::Confirmed));
        assert_eq!(said(&work(2, 700), false), None, "another says that it was this peer");
        assert_eq!(said(&work(2, 701), true), None, "more than the run counts");
        assert_eq!(said(&Work { unit: "hour".into(), ..work(2, 700) }, true), None);
        assert_eq!(said(&Work { output: corpus, ..work(2, 700) }, true), None);
        assert_eq!(said(&work(1, 500), true), None, "nobody else was this peer");
        assert_eq!(said(&work(4, 100), true), None, "no peer of the run");
        assert_eq!(said(&work(3, 100), true), Some(Verdict::Mismatch));
        assert_eq!(said(&Work { inputs: vec![corpus], ..work(2, 700) }, true), None);
    }
}
