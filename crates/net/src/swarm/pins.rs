//! What is never removed, whoever asks: the run and what it names, what the store's refs name, the
//! newest states.

use ids::Hash;
use std::collections::BTreeSet;
use store::{Store, StoreError};
use swarm::{State, Worker};

/// The run's manifest and everything it names, such as corpus and tokenizer.
#[derive(Debug)]
pub(crate) struct Pins {
    run: BTreeSet<Hash>,
}

impl Pins {
    /// `run`: all objects that the run consists of.
    pub fn new(run: BTreeSet<Hash>) -> Self {
        Self { run }
    }

    /// Everything that must stay.
    fn named(
        &self,
        store: &Store,
        worker: &dyn Worker,
        states: &[State],
    ) -> Result<BTreeSet<Hash>, StoreError> {
        let mut named = self.run.clone();
        let refs = store.refs()?.into_iter().map(|(_, hash)| hash);
        let states = states.iter().flat_map(|state| [state.model.hash, state.outer.hash]);
        for hash in refs.chain(states) {
            // What is no manifest of this run's model names nothing that would have to stay.
            let parts = store.get(&hash).ok().and_then(|bytes| worker.model_parts(&bytes).ok());
            named.extend(parts.unwrap_or_default().into_iter().map(|part| part.hash));
            named.insert(hash);
        }
        Ok(named)
    }
}

/// Removes `objects` but what is named. Removes nothing where it cannot be read what is named.
pub(crate) fn discard(
    store: &Store,
    worker: &dyn Worker,
    pins: &Pins,
    states: &[State],
    objects: &[Hash],
) -> Result<(), StoreError> {
    let named = pins.named(store, worker, states)?;
    for hash in objects {
        if named.contains(hash) {
            tracing::warn!("object {} is named and stays, though it was to go", hash.short());
        } else {
            store.remove(hash)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ids::ObjectRef;
    use swarm::{
        AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Control, OpenJob, TrainJob, Trained,
        WorkError,
    };

    /// Knows only manifests: CBOR lists of references.
    struct Reader;

    impl Worker for Reader {
        fn train(&self, _: &TrainJob, _: &Control) -> Result<Trained, WorkError> {
            Err(WorkError::Cancelled)
        }

        fn open(&self, _: &OpenJob, _: &Control) -> Result<Vec<ObjectRef>, WorkError> {
            Err(WorkError::Cancelled)
        }

        fn audit(&self, _: &AuditJob, _: &Control) -> Result<AuditOutcome, WorkError> {
            Err(WorkError::Cancelled)
        }

        fn aggregate(&self, _: &AggregateJob) -> Result<AggregateOutput, WorkError> {
            Err(WorkError::Cancelled)
        }

        fn model_parts(&self, manifest: &[u8]) -> Result<Vec<ObjectRef>, WorkError> {
            minicbor::decode(manifest).map_err(|e| WorkError::Other(e.to_string()))
        }
    }

    /// A commit that names other people's objects as its leaves, asked to be dropped one by one.
    #[test]
    fn a_drop_removes_nothing_that_the_run_a_ref_or_a_state_names() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("open");
        let put = |text: &str| {
            store.put(text.as_bytes()).expect("put");
            ObjectRef::of(text.as_bytes())
        };
        let model = |tensors: &[ObjectRef]| {
            let manifest = minicbor::to_vec(tensors).expect("encode");
            store.put(&manifest).expect("put");
            ObjectRef::of(&manifest)
        };
        let run = ["manifest", "corpus", "shard", "tokenizer"].map(put);
        let tensors = ["tensor", "another"].map(put);
        let state = State { model: model(&tensors), outer: put("outer state") };
        let published = ["published tensor"].map(put);
        let (by_ref, plain) = (model(&published), put("a charter"));
        store.set_ref("model", &by_ref.hash).expect("set");
        store.set_ref("charter", &plain.hash).expect("set");
        let leaves = ["leaf", "another leaf"].map(put);

        let pins = Pins::new(run.iter().map(|o| o.hash).collect());
        let all: Vec<Hash> = store.objects().expect("list");
        discard(&store, &Reader, &pins, &[state], &all).expect("removed");
        for leaf in leaves {
            assert!(!store.has(&leaf.hash), "what nothing names is gone");
        }
        assert_eq!(store.objects().expect("list").len(), all.len() - leaves.len());

        std::fs::write(folder.path().join("refs/model"), "torn").expect("damage it");
        let leaf = put("a third leaf");
        assert!(discard(&store, &Reader, &pins, &[state], &[leaf.hash]).is_err());
        assert!(store.has(&leaf.hash), "who cannot know what is named removes nothing");
    }
}
