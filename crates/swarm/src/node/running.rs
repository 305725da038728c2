//! A run that has begun and not ended: what its records lead to, the audits of its newest advances,
//! and the work on the next record.

use super::{Core, Task, book::Book, working::Work};
use crate::{
    Action, ChainState, Event, Evidence, Member, Message, Scope, SignedRecord, Time, log::Entry,
};
use ids::PeerId;
use std::collections::BTreeMap;

/// A run that goes on, as one participant sees it.
pub struct Running {
    pub chain: ChainState,
    /// Audits of the last advance and of the one before, by height.
    pub books: BTreeMap<u64, Book>,
    /// On the record after the head.
    pub work: Work,
    /// [`crate::Join::height`] of the join that made this node a member: names its hash chain.
    pub own_chain: Option<u64>,
    /// Who contradicted itself.
    pub evidence: BTreeMap<PeerId, Evidence>,
    /// Messages for the next height that came early.
    pub early: Vec<(PeerId, Vec<u8>)>,
}

impl Running {
    /// With its first record; `from` is who gave it.
    pub fn begin(
        core: &mut Core,
        genesis: SignedRecord,
        chain: ChainState,
        from: Option<PeerId>,
    ) -> Self {
        debug_assert!(core.records.is_empty() && chain.height == 0, "a run begins once");
        let mut running = Self::new(core, chain);
        running.take_up(core, genesis, None, from);
        running.open_height(core);
        running
    }

    /// After a restart, with what was said before it.
    pub fn resume(core: &mut Core, chain: ChainState, said: &[Entry]) -> Self {
        let mut running = Self::new(core, chain);
        running.keep_books(core.now);
        core.records.iter().for_each(|record| running.note_own_join(core.id(), record));
        core.pace.start(core.now);
        running.open_height(core);
        running.say_again(core, said);
        running
    }

    fn new(core: &Core, chain: ChainState) -> Self {
        Self {
            work: Work::after(core, &chain),
            chain,
            books: BTreeMap::new(),
            own_chain: None,
            evidence: BTreeMap::new(),
            early: Vec::new(),
        }
    }

    /// Starts on the height after the head.
    pub fn open_height(&mut self, core: &mut Core) {
        self.work = Work::after(core, &self.chain);
        core.prune_joins(&self.chain);
        self.take_in_early(core);
        core.hurry_resend();
    }

    /// What another participant or this machine has done.
    pub fn take_in(&mut self, core: &mut Core, event: Event) {
        match event {
            Event::Trained { height, result } => self.trained(core, height, result),
            Event::Opened { id, result } => self.opened(core, id, result),
            Event::Audited { id, result } => self.audited(core, id, result),
            Event::Aggregated { id, result } => self.aggregated(core, id, result),
            Event::Fetched { id, stored } => self.fetched(core, id, None, &stored),
            Event::FetchFailed { id, missing, stored } => {
                self.fetched(core, id, Some(missing), &stored);
            }
            // These are the same in every stage.
            Event::Start
            | Event::Tick
            | Event::PeerUp(_)
            | Event::PeerDown(_)
            | Event::Message { .. }
            | Event::Leave => {}
        }
    }

    fn fetched(
        &mut self,
        core: &mut Core,
        id: u64,
        missing: Option<ids::Hash>,
        stored: &[ids::Hash],
    ) {
        match core.end_task(id) {
            Some(Task::Sync) => self.synced(core, missing),
            Some(Task::Update(author)) => self.update_fetched(core, &author, missing, stored),
            Some(Task::AuditInputs(key, sample)) => {
                self.audit_inputs_fetched(core, key, sample, missing, stored);
            }
            Some(Task::AggregateInputs(key)) => self.aggregate_inputs_fetched(core, key, missing),
            // A result that nobody waits for any more.
            _ => {}
        }
    }

    /// Does the next thing that follows from what is known; false if there is none.
    pub fn step(&mut self, core: &mut Core) -> bool {
        self.show(core)
            || self.open_states(core)
            || self.give_up_fetch(core)
            || self.audit(core)
            || self.sync(core)
            || self.train(core)
            || self.collect(core)
            || self.decide(core)
    }

