//! Records of training runs that members have marked: what a newcomer to a run holds against the
//! history that it is shown. Two members may say two things of one height; then both stand, and
//! who looks is told of both.

use super::{State, VoidReason};
use crate::{Statement, statement::Milestone};
use ids::{Hash, PeerId};
use std::collections::BTreeMap;

/// Run and height → record and member → its statement.
pub(super) type Milestones = BTreeMap<(Hash, u64), BTreeMap<(Hash, PeerId), Marker>>;

/// A member's word for a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marker {
    /// The statement's index.
    index: u64,
    /// The key that signed it.
    key: PeerId,
    /// Its place in the key's chain.
    seq: u64,
}

/// A record that members say a run has at some height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedRecord {
    /// The height.
    pub height: u64,
    /// The record's hash.
    pub record: Hash,
    /// Those who say so, with the index of the statement.
    pub by: Vec<(PeerId, u64)>,
}

impl State {
    pub(super) fn take_milestone(
        &mut self,
        index: u64,
        member: PeerId,
        statement: &Statement,
        milestone: Milestone,
    ) -> Result<(), VoidReason> {
        let Milestone { run, height, record } = milestone;
        let marker = Marker { index, key: statement.author, seq: statement.seq };
        let known = self.milestones.get(&(run, height)).and_then(|all| all.get(&(record, member)));
        // What a key said that contradicted itself counts for nothing: it may be said again.
        if known.is_some_and(|known| self.counts(known.key, known.seq)) {
            return Err(VoidReason::AlreadyMarked);
        }
        self.milestones.entry((run, height)).or_default().insert((record, member), marker);
        Ok(())
    }

    /// The runs of which records are marked.
    pub fn marked_runs(&self) -> Vec<Hash> {
        let mut runs: Vec<Hash> = self.milestones.keys().map(|(run, _)| *run).collect();
        runs.dedup();
        runs
    }

    /// The records of a run that members have marked, in the order of heights: of one height more
    /// than one where members contradict each other. What somebody said who is no member any more
    /// counts for nothing.
    pub fn marked_records(&self, run: &Hash) -> Vec<MarkedRecord> {
        let mut found: Vec<MarkedRecord> = Vec::new();
        for ((_, height), said) in self.milestones.range((*run, 0)..=(*run, u64::MAX)) {
            for ((record, member), marker) in said {
                if !self.is_member(member) || !self.counts(marker.key, marker.seq) {
                    continue;
                }
                let by = (*member, marker.index);
                match found.last_mut() {
                    Some(last) if (last.height, last.record) == (*height, *record) => {
                        last.by.push(by);
                    }
                    _ => {
                        let (height, record) = (*height, *record);
                        found.push(MarkedRecord { height, record, by: vec![by] });
                    }
                }
            }
        }
        found
    }
}
