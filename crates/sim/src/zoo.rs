//! Attackers of every kind that we know of, and what comes of them: who is ejected, whether there
//! is one chain, what is lost, how soon a cheat is caught, and what the others pay for it.

mod cheating;
mod clocks;
mod eclipse;
mod exhaustion;
mod framing;
mod newcomers;
mod row;
mod taking_over;
mod trial;
mod withholding;

pub use row::{Row, rows};
pub use trial::{Trial, Verdict, attacked, rules, steady, verdict};

use crate::{attack::Shared, habits::Habit, world};
use ids::{Hash, Identity, PeerId};
use std::collections::BTreeSet;
use swarm::{AuditOutcome, Certificate, Record, Signed, SignedRecord, Step, Vote};

/// Where the attackers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Among ten founding voters: one, two or three of them.
    Founders,
    /// So many newcomers, beside ten honest founding voters (or as many as the case says).
    Newcomers {
        /// How many come.
        keys: usize,
        /// Founding voters.
        founders: usize,
    },
    /// Among ten founding voters, while an honest newcomer arrives.
    BesideJoiner,
}

/// Who the attackers of one trial are.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Their numbers.
    pub friends: BTreeSet<usize>,
    /// Their keys.
    pub keys: BTreeSet<PeerId>,
    /// The seed.
    pub seed: u64,
}

impl Plan {
    /// The plan of these attackers.
    pub fn new(seed: u64, friends: BTreeSet<usize>) -> Self {
        let keys = friends.iter().map(|n| world::identity(seed, *n).id()).collect();
        Self { friends, keys, seed }
    }

    /// Whether a key is an attacker's.
    pub fn is_friend(&self, peer: &PeerId) -> bool {
        self.keys.contains(peer)
    }

    /// The attackers' keys, with their secrets.
    fn identities(&self) -> Vec<Identity> {
        self.friends.iter().map(|n| world::identity(self.seed, *n)).collect()
    }

    /// A record as if it was decided: signed by all attackers.
    fn decided(&self, run: &Hash, record: &Record) -> Option<SignedRecord> {
        let body = record.to_bytes();
        let value = Some(Record::hash_of(&body));
        let vote = Vote { height: record.height, view: 0, step: Step::Precommit, value };
        let sign = |i: &Identity| (i.id(), Signed::seal(i, run, vote).signature());
        let mut signatures: Vec<_> = self.identities().iter().map(sign).collect();
        signatures.sort_unstable();
        SignedRecord::new(body, Certificate { view: 0, signatures }).ok()
    }
}

/// One kind of attacker.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub what: &'static str,
    /// Where it does it.
    pub place: Place,
    /// Which part of its steps it makes up, if that is what it does: then how soon it is caught
    /// follows from the rules.
    pub made_up: Option<f64>,
    /// The strategy that its keys share.
    pub make: fn(&Plan) -> Shared,
}

/// All of them.
pub fn all() -> Vec<Case> {
    [
        taking_over::CASES,
        cheating::CASES,
        withholding::CASES,
        framing::CASES,
        newcomers::CASES,
        clocks::CASES,
        exhaustion::CASES,
        eclipse::CASES,
    ]
    .concat()
}

/// Objects that every store has beside the run's and that somebody may name: pieces of a corpus,
/// one of each length that the run's objects have.
pub fn shards() -> Vec<Vec<u8>> {
    let rules = trial::rules();
    let trails = [rules.steps_min, rules.steps_max].map(|steps| rules.trail_len(steps));
    let lengths = [rules.update_len, rules.carry_len, rules.state_len, trails[0], trails[1]];
    lengths.iter().map(|len| vec![*len as u8; *len as usize]).collect()
}

/// That a friend's work is right, without having looked.
fn vouch() -> AuditOutcome {
    AuditOutcome::Confirmed { digest: Hash::of(b"a friend") }
}

/// The strategy of a plain cheat.
fn habit(habit: Habit) -> Shared {
    habit.role().attack.expect("a habit that is not honest is a strategy")
}

/// What is never said.
fn silence() -> Option<Vec<crate::attack::Saying>> {
    Some(Vec::new())
}

const fn founders(
    name: &'static str,
    what: &'static str,
    made_up: Option<f64>,
    make: fn(&Plan) -> Shared,
) -> Case {
    Case { name, what, place: Place::Founders, made_up, make }
}
