//! The manifest of a co-training run: everything its result depends on, in one short TOML text
//! whose hash is the run's id.

use ids::{Hash, ObjectRef};
use model::Arithmetic;
use serde::{Deserialize, Serialize};

/// The version of this manifest and of the rules that its run follows.
pub const FORMAT: u32 = 2;
/// Most bytes of a manifest.
pub const MAX_MANIFEST: usize = 1 << 20;
/// Most tokens of one inner step, so that a manifest cannot ask for endless work between checks.
const MAX_STEP_TOKENS: usize = 1 << 22;

/// What a run is. A participant needs this, the objects it names and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Which arithmetic gives the bits of training.
    pub arithmetic: Arithmetic,
    /// For people: 1 to 64 characters.
    pub name: String,
    /// Public key of who signs the genesis record, 64 hex digits.
    pub founder: Hash,
    /// Public keys of the founding voters, the founder's among them; ascending.
    pub founders: Vec<Hash>,
    /// Public keys of single-use invitations, each of which makes one more key a founding voter;
    /// ascending.
    pub invitations: Vec<Hash>,
    /// Seed of the initial parameters, where the run does not go on from another's.
    pub seed: u64,
    /// The corpus manifest; its hash is the corpus root.
    pub corpus: ObjectRef,
    /// The state to begin from, for a run that goes on from another run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Shape of the model.
    pub model: model::Decoder,
    /// What each worker does between two roots.
    pub inner: Inner,
    /// How updates become the next root.
    pub outer: Outer,
    /// How rounds go.
    pub rounds: Rounds,
}

/// A state of another run, as its last record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The model's manifest.
    pub model: ObjectRef,
    /// The outer optimizer's state.
    pub outer: ObjectRef,
}

/// Inner optimisation: AdamW, whose moments a worker carries from one round into its next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inner {
    /// Tokens of one sequence.
    pub seq: usize,
    /// Sequences of one step.
    pub batch: usize,
    /// Highest learning rate.
    pub lr: f32,
    /// Part of the run over which the rate rises to it.
    pub warmup: f32,
    /// How it falls after that: `cosine`, `wsd` or `constant`.
    pub schedule: ScheduleKind,
    /// First moment's decay.
    pub beta1: f32,
    /// Second moment's decay.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f32,
    /// Largest global norm of a gradient.
    pub clip: f32,
}

/// Names of learning-rate schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Half a cosine down to a tenth.
    Cosine,
    /// Constant, then linear to zero over the last fifth.
    Wsd,
    /// Constant.
    Constant,
}

/// Outer optimisation: the clipped, step-weighted mean of updates through Nesterov momentum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outer {
    /// Learning rate.
    pub lr: f32,
    /// Momentum.
    pub momentum: f32,
    /// An update longer than this many times the median is shortened to it.
    pub clip: f32,
}

/// The protocol's numbers, in the units people think in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rounds {
    /// How many.
    pub rounds: u32,
    /// Fewest inner steps of a contribution.
    pub steps_min: u32,
    /// Most inner steps of a contribution.
    pub steps_max: u32,
    /// A training state is kept for auditors after every so many steps; those between are computed
    /// again when they are asked for. It costs only the disk of who contributes.
    pub keep_every: u32,
    /// Seconds the run should take; 0: every worker does `steps_max`, however long it takes.
    pub target_seconds: f64,
    /// How long to wait for contributions before going on without the missing ones.
    pub commit_timeout_seconds: f64,
    /// First timeout of an agreement's view.
    pub view_timeout_seconds: f64,
    /// How long to wait for the auditors' draws.
    pub draw_timeout_seconds: f64,
    /// How long to wait for audits.
    pub audit_timeout_seconds: f64,
    /// Clean audited rounds before a member is only sampled.
    pub probation: u32,
    /// Inner steps of each contribution that are re-run after that, all auditors together, in the
    /// mean.
    pub audit_steps: f64,
    /// Rate of whole re-runs after that.
    pub audit_rate: f64,
    /// Rate at which an audit is made a second time, by somebody else, and compared.
    pub recheck_rate: f64,
    /// The run begins when so many have joined.
    pub min_members: u32,
    /// No more than so many may.
    pub max_members: u32,
    /// Missing so many rounds running makes a member absent.
    pub absent_after: u32,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            seq: 256,
            batch: 8,
            lr: 3e-3,
            warmup: 0.05,
            schedule: ScheduleKind::Cosine,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            clip: 1.0,
        }
    }
}

