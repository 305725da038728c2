//! What a run is: its rules, its first state, and how many signatures decide.

use crate::PeerId;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use store::Hash;
pub use store::ObjectRef;

/// Milliseconds on a monotonic clock of the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// This moment and `ms` more; stays at the end of time rather than wrap.
    pub fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`, 0 if it lies in the future.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A checkpoint: the model's manifest (which refers to its tensors) and the outer optimizer's state.
///
/// Encoding: CBOR array `[model, outer]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
pub struct State {
    /// The model's manifest.
    #[n(0)]
    pub model: ObjectRef,
    /// The outer optimizer's state.
    #[n(1)]
    pub outer: ObjectRef,
}

impl State {
    /// The root: one hash for the whole state.
    pub fn root(&self) -> Hash {
        let bytes = minicbor::to_vec(self).expect("writing to memory cannot fail");
        Hash::of_parts("understory swarm 1 state", &[&bytes])
    }
}

/// The protocol's rules, part of the run's manifest (whose hash is the run's id).
///
/// Encoding: CBOR array of the fields in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// How many rounds the run has.
    #[n(0)]
    pub rounds: u32,
    /// Fewest inner steps of a contribution.
    #[n(1)]
    pub steps_min: u32,
    /// Most inner steps of a contribution.
    #[n(2)]
    pub steps_max: u32,
    /// A leaf (hashed training state) is committed after every so many steps.
    #[n(3)]
    pub leaf_every: u32,
    /// How long the whole run should take; 0: no target, everyone does `steps_max`.
    #[n(4)]
    pub target_ms: u64,
    /// How long a height waits for members that have not committed.
    #[n(5)]
    pub commit_timeout_ms: u64,
    /// Length of the first view of the agreement; later ones are longer.
    #[n(6)]
    pub view_timeout_ms: u64,
    /// How long a height waits for verdicts on the last advance; the second auditor takes over
    /// at half of it.
    #[n(7)]
    pub audit_timeout_ms: u64,
    /// Clean audits until a member is audited by `audit_rate_ppm` only (and a newcomer votes).
    #[n(8)]
    pub probation: u32,
    /// Rate of audits past probation, in parts per million.
    #[n(9)]
    pub audit_rate_ppm: u32,
    /// Segments re-run by an audit past probation (the encoding of the update comes on top).
    #[n(10)]
    pub audit_segments: u32,
    /// The founder opens the run once so many members (itself counted) are there.
    #[n(11)]
    pub min_members: u32,
    /// No more members than this, at most [`MAX_MEMBERS`].
    #[n(12)]
    pub max_members: u32,
    /// Exact length of an update object.
    #[n(13)]
    pub update_len: u64,
    /// Exact length of a leaf object.
    #[n(14)]
    pub leaf_len: u64,
    /// Exact length of a carry object.
    #[n(15)]
    pub carry_len: u64,
    /// A member that misses so many advances running is marked absent.
    #[n(16)]
    pub absent_after: u32,
}

/// The most members a run can have: bounds the size of a record.
pub const MAX_MEMBERS: u32 = 64;

/// The most bytes of one message, of one record, and so of everything this crate decodes.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// The most bytes of a record's body: leaves room for the certificate in one message.
pub const MAX_RECORD: usize = 224 * 1024;

/// The most bytes of one object that a protocol rule may name.
const MAX_OBJECT: u64 = 1 << 40;

/// Which of a run's rules cannot hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RulesError {
    /// A number outside its range.
    #[error("rule {name} is {value}, must be {must}")]
    Range { name: &'static str, value: u64, must: String },
    /// So many members with so many leaves each do not fit into one record.
    #[error("{members} members with {leaves} leaves each need {bytes} bytes, a record has {max}")]
    RecordSize { members: u32, leaves: u32, bytes: u64, max: usize },
}

impl Rules {
    /// Checks that the rules can be followed and that every record they allow fits a message.
    ///
    /// Errors: [`RulesError`] with the first rule that cannot hold.
    pub fn validate(&self) -> Result<(), RulesError> {
        let range = |name, value: u64, least: u64, most: u64| match value {
            v if (least..=most).contains(&v) => Ok(()),
            value => Err(RulesError::Range { name, value, must: format!("{least} to {most}") }),
        };
        let day = 24 * 3600 * 1000;
        range("rounds", self.rounds.into(), 1, 1_000_000)?;
        range("leaf_every", self.leaf_every.into(), 1, 1_000_000)?;
        range("steps_min", self.steps_min.into(), self.leaf_every.into(), 1_000_000)?;
        range("steps_max", self.steps_max.into(), self.steps_min.into(), 1_000_000)?;
        range("target_ms", self.target_ms, 0, 3650 * day)?;
        range("commit_timeout_ms", self.commit_timeout_ms, 1, 30 * day)?;
        range("view_timeout_ms", self.view_timeout_ms, 1, day)?;
        range("audit_timeout_ms", self.audit_timeout_ms, 1, 30 * day)?;
        range("probation", self.probation.into(), 0, 1_000_000)?;
        range("audit_rate_ppm", self.audit_rate_ppm.into(), 0, 1_000_000)?;
        range("audit_segments", self.audit_segments.into(), 0, 1_000_000)?;
        range("min_members", self.min_members.into(), 1, self.max_members.into())?;
        range("max_members", self.max_members.into(), 1, MAX_MEMBERS.into())?;
        range("update_len", self.update_len, 1, MAX_OBJECT)?;
        range("leaf_len", self.leaf_len, 1, MAX_OBJECT)?;
        range("carry_len", self.carry_len, 1, MAX_OBJECT)?;
        range("absent_after", self.absent_after.into(), 1, 1_000_000)?;
        for (name, steps) in [("steps_min", self.steps_min), ("steps_max", self.steps_max)] {
            if !steps.is_multiple_of(self.leaf_every) {
                let must = format!("a multiple of leaf_every, {}", self.leaf_every);
                return Err(RulesError::Range { name, value: steps.into(), must });
            }
        }
        self.validate_record_size()
    }

