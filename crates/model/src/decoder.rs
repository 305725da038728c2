//! What a decoder computes: one description that every family fills in.
//!
//! A decoder is an embedding, blocks of attention and feed-forward layer around a residual stream,
//! a norm and a head. Families differ in the parts below and in nothing else, so there is one
//! forward pass ([`crate::forward`]) and one way to load weights for all of them.

mod family;
mod parts;
mod rotary;
mod written;

pub use family::{Family, Sizes, UnknownFamily};
pub use parts::{Kind, Part};
pub use rotary::{Rotary, RotaryTable, Scaling};

pub use kernel::Activation;
use kernel::{HeadShape, Scoring};
use serde::{Deserialize, Serialize};

use family::MAX_LAYERS;

/// Everything about a decoder but its weights. Call [`Decoder::validate`] on one from outside;
/// one that was read from a text is valid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "written::Written", into = "written::Written")]
pub struct Decoder {
    /// The family.
    pub family: Family,
    /// Number of token ids.
    pub vocab: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width of the feed-forward layer.
    pub ffn: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Whether the output head is the embedding table.
    pub tied: bool,
    /// How rows are normalised.
    pub norm: NormKind,
    /// Added to the mean square (or variance) before the root.
    pub norm_eps: f32,
    /// How attention and feed-forward layer lie in a block.
    pub block: Block,
    /// Whether the outputs of attention and feed-forward layer are normalised before they are
    /// added to the residual stream.
    pub post_norms: bool,
    /// Whether query and key heads are normalised before the rotation.
    pub qk_norms: bool,
    /// Which projections have biases.
    pub biases: Biases,
    /// The feed-forward layer's function.
    pub activation: Activation,
    /// Whether a second projection is multiplied to the activation's result.
    pub gated: bool,
    /// Scores are multiplied by this.
    pub attention_scale: f32,
    /// Scores are bent to within ± this.
    pub attention_cap: Option<f32>,
    /// Whether scores get a bias that falls with distance, instead of rotary positions.
    pub alibi: bool,
    /// Embeddings are multiplied by this.
    pub embedding_scale: f32,
    /// Logits are bent to within ± this.
    pub final_cap: Option<f32>,
    /// The kinds of rotary positions in use.
    pub rotaries: Vec<Rotary>,
    /// What differs from layer to layer.
    pub layers: Vec<Layer>,
}

/// How rows are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    #[default]
    /// By the root mean square; a weight.
    Rms,
    /// To mean 0 and variance 1; a weight and a bias.
    Layer,
}

/// How attention and feed-forward layer lie in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    #[default]
    /// The feed-forward layer sees what attention added.
    Sequential,
    /// Both see the same input, through one norm.
    Parallel,
    /// Both see the same input, each through a norm of its own.
    ParallelTwoNorms,
}

/// Which projections have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The output of attention.
    pub output: bool,
    /// The feed-forward layer.
    pub ffn: bool,
}

/// What differs from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// A token sees this many positions back, itself included; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Which of [`Decoder::rotaries`]; `None` for no positions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary: Option<usize>,
}

/// Why a [`Decoder`] is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecoderError {
    /// A size outside its bounds.
    #[error("model config: {field} is {value}, must be from {min} to {max}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it says.
        value: usize,
        /// Smallest allowed value.
        min: usize,
        /// Largest allowed value.
        max: usize,
    },
    /// Two sizes that do not fit each other, or a constant that is no use.
    #[error("model config: {0}")]
    Invalid(String),
    /// More parameters than are supported.
    #[error("model config: {count} parameters, at most {max} are supported")]
    TooLarge {
        /// How many there would be.
        count: u128,
        /// How many are supported.
        max: u64,
    },
}

