use super::*;
use crate::cheat::{Cheat, Cheater};
use kernel::{Isa, random::Stream};
use recipe::corpus::{self, DataOptions};
use recipe::run::{FORMAT, Inner, Outer, Rounds};
use std::{collections::BTreeSet, sync::atomic::AtomicBool, thread, time::Duration};
use swarm::{Included, Sample};

/// Steps of every contribution here.
const H: u32 = 7;

/// A peer with a store of its own.
struct Peer {
    worker: TrainingWorker,
    _folder: tempfile::TempDir,
}

fn run(corpus: ObjectRef, vocab: usize) -> RunManifest {
    let rounds = Rounds { steps_min: H, steps_max: H, keep_every: 3, ..Rounds::default() };
    RunManifest {
        format: FORMAT,
        arithmetic: Default::default(),
        name: "test".into(),
        founder: Hash([1; 32]),
        founders: vec![Hash([1; 32])],
        invitations: Vec::new(),
        seed: 5,
        corpus,
        start: None,
        model: model::Decoder { context: 32, ..model::Decoder::tiny(vocab) },
        inner: Inner { seq: 16, batch: 2, ..Inner::default() },
        outer: Outer::default(),
        rounds,
    }
}

fn peer() -> Peer {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("an empty store");
    let text = folder.path().join("text.txt");
    let words: String = (0..4000u32).map(|i| format!("{} ", i * i % 977)).collect();
    std::fs::write(&text, words).expect("written");
    let documents = recipe::corpus::Documents::from_paths(&[text]).expect("read");
    let options = DataOptions { vocab: 512, held_out_every: 1 << 30, ..DataOptions::default() };
    let root = corpus::build(&store, &documents, &options, &mut |_| ()).expect("built").root;
    let corpus = Arc::new(Corpus::load(&store, &root.hash).expect("loaded"));
    let manifest = run(root, corpus.manifest.vocab as usize);
    manifest.validate().expect("a valid run");
    let kernel = Kernel::new(Isa::best(), 1);
    let worker = TrainingWorker::new(store, Arc::new(manifest), corpus, kernel);
    Peer { worker: worker.expect("a worker"), _folder: folder }
}

impl Peer {
    /// Somebody with this peer's objects who cheats.
    fn cheating(&self, cheat: Cheat) -> Cheater {
        let TrainingWorker { store, run, kernel, .. } = &self.worker;
        let corpus = Arc::new(Corpus::load(store, &run.corpus.hash).expect("loaded"));
        let worker = TrainingWorker::new(store.clone(), run.clone(), corpus, kernel.clone());
        Cheater::new(worker.expect("a worker"), cheat)
    }

    fn first_job(&self) -> TrainJob {
        let base = self.worker.initial_state().expect("computed");
        let (beacon, worker) = (Hash::of(b"beacon"), PeerId([9; 32]));
        TrainJob { height: 1, round: 0, base, beacon, worker, steps: H, carry: None }
    }

    fn train(&self, job: &TrainJob) -> Trained {
        self.worker.train(job, &Control::quiet()).expect("trained")
    }

    /// The job after `job`, whose contribution was taken in with the carry it left.
    fn next_job(&self, job: &TrainJob, output: &TrainOutput) -> TrainJob {
        let worker = job.worker;
        let included = Included { worker, weight: 7, standing: 7, update: output.update };
        let sum = AggregateJob { id: 0, base: job.base, updates: vec![included] };
        let base = self.worker.aggregate(&sum).expect("added up").state;
        let (height, round) = (job.height + 1, job.round + 1);
        TrainJob { height, round, base, carry: Some(output.carry), ..job.clone() }
    }

    fn audit(&self, job: &TrainJob, claimed: TrainOutput, sample: Sample) -> AuditOutcome {
        let (job, auditor) = (job.clone(), PeerId([2; 32]));
        let audit = AuditJob { id: 0, job, claimed, sample, auditor };
        self.worker.audit(&audit, &Control::quiet()).expect("a claim is never an error")
    }

    fn parts(&self, job: &TrainJob, claimed: TrainOutput, parts: &[u32]) -> AuditOutcome {
        self.audit(job, claimed, Sample::Parts(parts.to_vec()))
    }