    /// Bytes of a contribution in a record: commit, secret, two receipts of holders, two verdicts,
    /// a member's line and a certificate's signature, without the leaves; a simulation checks it.
    const CONTRIBUTION_BYTES: u64 = 1600;
    /// Bytes of a leaf: hash, length, and the array around them.
    const LEAF_BYTES: u64 = 44;

    fn validate_record_size(&self) -> Result<(), RulesError> {
        let leaves = self.leaves_max();
        let each = Self::CONTRIBUTION_BYTES + Self::LEAF_BYTES * u64::from(leaves);
        let bytes = u64::from(self.max_members) * each;
        if bytes > MAX_RECORD as u64 {
            let (members, max) = (self.max_members, MAX_RECORD);
            return Err(RulesError::RecordSize { members, leaves, bytes, max });
        }
        Ok(())
    }

    /// The most leaves of a contribution.
    pub fn leaves_max(&self) -> u32 {
        self.steps_max / self.leaf_every
    }

    /// How often what may have been lost is sent again, and a failed fetch tried again.
    pub(crate) fn retry_ms(&self) -> u64 {
        (self.view_timeout_ms / 2).clamp(1, 2000)
    }
}

/// A run: what every participant knows before it says a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Hash of the run's manifest.
    pub id: Hash,
    /// Who signs the genesis record.
    pub founder: PeerId,
    /// The rules.
    pub rules: Rules,
    /// The state the first round starts from.
    pub initial: State,
}

/// How many of `n` voters decide: `⌊(n+f)/2⌋ + 1` with `f = ⌊(n−1)/3⌋` faulty ones tolerated.
///
/// Any two such sets share at least `f + 1` voters, so an honest one, and `n − f` voters suffice.
/// For `n = 3f + 1` it is the usual "more than two thirds"; for other `n` it is the least that is
/// as safe: 2 of 3, so that after the cheater among four is out one more member may crash.
pub fn quorum(n: usize) -> usize {
    (n + faults(n)) / 2 + 1
}

/// How many of `n` voters may be faulty.
pub fn faults(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn rules() -> Rules {
        Rules {
            rounds: 10,
            steps_min: 4,
            steps_max: 64,
            leaf_every: 4,
            target_ms: 0,
            commit_timeout_ms: 1000,
            view_timeout_ms: 1000,
            audit_timeout_ms: 1000,
            probation: 2,
            audit_rate_ppm: 50_000,
            audit_segments: 2,
            min_members: 3,
            max_members: 16,
            update_len: 10,
            leaf_len: 10,
            carry_len: 10,
            absent_after: 2,
        }
    }

    #[test]
    fn quorums_overlap_in_an_honest_voter_and_can_be_reached() {
        let table: Vec<usize> = (1..=10).map(quorum).collect();
        assert_eq!(table, [1, 2, 2, 3, 4, 4, 5, 6, 6, 7]);
        for n in 1..=64 {
            assert!(2 * quorum(n) > n + faults(n), "n = {n}");
            assert!(quorum(n) <= n - faults(n), "n = {n}");
            // A repair is decided without its c culprits; it must still meet every quorum that
            // may have decided an advance at the same height in an honest voter.
            for c in 1..=faults(n) {
                let common = quorum(n) + quorum(n - c) - n;
                assert!(common > faults(n) - c, "n = {n}, c = {c}");
            }
        }
    }

    #[test]
    fn rules_that_cannot_hold_are_refused_by_name() {
        assert_eq!(rules().validate(), Ok(()));
        let named = |change: fn(&mut Rules)| {
            let mut rules = rules();
            change(&mut rules);
            rules.validate().expect_err("must be refused").to_string()
        };
        assert_eq!(named(|r| r.rounds = 0), "rule rounds is 0, must be 1 to 1000000");
        assert!(named(|r| r.steps_max = 6).contains("multiple of leaf_every, 4"));
        assert!(named(|r| r.min_members = 17).contains("min_members is 17, must be 1 to 16"));
        assert!(named(|r| r.steps_max = 4000).contains("1000 leaves each"));
    }
}
