//! Attention: against f64, against finite differences, cached against whole, on every kernel.
#![allow(clippy::disallowed_methods)] // the platform's functions in f64 are the reference

mod common;

use common::{assert_close, assert_same_bits, normals, numeric_gradient, on_all, wide};
use kernel::{HeadShape, KvCache, Query, Scoring};

/// Batch, sequence, heads, key-value heads, values to a head.
const SHAPES: [[usize; 5]; 8] = [
    [1, 1, 1, 1, 2],
    [2, 7, 2, 1, 4],
    [1, 33, 4, 2, 16],
    [2, 61, 3, 3, 33],
    [1, 130, 2, 1, 64],
    [3, 49, 6, 2, 8],
    [1, 130, 9, 3, 64],
    [1, 200, 4, 1, 72],
];

/// What a family can ask of scores; slopes and positions are whole in bfloat16.
fn scorings(dim: usize, slopes: &[f32]) -> [Scoring<'_>; 5] {
    let plain = Scoring::plain(dim);
    [
        plain,
        Scoring { window: Some(5), ..plain },
        Scoring { scale: 0.7, cap: Some(1.5), ..plain },
        Scoring { slopes: Some(slopes), ..plain },
        Scoring { scale: 0.3, cap: Some(2.0), window: Some(4), slopes: Some(slopes) },
    ]
}

fn slopes(heads: usize) -> Vec<f32> {
    (0..heads).map(|head| 0.5f32.powi(head as i32 + 2)).collect()
}

fn shape(heads: usize, kv_heads: usize, head_dim: usize) -> HeadShape {
    HeadShape { heads, kv_heads, head_dim }
}

