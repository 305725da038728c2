//! Training over hashes: contributions are bytes drawn from chains of hashes, so that a run takes
//! seconds and is re-run and compared exactly like the real thing.

use ids::{Hash, ObjectRef, PeerId};
use net::FetchRequest;
use std::{sync::Arc, time::Duration};
use store::{Store, StoreError};
use swarm::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Control, OpenJob, Rules, Run, Sample,
    State, TrainJob, TrainOutput, Trained, WorkError, Worker,
};

pub const UPDATE_LEN: u64 = 20_000;
pub const STATE_LEN: u64 = 30_000;
pub const CARRY_LEN: u64 = 10_000;
const TENSOR_LEN: usize = 50_000;

/// What a run's manifest says. As bytes: `R` and CBOR `[rules, founder, founding voters, state]`.
pub fn manifest(store: &Store, rules: &Rules, founder: PeerId, voters: Vec<PeerId>) -> Vec<u8> {
    let initial = checkpoint(store, Hash::of(b"the beginning")).expect("put");
    tagged(b'R', &(rules, founder, voters, initial))
}

/// Reads a run's manifest back.
pub fn read_manifest(bytes: &[u8]) -> Result<Run, net::BoxError> {
    let body = bytes.strip_prefix(b"R").ok_or("no manifest of a run")?;
    let (rules, founder, voters, initial): (_, _, Vec<PeerId>, _) = minicbor::decode(body)?;
    let founders = voters.into_iter().collect();
    let invitations = Default::default();
    Ok(Run { id: Hash::of(bytes), founder, founders, invitations, rules, initial })
}

/// What a run's manifest names: its first checkpoint.
pub fn run_parts(manifest: &[u8]) -> Result<Vec<FetchRequest>, net::BoxError> {
    let State { model, outer } = read_manifest(manifest)?.initial;
    let tensors =
        |manifest: &[u8]| Ok(tensors(manifest)?.into_iter().map(FetchRequest::from).collect());
    Ok(vec![FetchRequest::manifest(model, Arc::new(tensors)), outer.into()])
}

/// What a model's manifest (`M`) names: two tensors.
pub fn tensors(manifest: &[u8]) -> Result<Vec<ObjectRef>, net::BoxError> {
    let body = manifest.strip_prefix(b"M").ok_or("no manifest of a model")?;
    let tensors: Vec<ObjectRef> = minicbor::decode(body)?;
    let fits = tensors.len() == 2 && tensors.iter().all(|t| t.len == TENSOR_LEN as u64);
    if fits { Ok(tensors) } else { Err("a manifest of another model".into()) }
}

fn tagged(tag: u8, value: &impl minicbor::Encode<()>) -> Vec<u8> {
    [&[tag], minicbor::to_vec(value).expect("writing to memory").as_slice()].concat()
}

/// A checkpoint that follows from one hash: a manifest, two tensors and an outer state.
fn checkpoint(store: &Store, seed: Hash) -> Result<State, StoreError> {
    let put = |name: &str, len| put(store, &expand(name, seed, len));
    let tensors = vec![put("first tensor", TENSOR_LEN)?, put("second tensor", TENSOR_LEN)?];
    let outer = put("outer", TENSOR_LEN)?;
    let manifest = tagged(b'M', &tensors);
    store.put(&manifest)?;
    Ok(State { model: ObjectRef::of(&manifest), outer })
}

fn put(store: &Store, bytes: &[u8]) -> Result<ObjectRef, StoreError> {
    store.put(bytes)?;
    Ok(ObjectRef::of(bytes))
}

/// `0` (no manifest's tag) and bytes that follow from `seed`.
fn expand(purpose: &str, seed: Hash, len: usize) -> Vec<u8> {
    let blocks = (0..len.div_ceil(32) as u64)
        .flat_map(|i| Hash::of_parts(purpose, &[&seed.0, &i.to_le_bytes()]).0);
    [0].into_iter().chain(blocks).take(len).collect()
}

/// A worker over one store.
pub struct HashWorker {
    pub store: Store,
    /// Time one inner step takes.
    pub step: Duration,
    /// Hands in another update than its training gave.
    pub cheats: bool,
}

impl HashWorker {
    pub fn shared(store: &Store, step: Duration, cheats: bool) -> Arc<dyn Worker> {
        Arc::new(Self { store: store.clone(), step, cheats })
    }

    fn put(&self, bytes: &[u8]) -> Result<ObjectRef, WorkError> {
        put(&self.store, bytes).map_err(|e| WorkError::Other(e.to_string()))
    }

    fn get(&self, hash: Hash) -> Result<Vec<u8>, WorkError> {
        self.store.get(&hash).map_err(|_| WorkError::Missing(hash))
    }
}

