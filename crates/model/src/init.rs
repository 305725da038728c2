//! Initial parameters.

use kernel::random::Stream;
use kernel::{Isa, Kernel};

use crate::layout::Role;
use crate::{Decoder, DecoderError, Layout};

/// Initial parameters, a pure function of (decoder, seed).
///
/// Matrices are normal with standard deviation √(2 / 5C) for width C (Nguyen & Salazar 2019,
/// "SmallInit": GPT-2's 0.02 at its width of about 1000; a small model that starts at 0.02 spends
/// a third of a short run growing out of it), divided by √(2·layers) for the projections that
/// write to the residual stream (as in GPT-2); norm weights are 1, biases 0. Each tensor has its own
/// counter-based stream, keyed by its place in the layout.
pub fn init(decoder: &Decoder, seed: u64) -> Result<Vec<f32>, DecoderError> {
    let layout = Layout::new(decoder)?;
    let mut params = vec![1.0f32; layout.len()];
    // Bits depend neither on the instruction set nor on the threads, so the caller need not say.
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let kernel = Kernel::new(Isa::best(), threads);
    let std = (2.0 / (5.0 * decoder.dim as f32)).sqrt();
    let residual = std / (2.0 * decoder.layers.len() as f32).sqrt();
    for (index, tensor) in layout.tensors().iter().enumerate() {
        let spread = match tensor.role() {
            Role::Norm => continue,
            Role::Bias => {
                params[tensor.range.clone()].fill(0.0);
                continue;
            }
            Role::Residual => residual,
            Role::Embedding | Role::Projection | Role::Head => std,
        };
        let values = &mut params[tensor.range.clone()];
        kernel.normals(values, &Stream::new(seed, "init", index as u64), 0);
        kernel.scale(values, spread);
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::Biases;

    #[test]
    fn has_the_stated_spread_and_depends_on_the_seed() {
        let biases = Biases { qkv: true, output: true, ffn: true };
        let decoder = Decoder { biases, ..Decoder::tiny(200) };
        let layout = Layout::new(&decoder).expect("valid");
        let params = init(&decoder, 7).expect("valid");
        for tensor in layout.tensors() {
            let values = &params[tensor.range.clone()];
            if tensor.role() == Role::Bias {
                assert!(values.iter().all(|&x| x == 0.0), "{}", tensor.name);
                continue;
            }
            let n = values.len() as f64;
            let square = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / n;
            let expected = match tensor.role() {
                Role::Norm => 1.0,
                Role::Residual => 0.0559, // width 32, two blocks
                _ => 0.1118,
            };
            assert!((square.sqrt() / expected - 1.0).abs() < 0.1, "{}", tensor.name);
        }
        assert_eq!(params, init(&decoder, 7).expect("valid"));
        assert_ne!(params, init(&decoder, 8).expect("valid"));
    }
}
