//! Conformance vectors of profile `strict-1`: fixed inputs through every operation, hashed.
//!
//! Whoever gets these hashes computes what everybody else computes. They are part of the profile:
//! a change of any of them is a new profile.

use crate::activation::Activation;
use crate::attention::{HeadShape, KvCache, Query, Scoring};
use crate::integer::{Quantized, Rounding, Scales};
use crate::kernel::Kernel;
use crate::math;
use crate::matrix::{Activations, Format, Inputs, Matrix, Product};
use crate::optim::AdamW;
use crate::random::{Stream, fnv1a64};
use crate::rotation::Direction;

/// The hash of every check, in the order of [`conformance`]; those of `strict-i8` begin with `i8`.
pub const EXPECTED: [(&str, u64); 54] = [
    ("linear", 0x73fa_8ea9_4eb1_cb72),
    ("linear_add", 0xde31_3ba8_eb7b_7b6b),
    ("linear_backward_input", 0x1f7d_849e_5ddc_17ec),
    ("linear_backward_weight", 0x09bc_fa2d_1c1c_bfad),
    ("rms_norm", 0xfae6_045e_ee08_2717),
    ("rms_norm_backward", 0xd64e_7070_7cd9_322c),
    ("rope", 0xea7f_0022_19b5_98af),
    ("rope_backward", 0x859c_4029_c2a8_e246),
    ("swiglu", 0x0270_11db_b7f5_898a),
    ("swiglu_backward", 0x5644_cada_4a9b_b541),
    ("embed", 0x31a8_3469_cefa_53c7),
    ("embed_backward", 0xd7ea_88db_af85_175a),
    ("attention", 0x9564_fea1_0c40_65bd),
    ("attention_backward", 0xfc56_941e_1dc8_952d),
    ("attention_cached", 0xb783_35b2_c73d_d646),
    ("cross_entropy", 0xa9fc_dd86_c101_855b),
    ("cross_entropy_forward", 0xa5da_a9c7_11b2_56c4),
    ("softmax_rows", 0xd144_ff28_217d_4ea0),
    ("adamw", 0xc8b8_5eaf_a483_6dba),
    ("sum_squares", 0x034d_d3b2_2591_0db9),
    ("add_scaled, scale", 0x6c04_a048_73c0_502c),
    ("quantize_i8, dequantize_i8", 0xdc78_5d8d_c20b_0e10),
    ("exp", 0x8240_6561_277d_e224),
    ("ln", 0x707d_cfa6_4c4b_8117),
    ("sin", 0xd799_d198_302e_2d1e),
    ("cos", 0x2b9e_5839_bc67_1730),
    ("tanh", 0x47ab_610a_5f5f_8eab),
    ("erf", 0xde7a_3256_3281_f096),
    ("random", 0xa394_c5ba_1b08_d4d7),
    ("matmul F32", 0xb99d_1068_26ac_173f),
    ("matmul F16", 0x3f16_846a_0b00_6e9f),
    ("matmul BF16", 0x9c4f_b29d_beca_be6d),
    ("matmul Q8_0", 0xcb7a_5c21_ab27_aa8f),
    ("matmul Q4_0", 0xaaca_b037_773f_a28c),
    ("matmul Q4_1", 0x41de_a41d_27b2_b04a),
    ("matmul Q5_0", 0x22c4_ef6c_1674_d026),
    ("matmul Q5_1", 0xf3cc_bbf6_60d8_b112),
    ("matmul Q2_K", 0x41d7_6ea9_49b7_533e),
    ("matmul Q3_K", 0x00f5_e427_416a_ab2e),
    ("matmul Q4_K", 0x914b_e52b_19cc_1a34),
    ("matmul Q5_K", 0xd171_a63d_0b40_abec),
    ("matmul Q6_K", 0x4fc0_b367_1dbf_89ef),
    ("matmul IQ4_NL", 0x694f_f6d3_840f_7a80),
    ("layer_norm", 0xf646_ee8d_727f_c8a5),
    ("layer_norm_backward", 0x00a4_3733_b215_d676),
    ("gelu tanh", 0xac76_9f2c_b5a5_f3d7),
    ("gelu erf", 0x9e9a_e60f_44d9_d822),
    ("soft_cap", 0xdba4_8dee_4acd_fb9d),
    ("fill_rows, add_rows, sum_rows", 0x3dfb_cfc1_4786_9140),
    ("attention of windows, caps and slopes", 0x1b8f_1337_042a_5700),
    ("i8 quantize", 0xd451_79fe_4786_e92b),
    ("i8 linear", 0x1d8d_0206_13d9_1cb9),
    ("i8 linear_backward_input", 0x3490_d267_c121_ca8a),
    ("i8 linear_backward_weight", 0x550c_9101_be47_bcb1),
];

