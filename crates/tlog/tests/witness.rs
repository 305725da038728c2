//! The witness, and proofs that a log shows two histories.

use ids::Identity;
use proptest::prelude::*;
use tlog::{
    AddCheckpoint, Checkpoint, CompareError, Hash, KeyKind, KeyName, MAX_REQUEST, MemoryTree,
    Policy, Response, Signed, SignedCheckpoint, SplitError, SplitProof, VerifierKey, Witness,
    consistency_proof, root,
};

const ORIGIN: &str = "log.example";

/// C2SP, tlog-witness: the examples of a request and its response. The keys are not published,
/// so the texts alone are checked.
#[test]
fn the_examples_of_the_specification_read_and_print_the_same() {
    let request = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n\
        example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa \
        Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} example.com/behind-the-sofa \
        opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";
    let read = AddCheckpoint::parse(request.as_bytes()).unwrap();
    assert_eq!((read.old, read.proof.len()), (20_852_014, 4));
    assert_eq!(read.checkpoint.checkpoint().size, 20_852_163);
    assert_eq!(read.to_string(), request);

    let response = "\u{2014} witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1\
        HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==\n\
        \u{2014} witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQN\
        t64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==\n\
        \u{2014} witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgr\
        rKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==\n";
    let read = Response::parse(200, response.as_bytes()).unwrap();
    assert!(matches!(&read, Response::Cosigned(lines) if lines.len() == 3));
    assert_eq!(read.body(), response);
    let conflict = Response::Conflict { size: 20_852_014 };
    assert_eq!(Response::parse(409, b"20852014\n"), Ok(conflict.clone()));
    assert_eq!((conflict.status(), conflict.content_type()), (409, "text/x.tlog.size"));
}

#[test]
fn a_growing_log_is_cosigned_and_remembered() {
    let (tree, mut witness) = (tree(100), witness());
    let policy = Policy::new(1, vec![witness.key()]).unwrap();
    let mut last = 0;
    for (now, size) in [(50, 0), (51, 1), (52, 1), (53, 7), (54, 64), (55, 100)] {
        let mut checkpoint = head(size, &tree);
        let request = AddCheckpoint::new(last, checkpoint.clone(), &tree).unwrap();
        let answer = ask(&mut witness, &request, now);
        let Response::Cosigned(lines) = answer.response else { panic!("{:?}", answer.response) };
        // Nothing new has to be made durable where the witness cosigns the same once more.
        assert_eq!(answer.persist.is_some(), size == 0 || size > last);
        if let Some(persist) = answer.persist {
            assert_eq!(persist.signed_by(&log_key(1)), Signed::Yes);
            assert_eq!(policy.witnessed(&persist).unwrap().time(), Some(now));
            assert_eq!(witness.latest(ORIGIN), Some(&persist));
        }
        lines.into_iter().for_each(|line| checkpoint.add(line).unwrap());
        assert_eq!(policy.witnessed(&checkpoint).unwrap().times, [Some(now)]);
        last = size;
    }
}

#[test]
fn a_restarted_witness_goes_on_from_what_it_made_durable() {
    let (tree, mut before) = (tree(9), witness());
    let first = AddCheckpoint::new(0, head(4, &tree), &tree).unwrap();
    let durable = ask(&mut before, &first, 1).persist.unwrap().to_string();
    let mut after = witness();
    after.restore(SignedCheckpoint::parse(durable.as_bytes()).unwrap());
    assert_eq!(ask(&mut after, &first, 2).response, Response::Conflict { size: 4 });
    let next = AddCheckpoint::new(4, head(9, &tree), &tree).unwrap();
    assert_eq!(ask(&mut after, &next, 3).response.status(), 200);
}

