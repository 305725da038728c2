//! Double-dealing: one author with two words in one place, one log with two histories.

use super::{Detail, Roots, State, VoidReason, clock::log_key};
use crate::{
    ArchiveError, Seen, Statement,
    statement::{Check, Evidence},
};
use ids::{Hash, PeerId};
use std::collections::BTreeSet;
use tlog::{Checkpoint, Hash as TreeHash, SplitProof};

/// Operators whose key is tried on a head that somebody says it has seen, the last ones: a log may
/// have had so many that a forged head would cost everybody a signature check for each.
const OPERATORS_TRIED: usize = 16;

/// An author's statements so far, and where it contradicted itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// By place in the chain.
    statements: Vec<Hash>,
    /// From where on nothing counts, and since which index of the log that is known: ever earlier
    /// places.
    broken: Vec<(u64, u64)>,
    /// Where it contradicted itself.
    contradicted: BTreeSet<u64>,
}

/// Two statements of one author at one place of its chain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Equivocation {
    /// Where in the log it came out.
    pub index: u64,
    /// The key that signed both.
    pub author: PeerId,
    /// The place in its chain; no ballot, work or edge that it signed from there on counts, and
    /// nothing that comes after this was known.
    pub seq: u64,
    /// One statement.
    pub first: Hash,
    /// The other.
    pub second: Hash,
}

/// Evidence that the log's operator signed a second history.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Split {
    /// Where in the log it came out.
    pub index: u64,
    /// The statement that shows it.
    pub statement: Hash,
    /// The size at which the histories differ at the latest.
    pub size: u64,
    /// The root of the other history there.
    pub other: TreeHash,
    /// The operator that signed it.
    pub operator: PeerId,
}

impl State {
    /// Whether what `author` signed at `seq` counts: not if it contradicted itself there or before.
    pub fn counts(&self, author: PeerId, seq: u64) -> bool {
        self.counted_before(u64::MAX, author, seq)
    }

    /// Whether it counted as far as the log was known before `index`.
    pub(super) fn counted_before(&self, index: u64, author: PeerId, seq: u64) -> bool {
        let Some(chain) = self.chains.get(&author) else { return true };
        let known = chain.broken.partition_point(|(_, since)| *since < index);
        known.checked_sub(1).is_none_or(|last| seq < chain.broken[last].0)
    }

    /// The next place in an author's chain and its last statement there.
    pub fn chain_head(&self, author: &PeerId) -> (u64, Option<Hash>) {
        match self.chains.get(author) {
            Some(chain) => (chain.statements.len() as u64, chain.statements.last().copied()),
            None => (0, None),
        }
    }

    /// Links a statement to its author's chain.
    pub(super) fn chain(&mut self, statement: &Statement) -> Result<(), VoidReason> {
        let (author, seq, hash) = (statement.author, statement.seq, statement.hash());
        let chain = self.chains.entry(author).or_default();
        let known = usize::try_from(seq).ok().and_then(|at| chain.statements.get(at).copied());
        if known == Some(hash) {
            return Err(VoidReason::AlreadyInLog);
        }
        if let Some(first) = known {
            self.equivocate(author, seq, first, hash);
            return Err(VoidReason::PlaceTaken { by: first });
        }
        let next = chain.statements.len() as u64;
        if seq != next || statement.prev != chain.statements.last().copied() {
            return Err(VoidReason::OutOfChain { next });
        }
        chain.statements.push(hash);
        match chain.broken.last() {
            Some(&(seq, _)) => Err(VoidReason::AuthorContradicted { seq }),
            None => Ok(()),
        }
    }

    fn equivocate(&mut self, author: PeerId, seq: u64, first: Hash, second: Hash) {
        let index = self.size;
        let chain = self.chains.entry(author).or_default();
        if chain.broken.last().is_none_or(|(broken, _)| seq < *broken) {
            chain.broken.push((seq, index));
        }
        if chain.contradicted.insert(seq) {
            let (first, second) = (first.min(second), first.max(second));
            self.equivocations.push(Equivocation { index, author, seq, first, second });
        }
    }

    /// Whether the head that the author had seen is one of this log's.
    pub(super) fn sees_this_history(
        &mut self,
        statement: &Statement,
        log: &impl Roots,
    ) -> Result<Result<(), VoidReason>, ArchiveError> {
        let Some(seen) = statement.seen else {
            return Ok(Err(VoidReason::SecondGenesis));
        };
        if self.heads.contains(&seen) {
            return Ok(Ok(()));
        }
        let signed_by = self.signer(&seen);
        if seen.size > self.size {
            return Ok(Err(VoidReason::SeenTooMuch { seen: seen.size }));
        }
        if log.root_at(seen.size)?.0 != seen.root {
            if let Some(operator) = signed_by {
                self.splits.push(Split {
                    index: self.size,
                    statement: statement.hash(),
                    size: seen.size,
                    other: TreeHash(seen.root),
                    operator,
                });
            }
            return Ok(Err(VoidReason::SeenOtherHistory { seen: seen.size }));
        }
        if signed_by.is_none() {
            return Ok(Err(VoidReason::SeenUnsignedHead { seen: seen.size }));
        }
        self.heads.insert(seen);
        Ok(Ok(()))
    }

    /// The operator that signed a head.
    fn signer(&self, seen: &Seen) -> Option<PeerId> {
        let head = Checkpoint::new(crate::origin(&self.id), seen.size, TreeHash(seen.root));
        let text = head.to_string();
        let last = self.operators.iter().rev().take(OPERATORS_TRIED);
        let keys = last.map(|operator| operator.key);
        keys.into_iter().find(|key| key.verifies(text.as_bytes(), &seen.signature))
    }

    /// A proof that the log has two histories, brought by anybody.
    pub(super) fn take_log_proof(
        &mut self,
        index: u64,
        statement: &Statement,
        check: &Check,
    ) -> Result<(), VoidReason> {
        let Evidence::TwoHistories(bytes) = &check.evidence else {
            return Err(VoidReason::NoSplitProof);
        };
        let proof = SplitProof::parse(bytes)
            .map_err(|e| VoidReason::BadSplitProof { why: Detail::of(e) })?;
        let origin = crate::origin(&self.id);
        let last = self.operators.iter().rev().take(OPERATORS_TRIED);
        let keys: Vec<_> = last.map(|o| log_key(&origin, o.key)).collect();
        let signed = proof.verify(&keys);
        let signed = signed.map_err(|e| VoidReason::BadSplitProof { why: Detail::of(e) })?;
        let operator = signed.key();
        let head = proof.a.checkpoint();
        let (size, other) = (head.size, head.root);
        let split = Split { index, statement: statement.hash(), size, other, operator };
        self.splits.push(split);
        Ok(())
    }

    /// A proof that an author said two things in one place, brought by a member.
    pub(super) fn take_two_statements(&mut self, check: &Check) -> Result<(), VoidReason> {
        let Evidence::TwoStatements(a, b) = &check.evidence else {
            return Err(VoidReason::NoTwoStatements);
        };
        let read = |place, bytes| {
            let bad = |error| VoidReason::BadOneOfTwo { place, why: Detail::of(error) };
            self.read(bytes).map_err(bad)
        };
        let (a, b) = (read(0, a)?, read(1, b)?);
        let same_place = (a.log, a.author, a.seq) == (b.log, b.author, b.seq) && a.log == self.id;
        if !same_place || a.hash() == b.hash() {
            return Err(VoidReason::NoContradiction);
        }
        self.equivocate(a.author, a.seq, a.hash(), b.hash());
        Ok(())
    }
}
