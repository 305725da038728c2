//! Models as files of their family: what stands in the header, and the tensors under the family's
//! names. What a format has no place for is refused, never left out: what was written is read back
//! and compared before a file is made.

mod gguf_metadata;
mod hf_config;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::names::{FalconLayout, Style};
use super::{decoder_of_metadata, gguf, hf};
use crate::decoder::{Family, Scaling};
use crate::element::ElementType;
use crate::gguf::Value;
use crate::weights::TensorInfo;
use crate::{Decoder, FormatError, Parameters};

/// A tensor as a file holds it.
pub struct FileTensor<'a> {
    /// Its name in the file.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Its elements.
    pub values: Cow<'a, [f32]>,
}

/// Metadata of a GGUF file: keys with their values, in the file's order.
pub type Metadata = Vec<(String, Value)>;

/// A model as `config.json` and the tensors of `model.safetensors`.
///
/// Norms that a family stores less one come back with the same bits where they are 0.5 or more.
/// Errors: a model that `config.json` cannot describe.
pub fn hugging_face(model: &Parameters) -> Result<(Json, Vec<FileTensor<'_>>), FormatError> {
    let decoder = model.decoder();
    let config = hf_config::config(decoder);
    let (back, layout) = hf::parse(config.to_string().as_bytes())?;
    if back != *decoder {
        return Err(no_place("config.json", decoder));
    }
    let style = match layout {
        Some(layout) => falcon(layout),
        None => Style::Llama {
            prefix: "model.".to_owned(),
            head: "lm_head".to_owned(),
            shifted_norms: decoder.family.is_gemma(),
        },
    };
    Ok((config, tensors(model, &style, false)))
}

fn falcon(layout: FalconLayout) -> Style {
    Style::Falcon { prefix: "transformer.".to_owned(), layout }
}

/// A model as the metadata of a GGUF file, without tokenizer, and its tensors.
///
/// Errors: a model that the format cannot describe.
pub fn gguf(model: &Parameters) -> Result<(Metadata, Vec<FileTensor<'_>>), FormatError> {
    let decoder = model.decoder();
    let metadata = gguf_metadata::metadata(decoder);
    let fused = decoder.family == Family::Falcon;
    let mut tensors = tensors(model, &gguf::style(decoder), fused);
    let expected = as_gguf(decoder);
    let back = described(&metadata, &tensors)?;
    let factors = expected.rotaries.first().map(|rotary| &rotary.scaling);
    if !gguf_metadata::fits_llama_cpp(&expected) {
        return Err(no_place("a GGUF file", decoder));
    }
    let compared = match factors {
        Some(Scaling::Factors(factors)) => {
            let (shape, values) = (vec![factors.len()], Cow::Owned(factors.clone()));
            tensors.push(FileTensor { name: gguf::FACTORS.to_owned(), shape, values });
            without_scaling(&expected) == without_scaling(&back)
        }
        _ => expected == back,
    };
    if compared { Ok((metadata, tensors)) } else { Err(no_place("a GGUF file", decoder)) }
}

/// The same model as GGUF says it: Mistral is a Llama there, and Llama 3's scaling is a factor for
/// each frequency.
fn as_gguf(decoder: &Decoder) -> Decoder {
    let mut decoder = decoder.clone();
    if decoder.family == Family::Mistral {
        decoder.family = Family::Llama;
    }
    if let Some(rotary) = decoder.rotaries.first_mut()
        && matches!(rotary.scaling, Scaling::Llama3 { .. })
    {
        let (scaled, _) = rotary.frequencies();
        rotary.scaling = Scaling::None;
        let (plain, _) = rotary.frequencies();
        let factors = plain.iter().zip(scaled).map(|(plain, scaled)| plain / scaled);
        rotary.scaling = Scaling::Factors(factors.collect());
    }
    decoder
}

fn without_scaling(decoder: &Decoder) -> Decoder {
    let mut decoder = decoder.clone();
    decoder.rotaries.iter_mut().for_each(|rotary| rotary.scaling = Scaling::None);
    decoder
}

/// What a reader makes of this metadata and these tensors.
fn described(
    metadata: &[(String, Value)],
    tensors: &[FileTensor<'_>],
) -> Result<Decoder, FormatError> {
    let metadata = metadata.iter().cloned().collect();
    let element = ElementType::of_gguf(0).expect("F32 is the first of the types");
    let info = |tensor: &FileTensor<'_>| {
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        let bytes = 4 * tensor.values.len() as u64;
        (name.clone(), TensorInfo { name, shape, element, file: 0, offset: 0, bytes })
    };
    let tensors: BTreeMap<String, TensorInfo> = tensors.iter().map(info).collect();
    decoder_of_metadata(&metadata, &tensors)
}

fn no_place(format: &str, decoder: &Decoder) -> FormatError {
    FormatError::new(format!(
        "this model differs from other models of its family ({}) in a way that {format} has no \
         place for",
        decoder.family
    ))
}

/// All tensors under the names of a style; those that the style keeps as one are joined.
fn tensors<'a>(model: &'a Parameters, style: &Style, fused: bool) -> Vec<FileTensor<'a>> {
    let (decoder, layout) = (model.decoder(), model.layout());
    let mut out: Vec<FileTensor<'a>> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in layout.tensors() {
        let source = style.source(decoder, tensor.part, tensor.layer, fused);
        let name = format!("{}.{}", source.name, tensor.kind.suffix());
        let values = &model.values()[tensor.range.clone()];
        let width = tensor.shape.get(1).copied().unwrap_or(1);
        let rows = tensor.shape[0];
        let in_order = (0..rows).all(|row| source.rows.source(row) == row);
        if in_order && source.rows.total == rows {
            let values = match style.norm_shift(tensor.part, tensor.kind) {
                Some(shift) => Cow::Owned(values.iter().map(|x| x - shift).collect()),
                None => Cow::Borrowed(values),
            };
            out.push(FileTensor { name, shape: tensor.shape.clone(), values });
            continue;
        }
        let total = source.rows.total;
        let at = *places.entry(name.clone()).or_insert_with(|| {
            let mut shape = tensor.shape.clone();
            shape[0] = total;
            out.push(FileTensor { name, shape, values: Cow::Owned(vec![0.0; total * width]) });
            out.len() - 1
        });
        let joined = out[at].values.to_mut();
        for (row, values) in values.chunks_exact(width).enumerate() {
            let to = source.rows.source(row) * width;
            joined[to..to + width].copy_from_slice(values);
        }
    }
    out
}
