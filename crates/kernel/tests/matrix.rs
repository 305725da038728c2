//! Packed matrices: blocks against golden values, products against their definition.

mod common;

use common::{assert_same_bits, kernels, normals, on_all};
use kernel::random::Stream;
use kernel::{Activations, Format, Inputs, Isa, Kernel, Matrix, Product};

/// Made by `oracle/quants.py`.
static GOLDEN: &[u8] = include_bytes!("golden/quants.bin");

/// For each format in the golden file: blocks, values.
fn golden() -> Vec<(Format, Vec<u8>, Vec<f32>)> {
    let mut rest = GOLDEN;
    let mut take = |count: usize| {
        let (first, after) = rest.split_at(count);
        rest = after;
        first.to_vec()
    };
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize;
    Format::ALL
        .map(|format| {
            let name = take(8);
            assert_eq!(String::from_utf8_lossy(&name).trim_end_matches('\0'), format.name());
            let (bytes, values) = (number(&take(4)), number(&take(4)));
            let blocks = take(bytes);
            let values = take(4 * values);
            let values = values.chunks(4).map(|v| f32::from_le_bytes(v.try_into().expect("four")));
            (format, blocks, values.collect())
        })
        .into()
}

/// Random blocks with scales of a useful size.
fn weights(format: Format, rows: usize, cols: usize, seed: u64) -> Vec<u8> {
    let stream = Stream::new(seed, format.name(), 0);
    if !format.is_quantized() {
        let values = normals(seed, rows * cols);
        return match format {
            Format::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Format::BF16 => {
                values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect()
            }
            _ => (0..(rows * cols) as u64)
                .flat_map(|i| {
                    // Any half from ±2⁻⁹ to ±2³.
                    let bits = stream.u32_at(i);
                    ((bits & 0x83ff) as u16 | ((6 + bits % 12) as u16) << 10).to_le_bytes()
                })
                .collect(),
        };
    }
    let size = format.row_bytes(cols).expect("whole blocks") * rows;
    let mut bytes: Vec<u8> = (0..size as u64).map(|i| stream.u32_at(i) as u8).collect();
    let places: &[usize] = match format {
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
        Format::Q2K => &[80, 82],
        Format::Q3K => &[108],
        Format::Q6K => &[208],
        _ => &[0],
    };
    for (at, block) in bytes.chunks_exact_mut(format.block_bytes()).enumerate() {
        for place in places {
            let bits = stream.u32_at((size + at) as u64);
            let half = (bits & 0x83ff) as u16 | ((7 + bits % 3) as u16) << 10;
            block[*place..place + 2].copy_from_slice(&half.to_le_bytes());
        }
    }
    bytes
}

fn packed(kernel: &Kernel, format: Format, rows: usize, cols: usize, bytes: &[u8]) -> Matrix {
    let mut w = Matrix::zeroed(format, rows, cols);
    kernel.pack_rows(&mut w, 0, bytes);
    w
}

/// Columns to try: one block, some blocks.
fn widths(format: Format) -> [usize; 2] {
    match format.block() {
        1 => [37, 300],
        32 => [32, 32 * 9],
        block => [block, 3 * block],
    }
}

#[test]
fn blocks_have_the_values_that_the_reference_gives_them() {
    for (format, blocks, expected) in golden() {
        let mut got = vec![f32::NAN; expected.len()];
        format.dequantize(&blocks, &mut got);
        assert_same_bits(&got, &expected, format.name());
    }
}

#[test]
fn a_row_of_a_matrix_is_the_row_that_was_packed() {
    for format in Format::ALL {
        for (rows, cols) in
            [(1, widths(format)[1]), (16, widths(format)[0]), (35, widths(format)[1])]
        {
            let bytes = weights(format, rows, cols, 1);
            let mut expected = vec![0.0; rows * cols];
            format.dequantize(&bytes, &mut expected);
            for kernel in kernels() {
                // In two pieces, the last first.
                let mut w = Matrix::zeroed(format, rows, cols);
                let (cut, size) = (rows / 2 / 16 * 16, bytes.len() / rows);
                kernel.pack_rows(&mut w, cut, &bytes[cut * size..]);
                kernel.pack_rows(&mut w, 0, &bytes[..cut * size]);
                let mut got = vec![f32::NAN; cols];
                for row in 0..rows {
                    w.row(row, &mut got);
                    assert_same_bits(&got, &expected[row * cols..][..cols], format.name());
                }
            }
        }
    }
}

