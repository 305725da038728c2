//! Products of 8-bit integers: against sums in 64 bits, on every kernel.

mod common;

use common::{kernels, normals, on_all};
use kernel::random::Stream;
use kernel::{Isa, Kernel, LONGEST_SUM, Quantized, Rounding, Scales};

/// 2⁻¹⁰⁰.
const TINY: f32 = f32::from_bits((127 - 100) << 23);

/// Rows, columns: around the sizes of words, registers and rounds of random numbers.
const SHAPES: [[usize; 2]; 8] =
    [[1, 1], [3, 5], [4, 16], [7, 255], [9, 256], [2, 257], [33, 100], [130, 67]];

fn quantized(
    kernel: &Kernel,
    x: &[f32],
    cols: usize,
    by: Scales,
    rounding: Rounding<'_>,
) -> Quantized {
    let mut q = Quantized::default();
    kernel.quantize(&mut q, x, cols, by, rounding);
    q
}

/// Integers, scales, both as numbers.
fn values(q: &Quantized, rows: usize, cols: usize) -> Vec<f32> {
    let at = |i: usize| f32::from(q.at(i / cols, i % cols));
    (0..rows * cols).map(at).chain(q.scales().iter().copied()).collect()
}

/// The specification, one value at a time.
fn specified(x: &[f32], cols: usize, by: Scales, rounding: Rounding<'_>) -> Vec<f32> {
    let rows = x.len() / cols;
    let largest = |line: usize| {
        let row = |i: usize| if by == Scales::Rows { line == i / cols } else { line == i % cols };
        let of_line = (0..x.len()).filter(|&i| row(i));
        of_line.fold(0.0, |most: f32, i| if x[i].abs() > most { x[i].abs() } else { most })
    };
    let lines = if by == Scales::Rows { rows } else { cols };
    let largest: Vec<f32> = (0..lines).map(largest).collect();
    let tiny = |a: f32| a < TINY;
    let integer = |i: usize| {
        let (row, col) = (i / cols, i % cols);
        let a = largest[if by == Scales::Rows { row } else { col }];
        let factor = if tiny(a) { 0.0 } else { 127.0 / a };
        let value = match rounding {
            Rounding::Nearest => x[i] * factor,
            Rounding::Stochastic { stream, first } => {
                let row = first.wrapping_add(row as u64);
                let at = row.wrapping_mul(cols as u64).wrapping_add(col as u64);
                let word = stream.u32_at(at / 4);
                let byte = f32::from(word.to_le_bytes()[(at % 4) as usize]);
                x[i].mul_add(factor, (byte - 127.5) / 256.0)
            }
        };
        value.round_ties_even()
    };
    let scale = |&a: &f32| if tiny(a) { 0.0 } else { a / 127.0 };
    (0..x.len()).map(integer).chain(largest.iter().map(scale)).collect()
}

#[test]
fn values_become_the_integers_that_are_specified() {
    let stream = Stream::new(5, "noise", 3);
    for [rows, cols] in SHAPES {
        let x = normals(1, rows * cols);
        for by in [Scales::Rows, Scales::Columns] {
            for rounding in
                [Rounding::Nearest, Rounding::Stochastic { stream: &stream, first: 1 << 40 }]
            {
                let got =
                    on_all(|kernel| values(&quantized(kernel, &x, cols, by, rounding), rows, cols));
                assert_eq!(got, specified(&x, cols, by, rounding), "{rows} {cols} {by:?}");
            }
        }
    }
}

#[test]
fn what_is_zero_tiny_or_large_stays_within_127_and_keeps_its_scale() {
    let tiny = f32::from_bits(1);
    let small = TINY;
    let rows: [[f32; 4]; 7] = [
        [0.0, -0.0, 0.0, 0.0],
        [tiny, -tiny, 0.0, 1e-40],
        [small * 0.999, -small * 0.5, 0.0, 0.0],
        [small, -small, small / 3.0, 0.0],
        [f32::MAX, -f32::MAX, 1.0, f32::MAX / 2.0],
        [1.0, -1.0, 0.5 / 127.0, 1.5 / 127.0],
        [127.0, -127.0, 0.5, 1.5],
    ];
    let x = rows.concat();
    let stream = Stream::new(1, "noise", 0);
    for rounding in [Rounding::Nearest, Rounding::Stochastic { stream: &stream, first: 0 }] {
        for kernel in kernels() {
            let q = quantized(&kernel, &x, 4, Scales::Rows, rounding);
            for row in 0..3 {
                assert_eq!((q.scales()[row], q.at(row, 0), q.at(row, 1)), (0.0, 0, 0), "{row}");
            }
            for (row, values) in rows.iter().enumerate().skip(3) {
                assert_eq!((q.at(row, 0), q.at(row, 1)), (127, -127), "{row}");
                assert_eq!(q.scales()[row], values[0] / 127.0);
                assert!(q.scales()[row].is_normal() && (q.scales()[row] * q.scales()[3]) >= 0.0);
            }
            if matches!(rounding, Rounding::Nearest) {
                assert_eq!((q.at(6, 2), q.at(6, 3)), (0, 2), "ties go to the even one");
            }
        }
    }
}

