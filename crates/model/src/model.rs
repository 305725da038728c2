//! A model ready to run: its description and its packed weights.

mod finite;
mod load;

pub use load::{Memory, Plan};

use std::path::Path;

use kernel::{Format, Isa, Kernel, Matrix};

use crate::decoder::{Decoder, RotaryTable};
use crate::{Config, FormatError, GenerateError, Parameters, Weights};

/// A model ready to run: what it computes, and its weights packed for it.
pub struct Model {
    pub(crate) decoder: Decoder,
    pub(crate) embedding: Matrix,
    /// `None` if the embedding table is the head.
    pub(crate) head: Option<Matrix>,
    pub(crate) final_norm: Norm,
    pub(crate) blocks: Vec<BlockWeights>,
    pub(crate) rotaries: Vec<RotaryTable>,
    /// ALiBi's slope for each query head.
    pub(crate) slopes: Option<Vec<f32>>,
}

/// A norm's weight and, for a layer norm, bias.
pub(crate) struct Norm {
    pub weight: Vec<f32>,
    pub bias: Option<Vec<f32>>,
}

/// A projection.
pub(crate) struct Linear {
    pub weight: Matrix,
    pub bias: Option<Vec<f32>>,
}

/// The weights of one layer.
pub(crate) struct BlockWeights {
    pub attention_norm: Norm,
    /// `None` where the feed-forward layer shares attention's.
    pub ffn_norm: Option<Norm>,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub query_norm: Option<Vec<f32>>,
    pub key_norm: Option<Vec<f32>>,
    pub output: Linear,
    pub after_attention: Option<Norm>,
    pub gate: Option<Linear>,
    pub up: Linear,
    pub down: Linear,
    pub after_ffn: Option<Norm>,
}

impl Model {
    /// Packs parameters (in the order of [`crate::Layout`]) of a model trained here.
    pub fn new(config: &Config, params: Vec<f32>) -> Result<Model, GenerateError> {
        Ok(Model::from(&Parameters::new(config, params)?))
    }

    /// Opens and loads the model at `path`: a `.gguf` file or a Hugging Face folder.
    pub fn open(path: &Path, kernel: &Kernel) -> Result<Model, FormatError> {
        let weights = Weights::open(path)?;
        Plan::new(&weights)?.load(kernel)
    }

    /// What it computes.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Longest sequence, in tokens.
    pub fn context(&self) -> usize {
        self.decoder.context
    }

    /// Number of token ids.
    pub fn vocab(&self) -> usize {
        self.decoder.vocab
    }

    /// Bytes of the packed matrices.
    pub fn bytes(&self) -> u64 {
        let block = |b: &BlockWeights| {
            let linears = [Some(&b.query), Some(&b.key), Some(&b.value), Some(&b.output)];
            let ffn = [b.gate.as_ref(), Some(&b.up), Some(&b.down)];
            linears.into_iter().chain(ffn).flatten().map(|l| l.weight.bytes() as u64).sum::<u64>()
        };
        let tables = [Some(&self.embedding), self.head.as_ref()];
        tables.into_iter().flatten().map(|m| m.bytes() as u64).sum::<u64>()
            + self.blocks.iter().map(block).sum::<u64>()
    }

    /// The output head.
    pub(crate) fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

impl From<&Parameters> for Model {
    fn from(trained: &Parameters) -> Model {
        let (config, layout) = (trained.config(), trained.layout());
        let kernel = Kernel::new(Isa::best(), 1);
        let pack = |range: std::ops::Range<usize>, rows: usize, cols: usize| {
            let mut matrix = Matrix::zeroed(Format::F32, rows, cols);
            kernel.pack_values(&mut matrix, 0, &trained.params()[range]);
            matrix
        };
        let norm = |range: std::ops::Range<usize>| Norm {
            weight: trained.params()[range].to_vec(),
            bias: None,
        };
        let (c, q, kv, f) = (config.dim, config.q_dim(), config.kv_dim(), config.ffn);
        let linear = |start: usize, rows: usize, cols: usize| Linear {
            weight: pack(start..start + rows * cols, rows, cols),
            bias: None,
        };
        let block = |b: &crate::layout::Block| BlockWeights {
            attention_norm: norm(b.attn_norm.clone()),
            ffn_norm: Some(norm(b.ffn_norm.clone())),
            query: linear(b.qkv.start, q, c),
            key: linear(b.qkv.start + q * c, kv, c),
            value: linear(b.qkv.start + (q + kv) * c, kv, c),
            query_norm: None,
            key_norm: None,
            output: linear(b.o.start, c, q),
            after_attention: None,
            gate: Some(linear(b.gate_up.start, f, c)),
            up: linear(b.gate_up.start + f * c, f, c),
            down: linear(b.down.start, c, f),
            after_ffn: None,
        };
        let decoder = Decoder::from(config);
        let embedding = pack(layout.embedding(), config.vocab, c);
        let head = (!config.tied).then(|| pack(layout.head(), config.vocab, c));
        let final_norm = norm(layout.final_norm());
        let blocks = layout.blocks().iter().map(block).collect();
        Model::assemble(decoder, embedding, head, final_norm, blocks)
    }
}

impl Model {
    /// Puts weights of the decoder's shapes together.
    fn assemble(
        decoder: Decoder,
        embedding: Matrix,
        head: Option<Matrix>,
        final_norm: Norm,
        blocks: Vec<BlockWeights>,
    ) -> Model {
        let context = decoder.context;
        let rotaries =
            decoder.rotaries.iter().map(|rotary| RotaryTable::new(rotary, context)).collect();
        let slopes = decoder.alibi.then(|| alibi_slopes(decoder.heads));
        Model { decoder, embedding, head, final_norm, blocks, rotaries, slopes }
    }
}

/// ALiBi's slopes: a geometric series over the greatest power of two of heads, then every other
/// one of the next. Source: Press et al. 2021.
fn alibi_slopes(heads: usize) -> Vec<f32> {
    let whole = 1 << heads.ilog2();
    let series = |count: usize, step: usize| {
        // base = 2^(−8 / count), rounded before its powers are taken.
        let base = kernel::math::pow64(2.0, -8.0 / count as f64) as f32;
        (1..=count)
            .step_by(step)
            .map(move |power| kernel::math::pow64(f64::from(base), power as f64) as f32)
    };
    series(whole, 1).chain(series(2 * whole, 2)).take(heads).collect()
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Decoder { family, dim, .. } = &self.decoder;
        write!(f, "Model({family}, {} layers of width {dim})", self.blocks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_paper() {
        let eight: Vec<f32> = (1..=8).map(|i| 0.5f32.powi(i)).collect();
        assert_eq!(alibi_slopes(8), eight);
        let twelve = alibi_slopes(12);
        assert_eq!(twelve[..8], eight);
        for (got, scale) in twelve[8..].iter().zip([1.0, 0.5, 0.25, 0.125]) {
            let want = std::f32::consts::FRAC_1_SQRT_2 * scale;
            assert!((got - want).abs() < 1e-5, "{got}");
        }
    }
}
