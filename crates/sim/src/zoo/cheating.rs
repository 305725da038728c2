//! Work that was not done, or not as it should have been.

use super::{Case, Plan, founders, shards, silence, vouch};
use crate::{
    attack::{Attack, Saying, Scene, Shared, shared},
    work::{self, Objects},
};
use ids::{Hash, PeerId};
use std::collections::BTreeMap;
use swarm::{AuditJob, AuditOutcome, Message, ObjectRef, TrainJob, TrainOutput, Trained};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cheat {
    /// Makes up the steps for which a number divides them.
    Every(u32),
    /// All but the first.
    Most,
    /// Everything, in one round, and is gone.
    Once,
    /// A huge update in one round, and is gone.
    Poison,
    /// Half of the steps, from the end of its probation on.
    Settled,
    /// Most of them; its friends say that all is well, and accuse whoever says otherwise.
    Backed,
    /// The update turned around.
    Flip,
    /// What it handed in the round before.
    Again,
    /// What somebody else of its friends handed in.
    Share,
    /// A carry that no training leaves.
    Carry,
    /// An update that is no number.
    NotANumber,
    /// Objects that are shorter than said.
    Short,
    /// Pieces of the corpus as its trail, update and carry.
    Named,
    /// The base's model as its trail's name.
    Base,
}

struct Cheater {
    cheat: Cheat,
    plan: Plan,
    gone: bool,
    before: BTreeMap<PeerId, TrainOutput>,
    height: u64,
    theirs: Option<TrainOutput>,
}

fn cheater(cheat: Cheat, plan: &Plan) -> Shared {
    let (plan, before) = (plan.clone(), BTreeMap::new());
    shared(Cheater { cheat, plan, gone: false, before, height: 0, theirs: None })
}

/// The contribution of somebody that makes up every `every`-th step.
pub(super) fn partly(
    scene: &Scene,
    job: &TrainJob,
    objects: &mut Objects,
    made_up: impl Fn(u32) -> bool,
) -> Trained {
    let states = work::partly_made_up(job, scene.identity, made_up);
    let trained = work::commit_to(job, &states, objects);
    // It can show what it made up.
    states.into_iter().for_each(|state| {
        work::put(objects, state);
    });
    trained
}

impl Cheater {
    fn share(&mut self, job: &TrainJob, trained: Trained) -> Trained {
        if self.height == job.height
            && let Some(output) = self.theirs
        {
            return Trained { output, kept: Vec::new() };
        }
        (self.height, self.theirs) = (job.height, Some(trained.output));
        trained
    }

    fn again(&mut self, job: &TrainJob, trained: Trained) -> Trained {
        let before = self.before.insert(job.worker, trained.output);
        match before.filter(|b| b.trail.len == trained.output.trail.len) {
            Some(output) => Trained { output, kept: Vec::new() },
            None => trained,
        }
    }
}

/// The name of an object of this length that everybody has.
fn named(len: u64) -> ObjectRef {
    let shard = shards().into_iter().find(|s| s.len() as u64 == len).unwrap_or_default();
    ObjectRef { hash: Hash::of(&shard), len }
}

/// An object that is shorter than its name says.
fn short(objects: &mut Objects, len: u64) -> ObjectRef {
    ObjectRef { len, ..work::put(objects, vec![7; len as usize / 2]) }
}

