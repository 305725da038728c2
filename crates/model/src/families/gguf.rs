//! The metadata of a GGUF file, as llama.cpp's converter writes it.

use std::collections::BTreeMap;

use kernel::math::ln64;

use super::SUPPORTED;
use super::names::Style;
use crate::decoder::{Activation, Biases, Block, Family, Layer, NormKind, Rotary, Scaling};
use crate::gguf::Value;
use crate::weights::{TensorInfo, Weights};
use crate::{Decoder, FormatError};

/// Reads what a GGUF file computes from its metadata and the names and shapes of its tensors.
///
/// Rotary factors of each frequency (`rope_freqs.weight`) are not in it: they are a tensor.
pub fn decoder_of_metadata(
    metadata: &BTreeMap<String, Value>,
    tensors: &BTreeMap<String, TensorInfo>,
) -> Result<Decoder, FormatError> {
    let architecture = metadata.get("general.architecture").and_then(Value::as_str);
    let architecture =
        architecture.ok_or_else(|| FormatError::new("gguf: general.architecture is missing"))?;
    refuse_other_kinds(metadata, architecture)?;
    let family = family(architecture)?;
    let keys = Keys { metadata, tensors, architecture, family };
    let decoder = keys.decoder()?;
    decoder.validate()?;
    Ok(decoder)
}

/// The family that `general.architecture` names. Mistral has none of its own.
fn family(architecture: &str) -> Result<Family, FormatError> {
    let found = architecture.parse().ok().filter(|family| *family != Family::Mistral);
    found.ok_or_else(|| {
        let text = format!("gguf: the architecture {architecture} is not supported");
        FormatError::refused(text, SUPPORTED)
    })
}

/// Refuses what is no model at all.
fn refuse_other_kinds(
    metadata: &BTreeMap<String, Value>,
    architecture: &str,
) -> Result<(), FormatError> {
    let kind = metadata.get("general.type").and_then(Value::as_str).unwrap_or("model");
    let (text, todo) = match (kind, architecture) {
        ("adapter", _) => ("gguf: an adapter (LoRA), not a model".to_owned(), MODEL_OF_ADAPTER),
        (_, "controlvector") => {
            ("gguf: a control vector, not a model".to_owned(), MODEL_OF_ADAPTER)
        }
        (_, "clip") | ("mmproj", _) => (
            "gguf: the part of a model that looks at pictures, not the model".to_owned(),
            "run the other GGUF file beside it",
        ),
        ("imatrix", _) | (_, "imatrix") => (
            "gguf: an importance matrix for quantizing, not a model".to_owned(),
            "run the model that it was made for",
        ),
        _ => return Ok(()),
    };
    Err(FormatError::refused(text, todo))
}

const MODEL_OF_ADAPTER: &str = "run the model that it was made for; merge it into that first";

/// How GGUF names this decoder's tensors.
pub(super) fn style(decoder: &Decoder) -> Style {
    Style::Gguf {
        // llama.cpp turns neighbours in these, so its converter permutes queries and keys.
        paired: matches!(decoder.family, Family::Llama | Family::Mistral | Family::Smollm3),
        second_norm_first: decoder.block == Block::ParallelTwoNorms,
    }
}

/// Puts the factors of `rope_freqs.weight`, if there are any, into the rotary positions.
pub(super) fn add_frequency_factors(
    decoder: &mut Decoder,
    weights: &Weights,
) -> Result<(), FormatError> {
    let Some(tensor) = weights.tensors().get(FACTORS) else { return Ok(()) };
    let Some(rotary) = decoder.rotaries.first_mut() else { return Ok(()) };
    if tensor.shape != [rotary.dims / 2] || tensor.element.name != "F32" {
        let text = format!(
            "tensor {FACTORS} is {} of shape {:?}, not F32 of [{}]",
            tensor.element.name,
            tensor.shape,
            rotary.dims / 2
        );
        return Err(FormatError::new(text));
    }
    let mut bytes = vec![0; tensor.bytes as usize];
    weights.read(tensor, 0, &mut bytes)?;
    if rotary.scaling != Scaling::None {
        return Err(FormatError::new("gguf: both rope scaling and factors of each frequency"));
    }
    rotary.scaling = Scaling::Factors(crate::format::f32_from_le(&bytes).collect());
    decoder.validate()?;
    Ok(())
}

pub(crate) const FACTORS: &str = "rope_freqs.weight";

struct Keys<'a> {
    metadata: &'a BTreeMap<String, Value>,
    tensors: &'a BTreeMap<String, TensorInfo>,
    architecture: &'a str,
    family: Family,
}