impl Default for Outer {
    /// Measured over 20 rounds of 30 steps: better than DiLoCo's 0.7 and 0.9, whose momentum needs
    /// hundreds of rounds to pay.
    fn default() -> Self {
        Self { lr: 1.0, momentum: 0.5, clip: 2.0 }
    }
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            rounds: 20,
            steps_min: 8,
            steps_max: 64,
            keep_every: 8,
            target_seconds: 0.0,
            commit_timeout_seconds: 60.0,
            view_timeout_seconds: 4.0,
            draw_timeout_seconds: 10.0,
            audit_timeout_seconds: 60.0,
            probation: 2,
            audit_steps: 1.25,
            audit_rate: 0.0025,
            recheck_rate: 0.1,
            min_members: 1,
            max_members: 16,
            absent_after: 2,
        }
    }
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Not TOML of the fields above.
    #[error("run manifest: {0}")]
    Malformed(String),
    /// The manifest of a run under rules that this program follows no more.
    #[error(
        "run manifest: its format is {0}, this program follows {FORMAT}; a new run can go on from \
         the last root of the old one with `understory swarm continue FOLDER`"
    )]
    Old(u32),
    /// A value out of range.
    #[error("run manifest: {field} is {value}, must be {must}")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold, in words.
        must: String,
    },
    /// The model's shape.
    #[error(transparent)]
    Model(#[from] model::DecoderError),
}

