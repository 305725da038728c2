//! A model ready to run: its description and its packed weights.

mod assemble;
mod finite;
mod load;

pub use load::{Memory, Plan};

use std::path::Path;

use kernel::{Kernel, Matrix};

use crate::decoder::{Decoder, RotaryTable};
use crate::{FormatError, GenerateError, Parameters, Weights};

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
    /// Packs parameters (in the order of [`crate::Layout`]) of a model as it is trained.
    pub fn new(decoder: &Decoder, params: Vec<f32>) -> Result<Model, GenerateError> {
        Ok(Model::from(&Parameters::new(decoder, params)?))
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

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Decoder { family, dim, .. } = &self.decoder;
        write!(f, "Model({family}, {} layers of width {dim})", self.blocks.len())
    }
}
