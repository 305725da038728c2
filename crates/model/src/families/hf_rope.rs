//! Rotary positions in `config.json`: `rope_theta` with `rope_scaling` (transformers 4), or
//! `rope_parameters`, also one for each kind of attention (transformers 5).

use kernel::math::ln64;
use serde_json::Value;

use super::hf::{Fields, refuse};
use crate::FormatError;
use crate::decoder::{Family, Rotary, Scaling};

/// The kinds of rotary positions of a model.
pub(super) struct Ropes {
    pub rotaries: Vec<Rotary>,
    /// Whether layers with a window have the second kind.
    pub local: bool,
}

pub(super) fn ropes(
    f: &Fields<'_>,
    family: Family,
    head_dim: usize,
    context: usize,
    theta: f32,
) -> Result<Ropes, FormatError> {
    let null = Value::Null;
    for key in ["rope_parameters", "rope_scaling"] {
        refuse_other_shapes(key, f.get(&[key]))?;
    }
    let parameters = Fields(f.get(&["rope_parameters"]).unwrap_or(&null));
    let nested = |kind: &str| parameters.get(&[kind]);
    let is_nested = nested("full_attention").is_some() || nested("sliding_attention").is_some();
    if is_nested && family != Family::Gemma3 {
        return refuse("rope_parameters for each kind of attention are not supported".to_owned());
    }
    let stated = f.float("rope_theta")?.unwrap_or(theta);
    let global = match (nested("full_attention"), is_nested) {
        (Some(global), _) => Fields(global),
        (None, true) => Fields(&null),
        (None, false) => match parameters.0 {
            Value::Null => Fields(f.get(&["rope_scaling"]).unwrap_or(&null)),
            stated => Fields(stated),
        },
    };
    partial(f)?;
    let mut rotaries = vec![rotary(&global, head_dim, context, stated)?];
    let local = family == Family::Gemma3;
    if local {
        let theta = f.float("rope_local_base_freq")?.unwrap_or(10_000.0);
        let local = Fields(nested("sliding_attention").unwrap_or(&null));
        rotaries.push(rotary(&local, head_dim, context, theta)?);
    }
    Ok(Ropes { rotaries, local })
}

/// Refuses settings whose fields would be found missing, as if nothing were set.
fn refuse_other_shapes(key: &str, value: Option<&Value>) -> Result<(), FormatError> {
    let Some(value) = value else { return Ok(()) };
    let Some(fields) = value.as_object() else {
        return refuse(format!("{key} is {value}, not an object with rope_type and factor"));
    };
    for (kind, inner) in fields {
        let is_kind = kind == "full_attention" || kind == "sliding_attention";
        if is_kind && !inner.is_object() && !inner.is_null() {
            return refuse(format!("{key}.{kind} is {inner}, not an object"));
        }
    }
    Ok(())
}

/// Refuses heads that are turned in part.
fn partial(f: &Fields<'_>) -> Result<(), FormatError> {
    match f.float("partial_rotary_factor")? {
        Some(factor) if factor != 1.0 => refuse(format!("partial_rotary_factor is {factor}")),
        _ => Ok(()),
    }
}

fn rotary(
    f: &Fields<'_>,
    head_dim: usize,
    context: usize,
    theta: f32,
) -> Result<Rotary, FormatError> {
    partial(f)?;
    let theta = f.float("rope_theta")?.unwrap_or(theta);
    let kind = match f.text("rope_type")? {
        Some(kind) => kind,
        None => f.text("type")?.unwrap_or("default"),
    };
    if f.get(&["rope_type", "type"]).is_none() && f.float("factor")?.is_some_and(|x| x != 1.0) {
        return refuse("rope scaling has a factor and no rope_type, which says how".to_owned());
    }
    let needed = |key: &str| match f.float(key)? {
        Some(x) => Ok(x),
        None => refuse(format!("rope scaling of type {kind} has no {key}")),
    };
    let original = || -> Result<f32, FormatError> {
        Ok(f.float("original_max_position_embeddings")?.unwrap_or(context as f32))
    };
    let scaling = match kind {
        // Dynamic scaling begins beyond the model's context, which is never left here.
        "default" | "dynamic" => Scaling::None,
        "linear" => Scaling::Linear(needed("factor")?),
        "llama3" => Scaling::Llama3 {
            factor: needed("factor")?,
            low: needed("low_freq_factor")?,
            high: needed("high_freq_factor")?,
            original: original()?,
        },
        "yarn" => {
            let stated = f.float("original_max_position_embeddings")?.is_some();
            if !stated && f.float("factor")?.is_none() {
                return refuse("rope scaling of type yarn has no factor".to_owned());
            }
            let original = original()?;
            let factor = f.float("factor")?.unwrap_or(context as f32 / original);
            Scaling::Yarn {
                factor,
                attention: yarn_attention(f, factor)?,
                fast: f.float("beta_fast")?.filter(|&x| x != 0.0).unwrap_or(32.0),
                slow: f.float("beta_slow")?.filter(|&x| x != 0.0).unwrap_or(1.0),
                original,
                truncate: f.flag("truncate")?.unwrap_or(true),
            }
        }
        other => return refuse(format!("rope scaling of type {other} is not supported")),
    };
    Ok(Rotary { dims: head_dim, theta, scaling })
}

/// What YaRN multiplies sines and cosines by.
fn yarn_attention(f: &Fields<'_>, factor: f32) -> Result<f32, FormatError> {
    if let Some(attention) = f.float("attention_factor")? {
        return Ok(attention);
    }
    let scale = |m: f32| {
        if factor <= 1.0 { 1.0 } else { 0.1 * f64::from(m) * ln64(f64::from(factor)) + 1.0 }
    };
    let (m, all) = (f.float("mscale")?, f.float("mscale_all_dim")?);
    Ok(match (m.filter(|&m| m != 0.0), all.filter(|&m| m != 0.0)) {
        (Some(m), Some(all)) => (scale(m) / scale(all)) as f32,
        _ => scale(1.0) as f32,
    })
}