#[test]
fn each_refusal_has_its_status() {
    let (tree, mut witness) = (tree(20), witness());
    let first = AddCheckpoint::new(0, head(8, &tree), &tree).unwrap();
    assert_eq!(ask(&mut witness, &first, 1).response.status(), 200);
    let good = AddCheckpoint::new(8, head(20, &tree), &tree).unwrap();
    let with = |change: &dyn Fn(&mut AddCheckpoint)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let signed = |checkpoint: Checkpoint, seed| checkpoint.sign(&id(seed)).unwrap();
    let other_root = Checkpoint { root: leaf(77), ..head(8, &tree).checkpoint().clone() };
    for (request, status) in [
        (with(&|r| r.old = 21), 400),
        (with(&|r| r.old = 0), 409),
        (with(&|r| r.old = 7), 409),
        (with(&|r| r.old = 20), 409),
        (with(&|r| r.checkpoint = signed(r.checkpoint.checkpoint().clone(), 2)), 403),
        (with(&|r| r.checkpoint.add(head(8, &tree).note().signatures()[0].clone()).unwrap()), 403),
        (with(&|r| r.checkpoint = signed(Checkpoint::new("other.example", 20, leaf(0)), 1)), 404),
        (with(&|r| r.proof.truncate(1)), 422),
        (with(&|r| r.proof.push(leaf(1))), 422),
        (with(&|r| r.proof[0] = leaf(1)), 422),
        (with(&|r| r.checkpoint = signed(Checkpoint::new(ORIGIN, 20, leaf(5)), 1)), 422),
        (with(&|r| (r.checkpoint, r.proof) = (signed(other_root.clone(), 1), vec![])), 422),
        (with(&|r| (r.checkpoint, r.proof) = (head(8, &tree), vec![leaf(1)])), 422),
    ] {
        let answer = ask(&mut witness, &request, 2);
        assert_eq!(answer.response.status(), status, "{request}{}", answer.response.body());
        assert_eq!(answer.persist, None);
        let read = Response::parse(status, answer.response.body().as_bytes()).unwrap();
        assert_eq!(read.status(), status);
    }
    assert_eq!(witness.latest(ORIGIN).unwrap().checkpoint().size, 8);
    assert_eq!(ask(&mut witness, &good, 3).response.status(), 200);
}

#[test]
fn a_log_of_size_0_has_one_root_and_no_proof() {
    let (tree, mut witness) = (tree(3), witness());
    let empty = |root| Checkpoint::new(ORIGIN, 0, root).sign(&id(1)).unwrap();
    let request = |checkpoint| AddCheckpoint { old: 0, proof: vec![], checkpoint };
    let wrong = request(empty(leaf(1)));
    assert_eq!(ask(&mut witness, &wrong, 1).response.status(), 422);
    let proof = AddCheckpoint { proof: vec![leaf(1)], ..request(head(3, &tree)) };
    assert_eq!(ask(&mut witness, &proof, 1).response.status(), 422);
    let right = request(empty(Hash::EMPTY_TREE));
    assert_eq!(ask(&mut witness, &right, 1).response.status(), 200);
    assert_eq!(ask(&mut witness, &request(head(3, &tree)), 1).response.status(), 200);
}

/// The key that signs for the log may change; the history may not.
#[test]
fn another_key_continues_the_same_history() {
    let (tree, mut witness) = (tree(9), witness());
    let first = AddCheckpoint::new(0, head(4, &tree), &tree).unwrap();
    assert_eq!(ask(&mut witness, &first, 1).response.status(), 200);
    let next = Checkpoint::new(ORIGIN, 9, tree.root()).sign(&id(2)).unwrap();
    let next = AddCheckpoint::new(4, next, &tree).unwrap().to_string();
    let only = |seed| move |_: &str| Some(vec![log_key(seed)]);
    assert_eq!(witness.add_checkpoint(next.as_bytes(), 2, only(1)).response.status(), 403);
    assert_eq!(witness.add_checkpoint(next.as_bytes(), 2, only(2)).response.status(), 200);
}

