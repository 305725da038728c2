//! Keys are free: what many of them that have just come can do.

use super::{Case, Place, Plan, silence, vouch};
use crate::{
    attack::{Attack, Saying, Scene, Serve, Shared, shared},
    work::{self, Objects},
    world::to_all,
};
use store::Hash;
use swarm::{AuditJob, AuditOutcome, Event, Identity, Join, Message, Signed, TrainJob, Trained};

#[derive(Clone, Copy, PartialEq, Eq)]
enum New {
    /// Asks to be let in and does nothing more.
    Idle,
    /// Turns updates around from the first; they confirm each other and accuse all others.
    Gang,
    /// The same from the end of probation on: bought votes.
    Bought,
    /// Commits, and serves nothing.
    Deaf,
    /// Asks again and again with the join it came with, and with others'.
    Old,
    /// Asks with a new join at every occasion.
    Many,
    /// Works as it should: one machine, so many keys.
    Split,
}

struct Newcomer {
    new: New,
    plan: Plan,
    heard: Vec<Vec<u8>>,
}

fn newcomer(new: New, plan: &Plan) -> Shared {
    shared(Newcomer { new, plan: plan.clone(), heard: Vec::new() })
}

impl Newcomer {
    fn is_bad(&self, scene: &Scene) -> bool {
        let me = scene.identity.id();
        let member = scene.node.and_then(|n| n.chain_state()?.member(&me));
        match self.new {
            New::Gang => true,
            New::Bought => member.is_some_and(|m| m.votes(&scene.run.rules)),
            _ => false,
        }
    }

    fn another_join(scene: &mut Scene) -> Vec<Saying> {
        let height = scene.node.and_then(|n| n.status().height).unwrap_or(0);
        let nonce = Hash::of(&scene.rng.next().to_le_bytes());
        let join = Join { nonce, height, chain: nonce, invitation: None };
        let mine = Message::Join(Signed::seal(scene.identity, &scene.run.id, join));
        let stranger = Identity::from_seed(nonce.0);
        let other = Message::Join(Signed::seal(&stranger, &scene.run.id, join));
        [to_all(scene, &mine), to_all(scene, &other)].concat()
    }
}

impl Attack for Newcomer {
    fn train(&mut self, scene: &mut Scene, job: &TrainJob, objects: &mut Objects) -> Trained {
        match self.is_bad(scene) {
            true => work::changed(job, objects, |v| -v),
            false => work::train(job, objects),
        }
    }

    fn audit(&mut self, scene: &mut Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        match (self.is_bad(scene), self.plan.is_friend(&job.job.worker)) {
            (false, _) => honest,
            (true, true) => vouch(),
            (true, false) => AuditOutcome::Mismatch { part: 0 },
        }
    }

    fn says(&mut self, scene: &mut Scene, _: usize, message: &Message) -> Option<Vec<Saying>> {
        match (self.new, message) {
            (New::Idle, Message::Join(_)) => None,
            (New::Idle, _) => silence(),
            (New::Old, Message::Join(join)) if join.author() == scene.identity.id() => {
                if self.heard.len() < 64 {
                    self.heard.push(message.to_bytes());
                }
                None
            }
            _ => None,
        }
    }

    fn besides(&mut self, scene: &mut Scene, _: &Event) -> Vec<Saying> {
        match self.new {
            New::Many if scene.rng.chance(5) => Self::another_join(scene),
            New::Old if scene.rng.chance(5) && !self.heard.is_empty() => {
                let at = scene.rng.range(0, self.heard.len() as u64 - 1) as usize;
                let bytes = &self.heard[at];
                let others = (0..scene.everybody.len()).filter(|n| *n != scene.me);
                others.map(|n| (n, 0, bytes.clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    fn serves(&mut self, _: &mut Scene, _: &Hash, _: usize) -> Serve {
        match self.new {
            New::Deaf => Serve::Never,
            _ => Serve::Honestly,
        }
    }
}

const fn newcomers(
    name: &'static str,
    what: &'static str,
    (keys, founders): (usize, usize),
    make: fn(&Plan) -> Shared,
) -> Case {
    Case { name, what, place: Place::Newcomers { keys, founders }, made_up: None, make }
}

pub(super) const CASES: &[Case] = &[
    newcomers("fresh keys (F7)", "12 fresh keys against four, one gang", (12, 4), |p| {
        newcomer(New::Gang, p)
    }),
    newcomers("bought votes", "12 fresh keys that wait until they vote", (12, 4), |p| {
        newcomer(New::Bought, p)
    }),
    newcomers("idle (F15)", "40 keys that join and do nothing", (40, 4), |p| {
        newcomer(New::Idle, p)
    }),
    newcomers("deaf", "keys that commit and serve nothing", (8, 4), |p| newcomer(New::Deaf, p)),
    newcomers("old joins", "join again with what they joined with", (4, 4), |p| {
        newcomer(New::Old, p)
    }),
    newcomers("many joins", "a new join at every occasion", (8, 4), |p| newcomer(New::Many, p)),
    newcomers("split", "one machine over ten keys", (10, 4), |p| newcomer(New::Split, p)),
];
