//! The element types of files, and which of them can be run.

use kernel::Format;

use crate::dtype::Dtype;

/// An element type: how many bytes a block of so many elements takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementType {
    /// Its name in its own format, e.g. `Q4_K` or `BF16`.
    pub name: &'static str,
    /// Elements of a block; a row is a whole number of blocks.
    pub block: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// How it is computed with; `None` where it is not.
    pub format: Option<Format>,
}

impl ElementType {
    /// The type of this number in GGUF.
    pub fn of_gguf(kind: u32) -> Option<ElementType> {
        let (_, name, block, block_bytes) = *GGUF.iter().find(|entry| entry.0 == kind)?;
        let format = Format::ALL.into_iter().find(|format| format.name() == name);
        Some(ElementType { name, block, block_bytes, format })
    }

    /// The type of this name, in either format.
    pub fn of_name(name: &str) -> Option<ElementType> {
        let gguf = GGUF.iter().find(|entry| entry.1 == name);
        let number = gguf.and_then(|entry| ElementType::of_gguf(entry.0));
        number.or_else(|| {
            let mut all = Dtype::ALL.into_iter().map(ElementType::of_safetensors);
            all.find(|element| element.name == name)
        })
    }

    /// The type of this name in safetensors.
    pub fn of_safetensors(dtype: Dtype) -> ElementType {
        let (name, format) = match dtype {
            Dtype::BOOL => ("BOOL", None),
            Dtype::U8 => ("U8", None),
            Dtype::I8 => ("I8", None),
            Dtype::F8_E5M2 => ("F8_E5M2", None),
            Dtype::F8_E4M3 => ("F8_E4M3", None),
            Dtype::I16 => ("I16", None),
            Dtype::U16 => ("U16", None),
            Dtype::F16 => ("F16", Some(Format::F16)),
            Dtype::BF16 => ("BF16", Some(Format::BF16)),
            Dtype::I32 => ("I32", None),
            Dtype::U32 => ("U32", None),
            Dtype::F32 => ("F32", Some(Format::F32)),
            Dtype::I64 => ("I64", None),
            Dtype::U64 => ("U64", None),
            Dtype::F64 => ("F64", None),
        };
        ElementType { name, block: 1, block_bytes: dtype.size(), format }
    }

    /// Bytes of a tensor of this shape; `None` for rows that are not whole blocks, and overflow.
    pub fn byte_size(&self, shape: &[usize]) -> Option<u64> {
        if !shape.last().is_none_or(|row| row.is_multiple_of(self.block)) {
            return None;
        }
        let count = shape.iter().try_fold(1u64, |count, &n| count.checked_mul(n as u64))?;
        (count / self.block as u64).checked_mul(self.block_bytes as u64)
    }
}

/// (number, name, elements of a block, bytes of a block). Source: ggml's list of types.
const GGUF: [(u32, &str, usize, usize); 34] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_agree_with_their_kernels_about_sizes() {
        let mut found = 0;
        for (kind, ..) in GGUF {
            let element = ElementType::of_gguf(kind).expect("listed");
            if let Some(format) = element.format {
                assert_eq!(format.block(), element.block, "{}", element.name);
                assert_eq!(format.block_bytes(), element.block_bytes, "{}", element.name);
                found += 1;
            }
        }
        assert_eq!(found, Format::ALL.len());
        assert_eq!(ElementType::of_gguf(4), None);
    }

    #[test]
    fn sizes_want_whole_blocks_and_do_not_overflow() {
        let q4 = ElementType::of_gguf(2).expect("listed");
        assert_eq!(q4.byte_size(&[3, 64]), Some(3 * 36));
        assert_eq!(q4.byte_size(&[3, 40]), None);
        assert_eq!(q4.byte_size(&[usize::MAX, 64]), None);
    }
}