impl Keys<'_> {
    fn decoder(&self) -> Result<Decoder, FormatError> {
        let family = self.family;
        let (gemma, falcon) = (family.is_gemma(), family == Family::Falcon);
        self.refuse_experts()?;
        let (dim, count) = (self.needed("embedding_length")?, self.needed("block_count")?);
        if count == 0 || count > 1 << 10 {
            return Err(FormatError::new(format!("gguf: block_count is {count}")));
        }
        let heads = self.needed("attention.head_count")?;
        if heads == 0 {
            return Err(FormatError::new("gguf: attention.head_count is 0"));
        }
        let head_dim = self.size("attention.key_length")?.unwrap_or(dim / heads);
        if self.size("attention.value_length")?.is_some_and(|width| width != head_dim) {
            let text = format!("gguf: attention.value_length is not {head_dim}");
            return Err(FormatError::new(text));
        }
        let context = self.needed("context_length")?;
        let table = self.tensors.get("token_embd.weight");
        let vocab = table.and_then(|info| info.shape.first().copied());
        let has = |name: &str| self.tensors.contains_key(name);
        let epsilon = match falcon {
            true => "attention.layer_norm_epsilon",
            false => "attention.layer_norm_rms_epsilon",
        };
        let windows = self.windows(count)?;
        let rotaries = self.rotaries(head_dim, context)?;
        let local = rotaries.len() > 1;
        let turned = |i: usize| family != Family::Smollm3 || !(i + 1).is_multiple_of(4);
        let layers = windows.into_iter().enumerate().map(|(i, window)| {
            let kind = if local && window.is_some() { 1 } else { 0 };
            Layer { window, rotary: turned(i).then_some(kind) }
        });
        let block = match (falcon, has("blk.0.attn_norm_2.weight")) {
            (true, true) => Block::ParallelTwoNorms,
            (true, false) => Block::Parallel,
            (false, _) => Block::Sequential,
        };
        Ok(Decoder {
            family,
            vocab: vocab.ok_or_else(|| FormatError::new("gguf: token_embd.weight is missing"))?,
            dim,
            heads,
            kv_heads: self.size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            ffn: self.needed("feed_forward_length")?,
            context,
            tied: !has("output.weight"),
            norm: if falcon { NormKind::Layer } else { NormKind::Rms },
            norm_eps: self
                .float(epsilon)?
                .ok_or_else(|| FormatError::new(format!("gguf: {epsilon} is missing")))?,
            block,
            post_norms: gemma,
            qk_norms: has("blk.0.attn_q_norm.weight"),
            biases: Biases {
                qkv: has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias"),
                output: has("blk.0.attn_output.bias"),
                ffn: has("blk.0.ffn_up.bias"),
            },
            activation: match (falcon, gemma) {
                // llama.cpp approximates by tanh; the model was made with the exact one.
                (true, _) => Activation::GeluErf,
                (_, true) => Activation::GeluTanh,
                _ => Activation::Silu,
            },
            gated: !falcon,
            attention_scale: self.attention_scale(dim, heads, head_dim, count)?,
            attention_cap: self.cap("attn_logit_softcapping", family == Family::Gemma2, 50.0)?,
            alibi: false,
            embedding_scale: if gemma { (dim as f32).sqrt() } else { 1.0 },
            final_cap: self.cap("final_logit_softcapping", family == Family::Gemma2, 30.0)?,
            rotaries,
            layers: layers.collect(),
        })
    }

    fn refuse_experts(&self) -> Result<(), FormatError> {
        match self.size("expert_count")? {
            None | Some(0) => Ok(()),
            Some(count) => {
                Err(FormatError::new(format!("gguf: {count} experts, mixtures are not supported")))
            }
        }
    }

    fn attention_scale(
        &self,
        dim: usize,
        heads: usize,
        head_dim: usize,
        layers: usize,
    ) -> Result<f32, FormatError> {
        if let Some(scale) = self.float("attention.scale")?.filter(|&scale| scale != 0.0) {
            return Ok(scale);
        }
        // The format has no place for it, but the largest Gemmas divide by the width of a head
        // that would fill the model.
        let largest = matches!((self.family, layers), (Family::Gemma2, 46) | (Family::Gemma3, 62));
        let width = if largest { dim / heads } else { head_dim };
        Ok(1.0 / (width as f32).sqrt())
    }

    fn cap(&self, key: &str, usual: bool, cap: f32) -> Result<Option<f32>, FormatError> {
        let stated = self.float(key)?;
        Ok(stated.or(usual.then_some(cap)).filter(|&cap| cap != 0.0))
    }

    /// Each layer's window.
    fn windows(&self, count: usize) -> Result<Vec<Option<usize>>, FormatError> {
        let usual = (self.family == Family::Gemma2).then_some(4096);
        let window = self.size("attention.sliding_window")?.or(usual).filter(|&window| window > 0);
        let Some(window) = window else { return Ok(vec![None; count]) };
        if let Some(Value::Array(list)) = self.get("attention.sliding_window_pattern") {
            let list: Option<Vec<bool>> =
                list.iter().map(|x| x.as_bool().or(x.as_u64().map(|x| x != 0))).collect();
            let list = list.filter(|list| list.len() == count).ok_or_else(|| {
                FormatError::new("gguf: attention.sliding_window_pattern does not fit the layers")
            })?;
            return Ok(list.into_iter().map(|on| on.then_some(window)).collect());
        }
        let pattern = match (self.size("attention.sliding_window_pattern")?, self.family) {
            (Some(pattern), _) => pattern,
            (None, Family::Gemma2) => 2,
            (None, Family::Gemma3) => 6,
            // Every layer, as Mistral has it.
            (None, _) => 0,
        };
        let on = |i: usize| pattern == 0 || i % pattern < pattern - 1;
        Ok((0..count).map(|i| on(i).then_some(window)).collect())
    }

    fn rotaries(&self, head_dim: usize, context: usize) -> Result<Vec<Rotary>, FormatError> {
        let dims = self.size("rope.dimension_count")?.unwrap_or(head_dim);
        let usual = if self.family == Family::Gemma3 { 1e6 } else { 10_000.0 };
        let theta = self.float("rope.freq_base")?.unwrap_or(usual);
        let mut rotaries = vec![Rotary { dims, theta, scaling: self.scaling(context)? }];
        if self.family == Family::Gemma3 {
            let local = self.float("rope.freq_base_swa")?.unwrap_or(10_000.0);
            rotaries.push(Rotary::plain(dims, local));
        }
        Ok(rotaries)
    }

    fn scaling(&self, context: usize) -> Result<Scaling, FormatError> {
        let kind = self.get("rope.scaling.type").map(|value| value.as_str().unwrap_or("?"));
        let old = self.float("rope.scale_linear")?.filter(|&factor| factor != 1.0);
        let no_factor = || {
            FormatError::new(format!(
                "gguf: {}.rope.scaling.type is there and rope.scaling.factor is not",
                self.architecture
            ))
        };
        let factor = self.float("rope.scaling.factor")?.filter(|&factor| factor != 0.0).or(old);
        match kind {
            Some("none") => Ok(Scaling::None),
            None => Ok(factor.map_or(Scaling::None, Scaling::Linear)),
            Some("linear") => factor.map(Scaling::Linear).ok_or_else(no_factor),
            Some("yarn") => {
                let factor = factor.ok_or_else(no_factor)?;
                let original = self.float("rope.scaling.original_context_length")?;
                let usual = 1.0 + 0.1 * ln64(f64::from(factor)) as f32;
                let scale = |key| self.float(key).map(|x| x.unwrap_or(1.0));
                Ok(Scaling::Yarn {
                    factor,
                    attention: scale("rope.scaling.attn_factor")?
                        * scale("rope.scaling.yarn_attn_factor")?
                        * usual,
                    fast: self.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                    slow: self.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                    original: original.unwrap_or(context as f32),
                    truncate: true,
                })
            }
            Some(other) => Err(FormatError::new(format!(
                "gguf: rope scaling of type {other} is not supported"
            ))),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&format!("{}.{key}", self.architecture))
    }

    /// A size; a list of sizes, one for each layer, must say the same for all.
    fn size(&self, key: &str) -> Result<Option<usize>, FormatError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || FormatError::new(format!("gguf: {}.{key} is no size", self.architecture));
        let one = match value {
            Value::Array(list) => {
                let first = list.first().ok_or_else(wrong)?;
                if list.iter().any(|value| value != first) {
                    let text = format!(
                        "gguf: {}.{key} differs from layer to layer, which is not supported",
                        self.architecture
                    );
                    return Err(FormatError::new(text));
                }
                first
            }
            value => value,
        };
        one.as_u64().and_then(|x| usize::try_from(x).ok()).map(Some).ok_or_else(wrong)
    }

    fn needed(&self, key: &str) -> Result<usize, FormatError> {
        let name = || FormatError::new(format!("gguf: {}.{key} is missing", self.architecture));
        self.size(key)?.ok_or_else(name)
    }

    /// A float, or a whole number.
    fn float(&self, key: &str) -> Result<Option<f32>, FormatError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let float = value.as_f32().or_else(|| value.as_u64().map(|x| x as f32));
        let wrong = || FormatError::new(format!("gguf: {}.{key} is no number", self.architecture));
        float.map(Some).ok_or_else(wrong)
    }
}
