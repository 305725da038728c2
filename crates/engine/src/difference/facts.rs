//! What models say of themselves, and how it differs.

use std::collections::{BTreeMap, BTreeSet};

use model::Decoder;
use model::decoder::Scaling;

use crate::Opened;
use crate::metadata::{FACTS, find};

/// A name, the value in the first model and the value in the second.
pub type Differing = (String, Option<String>, Option<String>);

/// Everything that differs. In one format that is all metadata by their names. Formats share no
/// names: between them it is what the models compute, as read from either, and what
/// `understory inspect` knows under several names: licence, lineage.
pub(super) fn differing(
    a: (&Opened, Option<&Decoder>),
    b: (&Opened, Option<&Decoder>),
) -> Vec<Differing> {
    let pairs = |model: &Opened| model.metadata().into_iter().collect();
    if a.0.kind() == b.0.kind() {
        return between(&pairs(a.0), &pairs(b.0));
    }
    let (mut one, mut other) = (stated(a.0), stated(b.0));
    if let (Some(a), Some(b)) = (a.1, b.1) {
        one.extend(computed(a));
        other.extend(computed(b));
        if rewritten(a) || rewritten(b) {
            one.remove(SCALING);
            other.remove(SCALING);
        }
    }
    between(&one, &other)
}

fn between(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<Differing> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let both = names.into_iter().map(|name| (name.clone(), one.get(name), other.get(name)));
    let differ = both.filter(|(_, one, other)| one != other);
    differ.map(|(name, one, other)| (name, one.cloned(), other.cloned())).collect()
}

fn stated(model: &Opened) -> BTreeMap<String, String> {
    let metadata = model.metadata();
    let found = FACTS.iter().filter_map(|(name, keys)| Some((name, find(&metadata, keys)?)));
    found.map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()
}

/// The description in words. The family is left out: formats call the same one differently.
fn computed(d: &Decoder) -> BTreeMap<String, String> {
    let windows: Vec<String> = d
        .layers
        .iter()
        .map(|layer| match (layer.window, layer.rotary) {
            (Some(window), rotary) => {
                format!("{window}{}", if rotary.is_none() { "-" } else { "" })
            }
            (None, rotary) => if rotary.is_none() { "-" } else { "all" }.to_owned(),
        })
        .collect();
    let rotaries = d.rotaries.iter().map(|rotary| (rotary.dims, rotary.theta));
    let scalings: Vec<&Scaling> = d.rotaries.iter().map(|rotary| &rotary.scaling).collect();
    let facts = [
        ("ids", d.vocab.to_string()),
        ("layers", d.layers.len().to_string()),
        ("width", d.dim.to_string()),
        ("heads", format!("{}, {} for keys and values, of {}", d.heads, d.kv_heads, d.head_dim)),
        ("feed-forward", format!("{}, {:?}, gated {}", d.ffn, d.activation, d.gated)),
        ("context", d.context.to_string()),
        ("head", if d.tied { "the embedding" } else { "its own" }.to_owned()),
        ("norms", format!("{:?}, {:e}, after layers {}", d.norm, d.norm_eps, d.post_norms)),
        ("norms of queries and keys", d.qk_norms.to_string()),
        ("block", format!("{:?}", d.block)),
        ("biases", format!("{:?}", d.biases)),
        ("attention scale", d.attention_scale.to_string()),
        ("attention cap", format!("{:?}", d.attention_cap)),
        ("ALiBi", d.alibi.to_string()),
        ("embedding scale", d.embedding_scale.to_string()),
        ("logit cap", format!("{:?}", d.final_cap)),
        ("positions seen", windows.join(" ")),
        ("rotary positions", format!("{:?}", rotaries.collect::<Vec<_>>())),
        (SCALING, format!("{scalings:?}")),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Whether a converter wrote a scaling down as factors: their numbers were rounded on the way.
fn rewritten(d: &Decoder) -> bool {
    d.rotaries.iter().any(|rotary| matches!(rotary.scaling, Scaling::Factors(_)))
}

const SCALING: &str = "rotary scaling";

#[cfg(test)]
mod tests {
    use super::*;
    use model::decoder::Family;

    #[test]
    fn what_differs_is_named() {
        let one = Decoder::tiny(100);
        let other = Decoder { family: Family::Mistral, context: 7, ..one.clone() };
        let found = between(&computed(&one), &computed(&other));
        let want = ("context".to_owned(), Some(one.context.to_string()), Some("7".to_owned()));
        assert_eq!(found, [want]);
        let mut window = one.clone();
        window.layers[0].window = Some(3);
        assert_eq!(between(&computed(&one), &computed(&window))[0].0, "positions seen");
    }
}
