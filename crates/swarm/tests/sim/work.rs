//! Training over hashes: a contribution is a chain of hashes, so it can be re-run and compared
//! exactly like the real thing. Cheats live here, where they live in reality: in the work.

use std::collections::BTreeSet;
use store::Hash;
use swarm::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Commit, Identity, ObjectRef, Rules,
    Segments, State, TrainJob, TrainOutput, WorkError,
};

/// What a peer's worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    Honest,
    /// Does the first leaf, makes the rest up.
    Lazy,
    /// Random bytes.
    Noise,
    /// Hands in somebody else's contribution.
    Copy,
    /// Trains, then turns the update around.
    SignFlip,
    /// Works, but accuses everybody it audits.
    Liar,
    /// Works, but says that everything it audits is fine.
    Accomplice,
    /// Is a member and says nothing.
    Silent,
    /// Works, and says all kinds of things between, well signed.
    Babbler,
    /// Works, until it is gone for good.
    Leaver,
    /// Works, but signs two of everything and tells each half of the others another one.
    TwoFaced,
}

pub const UPDATE_LEN: u64 = 100;
pub const LEAF_LEN: u64 = 300;
pub const CARRY_LEN: u64 = 50;

pub fn initial() -> State {
    state(Hash::of(b"the beginning"))
}

fn state(hash: Hash) -> State {
    let part = |name| ObjectRef { hash: Hash::of_parts(name, &[&hash.0]), len: 1000 };
    State { model: part("model"), outer: part("outer") }
}

fn object(hash: Hash, len: u64) -> ObjectRef {
    ObjectRef { hash, len }
}

fn start(job: &TrainJob) -> Hash {
    let (height, round) = (job.height.to_le_bytes(), job.round.to_le_bytes());
    let root = job.base.root();
    let carry = job.carry.map_or(Hash::default(), |c| c.hash);
    let parts: [&[u8]; 6] = [&root.0, &job.beacon.0, &job.worker.0, &height, &round, &carry.0];
    Hash::of_parts("start", &parts)
}

fn leaf(before: &Hash, index: u32) -> Hash {
    Hash::of_parts("leaf", &[&before.0, &index.to_le_bytes()])
}

fn encoded(last: &Hash, job: &TrainJob) -> (Hash, Hash) {
    let carry = job.carry.map_or(Hash::default(), |f| f.hash);
    let parts: [&[u8]; 3] = [&last.0, &job.base.root().0, &carry.0];
    (Hash::of_parts("update", &parts), Hash::of_parts("carry", &parts))
}

fn output(leaves: Vec<Hash>, update: Hash, carry: Hash) -> TrainOutput {
    TrainOutput {
        leaves: leaves.into_iter().map(|l| object(l, LEAF_LEN)).collect(),
        update: object(update, UPDATE_LEN),
        carry: object(carry, CARRY_LEN),
    }
}

/// The one right result of a job.
pub fn honest(job: &TrainJob) -> TrainOutput {
    let mut leaves = Vec::new();
    let mut last = start(job);
    for index in 0..job.steps / job.leaf_every {
        last = leaf(&last, index);
        leaves.push(last);
    }
    let (update, carry) = encoded(&last, job);
    output(leaves, update, carry)
}

/// What a worker with some habit hands in; `seen` are the commits it has seen of others.
pub fn train(habit: Habit, job: &TrainJob, identity: &Identity, seen: &[Commit]) -> TrainOutput {
    let mut result = honest(job);
    let junk = |n: u32| identity.derive("junk", &[&job.height.to_le_bytes(), &n.to_le_bytes()]);
    match habit {
        Habit::Lazy => {
            let count = result.leaves.len();
            for (n, leaf) in (0..).zip(&mut result.leaves).skip(1) {
                leaf.hash = junk(n);
            }
            if count < 2 {
                result.update.hash = junk(99);
            }
        }
        Habit::Noise => {
            for (n, leaf) in (0..).zip(&mut result.leaves) {
                leaf.hash = junk(n);
            }
            result.update.hash = junk(98);
            result.carry.hash = junk(97);
        }
        Habit::Copy => {
            let of_height = seen.iter().find(|c| c.height == job.height);
            if let Some(other) = of_height.filter(|o| o.leaves.len() == result.leaves.len()) {
                result.leaves = other.leaves.clone();
                result.update = other.update;
                result.carry = other.carry;
            }
        }
        Habit::SignFlip => {
            result.update.hash = Hash::of_parts("flipped", &[&result.update.hash.0]);
        }
        _ => {}
    }
    result
}

