//! Attention: against f64, against finite differences, cached against whole, on every kernel.
#![allow(clippy::disallowed_methods)] // the platform's functions in f64 are the reference

mod common;

use common::{assert_close, assert_same_bits, normals, numeric_gradient, on_all, wide};
use kernel::HeadShape;

/// Batch, sequence, heads, key-value heads, values to a head.
const SHAPES: [[usize; 5]; 6] = [
    [1, 1, 1, 1, 2],
    [2, 7, 2, 1, 4],
    [1, 33, 4, 2, 16],
    [2, 61, 3, 3, 33],
    [1, 130, 2, 1, 64],
    [3, 49, 6, 2, 8],
];

fn shape(heads: usize, kv_heads: usize, head_dim: usize) -> HeadShape {
    HeadShape { heads, kv_heads, head_dim }
}

/// The definition in f64.
fn reference(qkv: &[f64], batch: usize, seq: usize, s: &HeadShape) -> Vec<f64> {
    let (row, dim) = (s.row(), s.head_dim);
    let mut out = vec![0.0; batch * seq * s.heads * dim];
    for b in 0..batch {
        for h in 0..s.heads {
            let kv = h / (s.heads / s.kv_heads);
            let (k0, v0) = ((s.heads + kv) * dim, (s.heads + s.kv_heads + kv) * dim);
            for i in 0..seq {
                let q = &qkv[(b * seq + i) * row + h * dim..][..dim];
                let weights: Vec<f64> = (0..=i)
                    .map(|j| {
                        let k = &qkv[(b * seq + j) * row + k0..][..dim];
                        let dot: f64 = q.iter().zip(k).map(|(q, k)| q * k).sum();
                        (dot / (dim as f64).sqrt()).exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                let out = &mut out[((b * seq + i) * s.heads + h) * dim..][..dim];
                for (j, weight) in weights.iter().enumerate() {
                    let v = &qkv[(b * seq + j) * row + v0..][..dim];
                    out.iter_mut().zip(v).for_each(|(out, v)| *out += weight / sum * v);
                }
            }
        }
    }
    out
}

#[test]
fn attention_is_close_to_f64_and_the_same_everywhere() {
    for [batch, seq, heads, kv_heads, dim] in SHAPES {
        let s = shape(heads, kv_heads, dim);
        let qkv = normals(1, batch * seq * s.row());
        let got = on_all(|kernel| {
            let mut out = vec![f32::NAN; batch * seq * heads * dim];
            let mut stats = vec![f32::NAN; batch * seq * heads * 2];
            kernel.attention(&mut out, &mut stats, &qkv, batch, seq, &s);
            out.extend(stats);
            out
        });
        let out = &got[..batch * seq * heads * dim];
        assert_close(out, &reference(&wide(&qkv), batch, seq, &s), 2e-6, "attention");
    }
}

#[test]
fn a_cache_gives_the_bits_of_the_whole_however_it_is_cut() {
    for [_, seq, heads, kv_heads, dim] in SHAPES {
        let s = shape(heads, kv_heads, dim);
        let qkv = normals(2, seq * s.row());
        let whole = on_all(|kernel| {
            let mut out = vec![0.0; seq * heads * dim];
            kernel.attention(&mut out, &mut vec![0.0; seq * heads * 2], &qkv, 1, seq, &s);
            out
        });
        let take = |from: usize, width: usize| -> Vec<f32> {
            qkv.chunks(s.row()).flat_map(|row| row[from..from + width].to_vec()).collect()
        };
        let (q_width, kv_width) = (heads * dim, kv_heads * dim);
        let q = take(0, q_width);
        let (k, v) = (take(q_width, kv_width), take(q_width + kv_width, kv_width));
        for piece in [1, 3, 13, 50, seq] {
            let got = on_all(|kernel| {
                let mut out = vec![f32::NAN; seq * q_width];
                for start in (0..seq).step_by(piece) {
                    let end = seq.min(start + piece);
                    let at = start * q_width..end * q_width;
                    let (k, v) = (&k[..end * kv_width], &v[..end * kv_width]);
                    let out = &mut out[at.clone()];
                    kernel.attention_cached(out, &q[at], k, v, end - start, end, &s);
                }
                out
            });
            assert_same_bits(&got, &whole, &format!("pieces of {piece} of {seq}"));
        }
    }
}

#[test]
fn the_backward_pass_agrees_with_finite_differences() {
    for [batch, seq, heads, kv_heads, dim] in [[1, 5, 2, 1, 4], [2, 9, 2, 2, 6], [1, 17, 4, 2, 2]] {
        let s = shape(heads, kv_heads, dim);
        let qkv = normals(3, batch * seq * s.row());
        let dout = normals(4, batch * seq * heads * dim);
        let got = backward(&qkv, &dout, batch, seq, &s);
        let dout = wide(&dout);
        let expected = numeric_gradient(&wide(&qkv), |qkv| {
            reference(qkv, batch, seq, &s).iter().zip(&dout).map(|(out, d)| out * d).sum()
        });
        assert_close(&got, &expected, 1e-5, "attention_backward");
    }
}

#[test]
fn the_backward_pass_is_the_same_everywhere() {
    for [batch, seq, heads, kv_heads, dim] in SHAPES {
        let s = shape(heads, kv_heads, dim);
        let qkv = normals(5, batch * seq * s.row());
        let dout = normals(6, batch * seq * heads * dim);
        let got = backward(&qkv, &dout, batch, seq, &s);
        assert!(got.iter().all(|x| x.is_finite() && x.to_bits() != (-0f32).to_bits()));
    }
}

fn backward(qkv: &[f32], dout: &[f32], batch: usize, seq: usize, s: &HeadShape) -> Vec<f32> {
    on_all(|kernel| {
        let mut out = vec![0.0; dout.len()];
        let mut stats = vec![0.0; batch * seq * s.heads * 2];
        kernel.attention(&mut out, &mut stats, qkv, batch, seq, s);
        let mut dqkv = vec![f32::NAN; qkv.len()];
        kernel.attention_backward(&mut dqkv, dout, &out, &stats, qkv, batch, seq, s);
        dqkv
    })
}
