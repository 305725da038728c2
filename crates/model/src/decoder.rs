//! What a decoder computes: one description that every family fills in.
//!
//! A decoder is an embedding, blocks of attention and feed-forward layer around a residual stream,
//! a norm and a head. Families differ in the parts below and in nothing else, so there is one
//! forward pass ([`crate::forward`]) and one way to load weights for all of them.

mod rotary;

pub use rotary::{Rotary, RotaryTable, Scaling};

pub use kernel::Activation;
use kernel::HeadShape;

use crate::config::{MAX_PARAMETERS, range};
use crate::{Config, ConfigError};

/// Everything about a decoder but its weights. Call [`Decoder::validate`] on one from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder {
    /// Name of the family, as GGUF spells it: `llama`, `falcon`, `gemma3`, …
    pub family: String,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// By the root mean square; a weight.
    Rms,
    /// To mean 0 and variance 1; a weight and a bias.
    Layer,
}

/// How attention and feed-forward layer lie in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// The feed-forward layer sees what attention added.
    Sequential,
    /// Both see the same input, through one norm.
    Parallel,
    /// Both see the same input, each through a norm of its own.
    ParallelTwoNorms,
}

/// Which projections have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The output of attention.
    pub output: bool,
    /// The feed-forward layer.
    pub ffn: bool,
}

/// What differs from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// A token sees this many positions back, itself included; `None` for all.
    pub window: Option<usize>,
    /// Which of [`Decoder::rotaries`]; `None` for no positions.
    pub rotary: Option<usize>,
}

impl Decoder {
    /// Checks every bound, so that no later size computation overflows.
    pub fn validate(&self) -> Result<(), ConfigError> {
        range("vocab", self.vocab, 2, 1 << 20)?;
        range("dim", self.dim, 1, 1 << 16)?;
        range("layers", self.layers.len(), 1, 1 << 10)?;
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
        for layer in &self.layers {
            if layer.window == Some(0) || layer.rotary.is_some_and(|r| r >= self.rotaries.len()) {
                return invalid("a layer's window or rotary positions are no use".to_owned());
            }
        }
        self.rotaries.iter().try_for_each(|rotary| rotary.validate(self.head_dim))?;
        let count = self.wide_parameters();
        if count > u128::from(MAX_DECODER_PARAMETERS) {
            return Err(ConfigError::TooLarge { count, max: MAX_DECODER_PARAMETERS });
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

    /// Number of parameters, biases and norms included. A tied head is counted once.
    pub fn parameters(&self) -> u64 {
        self.wide_parameters() as u64
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

impl From<&Config> for Decoder {
    /// The description of a model trained here: a Llama.
    fn from(config: &Config) -> Decoder {
        let rotary = Rotary::plain(config.head_dim, config.rope_theta);
        Decoder {
            family: "llama".to_owned(),
            vocab: config.vocab,
            dim: config.dim,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            ffn: config.ffn,
            context: config.context,
            tied: config.tied,
            norm: NormKind::Rms,
            norm_eps: config.norm_eps,
            block: Block::Sequential,
            post_norms: false,
            qk_norms: false,
            biases: Biases::default(),
            activation: Activation::Silu,
            gated: true,
            attention_scale: 1.0 / (config.head_dim as f32).sqrt(),
            attention_cap: None,
            alibi: false,
            embedding_scale: 1.0,
            final_cap: None,
            rotaries: vec![rotary],
            layers: vec![Layer { window: None, rotary: Some(0) }; config.layers],
        }
    }
}

fn invalid(text: String) -> Result<(), ConfigError> {
    Err(ConfigError::Invalid(text))
}

/// Most parameters of a model that can be run: 1 Ti, more than any file of these families has.
const MAX_DECODER_PARAMETERS: u64 = 128 * MAX_PARAMETERS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trained_shape_keeps_its_parameters() {
        for tied in [true, false] {
            let config = Config { tied, ..Config::tiny(100) };
            let decoder = Decoder::from(&config);
            assert_eq!(decoder.validate(), Ok(()));
            assert_eq!(decoder.parameters(), config.parameters() as u64);
            assert_eq!(decoder.cache_bytes_per_token(), 2 * 2 * 16 * 4);
        }
    }

    #[test]
    fn refuses_what_cannot_be_run() {
        let good = Decoder::from(&Config::tiny(100));
        let bad = [
            Decoder { vocab: usize::MAX, ..good.clone() },
            Decoder { kv_heads: 3, ..good.clone() },
            Decoder { layers: Vec::new(), ..good.clone() },
            Decoder { layers: vec![Layer { window: Some(0), rotary: None }], ..good.clone() },
            Decoder { layers: vec![Layer { window: None, rotary: Some(1) }], ..good.clone() },
            Decoder { norm_eps: f32::NAN, ..good.clone() },
            Decoder { attention_cap: Some(0.0), ..good.clone() },
            Decoder { rotaries: vec![Rotary::plain(16, 1e4)], ..good.clone() },
            Decoder { rotaries: vec![Rotary::plain(8, f32::INFINITY)], ..good.clone() },
        ];
        for decoder in bad {
            assert!(decoder.validate().is_err(), "{decoder:?}");
        }
    }
}
