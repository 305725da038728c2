//! A timed training step: forward, backward and AdamW, no clipping, no data loading.
//!
//! Shapes and formulas are those of the PyTorch script that the project compares itself with:
//! vocabulary 4096, tied head, 16 sequences of 256 tokens a step.

use std::time::Instant;

use kernel::{AdamW, Kernel, random::Stream};
use serde::{Deserialize, Serialize};

use crate::decoder::{Decoder, Family, Sizes};
use crate::{Arithmetic, Optimizer, Trainer};

/// Sizes that can be measured, by their non-embedding parameters.
pub const SIZES: [&str; 3] = ["1m", "10m", "50m"];

/// What [`step`] measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepFigures {
    /// Name of the size.
    pub size: String,
    /// Parameters outside the embedding table.
    pub nonemb_params: u64,
    /// How products are computed.
    pub arithmetic: Arithmetic,
    /// Instruction set.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// Tokens of a step.
    pub batch_tokens: usize,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Timed steps.
    pub n: usize,
    /// Tokens per second of the slowest step.
    pub tok_s_min: f64,
    /// Tokens per second of the median step.
    pub tok_s_median: f64,
    /// Tokens per second of the fastest step.
    pub tok_s_max: f64,
    /// Model GFLOP/s of the median step, see [`Decoder::training_flops_per_token`].
    pub model_gflops: f64,
    /// Largest resident memory of the process so far in MiB, where the system tells.
    pub peak_rss_mib: Option<f64>,
    /// Mean loss of the last step in nats.
    pub loss: f64,
}

/// The model of a size in [`SIZES`].
pub fn decoder(size: &str) -> Option<Decoder> {
    let (dim, layers, heads, ffn) = match size {
        "1m" => (128, 4, 4, 352),
        "10m" => (320, 8, 5, 864),
        "50m" => (640, 10, 10, 1728),
        _ => return None,
    };
    let sizes = Sizes {
        vocab: 4096,
        dim,
        layers,
        heads,
        kv_heads: heads,
        head_dim: dim / heads,
        ffn,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
        tied: true,
        context: SEQ,
    };
    Some(sizes.decoder(Family::Llama))
}

/// Three warm-up steps, then `steps` timed ones (at least one). `None` for an unknown size.
pub fn step(
    kernel: &Kernel,
    size: &str,
    steps: usize,
    arithmetic: Arithmetic,
) -> Option<StepFigures> {
    step_with_micro(kernel, size, steps, arithmetic, None)
}

/// [`step`] with a given number of sequences worked through at a time.
pub fn step_with_micro(
    kernel: &Kernel,
    size: &str,
    steps: usize,
    arithmetic: Arithmetic,
    micro: Option<usize>,
) -> Option<StepFigures> {
    let decoder = decoder(size)?;
    let mut run = Run::new(&decoder, arithmetic, micro);
    for _ in 0..WARM_UP {
        run.step(kernel);
    }
    let mut seconds: Vec<f64> = (0..steps.max(1))
        .map(|_| {
            let start = Instant::now();
            run.step(kernel);
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let rate = |seconds: f64| (BATCH * SEQ) as f64 / seconds;
    let n = seconds.len();
    let median =
        if n % 2 == 1 { seconds[n / 2] } else { (seconds[n / 2 - 1] + seconds[n / 2]) / 2.0 };
    Some(StepFigures {
        size: size.to_owned(),
        nonemb_params: decoder.non_embedding_parameters(),
        arithmetic,
        isa: kernel.isa().to_string(),
        threads: kernel.threads(),
        batch_tokens: BATCH * SEQ,
        seq: SEQ,
        n,
        tok_s_min: rate(seconds[n - 1]),
        tok_s_median: rate(median),
        tok_s_max: rate(seconds[0]),
        model_gflops: decoder.training_flops_per_token(SEQ) * rate(median) / 1e9,
        peak_rss_mib: peak_rss_mib(),
        loss: run.loss,
    })
}

/// Everything a step needs.
struct Run {
    params: Vec<f32>,
    grads: Vec<f32>,
    tokens: Vec<u32>,
    trainer: Trainer,
    optimizer: Optimizer,
    steps: u64,
    loss: f64,
}

impl Run {
    fn new(decoder: &Decoder, arithmetic: Arithmetic, micro: Option<usize>) -> Run {
        let stream = Stream::new(0, "bench", 0);
        let rows = BATCH * (SEQ + 1);
        let tokens =
            (0..rows).map(|i| stream.below(i as u64, decoder.vocab as u64) as u32).collect();
        let trainer = Trainer::new(decoder).expect("the sizes above are valid");
        let trainer = trainer.with_arithmetic(arithmetic);
        let trainer = match micro {
            Some(micro) => trainer.with_micro(micro),
            None => trainer,
        };
        let adamw = AdamW { lr: LR, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let params = crate::init(decoder, 0).expect("the sizes above are valid");
        Run {
            grads: vec![0.0; params.len()],
            params,
            tokens,
            trainer,
            optimizer: Optimizer::new(decoder, adamw, None).expect("the sizes above are valid"),
            steps: 0,
            loss: 0.0,
        }
    }

    fn step(&mut self, kernel: &Kernel) {
        let Run { params, grads, tokens, trainer, optimizer, .. } = self;
        trainer.set_noise(self.steps);
        self.steps += 1;
        let sum = trainer.loss_and_gradient(kernel, params, tokens, BATCH, SEQ, grads);
        self.loss = sum.expect("random tokens have a finite loss") / (BATCH * SEQ) as f64;
        optimizer.step(kernel, params, grads, LR).expect("and a finite gradient");
    }
}

/// Largest resident memory of this process so far in MiB; `None` where `/proc` does not tell.
pub fn peak_rss_mib() -> Option<f64> {
    let status = bounded::read_text("/proc/self/status".as_ref(), 1 << 16).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

const SEQ: usize = 256;
const BATCH: usize = 16;
const WARM_UP: usize = 3;
const LR: f32 = 3e-4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_parameters_they_are_named_for() {
        let counts: Vec<u64> = SIZES
            .iter()
            .map(|size| decoder(size).expect("known").non_embedding_parameters())
            .collect();
        assert_eq!(counts, [803_968, 9_917_760, 49_575_040]);
        assert!(decoder("7b").is_none());
    }
}
