//! Proofs that a leaf is in a tree and that a tree continues another.

use super::{
    Hash,
    tree::{Nodes, TreeError, check_size, range_root, split_point},
};

/// How many hashes a proof of either kind may have.
pub const MAX_PROOF: usize = 63;

/// Why a proof is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError {
    /// The leaf is not in a tree of this size.
    #[error("leaf {index} is beyond a tree of size {size}")]
    LeafBeyond {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The tree that should be continued is the larger one.
    #[error("a tree of size {new} cannot continue one of size {old}")]
    Shrinks {
        /// The size of the tree that should be continued.
        old: u64,
        /// The size of the other tree.
        new: u64,
    },
    /// A proof from the empty tree would hold for any root, so it is none.
    #[error("from a tree of size 0 there is nothing to prove")]
    FromEmpty,
    /// A proof has exactly as many hashes as the sizes demand.
    #[error("a proof of {len} hashes has too {}", if *.too_few { "few" } else { "many" })]
    Length {
        /// How many hashes there are.
        len: usize,
        /// Whether more would be needed.
        too_few: bool,
    },
    /// The hashes do not lead to the root of the tree.
    #[error("the proof leads to root {found}, not {expected}")]
    Root {
        /// The root that was claimed.
        expected: Hash,
        /// The root that the proof leads to.
        found: Hash,
    },
    /// The hashes do not lead to the root of the older tree.
    #[error("the proof leads to an older root {found}, not {expected}")]
    OldRoot {
        /// The root that was claimed.
        expected: Hash,
        /// The root that the proof leads to.
        found: Hash,
    },
}

/// The hashes from leaf `index` to the root of the first `size` leaves: siblings from the leaf
/// upwards, at most [`MAX_PROOF`].
///
/// Errors: the leaf is beyond the tree, the tree too large, or a node cannot be read.
/// Source: RFC 6962, section 2.1.1.
pub fn inclusion_proof<N: Nodes>(
    index: u64,
    size: u64,
    nodes: &N,
) -> Result<Vec<Hash>, TreeError<N::Error>> {
    check_size(size)?;
    if index >= size {
        return Err(TreeError::Beyond { what: "leaf", number: index, size });
    }
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + split_point(end - start);
        let sibling = if index < middle { (middle, end) } else { (start, middle) };
        (start, end) = if index < middle { (start, middle) } else { (middle, end) };
        proof.push(range_root(sibling.0, sibling.1, nodes)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The hashes that show that the first `new` leaves continue the first `old`: at most
/// [`MAX_PROOF`], and none for `old == 0` and `old == new`.
///
/// Errors: `old` is beyond `new`, the tree too large, or a node cannot be read.
/// Source: RFC 6962, section 2.1.2.
pub fn consistency_proof<N: Nodes>(
    old: u64,
    new: u64,
    nodes: &N,
) -> Result<Vec<Hash>, TreeError<N::Error>> {
    check_size(new)?;
    if old > new {
        return Err(TreeError::Beyond { what: "an older tree of size", number: old, size: new });
    }
    let mut proof = Vec::new();
    if old == 0 {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new);
    while old != end {
        let middle = start + split_point(end - start);
        let sibling = if old <= middle { (middle, end) } else { (start, middle) };
        (start, end) = if old <= middle { (start, middle) } else { (middle, end) };
        proof.push(range_root(sibling.0, sibling.1, nodes)?);
    }
    // The subtree in which the older tree ends; whoever checks knows it if it is the older tree.
    if start > 0 {
        proof.push(range_root(start, end, nodes)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves with this `root`.
///
/// Errors: [`ProofError`], for any proof but the one that [`inclusion_proof`] gives.
/// Source: RFC 9162, section 2.1.3.2.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::LeafBeyond { index, size });
    }
    let mut walk = Walk { node: index, last: size - 1 };
    let mut found = *leaf;
    for sibling in proof {
        found = match walk.step() {
            None => return Err(length(proof, false)),
            Some(Side::Left) => Hash::of_node(sibling, &found),
            Some(Side::Right) => Hash::of_node(&found, sibling),
        };
    }
    if walk.last != 0 {
        return Err(length(proof, true));
    }
    same_root(&found, root)
}

/// Checks that the tree of `new` leaves with `new_root` continues the tree of `old` leaves with
/// `old_root`.
///
/// A proof from the empty tree is refused: it would hold for any root.
///
/// Errors: [`ProofError`], for any proof but the one that [`consistency_proof`] gives.
/// Source: RFC 9162, section 2.1.4.2.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrinks { old, new });
    }
    if old == 0 {
        return Err(ProofError::FromEmpty);
    }
    if old == new && proof.is_empty() {
        return same_root(old_root, new_root);
    }
    let mut walk = Walk { node: old - 1, last: new - 1 };
    walk.climb_left();
    // An older tree that is one complete subtree is where the walk begins; of others the proof
    // begins with the subtree in which they end.
    let (first, rest) = match proof.split_first() {
        _ if walk.node == 0 => (old_root, proof),
        Some(split) => split,
        None => return Err(length(proof, true)),
    };
    let (mut found_old, mut found) = (*first, *first);
    for sibling in rest {
        match walk.step() {
            None => return Err(length(proof, false)),
            Some(Side::Left) => {
                found_old = Hash::of_node(sibling, &found_old);
                found = Hash::of_node(sibling, &found);
            }
            Some(Side::Right) => found = Hash::of_node(&found, sibling),
        }
    }
    if walk.last != 0 {
        return Err(length(proof, true));
    }
    if found_old != *old_root {
        return Err(ProofError::OldRoot { expected: *old_root, found: found_old });
    }
    same_root(&found, new_root)
}

/// A node and the last node of its level, on the way to the root.
struct Walk {
    node: u64,
    last: u64,
}

/// On which side a sibling is.
enum Side {
    Left,
    Right,
}

impl Walk {
    /// Goes up past the next sibling and says on which side it is; none at the root.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let left = self.node & 1 == 1 || self.node == self.last;
        if left {
            // The last node of a level may have no sibling there: it joins further up.
            self.climb_to_odd();
        }
        self.up();
        Some(if left { Side::Left } else { Side::Right })
    }

    fn climb_to_odd(&mut self) {
        while self.node & 1 == 0 && self.node != 0 {
            self.up();
        }
    }

    /// Goes up while the node is a right child.
    fn climb_left(&mut self) {
        while self.node & 1 == 1 {
            self.up();
        }
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }
}

fn same_root(found: &Hash, expected: &Hash) -> Result<(), ProofError> {
    if found == expected {
        return Ok(());
    }
    Err(ProofError::Root { expected: *expected, found: *found })
}

fn length(proof: &[Hash], too_few: bool) -> ProofError {
    ProofError::Length { len: proof.len(), too_few }
}
