//! What a model says about token ids, for comparison with other programs:
//! `log_probs MODEL IDS [--threads N] [--chunk N [--bos ID]] [--greedy N]
//! [--f32]`.
//!
//! IDS is a file of token ids between spaces. Without `--chunk` the first line is
//! `log_probs` with the natural logarithm of the probability of each id but the first; with it, the
//! ids are cut into independent windows of N (ID takes the place of the first of each), and the
//! perplexity over the second half of each is printed, as `llama-perplexity` counts it. `--greedy` continues the ids.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kernel::{Activations, Isa, Kernel};
use model::{Plan, Sampler, Session, Weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().position(|arg| arg == name);
    let number = |name: &str| -> Result<Option<usize>, Box<dyn std::error::Error>> {
        let Some(at) = option(name) else { return Ok(None) };
        Ok(Some(args.get(at + 1).ok_or("a number is missing")?.parse()?))
    };
    let [path, ids, ..] = args.as_slice() else { return Err("usage: log_probs MODEL IDS".into()) };
    let ids = std::fs::read_to_string(ids)?;
    let ids = ids.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let kernel = Kernel::new(Isa::from_env()?, number("--threads")?.unwrap_or(2));
    let start = Instant::now();
    let weights = Weights::open(Path::new(path))?;
    let plan = Plan::new(&weights)?;
    let opened = start.elapsed();
    let memory = plan.memory();
    let model = Arc::new(plan.load(&kernel)?);
    eprintln!(
        "{:?}: opened in {:.3} s, loaded in {:.3} s; {} bytes, {} a token",
        model,
        opened.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        memory.weights,
        memory.cache_per_token
    );
    let activations = if option("--f32").is_some() { Activations::F32 } else { Activations::Int8 };
    let mut session = Session::with(Arc::clone(&model), kernel, activations);
    let start = Instant::now();
    match number("--chunk")? {
        Some(chunk) => perplexity(&mut session, &ids, chunk, number("--bos")?)?,
        None => {
            let found = log_probs(&mut session, &ids)?;
            let found: Vec<String> = found.iter().map(|x| format!("{x:.6}")).collect();
            println!("log_probs {}", found.join(" "));
        }
    }
    let rate = ids.len() as f64 / start.elapsed().as_secs_f64();
    eprintln!("{} tokens, {rate:.0} tokens/s", ids.len());
    if let Some(count) = number("--greedy")? {
        greedy(&mut session, &ids, count)?;
    }
    Ok(())
}

/// The logarithm of the probability of each id but the first.
fn log_probs(session: &mut Session, ids: &[u32]) -> Result<Vec<f64>, model::GenerateError> {
    let mut found = Vec::with_capacity(ids.len());
    session.truncate(0);
    session.extend_all(ids, |index, logits| {
        if let Some(&next) = ids.get(index + 1) {
            found.push(log_prob(logits, next as usize));
        }
    })?;
    Ok(found)
}

fn log_prob(logits: &[f32], id: usize) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| kernel::math::exp64(f64::from(x - max))).sum();
    f64::from(logits[id] - max) - kernel::math::ln64(sum)
}

fn perplexity(
    session: &mut Session,
    ids: &[u32],
    chunk: usize,
    bos: Option<usize>,
) -> Result<(), model::GenerateError> {
    let (mut sum, mut count) = (0.0, 0usize);
    for window in ids.chunks_exact(chunk) {
        let mut window = window.to_vec();
        if let Some(bos) = bos {
            window[0] = bos as u32;
        }
        let found = log_probs(session, &window)?;
        let counted = &found[chunk / 2..];
        sum -= counted.iter().sum::<f64>();
        count += counted.len();
    }
    let mean = sum / count as f64;
    println!("perplexity {:.6} over {count} tokens", kernel::math::exp64(mean));
    Ok(())
}

fn greedy(
    session: &mut Session,
    ids: &[u32],
    count: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let sampler = Sampler::greedy();
    session.truncate(0);
    let mut logits = session.extend(ids)?.to_vec();
    let (mut chosen, mut leads) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for _ in 0..count {
        let token = sampler.choose(&logits, 0)?;
        let top = logits[token as usize];
        logits[token as usize] = f32::NEG_INFINITY;
        let next = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        chosen.push(token.to_string());
        leads.push(format!("{:.4}", top - next));
        logits.copy_from_slice(session.extend(&[token])?);
    }
    eprintln!("{:.1} tokens/s", count as f64 / start.elapsed().as_secs_f64());
    println!("greedy {}", chosen.join(" "));
    println!("leads {}", leads.join(" "));
    Ok(())
}