/// Runs every operation on fixed inputs of odd shapes; names and hashes of the outputs' bits.
///
/// Bits: FNV-1a, 64 bits, over the little-endian outputs in the order of the parameters. Inputs
/// are `normal_at` of the stream with seed 1, the check's name as purpose and the input's number
/// as item.
pub fn conformance(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    [products(kernel), layers(kernel), attention(kernel), losses(kernel), vectors(kernel)]
        .concat()
        .into_iter()
        .chain(functions())
        .chain(matrices(kernel))
        .chain(families(kernel))
        .chain(integers(kernel))
        .collect()
}

fn products(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    // Rows, outputs, inputs: around the sizes of tiles and blocks, one row, many rows.
    let shapes = [[1, 37, 801], [7, 33, 65], [61, 130, 47], [257, 19, 421]];
    let mut hashes = [Hash::new(); 4];
    for [m, n, k] in shapes {
        let [x, w, dy] = inputs("linear", [m * k, n * k, m * n]);
        let (mut y, mut dx, mut dw) = (vec![0.0; m * n], vec![0.0; m * k], w.clone());
        kernel.linear(&mut y, &x, &w, m, n, k);
        hashes[0].add(&y);
        kernel.linear_add(&mut y, &x, &w, m, n, k);
        hashes[1].add(&y);
        kernel.linear_backward_input(&mut dx, &dy, &w, m, n, k, false);
        hashes[2].add(&dx);
        kernel.linear_backward_input(&mut dx, &dy, &w, m, n, k, true);
        hashes[2].add(&dx);
        kernel.linear_backward_weight(&mut dw, &dy, &x, m, n, k);
        hashes[3].add(&dw);
    }
    let names = ["linear", "linear_add", "linear_backward_input", "linear_backward_weight"];
    names.into_iter().zip(hashes.map(Hash::value)).collect()
}

fn layers(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let (t, c) = (13, 101);
    let [x, w, dout] = inputs("rms_norm", [t * c, c, t * c]);
    let (mut out, mut rstd) = (vec![0.0; t * c], vec![0.0; t]);
    kernel.rms_norm(&mut out, &mut rstd, &x, &w, 1e-5);
    let norm = Hash::of(&[&out, &rstd]);
    let (mut dx, mut dw) = (x.clone(), w.clone());
    kernel.rms_norm_backward(&mut dx, &mut dw, &dout, &x, &w, &rstd);
    let norm_backward = Hash::of(&[&dx, &dw]);

    let s = HeadShape { heads: 3, kv_heads: 1, head_dim: 34 };
    let angles: Vec<Vec<f32>> = (0..t).map(|i| angles(i * i * 14, s.head_dim)).collect();
    let angles: Vec<&[f32]> = angles.iter().map(Vec::as_slice).collect();
    let [mut qkv] = inputs("rope", [t * s.row()]);
    let heads = s.heads + s.kv_heads;
    kernel.rotate(&mut qkv, heads, s.head_dim, &angles, Direction::Forward);
    let rope = Hash::of(&[&qkv]);
    kernel.rotate(&mut qkv, heads, s.head_dim, &angles, Direction::Backward);
    let rope_backward = Hash::of(&[&qkv]);

    let [gate_up, dh] = inputs("swiglu", [2 * t * c, t * c]);
    let (mut h, mut dgate_up) = (vec![0.0; t * c], vec![0.0; 2 * t * c]);
    kernel.gated(&mut h, &gate_up, c, Activation::Silu);
    kernel.gated_backward(&mut dgate_up, &dh, &gate_up, c, Activation::Silu);

    let tokens: Vec<u32> = (0..t as u32).map(|i| i * 5 % 7).collect();
    let [table, dout] = inputs("embed", [7 * c, t * c]);
    let (mut embedded, mut dtable) = (vec![0.0; t * c], table.clone());
    kernel.embed(&mut embedded, &table, &tokens, c);
    kernel.embed_backward(&mut dtable, &dout, &tokens, c);
    vec![
        ("rms_norm", norm),
        ("rms_norm_backward", norm_backward),
        ("rope", rope),
        ("rope_backward", rope_backward),
        ("swiglu", Hash::of(&[&h])),
        ("swiglu_backward", Hash::of(&[&dgate_up])),
        ("embed", Hash::of(&[&embedded])),
        ("embed_backward", Hash::of(&[&dtable])),
    ]
}

