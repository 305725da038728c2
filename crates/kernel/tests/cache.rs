//! Attention over caches: the bits of attention over whole sequences, its options against f64.
#![allow(clippy::disallowed_methods)] // the platform's functions in f64 are the reference

mod common;

use common::{assert_close, assert_same_bits, normals, on_all};
use kernel::{Kernel, KvCache, Query, Scoring};

/// Queries, keys and values of a sequence, apart.
struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    q_width: usize,
    kv_width: usize,
}

fn inputs(seed: u64, [seq, heads, kv_heads, dim]: [usize; 4]) -> Inputs {
    let (q_width, kv_width) = (heads * dim, kv_heads * dim);
    let q = normals(3 * seed, seq * q_width);
    let (k, v) = (normals(3 * seed + 1, seq * kv_width), normals(3 * seed + 2, seq * kv_width));
    Inputs { q, k, v, q_width, kv_width }
}

impl Inputs {
    fn append(&self, kernel: &Kernel, cache: &mut KvCache, from: usize, to: usize) {
        let at = from * self.kv_width..to * self.kv_width;
        kernel.append(cache, &self.k[at.clone()], &self.v[at]);
    }

    fn in_pieces(
        &self,
        kernel: &Kernel,
        [seq, heads, kv_heads, dim]: [usize; 4],
        piece: usize,
        scoring: &Scoring<'_>,
    ) -> Vec<f32> {
        let mut cache = KvCache::new(kernel, kv_heads, dim);
        let mut out = vec![f32::NAN; seq * self.q_width];
        for start in (0..seq).step_by(piece) {
            let end = seq.min(start + piece);
            self.append(kernel, &mut cache, start, end);
            let at = start * self.q_width..end * self.q_width;
            let queries = [Query { cache: &cache, rows: end - start }];
            kernel.attend(&mut out[at.clone()], &self.q[at], &queries, heads, scoring);
        }
        out
    }
}

#[test]
fn sequences_in_a_batch_do_not_touch_each_other() {
    let shapes = [[90, 4, 2, 24], [1, 4, 2, 24], [65, 4, 2, 24], [7, 4, 2, 24]];
    let rows = [5, 1, 65, 1];
    let all: Vec<Inputs> = (0..4).map(|i| inputs(i as u64 + 5, shapes[i])).collect();
    let scoring = Scoring { window: Some(40), ..Scoring::plain(24) };
    let together = on_all(|kernel| {
        let caches: Vec<KvCache> = (0..4)
            .map(|i| {
                let mut cache = KvCache::new(kernel, 2, 24);
                all[i].append(kernel, &mut cache, 0, shapes[i][0]);
                cache
            })
            .collect();
        let queries: Vec<Query<'_>> =
            caches.iter().zip(rows).map(|(cache, rows)| Query { cache, rows }).collect();
        let last = |i: usize| all[i].q[(shapes[i][0] - rows[i]) * 96..].to_vec();
        let q: Vec<f32> = (0..4).flat_map(last).collect();
        let mut out = vec![f32::NAN; q.len()];
        kernel.attend(&mut out, &q, &queries, 4, &scoring);
        out
    });
    let alone: Vec<f32> = (0..4)
        .flat_map(|i| {
            let out = on_all(|kernel| all[i].in_pieces(kernel, shapes[i], 11, &scoring));
            out[(shapes[i][0] - rows[i]) * 96..].to_vec()
        })
        .collect();
    assert_same_bits(&together, &alone, "batch");
}

#[test]
fn a_fork_and_a_cache_gone_back_are_as_if_the_rest_had_not_been() {
    let shape @ [seq, heads, kv_heads, dim] = [150, 4, 2, 24];
    let (first, other) = (inputs(1, shape), inputs(2, shape));
    let mut mixed = inputs(1, shape);
    for (mixed, other) in [(&mut mixed.k, &other.k), (&mut mixed.v, &other.v)] {
        mixed[70 * 48..].copy_from_slice(&other[70 * 48..]);
    }
    let want = on_all(|kernel| mixed.in_pieces(kernel, shape, seq, &Scoring::plain(dim)));
    for forked in [true, false] {
        let got = on_all(|kernel| {
            let mut cache = KvCache::new(kernel, kv_heads, dim);
            first.append(kernel, &mut cache, 0, seq);
            if forked {
                cache = cache.fork(70);
            } else {
                cache.truncate(70);
            }
            other.append(kernel, &mut cache, 70, seq);
            let mut out = vec![f32::NAN; mixed.q.len()];
            let queries = [Query { cache: &cache, rows: seq }];
            kernel.attend(&mut out, &mixed.q, &queries, heads, &Scoring::plain(dim));
            out
        });
        assert_same_bits(&got, &want, "gone back");
    }
}

/// The definition in f64.
fn reference(x: &Inputs, [seq, heads, kv_heads, dim]: [usize; 4], s: &Scoring<'_>) -> Vec<f64> {
    let bf16 = |x: f32| {
        f64::from(f32::from_bits((x.to_bits() + 0x7fff + (x.to_bits() >> 16 & 1)) & 0xffff_0000))
    };
    let mut out = vec![0.0; seq * heads * dim];
    for head in 0..heads {
        let kv = head / (heads / kv_heads);
        for i in 0..seq {
            let low = s.window.map_or(0, |window| (i + 1).saturating_sub(window));
            let score = |j: usize| {
                let (q, k) =
                    (&x.q[i * x.q_width + head * dim..], &x.k[j * x.kv_width + kv * dim..]);
                let dot: f64 =
                    q[..dim].iter().zip(k).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                let bias = s
                    .slopes
                    .map_or(0.0, |slopes| bf16((bf16(slopes[head]) * bf16(j as f32)) as f32));
                let score = (dot + bias) * f64::from(s.scale);
                s.cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
            };
            let weights: Vec<f64> = (low..=i).map(|j| score(j).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for (j, weight) in (low..=i).zip(weights) {
                for d in 0..dim {
                    out[i * x.q_width + head * dim + d] +=
                        weight / sum * f64::from(x.v[j * x.kv_width + kv * dim + d]);
                }
            }
        }
    }
    out
}

#[test]
fn windows_caps_and_slopes_are_close_to_f64() {
    let slopes = [0.5, 0.25, 0.088_388_35, 0.031_25];
    for (window, cap, slopes) in [
        (Some(1), None, None),
        (Some(50), None, None),
        (Some(64), Some(5.0), None),
        (None, Some(2.0), None),
        (None, None, Some(&slopes[..])),
    ] {
        let shape @ [.., dim] = [190, 4, 2, 24];
        let inputs = inputs(9, shape);
        let scoring = Scoring { window, cap, slopes, ..Scoring::plain(dim) };
        let want = reference(&inputs, shape, &scoring);
        let whole = on_all(|kernel| inputs.in_pieces(kernel, shape, 190, &scoring));
        assert_close(&whole, &want, 5e-6, "options");
        for piece in [1, 17] {
            let got = on_all(|kernel| inputs.in_pieces(kernel, shape, piece, &scoring));
            assert_same_bits(&got, &whole, &format!("pieces of {piece}"));
        }
    }
}
