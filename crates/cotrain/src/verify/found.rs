//! What a verification found, as data: the terminal, a page and `--json` each put it into words.

use super::{marks::MarksFound, stores::Scan};
use crate::marks::Mark;
use ids::{Hash, PeerId};
use serde::Serialize;
use std::path::PathBuf;
use swarm::Record;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that was looked at is as claimed.
    Confirmed,
    /// Something is not what was claimed or stored.
    Mismatch,
    /// Nothing is wrong, but something could not be checked.
    Unavailable,
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// The run, where its manifest is at hand.
    pub run: Option<RunFound>,
    /// Whose folders were read.
    pub peers: Vec<PeerFound>,
    /// What there is to say that is not about one contribution.
    pub findings: Vec<Finding>,
    /// The chain of records, if there is one.
    pub chain: Option<ChainFound>,
    /// The rounds whose updates were added up again.
    pub roots: Roots,
    /// What a commons has marked of the run, if one was compared.
    pub marks: Option<MarksFound>,
    /// Contributions in all, once some were drawn to be re-run.
    pub contributions: Option<usize>,
    /// Those that were re-run.
    pub reruns: Vec<Rerun>,
}

/// The run.
#[derive(Clone, Debug, Serialize)]
pub struct RunFound {
    /// Its id.
    pub id: Hash,
    /// What people call it.
    pub name: String,
    /// Rounds in all.
    pub rounds: u32,
}

/// A peer whose folder was read.
#[derive(Debug, Serialize)]
pub struct PeerFound {
    /// What its folder is called.
    pub name: String,
    /// Its key, as its log has it.
    pub id: Option<PeerId>,
    /// Records in its log.
    pub records: usize,
    /// Whole objects in its store.
    pub objects: usize,
    /// Their bytes in all.
    pub bytes: u64,
}

/// The longest chain of records.
#[derive(Debug, Serialize)]
pub struct ChainFound {
    /// How many records.
    pub records: usize,
    /// Rounds done by the last one.
    pub round: u32,
    /// The hash of the whole training state after it.
    pub state: Hash,
    /// The root of the model after it.
    pub root: Hash,
}

/// Rounds whose updates were added up again, by what that gave.
#[derive(Debug, Default, Serialize)]
pub struct Roots {
    /// The state that was decided.
    pub same: usize,
    /// Another.
    pub other: usize,
    /// Nothing, for an object is in no store.
    pub unavailable: usize,
}

/// A part of a run that nothing can go on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The run's manifest.
    Manifest,
    /// The corpus's manifest.
    CorpusManifest,
    /// What that names.
    Corpus,
    /// The state that the run begins from.
    Start,
}

/// Why a round's updates do not add up to what was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum OtherSum {
    /// Nothing is left to add up, yet the state changed.
    Changed,
    /// They add up to another state.
    Other {
        /// This one.
        computed: Hash,
        /// What was decided.
        decided: Hash,
    },
    /// They cannot be added up.
    Failed {
        /// Why.
        error: String,
    },
}

