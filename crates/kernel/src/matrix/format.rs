//! How weights lie in files: the block formats of GGUF.

use std::fmt;

use super::block::{Block, WEIGHTS};
use super::half;

/// A weight format, by the names and block layouts of GGUF. A row is a whole number of blocks.
///
/// Source: the structures and reference dequantization of ggml; golden blocks are made with the
/// Python package `gguf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an f32.
    BF16,
    /// 32 signed bytes and a scale.
    Q8_0,
    /// 32 × 4 bits around 8 and a scale.
    Q4_0,
    /// 32 × 4 bits, a scale and a minimum.
    Q4_1,
    /// 32 × 5 bits around 16 and a scale.
    Q5_0,
    /// 32 × 5 bits, a scale and a minimum.
    Q5_1,
    /// 256 × 2 bits; 4-bit scales and minima for each 16.
    Q2K,
    /// 256 × 3 bits around 4; 6-bit scales for each 16.
    Q3K,
    /// 256 × 4 bits; 6-bit scales and minima for each 32.
    Q4K,
    /// 256 × 5 bits; 6-bit scales and minima for each 32.
    Q5K,
    /// 256 × 6 bits around 32; 8-bit scales for each 16.
    Q6K,
    /// 32 × 4 bits that select from 16 uneven levels, and a scale.
    Iq4Nl,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 14] = [
        Format::F32,
        Format::F16,
        Format::BF16,
        Format::Q8_0,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q2K,
        Format::Q3K,
        Format::Q4K,
        Format::Q5K,
        Format::Q6K,
        Format::Iq4Nl,
    ];

    /// Weights in a block.
    pub fn block(self) -> usize {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => 1,
            Format::Q2K | Format::Q3K | Format::Q4K | Format::Q5K | Format::Q6K => 256,
            _ => 32,
        }
    }

    /// Bytes of a block in a file.
    pub fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::BF16 => 2,
            Format::Q8_0 => 34,
            Format::Q4_0 | Format::Iq4Nl => 18,
            Format::Q4_1 => 20,
            Format::Q5_0 => 22,
            Format::Q5_1 => 24,
            Format::Q2K => 84,
            Format::Q3K => 110,
            Format::Q4K => 144,
            Format::Q5K => 176,
            Format::Q6K => 210,
        }
    }

    /// Bytes of a row of `cols` weights in a file; `None` if that is no whole number of blocks, or
    /// more than a machine word counts.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        let whole = cols.is_multiple_of(self.block());
        whole.then(|| (cols / self.block()).checked_mul(self.block_bytes())).flatten()
    }

    /// The name in GGUF: `Q4_K`, `F16`.
    pub fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::BF16 => "BF16",
            Format::Q8_0 => "Q8_0",
            Format::Q4_0 => "Q4_0",
            Format::Q4_1 => "Q4_1",
            Format::Q5_0 => "Q5_0",
            Format::Q5_1 => "Q5_1",
            Format::Q2K => "Q2_K",
            Format::Q3K => "Q3_K",
            Format::Q4K => "Q4_K",
            Format::Q5K => "Q5_K",
            Format::Q6K => "Q6_K",
            Format::Iq4Nl => "IQ4_NL",
        }
    }

    /// Whether a block holds integers and scales, so that products can be made of integers.
    pub fn is_quantized(self) -> bool {
        self.block() > 1
    }

    /// The values of whole blocks as they lie in a file (little-endian).
    ///
    /// Bits: exact, but for the one rounding of `scale · integer + minimum` where there is a
    /// minimum; the scales of a block of 256 are exact products.
    /// Panics: if `bytes` is not the whole blocks of `out`.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(self.row_bytes(out.len()), Some(bytes.len()), "dequantize: {self}");
        match self {
            Format::F32 => widen(bytes, out, f32::from_le_bytes),
            Format::F16 => widen(bytes, out, |pair| half::f16(u16::from_le_bytes(pair))),
            Format::BF16 => widen(bytes, out, |pair| half::bf16(u16::from_le_bytes(pair))),
            _ => {
                let mut block = Block::new();
                let blocks = bytes.chunks_exact(self.block_bytes());
                for (bytes, out) in blocks.zip(out.chunks_exact_mut(self.block())) {
                    block.read(self, bytes);
                    let mut values = [0.0; WEIGHTS];
                    block.values(self, &mut values);
                    out.copy_from_slice(&values[..out.len()]);
                }
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn widen<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    let (values, _) = bytes.as_chunks::<N>();
    for (out, bytes) in out.iter_mut().zip(values) {
        *out = value(*bytes);
    }
}
