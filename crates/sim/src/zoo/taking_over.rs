//! Deciding alone: by claims, by borrowed evidence, by what a proposer leaves out.

use super::{Case, Plan, founders, silence, vouch};
use crate::{
    attack::{Attack, Saying, Scene, Shared, shared},
    world::to_all,
};
use ids::{Hash, Identity, PeerId};
use std::collections::BTreeSet;
use swarm::{
    AuditJob, AuditOutcome, Ejection, Event, Evidence, Finding, Kind, Message, Node, Proposal,
    Record, Scope, Signed, Step, Verdict, Vote,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Grab {
    /// Proposes repairs without evidence and votes for them.
    Claim,
    /// Sends such repairs as decided, with two friends as witnesses.
    Decided,
    /// The same with witnesses that are nobody.
    Strangers,
    /// Uses evidence of the past against others.
    Reuse,
    /// Its proposals lack all verdicts on the work of others.
    NoVerdicts,
    /// They lack the work of some.
    NoWork,
    /// It proposes in late views alone, and then without what others have shown and found.
    Late,
    /// They lack the evidence against friends.
    NoEvidence,
    /// They are made so that their hash suits: of several, the one with the smallest.
    Grind,
    /// Votes for nothing.
    Blank,
}

struct Grabber {
    grab: Grab,
    plan: Plan,
}

fn grabber(grab: Grab, plan: &Plan) -> Shared {
    shared(Grabber { grab, plan: plan.clone() })
}

/// Keys of strangers.
fn strangers() -> Vec<Identity> {
    (200..210).map(|n| Identity::from_seed([n; 32])).collect()
}

impl Grabber {
    /// A repair that ejects everybody else.
    fn repair(&self, node: &Node) -> Option<Record> {
        let chain = node.chain_state()?;
        let last = chain.last.as_ref()?;
        let witnesses = match self.grab {
            Grab::Strangers => strangers(),
            _ => self.plan.identities(),
        };
        let used = node.chain().iter().flat_map(|r| &r.record().ejected).next();
        let evidence = |peer: PeerId| match (self.grab, used) {
            (Grab::Claim, _) => Evidence::Mismatch { height: last.height, verdicts: Vec::new() },
            (Grab::Reuse, Some(used)) => used.evidence.clone(),
            _ => mismatch(&node.run().id, last.height, peer, &witnesses),
        };
        let others = chain.members.iter().map(|m| m.id).filter(|id| !self.plan.is_friend(id));
        let ejected = others.map(|peer| Ejection { peer, evidence: evidence(peer) });
        let mut record = Record {
            run: node.run().id,
            height: chain.height + 1,
            kind: Kind::Repair,
            round: chain.round,
            prev: chain.hash,
            members: Vec::new(),
            joins: Vec::new(),
            contributions: Vec::new(),
            shows: Vec::new(),
            verdicts: Vec::new(),
            ejected: ejected.collect(),
            state: last.base,
            beacon: chain.beacon,
        };
        chain.complete(node.run(), &mut record);
        Some(record)
    }

    /// The record as a proposal of this peer, and its votes for it.
    fn proposed(&self, scene: &Scene, record: &Record) -> Vec<Message> {
        let (run, height) = (&scene.run.id, record.height);
        let body = record.to_bytes();
        let value = Record::hash_of(&body);
        let mut messages = Vec::new();
        for view in 0..3 {
            let proposal = Proposal { height, view, valid_view: None, value };
            let header = Signed::seal(scene.identity, run, proposal);
            messages.push(Message::Proposal { header, record: body.clone().into() });
            for step in [Step::Prevote, Step::Precommit] {
                let vote = Vote { height, view, step, value: Some(value) };
                messages.push(Message::Vote(Signed::seal(scene.identity, run, vote)));
            }
        }
        messages
    }

    /// The record as if it was decided: signed by all friends.
    fn decided(&self, scene: &Scene, record: &Record) -> Message {
        let record = self.plan.decided(&scene.run.id, record);
        let records = record.into_iter().map(|r| r.to_bytes().into()).collect();
        Message::Records { run: scene.run.id, records }
    }

    /// The proposal without what others have shown and found.
    fn stripped(&self, scene: &Scene, header: &Signed<Proposal>, record: &[u8]) -> Option<Message> {
        let chain = scene.node?.chain_state()?;
        let mut record = Record::from_bytes(record).ok()?;
        record.shows.retain(|show| self.plan.is_friend(&show.author()));
        record.verdicts.retain(|v| self.plan.is_friend(&v.author()));
        let shown = |v: &Signed<Verdict>| record.shows.iter().any(|s| s.author() == v.author());
        record.verdicts.retain(shown);
        chain.complete(scene.run, &mut record);
        let body = record.to_bytes();
        let value = Record::hash_of(&body);
        let header =
            Signed::seal(scene.identity, &scene.run.id, Proposal { value, ..*header.body() });
        Some(Message::Proposal { header, record: body.into() })
    }

    /// The proposal with another choice of receipts whose hash is smallest.
    fn ground(&self, scene: &Scene, header: &Signed<Proposal>, record: &[u8]) -> Option<Message> {
        let record = Record::from_bytes(record).ok()?;
        let choices = (0..record.contributions.len()).map(|at| {
            let mut other = record.clone();
            // One receipt less: still enough, if the record had one to spare.
            other.contributions[at].haves.pop();
            other
        });
        let best = choices.chain([record.clone()]).map(|r| r.to_bytes());
        let body = best.min_by_key(|b| Record::hash_of(b))?;
        let value = Record::hash_of(&body);
        let header =
            Signed::seal(scene.identity, &scene.run.id, Proposal { value, ..*header.body() });
        Some(Message::Proposal { header, record: body.into() })
    }
}

/// What these witnesses say of somebody's work.
fn mismatch(run: &Hash, height: u64, contributor: PeerId, witnesses: &[Identity]) -> Evidence {
    let (scope, finding) = (Scope::Dispute { part: 0 }, Finding::Mismatch { part: 0 });
    let verdict = Verdict { height, contributor, scope, finding };
    let mut verdicts: Vec<_> = witnesses.iter().map(|i| Signed::seal(i, run, verdict)).collect();
    verdicts.sort_unstable_by_key(Signed::author);
    Evidence::Mismatch { height, verdicts }
}

impl Attack for Grabber {
    fn audit(&mut self, _: &mut Scene, job: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        match self.plan.is_friend(&job.job.worker) {
            true => vouch(),
            false => honest,
        }
    }

    fn train(
        &mut self,
        scene: &mut Scene,
        job: &swarm::TrainJob,
        objects: &mut crate::work::Objects,
    ) -> swarm::Trained {
        let first = self.plan.friends.first() == Some(&scene.me);
        match self.grab {
            // Somebody has to be guilty for evidence to be left out, or to be used again.
            Grab::NoEvidence | Grab::Grind | Grab::Reuse if first => {
                super::cheating::partly(scene, job, objects, |step| step % 2 == 0)
            }
            _ => crate::work::train(job, objects),
        }
    }

    fn hears(&mut self, scene: &mut Scene, message: &Message) -> bool {
        let honest: BTreeSet<PeerId> =
            scene.everybody.iter().filter(|p| !self.plan.is_friend(p)).copied().collect();
        let few: BTreeSet<PeerId> = honest.iter().take(3).copied().collect();
        match (self.grab, message) {
            (Grab::NoVerdicts, Message::Verdict(v)) => !honest.contains(&v.body().contributor),
            (Grab::NoWork, Message::Commit(c)) => !few.contains(&c.author()),
            (Grab::NoEvidence, Message::Verdict(v)) => {
                !(self.plan.is_friend(&v.body().contributor)
                    && matches!(v.body().finding, Finding::Mismatch { .. }))
            }
            (Grab::NoEvidence, Message::Evidence(_)) => false,
            _ => true,
        }
    }

    fn says(&mut self, scene: &mut Scene, to: usize, message: &Message) -> Option<Vec<Saying>> {
        match (self.grab, message) {
            (Grab::Grind, Message::Proposal { header, record })
                if header.author() == scene.identity.id() =>
            {
                Some(vec![(to, 0, self.ground(scene, header, record)?.to_bytes())])
            }
            // First views fail where some know a link that whoever proposes does not.
            (Grab::Late, Message::Show(show))
                if show.author() == scene.identity.id() && to.is_multiple_of(2) =>
            {
                silence()
            }
            (Grab::Late, Message::Proposal { header, record })
                if header.author() == scene.identity.id() =>
            {
                match header.body().view {
                    0 => silence(),
                    _ => Some(vec![(to, 0, self.stripped(scene, header, record)?.to_bytes())]),
                }
            }
            (Grab::Blank, Message::Vote(vote)) if vote.author() == scene.identity.id() => {
                let blank = Vote { value: None, ..*vote.body() };
                let vote = Signed::seal(scene.identity, &scene.run.id, blank);
                Some(vec![(to, 0, Message::Vote(vote).to_bytes())])
            }
            _ => None,
        }
    }

    fn besides(&mut self, scene: &mut Scene, _: &Event) -> Vec<Saying> {
        let claims =
            [Grab::Claim, Grab::Decided, Grab::Strangers, Grab::Reuse].contains(&self.grab);
        if !claims || !scene.rng.chance(4) {
            return Vec::new();
        }
        let Some(record) = scene.node.and_then(|n| self.repair(n)) else { return Vec::new() };
        let messages = match self.grab {
            Grab::Decided | Grab::Strangers => vec![self.decided(scene, &record)],
            _ => self.proposed(scene, &record),
        };
        messages.iter().flat_map(|m| to_all(scene, m)).collect()
    }
}

pub(super) const CASES: &[Case] = &[
    founders("claims (F1)", "proposes to eject all others without evidence", None, |p| {
        grabber(Grab::Claim, p)
    }),
    founders(
        "decides (F2)",
        "sends such a record as decided, with friends as witnesses",
        None,
        |p| grabber(Grab::Decided, p),
    ),
    founders("strangers (F2b)", "the same with made-up keys as witnesses", None, |p| {
        grabber(Grab::Strangers, p)
    }),
    founders("evidence again", "uses old evidence against others", None, |p| {
        grabber(Grab::Reuse, p)
    }),
    founders("no verdicts in", "proposes records without verdicts on others", None, |p| {
        grabber(Grab::NoVerdicts, p)
    }),
    founders("no work in", "proposes records without the work of some", None, |p| {
        grabber(Grab::NoWork, p)
    }),
    founders(
        "no evidence in",
        "proposes records that spare a friend that cheats",
        Some(0.5),
        |p| grabber(Grab::NoEvidence, p),
    ),
    founders("grinding", "chooses among records the one whose hash suits", Some(0.5), |p| {
        grabber(Grab::Grind, p)
    }),
    founders(
        "left out late (A2)",
        "proposes in late views, without what others found",
        None,
        |p| grabber(Grab::Late, p),
    ),
    founders("blank votes", "votes for nothing, always", None, |p| grabber(Grab::Blank, p)),
];