/// Something to tell that is not about one contribution.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// No peer has a readable log or a ref to its run.
    NoRun,
    /// An object that nothing can go on without is whole in no store.
    Missing {
        /// Which.
        object: Hash,
        /// What it is for.
        part: Part,
    },
    /// What should be the run's manifest is none.
    NoManifest {
        /// Its hash.
        object: Hash,
        /// Why.
        why: String,
    },
    /// The run has rules or a vocabulary that no run can have.
    ImpossibleRun {
        /// Its id.
        run: Hash,
    },
    /// The corpus cannot be read.
    BadCorpus {
        /// Its manifest's hash.
        corpus: Hash,
        /// Why.
        why: String,
    },
    /// A log is about another run than another peer's.
    LogOfOtherRun {
        /// The file.
        log: PathBuf,
        /// What it is about.
        other: Hash,
        /// What another one is about.
        run: Hash,
    },
    /// A ref names another run than the logs are about.
    RefToOtherRun {
        /// The ref's file.
        file: PathBuf,
        /// What it names.
        other: Hash,
        /// What the logs are about.
        run: Hash,
    },
    /// A file of a store is not what it should be.
    Damage {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A peer has no log.
    NoLog {
        /// Where it should be.
        log: PathBuf,
    },
    /// A log ends within an entry, as after a crash: the whole entries count.
    TornLog {
        /// The file.
        log: PathBuf,
        /// That entry.
        entry: u64,
    },
    /// A log is not what a peer writes.
    BadLog {
        /// The file.
        log: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A record cannot follow the one before.
    BadChain {
        /// The log that it is in.
        log: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Two peers have different records.
    Fork {
        /// The log of one of them.
        log: PathBuf,
        /// Height of the first record that differs.
        height: u64,
        /// What the other one's folder is called.
        other: String,
    },
    /// No peer has a record of the run.
    NoRecords,
    /// A ref is not written the way refs are.
    BadRef {
        /// Its file.
        file: PathBuf,
    },
    /// A ref names a model that no record decided.
    UndecidedRef {
        /// Its file.
        file: PathBuf,
        /// That model.
        model: Hash,
    },
    /// A ref leads to an object that is not there.
    DanglingRef {
        /// Its file.
        file: PathBuf,
        /// Where the object should be.
        absent: PathBuf,
    },
    /// A round's updates do not add up to what was decided.
    OtherRoot {
        /// Height of the round's record.
        height: u64,
        /// What they come to.
        sum: OtherSum,
    },
    /// A round's updates cannot be added up again.
    NoSum {
        /// Height of the round's record.
        height: u64,
        /// The object that is whole in no store.
        missing: Hash,
    },
    /// Too few witnesses have cosigned the log of the commons: no mark in it counts.
    Unwitnessed {
        /// The commons' id.
        commons: Hash,
    },
    /// The commons has no marks of this run.
    NoMarks {
        /// Its id.
        commons: Hash,
    },
    /// Members of the commons have marked different records at one height.
    Contradiction {
        /// That height.
        height: u64,
        /// What they have marked.
        said: Vec<Mark>,
    },
    /// The history has another record than the one that was marked.
    OtherRecord {
        /// The mark.
        mark: Mark,
        /// What the history has.
        record: Hash,
    },
    /// The history ends before a record that was marked.
    BeyondHistory {
        /// The mark.
        mark: Mark,
        /// How many records the history has.
        records: usize,
    },
}

impl Finding {
    /// What it means for the run; `None` for what changes no verdict.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::TornLog { .. } | Self::NoMarks { .. } => None,
            Self::NoRun
            | Self::Missing { .. }
            | Self::NoLog { .. }
            | Self::NoRecords
            | Self::DanglingRef { .. }
            | Self::NoSum { .. }
            | Self::Unwitnessed { .. }
            | Self::BeyondHistory { .. } => Some(Verdict::Unavailable),
            Self::NoManifest { .. }
            | Self::ImpossibleRun { .. }
            | Self::BadCorpus { .. }
            | Self::LogOfOtherRun { .. }
            | Self::RefToOtherRun { .. }
            | Self::Damage { .. }
            | Self::BadLog { .. }
            | Self::BadChain { .. }
            | Self::Fork { .. }
            | Self::BadRef { .. }
            | Self::UndecidedRef { .. }
            | Self::OtherRoot { .. }
            | Self::Contradiction { .. }
            | Self::OtherRecord { .. } => Some(Verdict::Mismatch),
        }
    }
}

/// What computing a contribution again gave.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "found")]
pub enum Outcome {
    /// Every hash that was claimed.
    Confirmed,
    /// Another hash.
    Mismatch {
        /// After this step, counted from 0; after the last one, of what it comes to.
        part: u32,
    },
    /// An object for it is in no store.
    Unavailable {
        /// Which.
        missing: Hash,
    },
    /// The work could not be done.
    Failed {
        /// Why.
        why: String,
    },
}

/// A contribution that was computed again.
#[derive(Debug, Serialize)]
pub struct Rerun {
    /// Of the record that included it.
    pub height: u64,
    /// Counted from 1.
    pub round: u32,
    /// Whose it is.
    pub worker: PeerId,
    /// Inner steps.
    pub steps: u32,
    /// A later record proves that it is not what it claims to be.
    pub excluded: bool,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How the contributions that were computed again came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RerunCounts {
    /// With every hash that was claimed.
    pub confirmed: usize,
    /// With another hash.
    pub mismatch: usize,
    /// Not at all.
    pub unavailable: usize,
    /// Excluded by a later record, however they came out.
    pub excluded: usize,
    /// Of the excluded those with another hash, as was proven.
    pub proven: usize,
}

impl RerunCounts {
    /// Those of these contributions.
    pub fn of(reruns: &[Rerun]) -> Self {
        let mut counts = Self::default();
        for rerun in reruns {
            match (rerun.excluded, &rerun.outcome) {
                (true, outcome) => {
                    counts.excluded += 1;
                    counts.proven += usize::from(matches!(outcome, Outcome::Mismatch { .. }));
                }
                (false, Outcome::Confirmed) => counts.confirmed += 1,
                (false, Outcome::Mismatch { .. }) => counts.mismatch += 1,
                (false, Outcome::Unavailable { .. } | Outcome::Failed { .. }) => {
                    counts.unavailable += 1;
                }
            }
        }
        counts
    }
}

impl Rerun {
    /// What it means for the run; `None` if nothing.
    pub fn verdict(&self) -> Option<Verdict> {
        match (&self.outcome, self.excluded) {
            (Outcome::Confirmed, false) | (Outcome::Mismatch { .. }, true) => {
                Some(Verdict::Confirmed)
            }
            // Taken out although it is what it claims to be: the evidence is false.
            (Outcome::Confirmed, true) | (Outcome::Mismatch { .. }, false) => {
                Some(Verdict::Mismatch)
            }
            (Outcome::Unavailable { .. } | Outcome::Failed { .. }, false) => {
                Some(Verdict::Unavailable)
            }
            (Outcome::Unavailable { .. } | Outcome::Failed { .. }, true) => None,
        }
    }
}

impl Found {
    /// The worst that was found.
    pub fn verdict(&self) -> Verdict {
        let findings = self.findings.iter().filter_map(Finding::verdict);
        let all: Vec<Verdict> =
            findings.chain(self.reruns.iter().filter_map(Rerun::verdict)).collect();
        [Verdict::Mismatch, Verdict::Unavailable]
            .into_iter()
            .find(|v| all.contains(v))
            .unwrap_or(Verdict::Confirmed)
    }

