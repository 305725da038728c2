//! Norms, rotary embedding, gated unit, embedding and losses: against f64 and finite differences,
//! the same bits on every kernel, and for a batch in parts the same as for the whole.
#![allow(clippy::disallowed_methods)] // the platform's functions in f64 are the reference

mod common;

use common::{assert_close, assert_same_bits, normals, numeric_gradient, on_all, wide};
use kernel::random::Stream;
use kernel::{Activation, Direction, HeadShape};

const ROWS: [[usize; 2]; 5] = [[1, 1], [3, 7], [5, 16], [4, 100], [67, 333]];
const EPS: f32 = 1e-5;

fn norm64(x: &[f64], w: &[f64]) -> Vec<f64> {
    x.chunks(w.len())
        .flat_map(|row| {
            let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
            let scale = 1.0 / (mean + f64::from(EPS)).sqrt();
            row.iter().zip(w).map(move |(x, w)| x * scale * w).collect::<Vec<f64>>()
        })
        .collect()
}

#[test]
fn rms_norm_is_close_to_f64() {
    for [t, c] in ROWS {
        let (x, w) = (normals(1, t * c), normals(2, c));
        let out = on_all(|kernel| {
            let mut out = vec![f32::NAN; t * c];
            kernel.rms_norm(&mut out, &mut vec![0.0; t], &x, &w, EPS);
            out
        });
        assert_close(&out, &norm64(&wide(&x), &wide(&w)), 1e-6, "rms_norm");
    }
}

#[test]
fn rms_norm_backward_agrees_with_finite_differences_whole_and_in_parts() {
    for [t, c] in [[1, 3], [4, 7], [5, 17], [9, 40]] {
        let (x, w, dout) = (normals(1, t * c), normals(2, c), normals(3, t * c));
        let (dx0, dw0) = (normals(4, t * c), normals(5, c));
        let run = |cut: usize| {
            on_all(|kernel| {
                let (mut dx, mut dw, mut rstd) = (dx0.clone(), dw0.clone(), vec![0.0; t]);
                kernel.rms_norm(&mut vec![0.0; t * c], &mut rstd, &x, &w, EPS);
                for rows in [0..cut, cut..t] {
                    let at = rows.start * c..rows.end * c;
                    let (dout, x) = (&dout[at.clone()], &x[at.clone()]);
                    kernel.rms_norm_backward(&mut dx[at], &mut dw, dout, x, &w, &rstd[rows]);
                }
                [dx, dw].concat()
            })
        };
        let whole = run(t);
        assert_same_bits(&run(t / 2), &whole, "two parts");
        let (wide_x, wide_w, wide_dout) = (wide(&x), wide(&w), wide(&dout));
        let loss = |x: &[f64], w: &[f64]| -> f64 {
            norm64(x, w).iter().zip(&wide_dout).map(|(y, d)| y * d).sum()
        };
        let mut expected = numeric_gradient(&wide_x, |x| loss(x, &wide_w));
        expected.extend(numeric_gradient(&wide_w, |w| loss(&wide_x, w)));
        let start = wide(&[dx0.clone(), dw0.clone()].concat());
        expected.iter_mut().zip(start).for_each(|(sum, start)| *sum += start);
        assert_close(&whole, &expected, 1e-5, "rms_norm_backward");
    }
}

#[test]
fn heads_are_rotated_by_the_angle_of_the_position_and_back() {
    for [heads, kv_heads, dim] in [[1, 1, 2], [4, 2, 6], [3, 1, 64], [2, 2, 34]] {
        let s = HeadShape { heads, kv_heads, head_dim: dim };
        let positions = [0u32, 5, 1, 900, 33];
        let angles: Vec<Vec<f32>> = positions.iter().map(|&p| angles(p, dim)).collect();
        let angles: Vec<&[f32]> = angles.iter().map(Vec::as_slice).collect();
        let qkv = normals(1, positions.len() * s.row());
        let turned = on_all(|kernel| {
            let mut qkv = qkv.clone();
            kernel.rotate(&mut qkv, heads + kv_heads, dim, &angles, Direction::Forward);
            qkv
        });
        let mut expected = wide(&qkv);
        for (row, &position) in expected.chunks_mut(s.row()).zip(&positions) {
            for head in row[..(heads + kv_heads) * dim].chunks_mut(dim) {
                for i in 0..dim / 2 {
                    let exponent = (2 * i) as f64 / dim as f64;
                    let (sin, cos) = (f64::from(position) / 1e4f64.powf(exponent)).sin_cos();
                    let (a, b) = (head[i], head[i + dim / 2]);
                    head[i] = a * cos - b * sin;
                    head[i + dim / 2] = b * cos + a * sin;
                }
            }
        }
        assert_close(&turned, &expected, 5e-5, "rotate"); // angles are f32 products, as in PyTorch
        let back = on_all(|kernel| {
            let mut qkv = turned.clone();
            kernel.rotate(&mut qkv, heads + kv_heads, dim, &angles, Direction::Backward);
            qkv
        });
        assert_close(&back, &wide(&qkv), 1e-6, "rotate back");
    }
}

