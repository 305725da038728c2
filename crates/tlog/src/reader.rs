//! A log read from its tiles by somebody who believes none of them.

use super::{
    Hash, MAX_SIZE,
    tile::{Bundle, LEVELS, MAX_BUNDLE, MAX_TILE, TILE_WIDTH, Tile, TileError},
    tree::{Nodes, fold, peaks},
};
use std::{cell::RefCell, rc::Rc};

/// A log read from tiles of which none is believed: each is checked against the tile above it,
/// and those at the right edge against the root of a checkpoint.
///
/// It is [`Nodes`], so every root and proof can be computed from it.
pub struct TileReader<F> {
    size: u64,
    fetch: F,
    /// The partial tile of each level; empty where the level has none.
    edge: Vec<Rc<[Hash]>>,
    /// The full tile of each level that was checked last.
    recent: RefCell<[Option<Held>; LEVELS as usize]>,
}

/// A checked tile and its index.
type Held = (u64, Rc<[Hash]>);

/// Why what was read of a log is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError<E> {
    /// A file could not be had.
    #[error("{path}: {why}")]
    Fetch {
        /// The file's path.
        path: String,
        /// What the reader of files said.
        why: E,
    },
    /// A file is not what it should be.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The tiles at the right edge do not lead to the root of the checkpoint.
    #[error("the tiles of a log of size {size} lead to root {found}, not {expected}")]
    Root {
        /// The log's size.
        size: u64,
        /// The checkpoint's root.
        expected: Hash,
        /// The root that the tiles lead to.
        found: Hash,
    },
    /// A tile does not have the hash that the tile above says.
    #[error("{tile} has hash {found}, the tile above it says {expected}")]
    Parent {
        /// Which tile.
        tile: Tile,
        /// What the tile above says.
        expected: Hash,
        /// What it is.
        found: Hash,
    },
    /// An entry does not have the hash of its leaf.
    #[error("entry {index} has hash {found}, its leaf is {expected}")]
    Entry {
        /// Which entry.
        index: u64,
        /// The leaf's hash.
        expected: Hash,
        /// The entry's.
        found: Hash,
    },
    /// Something beyond the log was asked for.
    #[error("{what} {index} is beyond a log of size {size}")]
    Beyond {
        /// What was asked for.
        what: &'static str,
        /// Which one.
        index: u64,
        /// The log's size.
        size: u64,
    },
}

impl<E, F: Fn(&str, usize) -> Result<Vec<u8>, E>> TileReader<F> {
    /// A reader of the log of `size` entries with `root`, both from a checkpoint that is trusted.
    ///
    /// `fetch` gets a file's path and the most bytes that it may have.
    ///
    /// Errors: a tile at the right edge cannot be had or is wrong.
    pub fn new(size: u64, root: &Hash, fetch: F) -> Result<Self, ReadError<E>> {
        if size > MAX_SIZE {
            return Err(ReadError::Beyond { what: "size", index: size, size: MAX_SIZE });
        }
        let mut reader = Self { size, fetch, edge: Vec::new(), recent: RefCell::default() };
        let mut hashes = Vec::new();
        for level in 0..LEVELS {
            let row = size >> (8 * level);
            let tile = Tile::new(level, row >> 8, (row & 255) as u16);
            let tile = tile.map_or(Ok(vec![]), |tile| reader.fetch_tile(&tile))?;
            // The largest subtrees come first in the end.
            let inside = peaks(0, tile.len() as u64);
            let inside: Vec<Hash> = inside.map(|(l, i)| inner(&tile, l, i)).collect();
            hashes.extend(inside.iter().rev());
            reader.edge.push(tile.into());
        }
        hashes.reverse();
        let found = fold(&hashes).unwrap_or(Hash::EMPTY_TREE);
        if found != *root {
            return Err(ReadError::Root { size, expected: *root, found });
        }
        Ok(reader)
    }

    /// How many entries the log has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The checked entries of bundle `index`, of which the last may be partial.
    ///
    /// Errors: a file cannot be had or is wrong.
    pub fn entries(&self, index: u64) -> Result<Vec<Vec<u8>>, ReadError<E>> {
        let first = u128::from(index) * u128::from(TILE_WIDTH);
        let left = u128::from(self.size).saturating_sub(first).min(TILE_WIDTH.into());
        let Some(bundle) = Bundle::new(index, left as u16) else {
            return Err(ReadError::Beyond { what: "bundle", index, size: self.size });
        };
        let leaves = self.tile(0, index)?;
        let bytes = self.fetch_file(&bundle.to_string(), MAX_BUNDLE)?;
        let entries = bundle.parse(&bytes)?;
        for (i, (entry, expected)) in (bundle.first()..).zip(entries.iter().zip(&*leaves)) {
            let found = Hash::of_leaf(entry);
            if found != *expected {
                return Err(ReadError::Entry { index: i, expected: *expected, found });
            }
        }
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The checked hashes of a tile that is in the log.
    fn tile(&self, level: u8, index: u64) -> Result<Rc<[Hash]>, ReadError<E>> {
        let at = usize::from(level);
        if index == self.size >> (8 * level) >> 8 {
            return Ok(Rc::clone(&self.edge[at]));
        }
        if let Some((held, hashes)) = &self.recent.borrow()[at]
            && *held == index
        {
            return Ok(Rc::clone(hashes));
        }
        let expected = self.tile(level + 1, index >> 8)?[(index & 255) as usize];
        let tile = Tile::new(level, index, TILE_WIDTH).expect("it is within the log");
        let hashes: Rc<[Hash]> = self.fetch_tile(&tile)?.into();
        let found = inner(&hashes, 8, 0);
        if found != expected {
            return Err(ReadError::Parent { tile, expected, found });
        }
        self.recent.borrow_mut()[at] = Some((index, Rc::clone(&hashes)));
        Ok(hashes)
    }

    fn fetch_tile(&self, tile: &Tile) -> Result<Vec<Hash>, ReadError<E>> {
        Ok(tile.parse(&self.fetch_file(&tile.to_string(), MAX_TILE)?)?)
    }

    fn fetch_file(&self, path: &str, max: usize) -> Result<Vec<u8>, ReadError<E>> {
        (self.fetch)(path, max).map_err(|why| ReadError::Fetch { path: path.to_owned(), why })
    }
}

impl<E, F: Fn(&str, usize) -> Result<Vec<u8>, E>> Nodes for TileReader<F> {
    type Error = ReadError<E>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, ReadError<E>> {
        let last = (u128::from(index) + 1).checked_shl(level.into()).unwrap_or(u128::MAX);
        if level >= 8 * LEVELS || last > u128::from(self.size) {
            return Err(ReadError::Beyond { what: "node", index, size: self.size });
        }
        let (tile, inside) = (level / 8, level % 8);
        let first = index << inside;
        let hashes = self.tile(tile, first >> 8)?;
        Ok(inner(&hashes, inside, (first & 255) >> inside))
    }
}

/// The node `index` at `level` within a tile's hashes, which hold it whole.
fn inner(hashes: &[Hash], level: u8, index: u64) -> Hash {
    let first = (index as usize) << level;
    let mut row = hashes[first..first + (1 << level)].to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| Hash::of_node(&pair[0], &pair[1])).collect();
    }
    row[0]
}