    /// An audit by `parts` with every state that it needs fetched from `author`.
    fn served(&self, author: &Self, job: &TrainJob, made: &Trained, parts: &[u32]) -> AuditOutcome {
        self.served_by(&author.worker, author, job, made, parts)
    }

    /// The same, with the states that `worker` shows in the author's store.
    fn served_by(
        &self,
        worker: &dyn Worker,
        author: &Self,
        job: &TrainJob,
        made: &Trained,
        parts: &[u32],
    ) -> AuditOutcome {
        self.copy(author, [Some(&made.output.trail), job.carry.as_ref()].into_iter().flatten());
        let outcome = self.parts(job, made.output, parts);
        let AuditOutcome::Needs { states } = outcome else { return outcome };
        let mut steps: Vec<u32> = parts.iter().copied().filter(|p| *p > 0).collect();
        steps.extend((!parts.contains(&(H - 1)) && !parts.contains(&H)).then_some(H));
        let open = OpenJob { id: 0, job: job.clone(), kept: made.kept.clone(), steps };
        let shown = worker.open(&open, &Control::quiet()).expect("shown");
        let (needed, shown) = (BTreeSet::from_iter(states), BTreeSet::from_iter(shown));
        assert!(needed.is_subset(&shown), "what is shown is what is needed");
        self.copy(author, &needed);
        self.parts(job, made.output, parts)
    }

    fn copy<'a>(&self, from: &Self, objects: impl IntoIterator<Item = &'a ObjectRef>) {
        for object in objects {
            let bytes = from.worker.store.get(&object.hash).expect("the author has it");
            self.worker.store.put(&bytes).expect("kept");
        }
    }

    fn put(&self, bytes: &[u8]) -> ObjectRef {
        self.worker.keep(bytes).expect("kept")
    }
}

fn confirmed(outcome: &AuditOutcome) -> Hash {
    match outcome {
        AuditOutcome::Confirmed { digest } => *digest,
        other => panic!("confirmed, not {other:?}"),
    }
}

#[test]
fn honest_work_is_confirmed_whole_and_in_every_part_over_rounds() {
    let (author, auditor) = (peer(), peer());
    let mut job = author.first_job();
    auditor.first_job();
    for _ in 0..3 {
        let made = author.train(&job);
        assert_eq!(made.output.trail.len, u64::from(32 * H));
        assert_eq!(made.kept.len(), 3, "after steps 3, 6 and 7");
        let mut digests = BTreeSet::new();
        let samples: [&[u32]; 6] = [&[0], &[3], &[1, 4], &[H - 1], &[2, H], &[]];
        for parts in samples {
            let outcome = auditor.served(&author, &job, &made, parts);
            digests.insert(confirmed(&outcome));
            // Whoever re-runs the same gets the same digest.
            let own = author.served(&author, &job, &made, parts);
            assert_eq!(own, outcome, "{parts:?}");
        }
        assert_eq!(digests.len(), samples.len(), "another for each sample");
        let whole = confirmed(&auditor.audit(&job, made.output, Sample::All));
        assert!(digests.insert(whole));
        let next = author.next_job(&job, &made.output);
        auditor.copy(&author, [&made.output.update]);
        assert_eq!(auditor.next_job(&job, &made.output), next);
        job = next;
    }
}

#[test]
fn a_digest_is_another_one_for_each_auditor() {
    let author = peer();
    let job = author.first_job();
    let claimed = author.train(&job).output;
    let digest = |key: u8| {
        let (job, sample, auditor) = (job.clone(), Sample::Parts(vec![0]), PeerId([key; 32]));
        let audit = AuditJob { id: 0, job, claimed, sample, auditor };
        confirmed(&author.worker.audit(&audit, &Control::quiet()).expect("audited"))
    };
    assert_ne!(digest(2), digest(3));
    assert_eq!(digest(2), digest(2));
}

