//! Trains a small model for some steps and exports it for `oracle/export_check.py`:
//! `export_oracle OUT_DIR [FAMILY [tied|untied]]` writes `hf/`, `model.gguf` and `expected.json`.

use std::path::PathBuf;
use std::sync::Arc;

use engine::{Lineage, expect, gguf, hf};
use kernel::{AdamW, Isa, Kernel, random::Stream};
use model::decoder::{Decoder, Family, Sizes};
use model::{Model, Optimizer, Parameters, Trainer};
use text::Tokenizer;

const TEXT: &str =
    concat!(include_str!("../../model/src/decoder.rs"), include_str!("../../model/src/train.rs"));
const STEPS: u64 = 120;
const BATCH: usize = 8;
const SEQ: usize = 48;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: export_oracle OUT_DIR [FAMILY [tied|untied]]";
    let out = PathBuf::from(args.first().ok_or(usage)?);
    let family: Family = args.get(1).map_or(Ok(Family::Llama), |name| name.parse())?;
    // Nobody's Gemma 2 has a head of its own.
    let tied = args.get(2).is_none_or(|word| word == "tied") || family == Family::Gemma2;
    let kernel = Kernel::new(Isa::from_env()?, 2);
    let tokenizer = Tokenizer::train([TEXT], 512)?;
    let sizes = Sizes {
        dim: 72,
        heads: 6,
        kv_heads: 2,
        // The heads of these fill their width.
        head_dim: if tied || matches!(family, Family::Falcon | Family::Qwen2) { 12 } else { 16 },
        ffn: 160,
        context: 128,
        // So many that not all are alike.
        layers: match family {
            Family::Smollm3 => 4,
            Family::Gemma3 => 6,
            _ => 2,
        },
        tied,
        ..Sizes::tiny(tokenizer.len())
    };
    let decoder = sizes.decoder(family);
    let params = train(&kernel, &decoder, &tokenizer)?;
    let trained = Parameters::new(&decoder, params)?;
    let model = Arc::new(Model::from(&trained));
    let lineage = Lineage { name: "oracle".into(), run: Some("none".into()), root: None };
    hf::export(&out.join("hf"), &trained, &tokenizer, &lineage)?;
    gguf::export(&out.join("model.gguf"), &trained, &tokenizer, &lineage)?;
    let expected = expect::expectation(&kernel, &model, &tokenizer, "/// Number of it's", 40)?;
    println!("{:?} (smallest lead {})", expected.text, expected.margin);
    std::fs::write(out.join("expected.json"), serde_json::to_vec(&expected)?)?;
    Ok(())
}

fn train(
    kernel: &Kernel,
    decoder: &Decoder,
    tokenizer: &Tokenizer,
) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let ids = tokenizer.encode(TEXT)?;
    let mut params = model::init(decoder, 1)?;
    let mut grads = vec![0.0; params.len()];
    let mut trainer = Trainer::new(decoder)?;
    let adamw = AdamW { lr: 0.0, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let mut optimizer = Optimizer::new(decoder, adamw, Some(1.0))?;
    for step in 0..STEPS {
        let stream = Stream::new(1, "oracle rows", step);
        let start = |row| stream.below(row, (ids.len() - SEQ - 1) as u64) as usize;
        let rows = (0..BATCH as u64).flat_map(|row| &ids[start(row)..start(row) + SEQ + 1]);
        let tokens: Vec<u32> = rows.copied().collect();
        trainer.loss_and_gradient(kernel, &params, &tokens, BATCH, SEQ, &mut grads)?;
        optimizer.step(kernel, &mut params, &grads, 3e-3)?;
    }
    Ok(params)
}