fn attention(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let mut hashes = [Hash::new(); 3];
    for [batch, seq, heads, kv_heads, head_dim] in [[2, 67, 4, 2, 10], [1, 131, 3, 1, 33]] {
        let s = HeadShape { heads, kv_heads, head_dim };
        let (tokens, width) = (batch * seq, heads * head_dim);
        let [qkv, dout] = inputs("attention", [tokens * s.row(), tokens * width]);
        let (mut out, mut stats) = (vec![0.0; tokens * width], vec![0.0; tokens * heads * 2]);
        let scoring = Scoring::plain(head_dim);
        kernel.attention(&mut out, &mut stats, &qkv, batch, seq, &s, &scoring);
        hashes[0].add(&out).add(&stats);
        let mut dqkv = vec![0.0; qkv.len()];
        kernel.attention_backward(&mut dqkv, &dout, &out, &stats, &qkv, batch, seq, &s, &scoring);
        hashes[1].add(&dqkv);
        let kv = seq * kv_heads * head_dim;
        let [q, k, v] = inputs("attention_cached", [5 * width, kv, kv]);
        let mut out = vec![0.0; 5 * width];
        let mut cache = KvCache::new(kernel, kv_heads, head_dim);
        kernel.append(&mut cache, &k, &v);
        let queries = [Query { cache: &cache, rows: 5 }];
        kernel.attend(&mut out, &q, &queries, heads, &scoring);
        hashes[2].add(&out);
    }
    let names = ["attention", "attention_backward", "attention_cached"];
    names.into_iter().zip(hashes.map(Hash::value)).collect()
}

/// Cosines, then sines, of a position for rotary base 10,000: the angle is the f32 product of
/// position and frequency `1 / 10000^(2i / head_dim)`; both are taken in f64 and rounded.
fn angles(position: usize, head_dim: usize) -> Vec<f32> {
    let angle = |i: usize| {
        let exponent = (2 * i) as f32 / head_dim as f32;
        f64::from(position as f32 * (1.0 / math::pow64(1e4, f64::from(exponent)) as f32))
    };
    let half = head_dim / 2;
    let cosines = (0..half).map(|i| math::cos64(angle(i)) as f32);
    cosines.chain((0..half).map(|i| math::sin64(angle(i)) as f32)).collect()
}

fn losses(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let (t, vocab) = (9, 1003);
    let [logits] = inputs("cross_entropy", [t * vocab]);
    let targets: Vec<u32> = (0..t as u32).map(|i| i * 111).collect();
    let (mut losses, mut gradient, mut shares) = (vec![0.0; t], logits.clone(), logits.clone());
    kernel.cross_entropy(&mut losses, &mut gradient, &targets, vocab, 0.1);
    let both = Hash::of(&[&losses, &gradient]);
    kernel.cross_entropy_forward(&mut losses, &logits, &targets, vocab);
    kernel.softmax_rows(&mut shares, vocab);
    vec![
        ("cross_entropy", both),
        ("cross_entropy_forward", Hash::of(&[&losses])),
        ("softmax_rows", Hash::of(&[&shares])),
    ]
}

fn vectors(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let n = 8_201;
    let [mut p, g, mut m] = inputs("adamw", [n; 3]);
    let mut v: Vec<f32> = g.iter().map(|g| g * g).collect();
    let h = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    kernel.adamw(&mut p, &g, &mut m, &mut v, &h, 7, 0.25, true);
    kernel.adamw(&mut p, &g, &mut m, &mut v, &h, 8, 1.0, false);
    let adamw = Hash::of(&[&p, &m, &v]);
    let squares = Hash::of(&[&[kernel.sum_squares(&g)]]);
    kernel.add_scaled(&mut p, 0.7, &g);
    kernel.scale(&mut p, 1.1);
    let linear = Hash::of(&[&p]);
    let (mut q, mut scales) = (vec![0i8; n], vec![0.0; n.div_ceil(256)]);
    kernel.quantize_i8(&mut q, &mut scales, &g);
    let mut back = vec![0.0; n];
    kernel.dequantize_i8(&mut back, &q, &scales);
    vec![
        ("adamw", adamw),
        ("sum_squares", squares),
        ("add_scaled, scale", linear),
        ("quantize_i8, dequantize_i8", Hash::of(&[&scales, &back])),
    ]
}

