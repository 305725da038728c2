//! Receipts between members: the operator's for what waits, and what others pass on of them.

use super::replica::{Replica, ReplicaError};
use commons::{ArchiveError, Snapshot, Statement, operator, receipt::Receipt};
use ids::{Hash, Identity};
use std::{collections::BTreeSet, time::Instant};

impl Replica {
    /// Receipts for those of `hashes` that wait here: `operator`'s own, given now where the
    /// statement is ready for its place, and those that came from elsewhere.
    pub fn receipts(
        &self,
        hashes: &[Hash],
        operator: Option<&Identity>,
    ) -> Result<Vec<Receipt>, ReplicaError> {
        self.with_gate(|archive, state, waiting, gate| {
            let log = archive.snapshot()?;
            let waiting = waiting.fresh(&log)?;
            let wanted: BTreeSet<Hash> =
                hashes.iter().copied().filter(|hash| waiting.bytes(hash).is_some()).collect();
            let known = kept(&log, &wanted)?;
            let operator = operator.filter(|operator| operator.id() == state.operator());
            let Some(operator) = operator else { return Ok(known) };
            let own = known.iter().filter(|receipt| receipt.operator == operator.id()).count();
            if own == wanted.len() || !gate.may_promise(Instant::now()) {
                return Ok(known);
            }
            drop(log);
            let mut admit = |s: &Statement| gate.lets_in(s, waiting.origin(s));
            operator::promise(archive, state, operator, &wanted, &mut admit)?;
            Ok(kept(&archive.snapshot()?, &wanted)?)
        })
    }

    /// Statements that wait here without a receipt of whoever operates the log, `most` of them.
    pub fn unreceipted(&self, most: usize) -> Result<Vec<Hash>, ReplicaError> {
        self.with(|archive, state, waiting| {
            let log = archive.snapshot()?;
            let mut lacking = Vec::new();
            for (hash, statement) in waiting.fresh(&log)?.statements() {
                let ready = (statement.seq, statement.prev) == state.chain_head(&statement.author);
                let by_operator = |receipt: Receipt| receipt.operator == state.operator();
                if ready && !log.receipt(hash)?.is_some_and(by_operator) {
                    lacking.push(*hash);
                }
                if lacking.len() == most {
                    break;
                }
            }
            Ok(lacking)
        })
    }

    /// Keeps receipts for what waits here. Those that are not by the operator of this log at a size
    /// that it has reached here are left: such a one would never be due. How many were new.
    pub fn keep_receipts(&self, receipts: &[Receipt]) -> Result<usize, ReplicaError> {
        self.with(|archive, state, _| {
            let of_log = receipts.iter().filter(|receipt| receipt.is_of(state));
            Ok(archive.keep_receipts(&of_log.copied().collect::<Vec<_>>())?)
        })
    }
}

fn kept(log: &Snapshot, wanted: &BTreeSet<Hash>) -> Result<Vec<Receipt>, ArchiveError> {
    let mut found = Vec::new();
    for hash in wanted {
        found.extend(log.receipt(hash)?);
    }
    Ok(found)
}
