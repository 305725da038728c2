//! Messages: what is looked at before a message may cost anything, cheap checks first.

use super::{Core, Node, Running, Stage};
use crate::{
    Body, Commit, Envelope, Evidence, Message, Proposal, Record, Signed, Vote, agreement::Taken,
    chain::Ruling, parse_message,
};
use ids::{Hash, PeerId};

/// Messages of one member for the next height that are kept until this node gets there: what an
/// honest one says, and passes on of others, about one height.
const MAX_EARLY: usize = 256;
/// And their bytes: a few proposals, and small things.
const MAX_EARLY_BYTES: usize = 1 << 20;

/// Where a message's height lies.
enum When {
    Now,
    Early,
    Never,
}

impl Node {
    pub(super) fn message(&mut self, from: PeerId, bytes: &[u8]) {
        let Some(message) = self.read_message(from, bytes) else { return };
        let core = &mut self.core;
        match message {
            Message::Join(join) => self.joining(from, join),
            Message::Head { height, elapsed_ms, .. } => core.on_head(from, height, elapsed_ms),
            Message::RecordsRequest { from: height, .. } => self.on_request(from, height),
            Message::Records { records, .. } => self.on_records(from, &records),
            // What members have signed comes from members: a stranger has nothing to pass on.
            said if !self.is_stranger(&from) => {
                if let Stage::Running(running) = &mut self.stage {
                    running.message(&mut self.core, from, bytes, said);
                }
            }
            _ => {}
        }
    }

    /// A message of this run, from somebody who is listened to.
    fn read_message(&mut self, from: PeerId, bytes: &[u8]) -> Option<Message> {
        let ejected = self.chain_state().is_some_and(|chain| chain.ejected.contains(&from));
        let core = &mut self.core;
        if from == core.id() || ejected || core.is_struck_out(&from) || !core.know(from) {
            return None;
        }
        match parse_message(bytes) {
            Ok(message) if message.run() == core.run.id => return Some(message),
            Ok(_) => core.strike(from, "a message of another run"),
            Err(error) => core.strike(from, &error.to_string()),
        }
        None
    }

    /// Whether the run has begun, and this peer is no member of it.
    pub(super) fn is_stranger(&self, peer: &PeerId) -> bool {
        self.chain_state().is_some_and(|chain| chain.member(peer).is_none())
    }
}

impl Running {
    fn message(&mut self, core: &mut Core, from: PeerId, bytes: &[u8], message: Message) {
        match message {
            Message::Evidence(evidence) => self.on_evidence(core, from, evidence),
            Message::Verdict(verdict) => {
                if self.is_member(&verdict.author()) {
                    self.on_verdict(core, from, verdict);
                }
            }
            other => self.of_a_height(core, from, bytes, other),
        }
    }

    fn is_member(&self, author: &PeerId) -> bool {
        self.chain.member(author).is_some()
    }

    /// Commits, links, receipts, proposals and votes: they are for one height only.
    fn of_a_height(&mut self, core: &mut Core, from: PeerId, bytes: &[u8], message: Message) {
        let (author, height) = match &message {
            Message::Commit(m) => (m.author(), m.body().height),
            // A link is about an advance that is there already.
            Message::Show(m) => (m.author(), m.body().height.saturating_add(1)),
            Message::Have(m) => (m.author(), m.body().height),
            Message::Proposal { header, .. } => (header.author(), header.body().height),
            Message::Vote(m) => (m.author(), m.body().height),
            _ => return,
        };
        if !self.is_member(&author) {
            return;
        }
        // After a repair the links on the advance before it still count.
        if let Message::Show(show) = &message
            && self.newest_book().is_some_and(|b| b.advance.height == show.body().height)
        {
            return self.on_show(core, from, show.clone());
        }
        match self.when(core, from, height) {
            When::Never => {}
            When::Early => self.keep_early(core, from, bytes),
            When::Now => match message {
                Message::Commit(commit) => self.on_commit(core, from, commit),
                Message::Have(have) => self.on_have(core, from, have),
                Message::Proposal { header, record } => {
                    self.on_proposal(core, from, header, record.into());
                }
                Message::Vote(vote) => self.on_vote(core, from, vote),
                _ => {}
            },
        }
    }

