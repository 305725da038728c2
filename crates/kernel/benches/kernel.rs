//! Speed of the kernels beside the machine's own limit: `cargo bench -p understory-kernel`.
//!
//! Arguments after `--`: words that select sections (gemm, small, integer, attention, rows), `--t1` or
//! `--t2`… for a number of threads, `--cpu` to count the thread's processor time instead of the time
//! that passes (one thread only; for a machine that others use as well). The peak is measured with
//! a register-only loop of fused multiply-adds in turn with each figure, as shared machines drift
//! from second to second.

mod clock;

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clock::{PROCESSOR_TIME, best, now};
use kernel::random::Stream;
use kernel::{
    Activation, AdamW, Direction, HeadShape, Isa, Kernel, Quantized, Rounding, Scales, Scoring,
};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let chosen = words.iter().find_map(|word| word.strip_prefix("--t")?.parse::<usize>().ok());
    let sections: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name| sections.is_empty() || sections.contains(&name);
    let isa = Isa::from_env().unwrap_or_else(|error| panic!("{error}"));
    let cpu = words.iter().any(|word| word == "--cpu");
    for threads in chosen.map_or_else(|| vec![1, cores], |threads| vec![threads]) {
        PROCESSOR_TIME.store(cpu && threads == 1, Ordering::Relaxed);
        let bench = Bench { kernel: Kernel::new(isa, threads), peak: Peak::new(isa, threads) };
        println!("\n{isa}, {threads} threads: peak {:.0} GFLOP/s", bench.peak.measure());
        if wanted("gemm") {
            bench.products();
        }
        if wanted("small") {
            bench.small_products();
        }
        if wanted("integer") {
            bench.integer_products();
        }
        if wanted("attention") {
            bench.attention();
        }
        if wanted("rows") {
            bench.rows();
        }
    }
}

struct Bench {
    kernel: Kernel,
    peak: Peak,
}

impl Bench {
    fn products(&self) {
        for [m, n, k] in [
            [4096, 320, 320],
            [4096, 864, 320],
            [4096, 320, 864],
            [4096, 1024, 1024],
            [4096, 2560, 640],
            [4096, 640, 2560],
            [4096, 2560, 2560],
        ] {
            self.three_forms(m, n, k);
        }
    }

    fn small_products(&self) {
        for [m, n, k] in [[512, 128, 128], [512, 704, 128], [512, 128, 352], [1024, 4096, 128]] {
            self.three_forms(m, n, k);
        }
        for [n, k] in [[704, 128], [2560, 640], [4096, 2560]] {
            let (x, w, mut y) = (normals(k), normals(n * k), vec![0.0; n]);
            let time = best(100, || self.kernel.linear(&mut y, &x, &w, 1, n, k));
            let rate = (n * k * 4) as f64 / time.as_secs_f64() / 1e9;
            println!("  linear 1 row {n}x{k}: {time:>10.1?} {rate:6.1} GB/s of weights");
        }
    }

    fn three_forms(&self, m: usize, n: usize, k: usize) {
        let (x, w, mut y) = (normals(m * k), normals(n * k), normals(m * n));
        let (mut dx, mut dw) = (vec![0.0; m * k], vec![0.0; n * k]);
        let flops = 2.0 * (m * n * k) as f64;
        let name = format!("{m}x{n}x{k}");
        self.report(&format!("linear          {name}"), flops, || {
            self.kernel.linear(&mut y, &x, &w, m, n, k);
        });
        self.report(&format!("backward_input  {name}"), flops, || {
            self.kernel.linear_backward_input(&mut dx, &y, &w, m, n, k, false);
        });
        self.report(&format!("backward_weight {name}"), flops, || {
            self.kernel.linear_backward_weight(&mut dw, &y, &x, m, n, k);
        });
    }

    /// Products of 8-bit integers: rates are operations, shares are of the peak of floats.
    fn integer_products(&self) {
        let noise = Stream::new(1, "noise", 0);
        let chance = Rounding::Stochastic { stream: &noise, first: 0 };
        for [m, n, k] in [[512, 128, 128], [512, 4096, 128], [4096, 864, 320], [4096, 2560, 640]] {
            let (x, w, dy) = (normals(m * k), normals(n * k), normals(m * n));
            let (mut y, mut dx, mut dw) = (dy.clone(), vec![0.0; m * k], vec![0.0; n * k]);
            let quantize = |x: &[f32], cols, by, rounding| {
                let mut q = Quantized::default();
                self.kernel.quantize(&mut q, x, cols, by, rounding);
                q
            };
            let (nearest, rows, columns) = (Rounding::Nearest, Scales::Rows, Scales::Columns);
            let flops = 2.0 * (m * n * k) as f64;
            let name = format!("{m}x{n}x{k}");
            let (a, b) = (quantize(&x, k, rows, nearest), quantize(&w, k, rows, nearest));
            self.report(&format!("integer linear          {name}"), flops, || {
                self.kernel.integer_product(&mut y, &a, &b, false);
            });
            let (a, b) = (quantize(&dy, n, rows, chance), quantize(&w, k, columns, nearest));
            self.report(&format!("integer backward_input  {name}"), flops, || {
                self.kernel.integer_product(&mut dx, &a, &b, false);
            });
            let (a, b) = (quantize(&dy, n, columns, chance), quantize(&x, k, columns, nearest));
            self.report(&format!("integer backward_weight {name}"), flops, || {
                self.kernel.integer_product(&mut dw, &a, &b, true);
            });
        }
        let (x, mut q) = (normals(4096 * 640), Quantized::default());
        for (by, rounding, name) in [
            (Scales::Rows, Rounding::Nearest, "quantize rows"),
            (Scales::Rows, chance, "quantize rows, by chance"),
            (Scales::Columns, Rounding::Nearest, "quantize columns"),
            (Scales::Columns, chance, "quantize columns, chance"),
        ] {
            per_value(name, x.len(), || self.kernel.quantize(&mut q, &x, 640, by, rounding));
        }
    }

