//! What a model in a Hugging Face folder computes, for the oracles to compare with:
//! `expectation HF_DIR PROMPT > expected.json`.

use std::path::Path;
use std::sync::Arc;

use engine::expect;
use kernel::{Isa, Kernel};
use model::{Plan, Weights};

/// Greedy tokens to compare.
const TOKENS: usize = 48;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, prompt] = &args[..] else {
        return Err("usage: expectation HF_DIR PROMPT".into());
    };
    let kernel = Kernel::new(Isa::from_env()?, 2);
    let weights = Weights::open(Path::new(folder))?;
    let tokenizer = engine::tokenizer(&weights)?;
    let model = Arc::new(Plan::new(&weights)?.load(&kernel)?);
    let expected = expect::expectation(&kernel, &model, &tokenizer, prompt, TOKENS)?;
    println!("{}", serde_json::to_string(&expected)?);
    Ok(())
}
