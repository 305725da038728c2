//! How quantized weights lie in memory: tiles of sixteen rows, so that each lane holds a row.
//!
//! A tile is its heads (the scales of its blocks, in order, padded to 64 bytes) and then its
//! levels. Levels of 32 columns of a tile are planes of 64-byte vectors: byte `4 · lane + i` of
//! vector `j` belongs to row `lane` and column `4j + i`, so that four products of a row add up in
//! one 32-bit lane. A level of more than four bits is spread over planes, lowest bits first:
//!
//! - eight bits: eight vectors;
//! - four bits: four vectors, with vector j in the low and vector j + 4 in the high halves;
//! - two bits: two vectors, with vectors 0–3 (4–7) at bits 0, 2, 4, 6;
//! - one bit: one vector, with vector j at bit j.

use super::block::Block;
use super::format::Format;
use super::half::f16;

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Columns of a block of levels, and of a block of activations.
pub(crate) const COLUMNS: usize = 32;
/// Bytes of a vector.
pub(crate) const VECTOR: usize = 64;
/// Vectors of a block of levels once unpacked.
pub(crate) const VECTORS: usize = 8;

/// The levels of [`Format::Iq4Nl`], moved up by 128.
pub(crate) const LEVELS: [u8; 16] =
    [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

/// How scales lie in the head of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// For each row a scale.
    Scale,
    /// A scale and a minimum.
    ScaleMin,
    /// A scale, a scale of minima; for each 32 columns a byte that multiplies either.
    Parts32,
    /// A scale; for each 16 columns a signed byte that multiplies it.
    Parts16,
    /// A scale, a scale of minima; for each 16 columns half a byte (low, high) for either.
    Parts16Min,
}

impl Head {
    /// Bytes of the head of one block of a tile.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Head::Scale => 32,
            Head::ScaleMin => 64,
            Head::Parts32 => 64 + 16 * ROWS,
            Head::Parts16 => 32 + 16 * ROWS,
            Head::Parts16Min => 64 + 16 * ROWS,
        }
    }

    /// Blocks of 32 columns under one head.
    pub(crate) const fn span(self) -> usize {
        match self {
            Head::Scale | Head::ScaleMin => 1,
            _ => 8,
        }
    }

    /// Parts with a scale each in 32 columns.
    pub(crate) const fn parts(self) -> usize {
        match self {
            Head::Parts16 | Head::Parts16Min => 2,
            _ => 1,
        }
    }

    /// Whether there are minima.
    pub(crate) const fn has_min(self) -> bool {
        matches!(self, Head::ScaleMin | Head::Parts32 | Head::Parts16Min)
    }
}

/// What levels mean: `weight = scale · (level − zero) + minimum`.
#[derive(Clone, Copy)]
pub(crate) struct Meaning {
    /// Bits of a level.
    pub width: usize,
    pub head: Head,
    /// Subtracted from each level: zero or a power of two.
    pub zero: i16,
    /// Whether a level is a place in [`LEVELS`].
    pub table: bool,
    /// Columns with a scale of their own.
    pub part: usize,
}

impl Meaning {
    /// Panics: for a format that is not quantized.
    pub(crate) const fn of(format: Format) -> Meaning {
        let (width, head, zero) = match format {
            Format::Q8_0 => (8, Head::Scale, 128),
            Format::Q4_0 => (4, Head::Scale, 8),
            Format::Q4_1 => (4, Head::ScaleMin, 0),
            Format::Q5_0 => (5, Head::Scale, 16),
            Format::Q5_1 => (5, Head::ScaleMin, 0),
            Format::Q2K => (2, Head::Parts16Min, 0),
            Format::Q3K => (3, Head::Parts16, 4),
            Format::Q4K => (4, Head::Parts32, 0),
            Format::Q5K => (5, Head::Parts32, 0),
            Format::Q6K => (6, Head::Parts16, 32),
            Format::Iq4Nl => (4, Head::Scale, 128),
            Format::F32 | Format::F16 | Format::BF16 => panic!("not a quantized format"),
        };
        let table = matches!(format, Format::Iq4Nl);
        Meaning { width, head, zero, table, part: COLUMNS / head.parts() }
    }

    /// Bytes of 32 columns of levels of a tile.
    pub(crate) const fn level_bytes(self) -> usize {
        self.width * VECTOR
    }

