//! Keys are free: what many of them that have just come can do.

use super::{Case, Place, Plan, silence, vouch};
use crate::{
    attack::{Attack, Saying, Scene, Serve, Shared, shared},
    work::{self, Objects},
    world::to_all,
};
use ids::{Hash, Identity, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use swarm::{
    AuditJob, AuditOutcome, Event, Finding, Join, Message, Scope, Signed, TrainJob, Trained,
    Verdict,
};

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
    /// Asks with new joins all the time.
    Many,
    /// Works as it should: one machine, so many keys.
    Split,
    /// Each one cheats in a round of its own once it votes: as many repairs as can be.
    Turns,
    /// Commits, serves what it takes to be included, and no state that an audit needs later.
    Closed,
    /// Once it votes it neither shows links nor says what it found, and commits as late as counts.
    Silent,
    /// Says everything to every second peer only, and late.
    Whispers,
    /// Once it votes it says that all work is wrong.
    Accuses,
    /// Once it votes it says of what it drew that it is wrong, to each peer at another part.
    Gossips,
    /// Drips whatever it is asked for.
    Drips,
    /// Sends other bytes than it is asked for.
    Lies,
}

struct Newcomer {
    new: New,
    plan: Plan,
    heard: Vec<Vec<u8>>,
    /// Updates, trails and carries of its contributions: what it takes to be included.
    outputs: BTreeSet<Hash>,
    /// Heights that its members have spoken about last.
    said: BTreeMap<usize, Option<u64>>,
}

fn newcomer(new: New, plan: &Plan) -> Shared {
    shared(Newcomer {
        new,
        plan: plan.clone(),
        heard: Vec::new(),
        outputs: BTreeSet::new(),
        said: BTreeMap::new(),
    })
}

impl Newcomer {
    fn is_bad(&self, scene: &Scene) -> bool {
        let height = scene.node.and_then(|n| n.status().height).unwrap_or(0) as usize;
        match self.new {
            New::Gang => true,
            New::Bought => Self::votes(scene),
            New::Turns => Self::votes(scene) && height % 3 == scene.me % 3,
            _ => false,
        }
    }

    fn votes(scene: &Scene) -> bool {
        let me = scene.identity.id();
        let member = scene.node.and_then(|n| n.chain_state()?.member(&me));
        member.is_some_and(|m| m.votes(&scene.run.rules))
    }

    /// What a newcomer that votes and is silent makes of a message.
    fn silent(scene: &Scene, to: usize, message: &Message) -> Option<Vec<Saying>> {
        match message {
            Message::Show(_) | Message::Verdict(_) => silence(),
            Message::Commit(_) => {
                let late = scene.run.rules.commit_timeout_ms * 9 / 10;
                Some(vec![(to, late, message.to_bytes())])
            }
            _ => None,
        }
    }

    /// Whether this member says something about the newest record for the first time.
    fn is_first(&mut self, scene: &Scene) -> bool {
        let height = scene.node.and_then(|n| n.status().height);
        self.said.insert(scene.me, height) != Some(height)
    }

    /// Accuses everybody in the newest advance.
    fn accusations(scene: &Scene) -> Vec<Saying> {
        let last = scene.node.and_then(|n| n.chain_state()?.last.as_ref());
        let accuse = |contributor: PeerId, height: u64| {
            let (scope, finding) = (Scope::Dispute { part: 0 }, Finding::Mismatch { part: 0 });
            let verdict = Verdict { height, contributor, scope, finding };
            Message::Verdict(Signed::seal(scene.identity, &scene.run.id, verdict))
        };
        let work = last.into_iter().flat_map(|l| l.contributions.iter().map(|c| (c, l.height)));
        work.flat_map(|(c, height)| to_all(scene, &accuse(c.author(), height))).collect()
    }

