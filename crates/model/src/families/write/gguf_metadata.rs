//! The metadata of a GGUF file, as llama.cpp reads it.

use kernel::math::ln64;

use crate::Decoder;
use crate::decoder::{Biases, Family, NormKind, Scaling};
use crate::gguf::Value;

/// The keys of a decoder; the caller reads them back to see that nothing is lost.
pub(super) fn metadata(d: &Decoder) -> Vec<(String, Value)> {
    // llama.cpp has no architecture of this name.
    let architecture = if d.family == Family::Mistral { Family::Llama } else { d.family };
    let mut out = Keys { architecture: architecture.as_str(), keys: Vec::new() };
    let name = Value::String(architecture.as_str().to_owned());
    out.keys.push(("general.architecture".to_owned(), name));
    out.size("vocab_size", d.vocab);
    out.size("context_length", d.context);
    out.size("embedding_length", d.dim);
    out.size("block_count", d.layers.len());
    out.size("feed_forward_length", d.ffn);
    out.size("attention.head_count", d.heads);
    out.size("attention.head_count_kv", d.kv_heads);
    out.size("attention.key_length", d.head_dim);
    out.size("attention.value_length", d.head_dim);
    let epsilon = match d.norm {
        NormKind::Layer => "attention.layer_norm_epsilon",
        NormKind::Rms => "attention.layer_norm_rms_epsilon",
    };
    out.float(epsilon, d.norm_eps);
    if let Some(window) = d.layers.iter().find_map(|layer| layer.window) {
        out.size("attention.sliding_window", window);
    }
    for (key, cap) in
        [("attn_logit_softcapping", d.attention_cap), ("final_logit_softcapping", d.final_cap)]
    {
        if let Some(cap) = cap {
            out.float(key, cap);
        } else if d.family == Family::Gemma2 {
            out.float(key, 0.0); // else a reader takes the family's usual one
        }
    }
    if let Some(rotary) = d.rotaries.first() {
        out.size("rope.dimension_count", rotary.dims);
        out.float("rope.freq_base", rotary.theta);
        out.scaling(&rotary.scaling);
    }
    if let Some(local) = d.rotaries.get(1) {
        out.float("rope.freq_base_swa", local.theta);
    }
    out.keys
}

/// Whether llama.cpp looks for just the tensors that this model has, in the shapes that they have.
pub(super) fn fits_llama_cpp(d: &Decoder) -> bool {
    let llama = matches!(d.family, Family::Llama | Family::Mistral);
    let head_norms = matches!(d.family, Family::Qwen3 | Family::Gemma3);
    let full_heads = matches!(d.family, Family::Falcon | Family::Qwen2);
    let biases = match d.family {
        Family::Llama | Family::Mistral => true,
        Family::Qwen2 => d.biases == Biases { qkv: true, output: false, ffn: false },
        _ => d.biases == Biases::default(),
    };
    let bent = d.attention_cap.is_some() || d.final_cap.is_some();
    let windows = d.layers.iter().any(|layer| layer.window.is_some());
    let factors = d.rotaries.iter().any(|rotary| matches!(rotary.scaling, Scaling::Factors(_)));
    d.qk_norms == head_norms
        && (!full_heads || d.q_dim() == d.dim)
        && (d.tied || d.family != Family::Gemma2)
        && biases
        && (!bent || d.family == Family::Gemma2)
        && (!windows || d.family.is_gemma())
        && (!factors || llama)
}

struct Keys {
    architecture: &'static str,
    keys: Vec<(String, Value)>,
}

impl Keys {
    fn size(&mut self, key: &str, size: usize) {
        // Sizes of a valid decoder are far below 2³².
        self.set(key, Value::U32(size as u32));
    }

    fn float(&mut self, key: &str, value: f32) {
        self.set(key, Value::F32(value));
    }

    fn set(&mut self, key: &str, value: Value) {
        self.keys.push((format!("{}.{key}", self.architecture), value));
    }

    fn scaling(&mut self, scaling: &Scaling) {
        let kind = |name: &str| Value::String(name.to_owned());
        match scaling {
            // Factors of each frequency are a tensor.
            Scaling::None | Scaling::Factors(_) | Scaling::Llama3 { .. } => {}
            Scaling::Linear(factor) => {
                self.set("rope.scaling.type", kind("linear"));
                self.float("rope.scaling.factor", *factor);
            }
            Scaling::Yarn { factor, attention, fast, slow, original, .. } => {
                self.set("rope.scaling.type", kind("yarn"));
                self.float("rope.scaling.factor", *factor);
                self.float("rope.scaling.original_context_length", *original);
                self.float("rope.scaling.yarn_beta_fast", *fast);
                self.float("rope.scaling.yarn_beta_slow", *slow);
                let usual = 1.0 + 0.1 * ln64(f64::from(*factor)) as f32;
                if *attention != usual {
                    self.float("rope.scaling.attn_factor", attention / usual);
                }
            }
        }
    }
}
