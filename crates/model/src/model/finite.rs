//! Whether weights are numbers at all.

use kernel::Format;

use crate::format::{f16_to_f32, u16_from_le};

/// Whether no weight in rows of a format is infinite or no number: its floats, or the scales of
/// its blocks, which are halves at fixed places.
pub(super) fn is_finite(format: Format, rows: &[u8]) -> bool {
    let halves: &[usize] = match format {
        Format::F32 => {
            return rows.chunks_exact(4).fold(true, |all, b| all & (exponent(b) < 0x7f80));
        }
        Format::BF16 => return u16_from_le(rows).fold(true, |all, b| all & (b & 0x7f80 < 0x7f80)),
        Format::F16 => return u16_from_le(rows).fold(true, |all, b| all & (b & 0x7c00 < 0x7c00)),
        Format::Q8_0 | Format::Q4_0 | Format::Q5_0 | Format::Iq4Nl => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
        Format::Q2K => &[80, 82],
        Format::Q3K => &[108],
        Format::Q6K => &[208],
    };
    let block = |block: &[u8]| {
        let half = |&at: &usize| f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]));
        halves.iter().all(|at| half(at).is_finite())
    };
    rows.chunks_exact(format.block_bytes()).all(block)
}

/// The exponent of a little-endian `f32`, in the place that it has in the upper half.
fn exponent(float: &[u8]) -> u16 {
    u16::from_le_bytes([float[2], float[3]]) & 0x7f80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_scale_or_float_that_is_none_is_found() {
        for format in Format::ALL {
            let mut rows = vec![0u8; 3 * format.block_bytes()];
            assert!(is_finite(format, &rows), "{format}: zeros");
            // Every pair of bytes in turn: some of them must be floats or scales.
            let mut found = 0;
            for at in (0..rows.len()).step_by(2) {
                rows[at..at + 2].copy_from_slice(&0x7f80u16.to_le_bytes());
                found += usize::from(!is_finite(format, &rows));
                rows[at..at + 2].fill(0);
            }
            let want = match format {
                Format::F32 | Format::F16 | Format::BF16 => 3,
                Format::Q8_0 | Format::Q4_0 | Format::Q5_0 | Format::Iq4Nl => 3,
                Format::Q3K | Format::Q6K => 3,
                _ => 6,
            };
            assert_eq!(found, want, "{format}");
        }
    }
}