fn angles(position: u32, dim: usize) -> Vec<f32> {
    let angle = |i: usize| {
        let exponent = (2 * i) as f32 / dim as f32;
        f64::from(position as f32 * (1.0 / 1e4f64.powf(f64::from(exponent)) as f32))
    };
    let cosines = (0..dim / 2).map(|i| angle(i).cos() as f32);
    cosines.chain((0..dim / 2).map(|i| angle(i).sin() as f32)).collect()
}

#[test]
fn a_part_of_a_head_is_rotated_and_the_rest_left() {
    let x = normals(1, 2 * 3 * 8);
    let angles = angles(7, 4);
    let got = on_all(|kernel| {
        let mut x = x.clone();
        kernel.rotate(&mut x, 2, 8, &[&angles, &angles], Direction::Forward);
        x
    });
    for (i, (got, x)) in got.iter().zip(&x).enumerate() {
        let (head, value) = (i / 8 % 3, i % 8);
        assert_eq!(got.to_bits() != x.to_bits(), head < 2 && value < 4, "{i}");
    }
}

const ACTIVATIONS: [Activation; 3] = [Activation::Silu, Activation::GeluTanh, Activation::GeluErf];

fn activation64(x: f64, act: Activation) -> f64 {
    match act {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::GeluErf => 0.5 * x * (1.0 + erf64(x / std::f64::consts::SQRT_2)),
    }
}

/// By its series.
fn erf64(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn gated64(gate_up: &[f64], ffn: usize, act: Activation) -> Vec<f64> {
    let rows = gate_up.chunks(2 * ffn);
    let row = |row: &[f64]| -> Vec<f64> {
        let (gate, up) = row.split_at(ffn);
        gate.iter().zip(up).map(|(g, u)| activation64(*g, act) * u).collect()
    };
    rows.flat_map(row).collect()
}

#[test]
fn gated_units_are_close_to_f64_and_their_gradients_to_finite_differences() {
    for ([t, f], act) in ROWS.into_iter().flat_map(|rows| ACTIVATIONS.map(|act| (rows, act))) {
        let gate_up: Vec<f32> = normals(1, 2 * t * f).iter().map(|x| 1.2 * x).collect();
        let out = on_all(|kernel| {
            let mut out = vec![f32::NAN; t * f];
            kernel.gated(&mut out, &gate_up, f, act);
            out
        });
        assert_close(&out, &gated64(&wide(&gate_up), f, act), 1e-6, "gated");
        let dout = normals(2, t * f);
        let got = on_all(|kernel| {
            let mut dgate_up = vec![f32::NAN; 2 * t * f];
            kernel.gated_backward(&mut dgate_up, &dout, &gate_up, f, act);
            dgate_up
        });
        if t * f < 1000 {
            let dout = wide(&dout);
            let expected = numeric_gradient(&wide(&gate_up), |gate_up| {
                gated64(gate_up, f, act).iter().zip(&dout).map(|(y, d)| y * d).sum()
            });
            assert_close(&got, &expected, 1e-5, "gated_backward");
        }
    }
}

#[test]
fn activations_alone_have_the_bits_of_gated_ones() {
    let (t, f) = (3, 41);
    let gate_up = normals(1, 2 * t * f);
    let part = |first: usize| -> Vec<f32> {
        gate_up.chunks(2 * f).flat_map(|row| row[first..first + f].to_vec()).collect()
    };
    let (gate, up, dout) = (part(0), part(f), normals(2, t * f));
    for act in ACTIVATIONS {
        let both = on_all(|kernel| {
            let (mut gated, mut alone) = (vec![0.0; t * f], gate.clone());
            kernel.gated(&mut gated, &gate_up, f, act);
            kernel.activate(&mut alone, Some(&up), act);
            [gated, alone].concat()
        });
        assert_same_bits(&both[..t * f], &both[t * f..], "forward");
        let got = on_all(|kernel| {
            let mut dx = dout.clone();
            kernel.activate_backward(&mut dx, &gate, act);
            dx
        });
        let expected = numeric_gradient(&wide(&gate), |x| {
            x.iter().zip(&wide(&dout)).map(|(x, d)| activation64(*x, act) * d).sum()
        });
        assert_close(&got, &expected, 1e-5, "activate_backward");
    }
}

#[test]
fn a_soft_cap_and_its_gradient() {
    let (x, dout) = (normals(1, 333), normals(2, 333));
    let both = on_all(|kernel| {
        let (mut y, mut dx) = (x.clone(), dout.clone());
        kernel.soft_cap(&mut y, 1.3);
        kernel.soft_cap_backward(&mut dx, &y, 1.3);
        [y, dx].concat()
    });
    let cap = f64::from(1.3f32);
    let expected: Vec<f64> = wide(&x).iter().map(|x| cap * (x / cap).tanh()).collect();
    assert_close(&both[..333], &expected, 1e-6, "soft_cap");
    let expected = numeric_gradient(&wide(&x), |x| {
        x.iter().zip(&wide(&dout)).map(|(x, d)| cap * (x / cap).tanh() * d).sum()
    });
    assert_close(&both[333..], &expected, 1e-5, "soft_cap_backward");
}

fn layer_norm64(x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let c = w.len();
    let row = |x: &[f64]| -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / c as f64;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / c as f64;
        let scale = 1.0 / (variance + 1e-5).sqrt();
        (0..c).map(|i| (x[i] - mean) * scale * w[i] + b[i]).collect()
    };
    x.chunks(c).flat_map(row).collect()
}

