//! The chain of records, and every root on it computed again from the stored updates.

use super::{
    OpenRun,
    report::{Report, Root},
    stores::Peer,
};
use anyhow::Result;
use std::collections::BTreeSet;
use store::Hash;
use swarm::{
    AggregateJob, Commit, Included, Kind, PeerId, Signed, SignedRecord, State, WorkError, Worker,
    verify_chain,
};

/// What the logs agree on.
pub struct History {
    /// The run's id.
    pub run: Hash,
    /// Every contribution that was ever decided on, in the order of records and authors.
    pub contributions: Vec<Decided>,
    records: Vec<SignedRecord>,
}

/// A contribution that a record included.
pub struct Decided {
    /// Height of that record.
    pub height: u64,
    /// The claim.
    pub commit: Signed<Commit>,
    /// Where it starts.
    pub base: State,
    /// What draws its data.
    pub beacon: Hash,
    /// Whether a later record took it out again because its author had cheated in it.
    pub excluded: bool,
}

/// An advance as it counts now: what it started from, and what of it was not taken out.
struct Advance {
    base: State,
    rest: Vec<Included>,
}

impl History {
    /// Checks every peer's chain from its genesis on and keeps the longest. What is wrong goes
    /// into the report.
    pub fn read(peers: &[Peer], run: &OpenRun, report: &mut Report) -> Self {
        let mut longest: Vec<SignedRecord> = Vec::new();
        let mut owner = "";
        for peer in peers {
            let path = peer.log_path();
            let chain = match valid_part(run, &peer.log.records) {
                (chain, None) => chain,
                (chain, Some(why)) => {
                    report.mismatch(format!("{}: {why}", path.display()));
                    chain
                }
            };
            let fork = chain.iter().zip(&longest).position(|(a, b)| a.hash() != b.hash());
            if let Some(height) = fork {
                report.mismatch(format!(
                    "{}: record {height} is another one than {owner}'s",
                    path.display()
                ));
            } else if chain.len() > longest.len() {
                (longest, owner) = (chain, &peer.name);
            }
        }
        if longest.is_empty() {
            report.unavailable("no peer has a record of the run".to_owned());
        }
        let contributions = contributions(&longest);
        report.chain(longest.last().map(SignedRecord::record), longest.len());
        Self { run: run.protocol.id, contributions, records: longest }
    }

    /// Whether `model` is the root of a state that was decided on.
    pub fn is_root(&self, model: &Hash) -> bool {
        self.records.iter().any(|r| r.record().state.model.hash == *model)
    }

    /// Adds up the stored updates of every round again and compares the roots.
    pub fn replay(&self, run: &OpenRun, report: &mut Report) -> Result<()> {
        let worker = run.worker(run.kernel.threads())?;
        let mut advance: Option<Advance> = None;
        for (height, record) in self.records.iter().enumerate().skip(1) {
            let body = record.record();
            match body.kind {
                Kind::Genesis | Kind::Close => continue,
                Kind::Advance => {
                    let commits = body.contributions.iter().map(|c| &c.commit);
                    let base = self.records[height - 1].record().state;
                    advance = Some(Advance { base, rest: commits.map(included).collect() });
                }
                Kind::Repair => {
                    let out: BTreeSet<PeerId> = body.culprits().collect();
                    if let Some(advance) = &mut advance {
                        advance.rest.retain(|i| !out.contains(&i.worker));
                    }
                }
            }
            let advance = advance.as_ref().expect("a checked chain repairs only advances");
            report.root(again(&worker, height as u64, advance, body.state));
            report.progress("adding up round", body.round as usize, None);
        }
        report.end_progress();
        Ok(())
    }
}

/// The records up to the first that cannot follow, and what is wrong with that one.
fn valid_part(run: &OpenRun, records: &[Vec<u8>]) -> (Vec<SignedRecord>, Option<String>) {
    let all = records.iter().map(Vec::as_slice);
    let error = match verify_chain(&run.protocol, all) {
        Ok(chain) => return (chain, None),
        Err(error) => error,
    };
    // What the error says of its height is the record's own claim: count those that hold.
    let holds =
        |n: &usize| verify_chain(&run.protocol, records[..*n].iter().map(Vec::as_slice)).is_ok();
    let part = records[..partition_point(records.len(), holds)].iter().map(Vec::as_slice);
    (verify_chain(&run.protocol, part).unwrap_or_default(), Some(error.to_string()))
}

/// The largest `n <= len` for which `holds`, which is true up to some `n` and false after.
fn partition_point(len: usize, holds: impl Fn(&usize) -> bool) -> usize {
    let (mut good, mut bad) = (0, len + 1);
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        if holds(&middle) { good = middle } else { bad = middle }
    }
    good
}

fn contributions(records: &[SignedRecord]) -> Vec<Decided> {
    let mut all: Vec<Decided> = Vec::new();
    let mut last = 0;
    for (before, record) in records.iter().zip(records.iter().skip(1)) {
        let body = record.record();
        if body.kind == Kind::Repair {
            for decided in all.iter_mut().filter(|d| d.height == last) {
                decided.excluded |= body.culprits().any(|p| p == decided.commit.author());
            }
        }
        if body.kind == Kind::Advance {
            last = body.height;
            all.extend(body.contributions.iter().map(|c| Decided {
                height: body.height,
                commit: c.commit.clone(),
                base: before.record().state,
                beacon: before.record().beacon,
                excluded: false,
            }));
        }
    }
    all
}

fn included(commit: &Signed<Commit>) -> Included {
    let body = commit.body();
    Included { worker: commit.author(), steps: body.steps, update: body.update }
}

fn again(worker: &impl Worker, height: u64, advance: &Advance, claimed: State) -> Root {
    // With nobody left, the state is the base: that much the chain's own rules say.
    if advance.rest.is_empty() {
        return if claimed == advance.base {
            Root::Same
        } else {
            Root::Other { height, why: "nothing is left of it, yet its state changed".to_owned() }
        };
    }
    let job = AggregateJob { id: height, base: advance.base, updates: advance.rest.clone() };
    match worker.aggregate(&job) {
        Ok(output) if output.state == claimed => Root::Same,
        Ok(output) => Root::Other {
            height,
            why: format!("its root is {}, decided was {}", output.state.root(), claimed.root()),
        },
        Err(WorkError::Missing(hash)) => Root::Unavailable { height, missing: hash },
        Err(error) => Root::Other { height, why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_last_that_holds() {
        for len in 0..9 {
            for good in 0..=len {
                assert_eq!(partition_point(len, |n| *n <= good), good);
            }
        }
    }
}
