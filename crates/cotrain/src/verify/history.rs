//! The chain of records, and every root on it computed again from the stored updates.

use super::{
    OpenRun, Tell, VerifyError, counted,
    found::{Finding, Found, OtherSum},
    stores::Peer,
};
use ids::Hash;
use progress::Work;
use swarm::{
    AggregateJob, ChainState, Commit, Evidence, Included, Kind, Record, Signed, SignedRecord,
    State, WorkError, Worker, walk_chain,
};

/// What the logs agree on.
pub struct History {
    /// The run's id.
    pub run: Hash,
    /// Every contribution that was ever decided on, in the order of records and authors.
    pub contributions: Vec<Decided>,
    links: Vec<Link>,
}

/// A record that may follow the one before.
struct Link {
    record: SignedRecord,
    /// What adds up to its state; `None` where it is the state before.
    sum: Option<Sum>,
}

/// An advance as it counts now: what it started from, and what of it was not taken out.
struct Sum {
    base: State,
    updates: Vec<Included>,
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
    /// Whether a later record proves that it is not what it claims to be.
    pub excluded: bool,
}

impl Link {
    fn body(&self) -> &Record {
        self.record.record()
    }
}

impl History {
    /// Checks every peer's chain from its genesis on and keeps the longest. What is wrong is
    /// among the findings.
    pub fn read(peers: &[Peer], run: &OpenRun, found: &mut Found) -> Self {
        let mut longest: Vec<Link> = Vec::new();
        let mut owner = "";
        for peer in peers {
            let log = peer.log_path();
            let (chain, wrong) = valid_part(run, &peer.log.records);
            if let Some(why) = wrong {
                found.find(Finding::BadChain { log: log.clone(), why });
            }
            let differ = |(a, b): (&Link, &Link)| a.record.hash() != b.record.hash();
            let fork = chain.iter().zip(&longest).position(differ);
            if let Some(height) = fork {
                let (height, other) = (height as u64, owner.to_owned());
                found.find(Finding::Fork { log, height, other });
            } else if chain.len() > longest.len() {
                (longest, owner) = (chain, &peer.name);
            }
        }
        if longest.is_empty() {
            found.find(Finding::NoRecords);
        }
        let contributions = contributions(&longest);
        found.chain(longest.last().map(Link::body), longest.len());
        Self { run: run.protocol.id, contributions, links: longest }
    }

    /// The hash of the record at `height`.
    pub fn record(&self, height: u64) -> Option<Hash> {
        Some(self.links.get(usize::try_from(height).ok()?)?.record.hash())
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether `model` is the root of a state that was decided on.
    pub fn is_root(&self, model: &Hash) -> bool {
        self.links.iter().any(|link| link.body().state.model.hash == *model)
    }

    /// Adds up the stored updates of every round again and compares the roots.
    pub fn replay(
        &self,
        run: &OpenRun,
        found: &mut Found,
        tell: &mut Tell<'_>,
    ) -> Result<(), VerifyError> {
        let worker = run.worker(run.kernel.threads())?;
        let sums = (0..)
            .zip(&self.links)
            .filter_map(|(height, link)| Some((height, link.sum.as_ref()?, link.body().state)));
        let sums: Vec<_> = sums.collect();
        for (done, (height, sum, state)) in (1..).zip(&sums) {
            found.root(again(&worker, *height, sum, *state));
            counted(tell, Work::AddingUp, done as u64, sums.len() as u64)?;
        }
        Ok(())
    }
}

/// The records up to the first that cannot follow, and what is wrong with that one.
fn valid_part(run: &OpenRun, records: &[Vec<u8>]) -> (Vec<Link>, Option<String>) {
    let mut links = Vec::new();
    let records = records.iter().map(Vec::as_slice);
    let done = walk_chain(&run.protocol, records, |record, after| {
        links.push(Link { sum: sum(run, &record, after), record });
    });
    (links, done.err().map(|error| error.to_string()))
}

fn sum(run: &OpenRun, record: &SignedRecord, after: &ChainState) -> Option<Sum> {
    let adds = matches!(record.record().kind, Kind::Advance | Kind::Repair);
    let last = after.last.as_ref().filter(|_| adds)?;
    Some(Sum { base: last.base, updates: last.included(&run.protocol) })
}

fn contributions(links: &[Link]) -> Vec<Decided> {
    let mut all: Vec<Decided> = Vec::new();
    for (before, link) in links.iter().zip(links.iter().skip(1)) {
        let (before, body) = (before.body(), link.body());
        for ejection in &body.ejected {
            let Evidence::Mismatch { height, .. } = ejection.evidence else { continue };
            let proven =
                |d: &&mut Decided| d.height == height && d.commit.author() == ejection.peer;
            all.iter_mut().filter(proven).for_each(|decided| decided.excluded = true);
        }
        all.extend(body.contributions.iter().map(|c| Decided {
            height: body.height,
            commit: c.commit.clone(),
            base: before.state,
            beacon: before.beacon,
            excluded: false,
        }));
    }
    all
}

/// What is wrong with a round, added up again.
fn again(worker: &impl Worker, height: u64, sum: &Sum, claimed: State) -> Option<Finding> {
    let other = |sum| Some(Finding::OtherRoot { height, sum });
    // With nobody left, the state is the base: that much the chain's own rules say.
    if sum.updates.is_empty() {
        return if claimed == sum.base { None } else { other(OtherSum::Changed) };
    }
    let job = AggregateJob { id: height, base: sum.base, updates: sum.updates.clone() };
    match worker.aggregate(&job) {
        Ok(output) if output.state == claimed => None,
        Ok(output) => {
            other(OtherSum::Other { computed: output.state.hash(), decided: claimed.hash() })
        }
        Err(WorkError::Missing(missing)) => Some(Finding::NoSum { height, missing }),
        Err(error) => other(OtherSum::Failed { error: error.to_string() }),
    }
}
