//! The Merkle tree and its proofs, against vectors, another implementation and the definition.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;
use std::collections::BTreeMap;
use tlog::{
    Frontier, Hash, MAX_PROOF, MAX_SIZE, MemoryTree, Node, Nodes, ProofError, TreeError, append,
    append_all, consistency_proof, inclusion_proof, root, verify_consistency, verify_inclusion,
};

/// The vectors' hashes may have a wrong length, which a [`Hash`] cannot: then a proof is refused
/// before it gets here.
#[test]
fn vectors_of_transparency_dev() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("golden/merkle.json")).expect("the file is JSON");
    let hashes: Vec<Option<Hash>> = golden["hashes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|text| Hash::from_base64(text.as_str().expect("text")))
        .collect();
    let hash = |v: &serde_json::Value| hashes[v.as_u64().expect("a number") as usize];
    let mut count = 0;
    for (key, list) in golden.as_object().expect("an object") {
        let Some(vectors) = list.as_array().filter(|_| key != "hashes") else { continue };
        for v in vectors {
            let (a, b) = (v[1].as_u64().expect("a number"), v[2].as_u64().expect("a number"));
            let proof = v[5].as_array().expect("a list").iter().map(hash);
            let found = match (hash(&v[3]), hash(&v[4]), proof.collect::<Option<Vec<_>>>()) {
                (Some(from), Some(to), Some(proof)) if key.starts_with("inclusion") => {
                    verify_inclusion(&from, a, b, &to, &proof).is_ok()
                }
                (Some(from), Some(to), Some(proof)) => {
                    verify_consistency(a, &from, b, &to, &proof).is_ok()
                }
                _ => false,
            };
            assert_eq!(found, v[6].as_bool().expect("yes or no"), "{key}: {}", v[0]);
            count += 1;
        }
    }
    assert_eq!(count, 196);
}

#[test]
fn roots_and_proofs_follow_the_definition_at_all_sizes_up_to_300() {
    let leaves: Vec<Hash> = (0..300).map(leaf).collect();
    let tree: MemoryTree = leaves.iter().copied().collect();
    for size in 0..=300 {
        assert_eq!(root(size, &tree), Ok(by_definition(&leaves[..size as usize])));
        assert_eq!(Frontier::load(size, &tree).expect("there").root(), root(size, &tree).unwrap());
    }
}

#[test]
fn every_leaf_of_every_tree_up_to_300_has_its_proof_alone() {
    let tree: MemoryTree = (0..300).map(leaf).collect();
    for size in 1..=300 {
        let root = root(size, &tree).unwrap();
        for index in 0..size {
            let proof = inclusion_proof(index, size, &tree).unwrap();
            assert_eq!(verify_inclusion(&leaf(index), index, size, &root, &proof), Ok(()));
            let other = (index + 1) % (size + 1);
            assert!(verify_inclusion(&leaf(index), other, size, &root, &proof).is_err());
            assert!(verify_inclusion(&leaf(index + 1), index, size, &root, &proof).is_err());
        }
    }
}

#[test]
fn every_two_trees_up_to_300_are_consistent() {
    let tree: MemoryTree = (0..300).map(leaf).collect();
    let roots: Vec<Hash> = (0..=300).map(|size| root(size, &tree).unwrap()).collect();
    for new in 1..=300 {
        for old in 1..=new {
            let proof = consistency_proof(old, new, &tree).unwrap();
            let (a, b) = (&roots[old as usize], &roots[new as usize]);
            assert_eq!(verify_consistency(old, a, new, b, &proof), Ok(()), "{old} {new}");
            assert!(verify_consistency(old, &leaf(999), new, b, &proof).is_err());
            assert!(verify_consistency(old, a, new, &leaf(999), &proof).is_err());
        }
    }
}