#[test]
fn layer_norm_is_close_to_f64_and_its_gradients_to_finite_differences() {
    for [t, c] in [[1, 5], [4, 33], [6, 16]] {
        let (x, w, b) = (normals(1, t * c), normals(2, c), normals(3, c));
        let out = on_all(|kernel| {
            let mut out = vec![f32::NAN; t * c];
            kernel.layer_norm(&mut out, &x, &w, &b, 1e-5);
            out
        });
        assert_close(&out, &layer_norm64(&wide(&x), &wide(&w), &wide(&b)), 2e-6, "layer_norm");
        let (dout, start) = (normals(4, t * c), normals(5, t * c + 2 * c));
        let run = |split: usize| {
            on_all(|kernel| {
                let mut all = start.clone();
                let (dx, dwb) = all.split_at_mut(t * c);
                let (dw, db) = dwb.split_at_mut(c);
                for at in [0..split * c, split * c..t * c] {
                    let (dout, x) = (&dout[at.clone()], &x[at.clone()]);
                    kernel.layer_norm_backward(&mut dx[at], dw, db, dout, x, &w, 1e-5);
                }
                all
            })
        };
        let whole = run(t);
        assert_same_bits(&run(t / 2), &whole, "two parts");
        let dout = wide(&dout);
        let loss = |x: &[f64], w: &[f64], b: &[f64]| -> f64 {
            layer_norm64(x, w, b).iter().zip(&dout).map(|(y, d)| y * d).sum()
        };
        let (x, w, b) = (wide(&x), wide(&w), wide(&b));
        let mut expected = numeric_gradient(&x, |x| loss(x, &w, &b));
        expected.extend(numeric_gradient(&w, |w| loss(&x, w, &b)));
        expected.extend(numeric_gradient(&b, |b| loss(&x, &w, b)));
        expected.iter_mut().zip(wide(&start)).for_each(|(sum, start)| *sum += start);
        assert_close(&whole, &expected, 1e-5, "layer_norm_backward");
    }
}

#[test]
fn biases_are_where_chains_start_and_their_gradient_sums_tokens_in_order() {
    let (t, c) = (7, 37);
    let (y, b, dy) = (normals(1, t * c), normals(2, c), normals(3, t * c));
    let got = on_all(|kernel| {
        let (mut filled, mut added, mut db) = (y.clone(), y.clone(), b.clone());
        kernel.fill_rows(&mut filled, &b);
        kernel.add_rows(&mut added, &b);
        kernel.sum_rows(&mut db, &dy[..3 * c]);
        kernel.sum_rows(&mut db, &dy[3 * c..]);
        [filled, added, db].concat()
    });
    let mut sums = b.clone();
    for i in 0..t * c {
        assert_eq!(got[i].to_bits(), b[i % c].to_bits());
        assert_eq!(got[t * c + i].to_bits(), (y[i] + b[i % c]).to_bits());
        sums[i % c] += dy[i];
    }
    assert_same_bits(&got[2 * t * c..], &sums, "sum_rows");
}

