//! Bits must not depend on threads, micro-batches, instruction set, or resuming; gradients must
//! agree with finite differences. Agreement with PyTorch is in `tests/golden.rs`.

use kernel::{AdamW, Isa, Kernel, random::Stream};

use super::*;
use crate::decoder::{Biases, Block, Family, Layer, Rotary, Sizes};
use crate::{Optimizer, OptimizerError};

const BATCH: usize = 5;
const SEQ: usize = 11;

fn llama(sizes: Sizes) -> Decoder {
    sizes.decoder(Family::Llama)
}

/// Shapes of Llama, then one model of each other family, and what no fresh one has.
fn decoders() -> Vec<Decoder> {
    let tiny = Sizes::tiny(50);
    let mut all = vec![
        llama(tiny.clone()),
        llama(Sizes { tied: false, kv_heads: 1, heads: 3, ffn: 37, ..tiny.clone() }),
        llama(Sizes { dim: 20, kv_heads: 4, head_dim: 6, layers: 1, vocab: 1031, ..tiny.clone() }),
    ];
    for family in Family::ALL.into_iter().filter(|family| *family != Family::Llama) {
        let layers = if family == Family::Gemma3 { 6 } else { 2 };
        let mut decoder = Sizes { layers, dim: 24, ..tiny.clone() }.decoder(family);
        decoder.layers.iter_mut().for_each(|layer| layer.window = layer.window.map(|_| 4));
        // Caps that bend what small models compute.
        decoder.attention_cap = decoder.attention_cap.map(|_| 0.8);
        decoder.final_cap = decoder.final_cap.map(|_| 1.5);
        all.push(decoder);
    }
    let biases = Biases { qkv: true, output: true, ffn: true };
    let falcon = Sizes { kv_heads: 4, ..tiny.clone() }.decoder(Family::Falcon);
    let one_norm = Sizes { kv_heads: 1, tied: false, ..tiny.clone() }.decoder(Family::Falcon);
    let alibi = Decoder { block: Block::Sequential, alibi: true, rotaries: Vec::new(), ..falcon };
    let layers = vec![Layer { window: None, rotary: None }; 2];
    let partial = Decoder { rotaries: vec![Rotary::plain(4, 1e4)], ..llama(tiny.clone()) };
    let mixed = Decoder { block: Block::ParallelTwoNorms, qk_norms: true, ..llama(tiny) };
    all.extend([
        Decoder { biases, layers, ..alibi },
        Decoder { biases, ..one_norm },
        Decoder { biases, ..partial },
        Decoder { post_norms: true, ..mixed },
    ]);
    all
}

fn tokens(decoder: &Decoder, batch: usize, seq: usize) -> Vec<u32> {
    let stream = Stream::new(9, "test tokens", 0);
    let count = (batch * (seq + 1)) as u64;
    (0..count).map(|i| stream.below(i, decoder.vocab as u64) as u32).collect()
}

