//! The tree: hashes of complete subtrees, and what follows from them.

use super::Hash;

/// How many leaves a tree may have at most: 2⁶².
pub const MAX_SIZE: u64 = 1 << 62;

/// Where hashes of complete subtrees are kept.
///
/// Node `(level, index)` is the root of leaves `index·2^level .. (index+1)·2^level`; level 0 is
/// the leaves' hashes. Only complete subtrees are ever asked for: a node never changes.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error;

    /// The hash of node `index` of `level`.
    ///
    /// Errors: it is not there, or reading it failed.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// A complete subtree's hash and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Height above the leaves.
    pub level: u8,
    /// Which one of this level, from the left.
    pub index: u64,
    /// The hash.
    pub hash: Hash,
}

/// Why a tree does not do what was asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeError<E> {
    /// A node could not be read.
    #[error("node {index} of level {level}: {why}")]
    Node {
        /// The node's level.
        level: u8,
        /// The node's index.
        index: u64,
        /// What [`Nodes::node`] said.
        why: E,
    },
    /// A tree would have too many leaves.
    #[error("a tree has at most 2^62 leaves, not {size}")]
    TooLarge {
        /// How many it would have.
        size: u64,
    },
    /// A proof was asked for something beyond the tree.
    #[error("{what} {number} is beyond a tree of size {size}")]
    Beyond {
        /// What lies beyond: a leaf or an older tree.
        what: &'static str,
        /// Its index or size.
        number: u64,
        /// The tree's size.
        size: u64,
    },
}

/// The root of the first `size` leaves.
///
/// Errors: [`TreeError::TooLarge`], or a node cannot be read.
pub fn root<N: Nodes>(size: u64, nodes: &N) -> Result<Hash, TreeError<N::Error>> {
    check_size(size)?;
    if size == 0 { Ok(Hash::EMPTY_TREE) } else { range_root(0, size, nodes) }
}

/// The nodes that appending `leaf` to a tree of `size` leaves makes, from the leaf upwards.
///
/// Errors: [`TreeError::TooLarge`], or a node cannot be read.
pub fn append<N: Nodes>(
    size: u64,
    leaf: Hash,
    nodes: &N,
) -> Result<Vec<Node>, TreeError<N::Error>> {
    append_all(size, [leaf], nodes)
}

/// The nodes that appending `leaves` to a tree of `size` leaves makes, in the order in which they
/// become complete.
///
/// Errors: [`TreeError::TooLarge`], or a node cannot be read.
pub fn append_all<N: Nodes>(
    size: u64,
    leaves: impl IntoIterator<Item = Hash>,
    nodes: &N,
) -> Result<Vec<Node>, TreeError<N::Error>> {
    let mut frontier = Frontier::load(size, nodes)?;
    let mut made = Vec::new();
    for leaf in leaves {
        let next = frontier.size() + 1;
        check_size(next)?;
        frontier.push(leaf, |node| made.push(node));
    }
    Ok(made)
}

/// The least that a growing tree has to remember: one hash for each set bit of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees that the leaves divide into, the largest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of the first `size` leaves.
    ///
    /// Errors: [`TreeError::TooLarge`], or a node cannot be read.
    pub fn load<N: Nodes>(size: u64, nodes: &N) -> Result<Self, TreeError<N::Error>> {
        check_size(size)?;
        let peaks = peaks(0, size).map(|(level, index)| read(nodes, level, index));
        Ok(Self { size, peaks: peaks.collect::<Result<_, _>>()? })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; `made` gets the nodes that became complete, from the leaf upwards.
    ///
    /// Panics: the tree has [`MAX_SIZE`] leaves.
    pub fn push(&mut self, leaf: Hash, mut made: impl FnMut(Node)) {
        assert!(self.size < MAX_SIZE, "a tree has at most 2^62 leaves");
        let mut node = Node { level: 0, index: self.size, hash: leaf };
        made(node);
        while node.index & 1 == 1 {
            let left = self.peaks.pop().expect("each set bit of the size has its peak");
            let hash = Hash::of_node(&left, &node.hash);
            node = Node { level: node.level + 1, index: node.index >> 1, hash };
            made(node);
        }
        self.peaks.push(node.hash);
        self.size += 1;
    }

    /// The root of the leaves so far.
    pub fn root(&self) -> Hash {
        fold(&self.peaks).unwrap_or(Hash::EMPTY_TREE)
    }
}

/// All nodes of a tree in memory: for tests and for logs of a few million leaves.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    levels: Vec<Vec<Hash>>,
    frontier: Frontier,
}

/// A node that a [`MemoryTree`] does not have, because the tree is smaller.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a tree of size {size} does not have it")]
pub struct NoSuchNode {
    /// The tree's size.
    pub size: u64,
}

impl MemoryTree {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let levels = &mut self.levels;
        self.frontier.push(leaf, |node| {
            let level = usize::from(node.level);
            if levels.len() == level {
                levels.push(Vec::new());
            }
            levels[level].push(node.hash);
        });
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of all leaves.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}

impl Extend<Hash> for MemoryTree {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl FromIterator<Hash> for MemoryTree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        tree.extend(leaves);
        tree
    }
}

impl Nodes for MemoryTree {
    type Error = NoSuchNode;

    fn node(&self, level: u8, index: u64) -> Result<Hash, NoSuchNode> {
        let row = self.levels.get(usize::from(level));
        let hash = row.and_then(|row| row.get(usize::try_from(index).ok()?));
        hash.copied().ok_or(NoSuchNode { size: self.size() })
    }
}

/// The root of leaves `start..end`, which are a subtree of some tree: `start` is a multiple of
/// the least power of two that is not less than their number.
pub(super) fn range_root<N: Nodes>(
    start: u64,
    end: u64,
    nodes: &N,
) -> Result<Hash, TreeError<N::Error>> {
    debug_assert!(start < end && start.is_multiple_of((end - start).next_power_of_two()));
    let hashes = peaks(start, end).map(|(level, index)| read(nodes, level, index));
    let hashes: Vec<Hash> = hashes.collect::<Result<_, _>>()?;
    Ok(fold(&hashes).expect("at least one leaf has at least one peak"))
}

/// Where the complete subtrees are that leaves `start..end` divide into, the largest first.
pub(super) fn peaks(start: u64, end: u64) -> impl Iterator<Item = (u8, u64)> {
    let size = end - start;
    let levels = (0..u64::BITS).rev().filter(move |level| size >> level & 1 == 1);
    levels.map(move |level| {
        // All larger subtrees lie to its left.
        let index = (start >> level) + (size >> level) - 1;
        (u8::try_from(level).expect("below 64"), index)
    })
}

/// The largest power of two below `size`, which is at least 2: where a tree divides.
pub(super) fn split_point(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The root over `peaks`, the largest first; none over nothing.
pub(super) fn fold(peaks: &[Hash]) -> Option<Hash> {
    let (last, rest) = peaks.split_last()?;
    Some(rest.iter().rev().fold(*last, |right, left| Hash::of_node(left, &right)))
}

fn read<N: Nodes>(nodes: &N, level: u8, index: u64) -> Result<Hash, TreeError<N::Error>> {
    nodes.node(level, index).map_err(|why| TreeError::Node { level, index, why })
}

pub(super) fn check_size<E>(size: u64) -> Result<(), TreeError<E>> {
    if size > MAX_SIZE { Err(TreeError::TooLarge { size }) } else { Ok(()) }
}