    fn when(&mut self, core: &mut Core, from: PeerId, height: u64) -> When {
        let work = &self.work;
        match height {
            h if h == work.height => When::Now,
            h if h == work.height + 1 => When::Early,
            h if h > work.height => {
                core.ask(from);
                When::Never
            }
            _ => When::Never,
        }
    }

    fn keep_early(&mut self, core: &mut Core, from: PeerId, bytes: &[u8]) {
        let theirs = self.early.iter().filter(|(peer, _)| *peer == from).map(|(_, b)| b);
        let (mut count, mut size) = (0, bytes.len());
        for known in theirs {
            if known == bytes {
                return;
            }
            count += 1;
            size += known.len();
        }
        if count < MAX_EARLY && size <= MAX_EARLY_BYTES {
            self.early.push((from, bytes.to_vec()));
        }
        self.ask_if_behind(core, from);
    }

    /// Somebody speaks of the next height already: unless the votes on this one still come, its
    /// record has to be asked for.
    fn ask_if_behind(&mut self, core: &mut Core, from: PeerId) {
        if core.now >= core.resend_at {
            core.ask(from);
        }
    }

    /// Takes in what came early, now that the height has begun.
    pub(super) fn take_in_early(&mut self, core: &mut Core) {
        for (from, bytes) in std::mem::take(&mut self.early) {
            // The last record may have made it a stranger.
            if self.is_member(&from)
                && let Ok(message) = parse_message(&bytes)
            {
                self.of_a_height(core, from, &bytes, message);
            }
        }
    }

    fn on_commit(&mut self, core: &mut Core, from: PeerId, commit: Signed<Commit>) {
        let (work, chain) = (&self.work, &self.chain);
        let author = commit.author();
        if let Some(known) = work.commits.get(&author) {
            let known = known.commit.envelope().clone();
            if known.body != commit.envelope().body {
                self.contradiction(core, from, known, commit.envelope());
            }
            return;
        }
        if let Err(why) = chain.check_commit(&core.run, &commit) {
            return core.strike(from, &format!("commit of {}: {why}", author.short()));
        }
        if core.is_right(from, commit.envelope()) {
            self.accept_commit(core, commit);
        }
    }

    fn on_have(&mut self, core: &mut Core, from: PeerId, have: Signed<crate::Have>) {
        let votes = self.chain.votes(&core.run, &have.author());
        let room = self.work.has_room_for(&have);
        if votes && room && core.is_right(from, have.envelope()) {
            self.accept_have(have);
        }
    }

    fn on_vote(&mut self, core: &mut Core, from: PeerId, vote: Signed<Vote>) {
        let work = &self.work;
        let Vote { view, step, .. } = *vote.body();
        let known = work.agreement.known_vote(view, step, &vote.author());
        if known.is_some_and(|k| k.body() == vote.body()) || !core.is_right(from, vote.envelope()) {
            return;
        }
        let work = &mut self.work;
        let envelope = vote.envelope().clone();
        if let Taken::Contradicts(known) = work.agreement.vote(vote) {
            self.contradiction(core, from, known, &envelope);
        }
    }

