//! The configuration a founder writes; the manifest is made of it and of the corpus.

use crate::founding::{Founding, FoundingError, founded};
use ids::{Hash, ObjectRef, PeerId};
use model::{
    Arithmetic,
    decoder::{Family, Sizes},
};
use recipe::{
    RunManifest,
    corpus::DataOptions,
    run::{FORMAT, Inner, Outer, Rounds},
};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What `understory swarm start CONFIG.toml` reads. Every field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// For people.
    pub name: String,
    /// Seed of the first parameters.
    pub seed: u64,
    /// How products are computed: strict-1 in floats, strict-i8 in 8-bit integers.
    pub arithmetic: Arithmetic,
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
    /// What a layer looks like.
    pub family: Family,
    /// Width: numbers that stand for one token between the layers.
    pub dim: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Width of the inner layer of each feed-forward part.
    pub ffn: usize,
    /// Whether input and output share one table of tokens.
    pub tied: bool,
    /// Most tokens that the model looks at together.
    pub context: usize,
    /// Base of the rotary positions.
    pub rope_theta: f32,
    /// Keeps a norm from dividing by zero.
    pub norm_eps: f32,
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its text is none.
    #[error("{path} is no run configuration")]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: toml::de::Error,
    },
}

impl ConfigError {
    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        match self {
            Self::Read { .. } => "`understory swarm config` prints a configuration to begin from",
            Self::Text { .. } => "`understory swarm config` prints every field with its default",
        }
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            name: "understory".to_owned(),
            seed: 1,
            arithmetic: Arithmetic::default(),
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
            family: Family::Llama,
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
    ///
    /// Errors: it cannot be read, or sets what is no setting or what cannot have that value.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = bounded::read_named_text(path, MAX_BYTES)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| ConfigError::Text { path: path.to_owned(), source })
    }

    /// Checks what can be checked before the text is read.
    ///
    /// Errors: a setting that is out of range, by its name.
    pub fn check(&self, founder: PeerId, founding: &Founding) -> Result<(), FoundingError> {
        self.data.options.validate()?;
        // Of the text only the number of tokens counts here, and that is at most this.
        let corpus = ObjectRef { hash: Hash([0; 32]), len: 1 };
        self.manifest(founder, founding, corpus, self.data.options.vocab).map(drop)
    }

    /// The manifest of this run, begun by `founder`, over a corpus of `vocab` tokens.
    ///
    /// Errors: a setting that is out of range, by its name.
    pub fn manifest(
        &self,
        founder: PeerId,
        founding: &Founding,
        corpus: ObjectRef,
        vocab: usize,
    ) -> Result<RunManifest, FoundingError> {
        let shape = &self.model;
        let sizes = Sizes {
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
        let model = sizes.decoder(shape.family);
        let manifest = RunManifest {
            format: FORMAT,
            arithmetic: self.arithmetic,
            name: self.name.clone(),
            founder: Hash(founder.0),
            founders: Vec::new(),
            invitations: Vec::new(),
            seed: self.seed,
            corpus,
            start: None,
            model,
            inner: self.inner.clone(),
            outer: self.outer.clone(),
            rounds: self.rounds.clone(),
        };
        founded(manifest, founding)
    }
}

/// A configuration as TOML, with a sentence above each setting.
pub fn commented(config: &RunConfig) -> String {
    let text = toml::to_string_pretty(config).expect("has a TOML form");
    let (mut out, mut section) = (HEAD.to_owned(), String::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, _)) = line.split_once(" = ") {
            comment(&format!("{section}{key}"))
                .into_iter()
                .flat_map(str::lines)
                .for_each(|words| out.push_str(&format!("# {words}\n")));
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// What is said above the setting of this name.
fn comment(setting: &str) -> Option<&'static str> {
    COMMENTS.iter().find(|(name, _)| *name == setting).map(|(_, words)| *words)
}

/// Most bytes of a configuration.
const MAX_BYTES: u64 = 1 << 20;

const HEAD: &str = "\
# The settings of a co-training run. Lines may be left out: then these values hold.
# Everybody who joins takes part under exactly these settings; they never change during a run.