#[test]
fn requests_of_wrong_shape_are_refused() {
    let good = AddCheckpoint::new(4, head(9, &tree(9)), &tree(9)).unwrap().to_string();
    assert!(AddCheckpoint::parse(good.as_bytes()).is_ok());
    let hash = leaf(1).base64();
    for bad in [
        String::new(),
        "\n\n".into(),
        "old 4\n".into(),
        "old 4\n\n".into(),
        good.replace("old 4", "old 04"),
        good.replace("old 4", "old +4"),
        good.replace("old 4", "old  4"),
        good.replace("old 4", "Old 4"),
        good.replace("old 4", "old 4 "),
        good.replace("old 4", "old 4611686018427387905"),
        good.replace("old 4", "old"),
        good.replace("old 4\n", "old 4\nold 4\n"),
        good.replace("old 4\n", "old 4\n\n"),
        good.replace("old 4\n", &format!("old 4\n{hash} \n")),
        good.replace("old 4\n", &format!("old 4\n{}\n", &hash[1..])),
        good.replace("old 4\n", &format!("old 4\n{}", format!("{hash}\n").repeat(64))),
        good.replace('\n', "\r\n"),
        "x".repeat(MAX_REQUEST + 1),
    ] {
        assert!(AddCheckpoint::parse(bad.as_bytes()).is_err(), "{bad:.200}");
        let answer = witness().add_checkpoint(bad.as_bytes(), 1, |_| panic!("not even asked"));
        assert_eq!(answer.response.status(), 400);
    }
    let hashes = format!("old 4\n{}", format!("{hash}\n").repeat(63));
    let most = format!("{hashes}\n{}", head(9, &tree(9)));
    assert_eq!(AddCheckpoint::parse(most.as_bytes()).unwrap().proof.len(), 63);
    assert!(AddCheckpoint::parse(&[good.as_bytes(), b"\xff"].concat()).is_err());
}

#[test]
fn responses_that_no_witness_gives_are_refused() {
    for (status, body) in
        [(200, ""), (200, "\n"), (200, "ok\n"), (409, "8"), (409, "08\n"), (409, ""), (500, "")]
    {
        assert!(Response::parse(status, body.as_bytes()).is_err(), "{status} {body:?}");
    }
    assert!(Response::parse(400, &vec![b'x'; 1 << 20]).is_err());
    assert_eq!(Response::parse(404, b"\xff"), Ok(Response::UnknownLog));
    let long = "x".repeat(79) + " and more";
    assert_eq!(Response::parse(422, long.as_bytes()), Ok(Response::Inconsistent("x".repeat(79))));
}

#[test]
fn a_witness_that_sees_two_roots_of_one_size_has_a_proof() {
    let mut witness = witness();
    let (one, two) = (tree(8), forked(8, 3));
    let first = AddCheckpoint::new(0, head(8, &one), &one).unwrap();
    assert_eq!(ask(&mut witness, &first, 1).split, None);
    // Whatever size it begins from.
    for old in [0, 8] {
        let second = AddCheckpoint::new(old, head(8, &two), &two).unwrap();
        let answer = ask(&mut witness, &second, 2);
        assert!(answer.persist.is_none() && answer.response.status() != 200);
        let bytes = answer.split.expect("two roots").to_bytes();
        let proof = SplitProof::parse(&bytes).unwrap();
        assert_eq!(proof.verify(&[log_key(2), log_key(1)]), Ok(&log_key(1)));
    }
}

/// For every two sizes and every leaf at which the histories part.
#[test]
fn every_fork_has_a_portable_proof_and_honest_growth_none() {
    let size = 17;
    let (honest, key) = (tree(size), log_key(1));
    for fork in 0..size {
        let other = forked(size, fork);
        for a in 0..=size {
            for b in 0..=size {
                let (x, y) = (head(a, &honest), head(b, &other));
                let nodes = if a > b { &honest } else { &other };
                let found = SplitProof::compare(&key, &x, &y, nodes).unwrap();
                assert_eq!(found.is_some(), a > fork && b > fork, "{fork} {a} {b}");
                let Some(proof) = found else { continue };
                assert_eq!(SplitProof::compare(&key, &y, &x, nodes), Ok(Some(proof.clone())));
                let proof = SplitProof::parse(&proof.to_bytes()).unwrap();
                assert_eq!(proof.verify(std::slice::from_ref(&key)), Ok(&key));
                assert!(proof.verify(&[log_key(2)]).is_err());
            }
        }
    }
}

