//! What an attacker may do. It has its own keys, knows the protocol and everything its node knows,
//! decides what its node says to whom and when, what work it hands in, what it says of others'
//! work, and which objects it serves. It can neither break signatures and hashes nor hold up what
//! others say to each other.

use crate::{rng::Rng, work, work::Objects};
use ids::{Hash, Identity, PeerId};
use std::{cell::RefCell, rc::Rc};
use swarm::{AuditJob, AuditOutcome, Event, Message, Node, Run, TrainJob, Trained};

/// What an attacker can see and use when it acts.
pub struct Scene<'a> {
    /// Its own number.
    pub me: usize,
    /// Its key.
    pub identity: &'a Identity,
    /// Its node, where it runs.
    pub node: Option<&'a Node>,
    /// The run.
    pub run: &'a Run,
    /// Everybody's key, by number; attackers know each other's secrets through their plan.
    pub everybody: &'a [PeerId],
    /// Numbers of its own.
    pub rng: &'a mut Rng,
}

/// How an object is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// As it should be.
    Honestly,
    /// Not at all.
    Never,
    /// A byte now and then, until it is given up; of an object that is not here, any byte.
    Dripping,
    /// As it should be, as slowly as is just not given up.
    Crawling,
    /// The first half, and then nothing, not even an end.
    Half,
    /// As many bytes as it has, but others.
    Lying,
    /// Other bytes up to the half, and there it ends: an honest peer is left to send the rest.
    Spoiling,
}

/// Something to say: to whom, how much later, and what.
pub type Saying = (usize, u64, Vec<u8>);

/// A strategy. What is not overridden is what an honest peer does.
pub trait Attack {
    /// What it hands in for a job; the objects are its store.
    fn train(&mut self, _: &mut Scene, job: &TrainJob, objects: &mut Objects) -> Trained {
        work::train(job, objects)
    }

    /// What it says of somebody's work, given what an honest re-run would say.
    fn audit(&mut self, _: &mut Scene, _: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        honest
    }

    /// What becomes of a message that its node sends to `to`: `None` lets it go as it is.
    fn says(&mut self, _: &mut Scene, _to: usize, _: &Message) -> Option<Vec<Saying>> {
        None
    }

    /// Whether its node gets to hear a message; a proposer that is deaf to somebody leaves it out.
    fn hears(&mut self, _: &mut Scene, _: &Message) -> bool {
        true
    }

    /// What it says besides, after something has happened to its node.
    fn besides(&mut self, _: &mut Scene, _: &Event) -> Vec<Saying> {
        Vec::new()
    }

    /// How it serves an object to a peer.
    fn serves(&mut self, _: &mut Scene, _object: &Hash, _to: usize) -> Serve {
        Serve::Honestly
    }
}

/// Attackers that act together share one strategy.
pub type Shared = Rc<RefCell<dyn Attack>>;

/// A strategy for several peers to share.
pub fn shared(attack: impl Attack + 'static) -> Shared {
    Rc::new(RefCell::new(attack))
}
