//! What a run is: its rules, its first state, and how many signatures decide.

pub use ids::ObjectRef;
use ids::{Hash, PeerId};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
    /// The state hash: one for model and optimizer together. The model's own hash, its *root*, is
    /// that of its manifest.
    pub fn hash(&self) -> Hash {
        let bytes = minicbor::to_vec(self).expect("writing to memory cannot fail");
        Hash::of_parts("understory swarm 2 state", &[&bytes])
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
    /// Fewest inner steps of a contribution, and the number that a member in probation takes.
    #[n(1)]
    pub steps_min: u32,
    /// Most inner steps of a contribution.
    #[n(2)]
    pub steps_max: u32,
    /// How long the whole run should take; 0: no target, everyone does `steps_max`.
    #[n(3)]
    pub target_ms: u64,
    /// How long a height waits for members that have not committed.
    #[n(4)]
    pub commit_timeout_ms: u64,
    /// Length of the first view of the agreement; later ones are longer.
    #[n(5)]
    pub view_timeout_ms: u64,
    /// How long a height waits for the auditors' draws on the last advance.
    #[n(6)]
    pub draw_timeout_ms: u64,
    /// How long a height waits for verdicts on the last advance.
    #[n(7)]
    pub audit_timeout_ms: u64,
    /// Clean audits until a member is audited by sample only (and a newcomer votes).
    #[n(8)]
    pub probation: u32,
    /// Inner steps of each contribution past probation that are re-run, all auditors together, in
    /// thousandths: 1,250 are one and a quarter in the mean.
    #[n(9)]
    pub audit_milli: u32,
    /// Rate of whole audits past probation, in parts per million.
    #[n(10)]
    pub audit_rate_ppm: u32,
    /// Rate at which confirmations are made a second time and compared, in parts per million.
    #[n(11)]
    pub recheck_ppm: u32,
    /// The founder opens the run once so many members (itself counted) are there.
    #[n(12)]
    pub min_members: u32,
    /// No more members than this, at most [`MAX_MEMBERS`].
    #[n(13)]
    pub max_members: u32,
    /// Exact length of an update object.
    #[n(14)]
    pub update_len: u64,
    /// Exact length of a training state.
    #[n(15)]
    pub state_len: u64,
    /// Exact length of a carry object.
    #[n(16)]
    pub carry_len: u64,
    /// A member that misses so many advances running is waited for no more, and its standing
    /// fades until it contributes again.
    #[n(17)]
    pub absent_after: u32,
}

/// The version of these rules. What a record means under one version never changes.
pub const VERSION: u32 = 2;

/// The most members a run can have: bounds the size of a record.
pub const MAX_MEMBERS: u32 = 64;

/// The most inner steps of a contribution: bounds the length of its trail.
pub const MAX_STEPS: u32 = 100_000;

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
    Range {
        /// The rule's name in a run's settings.
        name: &'static str,
        /// What it was set to.
        value: u64,
        /// What it may be, in words.
        must: String,
    },
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
        range("steps_min", self.steps_min.into(), 1, MAX_STEPS.into())?;
        range("steps_max", self.steps_max.into(), self.steps_min.into(), MAX_STEPS.into())?;
        range("target_ms", self.target_ms, 0, 3650 * day)?;
        range("commit_timeout_ms", self.commit_timeout_ms, 1, 30 * day)?;
        range("view_timeout_ms", self.view_timeout_ms, 1, day)?;
        range("draw_timeout_ms", self.draw_timeout_ms, 1, day)?;
        range("audit_timeout_ms", self.audit_timeout_ms, 1, 30 * day)?;
        range("probation", self.probation.into(), 1, 1_000)?;
        // More would not fit into a record of the most members.
        range("audit_milli", self.audit_milli.into(), 0, 4_000)?;
        range("audit_rate_ppm", self.audit_rate_ppm.into(), 0, 1_000_000)?;
        range("recheck_ppm", self.recheck_ppm.into(), 0, 1_000_000)?;
        range("min_members", self.min_members.into(), 1, self.max_members.into())?;
        range("max_members", self.max_members.into(), 1, MAX_MEMBERS.into())?;
        range("update_len", self.update_len, 1, MAX_OBJECT)?;
        range("state_len", self.state_len, 1, MAX_OBJECT)?;
        range("carry_len", self.carry_len, 1, MAX_OBJECT)?;
        range("absent_after", self.absent_after.into(), 1, 1_000_000)?;
        Ok(())
    }

    /// What a founding voter begins with, in inner steps: the standing of somebody who has done
    /// as many full rounds as it takes a newcomer to be one no longer.
    pub fn grant(&self) -> u64 {
        u64::from(self.tenure()) * u64::from(self.steps_max)
    }

    /// Clean audits after which a newcomer is one no longer.
    pub fn tenure(&self) -> u32 {
        self.probation.saturating_mul(4)
    }

    /// Exact length of the trail of a contribution of so many steps.
    pub fn trail_len(&self, steps: u32) -> u64 {
        32 * u64::from(steps)
    }

    /// What a contributor has for serving what a re-run of its work takes.
    pub(crate) fn serve_ms(&self) -> u64 {
        self.audit_timeout_ms / 2
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
    /// Keys that are founding voters, the founder's among them.
    pub founders: BTreeSet<PeerId>,
    /// Keys of invitations: each makes one key a founding voter.
    pub invitations: BTreeSet<PeerId>,
    /// The rules.
    pub rules: Rules,
    /// The state the first round starts from.
    pub initial: State,
}