#[test]
fn two_heads_in_statements_are_enough() {
    // What a statement carries of the head that its author has seen: size, root, signature.
    let (honest, other, key) = (tree(9), forked(9, 2), log_key(1));
    let seen = head(5, &honest);
    let signature = seen.signature(&key).unwrap();
    let rebuilt = Checkpoint::new(ORIGIN, 5, seen.checkpoint().root);
    let rebuilt = SignedCheckpoint::with_signature(rebuilt, &key, &signature).unwrap();
    assert_eq!(rebuilt, seen);
    let proof = SplitProof::compare(&key, &rebuilt, &head(9, &other), &other).unwrap();
    assert_eq!(proof.expect("two histories").verify(std::slice::from_ref(&key)), Ok(&key));
    assert_eq!(seen.signature(&log_key(2)), None);
}

#[test]
fn a_false_root_of_size_0_is_a_split_as_well() {
    let (tree, key) = (tree(4), log_key(1));
    let empty = Checkpoint::new(ORIGIN, 0, leaf(1)).sign(&id(1)).unwrap();
    let proof = SplitProof::compare(&key, &empty, &head(4, &tree), &tree).unwrap().unwrap();
    assert_eq!(proof.verify(std::slice::from_ref(&key)), Ok(&key));
    let bad = SplitProof { root_at_a: Some(leaf(2)), ..proof.clone() };
    assert!(matches!(bad.verify(std::slice::from_ref(&key)), Err(SplitError::Shape { .. })));
    let bad = SplitProof { proof: vec![leaf(2)], ..proof };
    assert!(matches!(bad.verify(&[key]), Err(SplitError::Shape { .. })));
}

#[test]
fn nobody_is_accused_by_half_a_proof() {
    let (honest, other) = (tree(9), forked(9, 2));
    let (key, keys) = (log_key(1), [log_key(1)]);
    let good = SplitProof::compare(&key, &head(5, &honest), &head(9, &other), &other);
    let good = good.unwrap().unwrap();
    let honest_root = root(5, &other).unwrap();
    let by = |seed: u8, size, root| Checkpoint::new(ORIGIN, size, root).sign(&id(seed)).unwrap();
    let elsewhere = Checkpoint::new("other", 9, other.root()).sign(&id(1)).unwrap();
    for bad in [
        SplitProof { a: head(5, &other), ..good.clone() },
        SplitProof { a: by(2, 5, root(5, &honest).unwrap()), ..good.clone() },
        SplitProof { b: by(2, 9, other.root()), ..good.clone() },
        SplitProof { b: elsewhere, ..good.clone() },
        SplitProof { b: head(9, &honest), ..good.clone() },
        SplitProof { a: good.b.clone(), b: good.a.clone(), ..good.clone() },
        SplitProof { a: good.b.clone(), ..good.clone() },
        SplitProof { root_at_a: None, ..good.clone() },
        SplitProof { root_at_a: Some(leaf(1)), ..good.clone() },
        SplitProof { root_at_a: Some(good.a.checkpoint().root), ..good.clone() },
        SplitProof { proof: vec![], ..good.clone() },
        SplitProof {
            root_at_a: Some(honest_root),
            proof: consistency_proof(5, 9, &honest).unwrap(),
            ..good.clone()
        },
        SplitProof { a: good.a.clone(), b: good.a.clone(), root_at_a: None, proof: vec![] },
    ] {
        assert!(bad.verify(&keys).is_err(), "{bad:?}");
    }
    // The order of two checkpoints of one size is fixed, so that a proof has one form.
    let one = SplitProof::of_one_size(&key, &head(9, &honest), &head(9, &other)).unwrap();
    assert_eq!(one.verify(&keys), Ok(&key));
    let turned = SplitProof { a: one.b.clone(), b: one.a.clone(), ..one };
    assert!(matches!(turned.verify(&keys), Err(SplitError::Shape { .. })));
}

