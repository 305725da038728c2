//! Speed of packed matrices beside the machine's limits: `cargo bench -p understory-kernel --bench
//! matrix`.
//!
//! Arguments after `--`: names of formats (Q4_0, F16, …; all if none), `--t1` or `--t2`… for a
//! number of threads, `--cpu` to count the thread's processor time instead of the time that passes
//! (one thread only; for a machine that others use as well). Decode is all matrices of the model
//! one after another with one row of inputs, so that they come from memory, in GB/s of packed
//! weights; batches of 8 and prompts of 512 rows are in GOP/s (two for each weight and row).

mod clock;

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clock::{PROCESSOR_TIME, best, now};
use kernel::random::Stream;
use kernel::{Activations, Format, Inputs, Isa, Kernel, Matrix, Product};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let chosen = words.iter().find_map(|word| word.strip_prefix("--t")?.parse::<usize>().ok());
    let formats: Vec<Format> = Format::ALL
        .into_iter()
        .filter(|format| {
            words.iter().all(|word| word.starts_with('-'))
                || words.iter().any(|word| word == format.name())
        })
        .collect();
    let cpu = words.iter().any(|word| word == "--cpu");
    let isa = Isa::from_env().unwrap_or_else(|error| panic!("{error}"));
    for threads in chosen.map_or_else(|| vec![1, cores], |threads| vec![threads]) {
        PROCESSOR_TIME.store(cpu && threads == 1, Ordering::Relaxed);
        let kernel = Kernel::new(isa, threads);
        println!("\n{isa}, {threads} threads: fork and join {:.2} µs", join(&kernel));
        println!("read {:.1} GB/s, bytes multiplied {:.0} GOP/s", read(&kernel), peak(&kernel));
        println!(
            "{:<8} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "MB", "µs", "GB/s", "of read", "8 rows", "512 rows"
        );
        for &format in &formats {
            model(&kernel, format, "SmolLM2", 576, 192, 1536, 30);
        }
        for &format in &formats {
            model(&kernel, format, "Gemma 3", 640, 256, 2048, 18);
        }
    }
}

/// The matrices of a model's blocks: those that share their inputs together.
fn model(
    kernel: &Kernel,
    format: Format,
    name: &str,
    dim: usize,
    kv: usize,
    ffn: usize,
    layers: usize,
) {
    // 576 and 640 are not whole blocks of 256: the next width that is.
    let fit = |cols: usize| {
        if cols.is_multiple_of(format.block()) { cols } else { cols.next_multiple_of(256) }
    };
    let q = if dim == 640 { 1024 } else { dim };
    let shapes: [(usize, Vec<usize>); 4] = [
        (fit(dim), vec![q, kv, kv]),
        (fit(q), vec![dim]),
        (fit(dim), vec![ffn, ffn]),
        (fit(ffn), vec![dim]),
    ];
    let groups: Vec<Vec<Matrix>> = (0..layers)
        .flat_map(|_| &shapes)
        .map(|(cols, rows)| rows.iter().map(|rows| filled(kernel, format, *rows, *cols)).collect())
        .collect();
    let all = || groups.iter().flatten();
    let (bytes, weights): (usize, usize) =
        (all().map(Matrix::bytes).sum(), all().map(|w| w.rows() * w.cols()).sum());
    let limit = read(kernel);
    let time = |m: usize| step(kernel, &groups, m);
    let one = time(1);
    let rate = bytes as f64 / one.as_secs_f64() / 1e9;
    let gops = |m: usize, time: Duration| 2.0 * (m * weights) as f64 / time.as_secs_f64() / 1e9;
    println!(
        "{:<8} {:>8.1} {:>9.0} {rate:>9.1} {:>8.0}% {:>9.0} {:>9.0}  {name}",
        format.name(),
        bytes as f64 / 1e6,
        one.as_secs_f64() * 1e6,
        100.0 * rate / limit,
        gops(8, time(8)),
        gops(512, time(512)),
    );
}