impl Decoder {
    /// Checks every bound, so that no later size computation overflows.
    pub fn validate(&self) -> Result<(), DecoderError> {
        range("vocab", self.vocab, 2, 1 << 20)?;
        range("dim", self.dim, 1, 1 << 16)?;
        range("layers", self.layers.len(), 1, MAX_LAYERS)?;
        range("heads", self.heads, 1, 1 << 10)?;
        range("kv_heads", self.kv_heads, 1, self.heads)?;
        range("head_dim", self.head_dim, 1, 1 << 10)?;
        range("ffn", self.ffn, 1, 1 << 18)?;
        range("context", self.context, 1, 1 << 24)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            let (heads, kv) = (self.heads, self.kv_heads);
            return invalid(format!("heads ({heads}) must be a multiple of kv_heads ({kv})"));
        }
        // Written so that NaN fails too.
        let between = |x: f32, low: f32, high: f32| x > low && x <= high;
        if !between(self.norm_eps, 0.0, 1.0) {
            return invalid(format!("norm_eps ({}) must be above 0 and at most 1", self.norm_eps));
        }
        for (what, scale) in [
            ("attention scale", Some(self.attention_scale)),
            ("embedding scale", Some(self.embedding_scale)),
            ("attention cap", self.attention_cap),
            ("final cap", self.final_cap),
        ] {
            if let Some(scale) = scale.filter(|&scale| !between(scale, 0.0, 1e6)) {
                return invalid(format!("{what} ({scale}) must be above 0 and at most 1e6"));
            }
        }
        if self.post_norms && self.norm == NormKind::Layer {
            return invalid("norms after a branch are by the root mean square alone".to_owned());
        }
        for layer in &self.layers {
            if layer.window == Some(0) || layer.rotary.is_some_and(|r| r >= self.rotaries.len()) {
                return invalid("a layer's window or rotary positions are no use".to_owned());
            }
        }
        range("rotaries", self.rotaries.len(), 0, MAX_ROTARIES)?;
        self.rotaries.iter().try_for_each(|rotary| rotary.validate(self.head_dim))?;
        let count = self.wide_parameters();
        if count > u128::from(MAX_DECODER_PARAMETERS) {
            return Err(DecoderError::TooLarge { count, max: MAX_DECODER_PARAMETERS });
        }
        Ok(())
    }

    /// Head counts and width as the kernels want them.
    pub fn head_shape(&self) -> HeadShape {
        HeadShape { heads: self.heads, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    /// Width of all query heads together.
    pub fn q_dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads (or all value heads) together.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Sines and cosines of each kind of rotary positions, for the whole context.
    pub(crate) fn rotary_tables(&self) -> Vec<RotaryTable> {
        self.rotaries.iter().map(|rotary| RotaryTable::new(rotary, self.context)).collect()
    }

    /// ALiBi's slope for each query head, where there are any: a geometric series over the greatest
    /// power of two of heads, then every other one of the next. Source: Press et al. 2021.
    pub(crate) fn alibi_slopes(&self) -> Option<Vec<f32>> {
        let series = |count: usize, step: usize| {
            // base = 2^(−8 / count), rounded before its powers are taken.
            let base = kernel::math::pow64(2.0, -8.0 / count as f64) as f32;
            (1..=count)
                .step_by(step)
                .map(move |power| kernel::math::pow64(f64::from(base), power as f64) as f32)
        };
        let whole = 1 << self.heads.ilog2();
        let all = series(whole, 1).chain(series(2 * whole, 2));
        self.alibi.then(|| all.take(self.heads).collect())
    }

    /// How products of queries and keys become scores in a layer.
    pub(crate) fn scoring<'a>(&self, layer: usize, slopes: Option<&'a [f32]>) -> Scoring<'a> {
        Scoring {
            scale: self.attention_scale,
            cap: self.attention_cap,
            window: self.layers[layer].window,
            slopes,
        }
    }

    /// Number of parameters, biases and norms included. A tied head is counted once.
    pub fn parameters(&self) -> u64 {
        self.wide_parameters() as u64
    }

    /// Parameters outside the embedding table and the output head.
    pub fn non_embedding_parameters(&self) -> u64 {
        let tables = if self.tied { 1 } else { 2 };
        self.parameters() - tables * (self.vocab * self.dim) as u64
    }

    /// Model FLOP per trained token, forward and backward: 6 per matmul parameter (the head counts
    /// as a matmul, tied or not), plus `6 · layers · width · seq` for causal attention.
    ///
    /// `seq` is the sequence length in tokens. Norm weights are counted with the matmuls, so that
    /// the figure is the one that other programs report.
    pub fn training_flops_per_token(&self, seq: usize) -> f64 {
        let matmul = self.non_embedding_parameters() + (self.vocab * self.dim) as u64;
        6.0 * matmul as f64 + 6.0 * (self.layers.len() * self.q_dim() * seq) as f64
    }

    /// Width of a packed row of queries, keys and values.
    pub fn qkv_dim(&self) -> usize {
        self.q_dim() + 2 * self.kv_dim()
    }

    /// Bytes of keys and values that one more token of a sequence takes.
    pub fn cache_bytes_per_token(&self) -> u64 {
        (self.layers.len() * 2 * self.kv_dim() * size_of::<f32>()) as u64
    }

    /// Parameters in an integer that no input can overflow.
    fn wide_parameters(&self) -> u128 {
        let w = |x: usize| x as u128;
        let on = |flag: bool, count: u128| if flag { count } else { 0 };
        let (dim, ffn) = (w(self.dim), w(self.ffn));
        let (q, kv) = (w(self.heads) * w(self.head_dim), w(self.kv_heads) * w(self.head_dim));
        let norm = dim * if self.norm == NormKind::Layer { 2 } else { 1 };
        let norms = match self.block {
            Block::Parallel => 1,
            Block::Sequential | Block::ParallelTwoNorms => 2,
        } + if self.post_norms { 2 } else { 0 };
        let up = if self.gated { 2 } else { 1 };
        let block = dim * (2 * q + 2 * kv)
            + on(self.biases.qkv, q + 2 * kv)
            + on(self.biases.output, dim)
            + (up + 1) * dim * ffn
            + on(self.biases.ffn, up * ffn + dim)
            + norms * norm
            + on(self.qk_norms, 2 * w(self.head_dim));
        let tables = if self.tied { 1 } else { 2 };
        block * w(self.layers.len()) + norm + tables * w(self.vocab) * dim
    }
}

