//! The families of models, and what a new model of each looks like.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Activation, Biases, Block, Decoder, Layer, NormKind, Rotary};

/// A family of models: what is the same in all of its members follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama 1 to 3, Falcon 3, SmolLM 1 and 2.
    #[default]
    Llama,
    /// Mistral.
    Mistral,
    /// Falcon 7B, 11B, 40B, 180B and RW.
    Falcon,
    /// SmolLM 3.
    Smollm3,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text.
    Gemma3,
}

impl Family {
    /// All families.
    pub const ALL: [Family; 8] = [
        Family::Llama,
        Family::Mistral,
        Family::Falcon,
        Family::Smollm3,
        Family::Qwen2,
        Family::Qwen3,
        Family::Gemma2,
        Family::Gemma3,
    ];

    /// The family's name, as `model_type` and GGUF's `general.architecture` spell it; GGUF has
    /// `llama` for Mistral.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Mistral => "mistral",
            Family::Falcon => "falcon",
            Family::Smollm3 => "smollm3",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
            Family::Gemma2 => "gemma2",
            Family::Gemma3 => "gemma3",
        }
    }

    /// Whether it is one of Google's, which share several habits.
    pub(crate) fn is_gemma(self) -> bool {
        matches!(self, Family::Gemma2 | Family::Gemma3)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no family's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not supported; these are: {names}", names = names())]
pub struct UnknownFamily(pub String);

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(name: &str) -> Result<Family, UnknownFamily> {
        let found = Family::ALL.into_iter().find(|family| family.as_str() == name);
        found.ok_or_else(|| UnknownFamily(name.chars().take(64).collect()))
    }
}

fn names() -> String {
    Family::ALL.map(Family::as_str).join(", ")
}

/// The numbers that a person chooses for a new model; the rest follows from the family.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    /// Number of token ids.
    pub vocab: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Number of layers.
    pub layers: usize,
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
    /// Added to the mean square (or variance) before the root.
    pub norm_eps: f32,
    /// Base of the rotary angles.
    pub rope_theta: f32,
}

impl Sizes {
    /// The smallest useful model (two layers of width 32, grouped heads), for examples and tests.
    pub fn tiny(vocab: usize) -> Sizes {
        Sizes {
            vocab,
            dim: 32,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 8,
            ffn: 48,
            context: 64,
            tied: true,
            norm_eps: 1e-5,
            rope_theta: 10_000.0,
        }
    }

    /// A model of a family with these sizes. Check it with [`Decoder::validate`].
    ///
    /// Where a family's members differ: Falcon's blocks are those of 7B with one key and value
    /// head and those of 40B with more; Gemma's windows are half of the context.
    pub fn decoder(&self, family: Family) -> Decoder {
        let Sizes { vocab, dim, heads, kv_heads, head_dim, ffn, context, tied, .. } = *self;
        let (norm_eps, theta) = (self.norm_eps, self.rope_theta);
        let layers = self.layers.min(MAX_LAYERS + 1); // so that no number asks for endless memory
        let llama = Decoder {
            family,
            vocab,
            dim,
            heads,
            kv_heads,
            head_dim,
            ffn,
            context,
            tied,
            norm: NormKind::Rms,
            norm_eps,
            block: Block::Sequential,
            post_norms: false,
            qk_norms: false,
            biases: Biases::default(),
            activation: Activation::Silu,
            gated: true,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            attention_cap: None,
            alibi: false,
            embedding_scale: 1.0,
            final_cap: None,
            rotaries: vec![Rotary::plain(head_dim, theta)],
            layers: vec![Layer { window: None, rotary: Some(0) }; layers],
        };
        let window = Some((context / 2).max(1));
        let gemma = |family: &dyn Fn(usize) -> Layer| Decoder {
            post_norms: true,
            activation: Activation::GeluTanh,
            embedding_scale: (dim as f32).sqrt(),
            layers: (0..layers).map(family).collect(),
            ..llama.clone()
        };
        match family {
            Family::Llama | Family::Mistral => llama,
            Family::Falcon => Decoder {
                norm: NormKind::Layer,
                block: if kv_heads == 1 { Block::Parallel } else { Block::ParallelTwoNorms },
                activation: Activation::GeluErf,
                gated: false,
                ..llama
            },
            Family::Smollm3 => {
                let rotary = |i: usize| (!(i + 1).is_multiple_of(4)).then_some(0);
                let layers = (0..layers).map(|i| Layer { window: None, rotary: rotary(i) });
                Decoder { layers: layers.collect(), ..llama }
            }
            Family::Qwen2 => Decoder { biases: Biases { qkv: true, ..llama.biases }, ..llama },
            Family::Qwen3 => Decoder { qk_norms: true, ..llama },
            Family::Gemma2 => Decoder {
                attention_cap: Some(50.0),
                final_cap: Some(30.0),
                ..gemma(&|i| Layer { window: window.filter(|_| i % 2 == 0), rotary: Some(0) })
            },
            Family::Gemma3 => Decoder {
                qk_norms: true,
                rotaries: vec![Rotary::plain(head_dim, theta), Rotary::plain(head_dim, 1e4)],
                ..gemma(&|i| match (i + 1).is_multiple_of(6) {
                    true => Layer { window: None, rotary: Some(0) },
                    false => Layer { window, rotary: Some(1) },
                })
            },
        }
    }
}

impl Decoder {
    /// The smallest useful Llama, see [`Sizes::tiny`].
    pub fn tiny(vocab: usize) -> Decoder {
        Sizes::tiny(vocab).decoder(Family::Llama)
    }
}

/// Most layers of a model.
pub(super) const MAX_LAYERS: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_model_of_every_family_is_valid() {
        for family in Family::ALL {
            let decoder = Sizes::tiny(100).decoder(family);
            assert_eq!(decoder.validate(), Ok(()), "{family}");
            assert_eq!(family.as_str().parse(), Ok(family));
        }
        assert!("mamba".parse::<Family>().expect_err("none").to_string().contains("gemma3"));
    }
}
