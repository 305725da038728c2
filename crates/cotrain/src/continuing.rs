//! A new run from the last model of an old one: `understory swarm continue`.

use crate::{Cause, MODEL_REF, RUN_REF};
use ids::{Hash, ObjectRef, PeerId};
use model::Arithmetic;
use recipe::{
    CorpusError, CorpusManifest, RunManifest, checkpoint,
    run::{FORMAT, Inner, Outer, Rounds, Start},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use store::{LogError, ManifestError, ModelManifest, Store, StoreError};
use swarm::{LogContentsError, parse_record};

/// What an old run and a new one share, as the old one's manifest has it. Manifests of format 1
/// have it too.
#[derive(Deserialize)]
struct Kept {
    corpus: ObjectRef,
    model: model::Decoder,
}

/// What may be another in the new run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    seed: u64,
    #[serde(default)]
    arithmetic: Arithmetic,
    inner: Inner,
    outer: Outer,
    rounds: Rounds,
}

/// A run in a folder, as far as a new one can begin from it.
pub struct OldRun {
    store: Store,
    id: Hash,
    kept: Kept,
    settings: toml::Table,
    /// Rounds done, and the state after them.
    last: (u32, Start),
}

impl OldRun {
    /// Opens the run of the peer in `folder`.
    ///
    /// Errors: there is none, or no state of it is whole in the peer's store.
    pub fn open(folder: &Path) -> Result<Self, OldRunError> {
        let store = Store::open_existing(folder.join("store"))?;
        let id = store.get_ref(RUN_REF)?.ok_or_else(|| OldRunError::NoRun(folder.to_owned()))?;
        let bytes = store.get(&id).map_err(manifest_error)?;
        let text = std::str::from_utf8(&bytes).map_err(manifest_error)?;
        let mut settings: toml::Table = text.parse().map_err(manifest_error)?;
        let kept: Kept = toml::from_str(text).map_err(manifest_error)?;
        let format = settings.get("format").and_then(toml::Value::as_integer).unwrap_or(0);
        let last = match format {
            1 => last_of_version_1(&store, &kept)?,
            f if f == i64::from(FORMAT) => last_state(folder, &store)?,
            other => return Err(OldRunError::Format(other)),
        };
        settings.retain(|key, _| {
            ["name", "seed", "arithmetic", "inner", "outer", "rounds"].contains(&key)
        });
        if let (1, Some(rounds)) = (format, settings.get_mut("rounds")) {
            translate(rounds);
        }
        Ok(Self { store, id, kept, settings, last })
    }

    /// The old run for people.
    pub fn words(&self) -> String {
        let (round, state) = &self.last;
        format!("model {} of run {} after round {round}", state.model.hash.short(), self.id.short())
    }

    /// The new run's manifest, still without founding voters; `changes` are settings that are to be
    /// others, as TOML.
    ///
    /// Errors: they set what cannot be changed, or what is no setting.
    pub fn manifest(&self, changes: &str, founder: PeerId) -> Result<RunManifest, ChangesError> {
        let settings = changed(self.settings.clone(), changes)?;
        let Settings { name, seed, arithmetic, inner, outer, rounds } = settings;
        Ok(RunManifest {
            format: FORMAT,
            arithmetic,
            name,
            founder: Hash(founder.0),
            founders: Vec::new(),
            invitations: Vec::new(),
            seed,
            corpus: self.kept.corpus,
            start: Some(self.last.1),
            model: self.kept.model.clone(),
            inner,
            outer,
            rounds,
        })
    }

    /// Copies the text, the tokenizer and the state to begin from into another store.
    ///
    /// Errors: an object is missing or damaged.
    pub fn copy(&self, into: &Store) -> Result<(), OldRunError> {
        let corpus = CorpusManifest::parse(&self.store.get(&self.kept.corpus.hash)?)?;
        let mut all = corpus.references();
        all.extend([self.kept.corpus, self.last.1.outer]);
        all.extend(parts(&self.store, &self.last.1.model)?);
        for object in all {
            let bytes = self.store.get(&object.hash).map_err(OldRunError::Object)?;
            into.put(&bytes)?;
        }
        Ok(())
    }
}