#[test]
fn checkpoints_are_compared_with_the_larger_ones_nodes() {
    let (honest, other, key) = (tree(9), forked(9, 2), log_key(1));
    let found = SplitProof::compare(&key, &head(5, &honest), &head(9, &other), &honest);
    assert!(matches!(found, Err(CompareError::OtherNodes { .. })));
    let found = SplitProof::compare(&key, &head(5, &honest), &head(9, &other), &tree(5));
    assert!(matches!(found, Err(CompareError::Tree(_))));
    let found = SplitProof::compare(&log_key(2), &head(5, &honest), &head(9, &other), &other);
    assert!(matches!(found, Err(CompareError::Split(SplitError::Unsigned { .. }))));
}

proptest! {
    /// Whatever a log sends, what a witness cosigns is one history that only grows.
    #[test]
    fn a_witness_cosigns_one_history(
        requests in prop::collection::vec((0u64..14, 0u64..14, 0u64..14, any::<bool>()), 1..40),
    ) {
        let mut witness = witness();
        let mut cosigned: Vec<(u64, Hash)> = Vec::new();
        for (old, size, fork, honest) in requests {
            let log = if honest { tree(14) } else { forked(14, fork) };
            let proof = consistency_proof(old.min(size), size, &log).unwrap();
            let request = AddCheckpoint { old, proof, checkpoint: head(size, &log) };
            let answer = ask(&mut witness, &request, 1);
            if answer.response.status() == 200 {
                cosigned.push((size, root(size, &log).unwrap()));
            }
            if let Some(split) = answer.split {
                prop_assert!(split.verify(&[log_key(1)]).is_ok());
            }
        }
        // All of them are prefixes of some one tree: of the honest one, or of one fork.
        let trees = (0..14).map(|fork| forked(14, fork)).chain([tree(14)]);
        let one = trees.into_iter().any(|tree| {
            cosigned.iter().all(|(size, expected)| root(*size, &tree) == Ok(*expected))
        });
        prop_assert!(one, "{cosigned:?}");
        prop_assert!(cosigned.is_sorted_by_key(|(size, _)| *size));
    }

    #[test]
    fn any_changed_byte_of_a_proof_is_refused(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (honest, other) = (tree(13), forked(13, 2));
        let proof = SplitProof::compare(&log_key(1), &head(5, &honest), &head(13, &other), &other);
        let mut bytes = proof.unwrap().unwrap().to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let found = SplitProof::parse(&bytes);
        prop_assert!(found.map_or(true, |proof| proof.verify(&[log_key(1)]).is_err()));
    }
}

fn ask(witness: &mut Witness, request: &AddCheckpoint, now: u64) -> tlog::Answer {
    let keys = |origin: &str| (origin == ORIGIN).then(|| vec![log_key(1)]);
    witness.add_checkpoint(request.to_string().as_bytes(), now, keys)
}

fn witness() -> Witness {
    Witness::new(id(9), "w.example".parse().unwrap())
}

fn tree(size: u64) -> MemoryTree {
    (0..size).map(leaf).collect()
}

/// A tree that differs from leaf `fork` on.
fn forked(size: u64, fork: u64) -> MemoryTree {
    (0..size).map(|i| leaf(if i < fork { i } else { i + 1000 * (fork + 1) })).collect()
}

fn head(size: u64, tree: &MemoryTree) -> SignedCheckpoint {
    Checkpoint::new(ORIGIN, size, root(size, tree).unwrap()).sign(&id(1)).unwrap()
}

fn log_key(seed: u8) -> VerifierKey {
    VerifierKey::new(name(ORIGIN), KeyKind::Log, id(seed).id())
}

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn id(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn leaf(i: u64) -> Hash {
    Hash::of_leaf(&i.to_be_bytes())
}
