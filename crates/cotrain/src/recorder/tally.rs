//! What the log of a run says of who worked in it.

use super::RecorderError;
use crate::{marking::Ended, worker::protocol_run};
use ids::PeerId;
use recipe::RunManifest;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use store::{Log, Store};
use swarm::{parse_record, walk_chain};

/// Who did how many steps that count, and who was out at the end.
pub(super) struct Tallied {
    /// This peer's.
    pub steps: u64,
    /// Those who were not out at the end, with their steps.
    pub contributors: BTreeMap<PeerId, u64>,
    /// Those who were.
    pub ejected: BTreeSet<PeerId>,
}

/// The contributions that stand in the log of a peer's folder, by the rules of the chain.
pub(super) fn tally(folder: &Path, ended: &Ended) -> Result<Tallied, RecorderError> {
    let store = Store::open(folder.join("store"))?;
    let manifest = RunManifest::parse(&store.get(&ended.run)?)?;
    let entries = Log::read(folder.join("log")).map_err(RecorderError::Log)?;
    let contents = swarm::read_log(entries.iter().map(Vec::as_slice))?;
    let first = contents.records.first().ok_or(RecorderError::NoRecord)?;
    let first = parse_record(first).map_err(RecorderError::FirstRecord)?;
    let initial = first.record().state;
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
