//! Everything about the audits of one advance: links, draws, verdicts, disputes.

use super::working::Wanted;
use crate::{
    Advance, ChainState, Commit, Electorate, Finding, ObjectRef, Run, Sample, Scope, Show, Signed,
    Time, Verdict, draw::Draw,
};
use ids::PeerId;
use std::collections::{BTreeMap, BTreeSet};

/// Which re-run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditKey {
    pub height: u64,
    pub contributor: PeerId,
    pub scope: Scope,
}

/// A re-run of this node.
pub struct Own {
    pub stage: OwnStage,
    /// When it was first due: so long after it, what is still missing counts as withheld.
    pub since: Time,
    /// Training states that it turned out to need.
    pub states: Vec<ObjectRef>,
    /// Only the contributor is asked any more: whoever else has what it takes may give it as slowly
    /// as is just not given up, and the contributor would be blamed for that.
    pub alone: bool,
}

impl Own {
    /// When a fetch for it has taken too long: half of the patience is for all providers, the rest
    /// for the contributor alone.
    pub fn gives_up_at(&self, patience_ms: u64) -> Time {
        self.since.after(if self.alone { patience_ms } else { patience_ms / 2 })
    }
}

/// How far a re-run of this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnStage {
    /// To begin, or to begin again, at this time.
    At(Time),
    /// What it takes is fetched.
    Fetching(u64),
    /// Under way.
    Running,
}

/// Everything about the audits of one advance.
pub struct Book {
    pub advance: Advance,
    pub shows: BTreeMap<PeerId, Signed<Show>>,
    /// What the links draw; once all have shown theirs, or the time is up, also what the rule
    /// draws in place of the others.
    pub draws: Vec<Draw>,
    /// Whether [`Book::draws`] is complete.
    pub drawn: bool,
    /// By contributor, author and scope.
    pub verdicts: BTreeMap<(PeerId, PeerId, Scope), Signed<Verdict>>,
    pub own: BTreeMap<AuditKey, Own>,
    /// Whether this node has what all contributions start from. Then what a re-run waits for is the
    /// contributor's.
    pub has_base: bool,
    /// When links and drawn verdicts came, by author and whose work it is about (of a link its
    /// author's).
    pub heard: BTreeMap<(PeerId, PeerId), Time>,
    /// Who signed a link that is not its own.
    pub wrong_links: BTreeSet<PeerId>,
    /// Parts before which this node's own training states are open, or being opened.
    pub opened: BTreeSet<u32>,
    /// When opening is tried again.
    pub opening: Wanted,
    /// States that this node kept while it trained.
    pub kept: Vec<ObjectRef>,
}

/// A mismatch that somebody found: who, in whose work, where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accusation {
    pub contributor: PeerId,
    pub accuser: PeerId,
    pub scope: Scope,
    pub part: u32,
}

/// Where an accusation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispute {
    /// Answers are missing.
    Open,
    /// Others of more standing than may be faulty found the same.
    Proven,
    /// Others of more standing than may be faulty found nothing.
    Refuted,
    /// Everybody has answered, and neither is proven.
    Undecided,
}

impl Accusation {
    /// What an answer to it has as its scope.
    pub fn asks(&self) -> Scope {
        self.scope.asks(self.part)
    }

    /// Whose word on it does not count.
    pub fn interested(&self) -> Vec<PeerId> {
        let mut some = vec![self.contributor, self.accuser];
        if let Scope::Recheck { auditor } = self.scope {
            some.push(auditor);
        }
        some
    }

    /// Who is out if it is right.
    pub fn accused(&self) -> PeerId {
        match self.scope {
            Scope::Recheck { auditor } => auditor,
            _ => self.contributor,
        }
    }
}

impl Book {
    pub fn new(advance: Advance, now: Time) -> Self {
        Self {
            advance,
            shows: BTreeMap::new(),
            draws: Vec::new(),
            drawn: false,
            verdicts: BTreeMap::new(),
            own: BTreeMap::new(),
            has_base: false,
            heard: BTreeMap::new(),
            wrong_links: BTreeSet::new(),
            opened: BTreeSet::new(),
            opening: Wanted::At(now),
            kept: Vec::new(),
        }
    }

