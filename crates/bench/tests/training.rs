//! Benches that train, on little text.

use bench::{BenchError, arithmetic, loss_gap};
use cotrain::config::RunConfig;
use kernel::{Isa, Kernel};
use recipe::corpus::Documents;
use std::{fs, path::Path};

fn documents(folder: &Path) -> Documents {
    let line = |n: u32| format!("leaf {n} falls on the soil of {} and feeds it\n\n", n * 7);
    fs::write(folder.join("a.txt"), (0..2000).map(line).collect::<String>()).expect("written");
    Documents::from_paths(&[folder.join("a.txt")]).expect("text")
}

fn config() -> RunConfig {
    let mut config = RunConfig::default();
    (config.inner.seq, config.inner.batch) = (32, 2);
    (config.model.dim, config.model.layers, config.model.heads) = (32, 1, 2);
    (config.model.kv_heads, config.model.ffn) = (2, 64);
    (config.data.options.vocab, config.data.options.held_out_bytes) = (512, 2000);
    config
}

#[test]
fn apart_and_together_see_the_same_tokens_and_progress_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = loss_gap::Options {
        h: 8,
        workers: 2,
        rounds: 2,
        config: config(),
        kernel: Kernel::new(Isa::best(), 1),
    };
    let (mut apart, mut together) = (Vec::new(), Vec::new());
    let tell = &mut |progress| match progress {
        loss_gap::Progress::Apart { round, rounds: 2, .. } => apart.push(round),
        loss_gap::Progress::Together { step, steps: 16, .. } => together.push(step),
        _ => {}
    };
    let store = folder.path().join("store");
    let text = documents(folder.path());
    let gap = loss_gap::loss_gap(&options, &text, &store, tell).expect("trains");
    assert_eq!((apart, together), (vec![1, 2], vec![8, 16]));
    assert_eq!(gap.tokens, 2 * 2 * 8 * 32 * 2);
    assert!(gap.apart_bits_per_byte < 8.0 && gap.together_bits_per_byte < 8.0, "{gap:?}");
    assert_eq!(gap.gap, gap.apart_bits_per_byte / gap.together_bits_per_byte - 1.0);
}

#[test]
fn a_size_that_is_not_measured_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = arithmetic::Options {
        size: "7b".into(),
        tokens: 1,
        seeds: 1,
        config: config(),
        kernel: Kernel::new(Isa::best(), 1),
    };
    let text = documents(folder.path());
    let store = folder.path().join("store");
    let error = arithmetic::arithmetic(&options, &text, &store, &mut |_| {}).expect_err("no size");
    assert!(matches!(&error, BenchError::NoSize(size) if size == "7b"));
    assert!(error.to_string().contains("10m"), "{error}");
}
