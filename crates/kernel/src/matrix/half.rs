//! Half-precision numbers, widened exactly.

/// The value of an IEEE 754 binary16; a signalling NaN becomes quiet.
#[inline(always)]
pub(crate) fn f16(bits: u16) -> f32 {
    /// 2¹¹²: the difference of the exponents' biases.
    const SCALE: f32 = f32::from_bits((127 + 112) << 23);
    let (sign, size) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff) << 13);
    // A product with a power of two is exact, for subnormal numbers too.
    let finite = (f32::from_bits(size) * SCALE).to_bits();
    let quiet = if size > 0x0f80_0000 { 0x0040_0000 } else { 0 };
    let special = size | 0x7f80_0000 | quiet;
    f32::from_bits(sign | if size >= 0x0f80_0000 { special } else { finite })
}

/// The value of a bfloat16, the upper half of an f32.
#[inline(always)]
pub(crate) fn bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::{bf16, f16};

    /// The definition: sign, five bits of exponent, ten of fraction.
    #[test]
    fn every_half_has_the_value_of_its_definition() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let size = match exponent {
                0 => fraction / 1024.0 / 16384.0,
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => {
                    (1.0 + fraction / 1024.0)
                        * f64::from(f32::from_bits((exponent as u32 + 112) << 23))
                }
            };
            let expected = if bits >> 15 == 1 { -size } else { size } as f32;
            let got = f16(bits);
            assert!(
                got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan()),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn a_bfloat16_is_the_upper_half_of_an_f32() {
        for value in [0.0f32, -0.0, 1.0, -2.5, f32::INFINITY, 3.0e38] {
            let bits = (value.to_bits() >> 16) as u16;
            assert_eq!(bf16(bits).to_bits(), value.to_bits() & 0xffff_0000);
        }
    }
}
