//! Training over hashes: a contribution is a chain of hashes, so it can be re-run and compared
//! exactly like the real thing. Its update is a small vector that leads towards a goal, and the
//! sum of updates is the real one, so that harm can be measured.

use ids::{Hash, Identity};
use kernel::{Isa, Kernel};
use recipe::{
    outer::{self, Weighted},
    run::Outer,
};
use std::collections::BTreeMap;
use swarm::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, ObjectRef, OpenJob, Rules, Sample,
    State, TrainJob, TrainOutput, Trained, WorkError,
};

/// Values of the model.
pub const DIM: usize = 8;
/// Length of an update: the values as little-endian f32.
pub const UPDATE_LEN: u64 = 4 * DIM as u64;
/// Length of a training state.
pub const STATE_LEN: u64 = 300;
/// Length of a carry.
pub const CARRY_LEN: u64 = 50;
/// A training state is kept after every so many steps.
const KEEP_EVERY: u32 = 4;
/// What every value of the model should become.
const GOAL: f32 = 1.0;

/// The objects of one peer.
pub type Objects = BTreeMap<Hash, Vec<u8>>;

/// Puts bytes among the objects.
pub fn put(objects: &mut Objects, bytes: Vec<u8>) -> ObjectRef {
    let object = ObjectRef { hash: Hash::of(&bytes), len: bytes.len() as u64 };
    objects.insert(object.hash, bytes);
    object
}

