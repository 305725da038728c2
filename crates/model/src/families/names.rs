//! What the tensors of a decoder are called, and in which order their rows lie.

use crate::decoder::{Block, Decoder, Kind, Part};

/// Where the rows of a part lie in its tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowMap {
    /// First row.
    pub start: usize,
    /// `take` rows lie together, then others follow until `period` rows later.
    pub take: usize,
    pub period: usize,
    /// Width of heads whose rows lie in pairs (0, d/2), (1, d/2 + 1), …; 0 for none.
    pub paired: usize,
    /// Rows of the whole tensor.
    pub total: usize,
}

impl RowMap {
    /// All rows of a tensor of `rows`, in order.
    pub fn whole(rows: usize) -> RowMap {
        RowMap { start: 0, take: usize::MAX, period: 0, paired: 0, total: rows }
    }

    /// The row of the tensor that is row `row` of the part.
    pub fn source(&self, row: usize) -> usize {
        let row = match self.paired {
            0 => row,
            width => {
                let (head, i, half) = (row / width, row % width, width / 2);
                head * width + i % half * 2 + i / half
            }
        };
        self.start + row / self.take * self.period + row % self.take
    }
}

/// How a file names tensors and lays out their rows.
#[derive(Debug, Clone)]
pub(crate) enum Style {
    /// `blk.0.attn_q.weight`.
    Gguf {
        /// Query and key rows lie in pairs.
        paired: bool,
        /// The norm before attention is the second one (Falcon 40B).
        second_norm_first: bool,
    },
    /// `model.layers.0.self_attn.q_proj.weight`.
    Llama {
        prefix: String,
        head: String,
        /// Norm weights are stored less one (Gemma).
        shifted_norms: bool,
    },
    /// `transformer.h.0.self_attention.query_key_value.weight`.
    Falcon { prefix: String, layout: FalconLayout },
}

/// How Falcon's fused queries, keys and values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FalconLayout {
    /// All queries, then one key, one value head; or groups of them.
    Groups,
    /// Query, key, value of each head.
    EachHead,
}

/// A tensor's name without `.weight` or `.bias`, and where the part's rows lie in it.
pub(crate) struct Source {
    pub name: String,
    pub rows: RowMap,
}

impl Style {
    /// Where `part` of layer `layer` (of no matter for parts outside the blocks) lies. `fused` says
    /// whether queries, keys and values are one tensor, where that is not always so.
    pub fn source(&self, d: &Decoder, part: Part, layer: usize, fused: bool) -> Source {
        let name = match self {
            Style::Gguf { second_norm_first, .. } => {
                gguf_name(part, layer, *second_norm_first, fused)
            }
            Style::Llama { prefix, head, .. } => {
                llama_name(d.post_norms, part, layer, prefix, head)
            }
            Style::Falcon { prefix, .. } => falcon_name(d, part, layer, prefix),
        };
        Source { name, rows: self.rows(d, part, fused) }
    }

    /// What is added to a stored value before it is computed with.
    pub fn norm_shift(&self, part: Part, kind: Kind) -> Option<f32> {
        let shifted = matches!(self, Style::Llama { shifted_norms: true, .. });
        (shifted && part.is_norm() && kind == Kind::Weight).then_some(1.0)
    }

    fn rows(&self, d: &Decoder, part: Part, fused: bool) -> RowMap {
        let whole = RowMap::whole(d.rows(part));
        let (q, kv, total) = (d.q_dim(), d.kv_dim(), d.q_dim() + 2 * d.kv_dim());
        let (start, is_qkv) = match part {
            Part::Query => (0, true),
            Part::Key => (q, true),
            Part::Value => (q + kv, true),
            _ => (0, false),
        };
        match self {
            Style::Gguf { paired, .. } if is_qkv => {
                let paired = if *paired && part != Part::Value { d.head_dim } else { 0 };
                let base = if fused { RowMap { start, total, ..whole } } else { whole };
                RowMap { paired, ..base }
            }
            Style::Falcon { layout, .. } if is_qkv => {
                let (group, keys) = match layout {
                    FalconLayout::Groups => (d.heads / d.kv_heads, d.kv_heads),
                    FalconLayout::EachHead => (1, d.heads),
                };
                let (first, heads) = match part {
                    Part::Query => (0, group),
                    Part::Key => (group, 1),
                    _ => (group + 1, 1),
                };
                let h = d.head_dim;
                let period = (group + 2) * h;
                RowMap {
                    start: first * h,
                    take: heads * h,
                    period,
                    paired: 0,
                    total: keys * period,
                }
            }
            _ => whole,
        }
    }
}

