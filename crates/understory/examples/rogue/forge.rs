//! F1 and F2: a founding voter that works as it should, and proposes records that claim culprits,
//! voters or an end that nobody has agreed on.

use crate::peer::{Habit, Scene};
use ids::{Hash, Identity, ObjectRef, PeerId};
use std::collections::BTreeSet;
use swarm::{
    Certificate, Ejection, Evidence, Finding, Kind, Member, Message, Proposal, Record, Scope,
    Signed, SignedRecord, State, Step, Verdict, Vote,
};

/// Views that it proposes for ahead of the one that the others are in.
const AHEAD: u32 = 3;

/// What a forged record claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// All others are guilty; there is no evidence.
    Bare,
    /// The witnesses are keys that nobody knows.
    Strangers,
    /// The only witness is the proposer.
    Own,
    /// A round that nobody contributed to and that nobody belongs to.
    Empty,
    /// The proposer is the only member, with all the weight, and names a state of its own.
    Alone,
    /// The run is over.
    Close,
    /// Witnesses that exist, with signatures that are not theirs.
    Signatures,
    /// An accusation that its author never made.
    Accusation,
    /// Two votes that their author never gave.
    Votes,
}

/// What costs its author nothing but the proposal.
const QUIET: [Claim; 6] =
    [Claim::Bare, Claim::Strangers, Claim::Own, Claim::Empty, Claim::Alone, Claim::Close];
/// What others count as a broken rule, so that they listen no more after a few.
const LOUD: [Claim; 3] = [Claim::Signatures, Claim::Accusation, Claim::Votes];

/// Proposes forged records in every view, from the height `from` on; from `loud` on those with
/// forged signatures too.
pub struct Forger {
    pub from: u64,
    pub loud: u64,
    said: BTreeSet<(u64, u32)>,
}

impl Forger {
    pub fn new(from: u64, loud: u64) -> Self {
        Self { from, loud, said: BTreeSet::new() }
    }

    fn claim(&self, height: u64, view: u32) -> Claim {
        let number = height as usize + view as usize;
        match height >= self.loud {
            true => LOUD[number % LOUD.len()],
            false => QUIET[number % QUIET.len()],
        }
    }

    /// A record with this claim as a proposal for a view, and both votes for it.
    fn proposed(scene: &Scene, record: &Record, view: u32) -> Vec<Message> {
        let (run, height) = (scene.run(), record.height);
        let body = record.to_bytes();
        let value = Record::hash_of(&body);
        let proposal = Proposal { height, view, valid_view: None, value };
        let header = Signed::seal(scene.identity, &run, proposal);
        let mut messages = vec![Message::Proposal { header, record: body.into() }];
        for step in [Step::Prevote, Step::Precommit] {
            let vote = Vote { height, view, step, value: Some(value) };
            messages.push(Message::Vote(Signed::seal(scene.identity, &run, vote)));
        }
        messages
    }
}

impl Habit for Forger {
    /// It votes for its own records only, and keeps to itself that its node would have voted
    /// otherwise.
    fn says(&mut self, scene: &Scene, message: &Message) -> bool {
        let me = scene.identity.id();
        match message {
            Message::Proposal { header, .. } => header.author() != me,
            Message::Vote(vote) => vote.author() != me,
            Message::Evidence(evidence) => evidence.equivocator() != Some(me),
            _ => true,
        }
    }

    fn besides(&mut self, scene: &Scene) -> Vec<Message> {
        let status = scene.node.status();
        let Some(height) = status.height.map(|head| head + 1).filter(|h| *h >= self.from) else {
            return Vec::new();
        };
        let mut messages = Vec::new();
        for view in status.view..=status.view + AHEAD {
            // Two proposals for one view would be proof enough against it.
            if !self.said.insert((height, view)) {
                continue;
            }
            let claim = self.claim(height, view);
            let Some(record) = forged(scene, claim) else { continue };
            println!("proposed {claim:?} at height {height} in view {view}");
            messages.extend(Self::proposed(scene, &record, view));
            if claim == Claim::Strangers {
                messages.push(decided(scene, &record, view));
            }
        }
        messages
    }
}

