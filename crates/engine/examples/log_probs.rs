//! What a model says about token ids, for comparison with other programs:
//! `log_probs MODEL IDS [--threads N] [--f32] [--f32-sums] [--greedy N]`.
//!
//! IDS is a file of token ids between spaces. Prints `log_probs` and the natural logarithm of the
//! probability of each id but the first. `--f32` takes inputs of quantized products as they are.
//! `--f32-sums` adds up the weights of the vocabulary one after the other in f32, as some programs
//! do, which loses up to 5e-4 of a logarithm. `--greedy` instead continues the ids by N tokens and
//! prints for each of them `top` with the two likeliest ids and their logits.

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
    if let Some(count) = number("--greedy")? {
        return greedy(&mut session, &ids, count);
    }
    let start = Instant::now();
    let found = log_probs(&mut session, &ids, option("--f32-sums").is_some())?;
    let found: Vec<String> = found.iter().map(|x| format!("{x:.6}")).collect();
    println!("log_probs {}", found.join(" "));
    let rate = ids.len() as f64 / start.elapsed().as_secs_f64();
    eprintln!("{} tokens, {rate:.0} tokens/s", ids.len());
    Ok(())
}

/// The logarithm of the probability of each id but the first.
fn log_probs(
    session: &mut Session,
    ids: &[u32],
    f32_sums: bool,
) -> Result<Vec<f64>, model::GenerateError> {
    let mut found = Vec::with_capacity(ids.len());
    session.extend_all(ids, |index, logits| {
        if let Some(&next) = ids.get(index + 1) {
            found.push(log_prob(logits, next as usize, f32_sums));
        }
    })?;
    Ok(found)
}

fn log_prob(logits: &[f32], id: usize, f32_sums: bool) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = logits.iter().map(|&x| kernel::math::exp64(f64::from(x - max)));
    let sum = match f32_sums {
        true => f64::from(weights.map(|weight| weight as f32).sum::<f32>()),
        false => weights.sum(),
    };
    f64::from(logits[id] - max) - kernel::math::ln64(sum)
}

fn greedy(
    session: &mut Session,
    ids: &[u32],
    count: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let sampler = Sampler::greedy();
    let mut logits = session.extend(ids)?.to_vec();
    for _ in 0..count {
        let first = sampler.choose(&logits, 0)?;
        let top = std::mem::replace(&mut logits[first as usize], f32::MIN);
        let second = sampler.choose(&logits, 0)?;
        println!("top {first} {top} {second} {}", logits[second as usize]);
        logits.copy_from_slice(session.extend(&[first])?);
    }
    Ok(())
}
