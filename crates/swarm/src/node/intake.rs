//! Messages: what is looked at before a message may cost anything, cheap checks first.

use super::Node;
use crate::{
    Body, Commit, Envelope, Evidence, Message, PeerId, Proposal, Record, Signed, Vote,
    agreement::Taken, chain::Ruling, parse_message,
};
use store::Hash;

/// Messages for the next height that are kept until this node gets there.
const MAX_EARLY: usize = 1024;
/// And their bytes.
const MAX_EARLY_BYTES: usize = 4 << 20;

/// Where a message's height lies.
enum When {
    Now,
    Early,
    Never,
}

impl Node {
    pub(super) fn message(&mut self, from: PeerId, bytes: &[u8]) {
        if from == self.id() || self.is_shunned(&from) || !self.know(from) {
            return;
        }
        let message = match parse_message(bytes) {
            Ok(message) => message,
            Err(error) => return self.strike(from, &error.to_string()),
        };
        if message.run() != self.run.id {
            return self.strike(from, "a message of another run");
        }
        // What members have signed comes from members: a stranger has nothing to pass on.
        let own = matches!(
            message,
            Message::Join(_)
                | Message::Head { .. }
                | Message::RecordsRequest { .. }
                | Message::Records { .. }
        );
        if !own && self.is_stranger(&from) {
            return;
        }
        match message {
            Message::Join(join) => self.joining(from, join),
            Message::Head { height, elapsed_ms, .. } => self.on_head(from, height, elapsed_ms),
            Message::RecordsRequest { from: height, .. } => self.on_request(from, height),
            Message::Records { records, .. } => self.on_records(from, &records),
            Message::Evidence(evidence) => self.on_evidence(from, evidence),
            Message::Verdict(verdict) => {
                if self.is_member(&verdict.author()) {
                    self.on_verdict(from, verdict);
                }
            }
            other => self.of_a_height(from, bytes, other),
        }
    }

