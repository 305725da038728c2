//! Where each named tensor lies in the flat parameter vector.

use std::ops::Range;

use crate::decoder::{Kind, MAX_TRAINED, Part};
use crate::families::names::llama_name;
use crate::{Decoder, DecoderError};

/// One named tensor of a [`Layout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name as Hugging Face has it for Llama, whatever the family: for example
    /// `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// `[out, in]` for matrices, `[width]` for norms and biases; row-major.
    pub shape: Vec<usize>,
    /// Its elements in the parameter vector.
    pub range: Range<usize>,
    /// What it belongs to.
    pub part: Part,
    /// The layer; 0 outside of the blocks.
    pub layer: usize,
    /// Which of the part's two tensors it is.
    pub kind: Kind,
}

impl Tensor {
    /// What it is for.
    pub fn role(&self) -> Role {
        match (self.part, self.kind) {
            (_, Kind::Bias) => Role::Bias,
            (part, _) if part.is_norm() => Role::Norm,
            (Part::Embedding, _) => Role::Embedding,
            (Part::Head, _) => Role::Head,
            (Part::Output | Part::Down, _) => Role::Residual,
            _ => Role::Projection,
        }
    }
}

/// What a tensor is for; decides its initial values and whether weight decay applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Token embedding table (and, when tied, the output head).
    Embedding,
    /// A norm's weight: starts at one, is never decayed.
    Norm,
    /// A bias: starts at zero, is never decayed.
    Bias,
    /// A projection inside a block that does not write to the residual stream.
    Projection,
    /// A projection whose output is added to the residual stream.
    Residual,
    /// The output head of an untied model.
    Head,
}

/// The order and place of all tensors of a model in one flat `f32` vector, as
/// [`Decoder::tensors`] lists them.
///
/// In each block the projections of queries, keys and values are adjacent, and so are gate and up:
/// each group is one matrix for one fused product. Gradients and optimizer state use the same
/// layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    tensors: Vec<Tensor>,
    blocks: Vec<Block>,
    final_norm: Norm,
    len: usize,
}

/// Places of one block's tensors in the parameter vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Before attention; in a parallel block with one norm before both.
    pub attention_norm: Norm,
    /// Fused query, key and value projection, `[Q + 2·KV, C]`.
    pub qkv: Linear,
    /// Norms of query and key heads, `[D]`.
    pub head_norms: Option<[Range<usize>; 2]>,
    /// Output projection of attention, `[C, Q]`.
    pub output: Linear,
    /// Norm of attention's output.
    pub after_attention: Option<Norm>,
    /// Before the feed-forward layer, where it has a norm of its own.
    pub ffn_norm: Option<Norm>,
    /// Fused gate and up projection, `[2·F, C]`; without gate `[F, C]`.
    pub up: Linear,
    /// Down projection, `[C, F]`.
    pub down: Linear,
    /// Norm of the feed-forward layer's output.
    pub after_ffn: Option<Norm>,
}

/// Place of a norm, `[C]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Norm {
    /// Its weight.
    pub weight: Range<usize>,
    /// Its bias, where rows are normalised to a mean of 0.
    pub bias: Option<Range<usize>>,
}

/// Place of a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Its weight, `[rows, columns]`.
    pub weight: Range<usize>,
    /// Its bias, `[rows]`.
    pub bias: Option<Range<usize>>,
    /// Number of outputs.
    pub rows: usize,
    /// Number of inputs.
    pub columns: usize,
}

impl Layout {
    /// The layout of a model; validates it.
    ///
    /// Errors: also for more parameters than can be trained.
    pub fn new(decoder: &Decoder) -> Result<Layout, DecoderError> {
        decoder.validate()?;
        if decoder.parameters() > MAX_TRAINED {
            let count = u128::from(decoder.parameters());
            return Err(DecoderError::TooLarge { count, max: MAX_TRAINED });
        }
        let mut len = 0;
        let place = |(part, layer, kind)| {
            let shape = decoder.shape(part, kind);
            let range = len..len + shape.iter().product::<usize>();
            len = range.end;
            let name = llama_name(decoder.post_norms, part, layer, "model.", "lm_head");
            let name = format!("{name}.{}", kind.suffix());
            Tensor { name, shape, range, part, layer, kind }
        };
        let tensors: Vec<Tensor> = decoder.tensors().into_iter().map(place).collect();
        let all = Places { tensors: &tensors, decoder };
        let blocks = (0..decoder.layers.len()).map(|layer| all.block(layer)).collect();
        let final_norm = all.norm(Part::FinalNorm, 0).expect("every decoder has a final norm");
        Ok(Layout { blocks, final_norm, len, tensors })
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

    /// Places of the blocks' tensors, fused as the products use them.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Range of the embedding table, `[V, C]`.
    pub fn embedding(&self) -> Range<usize> {
        self.tensors[0].range.clone()
    }

    /// Place of the last norm, `[C]`.
    pub fn final_norm(&self) -> &Norm {
        &self.final_norm
    }

    /// Range of the output head, `[V, C]`: the embedding table if it is tied.
    pub fn head(&self) -> Range<usize> {
        let last = self.tensors.last().expect("every layout has tensors");
        if last.part == Part::Head { last.range.clone() } else { self.embedding() }
    }

    /// The output head as a projection, `[V, C]`.
    pub fn head_linear(&self) -> Linear {
        let columns = self.final_norm.weight.len();
        let weight = self.head();
        Linear { rows: weight.len() / columns, columns, bias: None, weight }
    }

    /// Every projection, the head last.
    pub fn linears(&self) -> impl Iterator<Item = Linear> {
        let of_block = |b: &Block| [&b.qkv, &b.output, &b.up, &b.down].map(Linear::clone);
        self.blocks.iter().flat_map(of_block).chain([self.head_linear()])
    }

    /// Neighbouring tensors that weight decay treats alike, merged: (range, decayed).
    pub fn decay_runs(&self) -> Vec<(Range<usize>, bool)> {
        let mut runs: Vec<(Range<usize>, bool)> = Vec::new();
        for tensor in &self.tensors {
            let decayed = !matches!(tensor.role(), Role::Norm | Role::Bias);
            match runs.last_mut() {
                Some((range, same)) if *same == decayed => range.end = tensor.range.end,
                _ => runs.push((tensor.range.clone(), decayed)),
            }
        }
        runs
    }
}

/// Finds the tensors of a block.
struct Places<'a> {
    tensors: &'a [Tensor],
    decoder: &'a Decoder,
}