    /// The newest model of the chain, if there is one.
    pub fn newest_model(&self) -> Option<Hash> {
        self.chain.as_ref().map(|chain| chain.root)
    }

    pub(super) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// A peer's store was read.
    pub(super) fn peer(&mut self, name: &str, id: Option<PeerId>, records: usize, scan: &Scan) {
        let (objects, bytes) = (scan.whole.len(), scan.bytes);
        self.peers.push(PeerFound { name: name.to_owned(), id, records, objects, bytes });
    }

    /// The chain was checked; `last` is its newest record.
    pub(super) fn chain(&mut self, last: Option<&Record>, records: usize) {
        let Some(Record { round, state, .. }) = last else { return };
        let (state, root) = (state.hash(), state.model.hash);
        self.chain = Some(ChainFound { records, round: *round, state, root });
    }

    /// A round's updates were added up again; what came of it but the state that was decided.
    pub(super) fn root(&mut self, finding: Option<Finding>) {
        match &finding {
            None => self.roots.same += 1,
            Some(Finding::NoSum { .. }) => self.roots.unavailable += 1,
            Some(_) => self.roots.other += 1,
        }
        self.findings.extend(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rerun(outcome: Outcome, excluded: bool) -> Rerun {
        Rerun { height: 1, round: 1, worker: PeerId([1; 32]), steps: 8, excluded, outcome }
    }

    #[test]
    fn what_was_computed_again_is_counted_by_how_it_came_out() {
        let missing = Hash::default();
        let counts = RerunCounts::of(&[
            rerun(Outcome::Confirmed, false),
            rerun(Outcome::Mismatch { part: 0 }, false),
            rerun(Outcome::Unavailable { missing }, false),
            rerun(Outcome::Failed { why: String::new() }, false),
            rerun(Outcome::Mismatch { part: 0 }, true),
            rerun(Outcome::Confirmed, true),
        ]);
        let (confirmed, mismatch, unavailable, excluded, proven) = (1, 1, 2, 2, 1);
        let all = RerunCounts { confirmed, mismatch, unavailable, excluded, proven };
        assert_eq!(counts, all);
    }

    #[test]
    fn an_expelled_cheat_is_no_mismatch_and_an_expelled_honest_peer_is_one() {
        let other = || Outcome::Mismatch { part: 1 };
        assert_eq!(rerun(Outcome::Confirmed, false).verdict(), Some(Verdict::Confirmed));
        assert_eq!(rerun(other(), false).verdict(), Some(Verdict::Mismatch));
        assert_eq!(rerun(other(), true).verdict(), Some(Verdict::Confirmed));
        assert_eq!(rerun(Outcome::Confirmed, true).verdict(), Some(Verdict::Mismatch));
        let missing = || Outcome::Unavailable { missing: Hash::default() };
        assert_eq!(rerun(missing(), false).verdict(), Some(Verdict::Unavailable));
        assert_eq!(rerun(missing(), true).verdict(), None);
    }

    #[test]
    fn the_worst_finding_is_the_verdict_and_each_has_its_name() {
        let mut found = Found::default();
        found.find(Finding::NoMarks { commons: Hash::default() });
        assert_eq!(found.verdict(), Verdict::Confirmed);
        found.find(Finding::NoRecords);
        assert_eq!(found.verdict(), Verdict::Unavailable);
        found.find(Finding::BadRef { file: "refs/run".into() });
        assert_eq!(found.verdict(), Verdict::Mismatch);
        let json = serde_json::to_value(&found).expect("has a form");
        assert_eq!(json["findings"][1]["finding"], "no_records");
        assert_eq!(json["findings"][2]["file"], "refs/run");
    }
}