    /// Draws anew from the links that are here.
    pub fn draw(&mut self, run: &Run, complete: bool) {
        let shown = self.shows.iter().map(|(id, show)| (*id, show.body().link)).collect();
        self.drawn = complete;
        self.draws = self.advance.draws(run, &shown, complete);
    }

    pub fn verdicts_by(&self, author: &PeerId) -> impl Iterator<Item = Signed<Verdict>> {
        self.verdicts.values().filter(move |v| v.author() == *author).cloned()
    }

    pub fn about(&self, contributor: &PeerId) -> impl Iterator<Item = &Signed<Verdict>> {
        let contributor = *contributor;
        self.verdicts.values().filter(move |v| v.body().contributor == contributor)
    }

    pub fn commit(&self, contributor: &PeerId) -> Option<&Signed<Commit>> {
        self.advance.commit(contributor)
    }

    /// What `auditor` has to re-run of one contribution: its own draw; only without one what it
    /// stands in for, which may still change while links come in.
    pub fn sample_of(&self, auditor: &PeerId, contributor: &PeerId) -> Option<Sample> {
        if let Some(own) = self.own_sample_of(auditor, contributor) {
            return Some(own);
        }
        let mut parts = BTreeSet::new();
        for draw in self.draws_by(auditor, contributor) {
            match &draw.sample {
                Sample::All => return Some(Sample::All),
                Sample::Parts(some) => parts.extend(some.iter().copied()),
            }
        }
        (!parts.is_empty()).then(|| Sample::Parts(parts.into_iter().collect()))
    }

    /// What `auditor` itself has drawn of one contribution: it follows from its link alone, so a
    /// confirmation of it can be made again whatever else has come in since.
    pub fn own_sample_of(&self, auditor: &PeerId, contributor: &PeerId) -> Option<Sample> {
        let own = self.draws_by(auditor, contributor).find(|d| d.drawer == *auditor);
        own.map(|d| d.sample.clone())
    }

    fn draws_by(&self, auditor: &PeerId, contributor: &PeerId) -> impl Iterator<Item = &Draw> {
        let (auditor, contributor) = (*auditor, *contributor);
        self.draws.iter().filter(move |d| (d.auditor, d.contributor) == (auditor, contributor))
    }

    /// What `auditor` confirmed of its own draw, as the next record has it.
    pub fn confirmation(&self, contributor: &PeerId, auditor: &PeerId) -> Option<&Signed<Verdict>> {
        self.advance.verdicts.iter().find(|v| {
            (v.author(), v.body().contributor) == (*auditor, *contributor)
                && v.body().confirms_draw()
        })
    }

    /// Everything that somebody found to be wrong.
    pub fn accusations(&self) -> Vec<Accusation> {
        let accusation = |v: &Signed<Verdict>| match v.body().finding {
            Finding::Mismatch { part } => {
                let (contributor, scope) = (v.body().contributor, v.body().scope);
                Some(Accusation { contributor, accuser: v.author(), scope, part })
            }
            _ => None,
        };
        let all = self.verdicts.values().filter_map(accusation);
        all.filter(|a| !self.advance.gone.contains(&a.accuser)).collect()
    }

    /// Parts that drawn auditors could not get what it takes for: the others try.
    pub fn passed_on(&self) -> Vec<(PeerId, PeerId, u32)> {
        let passed = |v: &Signed<Verdict>| match (v.body().scope, v.body().finding) {
            (Scope::Drawn, Finding::Unavailable { part, .. }) => {
                Some((v.body().contributor, v.author(), part))
            }
            _ => None,
        };
        self.verdicts.values().filter_map(passed).collect()
    }

    /// Whether somebody asked for answers of this scope about this contribution.
    pub fn is_asked(&self, contributor: &PeerId, scope: Scope) -> bool {
        // Where a confirmation was made again and the work itself is wrong, that may be said too.
        let accused = |a: &Accusation| {
            a.contributor == *contributor
                && (a.asks() == scope || Scope::Dispute { part: a.part } == scope)
        };
        let passed = |p: &(PeerId, PeerId, u32)| {
            p.0 == *contributor && Scope::Dispute { part: p.2 } == scope
        };
        self.accusations().iter().any(accused) || self.passed_on().iter().any(passed)
    }