    /// Commits, links, receipts, proposals and votes: they are for one height only.
    fn of_a_height(&mut self, from: PeerId, bytes: &[u8], message: Message) {
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
            return self.on_show(from, show.clone());
        }
        match self.when(from, height) {
            When::Never => {}
            When::Early => self.keep_early(from, bytes),
            When::Now => match message {
                Message::Commit(commit) => self.on_commit(from, commit),
                Message::Have(have) => self.on_have(from, have),
                Message::Proposal { header, record } => {
                    self.on_proposal(from, header, record.into());
                }
                Message::Vote(vote) => self.on_vote(from, vote),
                _ => {}
            },
        }
    }

    fn when(&mut self, from: PeerId, height: u64) -> When {
        let Some(work) = &self.work else { return When::Never };
        match height {
            h if h == work.height => When::Now,
            h if h == work.height + 1 => When::Early,
            h if h > work.height => {
                self.ask(from);
                When::Never
            }
            _ => When::Never,
        }
    }

    fn keep_early(&mut self, from: PeerId, bytes: &[u8]) {
        let size: usize = self.early.iter().map(|(_, b)| b.len()).sum();
        if self.early.len() < MAX_EARLY && size + bytes.len() <= MAX_EARLY_BYTES {
            self.early.push((from, bytes.to_vec()));
        }
        self.ask_if_behind(from);
    }

    /// Somebody speaks of the next height already: unless the votes on this one still come, its
    /// record has to be asked for.
    fn ask_if_behind(&mut self, from: PeerId) {
        if self.now >= self.resend_at {
            self.ask(from);
        }
    }

    /// Takes in what came early, now that the height has begun.
    pub(super) fn take_in_early(&mut self) {
        for (from, bytes) in std::mem::take(&mut self.early) {
            self.message(from, &bytes);
        }
    }

    /// Whether the run has begun, and this peer is no member of it.
    pub(super) fn is_stranger(&self, peer: &PeerId) -> bool {
        self.chain.is_some() && !self.is_member(peer)
    }

    fn is_member(&self, author: &PeerId) -> bool {
        self.chain.as_ref().is_some_and(|c| c.member(author).is_some())
    }

    /// Whether the signature is right; if not, whoever passed it on is to blame.
    pub(super) fn is_right(&mut self, from: PeerId, envelope: &Envelope) -> bool {
        let right = self.cache.is_signed(envelope, &self.run.id);
        if !right && from != self.id() {
            self.strike(from, "a wrong signature");
        }
        right
    }

    fn on_commit(&mut self, from: PeerId, commit: Signed<Commit>) {
        let (Some(work), Some(chain)) = (&self.work, &self.chain) else { return };
        let author = commit.author();
        if let Some(known) = work.commits.get(&author) {
            let known = known.commit.envelope().clone();
            if known.body != commit.envelope().body {
                self.contradiction(from, known, commit.envelope());
            }
            return;
        }
        if let Err(why) = chain.check_commit(&self.run, &commit) {
            return self.strike(from, &format!("commit of {}: {why}", author.short()));
        }
        if self.is_right(from, commit.envelope()) {
            self.accept_commit(commit);
        }
    }

    fn on_have(&mut self, from: PeerId, have: Signed<crate::Have>) {
        let votes = self.chain.as_ref().is_some_and(|c| c.votes(&self.run, &have.author()));
        let room = self.work.as_ref().is_some_and(|w| w.has_room_for(&have));
        if votes && room && self.is_right(from, have.envelope()) {
            self.accept_have(have);
        }
    }

    fn on_vote(&mut self, from: PeerId, vote: Signed<Vote>) {
        let Some(work) = &self.work else { return };
        let Vote { view, step, .. } = *vote.body();
        let known = work.agreement.known_vote(view, step, &vote.author());
        if known.is_some_and(|k| k.body() == vote.body()) || !self.is_right(from, vote.envelope()) {
            return;
        }
        let Some(work) = &mut self.work else { return };
        let envelope = vote.envelope().clone();
        if let Taken::Contradicts(known) = work.agreement.vote(vote) {
            self.contradiction(from, known, &envelope);
        }
    }

    fn on_proposal(&mut self, from: PeerId, header: Signed<Proposal>, body: Vec<u8>) {
        let Some(work) = &self.work else { return };
        let proposal = *header.body();
        if work.agreement.proposer(proposal.view) != Some(header.author())
            || work.agreement.has_proposal(&header)
        {
            return;
        }
        if Record::hash_of(&body) != proposal.value {
            return self.strike(from, "a proposal with another record");
        }
        if !self.is_right(from, header.envelope()) {
            return;
        }
        let record = match Record::from_bytes(&body) {
            Ok(record) => record,
            // The author signed it, so it is the author's fault; but a peer does not pass on
            // what it cannot read either.
            Err(error) => return self.strike(from, &error.to_string()),
        };
        let ruling = self.ruling(&proposal.value, &record);
        if let Err(why) = &ruling {
            let (peer, why) = (header.author(), why.clone());
            self.notice(crate::Notice::Misbehaved { peer, why });
        }
        let Some(work) = &mut self.work else { return };
        let envelope = header.envelope().clone();
        match work.agreement.propose(header, body, ruling.ok()) {
            // Whoever passes a proposal on has not looked at what is in it; its author has.
            Taken::New => self.learn_from(envelope.author, &record),
            Taken::Contradicts(known) => self.contradiction(from, known, &envelope),
            Taken::Ignored => {}
        }
    }

    /// What decides on a record, once it was checked whole.
    ///
    /// Errors: why it may not follow the head.
    pub(super) fn ruling(&self, hash: &Hash, record: &Record) -> Result<Ruling, String> {
        let chain = self.chain.as_ref().ok_or("the run has not begun")?;
        chain.ruling_on(&self.run, record, *hash, &self.cache)
    }

    /// A proposal may carry what was lost on the way here.
    fn learn_from(&mut self, from: PeerId, record: &Record) {
        for contribution in &record.contributions {
            let (author, height) =
                (contribution.commit.author(), contribution.commit.body().height);
            if self.is_member(&author) && matches!(self.when(from, height), When::Now) {
                self.on_commit(from, contribution.commit.clone());
                for have in &contribution.haves {
                    self.on_have(from, have.clone());
                }
            }
        }
        for show in &record.shows {
            self.on_show(from, show.clone());
        }
        let evidence = record.ejected.iter().flat_map(crate::Ejection::verdicts);
        let mut verdicts: Vec<_> = record.verdicts.iter().cloned().chain(evidence).collect();
        // Accusations first: an answer to a dispute is only taken once the dispute is known.
        verdicts.sort_by_key(|v| v.body().scope);
        for verdict in verdicts {
            if self.is_member(&verdict.author()) {
                self.on_verdict(from, verdict);
            }
        }
    }

    /// Two statements of one author: proof, if both are signed.
    fn contradiction(&mut self, from: PeerId, known: Envelope, other: &Envelope) {
        if !self.is_right(from, other) || self.evidence.contains_key(&other.author) {
            return;
        }
        if let Some(evidence) = Evidence::equivocation(&known, other) {
            self.broadcast(&Message::Evidence(evidence.clone()));
            self.evidence.insert(other.author, evidence);
        }
    }

    fn on_evidence(&mut self, from: PeerId, evidence: Evidence) {
        let (Some(chain), Some(peer)) = (&self.chain, evidence.equivocator()) else { return };
        let wanted = self.is_member(&peer) && !self.evidence.contains_key(&peer);
        if !wanted || peer == self.id() {
            return;
        }
        let none = std::collections::BTreeSet::new();
        match chain.check_evidence(&self.run, &peer, &evidence, &none, &self.cache) {
            Ok(()) => {
                self.evidence.insert(peer, evidence);
            }
            Err(why) => self.strike(from, &why),
        }
    }
}

/// Whether an envelope is a statement of this kind.
pub(super) fn open<T: Body>(envelope: &Envelope) -> Option<Signed<T>> {
    Signed::open(envelope.clone()).ok()
}
