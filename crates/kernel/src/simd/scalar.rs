//! The specification: plain Rust on any machine.

use super::{Simd, Tile, plain_rows, tiles};

/// No extension at all.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

/// Eight values worked on side by side; the compiler may use whatever the baseline offers.
type Octet = [f32; 8];

impl Simd for Scalar {
    plain_rows!(fused);

    const ROWS: usize = 2;
    const PANEL: usize = 8;

    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        fused(a, b, c)
    }

    unsafe fn tile(t: &Tile) {
        // SAFETY: passed on to the caller.
        unsafe { tile(t) }
    }
}

tiles! { 8 / 8, load, store, splat, fma, fetch, [1 2] }

#[inline(always)]
unsafe fn load(from: *const f32) -> Octet {
    // SAFETY: the caller vouches for eight readable values; the cast keeps their alignment.
    unsafe { *from.cast::<Octet>() }
}

#[inline(always)]
unsafe fn store(to: *mut f32, value: Octet) {
    // SAFETY: the caller vouches for eight writable values.
    unsafe { *to.cast::<Octet>() = value }
}

#[inline(always)]
fn splat(value: f32) -> Octet {
    [value; 8]
}

#[inline(always)]
fn fma(a: Octet, b: Octet, c: Octet) -> Octet {
    std::array::from_fn(|l| fused(a[l], b[l], c[l]))
}

/// `a * b + c` rounded once.
///
/// Where the baseline has no such instruction, the platform's `fmaf` would be called for each
/// value; this computes in f64 instead. The product is exact there, and the sum is rounded to odd
/// (its error, known from the two-sum, decides the last bit), so rounding it again to f32 is as if
/// it had been rounded once. Source: Boldo & Melquiond 2008, "Emulation of FMA and correctly
/// rounded sums: proved algorithms using rounding to odd".
#[inline(always)]
pub(crate) fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        return a.mul_add(b, c);
    }
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    let bits = sum.to_bits();
    // Towards zero when the error points there, else away from it. NaN errors (an infinite sum)
    // compare as neither and leave the sum alone.
    let inexact = error.abs() > 0.0;
    let outwards = (error > 0.0) == (sum > 0.0);
    let odd = if outwards { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let rounded = if inexact && bits & 1 == 0 { odd } else { bits };
    f64::from_bits(rounded) as f32
}

/// No hint here.
#[inline(always)]
fn fetch(_line: *const f32) {}

#[cfg(test)]
mod tests {
    use super::fused;
    use crate::random::Stream;

    #[test]
    fn the_emulation_rounds_like_the_fused_operation() {
        let stream = Stream::new(1, "fused", 0);
        let mut checked = 0;
        for i in 0..200_000u64 {
            let [a, b, mut c] = [0, 1, 2].map(|j| f32::from_bits(stream.u32_at(3 * i + j)));
            if i % 2 == 0 {
                // Near cancellation and half-way cases.
                c = -(a * b) * (1.0 + (stream.u32_at(3 * i) % 5) as f32 * f32::EPSILON);
            }
            let (got, want) = (fused(a, b, c), a.mul_add(b, c));
            assert!(
                got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                "{a:e} * {b:e} + {c:e}: {got:e}, not {want:e}"
            );
            checked += usize::from(want.is_finite());
        }
        assert!(checked > 90_000);
    }

    #[test]
    fn ties_and_subnormals_round_once() {
        let tiny = f32::from_bits(1);
        for (a, b, c) in [
            (1.0 + f32::EPSILON, 1.0 + f32::EPSILON, tiny),
            (1.0 + f32::EPSILON, 1.0 - f32::EPSILON, -tiny),
            (tiny, 0.5, tiny),
            (tiny, 0.5, f32::MIN_POSITIVE),
            (f32::MIN_POSITIVE, 1.0 - f32::EPSILON / 2.0, -tiny),
            (-tiny, tiny, 0.0),
            (1.5, -tiny, tiny),
            (16_777_217.0, 1.0, tiny),
        ] {
            assert_eq!(fused(a, b, c).to_bits(), a.mul_add(b, c).to_bits(), "{a:e} {b:e} {c:e}");
        }
    }
}