impl Places<'_> {
    fn block(&self, layer: usize) -> Block {
        let needed = "every decoder has this norm";
        let heads = [Part::QueryNorm, Part::KeyNorm].map(|part| self.norm(part, layer));
        let head_norms = match heads {
            [Some(query), Some(key)] => Some([query.weight, key.weight]),
            _ => None,
        };
        let up: &[Part] = if self.decoder.gated { &[Part::Gate, Part::Up] } else { &[Part::Up] };
        Block {
            attention_norm: self.norm(Part::AttentionNorm, layer).expect(needed),
            qkv: self.linear(&[Part::Query, Part::Key, Part::Value], layer),
            head_norms,
            output: self.linear(&[Part::Output], layer),
            after_attention: self.norm(Part::AfterAttention, layer),
            ffn_norm: self.norm(Part::FfnNorm, layer),
            up: self.linear(up, layer),
            down: self.linear(&[Part::Down], layer),
            after_ffn: self.norm(Part::AfterFfn, layer),
        }
    }

    fn norm(&self, part: Part, layer: usize) -> Option<Norm> {
        let weight = self.range(&[part], layer, Kind::Weight)?;
        Some(Norm { weight, bias: self.range(&[part], layer, Kind::Bias) })
    }

    fn linear(&self, parts: &[Part], layer: usize) -> Linear {
        let weight = self.range(parts, layer, Kind::Weight);
        Linear {
            weight: weight.expect("every decoder has these projections"),
            bias: self.range(parts, layer, Kind::Bias),
            rows: parts.iter().map(|&part| self.decoder.rows(part)).sum(),
            columns: self.decoder.columns(parts[0]),
        }
    }

    /// What these parts, which lie together, take.
    fn range(&self, parts: &[Part], layer: usize, kind: Kind) -> Option<Range<usize>> {
        let mine = |t: &&Tensor| t.layer == layer && t.kind == kind && parts.contains(&t.part);
        let mut ranges = self.tensors.iter().filter(mine).map(|tensor| tensor.range.clone());
        let first = ranges.next()?;
        Some(ranges.fold(first, |all, next| {
            assert_eq!(all.end, next.start, "parts of one product lie together");
            all.start..next.end
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::{Biases, Family, Sizes};

    fn shapes() -> impl Iterator<Item = Decoder> {
        let families = Family::ALL.into_iter();
        families.flat_map(|family| {
            [true, false].map(|tied| Sizes { tied, ..Sizes::tiny(50) }.decoder(family))
        })
    }

    #[test]
    fn tensors_cover_the_vector_without_gaps() {
        for decoder in shapes() {
            let layout = Layout::new(&decoder).expect("valid");
            let mut at = 0;
            for tensor in layout.tensors() {
                assert_eq!(tensor.range.start, at, "{}", tensor.name);
                assert_eq!(tensor.range.len(), tensor.shape.iter().product::<usize>());
                at = tensor.range.end;
            }
            assert_eq!(at, layout.len());
            assert_eq!(layout.head() == layout.embedding(), decoder.tied);
        }
    }

    #[test]
    fn fused_ranges_span_their_parts() {
        let biases = Biases { qkv: true, output: true, ffn: true };
        let decoder = Decoder { biases, ..Decoder::tiny(50) };
        let layout = Layout::new(&decoder).expect("valid");
        let block = &layout.blocks()[1];
        assert_eq!(block.qkv.weight.len(), decoder.qkv_dim() * decoder.dim);
        assert_eq!(block.qkv.bias.as_ref().map(|bias| bias.len()), Some(decoder.qkv_dim()));
        assert_eq!(block.up.weight.len(), 2 * decoder.ffn * decoder.dim);
        let up = layout.tensor("model.layers.1.mlp.up_proj.weight").expect("present");
        assert_eq!(up.range.end, block.up.weight.end);
    }

    #[test]
    fn only_norms_and_biases_escape_decay() {
        for decoder in shapes() {
            let layout = Layout::new(&decoder).expect("valid");
            let runs = layout.decay_runs();
            let spared: usize =
                runs.iter().filter(|(_, decayed)| !decayed).map(|(range, _)| range.len()).sum();
            let vectors = layout.tensors().iter().filter(|tensor| tensor.shape.len() == 1);
            assert_eq!(spared, vectors.map(|tensor| tensor.range.len()).sum::<usize>());
            assert_eq!(runs.iter().map(|(range, _)| range.len()).sum::<usize>(), layout.len());
        }
    }

    #[test]
    fn what_can_be_run_but_is_too_large_to_train_is_refused() {
        let sizes = Sizes { dim: 1 << 13, layers: 80, ffn: 1 << 15, ..Sizes::tiny(1 << 17) };
        let decoder = sizes.decoder(Family::Llama);
        assert_eq!(decoder.validate(), Ok(()));
        assert!(matches!(Layout::new(&decoder), Err(DecoderError::TooLarge { .. })));
    }
}
