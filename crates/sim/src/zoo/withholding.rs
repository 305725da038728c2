//! Attackers that keep back what others need: links, states, updates, the end of a transfer.

use super::{Case, Plan, cheating::partly, founders, silence, vouch};
use crate::{
    attack::{Attack, Saying, Scene, Serve, Shared, shared},
    work::{self, Objects},
};
use ids::Hash;
use std::collections::{BTreeMap, BTreeSet};
use swarm::{AuditJob, AuditOutcome, Message, TrainJob, Trained};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Shows its link only if that draws no friend.
    LinkIfDrawn,
    /// Shows no link ever.
    Link,
    /// Shows it at the last moment.
    LateLink,
    /// Serves a byte now and then.
    Drip,
    /// Serves training states to friends only.
    States,
    /// Serves everything to friends only.
    All,
    /// Serves every second one.
    Half,
    /// Serves its update to as few as it takes to be included.
    Few,
    /// Serves nothing once it has committed, in every third round.
    Now,
    /// Sends its commit to every second one.
    Commit,
    /// Does not say what came of its audits.
    Verdicts,
    /// Serves its update and trail as it should, and of all else, whoever's it is, this.
    Rest(Serve),
}

struct Holder {
    hold: Hold,
    plan: Plan,
    cheats: bool,
    /// Update, trail and carry of its own contributions.
    outputs: BTreeSet<Hash>,
    /// States of its own contributions.
    states: BTreeSet<Hash>,
    served: BTreeMap<Hash, BTreeSet<usize>>,
    height: u64,
}

fn holder(hold: Hold, cheats: bool, plan: &Plan) -> Shared {
    let (outputs, states, served) = Default::default();
    shared(Holder { hold, plan: plan.clone(), cheats, outputs, states, served, height: 0 })
}

impl Holder {
    /// Whether this link draws a friend's work.
    fn draws_friend(&self, scene: &Scene, link: Hash) -> bool {
        let Some(last) = scene.node.and_then(|n| n.chain_state()?.last.as_ref()) else {
            return false;
        };
        let shown = [(scene.identity.id(), link)].into();
        let draws = last.draws(scene.run, &shown, false);
        draws.iter().any(|d| self.plan.is_friend(&d.contributor))
    }
}

impl Attack for Holder {
    fn train(&mut self, scene: &mut Scene, job: &TrainJob, objects: &mut Objects) -> Trained {
        let before: BTreeSet<Hash> = objects.keys().copied().collect();
        let trained = match self.cheats {
            true => partly(scene, job, objects, |step| step % 2 == 0),
            false => work::train(job, objects),
        };
        let output = trained.output;
        self.height = job.height;
        self.outputs.extend([output.trail.hash, output.update.hash, output.carry.hash]);
        let new = objects.keys().filter(|h| !before.contains(h) && !self.outputs.contains(h));
        self.states.extend(new.copied());
        trained
    }

    fn audit(&mut self, _: &mut Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        match (self.plan.is_friend(&job.job.worker), &honest) {
            (true, AuditOutcome::Mismatch { .. }) => vouch(),
            _ => honest,
        }
    }

    fn says(&mut self, scene: &mut Scene, to: usize, message: &Message) -> Option<Vec<Saying>> {
        let me = scene.identity.id();
        let rules = &scene.run.rules;
        match (self.hold, message) {
            (Hold::Link, Message::Show(show)) if show.author() == me => silence(),
            (Hold::LinkIfDrawn, Message::Show(show)) if show.author() == me => {
                self.draws_friend(scene, show.body().link).then(Vec::new)
            }
            (Hold::LateLink, Message::Show(show)) if show.author() == me => {
                Some(vec![(to, rules.draw_timeout_ms * 9 / 10, message.to_bytes())])
            }
            (Hold::Commit, Message::Commit(commit))
                if commit.author() == me && to.is_multiple_of(2) =>
            {
                silence()
            }
            (Hold::Verdicts, Message::Verdict(verdict)) if verdict.author() == me => silence(),
            _ => None,
        }
    }

    fn serves(&mut self, _: &mut Scene, object: &Hash, to: usize) -> Serve {
        let friend = self.plan.friends.contains(&to);
        let (state, output) = (self.states.contains(object), self.outputs.contains(object));
        if let (Hold::Rest(serve), false, false) = (self.hold, friend, output) {
            return serve;
        }
        if friend || !(state || output) {
            return Serve::Honestly;
        }
        match self.hold {
            Hold::Drip if state => Serve::Dripping,
            Hold::States if state => Serve::Never,
            Hold::All => Serve::Never,
            Hold::Half if to.is_multiple_of(2) => Serve::Never,
            Hold::Now if self.height.is_multiple_of(3) && state => Serve::Never,
            Hold::Few => {
                let served = self.served.entry(*object).or_default();
                served.insert(to);
                match served.len() <= 3 && output {
                    true => Serve::Honestly,
                    false => Serve::Never,
                }
            }
            _ => Serve::Honestly,
        }
    }
}

pub(super) const CASES: &[Case] = &[
    founders("links (F6)", "cheats that show no link that draws one of them", None, |p| {
        holder(Hold::LinkIfDrawn, true, p)
    }),
    founders("no links", "shows no link at all", None, |p| holder(Hold::Link, false, p)),
    founders("late links", "shows its link as late as counts", None, |p| {
        holder(Hold::LateLink, false, p)
    }),
    founders("drip (F5)", "makes up half, serves its states byte by byte", None, |p| {
        holder(Hold::Drip, true, p)
    }),
    founders("states", "makes up half, shows its states to friends only", None, |p| {
        holder(Hold::States, true, p)
    }),
    founders("hidden", "serves nothing but to friends", None, |p| holder(Hold::All, true, p)),
    founders("selective", "makes up half, serves every second auditor", None, |p| {
        holder(Hold::Half, true, p)
    }),
    founders("few", "serves its objects to three others only", None, |p| {
        holder(Hold::Few, true, p)
    }),
    founders("sometimes", "withholds its states every third round", None, |p| {
        holder(Hold::Now, false, p)
    }),
    founders("half commits", "commits to every second one only", None, |p| {
        holder(Hold::Commit, false, p)
    }),
    founders("slots", "makes up half, drips whatever it is asked for, here or not", None, |p| {
        holder(Hold::Rest(Serve::Dripping), true, p)
    }),
    founders(
        "halves",
        "makes up half, stops in the middle of whatever it is asked for",
        None,
        |p| holder(Hold::Rest(Serve::Half), true, p),
    ),
    founders("other bytes", "makes up half, sends other bytes than it is asked for", None, |p| {
        holder(Hold::Rest(Serve::Lying), true, p)
    }),
    founders("crawl (A1)", "serves its states as slowly as is just not given up", None, |p| {
        holder(Hold::Rest(Serve::Crawling), false, p)
    }),
    founders("spoils", "makes up half, sends a wrong beginning and breaks off", None, |p| {
        holder(Hold::Rest(Serve::Spoiling), true, p)
    }),
    founders("no verdicts", "keeps its verdicts to itself", None, |p| {
        holder(Hold::Verdicts, false, p)
    }),
];