fn functions() -> Vec<(&'static str, u64)> {
    let [x] = inputs("functions", [4096]);
    let x: Vec<f32> = x.iter().map(|x| x * x * x * 3.0).collect();
    let hash = |f: fn(f32) -> f32| Hash::of(&[&x.iter().map(|&x| f(x)).collect::<Vec<f32>>()]);
    let stream = Stream::new(u64::MAX, "conformance", 1 << 40);
    let words: Vec<u8> =
        (0..999).flat_map(|i| stream.u64_at(i * 0x1_0000_0001).to_le_bytes()).collect();
    vec![
        ("exp", hash(math::exp)),
        ("ln", hash(|x| math::ln(x.abs()))),
        ("sin", hash(math::sin)),
        ("cos", hash(math::cos)),
        ("tanh", hash(math::tanh)),
        ("erf", hash(math::erf)),
        ("random", fnv1a64(&words)),
    ]
}

/// What other families than Llama need.
fn families(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let (t, c) = (13, 101);
    let [x, w, b, dout] = inputs("layer_norm", [t * c, c, c, t * c]);
    let mut out = vec![0.0; t * c];
    kernel.layer_norm(&mut out, &x, &w, &b, 1e-5);
    let (mut dx, mut dw, mut db) = (x.clone(), w.clone(), b.clone());
    kernel.layer_norm_backward(&mut dx, &mut dw, &mut db, &dout, &x, &w, 1e-5);
    let gelu = |act: Activation| {
        let [gate_up, dh] = inputs("gelu", [2 * t * c, t * c]);
        let (mut h, mut dgate_up) = (vec![0.0; t * c], vec![0.0; 2 * t * c]);
        kernel.gated(&mut h, &gate_up, c, act);
        kernel.gated_backward(&mut dgate_up, &dh, &gate_up, c, act);
        let (mut y, mut dy) = (dh.clone(), h.clone());
        kernel.activate(&mut y, None, act);
        kernel.activate_backward(&mut dy, &dh, act);
        Hash::of(&[&h, &dgate_up, &y, &dy])
    };
    let (mut y, mut dy) = (x.clone(), dout.clone());
    kernel.soft_cap(&mut y, 1.7);
    kernel.soft_cap_backward(&mut dy, &y, 1.7);
    let (mut filled, mut added, mut sums) = (x.clone(), x.clone(), b.clone());
    kernel.fill_rows(&mut filled, &b);
    kernel.add_rows(&mut added, &b);
    kernel.sum_rows(&mut sums, &dout);
    vec![
        ("layer_norm", Hash::of(&[&out])),
        ("layer_norm_backward", Hash::of(&[&dx, &dw, &db])),
        ("gelu tanh", gelu(Activation::GeluTanh)),
        ("gelu erf", gelu(Activation::GeluErf)),
        ("soft_cap", Hash::of(&[&y, &dy])),
        ("fill_rows, add_rows, sum_rows", Hash::of(&[&filled, &added, &sums])),
        ("attention of windows, caps and slopes", scored(kernel)),
    ]
}

fn scored(kernel: &Kernel) -> u64 {
    let (seq, dim) = (67, 10);
    let s = HeadShape { heads: 4, kv_heads: 2, head_dim: dim };
    let (slopes, width) = ([0.5, 0.25, 0.125, 0.0625], s.heads * dim);
    let [qkv, dout] = inputs("scored attention", [seq * s.row(), seq * width]);
    let mut hash = Hash::new();
    for (scale, cap, window, slopes) in [
        (0.3, None, Some(20), None),
        (0.3, Some(1.5), None, None),
        (0.3, None, None, Some(&slopes[..])),
    ] {
        let scoring = Scoring { scale, cap, window, slopes };
        let (mut out, mut stats) = (vec![0.0; seq * width], vec![0.0; seq * s.heads * 2]);
        let mut dqkv = vec![0.0; qkv.len()];
        kernel.attention(&mut out, &mut stats, &qkv, 1, seq, &s, &scoring);
        kernel.attention_backward(&mut dqkv, &dout, &out, &stats, &qkv, 1, seq, &s, &scoring);
        hash.add(&out).add(&stats).add(&dqkv);
    }
    hash.value()
}