impl RunManifest {
    /// The text that is hashed.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field of a manifest has a TOML form")
    }

    /// The run's id.
    pub fn id(&self) -> Hash {
        Hash::of(self.to_toml().as_bytes())
    }

    /// Reads a manifest and checks every number in it.
    ///
    /// Errors: [`RunError`] naming the field, its value and what it must be.
    pub fn parse(bytes: &[u8]) -> Result<Self, RunError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(RunError::Malformed(format!("{} bytes are too many", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| RunError::Malformed(e.to_string()))?;
        // What other formats have for fields is not known here: the number comes first.
        if let Ok(Numbered { format: old @ 1..FORMAT }) = toml::from_str(text) {
            return Err(RunError::Old(old));
        }
        let manifest: Self =
            toml::from_str(text).map_err(|e| RunError::Malformed(e.to_string()))?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Checks every bound; what the protocol's rules say is checked there.
    pub fn validate(&self) -> Result<(), RunError> {
        self.model.validate()?;
        let inner = &self.inner;
        check("format", self.format, self.format == FORMAT, &FORMAT.to_string())?;
        let plain = (1..=64).contains(&self.name.chars().count());
        check("name", self.name.len(), plain, "1 to 64 characters long")?;
        let seq = (1..=self.model.context).contains(&inner.seq);
        check("inner.seq", inner.seq, seq, "from 1 to model.context")?;
        let tokens = inner.batch.checked_mul(inner.seq + 1);
        let batch = inner.batch > 0 && tokens.is_some_and(|t| t <= MAX_STEP_TOKENS);
        check("inner.batch", inner.batch, batch, "positive, at most 4 Mi tokens a step")?;
        within("inner.lr", inner.lr, 0.0, 1.0)?;
        within("inner.warmup", inner.warmup, 0.0, 1.0)?;
        within("inner.beta1", inner.beta1, 0.0, 0.9999)?;
        within("inner.beta2", inner.beta2, 0.0, 0.99999)?;
        within("inner.eps", inner.eps, 1e-12, 1.0)?;
        within("inner.weight_decay", inner.weight_decay, 0.0, 10.0)?;
        within("inner.clip", inner.clip, 1e-6, 1e6)?;
        within("outer.lr", self.outer.lr, 0.0, 10.0)?;
        within("outer.momentum", self.outer.momentum, 0.0, 0.9999)?;
        within("outer.clip", self.outer.clip, 1.0, 1e6)?;
        self.validate_founders()?;
        within("rounds.audit_rate", self.rounds.audit_rate as f32, 0.0, 1.0)?;
        within("rounds.recheck_rate", self.rounds.recheck_rate as f32, 0.0, 1.0)?;
        within("rounds.audit_steps", self.rounds.audit_steps as f32, 0.0, 1000.0)?;
        let keep = self.rounds.keep_every;
        check("rounds.keep_every", keep, keep > 0, "at least 1")?;
        let day = 86_400.0;
        for (field, seconds) in [
            ("rounds.target_seconds", self.rounds.target_seconds),
            ("rounds.commit_timeout_seconds", self.rounds.commit_timeout_seconds),
            ("rounds.view_timeout_seconds", self.rounds.view_timeout_seconds),
            ("rounds.draw_timeout_seconds", self.rounds.draw_timeout_seconds),
            ("rounds.audit_timeout_seconds", self.rounds.audit_timeout_seconds),
        ] {
            within(field, seconds as f32, 0.0, 365.0 * day)?;
        }
        Ok(())
    }

    /// Every key stands once, and all fit in the run.
    fn validate_founders(&self) -> Result<(), RunError> {
        let ascend = |keys: &[Hash]| keys.is_sorted_by(|a, b| a < b);
        let Self { founder, founders, invitations, .. } = self;
        let fine = ascend(founders) && founders.binary_search(founder).is_ok();
        check("founders", founders.len(), fine, "ascending keys, the founder's among them")?;
        let fine = ascend(invitations)
            && !invitations.iter().any(|key| founders.binary_search(key).is_ok());
        check("invitations", invitations.len(), fine, "ascending keys, none a founder's")?;
        let (all, most) = (founders.len() + invitations.len(), self.rounds.max_members);
        let fine = u32::try_from(all).is_ok_and(|all| all <= most);
        check("founders", all, fine, "at most rounds.max_members, with the invitations")
    }

    /// Parameters of the model.
    pub fn parameters(&self) -> usize {
        self.model.parameters() as usize
    }

    /// Tokens one worker sees in one inner step.
    pub fn step_tokens(&self) -> u64 {
        (self.inner.batch * self.inner.seq) as u64
    }
}

/// The one field that manifests of every format have.
#[derive(Deserialize)]
struct Numbered {
    format: u32,
}

fn check(
    field: &'static str,
    value: impl ToString,
    holds: bool,
    must: &str,
) -> Result<(), RunError> {
    if holds {
        return Ok(());
    }
    let value = value.to_string().chars().take(80).collect();
    Err(RunError::Range { field, value, must: must.to_owned() })
}

fn within(field: &'static str, value: f32, least: f32, most: f32) -> Result<(), RunError> {
    // NaN is in no range.
    check(field, value, (least..=most).contains(&value), &format!("from {least} to {most}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest() -> RunManifest {
        RunManifest {
            format: FORMAT,
            arithmetic: Arithmetic::Strict1,
            name: "test".into(),
            founder: Hash([1; 32]),
            founders: vec![Hash([1; 32]), Hash([3; 32])],
            invitations: vec![Hash([2; 32])],
            seed: 7,
            corpus: ObjectRef::of(b"corpus"),
            start: None,
            model: model::Decoder { context: 32, ..model::Decoder::tiny(512) },
            inner: Inner { seq: 16, batch: 2, ..Inner::default() },
            outer: Outer::default(),
            rounds: Rounds { steps_min: 4, steps_max: 8, keep_every: 2, ..Rounds::default() },
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        let manifest = manifest();
        let text = manifest.to_toml();
        let read = RunManifest::parse(text.as_bytes()).expect("round trip");
        assert_eq!(read, manifest);
        assert_eq!(read.id(), Hash::of(text.as_bytes()));
        let start = Start { model: ObjectRef::of(b"m"), outer: ObjectRef::of(b"o") };
        let later = RunManifest { start: Some(start), ..manifest };
        let read = RunManifest::parse(later.to_toml().as_bytes()).expect("round trip");
        assert_eq!(read.start, Some(start));
        assert_ne!(read.id(), Hash::of(text.as_bytes()));
    }

    #[test]
    fn a_manifest_of_the_first_format_is_refused_by_name_with_the_way_over() {
        let text = "format = 1\nprofile = \"strict-1\"\nname = \"old\"\nseed = 1\n";
        let error = RunManifest::parse(text.as_bytes()).expect_err("another format");
        assert!(matches!(error, RunError::Old(1)));
        assert!(error.to_string().contains("understory swarm continue"), "{error}");
        let later = manifest().to_toml().replace("format = 2", "format = 3");
        let error = RunManifest::parse(later.as_bytes()).expect_err("a later format");
        assert!(error.to_string().contains("format is 3, must be 2"), "{error}");
    }

    #[test]
    fn founding_voters_are_distinct_and_the_founder_is_one() {
        let key = |byte| Hash([byte; 32]);
        let holds = |founders: &[u8], invitations: &[u8]| {
            let mut manifest = manifest();
            manifest.founders = founders.iter().copied().map(key).collect();
            manifest.invitations = invitations.iter().copied().map(key).collect();
            manifest.rounds.max_members = 4;
            manifest.validate().is_ok()
        };
        assert!(holds(&[1], &[]) && holds(&[0, 1, 4], &[2]));
        assert!(!holds(&[], &[2]) && !holds(&[2, 3], &[]), "without the founder");
        assert!(!holds(&[2, 1], &[]) && !holds(&[1, 1], &[]) && !holds(&[1], &[3, 2]));
        assert!(!holds(&[1], &[2, 2]) && !holds(&[1, 2], &[2]), "an invitation twice");
        assert!(!holds(&[1, 2, 3], &[4, 5]), "more than members");
    }

    #[test]
    fn names_the_field_that_is_out_of_range() {
        for (change, field) in [
            ((|m: &mut RunManifest| m.inner.seq = 33) as fn(&mut RunManifest), "inner.seq"),
            (|m| m.inner.batch = usize::MAX, "inner.batch"),
            (|m| m.inner.lr = f32::NAN, "inner.lr"),
            (|m| m.rounds.draw_timeout_seconds = f64::NAN, "rounds.draw_timeout_seconds"),
            (|m| m.rounds.audit_steps = -1.0, "rounds.audit_steps"),
            (|m| m.rounds.recheck_rate = 1.5, "rounds.recheck_rate"),
            (|m| m.rounds.keep_every = 0, "rounds.keep_every"),
            (|m| m.rounds.target_seconds = f64::INFINITY, "rounds.target_seconds"),
            (|m| m.outer.momentum = 1.0, "outer.momentum"),
            (|m| m.name = String::new(), "name"),
        ] {
            let mut manifest = manifest();
            change(&mut manifest);
            let error = manifest.validate().expect_err(field).to_string();
            assert!(error.contains(field), "{error}");
        }
        let other = manifest().to_toml().replace("\"strict-1\"", "\"fast\"");
        let error = RunManifest::parse(other.as_bytes()).expect_err("no such arithmetic");
        let error = error.to_string();
        assert!(
            ["fast", "strict-1", "strict-i8"].iter().all(|part| error.contains(part)),
            "{error}"
        );
        let unknown = format!("surprise = 1\n{}", manifest().to_toml());
        let error = RunManifest::parse(unknown.as_bytes()).expect_err("unknown field");
        assert!(error.to_string().contains("surprise"), "{error}");
    }
}
