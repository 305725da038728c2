//! Time: absurd clocks, and everything at the last moment.

use super::{Case, Plan, founders};
use crate::{
    attack::{Attack, Saying, Scene, Shared, shared},
    world::to_all,
};
use swarm::{Event, Message};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// Says that the run has taken for ever.
    Absurd,
    /// Commits just before a round closes.
    LateCommit,
    /// Votes and proposes just before a view ends.
    LateVote,
    /// Says what it found just before the audits close.
    LateVerdict,
}

struct Timer {
    clock: Clock,
}

fn timer(clock: Clock, _: &Plan) -> Shared {
    shared(Timer { clock })
}

impl Attack for Timer {
    fn says(&mut self, scene: &mut Scene, to: usize, message: &Message) -> Option<Vec<Saying>> {
        let rules = &scene.run.rules;
        let late = match (self.clock, message) {
            (Clock::LateCommit, Message::Commit(_)) => rules.commit_timeout_ms * 8 / 10,
            (Clock::LateVote, Message::Vote(_) | Message::Proposal { .. }) => {
                rules.view_timeout_ms * 8 / 10
            }
            (Clock::LateVerdict, Message::Verdict(_)) => rules.audit_timeout_ms * 8 / 10,
            _ => return None,
        };
        Some(vec![(to, late, message.to_bytes())])
    }

    fn besides(&mut self, scene: &mut Scene, _: &Event) -> Vec<Saying> {
        if self.clock != Clock::Absurd || !scene.rng.chance(5) {
            return Vec::new();
        }
        let Some(status) = scene.node.map(|n| n.status()) else { return Vec::new() };
        let (height, record) = (status.height, status.record.unwrap_or_default());
        let elapsed_ms = [0, 1, u64::MAX / 2, u64::MAX][scene.rng.range(0, 3) as usize];
        let head = Message::Head { run: scene.run.id, height, record, elapsed_ms };
        to_all(scene, &head)
    }
}

pub(super) const CASES: &[Case] = &[
    founders("absurd clocks", "says that the run has taken for ever, or no time", None, |p| {
        timer(Clock::Absurd, p)
    }),
    founders("late commits", "commits just before a round closes", None, |p| {
        timer(Clock::LateCommit, p)
    }),
    founders("late votes", "votes and proposes just before a view ends", None, |p| {
        timer(Clock::LateVote, p)
    }),
    founders("late verdicts", "says what it found just before audits close", None, |p| {
        timer(Clock::LateVerdict, p)
    }),
];
