//! What co-training and `verify` say in a commons by themselves: who did which work, what the run
//! made of what, and whether it came out the same.

use super::{cli::Place, holder, opening};
use crate::{hint::WithHint, units::now};
use anyhow::{Context, Result};
use commons::{
    keys::Role,
    statement::{
        Check, Derive, Evidence, Parent, Publish, Relation, Reproducible, Subject, Verdict, Work,
        WorkType,
    },
};
use cotrain::{
    Cause,
    marking::{Ended, Marked, Registrar},
    worker::protocol_run,
};
use ids::{Hash, Identity, PeerId};
use recipe::RunManifest;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};
use swarm::{parse_record, walk_chain};

/// How long a peer waits for the others' statements before it confirms them.
const PATIENCE: Duration = Duration::from_secs(45);

/// What work in a run is counted in.
const UNIT: &str = "token";

const TOOL: &str = concat!("understory ", env!("CARGO_PKG_VERSION"));

/// A commons to say something in, with the key opened at the start: whoever has to type a
/// passphrase does so before the run, not after it.
#[derive(Clone)]
pub struct RunRecorder {
    place: Place,
    me: Identity,
}

/// Who did how many steps that count, and who was out at the end.
struct Tallied {
    steps: u64,
    /// Those who were not out at the end, with their steps.
    contributors: BTreeMap<PeerId, u64>,
    ejected: BTreeSet<PeerId>,
}

/// What a peer has written down as its run goes on.
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
        Ok(Self::record(self, ended, folder).context("the commons")?)
    }
}

impl RunRecorder {
    /// Opens the commons in `dir`.
    ///
    /// Errors: there is none, or the key is in force for nobody there.
    pub fn open(dir: &Path, keys: Option<&Path>) -> Result<Self> {
        Self::of_member(dir, keys)?
            .context("your key is no member's in this commons")
            .hint("begin with `understory commons introduce NAME`, or leave out --commons")
    }

    /// Opens the commons in `dir` for somebody who only reads it if it is no member.
    ///
    /// Errors: there is none, or the key cannot be opened.
    pub fn of_member(dir: &Path, keys: Option<&Path>) -> Result<Option<Self>> {
        let place = Place { dir: dir.to_owned(), keys: keys.map(Path::to_owned), json: false };
        let workspace = opening::open(&place)?;
        let key = workspace.keys.has(Role::Current).then(|| workspace.keys.public(Role::Current));
        let member = key.transpose()?.and_then(|key| workspace.state.member_of(&key));
        if !member.is_some_and(|id| workspace.state.is_member(&id)) {
            return Ok(None);
        }
        // The log is not open while a passphrase is asked for.
        drop(workspace);
        let me = holder::keys(keys)?.identity(Role::Current)?;
        Ok(Some(Self { place, me }))
    }

    /// Where the commons is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whose key signs.
    pub(super) fn me(&self) -> &Identity {
        &self.me
    }