/// A tree that changes one leaf proves consistency with no older tree that has this leaf.
#[test]
fn a_changed_leaf_is_inconsistent_from_then_on() {
    let size = 65;
    let honest: MemoryTree = (0..size).map(leaf).collect();
    for fork in 0..size {
        let forked: MemoryTree = (0..size).map(|i| leaf(if i == fork { 999 } else { i })).collect();
        for old in 1..=size {
            let proof = consistency_proof(old, size, &forked).unwrap();
            let old_root = root(old, &honest).unwrap();
            let found = verify_consistency(old, &old_root, size, &forked.root(), &proof);
            assert_eq!(found.is_ok(), old <= fork, "fork at {fork}, old size {old}");
        }
    }
}

#[test]
fn nothing_is_proved_from_the_empty_tree_or_backwards() {
    let tree: MemoryTree = (0..5).map(leaf).collect();
    let root = tree.root();
    assert_eq!(consistency_proof(0, 5, &tree), Ok(vec![]));
    let empty = Hash::EMPTY_TREE;
    assert_eq!(verify_consistency(0, &empty, 5, &root, &[]), Err(ProofError::FromEmpty));
    let shrinks = Err(ProofError::Shrinks { old: 5, new: 4 });
    assert_eq!(verify_consistency(5, &root, 4, &root, &[]), shrinks);
    let beyond = TreeError::Beyond { what: "leaf", number: 5, size: 5 };
    assert_eq!(inclusion_proof(5, 5, &tree), Err(beyond));
    assert!(consistency_proof(6, 5, &tree).is_err());
}

/// The largest trees: nodes are made up, sizes and indices must not overflow.
#[test]
fn trees_of_up_to_2_to_62_leaves_have_bounded_proofs() {
    for size in [MAX_SIZE, MAX_SIZE - 1, (1 << 61) + 1, 0x1555_5555_5555_5555] {
        let whole = root(size, &Made).unwrap();
        for index in [0, 1, size / 3, size / 2, size - 2, size - 1] {
            let proof = inclusion_proof(index, size, &Made).unwrap();
            assert!(proof.len() <= MAX_PROOF);
            let leaf = Made.node(0, index).unwrap();
            assert_eq!(verify_inclusion(&leaf, index, size, &whole, &proof), Ok(()));
            let old = index + 1;
            let proof = consistency_proof(old, size, &Made).unwrap();
            assert!(proof.len() <= MAX_PROOF);
            let old_root = root(old, &Made).unwrap();
            assert_eq!(verify_consistency(old, &old_root, size, &whole, &proof), Ok(()));
        }
    }
    let too_large = TreeError::TooLarge { size: MAX_SIZE + 1 };
    assert_eq!(root(MAX_SIZE + 1, &Made), Err(too_large));
    assert!(append(MAX_SIZE, leaf(0), &Made).is_err());
    assert_eq!(append(MAX_SIZE - 1, leaf(0), &Made).unwrap().len(), 63);
}

#[test]
fn a_hostile_proof_of_any_length_and_size_is_refused() {
    let many = vec![leaf(1); 10_000];
    for size in [1, 2, 3, 1 << 40, u64::MAX - 1, u64::MAX] {
        let (zero, last) = (&leaf(0), size - 1);
        assert!(verify_inclusion(zero, last, size, zero, &many).is_err());
        assert!(verify_inclusion(zero, size, size, zero, &[]).is_err());
        assert!(verify_consistency(size - 1, zero, size, zero, &many).is_err());
        assert!(verify_consistency(size, zero, size, zero, &many).is_err());
    }
}

#[test]
fn a_node_that_cannot_be_read_is_named() {
    let tree: MemoryTree = (0..4).map(leaf).collect();
    let error = inclusion_proof(0, 6, &tree).unwrap_err();
    assert_eq!(error.to_string(), "node 2 of level 1: a tree of size 4 does not have it");
}

/// Nodes whose hashes are what they should be in a tree of equal leaves.
struct Made;

impl Nodes for Made {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        assert!(level <= 62 && index < MAX_SIZE >> level, "node {index} of level {level}");
        Ok((0..level).fold(leaf(7), |below, _| Hash::of_node(&below, &below)))
    }
}

/// A store that is filled by [`append`] alone and refuses to write a node twice.
#[derive(Default)]
struct Stored(BTreeMap<(u8, u64), Hash>);