    /// Verdicts that agree with an accusation, one per author.
    pub fn agreeing(&self, accusation: &Accusation) -> BTreeMap<PeerId, &Signed<Verdict>> {
        let same = |v: &&Signed<Verdict>| match accusation.scope.is_of_work() {
            true => v.body().scope.is_of_work(),
            false => v.body().scope == accusation.scope,
        };
        self.about(&accusation.contributor)
            .filter(same)
            .filter(|v| matches!(v.body().finding, Finding::Mismatch { .. }))
            .filter(|v| v.author() != accusation.accused() && v.author() != accusation.contributor)
            .map(|v| (v.author(), v))
            .collect()
    }

    /// Answers that found nothing where an accusation says there is something.
    pub fn contradicting(&self, accusation: &Accusation) -> Vec<Signed<Verdict>> {
        let interested = accusation.interested();
        self.about(&accusation.contributor)
            .filter(|v| v.body().scope == accusation.asks())
            .filter(|v| matches!(v.body().finding, Finding::Confirmed { .. }))
            .filter(|v| !interested.contains(&v.author()))
            .cloned()
            .collect()
    }

    /// What one member found about a contribution; a mismatch before anything else.
    pub fn finding(&self, contributor: &PeerId, member: &PeerId) -> Option<Finding> {
        let findings = || {
            self.about(contributor)
                .filter(|v| v.author() == *member)
                .filter(|v| v.body().scope.is_of_work())
        };
        let worst =
            findings().map(|v| v.body().finding).find(|f| matches!(f, Finding::Mismatch { .. }));
        // An answer to a dispute looks at the part in question; a drawn audit may not have.
        worst.or_else(|| findings().last().map(|v| v.body().finding))
    }

    /// Whether one member found a contribution wrong.
    pub fn found_wrong(&self, contributor: &PeerId, member: &PeerId) -> bool {
        matches!(self.finding(contributor, member), Some(Finding::Mismatch { .. }))
    }

    /// What one member answered to exactly this.
    pub fn answer(&self, contributor: &PeerId, member: &PeerId, scope: Scope) -> Option<Finding> {
        self.verdicts.get(&(*contributor, *member, scope)).map(|v| v.body().finding)
    }

    /// Where an accusation stands. Whether it is refuted is looked at first: then liars who back
    /// each other gain nothing by it.
    pub fn dispute(&self, chain: &ChainState, all: &Electorate, a: &Accusation) -> Dispute {
        let here = |id: &PeerId| !chain.ejected.contains(id);
        let against = self.contradicting(a);
        if all.prove(against.iter().map(Signed::author).filter(here)) {
            return Dispute::Refuted;
        }
        let agreeing = self.agreeing(a);
        if all.prove(agreeing.keys().copied().filter(here)) {
            return Dispute::Proven;
        }
        let interested = a.interested();
        let answered = |m: &PeerId| {
            interested.contains(m)
                || agreeing.contains_key(m)
                || self.answer(&a.contributor, m, a.asks()).is_some()
        };
        match all.voters().filter(here).all(|m| answered(&m)) {
            true => Dispute::Undecided,
            false => Dispute::Open,
        }
    }

    /// When something may have to be done again, or be given up; `patience_ms` is what a contributor
    /// has for serving what a re-run takes.
    pub fn deadlines(&self, patience_ms: u64) -> Vec<Time> {
        let own = self.own.values().filter_map(|own| match own.stage {
            OwnStage::At(time) => Some(time),
            OwnStage::Fetching(_) => self.has_base.then(|| own.gives_up_at(patience_ms)),
            OwnStage::Running => None,
        });
        let opening = match self.opening {
            Wanted::At(time) => Some(time),
            _ => None,
        };
        own.chain(opening).collect()
    }

    /// Whether nothing more is to be expected of a drawn audit.
    pub fn is_done(&self, draw: &Draw) -> bool {
        let gone = self.commit(&draw.contributor).is_none();
        gone || self.answer(&draw.contributor, &draw.auditor, Scope::Drawn).is_some()
    }
}