    /// What it found in its draw, as it tells this peer.
    fn gossip(scene: &Scene, to: usize, verdict: &Signed<Verdict>) -> Option<Vec<Saying>> {
        let mut tale = *verdict.body();
        if tale.scope != Scope::Drawn || verdict.author() != scene.identity.id() {
            return None;
        }
        tale.finding = Finding::Mismatch { part: (to % 3) as u32 };
        let tale = Message::Verdict(Signed::seal(scene.identity, &scene.run.id, tale));
        Some(vec![(to, 0, tale.to_bytes())])
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
        let trained = match self.is_bad(scene) {
            true => work::changed(job, objects, |v| -v),
            false => work::train(job, objects),
        };
        let output = trained.output;
        self.outputs.extend([output.update.hash, output.trail.hash, output.carry.hash]);
        trained
    }

    fn audit(&mut self, scene: &mut Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        match (self.is_bad(scene), self.plan.is_friend(&job.job.worker)) {
            (false, _) => honest,
            (true, true) => vouch(),
            (true, false) => AuditOutcome::Mismatch { part: 0 },
        }
    }

    fn says(&mut self, scene: &mut Scene, to: usize, message: &Message) -> Option<Vec<Saying>> {
        match (self.new, message) {
            (New::Idle, Message::Join(_)) => None,
            (New::Idle, _) => silence(),
            (New::Gossips, Message::Verdict(verdict)) if Self::votes(scene) => {
                Self::gossip(scene, to, verdict)
            }
            (New::Silent, _) if Self::votes(scene) => Self::silent(scene, to, message),
            (New::Whispers, Message::Join(_)) => None,
            (New::Whispers, _) if to.is_multiple_of(2) => silence(),
            (New::Whispers, _) => Some(vec![(to, scene.rng.range(0, 1500), message.to_bytes())]),
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
        let new = self.new;
        match new {
            New::Accuses if Self::votes(scene) && self.is_first(scene) => Self::accusations(scene),
            New::Many if scene.rng.chance(1) => Self::another_join(scene),
            New::Old if scene.rng.chance(5) && !self.heard.is_empty() => {
                let at = scene.rng.range(0, self.heard.len() as u64 - 1) as usize;
                let bytes = &self.heard[at];
                let others = (0..scene.everybody.len()).filter(|n| *n != scene.me);
                others.map(|n| (n, 0, bytes.clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    fn serves(&mut self, _: &mut Scene, object: &Hash, _: usize) -> Serve {
        match self.new {
            New::Deaf => Serve::Never,
            New::Closed if !self.outputs.contains(object) => Serve::Never,
            New::Drips => Serve::Dripping,
            New::Lies => Serve::Lying,
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
    newcomers("many joins", "new joins all the time", (8, 4), |p| newcomer(New::Many, p)),
    newcomers("split", "one machine over ten keys", (10, 4), |p| newcomer(New::Split, p)),
    newcomers("in turns", "each cheats in a round of its own once it votes", (12, 4), |p| {
        newcomer(New::Turns, p)
    }),
    newcomers("closed", "newcomers that serve no training state", (8, 4), |p| {
        newcomer(New::Closed, p)
    }),
    newcomers("silent voters", "they vote, audit nothing and commit late", (8, 4), |p| {
        newcomer(New::Silent, p)
    }),
    newcomers("whispers", "what they say comes late, and to some only", (8, 4), |p| {
        newcomer(New::Whispers, p)
    }),
    newcomers(
        "gossip (A3)",
        "once they vote, each peer hears another tale of what they drew",
        (8, 4),
        |p| newcomer(New::Gossips, p),
    ),
    newcomers("new drippers", "a crowd that drips whatever it is asked for", (8, 4), |p| {
        newcomer(New::Drips, p)
    }),
    newcomers("new liars", "a crowd that sends other bytes than it is asked for", (8, 4), |p| {
        newcomer(New::Lies, p)
    }),
    newcomers("new accusers", "once they vote, all work is wrong", (8, 4), |p| {
        newcomer(New::Accuses, p)
    }),
];
