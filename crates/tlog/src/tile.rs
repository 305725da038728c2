//! Tiles: a log as files that anybody can serve and anybody can check.
//!
//! Source: C2SP, tlog-tiles.

use super::{
    Hash, MAX_SIZE,
    tree::{Nodes, TreeError},
};
use std::{fmt, str::FromStr};

/// Where the log's checkpoint is, beside its tiles.
pub const CHECKPOINT_PATH: &str = "checkpoint";

/// How many hashes a full tile has, and how many entries a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// How many bytes an entry may have.
pub const MAX_ENTRY: usize = 65_535;

/// How many bytes a bundle may have.
pub const MAX_BUNDLE: usize = TILE_WIDTH as usize * (2 + MAX_ENTRY);

/// Which hashes a file holds: up to 256 neighbours, each the root of 256^`level` leaves.
///
/// Encoding: printed as its path, `tile/LEVEL/INDEX` and for a partial tile `.p/WIDTH`, the index
/// in groups of three digits, all but the last after an `x`. The file is the hashes one after the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

/// Which entries a file holds: those whose hashes are the tile of level 0 with this index.
///
/// Encoding: printed as its path, `tile/entries/INDEX` and for a partial one `.p/WIDTH`. The file
/// is each entry after its length in two bytes, the high one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bundle {
    index: u64,
    width: u16,
}

/// Why a path or a file is not a tile or bundle.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TileError {
    /// Not the path of a tile or bundle.
    #[error("not the path of a {what}: {path:?}")]
    Path {
        /// Of what it should be the path.
        what: &'static str,
        /// Its beginning.
        path: String,
    },
    /// A tile with more or fewer bytes than its width demands.
    #[error("{tile} has {len} bytes, not {expected}")]
    TileLength {
        /// Which tile.
        tile: Tile,
        /// How many bytes it has.
        len: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A bundle that ends within an entry or goes on after the last.
    #[error("{bundle} of {len} bytes does not hold {} entries", .bundle.width)]
    BundleLength {
        /// Which bundle.
        bundle: Bundle,
        /// How many bytes it has.
        len: usize,
    },
    /// An entry that is too long for a bundle.
    #[error("an entry of {len} bytes, a bundle's have at most {MAX_ENTRY}")]
    EntryLength {
        /// How many bytes it has.
        len: usize,
    },
}

impl Tile {
    /// The tile at these coordinates; none if no log of up to [`MAX_SIZE`] entries has it.
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let hashes = u128::from(index) * u128::from(TILE_WIDTH) + u128::from(width);
        let fits = level < LEVELS && hashes <= u128::from(MAX_SIZE >> (8 * level));
        (fits && (1..=TILE_WIDTH).contains(&width)).then_some(Self { level, index, width })
    }

    /// The tiles that a log of `size` entries has, by level and index. Partial tiles are those of
    /// exactly this size.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        Self::grown(0, size)
    }

    /// The tiles that a log of `new` entries has and one of `old` had not.
    pub fn grown(old: u64, new: u64) -> impl Iterator<Item = Self> {
        (0..LEVELS).flat_map(move |level| {
            let row = grown(old >> (8 * level), new >> (8 * level));
            row.map(move |(index, width)| Self { level, index, width })
        })
    }

    /// Its height in tiles above the leaves.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Which one of its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes it has: 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The file's content: hashes of `nodes`.
    ///
    /// Errors: a node cannot be read.
    pub fn to_bytes<N: Nodes>(&self, nodes: &N) -> Result<Vec<u8>, TreeError<N::Error>> {
        let first = self.index * u64::from(TILE_WIDTH);
        let mut bytes = Vec::with_capacity(self.len());
        for index in first..first + u64::from(self.width) {
            let level = self.level * 8;
            let node = nodes.node(level, index);
            bytes.extend(node.map_err(|why| TreeError::Node { level, index, why })?.0);
        }
        Ok(bytes)
    }

    /// The hashes in a file's content. Of a partial tile also the full tile is read, which may
    /// have replaced it.
    ///
    /// Errors: [`TileError::TileLength`].
    pub fn parse(&self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        let expected = self.len();
        if bytes.len() != expected && bytes.len() != MAX_TILE {
            return Err(TileError::TileLength { tile: *self, len: bytes.len(), expected });
        }
        let (hashes, _) = bytes[..expected].as_chunks();
        Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
    }

    fn len(&self) -> usize {
        usize::from(self.width) * 32
    }
}