/// Re-runs what an audit asks for. A leaf that is not here is no obstacle: then from the base.
pub fn audit(habit: Habit, job: &AuditJob, here: &BTreeSet<Hash>) -> AuditOutcome {
    match (habit, re_run(job, here)) {
        (Habit::Liar, _) => AuditOutcome::Mismatch { segment: 0 },
        (Habit::Accomplice, AuditOutcome::Mismatch { .. }) => AuditOutcome::Confirmed,
        (_, outcome) => outcome,
    }
}

fn re_run(job: &AuditJob, here: &BTreeSet<Hash>) -> AuditOutcome {
    let claimed = &job.claimed;
    let count = claimed.leaves.len() as u32;
    let before = |s: u32| match s.checked_sub(1) {
        None => start(&job.job),
        Some(at) => claimed.leaves[at as usize].hash,
    };
    let all: Vec<u32> = (0..=count).collect();
    let segments = match &job.segments {
        Segments::Some(some) if some.iter().all(|s| *s == 0 || here.contains(&before(*s))) => some,
        _ => &all,
    };
    for &segment in segments {
        let from = before(segment);
        let right = if segment < count {
            claimed.leaves[segment as usize].hash == leaf(&from, segment)
        } else {
            encoded(&from, &job.job) == (claimed.update.hash, claimed.carry.hash)
        };
        if !right {
            return AuditOutcome::Mismatch { segment };
        }
    }
    AuditOutcome::Confirmed
}

pub fn aggregate(job: &AggregateJob, here: &BTreeSet<Hash>) -> Result<AggregateOutput, WorkError> {
    let mut parts = vec![job.base.root().0];
    let needed = [job.base.model.hash, job.base.outer.hash];
    for hash in needed.into_iter().chain(job.updates.iter().map(|u| u.update.hash)) {
        if !here.contains(&hash) {
            return Err(WorkError::Missing(hash));
        }
    }
    for update in &job.updates {
        parts.extend([update.worker.0, update.update.hash.0]);
    }
    let parts: Vec<&[u8]> = parts.iter().map(<[u8; 32]>::as_slice).collect();
    let count = job.updates.len();
    Ok(AggregateOutput {
        state: state(Hash::of_parts("aggregate", &parts)),
        norms: vec![1.0; count],
        clipped: vec![false; count],
    })
}

pub fn rules() -> Rules {
    Rules {
        rounds: 5,
        steps_min: 4,
        steps_max: 8,
        leaf_every: 2,
        target_ms: 0,
        commit_timeout_ms: 3000,
        view_timeout_ms: 500,
        audit_timeout_ms: 3000,
        probation: 2,
        audit_rate_ppm: 500_000,
        audit_segments: 1,
        min_members: 4,
        max_members: 16,
        update_len: UPDATE_LEN,
        leaf_len: LEAF_LEN,
        carry_len: CARRY_LEN,
        absent_after: 2,
    }
}

/// Makes everything but every `every`-th leaf follow from the leaf before it.
pub fn rechain(job: &TrainJob, output: &mut TrainOutput, every: usize) {
    let mut last = start(job);
    for (n, claimed) in output.leaves.iter_mut().enumerate() {
        if n % every != 0 {
            claimed.hash = leaf(&last, n as u32);
        }
        last = claimed.hash;
    }
    let (update, carry) = encoded(&last, job);
    (output.update.hash, output.carry.hash) = (update, carry);
}