impl Run {
    /// How many founding voters the genesis record has.
    pub fn founding_voters(&self) -> usize {
        self.founders.len() + self.invitations.len()
    }

    /// Checks rules and founding voters.
    ///
    /// Errors: [`RulesError`].
    pub fn validate(&self) -> Result<(), RulesError> {
        self.rules.validate()?;
        let (founders, most) = (self.founding_voters(), self.rules.max_members as usize);
        let fits = self.founders.contains(&self.founder)
            && self.founders.is_disjoint(&self.invitations)
            && founders <= most;
        match fits {
            true => Ok(()),
            false => Err(RulesError::Range {
                name: "founding voters",
                value: founders as u64,
                must: format!("distinct, the founder among them, at most {most}"),
            }),
        }
    }
}

/// How much of a weight `w` decides: `⌊(w+f)/2⌋ + 1` with `f` of it faulty ([`faults`]).
///
/// Any two such sets share more than `f`, so somebody honest, and `w − f` suffices. For `n` equal
/// voters it is what is usual for `n = 3k + 1`, "more than two thirds"; of three it is two, so
/// that after the cheat among four is out one more member may crash.
pub fn quorum(weight: u64) -> u64 {
    (weight + faults(weight)) / 2 + 1
}

/// How much of a weight may be faulty: less than a third.
pub fn faults(weight: u64) -> u64 {
    weight.saturating_sub(1) / 3
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn rules() -> Rules {
        Rules {
            rounds: 10,
            steps_min: 4,
            steps_max: 64,
            target_ms: 0,
            commit_timeout_ms: 1000,
            view_timeout_ms: 1000,
            draw_timeout_ms: 500,
            audit_timeout_ms: 1000,
            probation: 2,
            audit_milli: 2000,
            audit_rate_ppm: 50_000,
            recheck_ppm: 100_000,
            min_members: 3,
            max_members: 16,
            update_len: 10,
            state_len: 10,
            carry_len: 10,
            absent_after: 2,
        }
    }

    #[test]
    fn quorums_overlap_in_an_honest_voter_and_can_be_reached() {
        let table: Vec<u64> = (1..=10).map(quorum).collect();
        assert_eq!(table, [1, 2, 2, 3, 4, 4, 5, 6, 6, 7]);
        for w in 1..=500 {
            assert!(2 * quorum(w) > w + faults(w), "w = {w}");
            assert!(quorum(w) <= w - faults(w), "w = {w}");
            // A repair is decided without the weight c of its culprits, which are faulty; it must
            // still meet every quorum that may have decided at the same height in an honest voter.
            for c in 1..=faults(w) {
                let common = quorum(w) + quorum(w - c) - w;
                assert!(common > faults(w) - c, "w = {w}, c = {c}");
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
        assert!(named(|r| r.min_members = 17).contains("min_members is 17, must be 1 to 16"));
        assert!(named(|r| r.steps_max = 1 << 20).contains("must be 4 to 100000"));
    }
}