    /// Says what this peer did in a run and what the run made, then confirms what others say of
    /// it and it has computed itself. What was said before is not said again. Returns how many
    /// statements were written.
    ///
    /// Errors: the commons cannot be read or written.
    pub fn record(&self, ended: &Ended, folder: &Path) -> Result<usize> {
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

    fn say_own(&self, ended: &Ended, tallied: &Tallied) -> Result<usize> {
        let workspace = opening::open(&self.place)?;
        let mut said = 0;
        let mine = workspace.state.member_of(&self.me.id());
        let worked = |task| {
            workspace.state.work.iter().any(|w| Some(w.member) == mine && w.work.task == task)
        };
        let waits = |kind: commons::Kind, about: Hash| -> Result<bool> {
            let pending = workspace.log()?.pending()?;
            Ok(pending.iter().any(|p| {
                p.statement.author == self.me.id()
                    && p.statement.body.kind() == kind
                    && match &p.statement.body {
                        commons::Body::Work(work) => work.task == about,
                        commons::Body::Derive(derive) => derive.child == about,
                        commons::Body::Publish(publish) => publish.artifact == about,
                        _ => false,
                    }
            }))
        };
        if tallied.steps > 0 && !worked(ended.run) && !waits(commons::Kind::Work, ended.run)? {
            let work = Work {
                task: ended.run,
                work: WorkType::Compute,
                quantity: tallied.steps.saturating_mul(ended.step_tokens),
                unit: UNIT.into(),
                // The second input says which peer of the run this member was.
                inputs: vec![ended.corpus, Hash(ended.peer.0)],
                output: ended.root,
            };
            workspace.archive.write_at(&workspace.state, &self.me, now(), work)?;
            said += 1;
        }
        if ended.founder {
            let published = workspace.state.artifacts.contains_key(&ended.root);
            if !published && !waits(commons::Kind::Publish, ended.root)? {
                let (name, artifact) = (ended.name.clone(), ended.root);
                let publish = Publish { name, artifact, components: Vec::new(), supersedes: None };
                workspace.archive.write_at(&workspace.state, &self.me, now(), publish)?;
                said += 1;
            }
            let derived = workspace.state.edges.iter().any(|e| e.child == ended.root);
            if !derived && !waits(commons::Kind::Derive, ended.root)? {
                let relation = Relation::Trained;
                let derive = Derive {
                    child: ended.root,
                    parents: vec![Parent { digest: ended.corpus, relation, share: 1000 }],
                    recipe: ended.run,
                    tool: TOOL.into(),
                    reproducible: Reproducible::Exact,
                };
                workspace.archive.write_at(&workspace.state, &self.me, now(), derive)?;
                said += 1;
            }
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
    ) -> Result<usize> {
        let mut workspace = opening::open(&self.place)?;
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
        let said = checks.len();
        for (statement, verdict, evidence) in checks {
            let subject = Subject::Statement(statement);
            workspace.archive.write_at(
                &workspace.state,
                &self.me,
                now(),
                Check { subject, verdict, evidence },
            )?;
        }
        Ok(said)
    }

    /// Says what a verification found of the derivation of `root`. Whether there is one to judge.
    ///
    /// Errors: the commons cannot be read or written.
    pub fn judge(&self, root: &Hash, confirmed: bool) -> Result<bool> {
        let mut workspace = opening::open(&self.place)?;
        let mine = workspace.state.member_of(&self.me.id());
        let edge =
            workspace.state.edges.iter().find(|e| e.child == *root && Some(e.member) != mine);
        let Some(statement) = edge.map(|e| e.statement) else { return Ok(false) };
        let verdict = if confirmed { Verdict::Confirmed } else { Verdict::Mismatch };
        let subject = Subject::Statement(statement);
        opening::say_as(
            &mut workspace,
            false,
            &self.me,
            Check { subject, verdict, evidence: Evidence::Object(*root) },
        )?;
        Ok(true)
    }
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

/// The contributions that stand in the log of a peer's folder, by the rules of the chain.
fn tally(folder: &Path, ended: &Ended) -> Result<Tallied> {
    let store = store::Store::open(folder.join("store"))?;
    let manifest = RunManifest::parse(&store.get(&ended.run)?)?;
    let entries = store::Log::read(folder.join("log")).context("the log of the run")?;
    let contents = swarm::read_log(entries.iter().map(Vec::as_slice))?;
    let first = contents.records.first().context("the run has no record")?;
    let initial = parse_record(first).context("the run's first record")?.record().state;
    let run = protocol_run(&manifest, ended.run, initial);
    // By the height of the advance: what is left of it after the last repair.
    let mut standing: BTreeMap<u64, Vec<(PeerId, u32)>> = BTreeMap::new();
    let mut ejected = BTreeSet::new();
    let records = contents.records.iter().map(Vec::as_slice);
    walk_chain(&run, records, |_, after| {
        ejected.clone_from(&after.ejected);
        for advance in after.previous.iter().chain(&after.last) {
            let made = advance.contributions.iter().map(|c| (c.author(), c.body().steps));
            standing.insert(advance.height, made.collect());
        }
    })?;
    let all = || standing.values().flatten();
    let steps = all().filter(|s| s.0 == ended.peer).map(|s| u64::from(s.1)).sum();
    let mut contributors = BTreeMap::new();
    for (peer, steps) in all().filter(|s| !ejected.contains(&s.0)) {
        *contributors.entry(*peer).or_default() += u64::from(*steps);
    }
    Ok(Tallied { steps, contributors, ejected })
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