/// A record that follows the head in form, with a claim that nobody can have proven.
fn forged(scene: &Scene, claim: Claim) -> Option<Record> {
    let chain = scene.node.chain_state()?;
    let last = chain.last.as_ref()?;
    let kind = match claim {
        Claim::Empty | Claim::Alone | Claim::Accusation | Claim::Votes => Kind::Advance,
        Claim::Close => Kind::Close,
        _ => Kind::Repair,
    };
    let mut record = Record {
        run: scene.run(),
        height: chain.height + 1,
        kind,
        round: chain.round,
        prev: chain.hash,
        members: Vec::new(),
        joins: Vec::new(),
        contributions: Vec::new(),
        shows: Vec::new(),
        verdicts: Vec::new(),
        ejected: Vec::new(),
        state: if kind == Kind::Repair { last.base } else { chain.state },
        beacon: chain.beacon,
    };
    if !matches!(claim, Claim::Empty | Claim::Alone | Claim::Close) {
        let eject = |peer| Ejection { peer, evidence: evidence(scene, claim, last.height, peer) };
        record.ejected = scene.others().into_iter().map(eject).collect();
    }
    chain.complete(scene.node.run(), &mut record);
    match claim {
        Claim::Empty => record.members.clear(),
        Claim::Alone => take_all(scene, &mut record),
        _ => {}
    }
    Some(record)
}

/// The proposer as the only member, and a state that only it knows.
fn take_all(scene: &Scene, record: &mut Record) {
    let me = scene.identity.id();
    record.members.retain(|member| member.id == me);
    for member in &mut record.members {
        *member = Member { grant: 1 << 40, earned: 1 << 40, clean: 1000, ..*member };
    }
    let own = ObjectRef { hash: Hash::of(b"the attacker's model"), len: 666 };
    record.state = State { model: own, outer: own };
}

/// What a forged record has against `peer`.
fn evidence(scene: &Scene, claim: Claim, height: u64, peer: PeerId) -> Evidence {
    let run = scene.run();
    let strangers = || (0..4).map(|n| Identity::from_seed([200 + n; 32])).collect::<Vec<_>>();
    let scope = Scope::Dispute { part: 0 };
    let verdict =
        Verdict { height, contributor: peer, scope, finding: Finding::Mismatch { part: 0 } };
    // The right form with the wrong signature: the attacker's own under somebody else's name.
    let own = Signed::seal(scene.identity, &run, verdict).signature();
    let mut verdicts: Vec<_> = match claim {
        Claim::Strangers => {
            strangers().iter().map(|who| Signed::seal(who, &run, verdict)).collect()
        }
        Claim::Own => vec![Signed::seal(scene.identity, &run, verdict)],
        Claim::Signatures => {
            let others = scene.others().into_iter().filter(|other| *other != peer);
            others.map(|who| Signed::assemble(&run, who, verdict, own)).collect()
        }
        _ => Vec::new(),
    };
    verdicts.sort_unstable_by_key(Signed::author);
    match claim {
        Claim::Accusation => {
            let contributor = scene.identity.id();
            let verdict = Verdict { contributor, ..verdict };
            let accusation = Signed::assemble(&run, peer, verdict, own);
            Evidence::FalseAccusation { accusation, contradictions: Vec::new() }
        }
        Claim::Votes => {
            let vote = |value| {
                let vote = Vote { height, view: 0, step: Step::Prevote, value };
                Signed::assemble(&run, peer, vote, own).envelope().clone()
            };
            Evidence::equivocation(&vote(None), &vote(Some(run))).expect("two votes for one step")
        }
        _ => Evidence::Mismatch { height, verdicts },
    }
}

/// The record as if it was decided, by the proposer and strangers. The proposer has given no other
/// vote in this view: that would be proof against it.
fn decided(scene: &Scene, record: &Record, view: u32) -> Message {
    let (run, body) = (scene.run(), record.to_bytes());
    let value = Some(Record::hash_of(&body));
    let vote = Vote { height: record.height, view, step: Step::Precommit, value };
    let mut signatures: Vec<_> = (0..4)
        .map(|n| Identity::from_seed([200 + n; 32]))
        .map(|who| (who.id(), Signed::seal(&who, &run, vote).signature()))
        .chain([(scene.identity.id(), Signed::seal(scene.identity, &run, vote).signature())])
        .collect();
    signatures.sort_unstable_by_key(|(id, _)| *id);
    let certificate = Certificate { view, signatures };
    let signed = SignedRecord::new(body, certificate).expect("a record just encoded decodes");
    Message::Records { run, records: vec![signed.to_bytes().into()] }
}
