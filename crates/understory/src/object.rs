//! Objects of a store that are no model, named as `STORE@HASH`: what a run or a corpus is, and what
//! is said where a model belongs.

use crate::{
    hint::hinted,
    inspect::shape_of,
    terminal,
    units::{bytes, count, plural},
};
use anyhow::{Error, Result, anyhow};
use engine::{split_root, store_at};
use ids::{Hash, Plain};
use recipe::{CorpusManifest, RunManifest};
use serde_json::json;
use std::{io::Write, path::Path};
use store::{ModelManifest, Store};

/// Most bytes of an object that is looked at: manifests are shorter.
const MAX_LOOKED_AT: u64 = 64 << 20;

/// What an object is.
enum Kind {
    Run(Box<RunManifest>),
    Corpus(Box<CorpusManifest>),
    /// Something of so many bytes that no command takes by its hash.
    Other(u64),
}

/// An object that somebody has named.
struct Object {
    store: Store,
    hash: Hash,
    kind: Kind,
}

/// Says what `text` names if it is a run or a corpus in a store; whether it is one.
///
/// Errors: it cannot be printed, or it is a run of rules that are not followed any more.
pub fn show(text: &str, json: bool) -> Result<bool> {
    let Some(object) = named(text) else { return Ok(false) };
    let said = match object? {
        Object { kind: Kind::Other(_), .. } => return Ok(false),
        Object { store, hash, kind: Kind::Run(run) } => match json {
            true => run_json(&store, hash, &run).to_string(),
            false => lines(run_lines(&store, hash, &run)),
        },
        Object { hash, kind: Kind::Corpus(corpus), .. } => match json {
            true => json!({ "kind": "corpus", "corpus": corpus_json(hash, &corpus) }).to_string(),
            false => lines(corpus_lines(hash, &corpus)),
        },
    };
    writeln!(terminal::stdout(), "{}", said.trim_end())?;
    Ok(true)
}

/// The error of naming an object as a model that is none; nothing where `text` names no object.
pub fn no_model(text: &str) -> Option<Error> {
    let Object { hash, kind, .. } = match named(text)? {
        Ok(object) => object,
        Err(error) => return Some(error),
    };
    let shown = format!("`understory inspect {text}` says more of it");
    Some(match kind {
        Kind::Run(_) => hinted(
            hinted(anyhow!("{hash} is a run, and no model"), shown),
            "the store's name alone, without @ and the hash, is the run's newest model",
        ),
        Kind::Corpus(_) => hinted(anyhow!("{hash} is a corpus, and no model"), shown),
        Kind::Other(len) => hinted(
            anyhow!("{hash} is no model: it is a part of one or of a run, of {}", bytes(len)),
            "`understory inspect STORE@ROOT --tensors` lists the parts of a model; `understory \
             verify FOLDER` looks at every object of a run",
        ),
    })
}

/// The object that `text` names, if it is there, whole and no model.
fn named(text: &str) -> Option<Result<Object>> {
    let (path, hash) = split_root(text);
    let (hash, store) = (hash?, store_at(Path::new(path)).ok()??);
    let len = store.len_of(&hash)?;
    if len > MAX_LOOKED_AT {
        return Some(Ok(Object { store, hash, kind: Kind::Other(len) }));
    }
    let bytes = store.get(&hash).ok()?;
    if ModelManifest::parse(&bytes).is_ok() {
        return None;
    }
    let kind = match (RunManifest::parse(&bytes), CorpusManifest::parse(&bytes)) {
        (Err(old @ recipe::RunError::Old(_)), _) => return Some(Err(old.into())),
        (Ok(run), _) => Kind::Run(Box::new(run)),
        (_, Ok(corpus)) => Kind::Corpus(Box::new(corpus)),
        _ => Kind::Other(len),
    };
    Some(Ok(Object { store, hash, kind }))
}

/// The corpus of a run, where its store keeps it.
fn corpus_of(store: &Store, run: &RunManifest) -> Option<CorpusManifest> {
    let bytes = store.get_bounded(&run.corpus.hash, MAX_LOOKED_AT).ok()?;
    CorpusManifest::parse(&bytes).ok()
}

type Lines = Vec<(&'static str, String)>;

fn lines(of: Lines) -> String {
    of.into_iter().map(|(name, text)| format!("{name:<13} {}\n", Plain(text))).collect()
}

fn run_lines(store: &Store, hash: Hash, run: &RunManifest) -> Lines {
    let (rounds, inner) = (&run.rounds, &run.inner);
    let steps = match rounds.steps_min == rounds.steps_max {
        true => rounds.steps_max.to_string(),
        false => format!("{} to {}", rounds.steps_min, rounds.steps_max),
    };
    let founders = plural(run.founders.len(), "founding voter");
    let mut lines = vec![
        ("run", hash.to_string()),
        ("name", run.name.clone()),
        ("arithmetic", run.arithmetic.to_string()),
        ("architecture", shape_of(&run.model)),
        ("context", format!("{} tokens", run.model.context)),
        ("parameters", count(run.model.parameters())),
        (
            "rounds",
            format!(
                "{} of {steps} steps, each of {} of {} tokens",
                rounds.rounds,
                plural(inner.batch, "sequence"),
                inner.seq
            ),
        ),
        ("founders", format!("{founders}, {}", plural(run.invitations.len(), "invitation"))),
    ];
    if let Some(start) = &run.start {
        lines.push(("begins from", start.model.hash.to_string()));
    }
    match corpus_of(store, run) {
        Some(corpus) => lines.extend(corpus_lines(run.corpus.hash, &corpus)),
        None => lines.push(("corpus", format!("{}, not in this store", run.corpus.hash))),
    }
    lines
}

fn corpus_lines(hash: Hash, corpus: &CorpusManifest) -> Lines {
    let text = bytes(corpus.train_bytes);
    let files = plural(usize::try_from(corpus.files).unwrap_or(usize::MAX), "file");
    vec![
        ("corpus", hash.to_string()),
        ("text", format!("{text} of {files}, {} tokens", count(corpus.tokens()))),
        ("from", corpus.source.clone()),
        ("vocabulary", format!("{} tokens", corpus.vocab)),
    ]
}

fn run_json(store: &Store, hash: Hash, run: &RunManifest) -> serde_json::Value {
    json!({
        "kind": "run", "id": hash, "parameters": run.model.parameters(), "manifest": run,
        "corpus": corpus_of(store, run).map(|corpus| corpus_json(run.corpus.hash, &corpus)),
    })
}

fn corpus_json(hash: Hash, corpus: &CorpusManifest) -> serde_json::Value {
    let CorpusManifest { vocab, train_bytes, files, source, licences, .. } = corpus;
    json!({
        "id": hash, "vocab": vocab, "tokens": corpus.tokens(), "bytes": train_bytes,
        "files": files, "from": source,
        "licences": licences.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
    })
}
