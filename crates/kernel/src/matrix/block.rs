//! One quantized block of a file, taken apart.

use super::code::{LEVELS, Meaning};
use super::format::Format;
use super::half::f16;

/// Weights of the largest block.
pub(crate) const WEIGHTS: usize = 256;

/// What a block holds: an unsigned integer for each weight, the scales beside them.
pub(crate) struct Block {
    /// For each weight an integer, or the place of its level; see [`Meaning`].
    pub levels: [u8; WEIGHTS],
    /// The bits of the block's scale and minimum (or of the scale of its minima), as halves.
    pub scale: u16,
    pub minimum: u16,
    /// The integer scales and minima of parts of a large block (one for 32 weights in the first
    /// eight places, or one for 16), as they are used: signed ones in two's complement.
    pub scales: [u8; 16],
    pub minima: [u8; 16],
}

impl Block {
    pub(crate) fn new() -> Block {
        Block { levels: [0; WEIGHTS], scale: 0, minimum: 0, scales: [0; 16], minima: [0; 16] }
    }

    /// Takes the block in `bytes` apart, which has the length of a block of `format`.
    #[inline(always)]
    pub(crate) fn read(&mut self, format: Format, bytes: &[u8]) {
        match format {
            Format::Q8_0 => {
                self.scale = half(bytes, 0);
                for (level, byte) in self.levels.iter_mut().zip(&bytes[2..34]) {
                    *level = byte ^ 0x80;
                }
            }
            Format::Q4_0 | Format::Iq4Nl => {
                self.scale = half(bytes, 0);
                self.nibbles(16, &bytes[2..18]);
            }
            Format::Q4_1 => {
                (self.scale, self.minimum) = (half(bytes, 0), half(bytes, 2));
                self.nibbles(16, &bytes[4..20]);
            }
            Format::Q5_0 => {
                self.scale = half(bytes, 0);
                self.nibbles(16, &bytes[6..22]);
                self.fifth_bits(&bytes[2..6]);
            }
            Format::Q5_1 => {
                (self.scale, self.minimum) = (half(bytes, 0), half(bytes, 2));
                self.nibbles(16, &bytes[8..24]);
                self.fifth_bits(&bytes[4..8]);
            }
            Format::Q2K => {
                for (at, byte) in bytes[..16].iter().enumerate() {
                    (self.scales[at], self.minima[at]) = (byte & 15, byte >> 4);
                }
                self.levels.fill(0);
                self.pairs(0, &bytes[16..80]);
                (self.scale, self.minimum) = (half(bytes, 80), half(bytes, 82));
            }
            Format::Q3K => {
                self.levels.fill(0);
                self.pairs(0, &bytes[32..96]);
                self.bits(2, &bytes[..32]);
                self.signed_scales(&bytes[96..108]);
                self.scale = half(bytes, 108);
            }
            Format::Q4K => {
                (self.scale, self.minimum) = (half(bytes, 0), half(bytes, 2));
                self.scales_and_minima(&bytes[4..16]);
                self.nibbles(32, &bytes[16..144]);
            }
            Format::Q5K => {
                (self.scale, self.minimum) = (half(bytes, 0), half(bytes, 2));
                self.scales_and_minima(&bytes[4..16]);
                self.nibbles(32, &bytes[48..176]);
                self.bits(4, &bytes[16..48]);
            }
            Format::Q6K => {
                self.nibbles(64, &bytes[..128]);
                self.pairs(4, &bytes[128..192]);
                self.scales.copy_from_slice(&bytes[192..208]);
                self.scale = half(bytes, 208);
            }
            Format::F32 | Format::F16 | Format::BF16 => unreachable!("{format} has no blocks"),
        }
    }

    /// The values of the block.
    pub(crate) fn values(&self, format: Format, out: &mut [f32; WEIGHTS]) {
        let meaning = Meaning::of(format);
        let (scale, minimum) = (f16(self.scale), f16(self.minimum));
        for (at, (out, level)) in out.iter_mut().zip(self.levels).enumerate().take(format.block()) {
            let part = at / meaning.part;
            let level = if meaning.table { LEVELS[usize::from(level & 15)] } else { level };
            let number = f32::from(i16::from(level) - meaning.zero);
            let byte = self.scales[part % 16];
            let scale = match format {
                Format::Q3K | Format::Q6K => scale * f32::from(byte as i8),
                Format::Q2K | Format::Q4K | Format::Q5K => scale * f32::from(byte),
                _ => scale,
            };
            *out = match format {
                Format::Q4_1 | Format::Q5_1 => scale * number + minimum,
                Format::Q2K | Format::Q4K | Format::Q5K => {
                    scale * number - minimum * f32::from(self.minima[part % 16])
                }
                _ => scale * number,
            };
        }
    }

    /// Runs of `run` bytes: their low halves are `run` weights, their high halves the next.
    #[inline(always)]
    fn nibbles(&mut self, run: usize, bytes: &[u8]) {
        let levels = self.levels.chunks_exact_mut(2 * run);
        for (levels, bytes) in levels.zip(bytes.chunks_exact(run)) {
            let (low, high) = levels.split_at_mut(run);
            for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
                (*low, *high) = (byte & 15, byte >> 4);
            }
        }
    }

    /// A bit for each of 32 weights, in order.
    #[inline(always)]
    fn fifth_bits(&mut self, bytes: &[u8]) {
        let (levels, _) = self.levels.as_chunks_mut::<8>();
        for (levels, byte) in levels.iter_mut().zip(bytes) {
            for (at, level) in levels.iter_mut().enumerate() {
                *level |= (byte >> at & 1) << 4;
            }
        }
    }

    /// Two runs of 32 bytes with four times 32 weights of two bits each; put at bit `shift`.
    #[inline(always)]
    fn pairs(&mut self, shift: u32, bytes: &[u8]) {
        for (levels, bytes) in self.levels.chunks_exact_mut(128).zip(bytes.chunks_exact(32)) {
            for (at, levels) in levels.chunks_exact_mut(32).enumerate() {
                for (level, byte) in levels.iter_mut().zip(bytes) {
                    *level |= (byte >> (2 * at) & 3) << shift;
                }
            }
        }
    }

    /// 32 bytes with eight times 32 weights of one bit each; put at bit `shift`.
    #[inline(always)]
    fn bits(&mut self, shift: u32, bytes: &[u8]) {
        for (at, levels) in self.levels.chunks_exact_mut(32).enumerate() {
            for (level, byte) in levels.iter_mut().zip(bytes) {
                *level |= (byte >> at & 1) << shift;
            }
        }
    }

    /// Twelve bytes with eight scales and eight minima of six bits.
    #[inline(always)]
    fn scales_and_minima(&mut self, bytes: &[u8]) {
        for at in 0..4 {
            let (scale, minimum, both) = (bytes[at], bytes[at + 4], bytes[at + 8]);
            (self.scales[at], self.minima[at]) = (scale & 63, minimum & 63);
            self.scales[at + 4] = both & 15 | scale >> 6 << 4;
            self.minima[at + 4] = both >> 4 | minimum >> 6 << 4;
        }
    }

    /// Twelve bytes with sixteen scales of six bits around 32.
    #[inline(always)]
    fn signed_scales(&mut self, bytes: &[u8]) {
        for at in 0..16 {
            let low = bytes[at % 8] >> (at / 8 * 4) & 15;
            let high = bytes[8 + at % 4] >> (at / 4 * 2) & 3;
            self.scales[at] = (low | high << 4).wrapping_sub(32);
        }
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}
