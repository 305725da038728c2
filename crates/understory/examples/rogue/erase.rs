//! F3 and F4: a member that names what others need as its own, so that it would go with its round.

use crate::peer::{Habit, Scene};
use ids::{Hash, ObjectRef};
use recipe::{CorpusManifest, RunManifest};
use std::collections::BTreeSet;
use swarm::{AuditJob, AuditOutcome, TrainOutput};

/// Which of its objects it names wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Update,
    Trail,
    Carry,
}

/// Works as it should in every second round, so that it stays; names in the others, one after the
/// other, what the run needs. What a length gives away is not taken into a record, so at last it
/// names what has the right length: another member's work.
pub struct Eraser {
    /// From which height on.
    pub from: u64,
    /// The object that carries the false name.
    pub field: Field,
    /// Only somebody else's work, at once.
    pub copies: bool,
    told: BTreeSet<Hash>,
}

impl Eraser {
    pub fn new(from: u64, field: Field, copies: bool) -> Self {
        Self { from, field, copies, told: BTreeSet::new() }
    }

    /// The objects of the run that nobody may lose.
    fn precious(scene: &Scene) -> Vec<(&'static str, Hash)> {
        let node = scene.node;
        let read = |hash: &Hash| scene.store.get(hash).ok();
        let mut all = Vec::new();
        let run = read(&node.run().id).and_then(|bytes| RunManifest::parse(&bytes).ok());
        let corpus = run.map(|run| run.corpus.hash);
        all.extend(corpus.map(|hash| ("corpus", hash)));
        if let Some(corpus) = corpus.and_then(|hash| CorpusManifest::parse(&read(&hash)?).ok()) {
            all.extend(corpus.shards.first().map(|shard| ("shard", shard.hash)));
            all.push(("tokenizer", corpus.tokenizer.hash));
            all.push(("held-out text", corpus.held_out_text.hash));
        }
        all.push(("first model", node.run().initial.model.hash));
        let state = node.status().state;
        all.extend([("model", state.model.hash), ("outer state", state.outer.hash)]);
        all
    }

    /// Somebody else's newest work of the same kind.
    fn others_work(&self, scene: &Scene) -> Option<ObjectRef> {
        let last = scene.node.chain_state()?.last.as_ref()?;
        let me = scene.identity.id();
        let other = last.contributions.iter().find(|c| c.author() != me)?.body();
        Some(match self.field {
            Field::Update => other.update,
            Field::Trail => other.trail,
            Field::Carry => other.carry,
        })
    }

    fn tell(&mut self, what: &str, hash: Hash) {
        if self.told.insert(hash) {
            println!("named {hash} {what}");
        }
    }
}

impl Habit for Eraser {
    fn claims(&mut self, scene: &Scene, height: u64, output: &mut TrainOutput) {
        if height < self.from || !(self.copies || (height - self.from).is_multiple_of(2)) {
            return;
        }
        let precious = Self::precious(scene);
        let turn = ((height - self.from) / 2) as usize;
        let field = match self.field {
            Field::Update => &mut output.update,
            Field::Trail => &mut output.trail,
            Field::Carry => &mut output.carry,
        };
        match precious.get(turn).filter(|_| !self.copies) {
            Some((what, hash)) => {
                field.hash = *hash;
                self.tell(what, *hash);
            }
            None => {
                let Some(object) = self.others_work(scene).filter(|o| o.len == field.len) else {
                    return;
                };
                *field = object;
                let what = match self.field {
                    Field::Update => "another's update",
                    Field::Trail => "another's trail",
                    Field::Carry => "another's carry",
                };
                self.tell(what, object.hash);
            }
        }
    }

    /// It could not re-run anything: for want of what the run consists of.
    fn finds(&mut self, scene: &Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        if self.copies {
            return honest;
        }
        let precious = Self::precious(scene);
        let (what, missing) = precious[job.id as usize % precious.len()];
        self.tell(what, missing);
        AuditOutcome::Unavailable { missing }
    }
}
