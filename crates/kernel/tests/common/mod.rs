//! Shared by the tests: inputs, every kernel of this machine, comparisons.
#![allow(dead_code)] // not every test file uses everything

use kernel::random::Stream;
use kernel::{Isa, Kernel};

/// Normal numbers from a seed.
pub fn normals(seed: u64, count: usize) -> Vec<f32> {
    let stream = Stream::new(seed, "test", 0);
    (0..count as u64).map(|i| stream.normal_at(i)).collect()
}

/// Every instruction set of this machine with 1, 2, 3 and 7 threads.
pub fn kernels() -> Vec<Kernel> {
    let isas = Isa::available();
    isas.into_iter().flat_map(|isa| [1, 2, 3, 7].map(|threads| Kernel::new(isa, threads))).collect()
}

/// Runs `f` on every kernel and demands the same bits from all; returns them.
pub fn on_all(f: impl Fn(&Kernel) -> Vec<f32>) -> Vec<f32> {
    let mut results = kernels().into_iter().map(|kernel| (format!("{kernel:?}"), f(&kernel)));
    let (first, expected) = results.next().expect("scalar is always there");
    for (name, got) in results {
        assert_same_bits(&got, &expected, &format!("{name} against {first}"));
    }
    expected
}

pub fn assert_same_bits(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!(got.to_bits() == expected.to_bits(), "{what}: [{i}] {got:e}, not {expected:e}");
    }
}

/// Within `tolerance` of the reference, relative to the greatest value of the reference.
pub fn assert_close(got: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let size = expected.iter().fold(1e-30, |max: f64, x| max.max(x.abs()));
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs() / size;
        assert!(error <= tolerance, "{what}: [{i}] {got:e}, not {expected:e}");
    }
}

/// The gradient of `f` at `x` by central differences, in f64.
pub fn numeric_gradient(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    let step = 1e-5;
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + step;
            let above = f(&x);
            x[i] = at - step;
            let below = f(&x);
            x[i] = at;
            (above - below) / (2.0 * step)
        })
        .collect()
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}