#[test]
fn gated_units_of_great_values_stays_finite() {
    let out = on_all(|kernel| {
        let mut out = vec![f32::NAN; 4];
        let gate_up = [-1e30, 1e30, -100.0, 100.0, 1.0, 1.0, 1.0, 1.0];
        kernel.gated(&mut out, &gate_up, 4, Activation::Silu);
        out
    });
    assert!(out.iter().all(|x| x.is_finite()), "{out:?}");
    assert_eq!(out[1], 1e30);
    assert_eq!(out[3], 100.0);
}

#[test]
fn embedding_copies_rows_and_its_gradient_adds_tokens_in_order() {
    let (vocab, t) = (11, 70);
    for dim in [1, 16, 37, 130] {
        let table = normals(1, vocab * dim);
        let stream = Stream::new(2, "tokens", 0);
        let tokens: Vec<u32> = (0..t).map(|i| stream.below(i, vocab as u64) as u32).collect();
        let out = on_all(|kernel| {
            let mut out = vec![f32::NAN; tokens.len() * dim];
            kernel.embed(&mut out, &table, &tokens, dim);
            out
        });
        let rows = tokens.iter().flat_map(|&token| table[token as usize * dim..][..dim].to_vec());
        assert_same_bits(&out, &rows.collect::<Vec<f32>>(), "embed");
        let (dout, start) = (normals(3, tokens.len() * dim), normals(4, vocab * dim));
        let run = |cut: usize| {
            on_all(|kernel| {
                let mut dtable = start.clone();
                kernel.embed_backward(&mut dtable, &dout[..cut * dim], &tokens[..cut], dim);
                kernel.embed_backward(&mut dtable, &dout[cut * dim..], &tokens[cut..], dim);
                dtable
            })
        };
        let mut expected = start.clone();
        for (dout, &token) in dout.chunks(dim).zip(&tokens) {
            let row = &mut expected[token as usize * dim..][..dim];
            row.iter_mut().zip(dout).for_each(|(sum, dout)| *sum += dout);
        }
        assert_same_bits(&run(0), &expected, "embed_backward");
        assert_same_bits(&run(29), &expected, "embed_backward in parts");
    }
}

#[test]
fn cross_entropy_is_close_to_f64_with_its_gradient() {
    for [t, vocab] in [[1, 1], [3, 5], [7, 16], [4, 100], [9, 4099]] {
        let logits: Vec<f32> = normals(1, t * vocab).iter().map(|x| 4.0 * x).collect();
        let stream = Stream::new(2, "targets", 0);
        let targets: Vec<u32> =
            (0..t as u64).map(|i| stream.below(i, vocab as u64) as u32).collect();
        let scale = 0.125;
        let got = on_all(|kernel| {
            let (mut losses, mut work) = (vec![f32::NAN; t], logits.clone());
            kernel.cross_entropy(&mut losses, &mut work, &targets, vocab, scale);
            losses.extend(work);
            losses
        });
        let alone = on_all(|kernel| {
            let mut losses = vec![f32::NAN; t];
            kernel.cross_entropy_forward(&mut losses, &logits, &targets, vocab);
            losses
        });
        assert_same_bits(&alone, &got[..t], "cross_entropy_forward");
        let shares = on_all(|kernel| {
            let mut x = logits.clone();
            kernel.softmax_rows(&mut x, vocab);
            x
        });
        let (mut losses, mut softmax, mut gradient) = (vec![], vec![], vec![]);
        for (row, &target) in wide(&logits).chunks(vocab).zip(&targets) {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            losses.push(sum.ln() - row[target as usize]);
            for (i, x) in row.iter().enumerate() {
                let share = x.exp() / sum;
                softmax.push(share);
                let hit = f64::from(u8::from(i == target as usize));
                gradient.push((share - hit) * f64::from(scale));
            }
        }
        assert_close(&got[..t], &losses, 1e-6, "losses");
        assert_close(&got[t..], &gradient, 1e-6, "gradient");
        assert_close(&shares, &softmax, 1e-6, "softmax_rows");
    }
}

#[test]
#[should_panic(expected = "target 5 of 5")]
fn a_target_outside_the_vocabulary_panics() {
    let kernel = kernel::Kernel::new(kernel::Isa::Scalar, 1);
    kernel.cross_entropy_forward(&mut [0.0], &[0.0; 5], &[5], 5);
}