    fn on_proposal(
        &mut self,
        core: &mut Core,
        from: PeerId,
        header: Signed<Proposal>,
        body: Vec<u8>,
    ) {
        let work = &self.work;
        let proposal = *header.body();
        if work.agreement.proposer(proposal.view) != Some(header.author())
            || work.agreement.has_proposal(&header)
        {
            return;
        }
        if Record::hash_of(&body) != proposal.value {
            return core.strike(from, "a proposal with another record");
        }
        // A second proposal for a view is evidence, and nothing else of it is looked at.
        if let Some(known) = work.agreement.proposal(proposal.view) {
            let known = known.envelope().clone();
            return self.contradiction(core, from, known, header.envelope());
        }
        if self.evidence.contains_key(&header.author()) || !core.is_right(from, header.envelope()) {
            return;
        }
        let record = match Record::from_bytes(&body) {
            Ok(record) => record,
            // The author signed it, so it is the author's fault; but a peer does not pass on
            // what it cannot read either.
            Err(error) => return core.strike(from, &error.to_string()),
        };
        let ruling = self.ruling(core, &proposal.value, &record);
        if let Err(why) = &ruling {
            let (peer, why) = (header.author(), why.clone());
            core.notice(crate::Notice::Misbehaved { peer, why });
        }
        let work = &mut self.work;
        let envelope = header.envelope().clone();
        match work.agreement.propose(header, body, ruling.ok()) {
            // Whoever passes a proposal on has not looked at what is in it; its author has.
            Taken::New => self.learn_from(core, envelope.author, &record),
            Taken::Contradicts(known) => self.contradiction(core, from, known, &envelope),
            Taken::Ignored => {}
        }
    }

    /// What decides on a record, once it was checked whole.
    ///
    /// Errors: why it may not follow the head.
    pub(super) fn ruling(
        &self,
        core: &Core,
        hash: &Hash,
        record: &Record,
    ) -> Result<Ruling, String> {
        self.chain.ruling_on(&core.run, record, *hash, &core.cache)
    }

    /// A proposal may carry what was lost on the way here.
    fn learn_from(&mut self, core: &mut Core, from: PeerId, record: &Record) {
        for contribution in &record.contributions {
            let (author, height) =
                (contribution.commit.author(), contribution.commit.body().height);
            if self.is_member(&author) && matches!(self.when(core, from, height), When::Now) {
                self.on_commit(core, from, contribution.commit.clone());
                for have in &contribution.haves {
                    self.on_have(core, from, have.clone());
                }
            }
        }
        for show in &record.shows {
            self.on_show(core, from, show.clone());
        }
        let evidence = record.ejected.iter().flat_map(crate::Ejection::verdicts);
        let mut verdicts: Vec<_> = record.verdicts.iter().cloned().chain(evidence).collect();
        // Accusations first: an answer to a dispute is only taken once the dispute is known.
        verdicts.sort_by_key(|v| v.body().scope);
        for verdict in verdicts {
            if self.is_member(&verdict.author()) {
                self.on_verdict(core, from, verdict);
            }
        }
    }

    /// Two statements of one author: proof, if both are signed.
    pub(super) fn contradiction(
        &mut self,
        core: &mut Core,
        from: PeerId,
        known: Envelope,
        other: &Envelope,
    ) {
        if self.evidence.contains_key(&other.author) || !core.is_right(from, other) {
            return;
        }
        if let Some(evidence) = Evidence::equivocation(&known, other) {
            core.broadcast(&Message::Evidence(evidence.clone()));
            self.evidence.insert(other.author, evidence);
        }
    }

    fn on_evidence(&mut self, core: &mut Core, from: PeerId, evidence: Evidence) {
        let (chain, Some(peer)) = (&self.chain, evidence.equivocator()) else { return };
        let wanted = self.is_member(&peer) && !self.evidence.contains_key(&peer);
        if !wanted || peer == core.id() {
            return;
        }
        let none = std::collections::BTreeSet::new();
        match chain.check_evidence(&core.run, &peer, &evidence, &none, &core.cache) {
            Ok(()) => {
                self.evidence.insert(peer, evidence);
            }
            Err(why) => core.strike(from, &why),
        }
    }
}

/// Whether an envelope is a statement of this kind.
pub(super) fn open<T: Body>(envelope: &Envelope) -> Option<Signed<T>> {
    Signed::open(envelope.clone()).ok()
}