    /// Bytes of the heads of a tile of `cols` columns.
    pub(crate) const fn head_bytes(self, cols: usize) -> usize {
        (cols / COLUMNS / self.head.span() * self.head.bytes()).next_multiple_of(VECTOR)
    }

    /// Bytes of a tile of `cols` columns.
    pub(crate) const fn tile_bytes(self, cols: usize) -> usize {
        self.head_bytes(cols) + cols / COLUMNS * self.level_bytes()
    }

    /// Puts a block of a row into its tile: `head` and `levels` are the tile's from this block on.
    #[inline(always)]
    pub(crate) fn pack(self, block: &Block, head: &mut [u8], levels: &mut [u8], lane: usize) {
        self.pack_head(block, head, lane);
        let (columns, _) = block.levels.as_chunks::<COLUMNS>();
        let blocks = levels.chunks_exact_mut(self.level_bytes()).take(self.head.span());
        for (from, to) in columns.iter().zip(blocks) {
            let words = std::array::from_fn(|j| {
                let group = 4 * j..4 * j + 4;
                from[group].iter().rev().fold(0, |word, level| word << 8 | u32::from(*level))
            });
            self.put(to, lane, &words);
        }
    }

    #[inline(always)]
    fn pack_head(self, block: &Block, head: &mut [u8], lane: usize) {
        let mut half = |at: usize, bits: u16| {
            head[at + 2 * lane..][..2].copy_from_slice(&bits.to_le_bytes());
        };
        half(0, block.scale);
        if self.head.has_min() {
            half(32, block.minimum);
        }
        match self.head {
            Head::Scale | Head::ScaleMin => {}
            Head::Parts32 => {
                for part in 0..8 {
                    head[64 + part * ROWS + lane] = block.scales[part];
                    head[64 + (8 + part) * ROWS + lane] = block.minima[part];
                }
            }
            Head::Parts16 => {
                for part in 0..16 {
                    head[32 + part * ROWS + lane] = block.scales[part];
                }
            }
            Head::Parts16Min => {
                for part in 0..16 {
                    let both = block.scales[part] | block.minima[part] << 4;
                    head[64 + part * ROWS + lane] = both;
                }
            }
        }
    }