/// The shortest time of a pass over all matrices with `m` rows of inputs.
fn step(kernel: &Kernel, groups: &[Vec<Matrix>], m: usize) -> Duration {
    let mut inputs = Inputs::new(Activations::Int8);
    let widest = groups.iter().flatten().map(Matrix::cols).max().expect("some matrix");
    let stream = Stream::new(2, "bench", 0);
    let x: Vec<f32> = (0..(m * widest) as u64).map(|i| stream.uniform_at(i) - 0.5).collect();
    let most = groups.iter().map(|group| group.iter().map(Matrix::rows).sum::<usize>()).max();
    let mut y = vec![0.0; m * most.expect("some group")];
    let mut run = |group: &[Matrix]| {
        let mut rest = &mut y[..];
        let mut products = Vec::with_capacity(group.len());
        for w in group {
            let (y, after) = std::mem::take(&mut rest).split_at_mut(m * w.rows());
            rest = after;
            products.push(Product::new(y, w));
        }
        kernel.matmul(&mut products, &x[..m * group[0].cols()], m, &mut inputs);
    };
    // The best of each group, so that one disturbance spoils little; all of a pass lies between
    // two calls with one group.
    let mut shortest = vec![Duration::MAX; groups.len()];
    let started = Instant::now();
    for passes in 0.. {
        for (group, shortest) in groups.iter().zip(&mut shortest) {
            let start = now();
            run(group);
            *shortest = (now() - start).min(*shortest);
        }
        if passes >= 3 && started.elapsed() > Duration::from_millis(500) {
            break;
        }
    }
    shortest.iter().sum()
}

fn filled(kernel: &Kernel, format: Format, rows: usize, cols: usize) -> Matrix {
    let size = format.row_bytes(cols).expect("whole blocks") * rows;
    // Small positive halves wherever scales may lie.
    let bytes: Vec<u8> =
        (0..size).map(|i| if i % 2 == 0 { (i * 37 % 251) as u8 } else { 0x11 }).collect();
    let mut w = Matrix::zeroed(format, rows, cols);
    kernel.pack_rows(&mut w, 0, &bytes);
    w
}

/// Microseconds of a call in which every thread takes part and does nothing: the middle of many.
fn join(kernel: &Kernel) -> f64 {
    let threads = kernel.threads();
    let mut times: Vec<Duration> = (0..20_000)
        .map(|_| {
            let (start, here) = (Instant::now(), AtomicUsize::new(0));
            kernel.parallel(threads, |_| {
                here.fetch_add(1, Ordering::Relaxed);
                while here.load(Ordering::Relaxed) < threads {
                    std::hint::spin_loop();
                }
            });
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// GB/s at which all threads read 256 MiB.
fn read(kernel: &Kernel) -> f64 {
    static MEMORY: std::sync::OnceLock<Vec<u64>> = std::sync::OnceLock::new();
    let memory = MEMORY.get_or_init(|| {
        let mut memory = vec![0; 32 << 20];
        kernel::prefer_large_pages(&mut memory);
        memory.fill(1);
        memory
    });
    let threads = kernel.threads();
    let time = best(250, || {
        kernel.parallel(threads, |task| {
            let part = memory.len() / threads;
            black_box(sum(&memory[task * part..][..part]));
        });
    });
    size_of_val(&memory[..]) as f64 / time.as_secs_f64() / 1e9
}

fn sum(words: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if Isa::Avx512.to_string() == Isa::best().to_string() {
        #[target_feature(enable = "avx512f")]
        fn wide(words: &[u64]) -> u64 {
            plain(words)
        }
        // SAFETY: the best instruction set of this machine is AVX-512.
        return unsafe { wide(words) };
    }
    plain(words)
}

#[inline(always)]
fn plain(words: &[u64]) -> u64 {
    let mut sums = [0u64; 64];
    for words in words.chunks_exact(64) {
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum ^= word;
        }
    }
    sums.iter().fold(0, |sum, word| sum ^ word)
}

/// GOP/s of dot products of bytes in registers, where the machine has such an instruction.
fn peak(kernel: &Kernel) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vnni") {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx512f,avx512vnni")]
        fn products(rounds: usize) -> i32 {
            let (a, b) = (_mm512_set1_epi8(black_box(3)), _mm512_set1_epi8(black_box(-5)));
            let mut sums = [_mm512_set1_epi32(black_box(0)); 12];
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = _mm512_dpbusd_epi32(*sum, a, b);
                }
            }
            sums.into_iter().map(|sum| _mm512_reduce_add_epi32(sum)).fold(0, i32::wrapping_add)
        }
        const ROUNDS: usize = 200_000;
        let time = best(250, || {
            kernel.parallel(kernel.threads(), |_| {
                // SAFETY: checked above.
                black_box(unsafe { products(ROUNDS) });
            });
        });
        let count = kernel.threads() * ROUNDS * 12 * 128;
        return count as f64 / time.as_secs_f64() / 1e9;
    }
    let _ = kernel;
    0.0
}
