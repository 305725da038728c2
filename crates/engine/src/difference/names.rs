//! Which tensor of one format is which of another, and in which order its rows lie.

use std::collections::BTreeMap;

use model::Decoder;
use model::decoder::Family;
use model::weights::TensorInfo;

/// A tensor under the name that all formats share here.
pub(super) struct Aligned<'a> {
    pub tensor: &'a TensorInfo,
    /// Where its rows lie.
    pub order: Order,
    /// What must be added to the values to get those of the other format.
    pub offset: f32,
}

/// Where the rows of a tensor lie, beside the order that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// In that order.
    Same,
    /// In each head of so many rows neighbours are rotated, not halves: llama.cpp's order.
    Pairs { head: usize },
    /// In `groups` groups of `queries` query heads, a key and a value head of `head` rows each,
    /// which are to be all queries, all keys, all values: Falcon's order in Hugging Face folders.
    Groups { head: usize, queries: usize, groups: usize },
}

impl Order {
    /// The tensor's row that is row `row` in the order that is compared.
    pub fn source(self, row: usize) -> usize {
        match self {
            Order::Same => row,
            Order::Pairs { head } => {
                let (start, row) = (row / head * head, row % head);
                start + row % (head / 2) * 2 + row / (head / 2)
            }
            Order::Groups { head, queries, groups } => {
                let (place, within) = (row / head, row % head);
                let (group, slot) = match place.checked_sub(queries * groups) {
                    None => (place / queries, place % queries),
                    Some(key) if key < groups => (key, queries),
                    Some(value) => (value - groups, queries + 1),
                };
                (group * (queries + 2) + slot) * head + within
            }
        }
    }

    /// Whether a tensor of `rows` rows can lie so.
    fn fits(self, rows: usize) -> bool {
        match self {
            Order::Same => true,
            Order::Pairs { head } => {
                head > 0 && head.is_multiple_of(2) && rows.is_multiple_of(head)
            }
            Order::Groups { head, queries, groups } => {
                head > 0 && rows == head * groups * (queries + 2)
            }
        }
    }
}

/// All tensors by their shared names: Hugging Face's. Names of neither format stay as they are.
/// `decoder` is what the model computes, where that is known.
pub(super) fn align<'a>(
    tensors: &'a BTreeMap<String, TensorInfo>,
    decoder: Option<&Decoder>,
    is_gguf: bool,
) -> BTreeMap<String, Aligned<'a>> {
    let family = decoder.map(|decoder| decoder.family);
    let style = Style {
        falcon: family == Some(Family::Falcon),
        four_norms: tensors.keys().any(|name| name.contains(".post_ffw_norm.")),
        two_norms: tensors.keys().any(|name| name.contains(".attn_norm_2.")),
    };
    let one = |tensor: &'a TensorInfo| {
        let name = match is_gguf {
            true => shared_name(&tensor.name, &style),
            false => plain(&tensor.name, style.falcon),
        };
        let order = decoder.map_or(Order::Same, |decoder| order(&name, decoder, is_gguf));
        let rows = tensor.shape.first().copied().unwrap_or(0);
        let order = if order.fits(rows) { order } else { Order::Same };
        // Gemma's norms are stored as they are multiplied by llama.cpp, less one by transformers.
        let gemma = matches!(family, Some(Family::Gemma2 | Family::Gemma3));
        let less_one = !is_gguf && gemma && name.contains("norm");
        let offset = if less_one { 1.0 } else { 0.0 };
        (name, Aligned { tensor, order, offset })
    };
    tensors.values().map(one).collect()
}

/// The layer of a shared name; what comes before and after the layers stands for itself.
pub(super) fn layer(name: &str) -> Option<usize> {
    let rest =
        name.strip_prefix("model.layers.").or_else(|| name.strip_prefix("transformer.h."))?;
    rest.split('.').next()?.parse().ok()
}

fn order(name: &str, decoder: &Decoder, is_gguf: bool) -> Order {
    let head = decoder.head_dim;
    match decoder.family {
        Family::Llama | Family::Smollm3 if is_gguf => {
            let turned = name.contains(".q_proj.") || name.contains(".k_proj.");
            if turned { Order::Pairs { head } } else { Order::Same }
        }
        Family::Falcon if !is_gguf && name.contains(".query_key_value.") => {
            let groups = decoder.kv_heads;
            Order::Groups { head, queries: decoder.heads / groups, groups }
        }
        _ => Order::Same,
    }
}

