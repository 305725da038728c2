//! AdamW, sums, quantized blocks: against f64 or the definition, the same bits on every kernel.
#![allow(clippy::disallowed_methods)] // the platform's functions in f64 are the reference

mod common;

use common::{assert_close, assert_same_bits, normals, on_all, wide};
use kernel::{AdamW, Isa, Kernel};

const STEP: AdamW = AdamW { lr: 3e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

/// Five steps of torch.optim.AdamW's definition in f64.
#[test]
fn adamw_follows_its_definition_over_five_steps() {
    for decay in [false, true] {
        let n = 1000;
        let got = on_all(|kernel| {
            let (mut p, mut m, mut v) = (normals(1, n), vec![0.0; n], vec![0.0; n]);
            for step in 1..=5 {
                let g = normals(u64::from(step) + 10, n);
                kernel.adamw(&mut p, &g, &mut m, &mut v, &STEP, step, 0.5, decay);
            }
            [p, m, v].concat()
        });
        let (mut p, mut m, mut v) = (wide(&normals(1, n)), vec![0.0; n], vec![0.0; n]);
        let [lr, b1, b2, eps, wd] =
            [STEP.lr, STEP.beta1, STEP.beta2, STEP.eps, STEP.weight_decay].map(f64::from);
        for step in 1..=5i32 {
            for (i, g) in normals(step as u64 + 10, n).into_iter().enumerate() {
                let g = f64::from(g) * 0.5;
                if decay {
                    p[i] *= 1.0 - lr * wd;
                }
                m[i] = b1 * m[i] + (1.0 - b1) * g;
                v[i] = b2 * v[i] + (1.0 - b2) * g * g;
                let root = (v[i] / (1.0 - b2.powi(step))).sqrt() + eps;
                p[i] -= lr * (m[i] / (1.0 - b1.powi(step))) / root;
            }
        }
        assert_close(&got[..n], &p, 1e-6, "p");
        assert_close(&got[n..2 * n], &m, 1e-6, "m");
        assert_close(&got[2 * n..], &v, 1e-6, "v");
    }
}

#[test]
fn sum_squares_is_the_fold_of_chunks_and_close_to_f64() {
    for n in [0, 1, 15, 16, 17, 4095, 4096, 4097, 50_001] {
        let x = normals(1, n);
        let got = on_all(|kernel| vec![kernel.sum_squares(&x)]);
        let mut expected = 0.0f32;
        for chunk in x.chunks(4096) {
            let mut lanes = [0f32; 16];
            for (i, x) in chunk.iter().enumerate() {
                lanes[i % 16] = x.mul_add(*x, lanes[i % 16]);
            }
            for half in [8, 4, 2, 1] {
                for l in 0..half {
                    lanes[l] += lanes[l + half];
                }
            }
            expected += lanes[0];
        }
        assert_same_bits(&got, &[expected], "sum_squares");
        let sum: f64 = wide(&x).iter().map(|x| x * x).sum();
        assert_close(&got, &[sum], 1e-6, "sum_squares");
    }
}

#[test]
fn add_scaled_and_scale_work_by_value() {
    let (y, x) = (normals(1, 70_001), normals(2, 70_001));
    let got = on_all(|kernel| {
        let mut y = y.clone();
        kernel.add_scaled(&mut y, 0.3, &x);
        kernel.scale(&mut y, -1.7);
        y
    });
    let expected: Vec<f32> = y.iter().zip(&x).map(|(y, x)| 0.3f32.mul_add(*x, *y) * -1.7).collect();
    assert_same_bits(&got, &expected, "add_scaled, scale");
}

#[test]
fn a_single_value_that_is_not_finite_is_found() {
    for isa in Isa::available() {
        let kernel = Kernel::new(isa, 2);
        let mut x = normals(1, 10_007);
        x[5] = f32::MAX;
        x[6] = f32::from_bits(1);
        assert!(kernel.all_finite(&x) && kernel.all_finite(&[]));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 4096, 10_006] {
                let before = std::mem::replace(&mut x[at], bad);
                assert!(!kernel.all_finite(&x), "{isa}: {bad} at {at}");
                x[at] = before;
            }
        }
    }
}

#[test]
fn quantized_blocks_come_back_within_half_a_step() {
    for n in [0, 1, 255, 256, 257, 5000] {
        let mut x = normals(1, n);
        if n > 256 {
            x[..256].fill(0.0);
        }
        let got = on_all(|kernel| {
            let (mut q, mut scales) = (vec![1i8; n], vec![f32::NAN; n.div_ceil(256)]);
            kernel.quantize_i8(&mut q, &mut scales, &x);
            let mut back = vec![f32::NAN; n];
            kernel.dequantize_i8(&mut back, &q, &scales);
            let all = q.iter().map(|&q| f32::from(q));
            all.chain(scales).chain(back).collect()
        });
        let (q, rest) = got.split_at(n);
        let (scales, back) = rest.split_at(n.div_ceil(256));
        for (i, (x, back)) in x.iter().zip(back).enumerate() {
            let scale = scales[i / 256];
            assert!((x - back).abs() <= 0.5001 * scale, "{x} came back as {back}");
            assert!(q[i].abs() <= 127.0);
            assert_eq!(*back, q[i] * scale);
        }
        for (block, &scale) in x.chunks(256).zip(scales) {
            let max = block.iter().fold(0f32, |max, x| max.max(x.abs()));
            assert_eq!(scale, max / 127.0);
        }
    }
}

#[test]
fn quantization_rounds_ties_to_even_and_survives_subnormal_blocks() {
    let mut x = vec![0.0f32; 512];
    x[..7].copy_from_slice(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -127.0]);
    x[256] = f32::from_bits(3); // its scale rounds to zero
    x[257] = f32::from_bits(1);
    let got = on_all(|kernel| {
        let (mut q, mut scales) = (vec![1i8; 512], vec![f32::NAN; 2]);
        kernel.quantize_i8(&mut q, &mut scales, &x);
        q.iter().map(|&q| f32::from(q)).chain(scales).collect()
    });
    assert_eq!(got[..7], [127.0, 0.0, 2.0, 2.0, 0.0, -2.0, -127.0]);
    assert!(got[256..512].iter().all(|&q| q == 0.0));
    assert_eq!(got[512..], [1.0, 0.0]);
}