/// The definition in f64.
fn reference(
    qkv: &[f64],
    batch: usize,
    seq: usize,
    s: &HeadShape,
    scoring: &Scoring<'_>,
) -> Vec<f64> {
    let (row, dim) = (s.row(), s.head_dim);
    let mut out = vec![0.0; batch * seq * s.heads * dim];
    for b in 0..batch {
        for h in 0..s.heads {
            let kv = h / (s.heads / s.kv_heads);
            let (k0, v0) = ((s.heads + kv) * dim, (s.heads + s.kv_heads + kv) * dim);
            for i in 0..seq {
                let q = &qkv[(b * seq + i) * row + h * dim..][..dim];
                let first = scoring.window.map_or(0, |window| (i + 1).saturating_sub(window));
                let weights: Vec<f64> = (0..=i)
                    .map(|j| {
                        let k = &qkv[(b * seq + j) * row + k0..][..dim];
                        let dot: f64 = q.iter().zip(k).map(|(q, k)| q * k).sum();
                        let bias = scoring.slopes.map_or(0.0, |s| f64::from(s[h]) * j as f64);
                        let score = (dot + bias) * f64::from(scoring.scale);
                        let cap = scoring.cap.map(f64::from);
                        let score = cap.map_or(score, |cap| cap * (score / cap).tanh());
                        if j < first { 0.0 } else { score.exp() }
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
        let (s, slopes) = (shape(heads, kv_heads, dim), slopes(heads));
        let qkv = normals(1, batch * seq * s.row());
        for scoring in scorings(dim, &slopes) {
            let got = on_all(|kernel| {
                let mut out = vec![f32::NAN; batch * seq * heads * dim];
                let mut stats = vec![f32::NAN; batch * seq * heads * 2];
                kernel.attention(&mut out, &mut stats, &qkv, batch, seq, &s, &scoring);
                out.extend(stats);
                out
            });
            let out = &got[..batch * seq * heads * dim];
            let expected = reference(&wide(&qkv), batch, seq, &s, &scoring);
            assert_close(out, &expected, 4e-6, &format!("attention {scoring:?}"));
        }
    }
}

#[test]
fn a_cache_gives_the_bits_of_the_whole_however_it_is_cut() {
    for [_, seq, heads, kv_heads, dim] in SHAPES {
        let (s, slopes) = (shape(heads, kv_heads, dim), slopes(heads));
        let qkv = normals(2, seq * s.row());
        let take = |from: usize, width: usize| -> Vec<f32> {
            qkv.chunks(s.row()).flat_map(|row| row[from..from + width].to_vec()).collect()
        };
        let (q_width, kv_width) = (heads * dim, kv_heads * dim);
        let q = take(0, q_width);
        let (k, v) = (take(q_width, kv_width), take(q_width + kv_width, kv_width));
        for scoring in scorings(dim, &slopes) {
            let whole = on_all(|kernel| {
                let (mut out, mut stats) = (vec![0.0; seq * q_width], vec![0.0; seq * heads * 2]);
                kernel.attention(&mut out, &mut stats, &qkv, 1, seq, &s, &scoring);
                out
            });
            for piece in [1, 13, seq] {
                let got = on_all(|kernel| {
                    let mut cache = KvCache::new(kernel, kv_heads, dim);
                    let mut out = vec![f32::NAN; seq * q_width];
                    for start in (0..seq).step_by(piece) {
                        let end = seq.min(start + piece);
                        let new = start * kv_width..end * kv_width;
                        kernel.append(&mut cache, &k[new.clone()], &v[new]);
                        let queries = [Query { cache: &cache, rows: end - start }];
                        let at = start * q_width..end * q_width;
                        kernel.attend(&mut out[at.clone()], &q[at], &queries, heads, &scoring);
                    }
                    out
                });
                assert_same_bits(&got, &whole, &format!("pieces of {piece} of {seq}"));
            }
        }
    }
}

#[test]
fn the_backward_pass_agrees_with_finite_differences() {
    for [batch, seq, heads, kv_heads, dim] in [[1, 5, 2, 1, 4], [2, 9, 2, 2, 6], [1, 17, 4, 2, 2]] {
        let (s, slopes) = (shape(heads, kv_heads, dim), slopes(heads));
        let qkv = normals(3, batch * seq * s.row());
        let dout = normals(4, batch * seq * heads * dim);
        for scoring in scorings(dim, &slopes) {
            let got = backward(&qkv, &dout, batch, seq, &s, &scoring);
            let dout = wide(&dout);
            let expected = numeric_gradient(&wide(&qkv), |qkv| {
                let out = reference(qkv, batch, seq, &s, &scoring);
                out.iter().zip(&dout).map(|(out, d)| out * d).sum()
            });
            assert_close(&got, &expected, 1e-5, &format!("attention_backward {scoring:?}"));
        }
    }
}

#[test]
fn the_backward_pass_is_the_same_everywhere() {
    for [batch, seq, heads, kv_heads, dim] in SHAPES {
        let (s, slopes) = (shape(heads, kv_heads, dim), slopes(heads));
        let qkv = normals(5, batch * seq * s.row());
        let dout = normals(6, batch * seq * heads * dim);
        for scoring in scorings(dim, &slopes) {
            let got = backward(&qkv, &dout, batch, seq, &s, &scoring);
            assert!(got.iter().all(|x| x.is_finite() && x.to_bits() != (-0f32).to_bits()));
        }
    }
}

fn backward(
    qkv: &[f32],
    dout: &[f32],
    batch: usize,
    seq: usize,
    s: &HeadShape,
    scoring: &Scoring<'_>,
) -> Vec<f32> {
    on_all(|kernel| {
        let mut out = vec![0.0; dout.len()];
        let mut stats = vec![0.0; batch * seq * s.heads * 2];
        kernel.attention(&mut out, &mut stats, qkv, batch, seq, s, scoring);
        let mut dqkv = vec![f32::NAN; qkv.len()];
        kernel.attention_backward(&mut dqkv, dout, &out, &stats, qkv, batch, seq, s, scoring);
        dqkv
    })
}
