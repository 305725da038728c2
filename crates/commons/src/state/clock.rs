//! The clock and who may sign for the log.

use super::{Detail, Roots, State, VoidReason};
use crate::{
    ArchiveError, origin,
    statement::{Asset, Candidate, Check, Evidence, Rights, Witnesses},
};
use ids::PeerId;
use tlog::{Hash as TreeHash, KeyKind, KeyName, Policy, Signed, SignedCheckpoint, VerifierKey};

/// A time that witnesses vouched for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mark {
    /// Where the mark itself stands in the log.
    pub index: u64,
    /// The size that was witnessed: all statements before it were there.
    pub size: u64,
    /// The root at that size.
    pub root: TreeHash,
    /// When: the lower median of the witnesses' times, in Unix seconds.
    pub time: u64,
    /// How many witnesses cosigned.
    pub witnesses: usize,
}

/// Who signs the log's checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Operator {
    /// From which size on.
    pub since: u64,
    /// The key.
    pub key: PeerId,
}

/// When a statement was made, as far as anybody can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Interval {
    /// Not before: the time of the newest mark that its author had seen.
    pub from: Option<u64>,
    /// Not after: the time of the first mark that covers it.
    pub to: Option<u64>,
}

impl State {
    /// Who may sign a checkpoint of `size` statements.
    pub fn operator_at(&self, size: u64) -> PeerId {
        let at = self.operators.partition_point(|o| o.since <= size);
        self.operators[at.saturating_sub(1)].key
    }

    /// The key that signs a checkpoint of `size` statements of this log.
    pub fn log_key_at(&self, size: u64) -> VerifierKey {
        log_key(&origin(&self.id), self.operator_at(size))
    }

    /// Whether a head is of this log and signed by whoever operated it at its size.
    pub fn is_signed(&self, head: &SignedCheckpoint) -> bool {
        let checkpoint = head.checkpoint();
        checkpoint.origin == origin(&self.id)
            && head.signed_by(&self.log_key_at(checkpoint.size)) == Signed::Yes
    }

    /// The size of the log at which whoever operated it at `size` was replaced.
    pub(crate) fn operator_until(&self, size: u64) -> u64 {
        let next = self.operators.iter().find(|operator| operator.since > size);
        next.map_or(u64::MAX, |next| next.since)
    }

    /// Who may sign the next checkpoint.
    pub fn operator(&self) -> PeerId {
        self.operator_at(self.size)
    }

    /// When the statement at `index`, which had seen `seen` statements, was made.
    pub fn interval(&self, index: u64, seen: u64) -> Interval {
        let before = self.marks.partition_point(|mark| mark.index < seen);
        let after = self.marks.partition_point(|mark| mark.size <= index);
        Interval {
            from: before.checked_sub(1).map(|at| self.marks[at].time),
            to: self.marks.get(after).map(|mark| mark.time),
        }
    }

    /// The size up to which statements were witnessed at `time` or before.
    pub fn size_by(&self, time: u64) -> u64 {
        let at = self.marks.partition_point(|mark| mark.time <= time);
        at.checked_sub(1).map_or(0, |last| self.marks[last].size)
    }

    /// The witness policy as the transparency log knows it.
    pub fn policy(&self) -> Policy {
        policy(&self.witnesses)
    }

    pub(super) fn take_mark(
        &mut self,
        index: u64,
        check: &Check,
        log: &impl Roots,
    ) -> Result<Result<(), VoidReason>, ArchiveError> {
        let (mark, succeeds) = match self.read_mark(index, check) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        if log.root_at(mark.size)? != mark.root {
            return Ok(Err(VoidReason::CheckpointOfOtherHistory));
        }
        if succeeds {
            self.succeed();
        }
        if self.place_mark(mark) {
            self.electorate = None;
            self.settle_recoveries();
            self.settle_proposals();
        }
        Ok(Ok(()))
    }