/// What decides how a file's tensors are called.
#[derive(Default)]
struct Style {
    falcon: bool,
    /// Norms after attention and feed-forward layer too.
    four_norms: bool,
    /// Falcon's second norm before attention.
    two_norms: bool,
}

/// A name of a Hugging Face folder without what multimodal models put around it, and with what some
/// files of Falcon leave out.
fn plain(name: &str, falcon: bool) -> String {
    if falcon && (name.starts_with("h.") || name.starts_with("word_") || name.starts_with("ln_f")) {
        return format!("transformer.{name}");
    }
    match (name.strip_prefix("language_model."), name.strip_prefix("model.language_model.")) {
        (Some(rest), _) => rest.to_owned(),
        (_, Some(rest)) => format!("model.{rest}"),
        _ => name.to_owned(),
    }
}

fn shared_name(name: &str, style: &Style) -> String {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let top = match (stem, style.falcon) {
        ("token_embd", false) => Some("model.embed_tokens"),
        ("token_embd", true) => Some("transformer.word_embeddings"),
        ("output_norm", false) => Some("model.norm"),
        ("output_norm", true) => Some("transformer.ln_f"),
        ("output", _) => Some("lm_head"),
        _ => None,
    };
    if let Some(top) = top {
        return format!("{top}.{end}");
    }
    let layer = stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let named = layer.and_then(|(number, part)| match style.falcon {
        true => Some(("transformer.h", number, falcon_part(part, style)?)),
        false => Some(("model.layers", number, llama_part(part, style)?)),
    });
    match named {
        Some((layers, number, part)) => format!("{layers}.{number}.{part}.{end}"),
        None => name.to_owned(),
    }
}

fn llama_part(part: &str, style: &Style) -> Option<&'static str> {
    Some(match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "post_attention_norm" => "post_attention_layernorm",
        "ffn_norm" if style.four_norms => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "post_ffw_norm" => "post_feedforward_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    })
}

fn falcon_part(part: &str, style: &Style) -> Option<&'static str> {
    Some(match part {
        "attn_norm_2" => "ln_attn",
        "attn_norm" if style.two_norms => "ln_mlp",
        "attn_norm" => "input_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "attn_qkv" => "self_attention.query_key_value",
        "attn_output" => "self_attention.dense",
        "ffn_up" => "mlp.dense_h_to_4h",
        "ffn_down" => "mlp.dense_4h_to_h",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_share_names() {
        let (two, four) = (Style::default(), Style { four_norms: true, ..Style::default() });
        assert_eq!(
            shared_name("blk.7.attn_q.weight", &two),
            "model.layers.7.self_attn.q_proj.weight"
        );
        assert_eq!(
            shared_name("blk.7.ffn_norm.weight", &four),
            "model.layers.7.pre_feedforward_layernorm.weight"
        );
        assert_eq!(shared_name("output.weight", &two), "lm_head.weight");
        assert_eq!(shared_name("rope_freqs.weight", &two), "rope_freqs.weight");
        let falcon = Style { falcon: true, two_norms: true, four_norms: false };
        assert_eq!(shared_name("blk.3.attn_norm.weight", &falcon), "transformer.h.3.ln_mlp.weight");
        assert_eq!(plain("h.3.ln_mlp.weight", true), "transformer.h.3.ln_mlp.weight");
        assert_eq!(plain("language_model.model.norm.weight", false), "model.norm.weight");
        assert_eq!(plain("model.language_model.norm.weight", false), "model.norm.weight");
        assert_eq!(layer("model.layers.12.mlp.up_proj.weight"), Some(12));
        assert_eq!(layer("transformer.h.3.ln_mlp.weight"), Some(3));
        assert_eq!(layer("model.norm.weight"), None);
    }

    #[test]
    fn rows_are_found_where_they_lie() {
        // Two heads of four rows: halves (0, 1 | 2, 3) lie as 0, 2, 1, 3.
        let pairs = Order::Pairs { head: 4 };
        assert_eq!([0, 1, 2, 3, 4, 5].map(|row| pairs.source(row)), [0, 2, 1, 3, 4, 6]);
        // Two groups of two queries, a key and a value of one row: q q k v, q q k v.
        let groups = Order::Groups { head: 1, queries: 2, groups: 2 };
        let sources: Vec<usize> = (0..8).map(|row| groups.source(row)).collect();
        assert_eq!(sources, [0, 1, 4, 5, 2, 6, 3, 7]);
        assert!(groups.fits(8) && !groups.fits(9) && !pairs.fits(6));
    }
}
