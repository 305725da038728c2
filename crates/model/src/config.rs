//! The shape of a model.

use kernel::HeadShape;
use serde::{Deserialize, Serialize};

/// Shape and constants of a Llama-architecture decoder.
///
/// Pre-norm blocks with RMSNorm, rotary positions, grouped-query attention and SwiGLU; no biases.
/// Call [`Config::validate`] on anything that came from outside before using it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of token ids.
    pub vocab: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Width of the feed-forward layer.
    pub ffn: usize,
    /// Added to the mean square before the root in RMSNorm.
    pub norm_eps: f32,
    /// Base of the rotary angles.
    pub rope_theta: f32,
    /// Whether the output head is the embedding table.
    pub tied: bool,
    /// Longest sequence, in tokens.
    pub context: usize,
}

/// Why a [`Config`] is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
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

impl Config {
    /// The smallest useful model (two blocks of width 32, grouped heads), for examples and tests.
    pub fn tiny(vocab: usize) -> Config {
        Config {
            vocab,
            dim: 32,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 8,
            ffn: 48,
            norm_eps: 1e-5,
            rope_theta: 10_000.0,
            tied: true,
            context: 64,
        }
    }

    /// Checks every bound, so that no later size computation overflows and no hostile file makes
    /// us allocate more than [`MAX_PARAMETERS`] floats.
    pub fn validate(&self) -> Result<(), ConfigError> {
        range("vocab", self.vocab, 2, 1 << 20)?;
        range("dim", self.dim, 1, 1 << 16)?;
        range("layers", self.layers, 1, 1 << 10)?;
        range("heads", self.heads, 1, 1 << 10)?;
        range("kv_heads", self.kv_heads, 1, self.heads)?;
        range("head_dim", self.head_dim, 2, 1 << 10)?;
        range("ffn", self.ffn, 1, 1 << 18)?;
        range("context", self.context, 1, 1 << 20)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            let text = format!(
                "heads ({}) must be a multiple of kv_heads ({})",
                self.heads, self.kv_heads
            );
            return Err(ConfigError::Invalid(text));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(ConfigError::Invalid(format!("head_dim ({}) must be even", self.head_dim)));
        }
        if self.context * self.head_dim > MAX_ROPE_TABLE {
            let text =
                format!("context ({}) is too long for head_dim ({})", self.context, self.head_dim);
            return Err(ConfigError::Invalid(text));
        }
        // Written so that NaN fails too.
        if !(self.norm_eps > 0.0 && self.norm_eps <= 1.0) {
            let text = format!("norm_eps ({}) must be above 0 and at most 1", self.norm_eps);
            return Err(ConfigError::Invalid(text));
        }
        if !(self.rope_theta >= 1.0 && self.rope_theta <= 1e9) {
            let text = format!("rope_theta ({}) must be from 1 to 1e9", self.rope_theta);
            return Err(ConfigError::Invalid(text));
        }
        let count = self.wide_parameters();
        if count > MAX_PARAMETERS as u128 {
            return Err(ConfigError::TooLarge { count, max: MAX_PARAMETERS });
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

    /// Width of a packed row of queries, keys and values.
    pub fn qkv_dim(&self) -> usize {
        self.q_dim() + 2 * self.kv_dim()
    }

    /// Number of parameters. A tied head is counted once.
    pub fn parameters(&self) -> usize {
        self.wide_parameters() as usize
    }

    /// Parameters outside the embedding table and the output head.
    pub fn non_embedding_parameters(&self) -> usize {
        let tables = if self.tied { 1 } else { 2 };
        self.parameters() - tables * self.vocab * self.dim
    }

    /// Model FLOP per trained token, forward and backward: 6 per matmul parameter (the head counts
    /// as a matmul, tied or not), plus `6 · layers · width · seq` for causal attention.
    ///
    /// `seq` is the sequence length in tokens. Norm weights are counted with the matmuls, so that
    /// the figure is the one that other programs report.
    pub fn training_flops_per_token(&self, seq: usize) -> f64 {
        let matmul = self.non_embedding_parameters() + self.vocab * self.dim;
        6.0 * matmul as f64 + 6.0 * (self.layers * self.q_dim() * seq) as f64
    }

    /// Parameters in an integer that no input can overflow.
    fn wide_parameters(&self) -> u128 {
        let w = |x: usize| x as u128;
        let (dim, ffn) = (w(self.dim), w(self.ffn));
        let q = w(self.heads) * w(self.head_dim);
        let kv = w(self.kv_heads) * w(self.head_dim);
        let block = dim * (q + 2 * kv) + q * dim + 3 * dim * ffn + 2 * dim;
        let tables = if self.tied { 1 } else { 2 };
        block * w(self.layers) + dim + tables * w(self.vocab) * dim
    }
}

pub(crate) fn range(
    field: &'static str,
    value: usize,
    min: usize,
    max: usize,
) -> Result<(), ConfigError> {
    if value < min || value > max {
        return Err(ConfigError::OutOfRange { field, value, min, max });
    }
    Ok(())
}

/// Most entries of the table of rotary angles.
const MAX_ROPE_TABLE: usize = 1 << 26;

/// Most parameters of a model: 8 Gi, 32 GiB as `f32`.
pub const MAX_PARAMETERS: u64 = 1 << 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_parameters_like_the_layout() {
        for tied in [true, false] {
            let config = Config { tied, ..Config::tiny(100) };
            assert_eq!(config.parameters(), crate::Layout::new(&config).expect("valid").len());
        }
    }

    #[test]
    fn refuses_hostile_sizes() {
        let good = Config::tiny(100);
        assert_eq!(good.validate(), Ok(()));
        let bad = [
            Config { vocab: usize::MAX, ..good.clone() },
            Config { dim: 0, ..good.clone() },
            Config { kv_heads: 3, ..good.clone() },
            Config { kv_heads: 8, ..good.clone() },
            Config { head_dim: 7, ..good.clone() },
            Config { norm_eps: f32::NAN, ..good.clone() },
            Config { rope_theta: f32::INFINITY, ..good.clone() },
            Config { layers: 1 << 10, dim: 1 << 16, ffn: 1 << 18, ..good.clone() },
        ];
        for config in bad {
            assert!(config.validate().is_err(), "{config:?}");
        }
    }

    #[test]
    fn flops_follow_the_published_formula() {
        let config = Config { layers: 3, ..Config::tiny(100) };
        let matmul = config.non_embedding_parameters() + 100 * 32;
        assert_eq!(config.training_flops_per_token(16), (6 * matmul + 6 * 3 * 32 * 16) as f64);
    }
}
