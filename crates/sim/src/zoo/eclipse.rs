//! A newcomer is shown another past.

use super::{Case, Place, Plan};
use crate::{
    attack::{Attack, Saying, Scene, Shared, shared},
    world::to_all,
};
use swarm::{Event, Message, SignedRecord};

struct Eclipse {
    plan: Plan,
    /// Whether the other past is a whole one of a few keys, or the right one cut and changed.
    forks: bool,
}

impl Eclipse {
    /// Another record in the place of the newest, signed by all friends.
    fn fork(&self, scene: &Scene, original: &SignedRecord) -> Option<SignedRecord> {
        let mut record = original.record().clone();
        record.contributions.pop()?;
        self.plan.decided(&scene.run.id, &record)
    }
}

impl Attack for Eclipse {
    fn besides(&mut self, scene: &mut Scene, event: &Event) -> Vec<Saying> {
        let Some(node) = scene.node else { return Vec::new() };
        let Some(newest) = node.chain().last() else { return Vec::new() };
        let asked = matches!(event, Event::Message { bytes, .. }
            if matches!(swarm::parse_message(bytes), Ok(Message::RecordsRequest { .. })));
        if !asked && !scene.rng.chance(3) {
            return Vec::new();
        }
        let mut chain: Vec<SignedRecord> = node.chain().to_vec();
        let last = chain.pop();
        if self.forks {
            chain.extend(last.and_then(|last| self.fork(scene, &last)));
        }
        let records = chain.iter().map(|r| r.to_bytes().into()).take(64).collect();
        let height = Some(newest.record().height + 1000);
        let head =
            Message::Head { run: scene.run.id, height, record: newest.hash(), elapsed_ms: 1 };
        let records = Message::Records { run: scene.run.id, records };
        [to_all(scene, &head), to_all(scene, &records)].concat()
    }
}

fn eclipse(forks: bool, plan: &Plan) -> Shared {
    shared(Eclipse { plan: plan.clone(), forks })
}

const fn beside_joiner(name: &'static str, what: &'static str, make: fn(&Plan) -> Shared) -> Case {
    Case { name, what, place: Place::BesideJoiner, made_up: None, make }
}

pub(super) const CASES: &[Case] = &[
    beside_joiner("eclipse", "shows a joiner a past with another end", |p| eclipse(true, p)),
    beside_joiner("stale", "shows a joiner an old past and a far head", |p| eclipse(false, p)),
];
