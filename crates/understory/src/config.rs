//! The configuration a founder writes; the manifest is made of it and of the corpus.

use crate::hint::WithHint;
use anyhow::{Context, Result};
use recipe::{
    RunManifest,
    corpus::DataOptions,
    run::{Inner, Outer, PROFILE, Rounds},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use store::{Hash, ObjectRef};

/// What `understory swarm start CONFIG.toml` reads. Every field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// For people.
    pub name: String,
    /// Seed of the first parameters.
    pub seed: u64,
    /// What to train on.
    pub data: Data,
    /// Shape of the model; its vocabulary is the tokenizer's.
    pub model: Shape,
    /// Inner optimisation.
    pub inner: Inner,
    /// Outer optimisation.
    pub outer: Outer,
    /// Rounds, audits, timeouts.
    pub rounds: Rounds,
}

/// What to train on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Files and folders; empty takes the documentation in the local cargo registry.
    pub paths: Vec<PathBuf>,
    /// How to cut and tokenize it.
    pub options: DataOptions,
}

/// Shape of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    pub dim: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub ffn: usize,
    pub tied: bool,
    pub context: usize,
    pub rope_theta: f32,
    pub norm_eps: f32,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            name: "understory".to_owned(),
            seed: 1,
            data: Data::default(),
            model: Shape::default(),
            inner: Inner::default(),
            outer: Outer::default(),
            rounds: Rounds::default(),
        }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            dim: 128,
            layers: 4,
            heads: 4,
            kv_heads: 2,
            ffn: 352,
            tied: true,
            context: 512,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
        }
    }
}

impl RunConfig {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))
            .hint("`understory swarm config` prints a configuration to begin from")?;
        toml::from_str(&text)
            .with_context(|| format!("{} is no run configuration", path.display()))
            .hint("`understory swarm config` prints every field with its default")
    }

    /// The manifest of this run over a corpus of `vocab` tokens.
    pub fn manifest(&self, founder: Hash, corpus: ObjectRef, vocab: usize) -> Result<RunManifest> {
        let shape = &self.model;
        let model = model::Config {
            vocab,
            dim: shape.dim,
            layers: shape.layers,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.dim / shape.heads.max(1),
            ffn: shape.ffn,
            norm_eps: shape.norm_eps,
            rope_theta: shape.rope_theta,
            tied: shape.tied,
            context: shape.context,
        };
        let manifest = RunManifest {
            format: 1,
            profile: PROFILE.to_owned(),
            name: self.name.clone(),
            founder,
            seed: self.seed,
            corpus,
            model,
            inner: self.inner.clone(),
            outer: self.outer.clone(),
            rounds: self.rounds.clone(),
        };
        manifest.validate()?;
        crate::worker::rules(&manifest).validate()?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_defaults_are_read_back() {
        let text = toml::to_string(&RunConfig::default()).expect("has a TOML form");
        let read: RunConfig = toml::from_str(&text).expect("reads");
        assert_eq!(read, RunConfig::default());
        assert_eq!(toml::from_str::<RunConfig>("").expect("all defaults"), RunConfig::default());
        assert!(toml::from_str::<RunConfig>("nmae = 'x'").is_err());
    }

    #[test]
    fn the_defaults_make_a_valid_manifest() {
        let manifest =
            RunConfig::default().manifest(Hash([1; 32]), ObjectRef::of(b"c"), 4096).expect("valid");
        assert_eq!(manifest.model.head_dim, 32);
    }
}