    /// When something may have to happen without anything else happening.
    pub fn deadlines(&self, core: &Core) -> Vec<Time> {
        let mut times = self.work.deadlines(&core.run.rules, core.audits_ms());
        let patience = core.run.rules.serve_ms();
        times.extend(self.books.values().flat_map(|book| book.deadlines(patience)));
        times
    }

    /// Everything of this node that others may lack.
    pub fn repeats(&self, core: &Core) -> Vec<Message> {
        let me = core.id();
        let mut messages = Vec::new();
        if self.wants_in(core) {
            messages.push(Message::Join(core.own_join()));
        }
        let work = &self.work;
        messages.extend(work.commits.get(&me).map(|slot| Message::Commit(slot.commit.clone())));
        messages.extend(work.haves_of(&me).map(Message::Have));
        let (proposals, votes) = work.agreement.gossip();
        let proposal =
            |(header, record): (_, Vec<u8>)| Message::Proposal { header, record: record.into() };
        messages.extend(proposals.into_iter().map(proposal));
        messages.extend(votes.into_iter().map(Message::Vote));
        let shows = self.newest_book().and_then(|book| book.shows.get(&me));
        messages.extend(shows.map(|s| Message::Show(s.clone())));
        let verdicts = self.books.values().flat_map(|book| book.verdicts_by(&me));
        messages.extend(verdicts.map(Message::Verdict));
        if work.agreement.view() > 0 {
            messages.extend(self.known_of_others(core));
        }
        messages.extend(self.evidence.values().filter_map(|evidence| {
            evidence.equivocator().map(|_| Message::Evidence(evidence.clone()))
        }));
        messages
    }

    /// Links and drawn verdicts of others that a record has to have: what somebody told only a few
    /// reaches everybody once a view has failed.
    fn known_of_others(&self, core: &Core) -> Vec<Message> {
        let Some(book) = self.newest_book() else { return Vec::new() };
        let awaited = self.chain.awaited(&core.run);
        let others = |author: PeerId| author != core.id() && awaited.contains(&author);
        let shows = book.shows.values().filter(|s| others(s.author())).cloned().map(Message::Show);
        let verdicts = book.verdicts.values().filter(|v| v.body().scope == Scope::Drawn);
        let verdicts = verdicts.filter(|v| others(v.author())).cloned().map(Message::Verdict);
        shows.chain(verdicts).collect()
    }

    /// Whether this peer has to ask to be let in.
    fn wants_in(&self, core: &Core) -> bool {
        self.own_line(core).is_none() && !self.is_ejected(core)
    }

    /// This node's line among the members.
    pub fn own_line(&self, core: &Core) -> Option<&Member> {
        self.chain.member(&core.id())
    }

    pub fn is_ejected(&self, core: &Core) -> bool {
        self.chain.ejected.contains(&core.id())
    }

    /// Which join made this node a member, if this record did.
    pub fn note_own_join(&mut self, me: PeerId, record: &SignedRecord) {
        if let Some(join) = record.record().joins.iter().find(|j| j.author() == me) {
            self.own_chain = Some(join.body().height);
        }
    }

    /// This machine is at fault or differs from what a valid quorum signed.
    pub fn fatal(&mut self, core: &mut Core, why: String) {
        self.stop_training(core);
        core.die(why);
    }

    pub fn stop_training(&self, core: &mut Core) {
        if self.work.is_training() {
            core.out.push(Action::CancelTrain);
        }
    }

    /// What has to be true whatever others say and in whatever order.
    pub fn check(&self, core: &Core) {
        let Self { chain, books, work, .. } = self;
        debug_assert_eq!(
            core.height(),
            Some(chain.height),
            "the records lead to the chain's state"
        );
        debug_assert_eq!(work.height, chain.height + 1, "work is on the next record");
        debug_assert!(books.len() <= 2, "of the last two advances");
        debug_assert!(books.keys().all(|height| *height <= chain.height), "of the past");
        debug_assert!(work.commits.keys().all(|id| chain.member(id).is_some()), "of members alone");
    }
}
