//! A decoder as a text: how run manifests (TOML) and stored models (JSON) write it.
//!
//! What a plain Llama has is not written, so that each decoder has one text and a new option
//! changes no old one.

use serde::{Deserialize, Serialize};

use super::family::MAX_LAYERS;
use super::{
    Activation, Biases, Block, Decoder, DecoderError, Family, Layer, NormKind, Rotary, range,
};

/// The fields of a [`Decoder`], those of a plain Llama first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    vocab: usize,
    dim: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    ffn: usize,
    norm_eps: f32,
    /// For unscaled rotary positions of one kind, over whole heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f32>,
    tied: bool,
    context: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    family: Family,
    #[serde(default, skip_serializing_if = "is_default")]
    norm: NormKind,
    #[serde(default, skip_serializing_if = "is_default")]
    block: Block,
    #[serde(default, skip_serializing_if = "is_default")]
    post_norms: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    qk_norms: bool,
    #[serde(default = "silu", with = "ActivationName", skip_serializing_if = "is_silu")]
    activation: Activation,
    #[serde(default, skip_serializing_if = "is_default")]
    ungated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attention_scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attention_cap: Option<f32>,
    #[serde(default, skip_serializing_if = "is_default")]
    alibi: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding_scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    final_cap: Option<f32>,
    #[serde(default, skip_serializing_if = "is_default")]
    biases: Biases,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotaries: Option<Vec<Rotary>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    each_layer: Option<Vec<Layer>>,
}

/// Names of the feed-forward layer's functions.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Activation", rename_all = "snake_case")]
enum ActivationName {
    Silu,
    GeluTanh,
    GeluErf,
}

impl From<Decoder> for Written {
    fn from(d: Decoder) -> Written {
        let plain = match d.rotaries.as_slice() {
            [one] if *one == Rotary::plain(d.head_dim, one.theta) => Some(one.theta),
            _ => None,
        };
        let usual = usual_layer(&d.rotaries);
        Written {
            vocab: d.vocab,
            dim: d.dim,
            layers: d.layers.len(),
            heads: d.heads,
            kv_heads: d.kv_heads,
            head_dim: d.head_dim,
            ffn: d.ffn,
            norm_eps: d.norm_eps,
            rope_theta: plain,
            tied: d.tied,
            context: d.context,
            family: d.family,
            norm: d.norm,
            block: d.block,
            post_norms: d.post_norms,
            qk_norms: d.qk_norms,
            activation: d.activation,
            ungated: !d.gated,
            attention_scale: Some(d.attention_scale).filter(|&x| x != usual_scale(d.head_dim)),
            attention_cap: d.attention_cap,
            alibi: d.alibi,
            embedding_scale: Some(d.embedding_scale).filter(|&x| x != 1.0),
            final_cap: d.final_cap,
            biases: d.biases,
            rotaries: if plain.is_some() { None } else { Some(d.rotaries) },
            each_layer: Some(d.layers).filter(|layers| layers.iter().any(|x| *x != usual)),
        }
    }
}

impl TryFrom<Written> for Decoder {
    type Error = DecoderError;

    fn try_from(w: Written) -> Result<Decoder, DecoderError> {
        range("layers", w.layers, 1, MAX_LAYERS)?;
        range("head_dim", w.head_dim, 1, 1 << 10)?;
        let invalid = |text: &str| Err(DecoderError::Invalid(text.to_owned()));
        let rotaries = match (w.rope_theta, w.rotaries) {
            (Some(theta), None) => vec![Rotary::plain(w.head_dim, theta)],
            (None, Some(rotaries)) => rotaries,
            (None, None) => return invalid("rope_theta is missing"),
            (Some(_), Some(_)) => return invalid("both rope_theta and rotaries"),
        };
        let usual = usual_layer(&rotaries);
        let layers = w.each_layer.unwrap_or_else(|| vec![usual; w.layers]);
        if layers.len() != w.layers {
            return invalid("each_layer has more or fewer than there are layers");
        }
        let decoder = Decoder {
            family: w.family,
            vocab: w.vocab,
            dim: w.dim,
            heads: w.heads,
            kv_heads: w.kv_heads,
            head_dim: w.head_dim,
            ffn: w.ffn,
            context: w.context,
            tied: w.tied,
            norm: w.norm,
            norm_eps: w.norm_eps,
            block: w.block,
            post_norms: w.post_norms,
            qk_norms: w.qk_norms,
            biases: w.biases,
            activation: w.activation,
            gated: !w.ungated,
            attention_scale: w.attention_scale.unwrap_or_else(|| usual_scale(w.head_dim)),
            attention_cap: w.attention_cap,
            alibi: w.alibi,
            embedding_scale: w.embedding_scale.unwrap_or(1.0),
            final_cap: w.final_cap,
            rotaries,
            layers,
        };
        decoder.validate()?;
        Ok(decoder)
    }
}

fn usual_layer(rotaries: &[Rotary]) -> Layer {
    Layer { window: None, rotary: (!rotaries.is_empty()).then_some(0) }
}

fn usual_scale(head_dim: usize) -> f32 {
    1.0 / (head_dim as f32).sqrt()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn silu() -> Activation {
    Activation::Silu
}

fn is_silu(activation: &Activation) -> bool {
    *activation == Activation::Silu
}

#[cfg(test)]
mod tests {
    use super::super::Sizes;
    use super::*;

    #[test]
    fn every_family_comes_back_from_its_text() {
        for family in Family::ALL {
            let decoder = Sizes { layers: 7, ..Sizes::tiny(100) }.decoder(family);
            let text = serde_json::to_string(&decoder).expect("a text");
            assert_eq!(serde_json::from_str::<Decoder>(&text).expect("valid"), decoder, "{text}");
        }
        let alibi = Decoder { alibi: true, rotaries: Vec::new(), ..Decoder::tiny(100) };
        let layers = vec![Layer { window: None, rotary: None }; 2];
        let alibi = Decoder { layers, ..alibi };
        let text = serde_json::to_string(&alibi).expect("a text");
        assert_eq!(serde_json::from_str::<Decoder>(&text).expect("valid"), alibi, "{text}");
    }

    /// The hashes of stored models and runs rest on it.
    #[test]
    fn a_plain_llama_has_the_text_that_it_always_had() {
        let text = serde_json::to_string(&Decoder::tiny(100)).expect("a text");
        assert_eq!(
            text,
            r#"{"vocab":100,"dim":32,"layers":2,"heads":4,"kv_heads":2,"head_dim":8,"ffn":48,"norm_eps":0.00001,"rope_theta":10000.0,"tied":true,"context":64}"#
        );
    }

    #[test]
    fn hostile_texts_are_refused() {
        let good = serde_json::to_value(Decoder::tiny(100)).expect("a value");
        for (key, value) in [
            ("layers", serde_json::json!(u64::MAX)),
            ("layers", serde_json::json!(0)),
            ("head_dim", serde_json::json!(0)),
            ("heads", serde_json::json!(0)),
            ("rope_theta", serde_json::json!(null)),
            ("rotaries", serde_json::json!([])),
            ("each_layer", serde_json::json!([{"rotary": 0}])),
            ("activation", serde_json::json!("relu")),
            ("norm_eps", serde_json::json!(0.0)),
            ("colour", serde_json::json!("green")),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(serde_json::from_value::<Decoder>(bad.clone()).is_err(), "{bad}");
        }
    }
}
