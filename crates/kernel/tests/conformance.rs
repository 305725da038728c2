//! The conformance vectors, on every kernel of this machine.

mod common;

use kernel::{EXPECTED, conformance};

#[test]
fn every_kernel_gives_the_expected_hashes() {
    for kernel in common::kernels() {
        let got = conformance(&kernel);
        assert_eq!(got.len(), EXPECTED.len());
        for (got, expected) in got.iter().zip(EXPECTED) {
            assert_eq!(*got, expected, "{kernel:?}");
        }
    }
}
