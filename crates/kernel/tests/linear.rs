//! The three products of a linear layer: against f64, on every kernel, split and whole.

mod common;

use common::{assert_close, assert_same_bits, normals, on_all};

const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [1, 37, 129],
    [3, 5, 7],
    [12, 32, 384],
    [13, 33, 385],
    [49, 31, 64],
    [64, 96, 33],
    [129, 65, 17],
    [50, 130, 800],
    [300, 40, 20],
    [20, 500, 3],
    [97, 1, 770],
];

#[test]
fn linear_is_one_chain_over_k() {
    for [m, n, k] in SHAPES {
        let (x, w, start) = (normals(1, m * k), normals(2, n * k), normals(3, m * n));
        let plain = on_all(|kernel| {
            let mut y = vec![f32::NAN; m * n];
            kernel.linear(&mut y, &x, &w, m, n, k);
            y
        });
        let added = on_all(|kernel| {
            let mut y = start.clone();
            kernel.linear_add(&mut y, &x, &w, m, n, k);
            y
        });
        let chain = |from: f32, i: usize, j: usize| {
            (0..k).fold(from, |sum, p| x[i * k + p].mul_add(w[j * k + p], sum))
        };
        for (at, (plain, added)) in plain.iter().zip(&added).enumerate() {
            let (i, j) = (at / n, at % n);
            assert_eq!(plain.to_bits(), chain(0.0, i, j).to_bits(), "{m} {n} {k}: {i} {j}");
            assert_eq!(added.to_bits(), chain(start[at], i, j).to_bits(), "{m} {n} {k}: {i} {j}");
        }
    }
}

#[test]
fn backward_input_is_one_chain_over_n() {
    for [m, n, k] in SHAPES {
        let (dy, w, start) = (normals(4, m * n), normals(5, n * k), normals(6, m * k));
        for accumulate in [false, true] {
            let got = on_all(|kernel| {
                let mut dx = start.clone();
                kernel.linear_backward_input(&mut dx, &dy, &w, m, n, k, accumulate);
                dx
            });
            for (at, got) in got.iter().enumerate() {
                let (i, j) = (at / k, at % k);
                let from = if accumulate { start[at] } else { 0.0 };
                let chain = (0..n).fold(from, |sum, p| dy[i * n + p].mul_add(w[p * k + j], sum));
                assert_eq!(got.to_bits(), chain.to_bits(), "{m} {n} {k}: {i} {j}");
            }
        }
    }
}

#[test]
fn backward_weight_is_one_chain_over_tokens_wherever_the_batch_is_cut() {
    for [m, n, k] in SHAPES {
        let (dy, x, start) = (normals(7, m * n), normals(8, m * k), normals(9, n * k));
        let whole = on_all(|kernel| {
            let mut dw = start.clone();
            kernel.linear_backward_weight(&mut dw, &dy, &x, m, n, k);
            dw
        });
        for cut in [m / 2, m / 3] {
            let parts = on_all(|kernel| {
                let mut dw = start.clone();
                kernel.linear_backward_weight(&mut dw, &dy[..cut * n], &x[..cut * k], cut, n, k);
                let rest = (&dy[cut * n..], &x[cut * k..]);
                kernel.linear_backward_weight(&mut dw, rest.0, rest.1, m - cut, n, k);
                dw
            });
            assert_same_bits(&parts, &whole, "two parts");
        }
        for (at, got) in whole.iter().enumerate() {
            let (i, j) = (at / k, at % k);
            let chain = (0..m).fold(start[at], |sum, t| dy[t * n + i].mul_add(x[t * k + j], sum));
            assert_eq!(got.to_bits(), chain.to_bits(), "{m} {n} {k}: {i} {j}");
        }
    }
}

#[test]
fn rows_do_not_depend_on_the_batch_they_are_in() {
    let [m, n, k] = [100, 70, 90];
    let (x, w) = (normals(1, m * k), normals(2, n * k));
    let whole = on_all(|kernel| {
        let mut y = vec![0.0; m * n];
        kernel.linear(&mut y, &x, &w, m, n, k);
        y
    });
    for rows in [1, 2, 7, 49] {
        let one = on_all(|kernel| {
            let mut y = vec![0.0; rows * n];
            kernel.linear(&mut y, &x[11 * k..(11 + rows) * k], &w, rows, n, k);
            y
        });
        assert_same_bits(&one, &whole[11 * n..(11 + rows) * n], "rows alone");
    }
}

#[test]
fn a_long_chain_is_close_to_f64() {
    let [m, n, k] = [5, 9, 3000];
    let (x, w) = (normals(1, m * k), normals(2, n * k));
    let got = on_all(|kernel| {
        let mut y = vec![0.0; m * n];
        kernel.linear(&mut y, &x, &w, m, n, k);
        y
    });
    let dot = |i: usize, j: usize| -> f64 {
        (0..k).map(|p| f64::from(x[i * k + p]) * f64::from(w[j * k + p])).sum()
    };
    let expected: Vec<f64> = (0..m * n).map(|at| dot(at / n, at % n)).collect();
    assert_close(&got, &expected, 1e-5, "linear");
}

#[test]
#[should_panic(expected = "linear: w")]
fn a_wrong_length_panics_with_its_name() {
    let kernel = kernel::Kernel::new(kernel::Isa::Scalar, 1);
    kernel.linear(&mut [0.0; 2], &[0.0; 3], &[0.0; 5], 1, 2, 3);
}
