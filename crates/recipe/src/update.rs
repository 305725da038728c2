//! An update on the wire: int8 blocks with error feedback.
//!
//! Encoding of `n` values: `⌈n/256⌉` scales as little-endian f32, then `n` signed bytes; value
//! `i` is `byte[i] · scale[i / 256]`. That is 1.016 bytes per parameter. What rounding lost is
//! kept by the worker in the same encoding and added to its next update, so that nothing is lost
//! for good (Seide et al. 2014; Karimireddy et al. 2019).

use kernel::Kernel;

/// Values per scale.
pub const BLOCK: usize = 256;

/// Why bytes are no update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Wrong length for the model.
    #[error("{actual} bytes, {expected} expected for {parameters} parameters")]
    Length {
        /// Bytes there are.
        actual: usize,
        /// Bytes that the model takes.
        expected: usize,
        /// Parameters of the model.
        parameters: usize,
    },
    /// A scale that is negative or no number.
    #[error("the scale of block {block} is {scale}")]
    Scale {
        /// Number of the block of [`BLOCK`] values, from 0.
        block: usize,
        /// The scale, as text: it may be no number.
        scale: String,
    },
    /// A byte outside ±127.
    #[error("value {at} is -128, outside the code")]
    Code {
        /// Index of the value, from 0.
        at: usize,
    },
}

/// Exact length in bytes of an update of `parameters` values.
pub fn encoded_len(parameters: usize) -> usize {
    parameters.div_ceil(BLOCK) * 4 + parameters
}

/// Encodes `values` and leaves in `values` what the encoding lost.
pub fn encode(kernel: &Kernel, values: &mut [f32]) -> Vec<u8> {
    let blocks = values.len().div_ceil(BLOCK);
    let mut scales = vec![0.0; blocks];
    let mut codes = vec![0i8; values.len()];
    kernel.quantize_i8(&mut codes, &mut scales, values);
    let mut decoded = vec![0.0; values.len()];
    kernel.dequantize_i8(&mut decoded, &codes, &scales);
    kernel.add_scaled(values, -1.0, &decoded);
    let mut bytes = Vec::with_capacity(encoded_len(values.len()));
    bytes.extend(scales.iter().flat_map(|s| s.to_le_bytes()));
    bytes.extend(codes.iter().map(|c| *c as u8));
    bytes
}

/// Decodes an update of `parameters` values.
///
/// Errors: [`UpdateError`] for anything [`encode`] does not write.
pub fn decode(kernel: &Kernel, bytes: &[u8], parameters: usize) -> Result<Vec<f32>, UpdateError> {
    let expected = encoded_len(parameters);
    if bytes.len() != expected {
        return Err(UpdateError::Length { actual: bytes.len(), expected, parameters });
    }
    let (scales, codes) = bytes.split_at(parameters.div_ceil(BLOCK) * 4);
    let scales: Vec<f32> = scales
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().expect("chunks of four")))
        .collect();
    if let Some(block) = scales.iter().position(|s| !s.is_finite() || s.is_sign_negative()) {
        return Err(UpdateError::Scale { block, scale: scales[block].to_string() });
    }
    let codes: Vec<i8> = codes.iter().map(|b| *b as i8).collect();
    if let Some(at) = codes.iter().position(|c| *c == i8::MIN) {
        return Err(UpdateError::Code { at });
    }
    let mut values = vec![0.0; parameters];
    kernel.dequantize_i8(&mut values, &codes, &scales);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Isa, random::Stream};

    fn values(n: usize) -> Vec<f32> {
        let stream = Stream::new(1, "test", 0);
        (0..n as u64).map(|i| stream.normal_at(i) * 1e-3).collect()
    }

    #[test]
    fn decoding_and_the_remainder_give_back_the_values() {
        let kernel = Kernel::new(Isa::best(), 1);
        for n in [1, 255, 256, 257, 1000] {
            let original = values(n);
            let mut rest = original.clone();
            let bytes = encode(&kernel, &mut rest);
            assert_eq!(bytes.len(), encoded_len(n));
            let decoded = decode(&kernel, &bytes, n).expect("round trip");
            for i in 0..n {
                assert!((decoded[i] + rest[i] - original[i]).abs() < 1e-9);
                assert!(rest[i].abs() < 2e-5, "half a step of 4e-3/127");
            }
        }
    }

    #[test]
    fn refuses_what_encode_does_not_write() {
        let kernel = Kernel::new(Isa::best(), 1);
        let good = encode(&kernel, &mut values(300));
        assert!(decode(&kernel, &good[1..], 300).is_err());
        for scale in [f32::NAN, f32::INFINITY, -1.0, -0.0] {
            let mut bad = good.clone();
            bad[4..8].copy_from_slice(&scale.to_le_bytes());
            assert!(matches!(decode(&kernel, &bad, 300), Err(UpdateError::Scale { block: 1, .. })));
        }
        let mut bad = good;
        bad[8 + 299] = 0x80;
        assert_eq!(decode(&kernel, &bad, 300), Err(UpdateError::Code { at: 299 }));
    }
}