";

/// Every setting in plain words.
const COMMENTS: &[(&str, &str)] = &[
    ("name", "What the run is called."),
    ("seed", "The first parameters are drawn from this number."),
    (
        "arithmetic",
        "How products are computed: strict-1 in 32-bit floats, strict-i8 in 8-bit integers, which\n\
         is faster on most machines. Both give the same bits everywhere.",
    ),
    (
        "data.paths",
        "Files and folders of text (.txt, .md, .jsonl, .ndjson, .json, also .gz and .zst; .parquet)\n\
         to learn from. Empty: the documentation in the local cargo registry.",
    ),
    ("data.options.vocab", "How many tokens the tokenizer knows."),
    ("data.options.max_bytes", "Most bytes of text to take; 0 takes all."),
    (
        "data.options.held_out_every",
        "One document in so many is not trained on but kept to measure the model …",
    ),
    ("data.options.held_out_bytes", "… until there are so many bytes of them."),
    ("data.options.tokenizer_bytes", "Bytes of text that the tokenizer is made from."),
    (
        "model.family",
        "What a layer looks like: llama, mistral, falcon, smollm3, qwen2, qwen3, gemma2 or gemma3.",
    ),
    ("model.dim", "Width: numbers that stand for one token between the layers."),
    ("model.layers", "Transformer layers, one above the other."),
    ("model.heads", "Attention heads of a layer; dim is divided among them."),
    ("model.kv_heads", "Heads of keys and values; fewer save memory when the model is run."),
    ("model.ffn", "Width of the inner layer of each feed-forward part."),
    ("model.tied", "Whether input and output share one table of tokens."),
    ("model.context", "Most tokens that the model looks at together."),
    ("model.rope_theta", "Base of the rotary positions."),
    ("model.norm_eps", "Keeps a norm from dividing by zero."),
    ("inner.seq", "Tokens of a training sequence, at most model.context."),
    ("inner.batch", "Sequences of one step."),
    ("inner.lr", "Highest learning rate of each peer's own training (AdamW)."),
    ("inner.warmup", "Part of the run over which the rate rises to it."),
    ("inner.schedule", "How the rate falls after that: cosine, wsd or constant."),
    ("inner.beta1", "How slowly AdamW's mean of gradients moves."),
    ("inner.beta2", "How slowly its mean of squared gradients moves."),
    ("inner.eps", "Keeps AdamW from dividing by zero."),
    ("inner.weight_decay", "How much weights are drawn to zero."),
    ("inner.clip", "A longer gradient is shortened to this."),
    ("outer.lr", "Learning rate with which the mean of all updates is applied."),
    ("outer.momentum", "How much of the last rounds' direction is kept."),
    ("outer.clip", "An update longer than this many times the median is shortened to it."),
    ("rounds.rounds", "How many rounds the run has. After each, all peers hold the same model."),
    ("rounds.steps_min", "Fewest steps a peer trains in a round; newcomers do just these."),
    ("rounds.steps_max", "Most steps a peer trains in a round."),
    (
        "rounds.keep_every",
        "A peer keeps its training state after so many steps, to show auditors what it did;\n\
         what is between is computed again. Smaller takes disk, larger takes time.",
    ),
    (
        "rounds.target_seconds",
        "Seconds the whole run should take: slower peers then train fewer steps. 0: everybody\n\
         trains steps_max, however long that takes.",
    ),
    (
        "rounds.commit_timeout_seconds",
        "A round waits so long for peers whose work is still missing. It does not wait for\n\
         newcomers.",
    ),
    ("rounds.view_timeout_seconds", "How long a proposal may take before somebody else proposes."),
    ("rounds.draw_timeout_seconds", "How long a round waits for auditors to show what they drew."),
    ("rounds.audit_timeout_seconds", "How long a round waits for what the auditors found."),
    (
        "rounds.probation",
        "A newcomer's work is checked in full until it was found right so many times; only\n\
         then has it a vote. Votes weigh by checked steps, not by keys.",
    ),
    (
        "rounds.audit_steps",
        "After that: steps of each contribution that others repeat, in the mean. One or two\n\
         find in a few rounds who leaves out half of the work. In rounds of 50 steps and more\n\
         0.6 keeps all checks within a twentieth of the work.",
    ),
    ("rounds.audit_rate", "Part of contributions that are repeated in full all the same."),
    ("rounds.recheck_rate", "Part of audits that somebody else makes again, to see lazy auditors."),
    (
        "rounds.min_members",
        "The run begins once so many peers are there, and all founding voters (who they are is\n\
         said with `swarm start --friends` or `--voters`).",
    ),
    ("rounds.max_members", "Most peers that belong to the run at a time, at most 64."),
    (
        "rounds.absent_after",
        "Who misses so many rounds in a row is waited for no more and loses weight; all is as\n\
         before soon after it is back.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invitations::Invitations;
    use std::collections::BTreeSet;

    #[test]
    fn the_printed_defaults_are_read_back() {
        let text = toml::to_string(&RunConfig::default()).expect("has a TOML form");
        let read: RunConfig = toml::from_str(&text).expect("reads");
        assert_eq!(read, RunConfig::default());
        assert_eq!(toml::from_str::<RunConfig>("").expect("all defaults"), RunConfig::default());
        assert!(toml::from_str::<RunConfig>("nmae = 'x'").is_err());
        let read: RunConfig = toml::from_str(&commented(&RunConfig::default())).expect("reads");
        assert_eq!(read, RunConfig::default());
    }

    #[test]
    fn every_setting_is_explained_and_nothing_else_is() {
        fn names(table: &toml::Table, before: &str, into: &mut Vec<String>) {
            for (key, value) in table {
                match value {
                    toml::Value::Table(inner) => names(inner, &format!("{before}{key}."), into),
                    _ => into.push(format!("{before}{key}")),
                }
            }
        }
        let (mut settings, text) = (Vec::new(), toml::to_string(&RunConfig::default()));
        names(&text.expect("has a form").parse().expect("a table"), "", &mut settings);
        let mut explained: Vec<&str> = COMMENTS.iter().map(|(name, _)| *name).collect();
        explained.sort_unstable();
        settings.sort_unstable();
        assert_eq!(settings, explained);
        let text = commented(&RunConfig::default());
        assert!(
            COMMENTS.iter().all(|(_, words)| text.contains(words.lines().next().unwrap_or("")))
        );
    }

    fn manifest(founding: &Founding) -> Result<RunManifest, FoundingError> {
        let founder = ids::Identity::from_seed([1; 32]).id();
        RunConfig::default().manifest(founder, founding, ObjectRef::of(b"c"), 4096)
    }

    #[test]
    fn the_defaults_make_a_valid_manifest() {
        let manifest = manifest(&Founding::default()).expect("valid");
        assert_eq!(manifest.model.head_dim, 32);
        assert_eq!(manifest.founders, [manifest.founder]);
    }

    #[test]
    fn a_run_has_a_name_that_people_can_read_and_type() {
        let founder = ids::Identity::from_seed([1; 32]).id();
        for name in ["so\u{200b}il", "  ", "a1b2c3d4"] {
            let config = RunConfig { name: name.to_owned(), ..RunConfig::default() };
            let made = config.manifest(founder, &Founding::default(), ObjectRef::of(b"c"), 4096);
            assert!(made.expect_err(name).to_string().starts_with("name "), "{name}");
        }
    }

    #[test]
    fn founding_voters_are_named_once_and_must_find_a_place() {
        let key = |number| ids::Identity::from_seed([number; 32]).id();
        let invitations = |many: u8| Invitations::of((0..many).map(|n| [n + 9; 32]).collect());
        let voters = BTreeSet::from([key(1), key(2)]);
        let manifest = manifest(&Founding { voters, invitations: invitations(3) }).expect("valid");
        assert_eq!((manifest.founders.len(), manifest.invitations.len()), (2, 3));
        let founding = Founding { voters: BTreeSet::new(), invitations: invitations(16) };
        let many = self::manifest(&founding);
        let error = many.expect_err("17 of 16").to_string();
        assert!(error.contains("rounds.max_members is 16"), "{error}");
    }
}
