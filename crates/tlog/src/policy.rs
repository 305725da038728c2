//! Which witnesses must have cosigned a checkpoint before it counts.

use super::{
    checkpoint::{SignedCheckpoint, WrongCosignature},
    note::{KeyKind, VerifierKey},
};
use std::collections::BTreeSet;

/// How many witnesses a policy may name.
pub const MAX_WITNESSES: usize = 32;

/// Some witnesses, and how many of them must have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    threshold: usize,
    witnesses: Vec<VerifierKey>,
}

/// Why witnesses and a threshold are not a policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    /// More witnesses than a policy may name.
    #[error("a policy of {count} witnesses, at most {MAX_WITNESSES} may be named")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// More cosignatures demanded than there are witnesses.
    #[error("a policy of {count} witnesses cannot demand {threshold}")]
    Threshold {
        /// How many must cosign.
        threshold: usize,
        /// How many witnesses there are.
        count: usize,
    },
    /// A key that does not make cosignatures.
    #[error("{0} is not a witness's key")]
    NotAWitness(VerifierKey),
    /// One key counted twice.
    #[error("the key of {0} is named twice")]
    Twice(VerifierKey),
}

/// What a policy finds of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// For each witness of the policy, in its order, when it cosigned (seconds since 1970).
    pub times: Vec<Option<u64>>,
    /// How many of them must have.
    pub threshold: usize,
}

impl Policy {
    /// The policy that `threshold` of `witnesses` must have cosigned.
    ///
    /// Errors: [`PolicyError`].
    pub fn new(threshold: usize, witnesses: Vec<VerifierKey>) -> Result<Self, PolicyError> {
        let count = witnesses.len();
        if count > MAX_WITNESSES {
            return Err(PolicyError::TooMany { count });
        }
        if threshold > count {
            return Err(PolicyError::Threshold { threshold, count });
        }
        if let Some(key) = witnesses.iter().find(|key| key.kind() != KeyKind::Witness) {
            return Err(PolicyError::NotAWitness(key.clone()));
        }
        let mut seen = BTreeSet::new();
        if let Some(key) = witnesses.iter().find(|key| !seen.insert(key.key())) {
            return Err(PolicyError::Twice(key.clone()));
        }
        Ok(Self { threshold, witnesses })
    }

    /// How many must have cosigned.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// Who may.
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.witnesses
    }

    /// The policy for the log whose key is `log` as a file, in the form of C2SP's tlog-policy: a line
    /// for the log and for each witness, a group of them all with the threshold, and the quorum.
    pub fn to_text(&self, log: &VerifierKey) -> String {
        let mut text = format!("log {log}\n");
        for (number, witness) in self.witnesses.iter().enumerate() {
            text += &format!("witness w{number} {witness}\n");
        }
        let names: Vec<String> =
            (0..self.witnesses.len()).map(|number| format!("w{number}")).collect();
        text + &format!("group all {} {}\nquorum all\n", self.threshold, names.join(" "))
    }

    /// Which witnesses cosigned `checkpoint`, and when. The log's own signature is not looked at.
    ///
    /// Errors: a cosignature that claims to be by one of them does not hold.
    pub fn witnessed(&self, checkpoint: &SignedCheckpoint) -> Result<Witnessed, WrongCosignature> {
        let times = self.witnesses.iter().map(|witness| checkpoint.cosigned_by(witness));
        Ok(Witnessed { times: times.collect::<Result<_, _>>()?, threshold: self.threshold })
    }
}

impl Witnessed {
    /// How many witnesses cosigned.
    pub fn count(&self) -> usize {
        self.times.iter().flatten().count()
    }

    /// Whether enough of them did.
    pub fn holds(&self) -> bool {
        self.count() >= self.threshold
    }

    /// When it was, in seconds since 1970: the lower median of the times, so that as long as
    /// most of those who cosigned are honest it lies between the times of honest ones. None if
    /// nobody cosigned.
    pub fn time(&self) -> Option<u64> {
        let mut times: Vec<u64> = self.times.iter().flatten().copied().collect();
        times.sort_unstable();
        let middle = times.len().checked_sub(1)? / 2;
        times.get(middle).copied()
    }
}