fn optimizer(decoder: &Decoder) -> Optimizer {
    let adamw = AdamW { lr: 0.0, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    Optimizer::new(decoder, adamw, Some(0.5)).expect("valid")
}

/// Loss, gradient and parameters after two steps.
fn run(decoder: &Decoder, kernel: &Kernel, micro: Option<usize>) -> (f64, Vec<f32>, Vec<f32>) {
    let mut trainer = Trainer::new(decoder).expect("valid");
    if let Some(micro) = micro {
        trainer = trainer.with_micro(micro);
    }
    let mut params = crate::init(decoder, 3).expect("valid");
    let mut grads = vec![f32::NAN; params.len()];
    let tokens = tokens(decoder, BATCH, SEQ);
    let mut optimizer = optimizer(decoder);
    let mut loss = 0.0;
    for _ in 0..2 {
        loss = trainer
            .loss_and_gradient(kernel, &params, &tokens, BATCH, SEQ, &mut grads)
            .expect("finite");
        optimizer.step(kernel, &mut params, &grads, 0.01).expect("finite");
    }
    (loss, grads, params)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn threads_micro_batches_and_instruction_sets_change_no_bit() {
    for decoder in decoders() {
        let (loss, grads, params) = run(&decoder, &Kernel::new(Isa::Scalar, 1), Some(1));
        let mut classes: Vec<(Isa, usize, Option<usize>)> =
            Isa::available().into_iter().map(|isa| (isa, 2, None)).collect();
        classes.extend([1, 2, 3, 7].map(|threads| (Isa::best(), threads, None)));
        classes.extend([1, 2, 3, BATCH].map(|micro| (Isa::best(), 2, Some(micro))));
        for (isa, threads, micro) in classes {
            let other = run(&decoder, &Kernel::new(isa, threads), micro);
            assert_eq!(loss.to_bits(), other.0.to_bits(), "{isa} {threads} {micro:?} {decoder:?}");
            assert_eq!(bits(&grads), bits(&other.1), "{isa} {threads} {micro:?}");
            assert_eq!(bits(&params), bits(&other.2), "{isa} {threads} {micro:?}");
        }
    }
}

/// Loss and gradient of one step in integers.
fn integers(decoder: &Decoder, kernel: &Kernel, micro: usize, noise: u64) -> (f64, Vec<f32>) {
    let (batch, seq) = INTEGER_BATCH;
    let mut trainer = Trainer::new(decoder).expect("valid").with_micro(micro);
    trainer = trainer.with_arithmetic(Arithmetic::StrictI8);
    trainer.set_noise(noise);
    let params = crate::init(decoder, 3).expect("valid");
    let mut grads = vec![f32::NAN; params.len()];
    let tokens = tokens(decoder, batch, seq);
    let loss = trainer.loss_and_gradient(kernel, &params, &tokens, batch, seq, &mut grads);
    (loss.expect("finite"), grads)
}

/// Five sequences, of which two are a unit.
const INTEGER_BATCH: (usize, usize) = (5, 200);

fn integer_decoders() -> impl Iterator<Item = Decoder> {
    decoders().into_iter().map(|decoder| Decoder { context: 200, ..decoder })
}

#[test]
fn integers_have_the_same_bits_however_they_are_worked_on() {
    for decoder in integer_decoders().take(5) {
        let (loss, grads) = integers(&decoder, &Kernel::new(Isa::Scalar, 1), 1, 8);
        let mut ways: Vec<(Isa, usize, usize)> =
            Isa::available().into_iter().map(|isa| (isa, 2, 2)).collect();
        ways.extend([1, 2, 3, 7].map(|threads| (Isa::best(), threads, 4)));
        ways.extend([1, 2, 3, 4, 5].map(|micro| (Isa::best(), 2, micro)));
        for (isa, threads, micro) in ways {
            let other = integers(&decoder, &Kernel::new(isa, threads), micro, 8);
            assert_eq!(loss.to_bits(), other.0.to_bits(), "{isa} {threads} {micro} {decoder:?}");
            assert_eq!(bits(&grads), bits(&other.1), "{isa} {threads} {micro} {decoder:?}");
        }
        let other = integers(&decoder, &Kernel::new(Isa::best(), 2), 2, 9);
        assert_eq!(loss.to_bits(), other.0.to_bits(), "the loss has no noise");
        assert_ne!(bits(&grads), bits(&other.1), "another seed, other noise");
    }
}

/// Over many seeds the mean of the gradients is that of floats, but for how weights and activations
/// are rounded.
#[test]
fn gradients_in_integers_are_those_in_floats_with_some_noise() {
    let (batch, seq) = INTEGER_BATCH;
    let kernel = Kernel::new(Isa::best(), 2);
    for decoder in integer_decoders() {
        let params = crate::init(&decoder, 3).expect("valid");
        let tokens = tokens(&decoder, batch, seq);
        let mut want = vec![0.0; params.len()];
        let mut trainer = Trainer::new(&decoder).expect("valid");
        let loss = trainer.loss_and_gradient(&kernel, &params, &tokens, batch, seq, &mut want);
        let (loss, mut sum) = (loss.expect("finite"), vec![0.0; params.len()]);
        let (mut one, seeds) = (0.0, 8);
        for noise in 0..seeds {
            let (other, grads) = integers(&decoder, &kernel, 4, noise);
            assert!((other / loss - 1.0).abs() < 0.01, "{other} {loss} {decoder:?}");
            kernel.add_scaled(&mut sum, 1.0 / seeds as f32, &grads);
            one = distance(&grads, &want);
        }
        let mean = distance(&sum, &want);
        // In deep models what the forward pass loses stays in the mean.
        let less = if decoder.layers.len() < 3 { 0.9 } else { 1.0 };
        assert!(one < 0.2 && mean < less * one, "{one} {mean} {decoder:?}");
    }
}

/// How far apart two vectors are, relative to the second's length.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(a - b))).sum();
    (apart / b.iter().map(|b| square(f64::from(*b))).sum::<f64>()).sqrt()
}

#[test]
fn a_gradient_in_integers_needs_noise_of_its_own() {
    let decoder = Decoder::tiny(50);
    let kernel = Kernel::new(Isa::best(), 1);
    let params = crate::init(&decoder, 3).expect("valid");
    let (batch, mut grads) = (tokens(&decoder, 2, 7), vec![0.0; params.len()]);
    let mut trainer = Trainer::new(&decoder).expect("valid");
    trainer = trainer.with_arithmetic(Arithmetic::StrictI8);
    let mut step = |trainer: &mut Trainer| {
        trainer.loss_and_gradient(&kernel, &params, &batch, 2, 7, &mut grads)
    };
    assert_eq!(step(&mut trainer), Err(TrainError::NoNoise));
    trainer.set_noise(1);
    step(&mut trainer).expect("it has");
    assert_eq!(step(&mut trainer), Err(TrainError::NoNoise), "it is used up");
}

/// Guards against differences between builds (debug and release), machines, and versions.
#[test]
fn a_run_has_the_bits_written_down_here() {
    let (loss, grads, params) = run(&decoders()[1], &Kernel::new(Isa::best(), 2), None);
    let words = bits(&grads).into_iter().chain(bits(&params));
    let hash = words.fold(0xcbf2_9ce4_8422_2325u64, |hash, word| {
        (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let found = (loss.to_bits(), hash);
    assert_eq!(found, (0x4066_2e34_4600_0000, 0x0659_ea87_a147_bf86), "{found:#x?}");
}

#[test]
fn training_and_running_compute_the_same_bits() {
    for decoder in decoders() {
        let mut params = crate::init(&decoder, 3).expect("valid");
        let stream = Stream::new(4, "test weights", 0);
        for (i, value) in params.iter_mut().enumerate() {
            *value += 0.1 * stream.normal_at(i as u64);
        }
        let kernel = Kernel::new(Isa::best(), 2);
        let batch: Vec<u32> = (0..23).map(|i| i * 17 % decoder.vocab as u32).collect();
        let mut trainer = Trainer::new(&decoder).expect("valid");
        let want = trainer.logits(&kernel, &params, &batch, 1, 23).expect("valid");
        let model = std::sync::Arc::new(crate::Model::new(&decoder, params).expect("fits"));
        let mut session = crate::Session::new(model, kernel);
        let mut got = Vec::new();
        session.extend_all(&batch, |_, logits| got.extend_from_slice(logits)).expect("room");
        assert_eq!(bits(&got), bits(&want), "{decoder:?}");
    }
}

#[test]
fn reusing_the_workspace_changes_no_bit() {
    let decoder = Decoder::tiny(50);
    let kernel = Kernel::new(Isa::best(), 2);
    let params = crate::init(&decoder, 3).expect("valid");
    let (fresh, want, _) = {
        let mut trainer = Trainer::new(&decoder).expect("valid");
        let mut grads = vec![0.0; params.len()];
        let batch = tokens(&decoder, 2, 7);
        let loss = trainer.loss_and_gradient(&kernel, &params, &batch, 2, 7, &mut grads);
        (loss.expect("finite"), grads, ())
    };
    let mut trainer = Trainer::new(&decoder).expect("valid").with_micro(3);
    let mut grads = vec![0.0; params.len()];
    let large = tokens(&decoder, 4, 31);
    trainer.loss(&kernel, &params, &large, 4, 31).expect("finite");
    trainer.loss_and_gradient(&kernel, &params, &large, 4, 31, &mut grads).expect("finite");
    let batch = tokens(&decoder, 2, 7);
    let alone = trainer.loss(&kernel, &params, &batch, 2, 7).expect("finite");
    let loss = trainer.loss_and_gradient(&kernel, &params, &batch, 2, 7, &mut grads);
    assert_eq!(loss.expect("finite").to_bits(), fresh.to_bits());
    assert_eq!(alone.to_bits(), fresh.to_bits());
    assert_eq!(bits(&grads), bits(&want));
}

#[test]
fn resuming_from_saved_state_changes_no_bit() {
    let decoder = Decoder::tiny(50);
    let kernel = Kernel::new(Isa::best(), 2);
    let mut trainer = Trainer::new(&decoder).expect("valid");
    let mut params = crate::init(&decoder, 3).expect("valid");
    let mut grads = vec![0.0; params.len()];
    let batch = tokens(&decoder, BATCH, SEQ);
    let mut first = optimizer(&decoder);
    let mut saved = None;
    for step in 0..4 {
        if step == 2 {
            saved = Some((params.clone(), first.save()));
        }
        trainer
            .loss_and_gradient(&kernel, &params, &batch, BATCH, SEQ, &mut grads)
            .expect("finite");
        first.step(&kernel, &mut params, &grads, 0.01).expect("finite");
    }
    let (mut again, state) = saved.expect("saved at step 2");
    let mut second = optimizer(&decoder);
    second.restore(&state).expect("own state");
    assert_eq!(second.steps(), 2);
    let mut trainer = Trainer::new(&decoder).expect("valid");
    for _ in 0..2 {
        trainer.loss_and_gradient(&kernel, &again, &batch, BATCH, SEQ, &mut grads).expect("finite");
        second.step(&kernel, &mut again, &grads, 0.01).expect("finite");
    }
    assert_eq!(bits(&params), bits(&again));
    assert_eq!(first, second);
    assert!(second.restore(&state[..state.len() - 1]).is_err());
}

#[test]
fn gradients_agree_with_finite_differences() {
    let kernel = Kernel::new(Isa::best(), 1);
    for decoder in decoders() {
        let mut trainer = Trainer::new(&decoder).expect("valid");
        // Larger weights than the initial ones, so that attention is not flat.
        let mut params = crate::init(&decoder, 3).expect("valid");
        let stream = Stream::new(4, "test weights", 0);
        for (i, value) in params.iter_mut().enumerate() {
            *value += 0.1 * stream.normal_at(i as u64);
        }
        let mut grads = vec![0.0; params.len()];
        let batch = tokens(&decoder, 2, 9);
        trainer.loss_and_gradient(&kernel, &params, &batch, 2, 9, &mut grads).expect("finite");
        for (index, tensor) in trainer.layout().tensors().to_vec().iter().enumerate() {
            let stream = Stream::new(5, "test direction", index as u64);
            let direction: Vec<f32> =
                (0..tensor.range.len() as u64).map(|i| stream.normal_at(i)).collect();
            let norm = direction.iter().map(|d| d * d).sum::<f32>().sqrt();
            let along: f64 = grads[tensor.range.clone()]
                .iter()
                .zip(&direction)
                .map(|(&g, &d)| f64::from(g) * f64::from(d / norm))
                .sum();
            let mut at = |step: f32| -> f64 {
                let mut moved = params.clone();
                for (p, d) in moved[tensor.range.clone()].iter_mut().zip(&direction) {
                    *p += step * d / norm;
                }
                trainer.loss(&kernel, &moved, &batch, 2, 9).expect("finite") / 18.0
            };
            let h = 0.02;
            let slope = (at(h) - at(-h)) / f64::from(2.0 * h);
            let allowed = 2e-4 + 0.01 * slope.abs();
            assert!(
                (slope - along).abs() < allowed,
                "{}: {slope} {along} {decoder:?}",
                tensor.name
            );
        }
    }
}

#[test]
fn training_on_one_batch_learns_it() {
    let decoder = Decoder::tiny(50);
    let kernel = Kernel::new(Isa::best(), 2);
    let mut trainer = Trainer::new(&decoder).expect("valid");
    let mut params = crate::init(&decoder, 3).expect("valid");
    let mut grads = vec![0.0; params.len()];
    let batch = tokens(&decoder, 2, 8);
    let mut optimizer = optimizer(&decoder);
    let mut losses = Vec::new();
    for _ in 0..150 {
        let sum = trainer.loss_and_gradient(&kernel, &params, &batch, 2, 8, &mut grads);
        losses.push(sum.expect("finite") / 16.0);
        optimizer.step(&kernel, &mut params, &grads, 0.01).expect("finite");
    }
    // An untrained model is not far from uniform: its logits spread by about 0.6.
    assert!((losses[0] - 50f64.ln()).abs() < 0.5, "{}", losses[0]);
    assert!(losses[149] < 0.1, "{}", losses[149]);
}

#[test]
fn a_forward_pass_gives_the_loss_of_its_logits() {
    let decoder = Decoder::tiny(50);
    let kernel = Kernel::new(Isa::best(), 2);
    let mut trainer = Trainer::new(&decoder).expect("valid");
    let params = crate::init(&decoder, 3).expect("valid");
    let batch = tokens(&decoder, 2, 8);
    let loss = trainer.loss(&kernel, &params, &batch, 2, 8).expect("finite");
    let inputs: Vec<u32> = batch.chunks(9).flat_map(|row| &row[..8]).copied().collect();
    let targets: Vec<u32> = batch.chunks(9).flat_map(|row| &row[1..]).copied().collect();
    let logits = trainer.logits(&kernel, &params, &inputs, 2, 8).expect("valid");
    let mut losses = vec![0.0; 16];
    kernel.cross_entropy_forward(&mut losses, &logits, &targets, 50);
    let sum: f64 = losses.iter().map(|&x| f64::from(x)).sum();
    assert_eq!(loss.to_bits(), sum.to_bits());
}

#[test]
fn refuses_batches_and_numbers_that_are_no_use() {
    let decoder = Decoder::tiny(50);
    let kernel = Kernel::new(Isa::best(), 1);
    let mut trainer = Trainer::new(&decoder).expect("valid");
    let mut params = crate::init(&decoder, 3).expect("valid");
    let mut batch = tokens(&decoder, 2, 8);
    let shape = |e| matches!(e, Err(TrainError::Shape { .. }));
    assert!(shape(trainer.loss(&kernel, &params, &batch, 0, 8)));
    assert!(shape(trainer.loss(&kernel, &params, &batch, 1, 65)));
    let short = trainer.loss(&kernel, &params, &batch[1..], 2, 8);
    assert!(matches!(short, Err(TrainError::Length { what: "tokens", .. })));
    batch[12] = 50;
    let wrong = trainer.loss(&kernel, &params, &batch, 2, 8);
    assert_eq!(wrong, Err(TrainError::Token { index: 12, token: 50, vocab: 50 }));
    batch[12] = 0;
    params[40] = f32::NAN;
    let mut grads = vec![0.0; params.len()];
    let sick = trainer.loss_and_gradient(&kernel, &params, &batch, 2, 8, &mut grads);
    // Token 1's embedding is sick: only batches that have it see it, through the tied head all.
    assert!(matches!(sick, Err(TrainError::NonFiniteLoss { .. })), "{sick:?}");
    grads.fill(0.0);
    grads[7] = f32::INFINITY;
    let before = params.clone();
    let step = optimizer(&decoder).step(&kernel, &mut params, &grads, 0.1);
    assert!(matches!(step, Err(OptimizerError::NonFiniteGradient { step: 1, .. })));
    assert_eq!(bits(&before), bits(&params));
    grads[7] = 1.0;
    let step = optimizer(&decoder).step(&kernel, &mut params, &grads, f32::NAN);
    assert!(matches!(step, Err(OptimizerError::LearningRate { .. })));
}
