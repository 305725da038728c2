//! Logits, loss, every gradient, and five clipped AdamW steps against PyTorch and transformers.
//!
//! The golden files come from `oracle/golden.py`; weights and tokens follow from a formula that
//! both sides know.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kernel::{AdamW, Isa, Kernel};
use model::{Decoder, Layout, Optimizer, Trainer, safetensors};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    lr: f32,
    betas: (f32, f32),
    eps: f32,
    weight_decay: f32,
    clip: f32,
    steps: usize,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    config: BTreeMap<String, serde_json::Value>,
    batch: usize,
    seq: usize,
    losses: Vec<f64>,
    norms: Vec<f64>,
    order: Vec<String>,
}

impl Case {
    fn decoder(&self) -> Decoder {
        let fields = ["vocab", "dim", "layers", "heads", "kv_heads", "head_dim", "ffn"];
        let more = ["norm_eps", "rope_theta", "tied", "context"];
        let picked = fields.iter().chain(&more).map(|&key| (key, self.config[key].clone()));
        let value = serde_json::Value::from_iter(picked);
        serde_json::from_value(value).expect("a decoder")
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden() -> Golden {
    let text = std::fs::read(folder().join("golden.json")).expect("golden.json");
    serde_json::from_slice(&text).expect("golden.json")
}

/// The weights of `oracle/golden.py`.
fn weights(layout: &Layout, order: &[String]) -> Vec<f32> {
    let mut params = vec![f32::NAN; layout.len()];
    for (salt, name) in order.iter().enumerate() {
        let tensor = layout.tensor(name).expect("same names as transformers");
        let bias = if tensor.shape.len() == 1 { 1.0 } else { 0.0 };
        for (i, value) in params[tensor.range.clone()].iter_mut().enumerate() {
            *value = hashed(i as u64 + salt as u64 * 1_000_003) * 0.25 + bias;
        }
    }
    params
}

fn hashed(i: u64) -> f32 {
    let x = (i.wrapping_mul(2_654_435_761)) as u32;
    let x = (x ^ (x >> 15)).wrapping_mul(2_246_822_519);
    (f64::from(x >> 8) / f64::from(1 << 23) - 1.0) as f32
}

/// Largest difference, as a fraction of the largest value.
fn distance(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let apart = ours.iter().zip(theirs).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(largest > 0.0 && apart.is_finite());
    apart / largest
}

#[test]
fn agrees_with_pytorch() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 4);
    let kernel = Kernel::new(Isa::best(), 2);
    for (name, case) in &golden.cases {
        let decoder = case.decoder();
        let bytes = std::fs::read(folder().join(format!("{name}.safetensors"))).expect("there");
        let file = safetensors::parse(&bytes).expect("PyTorch's file");
        let layout = Layout::new(&decoder).expect("valid");
        let (batch, seq, vocab) = (case.batch, case.seq, decoder.vocab);
        let token = |i: usize| ((i * 7 + i * i * 3) % vocab) as u32;
        let tokens: Vec<u32> = (0..batch * (seq + 1)).map(token).collect();
        let mut params = weights(&layout, &case.order);
        let mut trainer = Trainer::new(&decoder).expect("valid").with_micro(2);

        let inputs: Vec<u32> = tokens.chunks(seq + 1).flat_map(|r| &r[..seq]).copied().collect();
        let logits = trainer.logits(&kernel, &params, &inputs, batch, seq).expect("valid");
        let want = file.floats("logits", &[batch, seq, vocab]).expect("there");
        assert!(distance(&logits, &want) < 5e-6, "{name} logits {}", distance(&logits, &want));

        let (beta1, beta2) = golden.betas;
        let Golden { lr, eps, weight_decay, .. } = golden;
        let adamw = AdamW { lr, beta1, beta2, eps, weight_decay };
        let mut optimizer = Optimizer::new(&decoder, adamw, Some(golden.clip)).expect("valid");
        let mut grads = vec![0.0; params.len()];
        for step in 0..golden.steps {
            let sum = trainer
                .loss_and_gradient(&kernel, &params, &tokens, batch, seq, &mut grads)
                .expect("finite");
            let loss = sum / (batch * seq) as f64;
            assert!((loss - case.losses[step]).abs() < 2e-5, "{name} {step}: {loss}");
            if step == 0 {
                compare(&file, &layout, "grad", &grads, 2e-5, name);
            }
            let report = optimizer.step(&kernel, &mut params, &grads, lr).expect("finite");
            let norm = f64::from(report.norm);
            assert!((norm / case.norms[step] - 1.0).abs() < 1e-4, "{name} {step}: {norm}");
            assert!(report.scale < 1.0, "the golden files are clipped");
        }
        compare(&file, &layout, "after", &params, 1e-4, name);
    }
}

fn compare(
    file: &safetensors::File<'_>,
    layout: &Layout,
    prefix: &str,
    ours: &[f32],
    allowed: f32,
    case: &str,
) {
    for tensor in layout.tensors() {
        let key = format!("{prefix}.{}", tensor.name);
        let theirs = file.floats(&key, &tensor.shape).expect("same names as transformers");
        let apart = distance(&ours[tensor.range.clone()], &theirs);
        assert!(apart < allowed, "{case} {key}: {apart}");
    }
}