/// The state that every run begins with, and its objects.
pub fn initial() -> (State, Objects) {
    let mut objects = Objects::new();
    let zeros = vec![0.0; DIM];
    let mut part = |name: &str| put(&mut objects, [name.as_bytes(), &to_bytes(&zeros)].concat());
    let state = State { model: part("model"), outer: part("outer") };
    (state, objects)
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Option<Vec<f32>> {
    let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four")));
    (bytes.len() == 4 * DIM).then(|| values.collect())
}

fn values_of(objects: &Objects, object: &ObjectRef) -> Result<Vec<f32>, WorkError> {
    let bytes = objects.get(&object.hash).ok_or(WorkError::Missing(object.hash))?;
    let bad = || WorkError::Other(format!("object {} is no state", object.hash));
    from_bytes(bytes.get(5..).ok_or_else(bad)?).ok_or_else(bad)
}

/// How far a state is from the goal: the mean square over all values.
pub fn loss(objects: &Objects, state: &State) -> Option<f32> {
    let values = values_of(objects, &state.model).ok()?;
    Some(values.iter().map(|v| (v - GOAL).powi(2)).sum::<f32>() / DIM as f32)
}

/// Everything that keys the data of a job.
fn key(job: &TrainJob) -> Hash {
    let (height, round) = (job.height.to_le_bytes(), job.round.to_le_bytes());
    let parts: [&[u8]; 4] = [&job.beacon.0, &job.worker.0, &height, &round];
    Hash::of_parts("key", &parts)
}

fn padded(hash: Hash) -> Vec<u8> {
    let mut bytes = hash.0.to_vec();
    bytes.resize(STATE_LEN as usize, 0);
    bytes
}

/// The training state before the first step.
fn start(job: &TrainJob) -> Vec<u8> {
    let carry = job.carry.map_or(Hash::default(), |c| c.hash);
    padded(Hash::of_parts("start", &[&job.base.hash().0, &carry.0]))
}

/// The state after a step, from the one before it.
fn step(job: &TrainJob, before: &[u8], index: u32) -> Vec<u8> {
    let parts: [&[u8]; 3] = [before, &key(job).0, &index.to_le_bytes()];
    padded(Hash::of_parts("step", &parts))
}

/// What is nowhere stored: only who does the step has it.
fn gradient(job: &TrainJob, before: &[u8], index: u32) -> Hash {
    let parts: [&[u8]; 3] = [before, &key(job).0, &index.to_le_bytes()];
    Hash::of_parts("gradient", &parts)
}

/// Update and carry, from the last state.
fn encode(job: &TrainJob, base: &[f32], last: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let noise = Hash::of(last);
    let value = |(i, b): (usize, &f32)| {
        let noise = f32::from(noise.0[i]) / 255.0 - 0.5;
        0.3 * (GOAL - b) + 0.02 * noise
    };
    let update: Vec<f32> = base.iter().enumerate().map(value).collect();
    let carry = job.carry.map_or(Hash::default(), |c| c.hash);
    let mut rest = Hash::of_parts("carry", &[last, &carry.0]).0.to_vec();
    rest.resize(CARRY_LEN as usize, 0);
    (to_bytes(&update), rest)
}

/// All training states of a job, the one before the first step first.
fn states(job: &TrainJob) -> Vec<Vec<u8>> {
    states_by(job, |before, index| step(job, before, index))
}

/// The same with another rule for what comes after a state.
fn states_by(job: &TrainJob, next: impl Fn(&[u8], u32) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut states = vec![start(job)];
    for index in 0..job.steps {
        let after = next(states.last().expect("at least the start"), index);
        states.push(after);
    }
    states
}

/// Commits to these states (the one before the first step first) and what is encoded from the
/// last: what an honest worker does, and a cheat with states of its own.
pub fn commit_to(job: &TrainJob, states: &[Vec<u8>], objects: &mut Objects) -> Trained {
    let base = values_of(objects, &job.base.model).expect("training begins with the base here");
    let trail: Vec<u8> = states.iter().skip(1).flat_map(|s| Hash::of(s).0).collect();
    let mut kept = Vec::new();
    for (index, state) in states.iter().enumerate().skip(1) {
        if (index as u32).is_multiple_of(KEEP_EVERY) {
            kept.push(put(objects, state.clone()));
        }
    }
    let (update, carry) = encode(job, &base, states.last().expect("at least the start"));
    let output = TrainOutput {
        trail: put(objects, trail),
        update: put(objects, update),
        carry: put(objects, carry),
    };
    Trained { output, kept }
}

/// The one right result of a job; its objects are put into the store.
pub fn train(job: &TrainJob, objects: &mut Objects) -> Trained {
    commit_to(job, &states(job), objects)
}

/// The same but for the update, each of whose values is changed.
pub fn changed(job: &TrainJob, objects: &mut Objects, change: impl Fn(f32) -> f32) -> Trained {
    let honest = train(job, objects);
    let values = from_bytes(&objects[&honest.output.update.hash]).expect("an update of our own");
    let values: Vec<f32> = values.into_iter().map(change).collect();
    let update = put(objects, to_bytes(&values));
    Trained { output: TrainOutput { update, ..honest.output }, ..honest }
}

/// The states of a worker that makes up every step for which `made_up` says so, and computes the
/// others from what came before.
pub fn partly_made_up(
    job: &TrainJob,
    identity: &Identity,
    made_up: impl Fn(u32) -> bool,
) -> Vec<Vec<u8>> {
    let junk =
        |n: u32| padded(identity.derive("junk", &[&job.height.to_le_bytes(), &n.to_le_bytes()]));
    states_by(job, |before, index| match made_up(index) {
        true => junk(index),
        false => step(job, before, index),
    })
}

/// Puts the states before these steps into the store.
pub fn open(job: &OpenJob, objects: &mut Objects) -> Vec<ObjectRef> {
    let states = states(&job.job);
    job.steps.iter().map(|s| put(objects, states[*s as usize].clone())).collect()
}

/// What a re-run cost and found.
pub struct Audited {
    /// What it found.
    pub outcome: AuditOutcome,
    /// Inner steps that it took.
    pub steps: u32,
}

/// Re-runs what an audit asks for, and always the encoding.
pub fn audit(job: &AuditJob, objects: &Objects) -> Audited {
    let mut steps = 0;
    let outcome = re_run(job, objects, &mut steps).unwrap_or_else(|outcome| outcome);
    Audited { outcome, steps }
}

type Stop = AuditOutcome;

fn re_run(audit: &AuditJob, objects: &Objects, count: &mut u32) -> Result<AuditOutcome, Stop> {
    let AuditJob { job, claimed, .. } = audit;
    let missing = |hash: Hash| AuditOutcome::Unavailable { missing: hash };
    let base = values_of(objects, &job.base.model).map_err(|_| missing(job.base.model.hash))?;
    let trail = objects.get(&claimed.trail.hash).ok_or(missing(claimed.trail.hash))?;
    if trail.len() != 32 * job.steps as usize {
        return Err(AuditOutcome::Mismatch { part: 0 });
    }
    if let Some(carry) = &job.carry {
        let bytes = objects.get(&carry.hash).ok_or(missing(carry.hash))?;
        if bytes.len() as u64 != CARRY_LEN {
            return Err(AuditOutcome::Mismatch { part: 0 });
        }
    }
    let hash_after = |index: u32| {
        let bytes = &trail[32 * index as usize..][..32];
        Hash(bytes.try_into().expect("32 bytes"))
    };
    let mut digest = audit.auditor.0.to_vec();
    let last = match &audit.sample {
        Sample::All => {
            let mut state = start(job);
            for index in 0..job.steps {
                *count += 1;
                digest.extend(gradient(job, &state, index).0);
                state = step(job, &state, index);
                if Hash::of(&state) != hash_after(index) {
                    return Err(AuditOutcome::Mismatch { part: index });
                }
            }
            state
        }
        Sample::Parts(parts) => {
            let parts: Vec<u32> = parts.iter().copied().filter(|p| *p < job.steps).collect();
            let needed = parts.iter().filter(|p| **p > 0).map(|p| *p - 1);
            let hashes: Vec<Hash> = needed.chain([job.steps - 1]).map(hash_after).collect();
            let usable = |hash: &Hash| match objects.get(hash) {
                Some(bytes) if bytes.len() as u64 == STATE_LEN => Ok(true),
                // There is such an object, and it is no training state.
                Some(_) => Err(AuditOutcome::Mismatch { part: job.steps }),
                None => Ok(false),
            };
            let mut states = Vec::new();
            for hash in &hashes {
                if !usable(hash)? {
                    states.push(ObjectRef { hash: *hash, len: STATE_LEN });
                }
            }
            if !states.is_empty() {
                return Err(AuditOutcome::Needs { states });
            }
            for index in parts {
                *count += 1;
                let before = match index {
                    0 => start(job),
                    _ => objects[&hash_after(index - 1)].clone(),
                };
                digest.extend(gradient(job, &before, index).0);
                if Hash::of(&step(job, &before, index)) != hash_after(index) {
                    return Err(AuditOutcome::Mismatch { part: index });
                }
            }
            objects[&hash_after(job.steps - 1)].clone()
        }
    };
    let (update, carry) = encode(job, &base, &last);
    digest.extend(Hash::of(&update).0);
    let same = |bytes: &[u8], object: &ObjectRef| Hash::of(bytes) == object.hash;
    if !same(&update, &claimed.update) || !same(&carry, &claimed.carry) {
        return Err(AuditOutcome::Mismatch { part: job.steps });
    }
    Ok(AuditOutcome::Confirmed { digest: Hash::of(&digest) })
}

/// Adds up, as every peer of a real run does.
pub fn aggregate(job: &AggregateJob, objects: &mut Objects) -> Result<AggregateOutput, WorkError> {
    let mut params = values_of(objects, &job.base.model)?;
    let mut momentum = values_of(objects, &job.base.outer)?;
    let mut updates = Vec::new();
    for included in &job.updates {
        let bytes = objects.get(&included.update.hash);
        let bytes = bytes.ok_or(WorkError::Missing(included.update.hash))?;
        let bad = |why: &str| WorkError::BadUpdate { worker: included.worker, why: why.to_owned() };
        let values = from_bytes(bytes).ok_or_else(|| bad("its length"))?;
        let finite = values.iter().all(|v| v.is_finite());
        finite.then_some(()).ok_or_else(|| bad("its values"))?;
        updates.push(weighted(included, values));
    }
    let kernel = Kernel::new(Isa::Scalar, 1);
    let done = outer::aggregate(&kernel, &Outer::default(), &mut params, &mut momentum, &updates)
        .map_err(|at| WorkError::BadUpdate {
        worker: job.updates[at].worker,
        why: "its norm".to_owned(),
    })?;
    let mut part =
        |name: &str, values: &[f32]| put(objects, [name.as_bytes(), &to_bytes(values)].concat());
    let state = State { model: part("model", &params), outer: part("outer", &momentum) };
    Ok(AggregateOutput { state, norms: done.norms, clipped: done.clipped })
}

fn weighted(included: &swarm::Included, values: Vec<f32>) -> Weighted {
    Weighted { weight: included.weight, standing: included.standing, values }
}

/// An update with other values, of the right length.
pub fn update_of(values: [f32; DIM]) -> Vec<u8> {
    to_bytes(&values)
}

/// Rules for short runs of a few peers.
pub fn rules() -> Rules {
    Rules {
        rounds: 5,
        steps_min: 4,
        steps_max: 8,
        target_ms: 0,
        commit_timeout_ms: 3000,
        view_timeout_ms: 500,
        draw_timeout_ms: 1000,
        audit_timeout_ms: 3000,
        probation: 2,
        audit_milli: 1250,
        audit_rate_ppm: 50_000,
        recheck_ppm: 200_000,
        min_members: 4,
        max_members: 16,
        update_len: UPDATE_LEN,
        state_len: STATE_LEN,
        carry_len: CARRY_LEN,
        absent_after: 2,
    }
}
