//! What a worker carries from one contribution into its next: what the compression of its update
//! lost, and the inner optimizer's moments.
//!
//! Without the moments AdamW would begin each round with steps of full size in directions that
//! one batch gives; with them, training apart comes much closer to training together. Encoding of
//! `n` values: the number of inner steps so far as little-endian `u32`, then three codes as in
//! [`crate::update`]: the loss of the compression, the first moments, the square roots of the
//! second moments. These are rounded up, so that no step becomes longer than it was. Together
//! 3.05 bytes per parameter.

use crate::update::{self, BLOCK, UpdateError, encoded_len};
use kernel::Kernel;

/// A carry, decoded.
pub struct Carry {
    /// What the compression of the last update lost.
    pub lost: Vec<f32>,
    /// First moments.
    pub m: Vec<f32>,
    /// Second moments.
    pub v: Vec<f32>,
    /// Inner steps that went into the moments.
    pub steps: u32,
}

/// Exact length in bytes of the carry of a model of `parameters` values.
pub fn carry_len(parameters: usize) -> usize {
    4 + 3 * encoded_len(parameters)
}

impl Carry {
    /// Encodes; all three vectors have the model's number of values.
    pub fn encode(mut self, kernel: &Kernel) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(carry_len(self.lost.len()));
        bytes.extend(self.steps.to_le_bytes());
        bytes.extend(update::encode(kernel, &mut self.lost));
        bytes.extend(update::encode(kernel, &mut self.m));
        bytes.extend(encode_roots(&self.v));
        bytes
    }

    /// Decodes the carry of a model of `parameters` values.
    ///
    /// Errors: [`UpdateError`] for anything [`Carry::encode`] does not write.
    pub fn decode(kernel: &Kernel, bytes: &[u8], parameters: usize) -> Result<Self, UpdateError> {
        let (actual, expected) = (bytes.len(), carry_len(parameters));
        if actual != expected {
            return Err(UpdateError::Length { actual, expected, parameters });
        }
        let (steps, codes) = bytes.split_at(4);
        let mut parts = codes.chunks_exact(encoded_len(parameters));
        let mut part = || update::decode(kernel, parts.next().unwrap_or(&[]), parameters);
        let (lost, m, mut v) = (part()?, part()?, part()?);
        if let Some(at) = v.iter().position(|root| *root < 0.0) {
            return Err(UpdateError::Code { at });
        }
        v.iter_mut().for_each(|root| *root *= *root);
        let steps = u32::from_le_bytes(steps.try_into().expect("split at four"));
        Ok(Self { lost, m, v, steps })
    }
}

/// The square roots of `v`, coded so that none decodes to less than it was (but for rounding).
fn encode_roots(v: &[f32]) -> Vec<u8> {
    let mut scales = Vec::with_capacity(v.len().div_ceil(BLOCK));
    let mut codes = Vec::with_capacity(v.len());
    for block in v.chunks(BLOCK) {
        let largest = block.iter().fold(0.0f32, |most, v| most.max(*v));
        let scale = largest.sqrt() / 127.0;
        let code = |v: &f32| if scale > 0.0 { (v.sqrt() / scale).ceil().min(127.0) } else { 0.0 };
        scales.extend(scale.to_le_bytes());
        codes.extend(block.iter().map(|v| code(v) as u8));
    }
    scales.extend(codes);
    scales
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Isa, random::Stream};

    fn carry(n: usize) -> Carry {
        let values = |item| {
            let stream = Stream::new(1, "test", item);
            (0..n as u64).map(move |i| stream.normal_at(i) * 1e-3).collect::<Vec<f32>>()
        };
        let v = values(2).iter().map(|x| x * x).collect();
        Carry { lost: values(0), m: values(1), v, steps: 7 }
    }

    #[test]
    fn comes_back_within_a_step_of_the_code_and_second_moments_never_smaller() {
        let kernel = Kernel::new(Isa::best(), 1);
        for n in [1, 256, 257, 1000] {
            let bytes = carry(n).encode(&kernel);
            assert_eq!(bytes.len(), carry_len(n));
            let (was, is) = (carry(n), Carry::decode(&kernel, &bytes, n).expect("round trip"));
            assert_eq!(is.steps, 7);
            for i in 0..n {
                assert!(
                    (was.lost[i] - is.lost[i]).abs() < 2e-5 && (was.m[i] - is.m[i]).abs() < 2e-5
                );
                let (was, is) = (was.v[i].sqrt(), is.v[i].sqrt());
                assert!(is > was * 0.999_99 && is < was + 5e-5, "{was} became {is}");
            }
        }
    }

    #[test]
    fn refuses_what_encode_does_not_write() {
        let kernel = Kernel::new(Isa::best(), 1);
        let good = carry(300).encode(&kernel);
        assert!(Carry::decode(&kernel, &good[1..], 300).is_err());
        let mut negative = good.clone();
        *negative.last_mut().expect("not empty") = 0xff;
        assert_eq!(
            Carry::decode(&kernel, &negative, 300).err(),
            Some(UpdateError::Code { at: 299 })
        );
        let mut scale = good;
        scale[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(matches!(Carry::decode(&kernel, &scale, 300), Err(UpdateError::Scale { .. })));
    }
}
