//! What the file formats share.

use std::path::{Path, PathBuf};

use crate::DecoderError;

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes are not what they should be; says what, where, and the numbers.
    #[error("{0}")]
    Malformed(String),
    /// The same, with what can be done about it.
    #[error("{text}")]
    Refused {
        /// What it is, and where.
        text: String,
        /// What to do.
        todo: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The model's shape is refused.
    #[error(transparent)]
    Config(#[from] DecoderError),
}

impl FormatError {
    /// [`FormatError::Malformed`] with this text.
    pub fn new(text: impl Into<String>) -> FormatError {
        FormatError::Malformed(text.into())
    }

    /// [`FormatError::Refused`] with this text, and what to do.
    pub fn refused(text: impl Into<String>, todo: impl Into<String>) -> FormatError {
        FormatError::Refused { text: text.into(), todo: todo.into() }
    }

    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&str> {
        match self {
            FormatError::Refused { todo, .. } => Some(todo),
            _ => None,
        }
    }

    /// The same with the file's name before it.
    pub(crate) fn in_file(self, path: &Path) -> FormatError {
        let named = |text: String| format!("{}: {text}", path.display());
        match self {
            FormatError::Malformed(text) => FormatError::Malformed(named(text)),
            FormatError::Refused { text, todo } => FormatError::Refused { text: named(text), todo },
            other => other,
        }
    }

    /// [`FormatError::Io`] about this file.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> FormatError {
        let path = path.to_owned();
        move |source| FormatError::Io { path, source }
    }
}

/// The `f32` of an IEEE half; exact.
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match (exponent, fraction) {
        (0, _) => {
            // Zero or subnormal: fraction · 2⁻²⁴, exact in f32.
            let value = fraction as f32 * f32::from_bits((127 - 24) << 23);
            f32::from_bits(value.to_bits() | sign)
        }
        (31, _) => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13),
    }
}

/// The `f32` of a bfloat16; exact.
pub(crate) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Little-endian bytes to `f32`; the caller has checked the length.
pub(crate) fn f32_from_le(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Little-endian bytes to 16-bit words.
pub(crate) fn u16_from_le(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]))
}

/// Writes floats as little-endian bytes, a buffer at a time.
pub(crate) fn write_f32(out: &mut impl std::io::Write, values: &[f32]) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(4 * values.len().min(1 << 14));
    for chunk in values.chunks(1 << 14) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|x| x.to_le_bytes()));
        out.write_all(&buffer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_widen_exactly() {
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc500, -5.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x7c00, f32::INFINITY),
        ];
        for (bits, value) in cases {
            assert_eq!(f16_to_f32(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(f16_to_f32(0x7e00).is_nan());
        assert_eq!(bf16_to_f32(0xbf80), -1.0);
    }
}