impl Attack for Cheater {
    fn train(&mut self, scene: &mut Scene, job: &TrainJob, objects: &mut Objects) -> Trained {
        let member = scene.node.and_then(|n| n.chain_state()?.member(&job.worker));
        let past = member.is_some_and(|m| m.clean >= scene.run.rules.probation);
        match self.cheat {
            Cheat::Every(every) => {
                let from = job.height as u32;
                partly(scene, job, objects, |step| (step + from).is_multiple_of(every))
            }
            Cheat::Most | Cheat::Backed => partly(scene, job, objects, |step| step > 0),
            Cheat::Once if job.round == 2 => partly(scene, job, objects, |_| true),
            Cheat::Poison if job.round == 2 => work::changed(job, objects, |v| -1e6 * v),
            Cheat::Settled if past => partly(scene, job, objects, |step| step % 2 == 0),
            Cheat::Flip => work::changed(job, objects, |v| -v),
            Cheat::NotANumber => work::changed(job, objects, |_| f32::NAN),
            Cheat::Again => {
                let trained = work::train(job, objects);
                self.again(job, trained)
            }
            Cheat::Share => {
                let trained = work::train(job, objects);
                self.share(job, trained)
            }
            Cheat::Carry => {
                let mut trained = work::train(job, objects);
                trained.output.carry = work::put(objects, vec![0xff; work::CARRY_LEN as usize]);
                trained
            }
            Cheat::Short => {
                let mut trained = work::train(job, objects);
                trained.output.trail = short(objects, trained.output.trail.len);
                trained.output.carry = short(objects, trained.output.carry.len);
                trained
            }
            Cheat::Named => {
                let mut trained = work::train(job, objects);
                trained.output.trail = named(trained.output.trail.len);
                trained.output.update = named(trained.output.update.len);
                trained.output.carry = named(trained.output.carry.len);
                trained
            }
            Cheat::Base => {
                let mut trained = work::train(job, objects);
                trained.output.trail.hash = job.base.model.hash;
                trained
            }
            Cheat::Once | Cheat::Poison | Cheat::Settled => work::train(job, objects),
        }
    }

    fn audit(&mut self, _: &mut Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        match (self.plan.is_friend(&job.job.worker), self.cheat) {
            (true, Cheat::Backed) => vouch(),
            (true, _) => match honest {
                AuditOutcome::Mismatch { .. } => vouch(),
                other => other,
            },
            (false, Cheat::Backed) => AuditOutcome::Mismatch { part: 0 },
            (false, _) => honest,
        }
    }

    fn says(&mut self, scene: &mut Scene, _: usize, message: &Message) -> Option<Vec<Saying>> {
        let leaves = matches!(self.cheat, Cheat::Once | Cheat::Poison);
        if let (true, Message::Commit(commit)) = (leaves, message)
            && commit.body().round > 2
            && commit.author() == scene.identity.id()
        {
            self.gone = true;
        }
        if self.gone { silence() } else { None }
    }
}

pub(super) const CASES: &[Case] = &[
    founders("made-up", "makes up all steps but the first", Some(0.875), |p| {
        cheater(Cheat::Most, p)
    }),
    founders("half", "makes up every second step", Some(0.5), |p| cheater(Cheat::Every(2), p)),
    founders("eighth", "makes up every eighth step", Some(0.125), |p| cheater(Cheat::Every(8), p)),
    founders("once", "makes one contribution up and leaves", None, |p| cheater(Cheat::Once, p)),
    founders("poison", "hands in one huge update and leaves", None, |p| cheater(Cheat::Poison, p)),
    founders("patient", "makes up half once it is past probation", None, |p| {
        cheater(Cheat::Settled, p)
    }),
    founders("backed (F8)", "cheats that confirm each other and accuse the others", None, |p| {
        cheater(Cheat::Backed, p)
    }),
    founders("turned", "turns its update around", Some(1.0), |p| cheater(Cheat::Flip, p)),
    founders("again", "hands in last round's work again", None, |p| cheater(Cheat::Again, p)),
    founders("shared", "several keys hand in one contribution", None, |p| cheater(Cheat::Share, p)),
    founders("carry", "a forged carry", Some(1.0), |p| cheater(Cheat::Carry, p)),
    founders("no number", "an update that is no number", None, |p| cheater(Cheat::NotANumber, p)),
    founders("short (F4)", "objects of another length than said", None, |p| {
        cheater(Cheat::Short, p)
    }),
    founders("named (F3)", "names everybody's objects as its own", None, |p| {
        cheater(Cheat::Named, p)
    }),
    founders("base", "names the base as its trail", None, |p| cheater(Cheat::Base, p)),
];
