//! False words about honest work, and blind words about any.

use super::{Case, Plan, cheating::partly, founders, habit};
use crate::{
    attack::{Attack, Saying, Scene, Shared, shared},
    habits::Habit,
    work::{self, Objects},
};
use ids::{Hash, PeerId};
use swarm::{
    AuditJob, AuditOutcome, Commit, Event, Finding, Message, Scope, Signed, TrainJob, Trained,
    Verdict,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// Accuses everybody that it audits.
    Everybody,
    /// All of them accuse one, whether they have drawn it or not.
    One,
    /// All of them accuse two at a time.
    Two,
    /// Confirms without a look; one of them cheats.
    Blind,
    /// Says of confirmations by others that they are blind.
    Recheck,
    /// Says that it could not get what everybody has.
    Unavailable,
    /// Signs two commits for one height.
    Commits,
    /// Signs two verdicts on what it drew, one for every second peer.
    Verdicts,
}

struct Framer {
    frame: Frame,
    plan: Plan,
}

fn framer(frame: Frame, plan: &Plan) -> Shared {
    shared(Framer { frame, plan: plan.clone() })
}

impl Framer {
    /// The honest peers that all of them accuse.
    fn victims(&self, scene: &Scene, count: usize) -> Vec<PeerId> {
        let honest = (0..scene.everybody.len()).filter(|n| !self.plan.friends.contains(n));
        honest.take(count).map(|n| scene.everybody[n]).collect()
    }

    fn accuse(&self, scene: &mut Scene, count: usize) -> Vec<Saying> {
        let last = scene.node.and_then(|n| n.chain_state()?.last.as_ref());
        let Some(height) = last.map(|l| l.height).filter(|h| *h % 3 == 1) else {
            return Vec::new();
        };
        if !scene.rng.chance(10) {
            return Vec::new();
        }
        let accusation = |contributor: PeerId| {
            let scope = Scope::Dispute { part: 1 };
            let finding = Finding::Mismatch { part: 1 };
            let verdict = Verdict { height, contributor, scope, finding };
            Message::Verdict(Signed::seal(scene.identity, &scene.run.id, verdict))
        };
        let messages: Vec<Message> =
            self.victims(scene, count).into_iter().map(accusation).collect();
        messages.iter().flat_map(|m| crate::world::to_all(scene, m)).collect()
    }
}

impl Attack for Framer {
    fn train(&mut self, scene: &mut Scene, job: &TrainJob, objects: &mut Objects) -> Trained {
        let first = self.plan.friends.first() == Some(&scene.me);
        match self.frame {
            // Known to be faulty: who confirms it did not look.
            Frame::Blind if first => partly(scene, job, objects, |step| step % 2 == 0),
            _ => work::train(job, objects),
        }
    }

    fn audit(&mut self, _: &mut Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        let friend = self.plan.is_friend(&job.job.worker);
        let again = !self.plan.is_friend(&job.auditor);
        match self.frame {
            Frame::Everybody | Frame::One | Frame::Two if !friend => {
                AuditOutcome::Mismatch { part: 1 }
            }
            Frame::Blind if !again => AuditOutcome::Confirmed { digest: Hash::of(b"blind") },
            Frame::Recheck if again => AuditOutcome::Confirmed { digest: Hash::of(b"another") },
            Frame::Unavailable if !friend => {
                AuditOutcome::Unavailable { missing: job.claimed.trail.hash }
            }
            _ => honest,
        }
    }

    fn says(&mut self, scene: &mut Scene, to: usize, message: &Message) -> Option<Vec<Saying>> {
        match (self.frame, message) {
            (Frame::Commits, Message::Commit(commit))
                if commit.author() == scene.identity.id() && to.is_multiple_of(2) =>
            {
                let mut other: Commit = *commit.body();
                other.update.hash = Hash::of(b"another update");
                let other = Signed::seal(scene.identity, &scene.run.id, other);
                Some(vec![(to, 0, Message::Commit(other).to_bytes())])
            }
            (Frame::Verdicts, Message::Verdict(verdict))
                if verdict.author() == scene.identity.id()
                    && verdict.body().scope == Scope::Drawn
                    && to.is_multiple_of(2) =>
            {
                let mut other: Verdict = *verdict.body();
                other.finding = Finding::Confirmed { digest: Hash::of(b"another digest") };
                let other = Signed::seal(scene.identity, &scene.run.id, other);
                Some(vec![(to, 0, Message::Verdict(other).to_bytes())])
            }
            _ => None,
        }
    }

    fn besides(&mut self, scene: &mut Scene, _: &Event) -> Vec<Saying> {
        match self.frame {
            Frame::One => self.accuse(scene, 1),
            Frame::Two => self.accuse(scene, 2),
            _ => Vec::new(),
        }
    }
}

pub(super) const CASES: &[Case] = &[
    founders("accusers", "accuses everybody that it audits", None, |p| framer(Frame::Everybody, p)),
    founders("framing", "all accuse one honest peer", None, |p| framer(Frame::One, p)),
    founders("two disputes", "all accuse two honest peers at once", None, |p| {
        framer(Frame::Two, p)
    }),
    founders("blind", "confirms without a look, beside one that cheats", None, |p| {
        framer(Frame::Blind, p)
    }),
    founders("false rechecks", "says that honest confirmations were blind", None, |p| {
        framer(Frame::Recheck, p)
    }),
    founders("unavailable", "says that it got nothing", None, |p| framer(Frame::Unavailable, p)),
    founders("two commits", "signs two commits for one height", None, |p| {
        framer(Frame::Commits, p)
    }),
    founders(
        "two verdicts (A8)",
        "says one thing of its audits to one half, another to the other",
        None,
        |p| framer(Frame::Verdicts, p),
    ),
    founders("two votes", "signs two proposals and two votes", None, |_| habit(Habit::TwoFaced)),
];