#[test]
fn states_that_were_not_kept_or_are_gone_are_computed_again() {
    let author = peer();
    let mut job = author.first_job();
    let first = author.train(&job);
    job = author.next_job(&job, &first.output);
    let made = author.train(&job);
    let trail = author.worker.object(&made.output.trail).expect("kept");
    let open = |steps: &[u32]| {
        let (kept, steps) = (made.kept.clone(), steps.to_vec());
        let open = OpenJob { id: 0, job: job.clone(), kept, steps };
        author.worker.open(&open, &Control::quiet()).expect("shown")
    };
    let check = |steps: &[u32]| {
        for (step, shown) in steps.iter().zip(open(steps)) {
            let at = 32 * (*step as usize - 1);
            assert_eq!(shown.hash.0, trail[at..at + 32], "the state before step {step}");
            assert!(author.worker.store.has(&shown.hash));
        }
    };
    check(&[1, 2, 3, 4, 5, 6, 7]);
    for gone in &made.kept {
        author.worker.store.remove(&gone.hash).expect("removed");
    }
    check(&[4, 7]);
    check(&[2, 6]);
}

/// Does `work` while one update after another comes into the store, as from other peers.
fn beside_updates_of_others<T>(peer: &Peer, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut update = vec![0; update::encoded_len(peer.worker.run.parameters())];
            for number in 0..=u8::MAX {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                *update.last_mut().expect("not empty") = number / 2;
                update[0] = number % 2;
                peer.put(&update);
                thread::sleep(Duration::from_millis(50));
            }
        });
        let made = work();
        done.store(true, Ordering::Relaxed);
        made
    })
}

