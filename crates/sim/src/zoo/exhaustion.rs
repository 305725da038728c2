//! Too much of everything: valid messages, repeats, requests, nonsense.

use super::{Case, Plan, founders, habit};
use crate::{
    attack::{Attack, Saying, Scene, Shared, shared},
    habits::Habit,
    world::to_all,
};
use ids::{Hash, PeerId};
use swarm::{Event, Finding, Have, Message, Scope, Signed, Step, Verdict, Vote};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flood {
    /// Verdicts about everybody, in every scope that costs their author nothing.
    Verdicts,
    /// Receipts, votes of far views and links, for this height and the next.
    Words,
    /// What it has heard, again, to everybody.
    Repeats,
    /// Asks everybody for the whole chain, all the time.
    Requests,
    /// What it has heard, said for another run and for other heights.
    Elsewhere,
}

struct Flooder {
    flood: Flood,
    heard: Vec<Vec<u8>>,
}

fn flooder(flood: Flood, _: &Plan) -> Shared {
    shared(Flooder { flood, heard: Vec::new() })
}

fn verdicts(scene: &Scene, height: u64) -> Vec<Message> {
    let about = |contributor: PeerId| {
        let parts = 0..8u32;
        let unavailable = move |part: u32| {
            let scope = Scope::Dispute { part };
            let finding = Finding::Unavailable { part, missing: Hash::default() };
            Verdict { height, contributor, scope, finding }
        };
        let drawn = Verdict {
            height,
            contributor,
            scope: Scope::Drawn,
            finding: Finding::Confirmed { digest: Hash::default() },
        };
        parts.map(unavailable).chain([drawn])
    };
    let others = scene.everybody.iter().filter(|p| **p != scene.identity.id()).copied();
    let seal = |v: Verdict| Message::Verdict(Signed::seal(scene.identity, &scene.run.id, v));
    others.flat_map(about).map(seal).collect()
}

fn words(scene: &mut Scene, height: u64) -> Vec<Message> {
    let (identity, run) = (scene.identity, scene.run.id);
    let mut messages = Vec::new();
    for ahead in [1, 2] {
        for n in 0..8 {
            let commit = Hash::of(&scene.rng.next().to_le_bytes());
            let have = Have { height: height + ahead, commit };
            messages.push(Message::Have(Signed::seal(identity, &run, have)));
            let (view, step) = (50 + n, Step::Prevote);
            let vote = Vote { height: height + ahead, view, step, value: None };
            messages.push(Message::Vote(Signed::seal(identity, &run, vote)));
        }
    }
    messages
}

impl Flooder {
    /// Something that was heard, as it would be said elsewhere.
    fn elsewhere(scene: &mut Scene, bytes: &[u8]) -> Option<Message> {
        let other = Hash::of(b"another run");
        let identity = scene.identity;
        Some(match swarm::parse_message(bytes).ok()? {
            Message::Vote(vote) if scene.rng.chance(50) => {
                Message::Vote(Signed::seal(identity, &other, *vote.body()))
            }
            Message::Commit(commit) => {
                let signature = commit.signature();
                let mut body = *commit.body();
                body.height += 1;
                Message::Commit(Signed::assemble(&scene.run.id, commit.author(), body, signature))
            }
            Message::Verdict(verdict) => {
                let signature = verdict.signature();
                Message::Verdict(Signed::assemble(
                    &other,
                    verdict.author(),
                    *verdict.body(),
                    signature,
                ))
            }
            _ => return None,
        })
    }
}

impl Attack for Flooder {
    fn besides(&mut self, scene: &mut Scene, event: &Event) -> Vec<Saying> {
        if let Event::Message { bytes, .. } = event {
            if self.heard.len() >= 256 {
                let at = scene.rng.range(0, 255) as usize;
                self.heard[at] = bytes.clone();
            } else {
                self.heard.push(bytes.clone());
            }
        }
        if !scene.rng.chance(5) {
            return Vec::new();
        }
        let height = scene.node.and_then(|n| n.chain_state()).map_or(0, |c| c.height);
        let messages = match self.flood {
            Flood::Verdicts => verdicts(scene, height),
            Flood::Words => words(scene, height),
            Flood::Requests => vec![Message::RecordsRequest { run: scene.run.id, from: 0 }; 4],
            Flood::Repeats | Flood::Elsewhere if self.heard.is_empty() => Vec::new(),
            Flood::Repeats | Flood::Elsewhere => {
                let at = scene.rng.range(0, self.heard.len() as u64 - 1) as usize;
                let bytes = self.heard[at].clone();
                let message = match self.flood {
                    Flood::Repeats => swarm::parse_message(&bytes).ok(),
                    _ => Self::elsewhere(scene, &bytes),
                };
                message.into_iter().collect()
            }
        };
        messages.iter().flat_map(|m| to_all(scene, m)).collect()
    }
}

pub(super) const CASES: &[Case] = &[
    founders("verdict flood", "verdicts about everybody that nobody asked for", None, |p| {
        flooder(Flood::Verdicts, p)
    }),
    founders("word flood", "receipts, votes and links by the hundred", None, |p| {
        flooder(Flood::Words, p)
    }),
    founders("repeats", "says what it has heard again and again", None, |p| {
        flooder(Flood::Repeats, p)
    }),
    founders("requests", "asks for the whole chain all the time", None, |p| {
        flooder(Flood::Requests, p)
    }),
    founders("replay", "says what it heard for another run, or another height", None, |p| {
        flooder(Flood::Elsewhere, p)
    }),
    founders("nonsense", "well-signed nonsense", None, |_| habit(Habit::Babbler)),
];