    fn attention(&self) {
        for [batch, seq, heads, kv_heads, dim] in
            [[8, 512, 4, 2, 32], [8, 512, 5, 5, 64], [4, 1024, 8, 2, 64], [1, 2048, 8, 8, 128]]
        {
            let s = HeadShape { heads, kv_heads, head_dim: dim };
            let tokens = batch * seq;
            let qkv = normals(tokens * s.row());
            let mut out = vec![0.0; tokens * heads * dim];
            let mut stats = vec![0.0; tokens * heads * 2];
            let (dout, mut dqkv) = (normals(out.len()), vec![0.0; qkv.len()]);
            // Two products forward, five backward, over the lower triangle.
            let product = (batch * heads * seq * (seq + 1) * dim) as f64;
            let name = format!("b{batch} t{seq} h{heads}/{kv_heads} d{dim}");
            self.report(&format!("attention          {name}"), 2.0 * product, || {
                self.kernel.attention(
                    &mut out,
                    &mut stats,
                    &qkv,
                    batch,
                    seq,
                    &s,
                    &Scoring::plain(s.head_dim),
                );
            });
            self.report(&format!("attention_backward {name}"), 5.0 * product, || {
                self.kernel.attention_backward(
                    &mut dqkv,
                    &dout,
                    &out,
                    &stats,
                    &qkv,
                    batch,
                    seq,
                    &s,
                    &Scoring::plain(s.head_dim),
                );
            });
        }
    }

    fn rows(&self) {
        let (t, c, f, vocab) = (4096, 320, 864, 4096);
        let kernel = &self.kernel;
        let (x, w, dout) = (normals(t * c), normals(c), normals(t * c));
        let (mut out, mut rstd) = (vec![0.0; t * c], vec![0.0; t]);
        per_value("rms_norm", t * c, || kernel.rms_norm(&mut out, &mut rstd, &x, &w, 1e-5));
        let (mut dx, mut dw) = (vec![0.0; t * c], vec![0.0; c]);
        per_value("rms_norm_backward", t * c, || {
            kernel.rms_norm_backward(&mut dx, &mut dw, &dout, &x, &w, &rstd);
        });
        let s = HeadShape { heads: 5, kv_heads: 5, head_dim: 64 };
        // Any cosines and sines take the same time.
        let (rows, mut qkv) = (normals(512 * s.head_dim), normals(t * s.row()));
        let rows: Vec<&[f32]> = rows.chunks_exact(s.head_dim).collect();
        let angles: Vec<&[f32]> = (0..t).map(|i| rows[i % 512]).collect();
        let heads = s.heads + s.kv_heads;
        per_value("rotate", 2 * t * c, || {
            kernel.rotate(&mut qkv, heads, s.head_dim, &angles, Direction::Forward);
        });
        let (gate_up, mut h) = (normals(2 * t * f), vec![0.0; t * f]);
        per_value("gated", t * f, || kernel.gated(&mut h, &gate_up, f, Activation::Silu));
        let (dh, mut dgate_up) = (normals(t * f), vec![0.0; 2 * t * f]);
        per_value("gated_backward", t * f, || {
            kernel.gated_backward(&mut dgate_up, &dh, &gate_up, f, Activation::Silu);
        });
        let logits = normals(t * vocab);
        let (mut work, mut losses) = (logits.clone(), vec![0.0; t]);
        let targets: Vec<u32> = (0..t as u32).map(|i| i * 7 % vocab as u32).collect();
        per_value("cross_entropy", t * vocab, || {
            kernel.cross_entropy(&mut losses, &mut work, &targets, vocab, 1.0);
        });
        per_value("cross_entropy_forward", t * vocab, || {
            kernel.cross_entropy_forward(&mut losses, &logits, &targets, vocab);
        });
        let (mut embedded, mut dtable) = (vec![0.0; t * c], vec![0.0; vocab * c]);
        per_value("embed", t * c, || kernel.embed(&mut embedded, &logits, &targets, c));
        per_value("embed_backward", t * c, || {
            kernel.embed_backward(&mut dtable, &dout, &targets, c);
        });
        self.vectors();
    }