#[test]
fn memory_is_hardly_more_than_the_file() {
    for format in Format::ALL {
        for cols in [512, 2304, 2048] {
            let w = Matrix::zeroed(format, 640, cols);
            let file = 640 * format.row_bytes(cols).expect("whole blocks");
            assert!(w.bytes() * 100 <= file * 105, "{w:?}: {} for {file}", w.bytes());
            assert_eq!(Matrix::size_of(format, 640, cols), Some(w.bytes()));
        }
    }
}

#[test]
fn impossible_sizes_are_told() {
    for format in Format::ALL {
        assert_eq!(Matrix::size_of(format, usize::MAX, 256), None);
        assert_eq!(Matrix::size_of(format, 16, usize::MAX / 256 * 256), None);
        if format.is_quantized() {
            assert_eq!(Matrix::size_of(format, 16, format.block() + 1), None);
        }
    }
}

/// `x` as integers and scales, by the definition.
fn quantized(x: &[f32]) -> Vec<(Vec<i32>, f32)> {
    let block = |x: &[f32]| {
        let size = x.iter().fold(0f32, |size, x| size.max(x.abs()));
        let inverse = if size < 1e-30 { 0.0 } else { 127.0 / size };
        let q = x.iter().map(|x| (x * inverse).round_ties_even() as i32).collect();
        (q, if size < 1e-30 { 0.0 } else { size / 127.0 })
    };
    x.chunks(32).map(block).collect()
}

/// Scales, minima and integers of a row by way of its values: a part's values are
/// `s · i + a`; here `s` and `a` come from probing the format with chosen levels.
struct Part {
    scale: f32,
    add: f32,
    integers: Vec<i32>,
}

/// Takes a block apart, written once more and on its own, for the formats in use.
fn parts(format: Format, block: &[u8]) -> Vec<Part> {
    let mut values = vec![0.0; format.block()];
    format.dequantize(block, &mut values);
    let half = |at: usize| {
        let mut value = [0.0];
        Format::F16.dequantize(&block[at..at + 2], &mut value);
        value[0]
    };
    let six = |part: usize| {
        let s = &block[4..16];
        match part {
            0..4 => (s[part] & 63, s[part + 4] & 63),
            _ => (s[part + 4] & 15 | s[part - 4] >> 6 << 4, s[part + 4] >> 4 | s[part] >> 6 << 4),
        }
    };
    let size = if matches!(format, Format::Q2K | Format::Q3K | Format::Q6K) { 16 } else { 32 };
    let part = |at: usize, values: &[f32]| {
        let (scale, add) = match format {
            Format::Q4_1 | Format::Q5_1 => (half(0), half(2)),
            Format::Q4K | Format::Q5K => {
                let (scale, minimum) = six(at);
                (half(0) * f32::from(scale), -half(2) * f32::from(minimum))
            }
            Format::Q2K => {
                let both = block[at];
                (half(80) * f32::from(both & 15), -half(82) * f32::from(both >> 4))
            }
            Format::Q3K => {
                let low = block[96 + at % 8] >> (at / 8 * 4) & 15;
                let high = block[104 + at % 4] >> (at / 4 * 2) & 3;
                (half(108) * (f32::from(low | high << 4) - 32.0), 0.0)
            }
            Format::Q6K => (half(208) * f32::from(block[192 + at] as i8), 0.0),
            _ => (half(0), 0.0),
        };
        let integer = |value: &f32| match scale {
            0.0 => 0,
            // The minimum's rounding leaves the integer in no doubt.
            _ => ((f64::from(*value) - f64::from(add)) / f64::from(scale)).round() as i32,
        };
        Part { scale, add, integers: values.iter().map(integer).collect() }
    };
    values.chunks(size).enumerate().map(|(at, values)| part(at, values)).collect()
}

/// One output by the definition of [`Kernel::matmul`].
fn output(format: Format, row: &[u8], x: &[f32], start: f32) -> f32 {
    let (mut sum, x) = (start, quantized(x));
    let parts = row.chunks(format.block_bytes()).flat_map(|block| parts(format, block));
    let mut column = 0;
    for part in parts {
        let (q, scale) = &x[column / 32];
        let q = &q[column % 32..][..part.integers.len()];
        let integers: i32 = part.integers.iter().zip(q).map(|(w, q)| w * q).sum();
        sum = (integers as f32).mul_add(part.scale * scale, sum);
        if matches!(format, Format::Q4_1 | Format::Q5_1 | Format::Q2K | Format::Q4K | Format::Q5K) {
            sum = part.add.mul_add(scale * q.iter().sum::<i32>() as f32, sum);
        }
        column += part.integers.len();
    }
    sum
}