fn invalid(text: String) -> Result<(), DecoderError> {
    Err(DecoderError::Invalid(text))
}

fn range(field: &'static str, value: usize, min: usize, max: usize) -> Result<(), DecoderError> {
    if value < min || value > max {
        return Err(DecoderError::OutOfRange { field, value, min, max });
    }
    Ok(())
}

/// Most kinds of rotary positions of a model.
const MAX_ROTARIES: usize = 4;
/// Most parameters of a model that can be trained: 8 Gi, 32 GiB as `f32`.
pub const MAX_TRAINED: u64 = 1 << 33;
/// Most parameters of a model that can be run: 1 Ti, more than any file of these families has.
const MAX_DECODER_PARAMETERS: u64 = 128 * MAX_TRAINED;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_the_tensors() {
        for family in Family::ALL {
            for tied in [true, false] {
                let decoder = Sizes { tied, ..Sizes::tiny(100) }.decoder(family);
                let count = |(part, _, kind): (Part, usize, Kind)| {
                    decoder.shape(part, kind).iter().product::<usize>() as u64
                };
                let sum = decoder.tensors().into_iter().map(count).sum::<u64>();
                assert_eq!(decoder.parameters(), sum, "{family}");
                assert_eq!(decoder.cache_bytes_per_token(), 2 * 2 * 16 * 4);
            }
        }
    }

    #[test]
    fn flops_follow_the_published_formula() {
        let decoder = Sizes { layers: 3, ..Sizes::tiny(100) }.decoder(Family::Llama);
        let matmul = decoder.non_embedding_parameters() + 100 * 32;
        assert_eq!(decoder.training_flops_per_token(16), (6 * matmul + 6 * 3 * 32 * 16) as f64);
    }

    #[test]
    fn refuses_what_cannot_be_run() {
        let good = Decoder::tiny(100);
        let bad = [
            Decoder { vocab: usize::MAX, ..good.clone() },
            Decoder { dim: 0, ..good.clone() },
            Decoder { kv_heads: 3, ..good.clone() },
            Decoder { kv_heads: 8, ..good.clone() },
            Decoder { layers: Vec::new(), ..good.clone() },
            Decoder { layers: vec![Layer { window: Some(0), rotary: None }], ..good.clone() },
            Decoder { layers: vec![Layer { window: None, rotary: Some(1) }], ..good.clone() },
            Decoder { norm_eps: f32::NAN, ..good.clone() },
            Decoder { attention_cap: Some(0.0), ..good.clone() },
            Decoder { post_norms: true, norm: NormKind::Layer, ..good.clone() },
            Decoder { rotaries: vec![Rotary::plain(16, 1e4)], ..good.clone() },
            Decoder { rotaries: vec![Rotary::plain(7, 1e4)], ..good.clone() },
            Decoder { rotaries: vec![Rotary::plain(8, 1e4); 5], ..good.clone() },
            Decoder { rotaries: vec![Rotary::plain(8, f32::INFINITY)], ..good.clone() },
            Sizes { layers: 1 << 20, ..Sizes::tiny(100) }.decoder(Family::Llama),
        ];
        for decoder in bad {
            assert!(decoder.validate().is_err(), "{decoder:?}");
        }
    }

    #[test]
    fn slopes_are_those_of_the_paper() {
        let slopes = |heads| Decoder { heads, alibi: true, ..Decoder::tiny(9) }.alibi_slopes();
        let slopes = |heads| slopes(heads).expect("wanted");
        let eight: Vec<f32> = (1..=8).map(|i| 0.5f32.powi(i)).collect();
        assert_eq!(slopes(8), eight);
        let twelve = slopes(12);
        assert_eq!(twelve[..8], eight);
        for (got, scale) in twelve[8..].iter().zip([1.0, 0.5, 0.25, 0.125]) {
            let want = std::f32::consts::FRAC_1_SQRT_2 * scale;
            assert!((got - want).abs() < 1e-5, "{got}");
        }
    }
}
