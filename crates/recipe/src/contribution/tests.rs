use super::*;
use crate::corpus::{self, DataOptions, Documents};
use crate::run::Inner;
use kernel::Isa;
use store::Store;

fn contributor(threads: usize) -> (Contributor, Vec<f32>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("an empty store");
    let text = folder.path().join("text.txt");
    let words: String = (0..4000u32).map(|i| format!("{} ", i * i % 977)).collect();
    std::fs::write(&text, words).expect("written");
    let documents = Documents::from_paths(&[text]).expect("read");
    let options = DataOptions { vocab: 512, ..DataOptions::default() };
    let root = corpus::build(&store, &documents, &options, &mut |_| ()).expect("built").root;
    let corpus = Corpus::load(&store, &root.hash).expect("loaded");
    let run = crate::run::tests::manifest();
    let inner = Inner { seq: 16, batch: 2, ..Inner::default() };
    let run = RunManifest { inner, ..run };
    let params = model::init(&run.model, run.seed).expect("a valid shape");
    let kernel = Kernel::new(Isa::best(), threads);
    let contributor = Contributor::new(kernel, Arc::new(run), Arc::new(corpus));
    (contributor.expect("text enough"), params)
}

fn task(round: u32, steps: u32) -> Task {
    Task { beacon: Hash::of(&round.to_le_bytes()), worker: Hash([2; 32]), round, steps }
}

#[test]
fn the_state_hash_is_that_of_its_bytes_and_a_read_state_goes_on_to_the_same_hash() {
    let (mut one, params) = contributor(1);
    let (mut three, _) = contributor(3);
    let mut state = one.start(&params, None);
    for step in 0..3 {
        one.step(&task(0, 3), step, &mut state).expect("finite");
        let bytes = one.state_bytes(&state);
        assert_eq!(bytes.len(), state_len(params.len()));
        assert_eq!(one.state_hash(&state), Hash::of(&bytes));
        assert_eq!(three.state_hash(&state), Hash::of(&bytes));
        let mut read = three.read_state(&bytes).expect("what was written");
        assert_eq!((three.state_hash(&read), read.steps()), (Hash::of(&bytes), step + 1));
        let mut next = one.read_state(&bytes).expect("what was written");
        let done = [
            one.step(&task(0, 3), step + 1, &mut next),
            three.step(&task(0, 3), step + 1, &mut read),
        ];
        assert_eq!(done[0].as_ref().expect("finite"), done[1].as_ref().expect("finite"));
        assert_eq!(one.state_hash(&next), three.state_hash(&read));
        assert_eq!(one.gradient(), three.gradient());
    }
}

#[test]
fn every_carry_of_honest_rounds_is_within_the_bounds() {
    let (mut work, mut params) = contributor(1);
    let mut carry = None;
    let mut done = 0;
    for (round, steps) in (0..).zip([1, 8, 1, 2, 30, 3]) {
        let mut state = work.start(&params, carry.as_ref());
        for step in 0..steps {
            work.step(&task(round, steps), step, &mut state).expect("finite");
        }
        let change = work.change(&params, &state, carry.as_ref()).expect("finite");
        let (_, bytes) = work.encode(change, &state);
        done += u64::from(steps);
        carry = Some(work.read_carry(&bytes, done).expect("within the bounds"));
        assert!(work.read_carry(&bytes, done - 1).is_err(), "more steps than there were");
        params = state.params().to_vec();
    }
}

/// Whatever a residual says: in the update it is half a step of the code, as rounding is.
#[test]
fn what_was_lost_moves_no_value_further_than_rounding_does() {
    let (mut work, params) = contributor(1);
    let mut state = work.start(&params, None);
    for step in 0..4 {
        work.step(&task(0, 4), step, &mut state).expect("finite");
    }
    let decoded = |carry: Option<&Carry>| {
        let change = work.change(&params, &state, carry).expect("finite");
        let (update, _) = work.encode(change, &state);
        update::decode(&work.kernel, &update, params.len()).expect("whole")
    };
    let honest = decoded(None);
    for size in [1e-9, 1e-3, 1.0, 1e30, f32::MAX] {
        let sign = |i: usize| if i.is_multiple_of(3) { -size } else { size };
        let lost: Vec<f32> = (0..params.len()).map(sign).collect();
        let zeros = vec![0.0; params.len()];
        let forged = Carry { lost, m: zeros.clone(), root: zeros, steps: 1 };
        let with = decoded(Some(&forged));
        for (with, honest) in with.chunks(BLOCK).zip(honest.chunks(BLOCK)) {
            let largest = honest.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            // Half a step moved, and half a step of rounding on either side.
            let most = 1.52 * largest / 127.0;
            assert!(with.iter().zip(honest).all(|(a, b)| (a - b).abs() <= most), "{size}");
        }
    }
}

#[test]
fn what_was_lost_is_given_back_where_it_can_have_been() {
    let mut change = vec![1.0, -0.5, 0.25, 0.0];
    give_back(&mut change, &[0.001, -0.002, 0.5, -0.5]);
    let half = 1.0 / 254.0;
    assert_eq!(change, [1.001, -0.502, 0.25 + half, -half]);
}

#[test]
fn a_state_that_is_no_number_has_no_change() {
    let (work, params) = contributor(1);
    let mut state = work.start(&params, None);
    state.params_mut()[3] = f32::INFINITY;
    assert!(matches!(work.change(&params, &state, None), Err(ContributionError::NonFinite { .. })));
}

#[test]
fn a_digest_depends_on_the_auditor_and_on_every_gradient_in_order() {
    let kernel = Kernel::new(Isa::best(), 2);
    let digest = |auditor: u8, parts: &[&[f32]]| {
        let mut digest = Digest::new(&kernel);
        parts.iter().for_each(|part| digest.add(part));
        digest.of(&Hash([auditor; 32]))
    };
    let (a, b): (&[f32], &[f32]) = (&[1.0, 2.0], &[1.0, -0.0]);
    let all = [
        digest(1, &[a, b]),
        digest(2, &[a, b]),
        digest(1, &[b, a]),
        digest(1, &[a]),
        digest(1, &[&[1.0, 2.0, 1.0, -0.0]]),
        digest(1, &[a, &[1.0, 0.0]]),
    ];
    assert_eq!(std::collections::BTreeSet::from(all).len(), all.len());
    assert_eq!(all[0], digest(1, &[a, b]));
}