/// The bytes of the states after each step, of update and of carry that a job gives.
fn outputs(job: &TrainJob) -> (Vec<Vec<u8>>, Vec<u8>, Vec<u8>) {
    let (height, root) = (job.height.to_le_bytes(), job.base.hash());
    let mut seed = Hash::of_parts("start", &[&root.0, &job.beacon.0, &job.worker.0, &height]);
    let mut states = Vec::new();
    for index in 0..job.steps {
        seed = Hash::of_parts("step", &[&seed.0, &index.to_le_bytes()]);
        states.push(expand("state bytes", seed, STATE_LEN as usize));
    }
    let carry = job.carry.map_or(Hash::default(), |f| f.hash);
    let seed = Hash::of_parts("encode", &[&seed.0, &root.0, &carry.0]);
    let update = expand("update bytes", seed, UPDATE_LEN as usize);
    (states, update, expand("carry bytes", seed, CARRY_LEN as usize))
}

fn trail(states: &[Vec<u8>]) -> Vec<u8> {
    states.iter().flat_map(|state| Hash::of(state).0).collect()
}

impl Worker for HashWorker {
    fn train(&self, job: &TrainJob, control: &Control) -> Result<Trained, WorkError> {
        for step in 1..=job.steps {
            if control.is_cancelled() {
                return Err(WorkError::Cancelled);
            }
            std::thread::sleep(self.step);
            control.progress(step, job.steps, 1.0, u64::from(step) * 64);
        }
        let (states, mut update, carry) = outputs(job);
        if self.cheats {
            update[1..].iter_mut().for_each(|byte| *byte = !*byte);
        }
        let (trail, update) = (self.put(&trail(&states))?, self.put(&update)?);
        let output = TrainOutput { trail, update, carry: self.put(&carry)? };
        Ok(Trained { output, kept: Vec::new() })
    }

    fn open(&self, job: &OpenJob, _: &Control) -> Result<Vec<ObjectRef>, WorkError> {
        let (states, ..) = outputs(&job.job);
        job.steps.iter().map(|step| self.put(&states[*step as usize - 1])).collect()
    }

    /// As a real audit does, asks for the states that the drawn steps start from, and always for
    /// the last one.
    fn audit(&self, job: &AuditJob, _: &Control) -> Result<AuditOutcome, WorkError> {
        let (states, update, carry) = outputs(&job.job);
        let last = job.job.steps;
        let claimed = self.get(job.claimed.trail.hash)?;
        let after = |step: u32| {
            let bytes = claimed.get(32 * step as usize..)?.get(..32)?;
            Some(Hash(bytes.try_into().expect("32 bytes")))
        };
        let parts: Vec<u32> = match &job.sample {
            Sample::All => (0..last).collect(),
            Sample::Parts(some) => {
                let before = some.iter().filter(|p| **p > 0).map(|p| p - 1).chain([last - 1]);
                let needed: Vec<Hash> = before.filter_map(after).collect();
                let missing = needed.into_iter().filter(|hash| !self.store.has(hash));
                let states: Vec<ObjectRef> =
                    missing.map(|hash| ObjectRef { hash, len: STATE_LEN }).collect();
                if !states.is_empty() {
                    return Ok(AuditOutcome::Needs { states });
                }
                some.clone()
            }
        };
        let right = |part: &u32| match states.get(*part as usize) {
            Some(state) => after(*part) == Some(Hash::of(state)),
            None => {
                job.claimed.update == ObjectRef::of(&update)
                    && job.claimed.carry == ObjectRef::of(&carry)
            }
        };
        match parts.into_iter().chain([last]).find(|part| !right(part)) {
            Some(part) => Ok(AuditOutcome::Mismatch { part }),
            None => Ok(AuditOutcome::Confirmed {
                digest: Hash::of_parts("digest", &[&job.auditor.0, &states.concat()]),
            }),
        }
    }

    fn aggregate(&self, job: &AggregateJob) -> Result<AggregateOutput, WorkError> {
        // The whole base has to be here, as for real aggregation.
        let model = self.get(job.base.model.hash)?;
        for tensor in tensors(&model).map_err(|e| WorkError::Other(e.to_string()))? {
            self.get(tensor.hash)?;
        }
        let mut seed = Hash::of(&self.get(job.base.outer.hash)?);
        for included in &job.updates {
            let update = self.get(included.update.hash)?;
            seed = Hash::of_parts("add", &[&seed.0, &included.worker.0, &update]);
        }
        let state = checkpoint(&self.store, seed).map_err(|e| WorkError::Other(e.to_string()))?;
        let count = job.updates.len();
        Ok(AggregateOutput { state, norms: vec![1.0; count], clipped: vec![false; count] })
    }

    fn model_parts(&self, manifest: &[u8]) -> Result<Vec<ObjectRef>, WorkError> {
        tensors(manifest).map_err(|e| WorkError::Other(e.to_string()))
    }
}
