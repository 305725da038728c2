//! The plain cheats: what a peer does that wants to save work, to harm, or has lost its mind.

use crate::{
    attack::{Attack, Saying, Scene, shared},
    babble::Words,
    work::{self, Objects},
    world::Role,
};
use ids::{Hash, PeerId};
use std::collections::BTreeSet;
use swarm::{
    AuditJob, AuditOutcome, Commit, Event, Message, ObjectRef, Proposal, Record, Signed, Step,
    TrainJob, TrainOutput, Trained, Vote,
};

/// What a peer does all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// What it should.
    Honest,
    /// The same, until it is gone for good.
    Leaver,
    /// Does the first step, makes the rest up.
    Lazy,
    /// Random bytes.
    Noise,
    /// Hands in somebody else's contribution.
    Copy,
    /// Trains, then turns the update around.
    SignFlip,
    /// Works, but accuses everybody it audits.
    Liar,
    /// Works, but says that everything it audits is fine.
    Accomplice,
    /// Works, and says that what it drew is fine; asked again, it looks.
    Turncoat,
    /// Joins and says nothing more.
    Silent,
    /// Works, and says all kinds of things between, well signed.
    Babbler,
    /// Works, but signs two of everything and tells each half of the others another one.
    TwoFaced,
}

impl Habit {
    /// A founding voter with this habit.
    pub fn role(self) -> Role {
        match self {
            Self::Honest | Self::Leaver => Role::honest(),
            habit => {
                Role::rogue(&shared(Peer { habit, seen: Vec::new(), vouched: BTreeSet::new() }))
            }
        }
    }

    /// A newcomer with this habit.
    pub fn newcomer(self) -> Role {
        Role { founds: false, ..self.role() }
    }
}

/// One peer with a habit.
struct Peer {
    habit: Habit,
    seen: Vec<Commit>,
    /// Whose work at which height it has said to be fine.
    vouched: BTreeSet<(u64, PeerId)>,
}

impl Attack for Peer {
    fn train(&mut self, scene: &mut Scene, job: &TrainJob, objects: &mut Objects) -> Trained {
        let made_up = |from: u32| {
            let states = work::partly_made_up(job, scene.identity, |step| step >= from);
            move |objects: &mut Objects| work::commit_to(job, &states, objects)
        };
        match self.habit {
            Habit::Lazy => made_up(1)(objects),
            Habit::Noise => {
                let mut trained = made_up(0)(objects);
                let values = std::array::from_fn(|i| i as f32 - 4.0);
                trained.output.update = work::put(objects, work::update_of(values));
                trained
            }
            Habit::SignFlip => work::changed(job, objects, |v| -v),
            Habit::Copy => self.copy(scene, job, objects),
            _ => work::train(job, objects),
        }
    }

    fn audit(&mut self, _: &mut Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        match (self.habit, &honest) {
            (Habit::Liar, _) => AuditOutcome::Mismatch { part: job.job.steps },
            (Habit::Accomplice, AuditOutcome::Mismatch { .. }) => {
                AuditOutcome::Confirmed { digest: Hash::of(b"did not look") }
            }
            (Habit::Turncoat, AuditOutcome::Mismatch { .. })
                if self.vouched.insert((job.job.height, job.job.worker)) =>
            {
                AuditOutcome::Confirmed { digest: Hash::of(b"did not look") }
            }
            _ => honest,
        }
    }

    fn says(&mut self, scene: &mut Scene, to: usize, message: &Message) -> Option<Vec<Saying>> {
        match self.habit {
            Habit::Silent if !matches!(message, Message::Join(_)) => Some(Vec::new()),
            Habit::TwoFaced if to.is_multiple_of(2) => {
                let other = second_face(scene, message)?;
                Some(vec![(to, 0, other.to_bytes())])
            }
            _ => None,
        }
    }

    fn besides(&mut self, scene: &mut Scene, event: &Event) -> Vec<Saying> {
        if let (Habit::Copy, Event::Message { bytes, .. }) = (self.habit, event)
            && let Ok(Message::Commit(commit)) = swarm::parse_message(bytes)
        {
            self.seen.push(*commit.body());
        }
        match self.habit {
            Habit::Babbler if scene.rng.chance(20) => babble(scene),
            _ => Vec::new(),
        }
    }
}

impl Peer {
    /// Somebody's commit to the same height, if one was heard of; nothing of its own otherwise.
    fn copy(&self, scene: &Scene, job: &TrainJob, objects: &mut Objects) -> Trained {
        let other = self.seen.iter().find(|c| c.height == job.height && c.steps == job.steps);
        match other {
            Some(Commit { trail, update, carry, .. }) => {
                let output = TrainOutput { trail: *trail, update: *update, carry: *carry };
                Trained { output, kept: Vec::<ObjectRef>::new() }
            }
            None => {
                let states = work::partly_made_up(job, scene.identity, |_| true);
                work::commit_to(job, &states, objects)
            }
        }
    }
}

fn babble(scene: &mut Scene) -> Vec<Saying> {
    let Some(node) = scene.node else { return Vec::new() };
    let height = node.status().height.unwrap_or(0);
    let (identity, run) = (scene.identity, scene.run.id);
    let words = Words { identity, run, height, everybody: scene.everybody.to_vec() };
    let message = words.one(scene.rng).to_bytes();
    let others = (0..scene.everybody.len()).filter(|n| *n != scene.me);
    others.map(|n| (n, 1, message.clone())).collect()
}

/// A second, different statement in place of one that may be made only once.
fn second_face(scene: &Scene, message: &Message) -> Option<Message> {
    let (identity, run) = (scene.identity, &scene.run.id);
    match message {
        Message::Proposal { header, record } if header.author() == identity.id() => {
            let mut record = Record::from_bytes(record).ok()?;
            record.verdicts.pop();
            record.joins.clear();
            record.shows.pop();
            let body = record.to_bytes();
            let value = Record::hash_of(&body);
            let header = Signed::seal(identity, run, Proposal { value, ..*header.body() });
            Some(Message::Proposal { header, record: body.into() })
        }
        Message::Vote(vote) if vote.author() == identity.id() => {
            let value = match (vote.body().value, vote.body().step) {
                (Some(_), _) => None,
                (None, Step::Prevote) => Some(Hash::of(b"something else")),
                (None, Step::Precommit) => return None,
            };
            Some(Message::Vote(Signed::seal(identity, run, Vote { value, ..*vote.body() })))
        }
        _ => None,
    }
}