fn matmul(
    kernel: &Kernel,
    activations: Activations,
    w: &Matrix,
    x: &[f32],
    m: usize,
    start: Option<&[f32]>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let mut y = start.map_or(vec![f32::NAN; m * w.rows()], <[f32]>::to_vec);
    let product = Product { y: &mut y, w, add: start.is_some(), bias };
    kernel.matmul(&mut [product], x, m, &mut Inputs::new(activations));
    y
}

const ROWS: [usize; 4] = [1, 16, 50, 77];

#[test]
fn a_quantized_product_is_the_chain_that_is_written_down() {
    for format in Format::ALL.into_iter().filter(|format| format.is_quantized()) {
        for (at, rows) in ROWS.into_iter().enumerate() {
            let (m, cols) = ([1, 70, 3, 9][at], widths(format)[at % 2]);
            let bytes = weights(format, rows, cols, 2);
            let (x, start, bias) = (normals(3, m * cols), normals(4, m * rows), normals(5, rows));
            let got = on_all(|kernel| {
                let w = packed(kernel, format, rows, cols, &bytes);
                let plain = matmul(kernel, Activations::Int8, &w, &x, m, None, None);
                let added = matmul(kernel, Activations::Int8, &w, &x, m, Some(&start), Some(&bias));
                [plain, added].concat()
            });
            let (plain, added) = got.split_at(m * rows);
            for (at, (plain, added)) in plain.iter().zip(added).enumerate() {
                let (i, j) = (at / rows, at % rows);
                let size = bytes.len() / rows;
                let (row, x) = (&bytes[j * size..][..size], &x[i * cols..][..cols]);
                for (got, start) in [(plain, 0.0), (added, start[at] + bias[j])] {
                    let expected = output(format, row, x, start);
                    let same = got.to_bits() == expected.to_bits();
                    assert!(same, "{format} {m} {rows} {cols}: {i} {j}: {got} {expected}");
                }
            }
        }
    }
}

#[test]
fn widened_products_are_linear_on_the_values() {
    for format in Format::ALL {
        for (at, rows) in ROWS.into_iter().enumerate() {
            let (m, cols) = ([1, 70, 3, 9][at], widths(format)[at % 2]);
            let bytes = weights(format, rows, cols, 6);
            let mut values = vec![0.0; rows * cols];
            format.dequantize(&bytes, &mut values);
            let (x, start) = (normals(7, m * cols), normals(8, m * rows));
            let got = on_all(|kernel| {
                let w = packed(kernel, format, rows, cols, &bytes);
                let plain = matmul(kernel, Activations::F32, &w, &x, m, None, None);
                let added = matmul(kernel, Activations::F32, &w, &x, m, Some(&start), None);
                [plain, added].concat()
            });
            let kernel = Kernel::new(Isa::Scalar, 1);
            let (mut plain, mut added) = (vec![0.0; m * rows], start.clone());
            kernel.linear(&mut plain, &x, &values, m, rows, cols);
            kernel.linear_add(&mut added, &x, &values, m, rows, cols);
            assert_same_bits(&got, &[plain, added].concat(), format.name());
        }
    }
}

/// All formats in one call, inputs left over from another call, and rows cut in any way.
#[test]
fn what_else_is_in_the_call_changes_nothing() {
    let (m, cols) = (67, 512);
    let x = normals(9, m * cols);
    let rows = |at: usize| 5 + 13 * at;
    let whole = on_all(|kernel| {
        let pack = |(at, format)| {
            packed(kernel, format, rows(at), cols, &weights(format, rows(at), cols, 10))
        };
        let matrices: Vec<Matrix> = Format::ALL.into_iter().enumerate().map(pack).collect();
        let mut outs: Vec<Vec<f32>> = matrices.iter().map(|w| vec![0.0; m * w.rows()]).collect();
        let mut inputs = Inputs::default();
        let together = |outs: &mut [Vec<f32>], x: &[f32], m: usize, inputs: &mut Inputs| {
            let pairs = outs.iter_mut().zip(&matrices);
            let mut products: Vec<Product> = pairs.map(|(y, w)| Product::new(y, w)).collect();
            kernel.matmul(&mut products, x, m, inputs);
        };
        together(&mut outs, &x, m, &mut inputs);
        for cuts in [vec![1, 2, 4, 60], vec![8, 59], vec![65, 2]] {
            let mut first = 0;
            for count in cuts {
                let mut part: Vec<Vec<f32>> =
                    matrices.iter().map(|w| vec![f32::NAN; count * w.rows()]).collect();
                together(&mut part, &x[first * cols..][..count * cols], count, &mut inputs);
                for (part, whole) in part.iter().zip(&outs) {
                    let rows = whole.len() / m;
                    assert_same_bits(part, &whole[first * rows..][..count * rows], "cut");
                }
                first += count;
            }
            assert_eq!(first, m);
        }
        outs.concat()
    });
    assert!(whole.iter().all(|y| y.is_finite()));
}

