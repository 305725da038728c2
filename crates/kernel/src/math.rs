//! Elementary functions that give the same bits everywhere.
//!
//! Made of + − × ÷ √, fused multiply-add and integer operations only; nothing here calls the
//! platform's mathematical library. All are total: NaN gives NaN, overflow gives infinity.
//! The largest errors against f64 references, measured over dense samples (see the tests):
//!
//! | function | domain | largest error |
//! | --- | --- | --- |
//! | [`exp`] | all | 1.0 ulp |
//! | [`ln`] | all | 0.85 ulp |
//! | [`sin`], [`cos`] | ±10⁶ | 0.51 ulp |
//! | [`tanh`] | all | 1.4 ulp |
//! | [`erf`] | all | 1.0 ulp |

mod double;

pub use double::{cos64, exp64, ln64, pow64, sin64};

use crate::simd::Simd;
use crate::simd::scalar::Scalar;

/// `e^x`.
pub fn exp(x: f32) -> f32 {
    exp_with::<Scalar>(x)
}

/// The natural logarithm; `-inf` at zero, NaN below.
pub fn ln(x: f32) -> f32 {
    ln_with::<Scalar>(x)
}

/// The sine of `x` radians. Beyond ±10⁶ the error grows; the bits stay the same everywhere.
pub fn sin(x: f32) -> f32 {
    sin64(f64::from(x)) as f32
}

/// The cosine of `x` radians. Beyond ±10⁶ the error grows; the bits stay the same everywhere.
pub fn cos(x: f32) -> f32 {
    cos64(f64::from(x)) as f32
}

/// The hyperbolic tangent.
pub fn tanh(x: f32) -> f32 {
    tanh_with::<Scalar>(x)
}

/// The error function.
pub fn erf(x: f32) -> f32 {
    erf_with::<Scalar>(x)
}

/// 1.5 · 2²³: adding it rounds to an integer (ties to even) that stands in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has few enough bits that its product with an exponent is exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `e^x` as 2^n · e^r with |r| ≤ ln 2 / 2. Polynomial: Moshier's Cephes, expf.
#[inline(always)]
pub(crate) fn exp_with<S: Simd>(x: f32) -> f32 {
    // Beyond these the result is zero or infinity anyway; NaN fails both and stays.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = S::fma(x, std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let r = S::fma(whole, -LN2_HIGH, x);
    let r = S::fma(whole, -LN2_LOW, r);
    let p = S::fma(1.987_569_1e-4, r, 1.398_199_9e-3);
    let p = S::fma(p, r, 8.333_452e-3);
    let p = S::fma(p, r, 4.166_579_6e-2);
    let p = S::fma(p, r, 1.666_666_5e-1);
    let p = S::fma(p, r, 0.5);
    let p = S::fma(p, r * r, r) + 1.0;
    // 2^n in two factors, as n may lie outside the range of an exponent by itself.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `ln x` as e · ln 2 + ln(1 + r) with 1 + r in [√½, √2). Polynomial: Moshier's Cephes, logf.
#[inline(always)]
pub(crate) fn ln_with<S: Simd>(x: f32) -> f32 {
    // Subnormal numbers are scaled up first.
    let small = x < f32::MIN_POSITIVE;
    let scaled = if small { x * 8_388_608.0 } else { x };
    let bits = scaled.to_bits();
    let shifted = bits.wrapping_sub(0x3f35_04f3); // √½
    let e = (shifted as i32 >> 23) - if small { 23 } else { 0 };
    let r = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let e = e as f32;
    let p = S::fma(7.037_683_6e-2, r, -1.151_461e-1);
    let p = S::fma(p, r, 1.167_699_9e-1);
    let p = S::fma(p, r, -1.242_014_1e-1);
    let p = S::fma(p, r, 1.424_932_3e-1);
    let p = S::fma(p, r, -1.666_805_8e-1);
    let p = S::fma(p, r, 2.000_071_5e-1);
    let p = S::fma(p, r, -2.499_999_4e-1);
    let p = S::fma(p, r, 3.333_333e-1);
    let square = r * r;
    let tail = S::fma(p * r, square, e * LN2_LOW);
    let tail = S::fma(-0.5, square, tail);
    let y = S::fma(e, LN2_HIGH, r + tail);
    if x > 0.0 {
        if x == f32::INFINITY { x } else { y }
    } else if x == 0.0 {
        f32::NEG_INFINITY
    } else {
        f32::NAN
    }
}

/// Polynomial below 0.625 (Moshier's Cephes, tanhf), above it 1 − 2 / (e^2x + 1).
#[inline(always)]
pub(crate) fn tanh_with<S: Simd>(x: f32) -> f32 {
    let t = x.abs();
    let square = x * x;
    let p = S::fma(-5.704_988_7e-3, square, 2.063_909e-2);
    let p = S::fma(p, square, -5.373_971_6e-2);
    let p = S::fma(p, square, 1.333_144_2e-1);
    let p = S::fma(p, square, -3.333_328e-1);
    let near = S::fma(p * square, x, x);
    let far = 1.0 - 2.0 / (exp_with::<S>(2.0 * t) + 1.0);
    if t < 0.625 { near } else { far.copysign(x) }
}

/// Two polynomials that meet at 475/512; the outer one is 1 − e^p. Source: N. Juffa's `my_erff`.
#[inline(always)]
pub(crate) fn erf_with<S: Simd>(x: f32) -> f32 {
    let t = x.abs();
    let square = x * x;
    let p = S::fma(-1.728_534_7e-5, t, 3.831_972e-4);
    let q = S::fma(-3.883_964_4e-3, t, 2.425_462_2e-2);
    let p = S::fma(p, square, q);
    let p = S::fma(p, t, -1.067_778_8e-1);
    let p = S::fma(p, t, -6.348_467e-1);
    let p = S::fma(p, t, -1.287_175_1e-1);
    let p = S::fma(p, t, -t);
    let far = 1.0 - exp_with::<S>(p);
    let q = S::fma(-5.967_617e-4, square, 4.991_194_2e-3);
    let q = S::fma(q, square, -2.676_813_5e-2);
    let q = S::fma(q, square, 1.128_199_25e-1);
    let q = S::fma(q, square, -3.761_253_4e-1);
    let q = S::fma(q, square, 1.283_791_7e-1);
    let near = S::fma(q, x, x);
    // Far out the polynomial turns; erf is 1 to the last bit from 4 on.
    let far = if t > 4.0 { 1.0 } else { far };
    if t > 0.927_734_4 { far.copysign(x) } else { near }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid_with<S: Simd>(x: f32) -> f32 {
    1.0 / (1.0 + exp_with::<S>(-x))
}
