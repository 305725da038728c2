//! Receipts between members: the operator's for what waits, and what others pass on of them.

use super::replica::{Replica, ReplicaError};
use commons::{Identity, receipt, receipt::Receipt};
use std::collections::BTreeSet;
use store::Hash;

impl Replica {
    /// Receipts for those of `hashes` that wait here: `operator`'s own, given now where the
    /// statement is ready for its place, and those that came from elsewhere.
    pub fn receipts(
        &self,
        hashes: &[Hash],
        operator: Option<&Identity>,
    ) -> Result<Vec<Receipt>, ReplicaError> {
        let wanted: BTreeSet<Hash> = hashes.iter().copied().collect();
        self.with_gate(|archive, state, waiting, gate| {
            let origins = waiting.fresh(&archive.snapshot()?)?.origins();
            if let Some(operator) = operator {
                let mut admit = |statement: &commons::Statement| {
                    gate.lets_in(statement, origins.get(&statement.hash()).copied())
                };
                receipt::promise(archive, state, operator, &wanted, &mut admit)?;
            }
            let pending = archive.snapshot()?.pending()?;
            let receipts = pending.into_iter().filter_map(|p| p.receipt);
            Ok(receipts.filter(|receipt| wanted.contains(&receipt.statement)).collect())
        })
    }

    /// Statements that wait here without a receipt of whoever operates the log, `most` of them.
    pub fn unreceipted(&self, most: usize) -> Result<Vec<Hash>, ReplicaError> {
        self.with(|archive, state, _| {
            let pending = archive.snapshot()?.pending()?;
            let lacks = pending.into_iter().filter(|p| {
                p.receipt.is_none_or(|r| r.operator != state.operator())
                    && (p.statement.seq, p.statement.prev) == state.chain_head(&p.statement.author)
            });
            Ok(lacks.map(|p| p.statement.hash()).take(most).collect())
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
