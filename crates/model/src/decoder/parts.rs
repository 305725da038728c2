//! The tensors of a decoder: which there are, in which order and of which shape.

use super::{Block, Decoder, NormKind};

/// A part of a decoder that has a weight, and maybe a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Token embedding table.
    Embedding,
    /// Output head, where it is not the embedding table.
    Head,
    /// The norm before the head.
    FinalNorm,
    /// Before attention; in a parallel block with one norm before both.
    AttentionNorm,
    /// Before the feed-forward layer.
    FfnNorm,
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Norm of each query head.
    QueryNorm,
    /// Norm of each key head.
    KeyNorm,
    /// Output projection of attention.
    Output,
    /// Norm of attention's output.
    AfterAttention,
    /// The projection that the feed-forward layer's function is applied to, where there are two.
    Gate,
    /// The first projection of the feed-forward layer.
    Up,
    /// Its last.
    Down,
    /// Norm of the feed-forward layer's output.
    AfterFfn,
}

/// The two tensors that a part may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `NAME.weight`.
    Weight,
    /// `NAME.bias`.
    Bias,
}

impl Kind {
    /// What stands after the point in a tensor's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Kind::Weight => "weight",
            Kind::Bias => "bias",
        }
    }
}

impl Part {
    /// Every part that a model may have.
    pub(crate) fn all() -> impl Iterator<Item = Part> {
        let outside = [Part::Embedding, Part::FinalNorm, Part::Head];
        outside.into_iter().chain(BLOCK.into_iter().flatten().copied())
    }

    /// Whether it is a norm.
    pub fn is_norm(self) -> bool {
        matches!(
            self,
            Part::FinalNorm
                | Part::AttentionNorm
                | Part::FfnNorm
                | Part::QueryNorm
                | Part::KeyNorm
                | Part::AfterAttention
                | Part::AfterFfn
        )
    }
}

impl Decoder {
    /// All tensors of the model in the order of [`crate::Layout`]: part, layer (0 outside of the
    /// blocks) and kind. Weights that are multiplied with the same input lie together, and so do
    /// their biases.
    pub fn tensors(&self) -> Vec<(Part, usize, Kind)> {
        let mut tensors = vec![(Part::Embedding, 0, Kind::Weight)];
        let mut push = |parts: &[Part], layer: usize| {
            let parts = parts.iter().filter(|&&part| self.has(part));
            tensors.extend(parts.clone().map(|&part| (part, layer, Kind::Weight)));
            let biased = parts.filter(|&&part| self.has_bias(part));
            tensors.extend(biased.map(|&part| (part, layer, Kind::Bias)));
        };
        for layer in 0..self.layers.len() {
            for group in BLOCK {
                push(group, layer);
            }
        }
        push(&[Part::FinalNorm], 0);
        push(&[Part::Head], 0);
        tensors
    }

    /// Whether the model has this part.
    pub fn has(&self, part: Part) -> bool {
        match part {
            Part::Head => !self.tied,
            Part::FfnNorm => self.block != Block::Parallel,
            Part::QueryNorm | Part::KeyNorm => self.qk_norms,
            Part::AfterAttention | Part::AfterFfn => self.post_norms,
            Part::Gate => self.gated,
            _ => true,
        }
    }

    /// Whether this part has a bias.
    pub fn has_bias(&self, part: Part) -> bool {
        match part {
            Part::Query | Part::Key | Part::Value => self.biases.qkv,
            Part::Output => self.biases.output,
            Part::Gate | Part::Up | Part::Down => self.biases.ffn,
            Part::FinalNorm | Part::AttentionNorm | Part::FfnNorm => self.norm == NormKind::Layer,
            _ => false,
        }
    }

    /// Rows of a part's weight, which is also the length of its bias; for a norm its length.
    pub fn rows(&self, part: Part) -> usize {
        match part {
            Part::Embedding | Part::Head => self.vocab,
            Part::Query => self.q_dim(),
            Part::Key | Part::Value => self.kv_dim(),
            Part::QueryNorm | Part::KeyNorm => self.head_dim,
            Part::Gate | Part::Up => self.ffn,
            _ => self.dim,
        }
    }

    /// Columns of a part's weight: its input; 1 for a norm.
    pub fn columns(&self, part: Part) -> usize {
        match part {
            Part::Output => self.q_dim(),
            Part::Down => self.ffn,
            part if part.is_norm() => 1,
            _ => self.dim,
        }
    }

    /// Shape of a part's weight or bias, outermost first.
    pub fn shape(&self, part: Part, kind: Kind) -> Vec<usize> {
        match kind {
            Kind::Weight if !part.is_norm() => vec![self.rows(part), self.columns(part)],
            _ => vec![self.rows(part)],
        }
    }
}

/// The parts of a block, in groups that lie together.
const BLOCK: [&[Part]; 9] = [
    &[Part::AttentionNorm],
    &[Part::Query, Part::Key, Part::Value],
    &[Part::QueryNorm, Part::KeyNorm],
    &[Part::Output],
    &[Part::AfterAttention],
    &[Part::FfnNorm],
    &[Part::Gate, Part::Up],
    &[Part::Down],
    &[Part::AfterFfn],
];
