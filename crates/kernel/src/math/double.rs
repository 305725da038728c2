//! f64 helpers for tables, schedules and checks: the same bits everywhere, not fast.

const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// π/2 in three parts; the first two have 33 bits, so multiples up to 2²⁰ are exact.
const HALF_PI: [f64; 3] =
    [1.570_796_326_734_125_6, 6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21];

/// `e^x` in f64, within 2 ulp where the result is a normal number; below that it is 0.
pub fn exp64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 709.78 {
        return f64::INFINITY;
    }
    if x < -708.0 {
        return 0.0;
    }
    let n = (x * std::f64::consts::LOG2_E).round_ties_even();
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor to r^13: |r| ≤ 0.347, so the rest is below 1e-17.
    let sum = INVERSE_FACTORIALS[..14].iter().rev().fold(0.0, |sum, c| sum * r + c);
    // n can be 1024 at the very top, one more than an exponent holds.
    let half = (n as i64) / 2;
    sum * power_of_two(half) * power_of_two(n as i64 - half)
}

/// The natural logarithm in f64, within 2 ulp for normal numbers; `-inf` at zero, NaN below.
pub fn ln64(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x < f64::MIN_POSITIVE {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let e = (shifted as i64 >> 52) as f64;
    let m = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff) + SQRT_HALF_BITS);
    // ln m = 2 artanh(s); |s| ≤ 0.172, so the term after s^23 is below 1e-18.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for i in (1..=11).rev() {
        sum = (sum + 1.0 / f64::from(2 * i + 1)) * square;
    }
    e * LN2_HIGH + (2.0 * s + (2.0 * s * sum + e * LN2_LOW))
}

/// `base^exponent` in f64 for a positive base, through the logarithm.
pub fn pow64(base: f64, exponent: f64) -> f64 {
    if exponent == 0.0 { 1.0 } else { exp64(exponent * ln64(base)) }
}

/// The sine in f64 of `x` radians, |x| up to 10⁶; beyond, the error grows.
#[inline(always)]
pub fn sin64(x: f64) -> f64 {
    let (quadrant, r) = reduce(x);
    by_quadrant(quadrant, r)
}

/// The cosine in f64 of `x` radians, |x| up to 10⁶; beyond, the error grows.
#[inline(always)]
pub fn cos64(x: f64) -> f64 {
    let (quadrant, r) = reduce(x);
    by_quadrant(quadrant.wrapping_add(1), r)
}

/// `x` as quadrant · π/2 + r with |r| ≤ π/4 (NaN for what is not finite).
#[inline(always)]
fn reduce(x: f64) -> (u64, f64) {
    /// 1.5 · 2⁵²: adding it rounds to an integer that stands in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let shifted = x * std::f64::consts::FRAC_2_PI + ROUND;
    let n = shifted - ROUND;
    let r = ((x - n * HALF_PI[0]) - n * HALF_PI[1]) - n * HALF_PI[2];
    (shifted.to_bits(), r)
}

/// The sine of quadrant · π/2 + r; both polynomials, no branch.
#[inline(always)]
fn by_quadrant(quadrant: u64, r: f64) -> f64 {
    let value = if quadrant & 1 == 0 { sine(r) } else { cosine(r) };
    if quadrant & 2 == 0 { value } else { -value }
}

/// Taylor to r^19: the rest is below 1e-20 for |r| ≤ π/4.
#[inline(always)]
fn sine(r: f64) -> f64 {
    r + r * -(r * r) * alternating([3, 5, 7, 9, 11, 13, 15, 17, 19], r * r)
}

/// Taylor to r^20.
#[inline(always)]
fn cosine(r: f64) -> f64 {
    1.0 - r * r * alternating([2, 4, 6, 8, 10, 12, 14, 16, 18, 20], r * r)
}

/// `1/a! − x/b! + x²/c! − …` for the given numbers, from the last term on.
#[inline(always)]
fn alternating<const N: usize>(numbers: [usize; N], x: f64) -> f64 {
    let mut sum = 0.0;
    for n in numbers.into_iter().rev() {
        sum = INVERSE_FACTORIALS[n] - sum * x;
    }
    sum
}

/// 1/n! for n from 0 to 20.
const INVERSE_FACTORIALS: [f64; 21] = {
    let mut table = [1.0; 21];
    let (mut n, mut factorial) = (1, 1u64);
    while n < table.len() {
        factorial *= n as u64; // 20! is below 2⁶³
        table[n] = 1.0 / factorial as f64;
        n += 1;
    }
    table
};

fn power_of_two(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

const SQRT_HALF_BITS: u64 = 0x3fe6_a09e_667f_3bcd;