/// Why no new run can begin from an old one.
#[derive(Debug, thiserror::Error)]
pub enum OldRunError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The peer in this folder has no run.
    #[error("the peer in {0} has taken part in no run")]
    NoRun(PathBuf),
    /// The manifest cannot be read.
    #[error("the old run's manifest")]
    Manifest(#[source] Cause),
    /// The manifest has a format from before or after this program.
    #[error("the old run's manifest has format {0}, which is not known")]
    Format(i64),
    /// The log cannot be read.
    #[error("the log of the old run")]
    Log(#[source] LogError),
    /// The log is not what a peer writes.
    #[error(transparent)]
    LogContents(#[from] LogContentsError),
    /// A record cannot be read.
    #[error("a record of the old run")]
    Record(#[source] Cause),
    /// Of no decided model is every part in this folder.
    #[error("no model of this run is whole in {0}")]
    NothingWhole(PathBuf),
    /// No round has ended.
    #[error("the old run has no model yet")]
    NoModel,
    /// The corpus cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] ManifestError),
    /// An object is missing or damaged.
    #[error("an object of the old run")]
    Object(#[source] StoreError),
}

impl OldRunError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::NothingWhole(_) => Some("name the folder of another of its peers"),
            Self::NoModel => Some("begin a run with `understory swarm start`"),
            _ => None,
        }
    }
}

/// Why a new run cannot have these settings.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// They are no settings.
    #[error(transparent)]
    Text(#[from] toml::de::Error),
    /// A part that stays.
    #[error("[{0}] cannot be changed: the text and the model's shape stay")]
    Stays(&'static str),
}

fn manifest_error(error: impl Into<Cause>) -> OldRunError {
    OldRunError::Manifest(error.into())
}

/// A model's manifest and what it names.
fn parts(store: &Store, model: &ObjectRef) -> Result<Vec<ObjectRef>, OldRunError> {
    let mut all = ModelManifest::parse(&store.get(&model.hash)?)?.references();
    all.push(*model);
    Ok(all)
}

/// The newest decided state that is whole in the peer's store, and the rounds done by then.
fn last_state(folder: &Path, store: &Store) -> Result<(u32, Start), OldRunError> {
    let entries = store::Log::read(folder.join("log")).map_err(OldRunError::Log)?;
    let contents = swarm::read_log(entries.iter().map(Vec::as_slice))?;
    for bytes in contents.records.iter().rev() {
        let signed = parse_record(bytes).map_err(|e| OldRunError::Record(e.into()))?;
        let (round, state) = (signed.record().round, signed.record().state);
        let whole = parts(store, &state.model)
            .is_ok_and(|parts| parts.iter().chain([&state.outer]).all(|o| store.has(&o.hash)));
        if whole {
            return Ok((round, Start { model: state.model, outer: state.outer }));
        }
    }
    Err(OldRunError::NothingWhole(folder.to_owned()))
}

/// The newest model of a run under the first rules, whose records this program does not read. The
/// outer optimizer begins anew.
fn last_of_version_1(store: &Store, kept: &Kept) -> Result<(u32, Start), OldRunError> {
    let hash = store.get_ref(MODEL_REF)?.ok_or(OldRunError::NoModel)?;
    let model = ObjectRef { hash, len: store.get(&hash)?.len() as u64 };
    let outer = checkpoint::to_bytes(&vec![0.0; kept.model.parameters() as usize]);
    let outer = ObjectRef { hash: store.put(&outer)?, len: outer.len() as u64 };
    Ok((0, Start { model, outer }))
}

/// Leaves out what the first rules had for a setting and the second have not, or mean otherwise.
fn translate(rounds: &mut toml::Value) {
    if let Some(rounds) = rounds.as_table_mut() {
        rounds.retain(|key, _| !["leaf_every", "audit_segments", "audit_rate"].contains(&key));
    }
}

/// Settings with some of them changed.
///
/// Errors: a setting that is none, or that belongs to what stays.
fn changed(mut settings: toml::Table, changes: &str) -> Result<Settings, ChangesError> {
    let changes: toml::Table = changes.parse()?;
    for stays in ["model", "data"] {
        if changes.contains_key(stays) {
            return Err(ChangesError::Stays(stays));
        }
    }
    for (key, value) in changes {
        let value = match (settings.remove(&key), value) {
            (Some(toml::Value::Table(mut old)), toml::Value::Table(new)) => {
                old.extend(new);
                toml::Value::Table(old)
            }
            (_, value) => value,
        };
        settings.insert(key, value);
    }
    Ok(settings.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> toml::Table {
        let settings = Settings {
            name: "old".to_owned(),
            arithmetic: Arithmetic::default(),
            seed: 7,
            inner: Inner { seq: 64, ..Inner::default() },
            outer: Outer::default(),
            rounds: Rounds { rounds: 12, ..Rounds::default() },
        };
        toml::Table::try_from(settings).expect("has a form")
    }

    #[test]
    fn only_what_is_named_changes() {
        let new = changed(settings(), "name = 'new'\n[rounds]\nrounds = 3\n").expect("changes");
        assert_eq!((new.name.as_str(), new.seed, new.rounds.rounds), ("new", 7, 3));
        assert_eq!((new.inner.seq, new.rounds.steps_max), (64, Rounds::default().steps_max));
        let same = changed(settings(), "").expect("no changes");
        assert_eq!(toml::Table::try_from(same).expect("has a form"), settings());
    }

    #[test]
    fn what_stays_and_what_is_unknown_is_refused_by_name() {
        for (changes, word) in [
            ("[model]\ndim = 3\n", "[model]"),
            ("[data]\npaths = []\n", "[data]"),
            ("[rounds]\nronds = 3\n", "ronds"),
            ("founder = 'me'\n", "founder"),
            ("rounds = 3\n", "rounds"),
        ] {
            let error = changed(settings(), changes).expect_err(changes).to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn settings_of_the_first_rules_are_taken_over_where_they_mean_the_same() {
        let mut old = settings();
        let rounds = old.get_mut("rounds").expect("is there").as_table_mut().expect("a table");
        rounds.insert("leaf_every".to_owned(), 8.into());
        rounds.insert("audit_segments".to_owned(), 1.into());
        rounds.insert("audit_rate".to_owned(), 0.5.into());
        assert!(changed(old.clone(), "").is_err(), "they are unknown now");
        translate(old.get_mut("rounds").expect("is there"));
        let new = changed(old, "").expect("taken over");
        assert_eq!(new.rounds.rounds, 12);
        assert_eq!(new.rounds.audit_rate, Rounds::default().audit_rate);
    }
}