#[test]
fn quantized_inputs_stay_close_to_the_widened_product() {
    let (m, rows, cols) = (5, 40, 1024);
    for format in Format::ALL.into_iter().filter(|format| format.is_quantized()) {
        let bytes = weights(format, rows, cols, 11);
        let x = normals(12, m * cols);
        let kernel = Kernel::new(Isa::best(), 1);
        let w = packed(&kernel, format, rows, cols, &bytes);
        let exact = matmul(&kernel, Activations::F32, &w, &x, m, None, None);
        let got = matmul(&kernel, Activations::Int8, &w, &x, m, None, None);
        // An input is off by at most half a step of 1/127 of the greatest of its block.
        let mut row = vec![0.0; cols];
        for (at, (got, exact)) in got.iter().zip(&exact).enumerate() {
            w.row(at % rows, &mut row);
            let x = &x[at / rows * cols..][..cols];
            let bound: f32 = x
                .chunks(32)
                .zip(row.chunks(32))
                .map(|(x, w)| {
                    let size = x.iter().fold(0f32, |size, x| size.max(x.abs()));
                    w.iter().map(|w| w.abs()).sum::<f32>() * size / 253.9
                })
                .sum();
            assert!((got - exact).abs() <= bound * 1.001, "{format}: {got} {exact} {bound}");
            assert!(got != exact, "{format}: no rounding at all");
        }
    }
}

#[test]
fn inputs_that_are_not_finite_give_outputs_that_are_not() {
    for format in Format::ALL {
        let (rows, cols) = (18, 512);
        let bytes = weights(format, rows, cols, 13);
        for kernel in kernels() {
            let w = packed(&kernel, format, rows, cols, &bytes);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = normals(14, 3 * cols);
                x[cols + 77] = bad;
                let y = matmul(&kernel, Activations::Int8, &w, &x, 3, None, None);
                assert!(y[..rows].iter().chain(&y[2 * rows..]).all(|y| y.is_finite()), "{format}");
                assert!(y[rows..2 * rows].iter().all(|y| !y.is_finite()), "{format} {kernel:?}");
            }
        }
    }
}

#[test]
fn tiny_and_huge_inputs_keep_their_bits_on_every_kernel() {
    for format in Format::ALL {
        let (rows, cols) = (18, 512);
        let bytes = weights(format, rows, cols, 15);
        let mut x = normals(16, cols);
        for (at, x) in x.iter_mut().enumerate() {
            *x *= [1e-38, 1e-31, 1e-29, 1.0, 1e20, 1e30, 0.0, -0.0][at / 32 % 8];
        }
        on_all(|kernel| {
            let w = packed(kernel, format, rows, cols, &bytes);
            matmul(kernel, Activations::Int8, &w, &x, 1, None, None)
        });
    }
}

#[test]
fn no_rows_and_no_columns_are_sums_of_nothing() {
    let kernel = Kernel::new(Isa::best(), 2);
    for format in [Format::F32, Format::Q4_0] {
        let w = Matrix::zeroed(format, 3, 0);
        let y = matmul(&kernel, Activations::Int8, &w, &[], 2, None, Some(&[1.0, 2.0, 3.0]));
        assert_eq!(y, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        let w = Matrix::zeroed(format, 0, 32);
        assert_eq!(matmul(&kernel, Activations::Int8, &w, &[0.0; 32], 1, None, None), []);
        kernel.matmul(&mut [], &[], 0, &mut Inputs::default());
    }
}

#[test]
#[should_panic(expected = "matmul: columns")]
fn products_of_different_widths_panic() {
    let kernel = Kernel::new(Isa::Scalar, 1);
    let (a, b) = (Matrix::zeroed(Format::F32, 1, 3), Matrix::zeroed(Format::F32, 1, 4));
    let (mut ya, mut yb) = ([0.0], [0.0]);
    let mut products = [Product::new(&mut ya, &a), Product::new(&mut yb, &b)];
    kernel.matmul(&mut products, &[0.0; 3], 1, &mut Inputs::default());
}