    /// Puts 32 levels of a row, four to a word, into the planes of a tile.
    #[inline(always)]
    fn put(self, to: &mut [u8], lane: usize, words: &[u32; VECTORS]) {
        for (plane, width, shift) in self.planes() {
            let per = 8 / width;
            for at in 0..width {
                let mut word = 0;
                for (vector, levels) in words.iter().enumerate() {
                    let (vector_at, offset) = place(width, per, vector);
                    if vector_at == at {
                        let mask = u32::from_ne_bytes([mask(width); 4]);
                        word |= (levels >> shift & mask) << offset;
                    }
                }
                to[plane + at * VECTOR + 4 * lane..][..4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// The levels of 32 columns of a tile, in vectors.
    #[inline(always)]
    pub(crate) fn unpack(self, from: &[u8]) -> [[u8; VECTOR]; VECTORS] {
        let mut levels = [[0; VECTOR]; VECTORS];
        for (plane, width, shift) in self.planes() {
            let per = 8 / width;
            for (vector, levels) in levels.iter_mut().enumerate() {
                let (at, offset) = place(width, per, vector);
                let from = &from[plane + at * VECTOR..][..VECTOR];
                for (level, from) in levels.iter_mut().zip(from) {
                    *level |= (from >> offset & mask(width)) << shift;
                }
            }
        }
        if self.table {
            for level in levels.as_flattened_mut() {
                *level = LEVELS[usize::from(*level & 15)];
            }
        }
        levels
    }

    /// The planes of a level: where each starts, its bits, the bit of the level it starts with.
    #[inline(always)]
    fn planes(self) -> impl Iterator<Item = (usize, usize, u32)> {
        let (first, second) = match self.width {
            8 => (8, 0),
            4 => (4, 0),
            5 => (4, 1),
            6 => (4, 2),
            3 => (2, 1),
            _ => (2, 0),
        };
        let second = (second > 0).then_some((first * VECTOR, second, first as u32));
        std::iter::once((0, first, 0)).chain(second)
    }

    /// The level of one row and column.
    #[inline(always)]
    pub(crate) fn level(self, from: &[u8], lane: usize, column: usize) -> u8 {
        let mut level = 0;
        for (plane, width, shift) in self.planes() {
            let (at, offset) = place(width, 8 / width, column / 4);
            let byte = from[plane + at * VECTOR + 4 * lane + column % 4];
            level |= (byte >> offset & mask(width)) << shift;
        }
        if self.table { LEVELS[usize::from(level)] } else { level }
    }

    /// The scales of 32 columns of a tile and what is added, for each part (the second is used
    /// where there are two): `head` is that of the block, `index` counts the 32 columns in it.
    #[inline(always)]
    pub(crate) fn scales(self, head: &[u8], index: usize) -> [Scales; 2] {
        let mut scales = [Scales { scale: [0.0; ROWS], add: [0.0; ROWS] }; 2];
        for (part, scales) in scales.iter_mut().enumerate().take(self.head.parts()) {
            for lane in 0..ROWS {
                (scales.scale[lane], scales.add[lane]) = self.scale(head, index, part, lane);
            }
        }
        scales
    }

    /// The scale of a row in one part of 32 columns, and what is added.
    #[inline(always)]
    pub(crate) fn scale(self, head: &[u8], index: usize, part: usize, lane: usize) -> (f32, f32) {
        let half =
            |at: usize| f16(u16::from_le_bytes([head[at + 2 * lane], head[at + 2 * lane + 1]]));
        let byte = |at: usize| head[at * ROWS + lane];
        match self.head {
            Head::Scale => (half(0), 0.0),
            Head::ScaleMin => (half(0), half(32)),
            Head::Parts32 => {
                (half(0) * f32::from(byte(4 + index)), -(half(32) * f32::from(byte(12 + index))))
            }
            Head::Parts16 => (half(0) * f32::from(byte(2 + 2 * index + part) as i8), 0.0),
            Head::Parts16Min => {
                let both = byte(4 + 2 * index + part);
                (half(0) * f32::from(both & 15), -(half(32) * f32::from(both >> 4)))
            }
        }
    }

    /// A weight from its level.
    #[inline(always)]
    pub(crate) fn weight(self, level: u8, (scale, add): (f32, f32)) -> f32 {
        let product = scale * f32::from(i16::from(level) - self.zero);
        if self.head.has_min() { product + add } else { product }
    }
}

/// What multiplies the integers of a part of a tile, and what is added to each weight.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    pub scale: [f32; ROWS],
    pub add: [f32; ROWS],
}

/// Where in a plane of `width` bits (`per` of them to a byte) a vector lies: which 64 bytes, and
/// at which bit of each.
#[inline(always)]
fn place(width: usize, per: usize, vector: usize) -> (usize, usize) {
    match per {
        1 => (vector, 0),
        2 => (vector % 4, vector / 4 * 4),
        _ => (vector / per, vector % per * width),
    }
}

#[inline(always)]
fn mask(width: usize) -> u8 {
    u8::MAX >> (8 - width)
}

/// A format as a type, so that one function is compiled for each.
pub(crate) trait Code {
    const FORMAT: Format;
    const MEANING: Meaning;
}

/// Evaluates an expression with a [`Code`] for a quantized format.
macro_rules! with_code {
    ($format:expr, $code:ident => $body:expr) => {{
        macro_rules! with {
            ($name:ident) => {{
                struct $code;
                impl $crate::matrix::code::Code for $code {
                    const FORMAT: $crate::matrix::Format = $crate::matrix::Format::$name;
                    const MEANING: $crate::matrix::code::Meaning =
                        $crate::matrix::code::Meaning::of($crate::matrix::Format::$name);
                }
                $body
            }};
        }
        match $format {
            $crate::matrix::Format::Q8_0 => with!(Q8_0),
            $crate::matrix::Format::Q4_0 => with!(Q4_0),
            $crate::matrix::Format::Q4_1 => with!(Q4_1),
            $crate::matrix::Format::Q5_0 => with!(Q5_0),
            $crate::matrix::Format::Q5_1 => with!(Q5_1),
            $crate::matrix::Format::Q2K => with!(Q2K),
            $crate::matrix::Format::Q3K => with!(Q3K),
            $crate::matrix::Format::Q4K => with!(Q4K),
            $crate::matrix::Format::Q5K => with!(Q5K),
            $crate::matrix::Format::Q6K => with!(Q6K),
            $crate::matrix::Format::Iq4Nl => with!(Iq4Nl),
            format => unreachable!("{format} has no levels"),
        }
    }};
}
pub(crate) use with_code;
