//! Elementary functions against f64; the bounds are those that the module's documentation states.
#![allow(clippy::disallowed_methods)] // the platform's functions in f64 are the reference

use kernel::math;
use kernel::random::Stream;

/// The distance in units of the last place of the rounded reference (subnormal spacing at least).
fn ulps(got: f32, expected: f64) -> f64 {
    let near = (expected as f32).abs().max(f32::MIN_POSITIVE);
    let spacing = f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near);
    (f64::from(got) - expected).abs() / spacing
}

fn worst(range: [f32; 2], got: fn(f32) -> f32, expected: fn(f64) -> f64) -> f64 {
    let stream = Stream::new(1, "math", 0);
    let (low, high) = (f64::from(range[0]), f64::from(range[1]));
    let steps = 400_000u64;
    let (mut worst, mut at) = (0.0, 0.0);
    for i in 0..steps {
        let along = (i as f64 + f64::from(stream.uniform_at(i))) / steps as f64;
        let x = (low + along * (high - low)) as f32;
        let error = ulps(got(x), expected(f64::from(x)));
        if error > worst {
            (worst, at) = (error, x);
        }
    }
    println!("{range:?}: {worst:.3} ulp at {at:e}");
    worst
}

/// Series near zero, continued fraction (Lentz) far out.
fn erf64(x: f64) -> f64 {
    let t = x.abs();
    let value = if t < 2.5 {
        let (mut term, mut sum) = (t, t);
        for n in 1..80 {
            term *= -t * t / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let tail = (1..60).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (t + tail));
        1.0 - (-t * t).exp() / (t + tail) / std::f64::consts::PI.sqrt()
    };
    value.copysign(x)
}

#[test]
fn errors_stay_below_the_documented_bounds() {
    assert!(worst([-87.0, 88.7], math::exp, f64::exp) <= 1.0);
    assert!(worst([-1.0, 1.0], math::exp, f64::exp) <= 1.0);
    assert!(worst([-103.0, -87.0], math::exp, f64::exp) <= 1.0);
    assert!(worst([0.4, 2.5], math::ln, f64::ln) <= 0.85);
    assert!(worst([0.0, 1e30], math::ln, f64::ln) <= 0.85);
    assert!(worst([0.0, 1e-38], math::ln, f64::ln) <= 0.85);
    for range in [[-10.0, 10.0], [-1e4, 1e4], [-1e6, 1e6]] {
        assert!(worst(range, math::sin, f64::sin) <= 0.51);
        assert!(worst(range, math::cos, f64::cos) <= 0.51);
    }
    assert!(worst([-0.7, 0.7], math::tanh, f64::tanh) <= 1.4);
    assert!(worst([-12.0, 12.0], math::tanh, f64::tanh) <= 1.4);
    assert!(worst([-1.0, 1.0], math::erf, erf64) <= 1.0);
    assert!(worst([-6.0, 6.0], math::erf, erf64) <= 1.0);
}

#[test]
fn f64_helpers_are_good_to_some_units_of_the_last_place() {
    let close = |got: f64, expected: f64| (got - expected).abs() <= 4e-16 * expected.abs();
    for i in -7000..7000 {
        let x = f64::from(i) * 0.1003;
        assert!(close(math::exp64(x), x.exp()), "exp64 {x}");
        assert!(close(math::ln64(x.exp()), x.exp().ln()), "ln64 {x}");
        assert!((math::sin64(x * 100.0) - (x * 100.0).sin()).abs() < 3e-16, "sin64 {x}");
        assert!((math::cos64(x * 100.0) - (x * 100.0).cos()).abs() < 3e-16, "cos64 {x}");
    }
    for (base, exponent) in [(10_000.0, 0.37), (2.0, 10.0), (0.9, 1000.0), (500_000.0, 0.984375)] {
        let (got, expected) = (math::pow64(base, exponent), f64::powf(base, exponent));
        assert!((got / expected - 1.0).abs() < 1e-13, "{base}^{exponent}: {got}");
    }
}

#[test]
fn special_values_are_total() {
    assert_eq!(math::exp(0.0), 1.0);
    assert_eq!(math::exp(f32::NEG_INFINITY), 0.0);
    assert_eq!(math::exp(-200.0), 0.0);
    assert_eq!(math::exp(89.0), f32::INFINITY);
    assert_eq!(math::exp(f32::INFINITY), f32::INFINITY);
    assert!(math::exp(88.72).is_finite());
    assert_eq!(math::ln(1.0), 0.0);
    assert_eq!(math::ln(0.0), f32::NEG_INFINITY);
    assert_eq!(math::ln(f32::INFINITY), f32::INFINITY);
    assert!(math::ln(-1.0).is_nan());
    assert_eq!(math::tanh(0.0), 0.0);
    assert_eq!(math::tanh(100.0), 1.0);
    assert_eq!(math::tanh(f32::NEG_INFINITY), -1.0);
    assert_eq!(math::erf(f32::INFINITY), 1.0);
    assert_eq!(math::erf(-30.0), -1.0);
    assert_eq!(math::sin(0.0), 0.0);
    assert_eq!(math::cos(0.0), 1.0);
    for f in [math::exp, math::ln, math::sin, math::cos, math::tanh, math::erf] {
        assert!(f(f32::NAN).is_nan());
    }
    assert!(math::sin(f32::INFINITY).is_nan());
    assert_eq!(math::exp64(f64::NEG_INFINITY), 0.0);
    assert_eq!(math::ln64(0.0), f64::NEG_INFINITY);
    assert_eq!(math::pow64(7.0, 0.0), 1.0);
}