#[test]
fn rounding_by_chance_has_the_value_as_its_mean() {
    let kernel = Kernel::new(Isa::best(), 2);
    let (rows, cols) = (4096, 64);
    let row: Vec<f32> = (0..cols).map(|c| if c == 0 { 127.0 } else { c as f32 / 9.7 }).collect();
    let x = row.repeat(rows);
    let stream = Stream::new(9, "noise", 1);
    let rounding = Rounding::Stochastic { stream: &stream, first: 0 };
    let q = quantized(&kernel, &x, cols, Scales::Rows, rounding);
    for (c, x) in row.iter().enumerate() {
        let mean = (0..rows).map(|r| f64::from(q.at(r, c))).sum::<f64>() / rows as f64;
        assert!((mean - f64::from(*x)).abs() < 0.04, "{c}: {mean}, not {x}");
    }
    // Splitting the rows changes nothing, and another stream gives other integers.
    let rest = Rounding::Stochastic { stream: &stream, first: 100 };
    let part = quantized(&kernel, &x[100 * cols..], cols, Scales::Rows, rest);
    let other = Stream::new(9, "noise", 2);
    let other = Rounding::Stochastic { stream: &other, first: 0 };
    let other = quantized(&kernel, &x, cols, Scales::Rows, other);
    let mut differ = 0;
    for i in 0..(rows - 100) * cols {
        let (r, c) = (i / cols, i % cols);
        assert_eq!(part.at(r, c), q.at(r + 100, c));
        differ += usize::from(other.at(r, c) != q.at(r, c));
    }
    assert!(differ > rows * cols / 4, "{differ}");
}

/// `c` by the specification.
fn product(a: &Quantized, b: &Quantized, start: Option<&[f32]>) -> Vec<f32> {
    let (m, n, k) = (a.lines(), b.lines(), a.depth());
    let get = |q: &Quantized, line: usize, p: usize| match q.by() {
        Scales::Rows => i64::from(q.at(line, p)),
        Scales::Columns => i64::from(q.at(p, line)),
    };
    let mut c = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let scale = a.scales()[i] * b.scales()[j];
            let mut value = start.map(|start| start[i * n + j]);
            for from in (0..k).step_by(LONGEST_SUM) {
                let part = from..k.min(from + LONGEST_SUM);
                let sum: i64 = part.map(|p| get(a, i, p) * get(b, j, p)).sum();
                let sum = i32::try_from(sum).expect("it fits") as f32;
                value = Some(value.map_or(sum * scale, |value| sum.mul_add(scale, value)));
            }
            c.push(value.unwrap_or(0.0));
        }
    }
    c
}

#[test]
fn sums_are_exact_on_every_kernel() {
    let shapes = [
        [1, 1, 1],
        [1, 33, 5],
        [5, 3, 64],
        [12, 32, 256],
        [13, 31, 1030],
        [64, 17, 2600],
        [250, 40, 9],
        [3, 70, 5300],
    ];
    for [m, n, k] in shapes {
        let (x, y, start) = (normals(1, m * k), normals(2, n * k), normals(3, m * n));
        for (by_a, by_b) in [
            (Scales::Rows, Scales::Rows),
            (Scales::Rows, Scales::Columns),
            (Scales::Columns, Scales::Columns),
        ] {
            let cols = |by, lines| if by == Scales::Rows { k } else { lines };
            let specification = Kernel::new(Isa::Scalar, 1);
            let a = quantized(&specification, &x, cols(by_a, m), by_a, Rounding::Nearest);
            let b = quantized(&specification, &y, cols(by_b, n), by_b, Rounding::Nearest);
            for start in [None, Some(&start[..])] {
                let got = on_all(|kernel| {
                    let mut c = start.map_or(vec![f32::NAN; m * n], <[f32]>::to_vec);
                    kernel.integer_product(&mut c, &a, &b, start.is_some());
                    c
                });
                assert_eq!(got, product(&a, &b, start), "{m} {n} {k} {by_a:?} {by_b:?}");
            }
        }
    }
}

#[test]
fn the_longest_sums_of_the_largest_integers_fit() {
    // Signs that add up, and such that would saturate 16 bits or 32.
    for k in [LONGEST_SUM, LONGEST_SUM + 5, 2 * LONGEST_SUM + 1] {
        let ones = vec![1.0; k];
        let less: Vec<f32> = vec![-1.0; k];
        let plain = Kernel::new(Isa::Scalar, 1);
        let a = quantized(&plain, &ones, k, Scales::Rows, Rounding::Nearest);
        for x in [&ones, &less] {
            let b = quantized(&plain, x, k, Scales::Rows, Rounding::Nearest);
            let got = on_all(|kernel| {
                let mut c = vec![0.0];
                kernel.integer_product(&mut c, &a, &b, false);
                c
            });
            assert_eq!(got, product(&a, &b, None), "{k}");
            assert!((f64::from(got[0]) / (f64::from(x[0]) * k as f64) - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn empty_matrices_have_empty_products() {
    let kernel = Kernel::new(Isa::best(), 2);
    let none = Quantized::default();
    kernel.integer_product(&mut [], &none, &none, false);
    let no_depth = quantized(&kernel, &[], 3, Scales::Columns, Rounding::Nearest);
    assert_eq!((no_depth.lines(), no_depth.depth()), (3, 0));
    let mut c = [7.0; 9];
    kernel.integer_product(&mut c, &no_depth, &no_depth, true);
    assert_eq!(c, [7.0; 9]);
    kernel.integer_product(&mut c, &no_depth, &no_depth, false);
    assert_eq!(c, [0.0; 9]);
}
