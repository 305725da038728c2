//! What a worker carries from one contribution into its next: what the compression of its update
//! lost, and the inner optimizer's moments.
//!
//! Without the moments AdamW would begin each round with steps of full size in directions that
//! one batch gives; with them, training apart comes much closer to training together. Encoding of
//! `n` values: the number of inner steps so far as little-endian `u32`, then three codes as in
//! [`crate::update`]: the loss of the compression, the first moments rounded towards zero, the
//! square roots of the second moments rounded up. So no step becomes longer than it was, and what
//! [`crate::bounds`] says of the moments goes on to hold. Together 3.05 bytes per parameter.

use crate::update::{self, BLOCK, UpdateError, encoded_len};
use kernel::Kernel;

/// A carry, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Carry {
    /// What the compression of the last update lost.
    pub lost: Vec<f32>,
    /// First moments.
    pub m: Vec<f32>,
    /// Square roots of the second moments; none is negative.
    pub root: Vec<f32>,
    /// Inner steps that went into the moments.
    pub steps: u32,
}

/// Exact length in bytes of the carry of a model of `parameters` values.
pub fn carry_len(parameters: usize) -> usize {
    4 + 3 * encoded_len(parameters)
}

impl Carry {
    /// Encodes what compression `lost`, and the moments `m` and `v` after `steps` steps; all
    /// three have the model's number of values.
    pub fn encode(
        kernel: &Kernel,
        mut lost: Vec<f32>,
        m: &[f32],
        v: &[f32],
        steps: u32,
    ) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(carry_len(lost.len()));
        bytes.extend(steps.to_le_bytes());
        bytes.extend(update::encode(kernel, &mut lost));
        encode_rounded(&mut bytes, m, |m| m, f32::trunc);
        encode_rounded(&mut bytes, v, f32::sqrt, f32::ceil);
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
        let (lost, m, root) = (part()?, part()?, part()?);
        if let Some(at) = root.iter().position(|root| *root < 0.0) {
            return Err(UpdateError::Code { at });
        }
        let steps = u32::from_le_bytes(steps.try_into().expect("split at four"));
        Ok(Self { lost, m, root, steps })
    }

    /// The second moments.
    pub fn second(&self) -> Vec<f32> {
        self.root.iter().map(|root| root * root).collect()
    }
}

/// Appends scales and codes of `value` of everything in `values`, each code rounded by `round`.
fn encode_rounded(
    bytes: &mut Vec<u8>,
    values: &[f32],
    value: impl Fn(f32) -> f32,
    round: impl Fn(f32) -> f32,
) {
    let first = bytes.len();
    bytes.resize(first + encoded_len(values.len()), 0);
    let (scales, codes) = bytes[first..].split_at_mut(values.len().div_ceil(BLOCK) * 4);
    for ((values, scale), codes) in
        values.chunks(BLOCK).zip(scales.chunks_exact_mut(4)).zip(codes.chunks_mut(BLOCK))
    {
        let largest = values.iter().fold(0.0f32, |most, x| most.max(value(*x).abs()));
        let step = largest / 127.0;
        scale.copy_from_slice(&step.to_le_bytes());
        if step == 0.0 {
            continue;
        }
        for (code, x) in codes.iter_mut().zip(values) {
            *code = (round(value(*x) / step).clamp(-127.0, 127.0) as i8) as u8;
        }
    }
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
        let root = values(2).iter().map(|x| x.abs()).collect();
        Carry { lost: values(0), m: values(1), root, steps: 7 }
    }

    fn encoded(kernel: &Kernel, n: usize) -> Vec<u8> {
        let carry = carry(n);
        Carry::encode(kernel, carry.lost.clone(), &carry.m, &carry.second(), carry.steps)
    }

    #[test]
    fn comes_back_within_a_step_of_the_code_first_moments_never_larger_second_never_smaller() {
        let kernel = Kernel::new(Isa::best(), 1);
        for n in [1, 256, 257, 1000] {
            let bytes = encoded(&kernel, n);
            assert_eq!(bytes.len(), carry_len(n));
            let (was, is) = (carry(n), Carry::decode(&kernel, &bytes, n).expect("round trip"));
            assert_eq!(is.steps, 7);
            for i in 0..n {
                assert!((was.lost[i] - is.lost[i]).abs() < 2e-5);
                let (m, step) = (was.m[i], 5e-5);
                assert!(is.m[i] * m.signum() >= 0.0 && is.m[i].abs() < m.abs() * 1.000_01);
                assert!(is.m[i].abs() > m.abs() - step, "{m} became {}", is.m[i]);
                let (was, is) = (was.root[i], is.root[i]);
                assert!(is > was * 0.999_99 && is < was + step, "{was} became {is}");
            }
        }
    }

    #[test]
    fn refuses_what_encode_does_not_write() {
        let kernel = Kernel::new(Isa::best(), 1);
        let good = encoded(&kernel, 300);
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

    #[test]
    fn blocks_of_zeros_and_of_the_smallest_numbers_come_back() {
        let kernel = Kernel::new(Isa::best(), 1);
        for tiny in [0.0, 1e-45, 1e-43, 1e-38] {
            let values = vec![tiny; 257];
            let bytes = Carry::encode(&kernel, vec![0.0; 257], &values, &values, 1);
            let back = Carry::decode(&kernel, &bytes, 257).expect("as it was written");
            assert!(back.m.iter().all(|m| *m <= tiny) && back.root[0] >= tiny);
        }
    }
}
