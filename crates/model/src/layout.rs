//! Where each named tensor lies in the flat parameter vector.

use std::ops::Range;

use crate::{Config, ConfigError};

/// One named tensor of a [`Layout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Hugging Face name, e.g. `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// `[out, in]` for matrices, `[width]` for norm weights; row-major.
    pub shape: Vec<usize>,
    /// Its elements in the parameter vector.
    pub range: Range<usize>,
    /// What it is for.
    pub role: Role,
}

/// What a tensor is for; decides its initial values and whether weight decay applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Token embedding table (and, when tied, the output head).
    Embedding,
    /// RMSNorm weight: starts at one, is never decayed.
    Norm,
    /// A projection inside a block that does not write to the residual stream.
    Projection,
    /// A projection whose output is added to the residual stream.
    Residual,
    /// The output head of an untied model.
    Head,
}

/// The order and place of all tensors of a model in one flat `f32` vector.
///
/// In each block `q_proj`, `k_proj`, `v_proj` are adjacent, and so are `gate_proj`, `up_proj`: each
/// group is one matrix for one fused product. Gradients and optimizer state use the same layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    tensors: Vec<Tensor>,
    blocks: Vec<Block>,
    len: usize,
}

/// Ranges of one block's tensors in the parameter vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Norm weight before attention, `[C]`.
    pub attn_norm: Range<usize>,
    /// Fused query, key and value projection, `[Q + 2·KV, C]`.
    pub qkv: Range<usize>,
    /// Output projection of attention, `[C, Q]`.
    pub o: Range<usize>,
    /// Norm weight before the feed-forward layer, `[C]`.
    pub ffn_norm: Range<usize>,
    /// Fused gate and up projection, `[2·F, C]`.
    pub gate_up: Range<usize>,
    /// Down projection, `[C, F]`.
    pub down: Range<usize>,
}

impl Layout {
    /// The layout of a model of this shape; validates the config.
    pub fn new(config: &Config) -> Result<Layout, ConfigError> {
        config.validate()?;
        let mut layout = Layout { tensors: Vec::new(), blocks: Vec::new(), len: 0 };
        layout.push("model.embed_tokens.weight", &[config.vocab, config.dim], Role::Embedding);
        for layer in 0..config.layers {
            layout.push_block(config, layer);
        }
        layout.push("model.norm.weight", &[config.dim], Role::Norm);
        if !config.tied {
            layout.push("lm_head.weight", &[config.vocab, config.dim], Role::Head);
        }
        Ok(layout)
    }

    /// Number of parameters.
    #[expect(clippy::len_without_is_empty, reason = "a layout is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// All tensors in the order in which they lie.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Ranges of the blocks' tensors, fused as the products use them.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Range of the embedding table, `[V, C]`.
    pub fn embedding(&self) -> Range<usize> {
        self.tensors[0].range.clone()
    }

    /// Range of the last norm's weight, `[C]`.
    pub fn final_norm(&self) -> Range<usize> {
        let last = self.tensors.iter().rfind(|tensor| tensor.role == Role::Norm);
        last.expect("every layout ends with a norm").range.clone()
    }

    /// Range of the output head, `[V, C]`: the embedding table if it is tied.
    pub fn head(&self) -> Range<usize> {
        let last = self.tensors.last().expect("every layout has tensors");
        if last.role == Role::Head { last.range.clone() } else { self.embedding() }
    }

    /// Neighbouring tensors that weight decay treats alike, merged: (range, decayed).
    pub fn decay_runs(&self) -> Vec<(Range<usize>, bool)> {
        let mut runs: Vec<(Range<usize>, bool)> = Vec::new();
        for tensor in &self.tensors {
            let decayed = tensor.role != Role::Norm;
            match runs.last_mut() {
                Some((range, same)) if *same == decayed => range.end = tensor.range.end,
                _ => runs.push((tensor.range.clone(), decayed)),
            }
        }
        runs
    }

    fn push_block(&mut self, config: &Config, layer: usize) {
        let (c, q, kv, f) = (config.dim, config.q_dim(), config.kv_dim(), config.ffn);
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let attn_norm = self.push(&name("input_layernorm"), &[c], Role::Norm);
        let first = self.push(&name("self_attn.q_proj"), &[q, c], Role::Projection);
        self.push(&name("self_attn.k_proj"), &[kv, c], Role::Projection);
        let last = self.push(&name("self_attn.v_proj"), &[kv, c], Role::Projection);
        let qkv = first.start..last.end;
        let o = self.push(&name("self_attn.o_proj"), &[c, q], Role::Residual);
        let ffn_norm = self.push(&name("post_attention_layernorm"), &[c], Role::Norm);
        let first = self.push(&name("mlp.gate_proj"), &[f, c], Role::Projection);
        let last = self.push(&name("mlp.up_proj"), &[f, c], Role::Projection);
        let gate_up = first.start..last.end;
        let down = self.push(&name("mlp.down_proj"), &[c, f], Role::Residual);
        self.blocks.push(Block { attn_norm, qkv, o, ffn_norm, gate_up, down });
    }

    fn push(&mut self, name: &str, shape: &[usize], role: Role) -> Range<usize> {
        let range = self.len..self.len + shape.iter().product::<usize>();
        self.len = range.end;
        let tensor = Tensor { name: name.to_owned(), shape: shape.to_vec(), range, role };
        self.tensors.push(tensor);
        self.tensors[self.tensors.len() - 1].range.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_cover_the_vector_without_gaps() {
        for tied in [true, false] {
            let layout = Layout::new(&Config { tied, ..Config::tiny(50) }).expect("valid");
            let mut at = 0;
            for tensor in layout.tensors() {
                assert_eq!(tensor.range.start, at, "{}", tensor.name);
                assert_eq!(tensor.range.len(), tensor.shape.iter().product::<usize>());
                at = tensor.range.end;
            }
            assert_eq!(at, layout.len());
            assert_eq!(layout.head() == layout.embedding(), tied);
        }
    }

    #[test]
    fn fused_ranges_span_their_parts() {
        let config = Config::tiny(50);
        let layout = Layout::new(&config).expect("valid");
        let block = &layout.blocks()[1];
        assert_eq!(block.qkv.len(), config.qkv_dim() * config.dim);
        assert_eq!(block.gate_up.len(), 2 * config.ffn * config.dim);
        let up = layout.tensor("model.layers.1.mlp.up_proj.weight").expect("present");
        assert_eq!(up.range.end, block.gate_up.end);
    }

    #[test]
    fn only_norms_escape_decay() {
        let layout = Layout::new(&Config::tiny(50)).expect("valid");
        let spared: usize =
            layout.decay_runs().iter().filter(|(_, decayed)| !decayed).map(|(r, _)| r.len()).sum();
        assert_eq!(spared, 5 * 32);
        let covered: usize = layout.decay_runs().iter().map(|(r, _)| r.len()).sum();
        assert_eq!(covered, layout.len());
    }
}
