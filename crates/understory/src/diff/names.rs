//! Which tensor of one format is which of another.

use crate::inspect::Tensor;
use std::collections::BTreeMap;

/// A tensor under the name that all formats share here.
pub struct Aligned<'a> {
    pub tensor: &'a Tensor,
    /// Rows lie as llama.cpp wants them for this many heads: neighbours are rotated, not halves.
    pub paired_heads: Option<usize>,
    /// What must be added to the values to get those of the other format.
    pub offset: f32,
}

/// Heads and the family of a model, where its description is known.
pub struct Facts {
    pub family: String,
    pub heads: usize,
    pub kv_heads: usize,
    /// Whether the names are GGUF's.
    pub is_gguf: bool,
}

/// All tensors by their shared names: Hugging Face's for a Llama-like model. Names of neither
/// format stay as they are.
pub fn align<'a>(tensors: &'a [Tensor], facts: &Facts) -> BTreeMap<String, Aligned<'a>> {
    let four_norms = tensors.iter().any(|tensor| tensor.name.contains(".post_ffw_norm."));
    let one = |tensor: &'a Tensor| {
        let name =
            if facts.is_gguf { shared_name(&tensor.name, four_norms) } else { plain(&tensor.name) };
        let llama = facts.is_gguf && facts.family == "llama";
        let paired_heads = match () {
            () if llama && name.contains(".q_proj.") => Some(facts.heads),
            () if llama && name.contains(".k_proj.") => Some(facts.kv_heads),
            () => None,
        };
        // Gemma's norms are stored as they are multiplied by llama.cpp, less one by transformers.
        let less_one = !facts.is_gguf && facts.family.starts_with("gemma") && name.contains("norm");
        let offset = if less_one { 1.0 } else { 0.0 };
        (name, Aligned { tensor, paired_heads, offset })
    };
    tensors.iter().map(one).collect()
}

/// The layer of a shared name; what comes before and after the layers stands for itself.
pub fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("model.layers.")?.split('.').next()?.parse().ok()
}

fn plain(name: &str) -> String {
    name.strip_prefix("language_model.").unwrap_or(name).to_owned()
}

fn shared_name(name: &str, four_norms: bool) -> String {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let top = match stem {
        "token_embd" => Some("model.embed_tokens"),
        "output_norm" => Some("model.norm"),
        "output" => Some("lm_head"),
        _ => None,
    };
    if let Some(top) = top {
        return format!("{top}.{end}");
    }
    let Some((number, part)) = stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.'))
    else {
        return name.to_owned();
    };
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "post_attention_norm" => "post_attention_layernorm",
        "ffn_norm" if four_norms => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "post_ffw_norm" => "post_feedforward_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return name.to_owned(),
    };
    format!("model.layers.{number}.{part}.{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_share_names() {
        assert_eq!(
            shared_name("blk.7.attn_q.weight", false),
            "model.layers.7.self_attn.q_proj.weight"
        );
        assert_eq!(
            shared_name("blk.7.ffn_norm.weight", true),
            "model.layers.7.pre_feedforward_layernorm.weight"
        );
        assert_eq!(shared_name("output.weight", false), "lm_head.weight");
        assert_eq!(shared_name("rope_freqs.weight", false), "rope_freqs.weight");
        assert_eq!(layer("model.layers.12.mlp.up_proj.weight"), Some(12));
        assert_eq!(layer("model.norm.weight"), None);
    }
}