fn gguf_name(part: Part, layer: usize, second_norm_first: bool, fused: bool) -> String {
    let short = match part {
        Part::Embedding => return "token_embd".to_owned(),
        Part::Head => return "output".to_owned(),
        Part::FinalNorm => return "output_norm".to_owned(),
        Part::Query | Part::Key | Part::Value if fused => "attn_qkv",
        Part::AttentionNorm if second_norm_first => "attn_norm_2",
        Part::FfnNorm if second_norm_first => "attn_norm",
        Part::AttentionNorm => "attn_norm",
        Part::FfnNorm => "ffn_norm",
        Part::Query => "attn_q",
        Part::Key => "attn_k",
        Part::Value => "attn_v",
        Part::QueryNorm => "attn_q_norm",
        Part::KeyNorm => "attn_k_norm",
        Part::Output => "attn_output",
        Part::AfterAttention => "post_attention_norm",
        Part::Gate => "ffn_gate",
        Part::Up => "ffn_up",
        Part::Down => "ffn_down",
        Part::AfterFfn => "post_ffw_norm",
    };
    format!("blk.{layer}.{short}")
}

/// The name that Hugging Face has for a part of Llama, also for the parts that only others have.
pub(crate) fn llama_name(
    post_norms: bool,
    part: Part,
    layer: usize,
    prefix: &str,
    head: &str,
) -> String {
    let short = match part {
        Part::Embedding => return format!("{prefix}embed_tokens"),
        Part::Head => return head.to_owned(),
        Part::FinalNorm => return format!("{prefix}norm"),
        Part::AttentionNorm => "input_layernorm",
        Part::FfnNorm if post_norms => "pre_feedforward_layernorm",
        Part::FfnNorm | Part::AfterAttention => "post_attention_layernorm",
        Part::AfterFfn => "post_feedforward_layernorm",
        Part::Query => "self_attn.q_proj",
        Part::Key => "self_attn.k_proj",
        Part::Value => "self_attn.v_proj",
        Part::QueryNorm => "self_attn.q_norm",
        Part::KeyNorm => "self_attn.k_norm",
        Part::Output => "self_attn.o_proj",
        Part::Gate => "mlp.gate_proj",
        Part::Up => "mlp.up_proj",
        Part::Down => "mlp.down_proj",
    };
    format!("{prefix}layers.{layer}.{short}")
}

/// What a tensor of a GGUF would be called in a Hugging Face folder of Llama, by the form of its name:
/// for families that are not known.
pub(super) fn llama_like(name: &str, post_norms: bool) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    let layer = stem.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse().ok());
    let layer = layer.unwrap_or(0);
    let part = Part::all().find(|&part| gguf_name(part, layer, false, false) == stem)?;
    Some(format!("{}.{kind}", llama_name(post_norms, part, layer, "model.", "lm_head")))
}

fn falcon_name(d: &Decoder, part: Part, layer: usize, prefix: &str) -> String {
    let two = d.block == Block::ParallelTwoNorms;
    let short = match part {
        Part::Embedding => return format!("{prefix}word_embeddings"),
        Part::Head => return "lm_head".to_owned(),
        Part::FinalNorm => return format!("{prefix}ln_f"),
        Part::AttentionNorm if two => "ln_attn",
        Part::FfnNorm if two => "ln_mlp",
        Part::AttentionNorm => "input_layernorm",
        Part::FfnNorm => "post_attention_layernorm",
        Part::Query | Part::Key | Part::Value => "self_attention.query_key_value",
        Part::Output => "self_attention.dense",
        Part::Up => "mlp.dense_h_to_4h",
        Part::Down => "mlp.dense_4h_to_h",
        // No Falcon has these; whoever makes one up gets Llama's names.
        Part::QueryNorm | Part::KeyNorm | Part::Gate | Part::AfterAttention | Part::AfterFfn => {
            return llama_name(d.post_norms, part, layer, prefix, "lm_head");
        }
    };
    format!("{prefix}h.{layer}.{short}")
}

/// GGUF's names.
#[cfg(test)]
pub(super) fn gguf_style(paired: bool, second_norm_first: bool) -> Style {
    Style::Gguf { paired, second_norm_first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_where_they_lie() {
        let whole = RowMap::whole(9);
        assert_eq!([0, 3, 8].map(|row| whole.source(row)), [0, 3, 8]);
        // Heads of 4 in pairs: halves (0, 1 | 2, 3) lie as 0, 2, 1, 3.
        let paired = RowMap { paired: 4, ..RowMap::whole(8) };
        let sources: Vec<usize> = (0..8).map(|row| paired.source(row)).collect();
        assert_eq!(sources, [0, 2, 1, 3, 4, 6, 5, 7]);
        // Two groups of two queries, a key and a value, heads of 2: the keys.
        let keys = RowMap { start: 4, take: 2, period: 8, paired: 0, total: 16 };
        assert_eq!([0, 1, 2, 3].map(|row| keys.source(row)), [4, 5, 12, 13]);
    }
}
