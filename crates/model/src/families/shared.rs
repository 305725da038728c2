//! The tensors of one model in several formats: under one name, and with their rows in one order.

use std::collections::BTreeMap;

use super::names::{FalconLayout, RowMap, Source, Style, llama_like};
use super::style;
use crate::decoder::{Decoder, Family, Part};
use crate::weights::{Origin, TensorInfo, Weights};

/// A tensor under the name that all formats share: that of Hugging Face.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// The name. Those of no format stay as they are.
    pub name: String,
    /// Where its rows lie.
    pub rows: Rows,
    /// What must be added to its values to get those that are computed with.
    pub offset: f32,
}

/// Where the rows of a tensor lie, beside the order that formats share: queries, keys and values
/// one after the other, and so the halves of a head that are rotated. The default is that order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows(Vec<(RowMap, usize)>);

impl Rows {
    /// The tensor's row that is row `row` in the shared order.
    pub fn source(&self, mut row: usize) -> usize {
        for (map, rows) in &self.0 {
            if row < *rows {
                return map.source(row);
            }
            row -= rows;
        }
        row
    }
}

/// The tensors of a model by their own names. Of a family that is known they are named by what they
/// are; else, and where they are no part of what is computed, by how their names are built.
pub fn shared(weights: &Weights) -> BTreeMap<String, Shared> {
    let tensors = weights.tensors();
    let mut known = match style(weights) {
        Ok((decoder, style)) => known(&decoder, &style, tensors),
        Err(_) => BTreeMap::new(),
    };
    // Where four norms stand around the two parts of a block, one of them has another name.
    let four_norms = tensors.keys().any(|name| name.contains(".post_ffw_norm."));
    let is_gguf = matches!(weights.origin(), Origin::Gguf(_));
    let one = |name: &String| {
        let shared = known.remove(name).unwrap_or_else(|| {
            let by_form = if is_gguf { llama_like(name, four_norms) } else { plain(name) };
            let name = by_form.unwrap_or_else(|| name.clone());
            Shared { name, rows: Rows::default(), offset: 0.0 }
        });
        (name.clone(), shared)
    };
    tensors.keys().map(one).collect()
}

/// The tensors that are parts of what is computed.
fn known(
    decoder: &Decoder,
    style: &Style,
    tensors: &BTreeMap<String, TensorInfo>,
) -> BTreeMap<String, Shared> {
    let names = shared_style(decoder);
    let mut found: BTreeMap<String, Shared> = BTreeMap::new();
    for (part, layer, kind) in decoder.tensors() {
        let fused = tensors.contains_key(&format!("blk.{layer}.attn_qkv.weight"));
        let of = |part| style.source(decoder, part, layer, fused);
        let as_shared = |part| names.source(decoder, part, layer, false).name;
        let joins = |name: &dyn Fn(Part) -> String| name(Part::Query) == name(Part::Key);
        let is_qkv = matches!(part, Part::Query | Part::Key | Part::Value);
        if is_qkv && joins(&|part| of(part).name) != joins(&as_shared) {
            continue;
        }
        let Source { name, rows } = of(part);
        let Some(tensor) = tensors.get(&format!("{name}.{}", kind.suffix())) else { continue };
        let shared = found.entry(tensor.name.clone()).or_insert_with(|| Shared {
            name: format!("{}.{}", as_shared(part), kind.suffix()),
            rows: Rows::default(),
            offset: style.norm_shift(part, kind).unwrap_or(0.0),
        });
        // A tensor of another shape than it should have lies as it lies.
        if tensor.shape.first() == Some(&rows.total) {
            shared.rows.0.push((rows, decoder.rows(part)));
        }
    }
    for (name, shared) in &mut found {
        let count = tensors[name].shape.first().copied().unwrap_or(0);
        if is_in_order(&shared.rows, count) {
            shared.rows = Rows::default();
        }
    }
    found
}

fn is_in_order(rows: &Rows, count: usize) -> bool {
    (0..count).all(|row| rows.source(row) == row)
}

/// The names that formats share.
fn shared_style(decoder: &Decoder) -> Style {
    match decoder.family {
        Family::Falcon => {
            Style::Falcon { prefix: "transformer.".to_owned(), layout: FalconLayout::Groups }
        }
        _ => super::own(),
    }
}

/// A name of a Hugging Face folder without what multimodal models put around it.
fn plain(name: &str) -> Option<String> {
    let inside = || Some(format!("model.{}", name.strip_prefix("model.language_model.")?));
    name.strip_prefix("language_model.").map(str::to_owned).or_else(inside)
}

#[cfg(test)]
mod tests {
    use super::super::names::gguf_style;
    use super::*;
    use crate::decoder::{Block, Kind};
    use crate::element::ElementType;

    fn tensors(decoder: &Decoder, style: &Style, fused: bool) -> BTreeMap<String, TensorInfo> {
        let tensors = decoder.tensors().into_iter().map(|(part, layer, kind)| {
            let source = style.source(decoder, part, layer, fused);
            let name = format!("{}.{}", source.name, kind.suffix());
            let columns = (kind == Kind::Weight && !part.is_norm()).then(|| decoder.columns(part));
            let shape = [source.rows.total].into_iter().chain(columns).collect();
            let element = ElementType::of_name("F32").expect("known");
            (name.clone(), TensorInfo { name, shape, element, file: 0, offset: 0, bytes: 0 })
        });
        tensors.collect()
    }