impl Stored {
    fn put(&mut self, nodes: &[Node]) {
        for node in nodes {
            assert_eq!(self.0.insert((node.level, node.index), node.hash), None);
        }
    }
}

impl Nodes for Stored {
    type Error = ();

    fn node(&self, level: u8, index: u64) -> Result<Hash, ()> {
        self.0.get(&(level, index)).copied().ok_or(())
    }
}

proptest! {
    #[test]
    fn appending_in_any_pieces_stores_the_same_nodes(pieces in prop::collection::vec(0u64..40, 0..12)) {
        let (mut stored, mut size) = (Stored::default(), 0);
        for piece in pieces {
            let made = if piece == 1 {
                append(size, leaf(size), &stored)
            } else {
                append_all(size, (size..size + piece).map(leaf), &stored)
            };
            stored.put(&made.unwrap());
            size += piece;
        }
        let tree: MemoryTree = (0..size).map(leaf).collect();
        prop_assert_eq!(root(size, &stored), Ok(tree.root()));
        for (&(level, index), hash) in &stored.0 {
            prop_assert_eq!(tree.node(level, index), Ok(*hash));
        }
        prop_assert!(tree.node(0, size).is_err());
    }

    #[test]
    fn agrees_with_ct_merkle(size in 1u64..3000, a in any::<u64>(), b in any::<u64>()) {
        let mut theirs = MemoryBackedTree::<Sha256, [u8; 8]>::new();
        (0..size).for_each(|i| theirs.push(i.to_be_bytes()));
        let ours: MemoryTree = (0..size).map(leaf).collect();
        let root = ours.root();
        prop_assert_eq!(theirs.root().as_bytes().to_vec(), root.0.to_vec());
        let proof = inclusion_proof(a % size, size, &ours).unwrap();
        let expected = theirs.prove_inclusion((a % size) as usize);
        prop_assert_eq!(expected.as_bytes().to_vec(), bytes(&proof));
        let old = b % size + 1;
        let proof = consistency_proof(old, size, &ours).unwrap();
        let expected = theirs.prove_consistency((size - old) as usize);
        prop_assert_eq!(expected.as_bytes().to_vec(), bytes(&proof));
    }

    #[test]
    fn any_changed_bit_number_or_length_fails(
        size in 2u64..500, a in any::<u64>(), bit in any::<prop::sample::Index>(), extra: bool,
    ) {
        let tree: MemoryTree = (0..size).map(leaf).collect();
        let (root, index) = (tree.root(), a % size);
        let proof = inclusion_proof(index, size, &tree).unwrap();
        for bad in spoilt(&proof, bit, extra) {
            prop_assert!(verify_inclusion(&leaf(index), index, size, &root, &bad).is_err());
        }
        let old = a % (size - 1) + 1;
        let old_root = tlog::root(old, &tree).unwrap();
        let proof = consistency_proof(old, size, &tree).unwrap();
        for bad in spoilt(&proof, bit, extra) {
            prop_assert!(verify_consistency(old, &old_root, size, &root, &bad).is_err());
        }
    }
}

/// The proof with a flipped bit, and with a hash too many or too few.
fn spoilt(proof: &[Hash], bit: prop::sample::Index, extra: bool) -> [Vec<Hash>; 2] {
    let (mut flipped, mut length) = (proof.to_vec(), proof.to_vec());
    let bit = bit.index(proof.len() * 256);
    flipped[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
    if extra {
        length.push(leaf(1));
    } else {
        length.truncate(proof.len() - 1);
    }
    [flipped, length]
}

fn leaf(i: u64) -> Hash {
    Hash::of_leaf(&i.to_be_bytes())
}

fn bytes(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

/// RFC 6962's own recursion.
fn by_definition(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => Hash::EMPTY_TREE,
        1 => leaves[0],
        n => {
            let (left, right) = leaves.split_at(n.next_power_of_two() / 2);
            Hash::of_node(&by_definition(left), &by_definition(right))
        }
    }
}