    fn vectors(&self) {
        let (n, kernel) = (4 << 20, &self.kernel);
        let (g, mut p) = (normals(n), normals(n));
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let h = AdamW { lr: 1e-9, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
        per_value("adamw", n, || kernel.adamw(&mut p, &g, &mut m, &mut v, &h, 3, 1.0, true));
        per_value("add_scaled", n, || kernel.add_scaled(&mut p, 1e-9, &g));
        per_value("sum_squares", n, || {
            black_box(kernel.sum_squares(&g));
        });
        per_value("all_finite", n, || {
            black_box(kernel.all_finite(&g));
        });
        let (mut q, mut scales) = (vec![0i8; n], vec![0.0; n / 256]);
        per_value("quantize_i8", n, || kernel.quantize_i8(&mut q, &mut scales, &g));
        per_value("dequantize_i8", n, || kernel.dequantize_i8(&mut p, &q, &scales));
        let stream = Stream::new(1, "bench", 0);
        per_value("normals", n, || kernel.normals(&mut p, &stream, 0));
        per_value("normal_at", 1 << 20, || {
            black_box((0..1 << 20).map(|i| stream.normal_at(i)).sum::<f32>());
        });
    }

    /// Times `f` in turn with the peak and prints both.
    fn report(&self, name: &str, flops: f64, mut f: impl FnMut()) {
        f();
        let (mut time, mut peak) = (Duration::MAX, 0f64);
        for _ in 0..3 {
            peak = peak.max(self.peak.measure());
            time = time.min(best(100, &mut f));
        }
        let rate = flops / time.as_secs_f64() / 1e9;
        println!("  {name:<42} {time:>10.1?} {rate:7.1} GFLOP/s {:5.1} %", 100.0 * rate / peak);
    }
}

fn per_value(name: &str, values: usize, f: impl FnMut()) {
    let time = best(100, f);
    let each = time.as_secs_f64() * 1e9 / values as f64;
    println!("  {name:<24} {time:>10.1?} {each:6.3} ns per value");
}

/// The machine's rate of fused multiply-adds in registers.
struct Peak {
    kernel: Kernel,
}

impl Peak {
    fn new(isa: Isa, threads: usize) -> Peak {
        Peak { kernel: Kernel::new(isa, threads) }
    }

    /// GFLOP/s over all threads.
    fn measure(&self) -> f64 {
        const ROUNDS: usize = 400_000;
        let tasks = self.kernel.threads();
        let time = (0..5).map(|_| {
            let start = now();
            self.kernel.parallel(tasks, |_| {
                black_box(multiply_adds(self.kernel.isa(), ROUNDS));
            });
            now() - start
        });
        let time = time.min().expect("five runs");
        let flops = tasks * ROUNDS * 2 * width(self.kernel.isa());
        flops as f64 / time.as_secs_f64() / 1e9
    }
}

/// Values that one round of [`multiply_adds`] works on.
fn width(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16 * 12,
        Isa::Avx2 | Isa::AvxVnni => 8 * 12,
        Isa::Scalar | Isa::Neon => 4 * 12,
    }
}

fn multiply_adds(isa: Isa, rounds: usize) -> f32 {
    match isa {
        // SAFETY: the kernel that carries this name was made after a check of the machine.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512(rounds) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni => unsafe { avx2(rounds) },
        _ => chains::<4, 12>(rounds),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn avx512(rounds: usize) -> f32 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (a, b) = (_mm512_set1_ps(black_box(1.0)), _mm512_set1_ps(black_box(1e-9)));
    let mut sums = [_mm512_set1_ps(black_box(0.0)); 12];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(a, *sum, b);
        }
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: usize) -> f32 {
    use std::arch::x86_64::{
        _mm_cvtss_f32, _mm256_castps256_ps128, _mm256_fmadd_ps, _mm256_set1_ps,
    };
    let (a, b) = (_mm256_set1_ps(black_box(1.0)), _mm256_set1_ps(black_box(1e-9)));
    let mut sums = [_mm256_set1_ps(black_box(0.0)); 12];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(a, *sum, b);
        }
    }
    sums.into_iter().map(|sum| _mm_cvtss_f32(_mm256_castps256_ps128(sum))).sum()
}

/// Without an intrinsic: whatever the baseline makes of it.
fn chains<const WIDTH: usize, const CHAINS: usize>(rounds: usize) -> f32 {
    let (a, b) = (black_box(1f32), black_box(1e-9f32));
    let mut sums = [[0f32; WIDTH]; CHAINS];
    for _ in 0..rounds {
        for lane in sums.as_flattened_mut() {
            *lane = a.mul_add(*lane, b);
        }
    }
    sums.as_flattened().iter().sum()
}

fn normals(count: usize) -> Vec<f32> {
    let stream = Stream::new(1, "bench", 0);
    (0..count as u64).map(|i| stream.uniform_at(i) - 0.5).collect()
}