    fn of(decoder: &Decoder, style: &Style, fused: bool) -> BTreeMap<String, Shared> {
        known(decoder, style, &tensors(decoder, style, fused))
    }

    #[test]
    fn formats_share_names_and_halves_of_heads_are_found_in_pairs() {
        let decoder = Decoder::tiny(100);
        let (hf, gguf) = (super::super::own(), gguf_style(true, false));
        let (hf, gguf) = (of(&decoder, &hf, false), of(&decoder, &gguf, false));
        let names = |all: &BTreeMap<String, Shared>| {
            let mut names: Vec<String> = all.values().map(|shared| shared.name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&hf), names(&gguf));
        assert!(hf.iter().all(|(name, shared)| *name == shared.name));
        let head = decoder.head_dim;
        for (name, shared) in &gguf {
            let turned = name.contains("attn_q.") || name.contains("attn_k.");
            assert_eq!(is_in_order(&shared.rows, 2 * head), !turned, "{name}");
        }
        // Halves (0, 1, … | d/2, …) lie as 0, d/2, 1, ….
        assert_eq!(gguf["blk.1.attn_q.weight"].rows.source(head / 2), 1);
        assert_eq!(gguf["blk.1.attn_q.weight"].name, "model.layers.1.self_attn.q_proj.weight");
    }

    #[test]
    fn falcons_groups_become_all_queries_all_keys_all_values() {
        let decoder = Decoder {
            family: Family::Falcon,
            heads: 4,
            kv_heads: 2,
            head_dim: 1,
            gated: false,
            block: Block::ParallelTwoNorms,
            ..Decoder::tiny(100)
        };
        let bare = Style::Falcon { prefix: String::new(), layout: FalconLayout::Groups };
        let (hf, gguf) = (of(&decoder, &bare, false), of(&decoder, &gguf_style(false, true), true));
        // Two groups of two queries, a key and a value of one row: q q k v, q q k v.
        let joined = &hf["h.0.self_attention.query_key_value.weight"];
        let sources: Vec<usize> = (0..8).map(|row| joined.rows.source(row)).collect();
        assert_eq!(sources, [0, 1, 4, 5, 2, 6, 3, 7]);
        let of_gguf = &gguf["blk.0.attn_qkv.weight"];
        assert!(is_in_order(&of_gguf.rows, 8));
        assert_eq!(joined.name, "transformer.h.0.self_attention.query_key_value.weight");
        assert_eq!(of_gguf.name, joined.name);
        assert_eq!(gguf["blk.0.attn_norm.weight"].name, "transformer.h.0.ln_mlp.weight");
        assert_eq!(gguf["blk.0.attn_norm_2.weight"].name, "transformer.h.0.ln_attn.weight");
        // What is trained here keeps the three apart.
        let own = of(&decoder, &super::super::own(), false);
        assert!(own.values().all(|shared| !shared.name.contains("query_key_value")));
    }

    #[test]
    fn norms_less_one_are_told_and_strange_shapes_lie_as_they_lie() {
        let decoder = Decoder::tiny(100);
        let less = Style::Llama {
            prefix: "model.language_model.".to_owned(),
            head: "lm_head".to_owned(),
            shifted_norms: true,
        };
        let all = of(&decoder, &less, false);
        let norm = &all["model.language_model.norm.weight"];
        assert_eq!((norm.name.as_str(), norm.offset), ("model.norm.weight", 1.0));
        assert_eq!(all["model.language_model.embed_tokens.weight"].offset, 0.0);
        let gguf = gguf_style(true, false);
        let mut tensors = tensors(&decoder, &gguf, false);
        tensors.get_mut("blk.0.attn_q.weight").expect("it is there").shape[0] += 1;
        let all = known(&decoder, &gguf, &tensors);
        assert!(is_in_order(&all["blk.0.attn_q.weight"].rows, 40));
    }

    #[test]
    fn names_of_unknown_families_are_taken_by_their_form() {
        let two = |name: &str| llama_like(name, false);
        let said = |name: &str| two(name).expect(name);
        assert_eq!(said("blk.7.attn_q.weight"), "model.layers.7.self_attn.q_proj.weight");
        assert_eq!(said("output.weight"), "lm_head.weight");
        assert_eq!(said("blk.3.ffn_norm.bias"), "model.layers.3.post_attention_layernorm.bias");
        let four = llama_like("blk.7.ffn_norm.weight", true).expect("known");
        assert_eq!(four, "model.layers.7.pre_feedforward_layernorm.weight");
        for name in ["rope_freqs.weight", "blk.x.attn_q.weight", "blk.1.ssm_in.weight", "output"] {
            assert_eq!(two(name), None, "{name}");
        }
        assert_eq!(plain("language_model.model.norm.weight").as_deref(), Some("model.norm.weight"));
        assert_eq!(plain("model.language_model.norm.weight").as_deref(), Some("model.norm.weight"));
        assert_eq!(plain("model.norm.weight"), None);
    }
}