    /// The mark, and whether by it the witnesses to come are in force.
    fn read_mark(&self, index: u64, check: &Check) -> Result<(Mark, bool), VoidReason> {
        let Evidence::Checkpoint(note) = &check.evidence else {
            return Err(VoidReason::NoCheckpoint);
        };
        let signed = SignedCheckpoint::parse(note.as_bytes())
            .map_err(|e| VoidReason::BadCheckpoint { why: Detail::of(e) })?;
        self.judge_mark(index, &signed)
    }

    fn judge_mark(
        &self,
        index: u64,
        signed: &SignedCheckpoint,
    ) -> Result<(Mark, bool), VoidReason> {
        let head = signed.checkpoint();
        if head.origin != origin(&self.id) || head.size > index {
            return Err(VoidReason::CheckpointOfOtherLog);
        }
        let operator = self.log_key_at(head.size);
        if signed.signed_by(&operator) != Signed::Yes {
            return Err(VoidReason::CheckpointUnsigned);
        }
        let (witnessed, succeeds) = self.vouched(signed)?;
        let time = witnessed.time().ok_or(VoidReason::NotCosigned)?;
        let counted = self.marks.last().map_or(0, |mark| mark.time);
        let last = self.newest_mark().map_or((0, 0), |mark| (mark.size, mark.time));
        if time < counted || head.size < last.0 || head.size == last.0 && time <= last.1 {
            return Err(VoidReason::CheckpointNotNewer);
        }
        let (size, root) = (head.size, head.root);
        Ok((Mark { index, size, root, time, witnesses: witnessed.count() }, succeeds))
    }

    /// Whether a head would be a mark here, and one by which the time has moved.
    pub fn would_mark(&self, head: &SignedCheckpoint) -> bool {
        let counted = self.marks.last().map_or(0, |mark| mark.time);
        self.judge_mark(self.size, head).is_ok_and(|(mark, _)| mark.time > counted)
    }

    pub(super) fn take_rights(
        &mut self,
        index: u64,
        author: PeerId,
        rights: &Rights,
    ) -> Result<(), VoidReason> {
        if rights.asset == Asset::Log {
            let Candidate::Key(key) = rights.holder else {
                return Err(VoidReason::OperatorIsNoKey);
            };
            if self.active_stewards().contains(&author) {
                self.named_operators.insert(author, key);
                self.cost.operator_wanted = true;
            }
        }
        let power = super::Power { index, by: author, rights: rights.clone() };
        self.powers.insert((author, rights.asset, rights.name.clone()), power);
        Ok(())
    }

    /// Hands the log over once a majority of the stewards names one key.
    pub(super) fn settle_operator(&mut self) {
        if !std::mem::take(&mut self.cost.operator_wanted) || self.named_operators.is_empty() {
            return;
        }
        let stewards = self.active_stewards();
        let mut votes = std::collections::BTreeMap::new();
        for steward in &stewards {
            if let Some(key) = self.named_operators.get(steward) {
                *votes.entry(*key).or_insert(0usize) += 1;
            }
        }
        let chosen = votes.into_iter().find(|(_, n)| 2 * n > stewards.len());
        if let Some((key, _)) = chosen
            && key != self.operator_at(self.size)
        {
            self.operators.push(Operator { since: self.size, key });
            // Else these words would bring the key back whenever the same people are stewards again.
            self.named_operators.clear();
        }
    }
}

/// The key of a log's operator, as checkpoints name it.
pub fn log_key(origin: &str, key: PeerId) -> VerifierKey {
    let name: KeyName = origin.parse().expect("an origin has no space or plus sign");
    VerifierKey::new(name, KeyKind::Log, key)
}

/// A witness policy as the transparency log knows it.
pub fn policy(witnesses: &Witnesses) -> Policy {
    let keys = witnesses.keys.iter().map(|witness| {
        let name: KeyName = witness.name.parse().expect("the statement's check saw to the name");
        VerifierKey::new(name, KeyKind::Witness, witness.key)
    });
    Policy::new(usize::from(witnesses.threshold), keys.collect())
        .expect("the statement's check saw to the numbers")
}