#[test]
fn every_cheat_is_found_by_parts_and_whole() {
    let auditor = peer();
    auditor.first_job();
    // Which single parts find it, the encoding always checked beside.
    let found_by: [(Cheat, &[u32]); 4] = [
        (Cheat::Lazy, &[1, 2, 3, 4, 5, 6]),
        (Cheat::Noise, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (Cheat::Copy, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (Cheat::SignFlip, &[0, 1, 2, 3, 4, 5, 6, 7]),
    ];
    for (cheat, parts) in found_by {
        let author = peer();
        let job = author.first_job();
        let cheater = author.cheating(cheat);
        let made = beside_updates_of_others(&author, || {
            cheater.train(&job, &Control::quiet()).expect("made up")
        });
        for part in parts {
            let outcome = auditor.served_by(&cheater, &author, &job, &made, &[*part]);
            let AuditOutcome::Mismatch { part: found } = outcome else {
                panic!("{cheat}, part {part}: {outcome:?}");
            };
            assert!(found == *part || found == H, "{cheat}");
        }
        let whole = auditor.audit(&job, made.output, Sample::All);
        assert!(matches!(whole, AuditOutcome::Mismatch { .. }), "{cheat}: {whole:?}");
    }
}

#[test]
fn a_whole_audit_leaves_the_state_before_the_part_that_differs() {
    let author = peer();
    let job = author.first_job();
    let made = author.train(&job);
    let mut trail = author.worker.object(&made.output.trail).expect("kept");
    trail[32 * 4] ^= 1;
    let claimed = TrainOutput { trail: author.put(&trail), ..made.output };
    let state = Hash(trail[32 * 3..32 * 4].try_into().expect("32 bytes"));
    assert!(!author.worker.store.has(&state), "the state after 4 steps is not kept");
    assert_eq!(author.audit(&job, claimed, Sample::All), AuditOutcome::Mismatch { part: 4 });
    assert!(author.worker.store.has(&state));
    assert_eq!(author.parts(&job, claimed, &[4]), AuditOutcome::Mismatch { part: 4 });
}

/// F4: an object of another length made the audit err and say nothing.
#[test]
fn whatever_a_claim_names_ends_in_a_verdict() {
    let author = peer();
    let job = author.first_job();
    let first = author.train(&job);
    let job = author.next_job(&job, &first.output);
    let TrainOutput { trail, update, carry } = author.train(&job).output;
    let good = TrainOutput { trail, update, carry };
    let other = author.put(b"another object");
    let missing = ObjectRef { hash: Hash::of(b"nowhere"), len: trail.len };
    let mismatch = AuditOutcome::Mismatch { part: H };
    let lie = |object: ObjectRef, hash: Hash| ObjectRef { hash, len: object.len };
    for sample in [Sample::All, Sample::Parts(vec![0]), Sample::Parts(vec![2, 5])] {
        let audit = |claimed| author.audit(&job, claimed, sample.clone());
        // Lengths that are wrong, and right lengths of what is of another.
        assert_eq!(audit(TrainOutput { trail: other, ..good }), mismatch);
        assert_eq!(audit(TrainOutput { trail: lie(trail, other.hash), ..good }), mismatch);
        assert_eq!(audit(TrainOutput { update: other, ..good }), mismatch);
        assert_eq!(audit(TrainOutput { carry: other, ..good }), mismatch);
        let gone = AuditOutcome::Unavailable { missing: missing.hash };
        assert_eq!(audit(TrainOutput { trail: missing, ..good }), gone);
        for (carry, want) in [
            (other, &mismatch),
            (lie(carry, other.hash), &mismatch),
            (lie(carry, missing.hash), &gone),
        ] {
            let job = TrainJob { carry: Some(carry), ..job.clone() };
            assert_eq!(author.audit(&job, good, sample.clone()), *want);
        }
    }
}

#[test]
fn a_carry_that_no_training_leaves_is_a_mismatch_whatever_is_sampled() {
    let author = peer();
    let job = author.first_job();
    let made = author.train(&job);
    let next = author.next_job(&job, &made.output);
    let good = author.train(&next).output;
    let honest = author.worker.object(&made.output.carry).expect("kept");
    let n = author.worker.run.parameters();
    let codes = update::encoded_len(n);
    // A code of the first moments beside a second moment of nothing; scales that are no numbers;
    // second moments past the clip; more steps than there were; none.
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let changes: [Change; 5] = [
        &|c| {
            let code = codes - n;
            (c[4 + codes + code], c[4 + 2 * codes + code]) = (127, 0);
        },
        &|c| c[4 + codes..8 + codes].copy_from_slice(&f32::NAN.to_le_bytes()),
        &|c| c[4 + 2 * codes..8 + 2 * codes].copy_from_slice(&1f32.to_le_bytes()),
        &|c| c[..4].copy_from_slice(&(H + 1).to_le_bytes()),
        &|c| c[..4].copy_from_slice(&0u32.to_le_bytes()),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut forged = honest.clone();
        change(&mut forged);
        assert_ne!(forged, honest);
        let job = TrainJob { carry: Some(author.put(&forged)), ..next.clone() };
        // Honest work from there on, where there is any.
        let claimed = author.worker.train(&job, &Control::quiet()).map_or(good, |made| made.output);
        for sample in [Sample::All, Sample::Parts(vec![0]), Sample::Parts(vec![3])] {
            let outcome = author.audit(&job, claimed, sample);
            assert_eq!(outcome, AuditOutcome::Mismatch { part: H }, "change {n}");
        }
    }
}

#[test]
fn a_training_state_that_no_step_leaves_is_a_mismatch() {
    let author = peer();
    let job = author.first_job();
    let made = author.train(&job);
    let trail = author.worker.object(&made.output.trail).expect("kept");
    let state = author.worker.object(&made.kept[0]).expect("kept");
    let n = author.worker.run.parameters();
    let forge = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut state = state.clone();
        change(&mut state);
        author.put(&state)
    };
    let states = [
        author.put(b"short"),
        forge(&|s| s[..4].copy_from_slice(&f32::NAN.to_le_bytes())),
        forge(&|s| s[8 * n..8 * n + 4].copy_from_slice(&(-1f32).to_le_bytes())),
        forge(&|s| s[12 * n..].copy_from_slice(&u32::MAX.to_le_bytes())),
        forge(&|s| s[4 * n..4 * n + 4].copy_from_slice(&f32::MAX.to_le_bytes())),
    ];
    for (number, state) in states.into_iter().enumerate() {
        for at in [3, H] {
            let mut trail = trail.clone();
            trail[32 * (at as usize - 1)..32 * at as usize].copy_from_slice(&state.hash.0);
            let claimed = TrainOutput { trail: author.put(&trail), ..made.output };
            let outcome = author.parts(&job, claimed, if at == H { &[] } else { &[3] });
            let mismatch = AuditOutcome::Mismatch { part: at };
            // Where the last state is not kept it has to be shown first.
            assert_eq!(outcome, mismatch, "state {number} before part {at}");
        }
    }
}

#[test]
fn updates_add_up_by_weight_and_bad_ones_are_named() {
    let author = peer();
    let job = author.first_job();
    let made = author.train(&job).output;
    let sum = |updates: &[(u64, u64, ObjectRef)]| {
        let one = |(n, (weight, standing, update)): (u8, &(u64, u64, ObjectRef))| {
            let worker = PeerId([n; 32]);
            Included { worker, weight: *weight, standing: *standing, update: *update }
        };
        let updates = (0..).zip(updates).map(one).collect();
        author.worker.aggregate(&AggregateJob { id: 0, base: job.base, updates })
    };
    let zero = author.put(&vec![0; made.update.len as usize]);
    let alone = sum(&[(7, 7, made.update)]).expect("added up");
    let beside = sum(&[(0, 0, zero), (7, 7, made.update)]).expect("added up");
    assert_eq!(alone.state, beside.state, "no weight, no effect");
    assert_eq!(beside.norms.len(), 2);
    assert!(matches!(sum(&[(0, 7, made.update)]), Err(WorkError::Other(_))));
    let short = author.put(b"short");
    let bad = sum(&[(7, 7, made.update), (0, 0, short)]);
    assert!(matches!(bad, Err(WorkError::BadUpdate { worker: PeerId([1, ..]), .. })), "{bad:?}");
    let missing = Hash::of(b"nowhere");
    let gone = ObjectRef { hash: missing, ..made.update };
    assert_eq!(sum(&[(7, 7, gone)]), Err(WorkError::Missing(missing)));
}

#[test]
fn a_run_begins_from_the_state_its_manifest_names() {
    let first = peer();
    let job = first.first_job();
    let made = first.train(&job);
    let state = first.next_job(&job, &made.output).base;
    let later = |state: State| {
        let mut run = (*first.worker.run).clone();
        run.start = Some(recipe::run::Start { model: state.model, outer: state.outer });
        let corpus = Corpus::load(&first.worker.store, &run.corpus.hash).expect("loaded");
        let kernel = Kernel::new(Isa::best(), 1);
        let store = first.worker.store.clone();
        let worker = TrainingWorker::new(store, Arc::new(run), Arc::new(corpus), kernel);
        worker.expect("a worker").initial_state()
    };
    assert_eq!(later(state), Ok(state));
    let missing = ObjectRef { hash: Hash::of(b"nowhere"), ..state.model };
    assert!(matches!(later(State { model: missing, ..state }), Err(WorkError::Missing(_))));
    assert!(later(State { outer: state.model, ..state }).is_err());
}

#[test]
fn noise_in_any_byte_of_a_claim_is_no_error() {
    let author = peer();
    let job = author.first_job();
    let made = author.train(&job);
    let stream = Stream::new(3, "noise", 0);
    let flipped = |object: &ObjectRef, draw: u64| {
        let mut bytes = author.worker.object(object).expect("kept");
        let at = stream.below(draw, bytes.len() as u64) as usize;
        bytes[at] ^= 1 << (draw % 8);
        author.put(&bytes)
    };
    let next = author.next_job(&job, &made.output);
    let Trained { output: good, kept } = author.train(&next);
    let open = OpenJob { id: 0, job: next.clone(), kept, steps: vec![1, 4] };
    author.worker.open(&open, &Control::quiet()).expect("shown");
    for draw in 0..40 {
        let trail = flipped(&good.trail, draw);
        let outcome = author.parts(&next, TrainOutput { trail, ..good }, &[1, 4]);
        let found = matches!(outcome, AuditOutcome::Mismatch { .. } | AuditOutcome::Needs { .. });
        assert!(found || trail == good.trail || confirmed(&outcome) != Hash::default());
        let job = TrainJob { carry: Some(flipped(&made.output.carry, draw)), ..next.clone() };
        let outcome = author.audit(&job, good, Sample::All);
        assert!(matches!(outcome, AuditOutcome::Mismatch { .. }), "{draw}: {outcome:?}");
    }
}