impl Bundle {
    /// The bundle at these coordinates; none if no log of up to [`MAX_SIZE`] entries has it.
    pub fn new(index: u64, width: u16) -> Option<Self> {
        Tile::new(0, index, width).map(|tile| Self { index: tile.index, width: tile.width })
    }

    /// The bundles that a log of `size` entries has.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        Self::grown(0, size)
    }

    /// The bundles that a log of `new` entries has and one of `old` had not.
    pub fn grown(old: u64, new: u64) -> impl Iterator<Item = Self> {
        grown(old, new).map(|(index, width)| Self { index, width })
    }

    /// Which one it is.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many entries it has: 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The index of its first entry.
    pub fn first(&self) -> u64 {
        self.index * u64::from(TILE_WIDTH)
    }

    /// The file's content.
    ///
    /// Errors: an entry is too long.
    /// Panics: there are not as many entries as its width says.
    pub fn to_bytes<T: AsRef<[u8]>>(&self, entries: &[T]) -> Result<Vec<u8>, TileError> {
        assert_eq!(entries.len(), usize::from(self.width), "{self} has that many entries");
        let mut bytes = Vec::new();
        for entry in entries {
            let entry = entry.as_ref();
            let len = u16::try_from(entry.len());
            let len = len.map_err(|_| TileError::EntryLength { len: entry.len() })?;
            bytes.extend(len.to_be_bytes());
            bytes.extend(entry);
        }
        Ok(bytes)
    }

    /// The entries in a file's content, not checked against any hash.
    ///
    /// Errors: [`TileError::BundleLength`].
    pub fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, TileError> {
        let error = || TileError::BundleLength { bundle: *self, len: bytes.len() };
        let mut rest = bytes;
        let mut entries = Vec::with_capacity(usize::from(self.width));
        for _ in 0..self.width {
            let (len, after) = rest.split_first_chunk().ok_or_else(error)?;
            let len = usize::from(u16::from_be_bytes(*len));
            let (entry, after) = after.split_at_checked(len).ok_or_else(error)?;
            entries.push(entry);
            rest = after;
        }
        if rest.is_empty() { Ok(entries) } else { Err(error()) }
    }
}

impl FromStr for Tile {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Self, TileError> {
        let parse = || {
            let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
            let level: u8 = decimal(level)?;
            let (index, width) = parse_index(rest)?;
            Self::new(level, index, width)
        };
        parse().ok_or_else(|| wrong_path("tile", path))
    }
}

impl FromStr for Bundle {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Self, TileError> {
        let parse = || {
            let (index, width) = parse_index(path.strip_prefix("tile/entries/")?)?;
            Self::new(index, width)
        };
        parse().ok_or_else(|| wrong_path("bundle", path))
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/{}", self.level, index_path(self.index, self.width))
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/entries/{}", index_path(self.index, self.width))
    }
}

/// Levels of tiles that trees of up to [`MAX_SIZE`] leaves have.
pub(super) const LEVELS: u8 = 8;

/// Bytes of a full tile.
pub(super) const MAX_TILE: usize = TILE_WIDTH as usize * 32;

/// Index and width of the tiles that a row of `new` hashes has and one of `old` had not.
fn grown(old: u64, new: u64) -> impl Iterator<Item = (u64, u16)> {
    let width = u64::from(TILE_WIDTH);
    let tiles = if old < new { old / width..new.div_ceil(width) } else { 0..0 };
    tiles.map(move |index| (index, (new - index * width).min(width) as u16))
}

fn index_path(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH { format!("{path}.p/{width}") } else { path }
}

/// Reads what [`index_path`] writes, and no other spelling.
fn parse_index(path: &str) -> Option<(u64, u16)> {
    let (digits, width) = match path.split_once(".p/") {
        Some((digits, width)) => (digits, decimal(width).filter(|w| *w < TILE_WIDTH)?),
        None => (path, TILE_WIDTH),
    };
    let mut index: u64 = 0;
    for group in digits.split('/') {
        let group = group.strip_prefix('x').unwrap_or(group);
        if group.len() != 3 || !group.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(group.parse().ok()?)?;
    }
    (index_path(index, width) == path).then_some((index, width))
}

/// A number in decimal, without sign or leading zeros.
fn decimal<T: FromStr + fmt::Display>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn wrong_path(what: &'static str, path: &str) -> TileError {
    TileError::Path { what, path: super::note::beginning(path) }
}