/// The three products of a linear layer in 8-bit integers, and the integers and scales that they
/// are of: rows, outputs, inputs around the sizes of tiles, words and rounds of random numbers.
/// Gradients are rounded by the stream with seed 2, the purpose `i8` and the item 0 for the input's
/// product, 1 for the weight's, from row 5 on.
fn integers(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let mut hashes = [Hash::new(); 4];
    for [m, n, k] in [[1, 37, 801], [7, 33, 65], [61, 130, 47], [257, 19, 421]] {
        let [x, w, dy, start] = inputs("i8 linear", [m * k, n * k, m * n, n * k]);
        let noise = [0, 1].map(|item| Stream::new(2, "i8", item));
        let chance = |item: usize| Rounding::Stochastic { stream: &noise[item], first: 5 };
        let mut product = |at: usize, c: &mut [f32], a: Quantized, b: Quantized, add| {
            [&a, &b].into_iter().for_each(|q| hash_integers(&mut hashes[0], q));
            kernel.integer_product(c, &a, &b, add);
            hashes[at].add(c);
        };
        let quantize = |x: &[f32], cols, by, rounding| {
            let mut q = Quantized::default();
            kernel.quantize(&mut q, x, cols, by, rounding);
            q
        };
        let (rows, columns, nearest) = (Scales::Rows, Scales::Columns, Rounding::Nearest);
        let (mut y, mut dx, mut dw) = (vec![0.0; m * n], vec![0.0; m * k], start);
        let left = quantize(&x, k, rows, nearest);
        product(1, &mut y, left, quantize(&w, k, rows, nearest), false);
        let left = quantize(&dy, n, rows, chance(0));
        product(2, &mut dx, left, quantize(&w, k, columns, nearest), false);
        let left = quantize(&dy, n, columns, chance(1));
        product(3, &mut dw, left, quantize(&x, k, columns, nearest), true);
    }
    let names = EXPECTED.iter().map(|(name, _)| *name).filter(|name| name.starts_with("i8 "));
    names.zip(hashes.map(Hash::value)).collect()
}

/// Row by row the integers, as numbers, then the scales.
fn hash_integers(hash: &mut Hash, q: &Quantized) {
    for row in 0..q.rows() {
        for col in 0..q.cols() {
            hash.add(&[f32::from(q.at(row, col))]);
        }
    }
    hash.add(q.scales());
}

/// Blocks are bytes of the stream with seed 1, the format's name and item 0, with the exponents of
/// halves brought near 2⁻⁸; rows, widened rows, products with integers and with floats.
fn matrices(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let names = EXPECTED.iter().map(|(name, _)| *name).filter(|name| name.starts_with("matmul "));
    Format::ALL
        .into_iter()
        .zip(names)
        .map(|(format, name)| (name, matrix(kernel, format)))
        .collect()
}

fn matrix(kernel: &Kernel, format: Format) -> u64 {
    let (m, rows, cols) = (67, 37, 512);
    let stream = Stream::new(1, format.name(), 0);
    let blocks = rows * cols / format.block();
    let mut bytes: Vec<u8> =
        (0..(blocks * format.block_bytes()) as u64).map(|i| stream.u32_at(i) as u8).collect();
    let (first, count, high) = match format {
        Format::F32 => (2, 1, 0x3f),
        Format::BF16 => (0, 1, 0x3f),
        Format::Q2K => (80, 2, 0x1c),
        Format::Q3K => (108, 1, 0x1c),
        Format::Q6K => (208, 1, 0x1c),
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => (0, 2, 0x1c),
        _ => (0, 1, 0x1c),
    };
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        for half in 0..count {
            let byte = &mut block[first + 2 * half + 1];
            *byte = *byte & 0x80 | high | *byte & 3;
        }
    }
    let mut w = Matrix::zeroed(format, rows, cols);
    kernel.pack_rows(&mut w, 0, &bytes);
    let mut row = vec![0.0; cols];
    w.row(rows - 1, &mut row);
    let mut hash = Hash::new();
    hash.add(&row);
    let [x, start, bias] = inputs("matmul", [m * cols, m * rows, rows]);
    for activations in [Activations::Int8, Activations::F32] {
        let mut scratch = Inputs::new(activations);
        let (mut y, mut added) = (vec![0.0; m * rows], start.clone());
        kernel.matmul(&mut [Product::new(&mut y, &w)], &x, m, &mut scratch);
        let product = Product { y: &mut added[..rows], w: &w, add: true, bias: Some(&bias) };
        kernel.matmul(&mut [product], &x[..cols], 1, &mut scratch);
        hash.add(&y).add(&added);
    }
    hash.value()
}

fn inputs<const N: usize>(purpose: &str, lengths: [usize; N]) -> [Vec<f32>; N] {
    let mut item = 0;
    lengths.map(|length| {
        let stream = Stream::new(1, purpose, item);
        item += 1;
        (0..length as u64).map(|i| stream.normal_at(i)).collect()
    })
}

/// FNV-1a over the bits of values.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(fnv1a64(&[]))
    }

    fn of(parts: &[&[f32]]) -> u64 {
        let mut hash = Hash::new();
        for part in parts {
            hash.add(part);
        }
        hash.0
    }

    fn add(&mut self, values: &[f32]) -> &mut Hash {
        for byte in values.iter().flat_map(|value| value.to_bits().to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    fn value(self) -> u64 {
        self.0
    }
}
