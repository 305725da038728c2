//! Agreement on one record: the Tendermint algorithm.
//!
//! Source: Buchman, Kwon, Milosevic 2018, "The latest gossip on BFT consensus", algorithm 1, with
//! votes that weigh. What differs: a view's clock starts only once this peer sees that a record is
//! due (or somebody else does, by proposing), since a round of training comes first; a record that
//! ejects voters for cheating is decided without them; and validity may take a while to find out.
//!
//! The module knows nothing of rounds. It takes signed proposals and votes, what the rules say of
//! a value ([`Ruling`], made of the chain once the whole value was checked, and never of what the
//! value claims), whether it is valid, and the time; it gives [`Output`]s, whose votes the caller
//! signs, makes durable, sends and hands back.

use crate::{Electorate, Proposal, Signed, Step, Time, Vote, chain::Ruling, quorum};
use ids::{Hash, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// Proposals for views further ahead are not kept.
const VIEWS_AHEAD: u32 = 8;
/// Proposals for views further back are forgotten, unless their value may still matter.
const VIEWS_BACK: u32 = 8;
/// Votes for views further ahead do not count: a single voter among three could otherwise carry
/// the others off to the end of numbers.
const VIEWS_TO_SKIP: u32 = 10_000;
/// Votes of one author for views ahead of this one that are kept.
const VOTES_AHEAD: usize = 4;
/// From this view on, timeouts no longer grow.
const GROWTH_END: u32 = 30;

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Sign and send a proposal.
    Propose { view: u32, valid_view: Option<u32>, value: Hash },
    /// Sign and send a vote.
    Vote { view: u32, step: Step, value: Option<Hash> },
    /// Make durable, before the precommit that follows, that this value is locked.
    Lock { view: u32, value: Hash },
    /// The height is decided.
    Decided { view: u32, value: Hash },
    /// A view ended without a decision.
    View(u32),
}

/// Whether a value may be decided, as far as this peer can tell; of several opinions the greatest
/// counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Validity {
    /// It may.
    Valid,
    /// Not known yet.
    Pending,
    /// It may not.
    Invalid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Idle,
    Propose,
    Prevote,
    Precommit,
}

struct Value {
    body: Vec<u8>,
    /// What decides on it; `None` for a value that breaks the rules: no vote for it counts.
    ruling: Option<Ruling>,
    validity: Validity,
}

/// The agreement on the record of one height.
pub struct Agreement {
    height: u64,
    voters: Electorate,
    me: PeerId,
    seed: Hash,
    timeout_ms: u64,
    view: u32,
    stage: Stage,
    locked: Option<(u32, Hash)>,
    valid: Option<(u32, Hash)>,
    offered: Option<Hash>,
    values: BTreeMap<Hash, Value>,
    proposals: BTreeMap<u32, Signed<Proposal>>,
    votes: BTreeMap<(u32, Step), BTreeMap<PeerId, Signed<Vote>>>,
    /// Voters that are as good as ejected: nobody waits for them.
    discounted: BTreeSet<PeerId>,
    timers: Timers,
    decided: bool,
    out: Vec<Output>,
}

/// When the current view gives up waiting, per stage.
#[derive(Default)]
struct Timers {
    propose: Option<Time>,
    prevote: Option<Time>,
    precommit: Option<Time>,
}

/// A proposal with its record's bytes.
pub type Proposed = (Signed<Proposal>, Vec<u8>);

/// What became of something handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// New, and kept.
    New,
    /// Known already, or of no use.
    Ignored,
    /// Contradicts an earlier statement of its author: this one.
    Contradicts(crate::Envelope),
}

impl Agreement {
    /// The agreement on the record of `height` among `voters`, with a first view of `timeout_ms`.
    /// Proposers are drawn by weight from `seed`.
    pub fn new(height: u64, voters: Electorate, me: PeerId, seed: Hash, timeout_ms: u64) -> Self {
        Self {
            height,
            voters,
            me,
            seed: Hash::of_parts("understory swarm 2 proposer", &[&seed.0, &height.to_le_bytes()]),
            timeout_ms,
            view: 0,
            stage: Stage::Idle,
            locked: None,
            valid: None,
            offered: None,
            values: BTreeMap::new(),
            proposals: BTreeMap::new(),
            votes: BTreeMap::new(),
            discounted: BTreeSet::new(),
            timers: Timers::default(),
            decided: false,
            out: Vec::new(),
        }
    }

    /// The view this peer is in.
    pub fn view(&self) -> u32 {
        self.view
    }

    /// Whether this peer has begun to agree.
    pub fn has_begun(&self) -> bool {
        self.stage > Stage::Idle
    }

    /// Who proposes in `view`.
    pub fn proposer(&self, view: u32) -> Option<PeerId> {
        let parts: [&[u8]; 2] = [&self.seed.0, &view.to_le_bytes()];
        let hash = Hash::of_parts("understory swarm 2 view", &parts);
        self.voters.at(u64::from_le_bytes(hash.0[..8].try_into().expect("8 of 32 bytes")))
    }

    /// Whether a record made by this peer would be proposed now.
    pub fn wants_value(&self) -> bool {
        !self.decided
            && self.stage == Stage::Propose
            && self.proposer(self.view) == Some(self.me)
            && !self.proposals.contains_key(&self.view)
            && self.valid.is_none()
    }

    /// When [`Agreement::run`] has to be called again, at the latest.
    pub fn deadline(&self) -> Option<Time> {
        let timer = match self.stage {
            Stage::Idle => None,
            Stage::Propose => self.timers.propose,
            Stage::Prevote => self.timers.prevote,
            Stage::Precommit => None,
        };
        timer.into_iter().chain(self.timers.precommit).min()
    }

    /// The bytes of a value.
    pub fn body(&self, value: &Hash) -> Option<&[u8]> {
        self.values.get(value).map(|v| v.body.as_slice())
    }

    /// Values whose validity somebody waits for.
    pub fn pending(&self) -> Vec<Hash> {
        let pending = self.values.iter().filter(|(_, v)| v.validity == Validity::Pending);
        pending.map(|(hash, _)| *hash).collect()
    }

    /// The precommits for a value in a view.
    pub fn precommits(&self, view: u32, value: &Hash) -> Vec<&Signed<Vote>> {
        let votes = self.votes.get(&(view, Step::Precommit)).into_iter().flat_map(|v| v.values());
        let ruling = self.values.get(value).and_then(|v| v.ruling.as_ref());
        votes
            .filter(|v| v.body().value == Some(*value))
            .filter(|v| ruling.is_some_and(|r| !r.excluded.contains(&v.author())))
            .collect()
    }

    /// The prevotes for a value in a view.
    pub fn prevotes(&self, view: u32, value: &Hash) -> Vec<&Signed<Vote>> {
        let votes = self.votes.get(&(view, Step::Prevote)).into_iter().flat_map(|v| v.values());
        votes.filter(|v| v.body().value == Some(*value)).collect()
    }

    /// What the others may lack: proposals and votes of this view, the one before, and the one of
    /// the newest valid value.
    pub fn gossip(&self) -> (Vec<Proposed>, Vec<Signed<Vote>>) {
        let matters = |view: u32| {
            view == self.view || view + 1 == self.view || self.valid.is_some_and(|v| v.0 == view)
        };
        let proposals = self.proposals.iter().filter(|(view, _)| matters(**view));
        let proposals = proposals.filter_map(|(_, header)| {
            Some((header.clone(), self.body(&header.body().value)?.to_vec()))
        });
        let votes = self.votes.iter().filter(|((view, _), _)| matters(*view));
        (proposals.collect(), votes.flat_map(|(_, v)| v.values().cloned()).collect())
    }

    /// A record is due: the clock of the view starts.
    pub fn begin(&mut self, now: Time) {
        if self.stage == Stage::Idle && !self.decided {
            self.enter(self.view, now);
        }
    }

    /// Voters that are proven to have cheated are not waited for.
    pub fn discount(&mut self, culprits: BTreeSet<PeerId>) {
        self.discounted = culprits;
    }

    /// A record made by this peer, valid by construction, to propose when it is its turn.
    pub fn offer(&mut self, value: Hash, body: Vec<u8>, ruling: Ruling) {
        let valid = Value { body, ruling: Some(ruling), validity: Validity::Valid };
        self.values.insert(value, valid);
        self.offered = Some(value);
    }

    /// What this peer found out about a value.
    pub fn judge(&mut self, value: &Hash, validity: Validity) {
        if let Some(value) = self.values.get_mut(value)
            && value.ruling.is_some()
        {
            value.validity = validity;
        }
    }

    /// Restores a lock from before a crash.
    pub fn restore_lock(&mut self, view: u32, value: Hash, body: Vec<u8>, ruling: Ruling) {
        let valid = Value { body, ruling: Some(ruling), validity: Validity::Valid };
        self.values.insert(value, valid);
        self.locked = Some((view, value));
        self.valid = Some((view, value));
    }

    /// Restores the view from before a crash, before the statements themselves.
    pub fn restore_view(&mut self, view: u32) {
        self.view = self.view.max(view);
    }

    /// Whether this very proposal is here.
    pub fn has_proposal(&self, header: &Signed<Proposal>) -> bool {
        self.proposal(header.body().view).is_some_and(|p| p.body() == header.body())
    }

    /// What was proposed first in a view.
    pub fn proposal(&self, view: u32) -> Option<&Signed<Proposal>> {
        self.proposals.get(&view)
    }

    /// Who proposed a value first.
    pub fn proposer_of(&self, value: &Hash) -> Option<PeerId> {
        self.proposals.values().find(|p| p.body().value == *value).map(Signed::author)
    }

    /// Whether somebody honest other than this peer and the value's proposer prevoted for it in
    /// some view: voters of more weight than may be faulty.
    pub fn is_seconded(&self, value: &Hash) -> bool {
        let proposer = self.proposer_of(value);
        let votes = self.votes.iter().filter(|((_, step), _)| *step == Step::Prevote);
        let voters = votes.flat_map(|(_, votes)| votes.values());
        let others = voters
            .filter(|v| v.body().value == Some(*value))
            .map(Signed::author)
            .filter(|author| *author != self.me && Some(*author) != proposer);
        self.voters.weight_of(others) > self.voters.faults()
    }

    /// After the restored statements were handed in: goes on in the view of the newest of them.
    pub fn resume(&mut self, now: Time) {
        let mine = self.votes.iter().filter(|(_, v)| v.contains_key(&self.me));
        let newest = mine.map(|(&(view, step), _)| (view, Some(step))).max();
        let proposals = self.proposals.iter().filter(|(_, p)| p.author() == self.me);
        let proposed = proposals.map(|(&view, _)| (view, None)).max();
        let Some((view, step)) = newest.into_iter().chain(proposed).max_by_key(|p| p.0) else {
            return;
        };
        self.enter(view, now);
        match step {
            Some(Step::Precommit) => self.stage = Stage::Precommit,
            Some(Step::Prevote) => self.stage = Stage::Prevote,
            None => {}
        }
    }

    /// Takes in a proposal whose signature was found right and whose bytes hash to its value.
    /// `ruling` is what decides on it, `None` if it breaks the rules.
    pub fn propose(
        &mut self,
        header: Signed<Proposal>,
        body: Vec<u8>,
        ruling: Option<Ruling>,
    ) -> Taken {
        let Proposal { height, view, value, valid_view } = *header.body();
        let in_order = valid_view.is_none_or(|v| v < view);
        let in_reach = view <= self.view.saturating_add(VIEWS_AHEAD)
            && view.saturating_add(VIEWS_BACK) >= self.view;
        let from_proposer = self.proposer(view) == Some(header.author());
        if height != self.height || !in_order || !in_reach || !from_proposer {
            return Taken::Ignored;
        }
        if let Some(known) = self.proposals.get(&view) {
            return match known.body() == header.body() {
                true => Taken::Ignored,
                false => Taken::Contradicts(known.envelope().clone()),
            };
        }
        let validity = if ruling.is_some() { Validity::Pending } else { Validity::Invalid };
        self.values.entry(value).or_insert(Value { body, ruling, validity });
        self.proposals.insert(view, header);
        Taken::New
    }

    /// Takes in a vote whose signature was found right.
    pub fn vote(&mut self, vote: Signed<Vote>) -> Taken {
        let (author, body) = (vote.author(), *vote.body());
        if body.height != self.height || self.voters.weight(&author) == 0 {
            return Taken::Ignored;
        }
        if let Some(known) = self.known_vote(body.view, body.step, &author) {
            return match known.body() == &body {
                true => Taken::Ignored,
                false => Taken::Contradicts(known.envelope().clone()),
            };
        }
        // A view that nobody can have got to by waiting is no view.
        if body.view > self.view.saturating_add(VIEWS_TO_SKIP) && author != self.me {
            return Taken::Ignored;
        }
        let long_ago = body.view.saturating_add(VIEWS_BACK) < self.view;
        if long_ago && !body.value.is_some_and(|v| self.values.contains_key(&v)) {
            return Taken::Ignored;
        }
        if body.view > self.view && author != self.me && !self.make_room(&author, body.view) {
            return Taken::Ignored;
        }
        self.votes.entry((body.view, body.step)).or_default().insert(author, vote);
        Taken::New
    }

    /// The vote of `author` in a view, if it is here.
    pub fn known_vote(&self, view: u32, step: Step, author: &PeerId) -> Option<&Signed<Vote>> {
        self.votes.get(&(view, step))?.get(author)
    }

    /// Keeps few votes of one author for views ahead, the newest.
    fn make_room(&mut self, author: &PeerId, view: u32) -> bool {
        let ahead = self.votes.range((self.view.saturating_add(1), Step::Prevote)..);
        let mine = ahead.filter(|(_, v)| v.contains_key(author)).map(|(key, _)| *key);
        let mine: Vec<(u32, Step)> = mine.collect();
        if mine.len() < VOTES_AHEAD {
            return true;
        }
        if view <= mine[0].0 {
            return false;
        }
        if let Some(votes) = self.votes.get_mut(&mine[0]) {
            votes.remove(author);
        }
        true
    }

    /// Applies every rule that applies.
    pub fn run(&mut self, now: Time) -> Vec<Output> {
        while !self.decided && self.apply_one(now) {}
        std::mem::take(&mut self.out)
    }

    /// Applies one rule; false if none does.
    fn apply_one(&mut self, now: Time) -> bool {
        if self.decide() || self.skip(now) || self.join_in(now) {
            return true;
        }
        // What this peer has to say comes back as a signed vote before anything else is concluded.
        if !self.out.is_empty() {
            return false;
        }
        let moved = match self.stage {
            Stage::Idle => false,
            Stage::Propose => self.at_propose(now),
            Stage::Prevote => self.at_prevote(now),
            Stage::Precommit => self.note_valid(),
        };
        moved || self.at_any_stage(now)
    }

    /// A quorum of precommits in any view (lines 49–54).
    fn decide(&mut self) -> bool {
        let decided = self.votes.iter().filter(|((_, step), _)| *step == Step::Precommit).find_map(
            |(&(view, _), votes)| {
                let values: BTreeSet<Hash> =
                    votes.values().filter_map(|v| v.body().value).collect();
                let value =
                    values.into_iter().find(|v| self.has_quorum(view, Step::Precommit, v))?;
                Some((view, value))
            },
        );
        let Some((view, value)) = decided else { return false };
        self.decided = true;
        self.out.push(Output::Decided { view, value });
        true
    }

    /// Somebody honest is further (lines 55–56).
    fn skip(&mut self, now: Time) -> bool {
        let mut newest: BTreeMap<PeerId, u32> = BTreeMap::new();
        for (&(view, _), votes) in &self.votes {
            for author in votes.keys() {
                let known = newest.entry(*author).or_default();
                *known = view.max(*known);
            }
        }
        for (&view, proposal) in &self.proposals {
            let known = newest.entry(proposal.author()).or_default();
            *known = view.max(*known);
        }
        let mut views: Vec<(u32, PeerId)> =
            newest.into_iter().map(|(id, view)| (view, id)).collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        let mut weight = 0;
        let reached = views.into_iter().find_map(|(view, id)| {
            weight += self.voters.weight(&id);
            (weight > self.voters.faults()).then_some(view)
        });
        match reached.filter(|view| *view > self.view) {
            Some(view) => {
                self.enter(view, now);
                true
            }
            None => false,
        }
    }

    /// A proposal for this view shows that a record is due.
    fn join_in(&mut self, now: Time) -> bool {
        let due = self.stage == Stage::Idle && self.proposals.contains_key(&self.view);
        if due {
            self.enter(self.view, now);
        }
        due
    }

    fn at_propose(&mut self, now: Time) -> bool {
        if self.proposer(self.view) == Some(self.me)
            && !self.proposals.contains_key(&self.view)
            && let Some(value) = self.valid.map(|v| v.1).or(self.offered)
        {
            let valid_view = self.valid.map(|v| v.0);
            self.out.push(Output::Propose { view: self.view, valid_view, value });
            return false;
        }
        let prevote = match self.judged_proposal() {
            Some(prevote) => prevote,
            None if self.timers.propose.is_some_and(|t| t <= now) => None,
            None => return false,
        };
        self.say(Step::Prevote, prevote);
        self.stage = Stage::Prevote;
        true
    }

    /// The prevote that this view's proposal calls for, once it can be told (lines 22–33).
    fn judged_proposal(&self) -> Option<Option<Hash>> {
        let proposal = self.proposals.get(&self.view)?.body();
        let value = self.values.get(&proposal.value)?;
        if let Some(view) = proposal.valid_view
            && !self.has_quorum(view, Step::Prevote, &proposal.value)
        {
            return None;
        }
        let unlocked = match (self.locked, proposal.valid_view) {
            (None, _) => true,
            (Some((_, locked)), _) if locked == proposal.value => true,
            (Some((locked_in, _)), Some(view)) => locked_in <= view,
            (Some(_), None) => false,
        };
        match value.validity {
            Validity::Pending => None,
            Validity::Valid if unlocked => Some(Some(proposal.value)),
            _ => Some(None),
        }
    }

    fn at_prevote(&mut self, now: Time) -> bool {
        if let Some(value) = self.polka() {
            self.locked = Some((self.view, value));
            self.valid = Some((self.view, value));
            self.out.push(Output::Lock { view: self.view, value });
            self.say(Step::Precommit, Some(value));
        } else if self.count(self.view, Step::Prevote, |v| v.value.is_none()) >= self.enough()
            || self.timers.prevote.is_some_and(|t| t <= now)
        {
            self.say(Step::Precommit, None);
        } else {
            if self.timers.prevote.is_none()
                && self.count(self.view, Step::Prevote, |_| true) >= self.enough()
            {
                self.timers.prevote = Some(now.after(self.wait_ms() / 2));
            }
            return false;
        }
        self.stage = Stage::Precommit;
        true
    }

    /// A quorum of prevotes that came late still makes the value the one to propose (line 42).
    fn note_valid(&mut self) -> bool {
        if let Some(value) = self.polka()
            && self.valid != Some((self.view, value))
        {
            self.valid = Some((self.view, value));
        }
        false
    }

    /// This view's proposal, if it is valid and a quorum prevoted for it (line 36).
    fn polka(&self) -> Option<Hash> {
        let value = self.proposals.get(&self.view)?.body().value;
        let valid = self.values.get(&value)?.validity == Validity::Valid;
        (valid && self.has_quorum(self.view, Step::Prevote, &value)).then_some(value)
    }

    fn at_any_stage(&mut self, now: Time) -> bool {
        if self.stage == Stage::Idle {
            return false;
        }
        if self.timers.precommit.is_none()
            && self.count(self.view, Step::Precommit, |_| true) >= self.enough()
        {
            self.timers.precommit = Some(now.after(self.wait_ms() / 2));
        }
        let over = self.timers.precommit.is_some_and(|t| t <= now);
        if over {
            self.enter(self.view.saturating_add(1), now);
        }
        over
    }

    /// Starts a view (lines 11–21).
    fn enter(&mut self, view: u32, now: Time) {
        if view > self.view {
            self.out.push(Output::View(view));
        }
        self.view = view;
        self.stage = Stage::Propose;
        // What was due before may not be any more.
        self.offered = None;
        self.timers = Timers { propose: Some(now.after(self.wait_ms())), ..Timers::default() };
        self.forget_old();
    }

    fn forget_old(&mut self) {
        let oldest = self.view.saturating_sub(VIEWS_BACK);
        self.proposals.retain(|view, _| *view >= oldest);
        let named: BTreeSet<Hash> = self.proposals.values().map(|p| p.body().value).collect();
        let kept = [self.locked.map(|l| l.1), self.valid.map(|v| v.1), self.offered];
        self.values.retain(|hash, _| named.contains(hash) || kept.contains(&Some(*hash)));
        let valid = self.valid.map(|v| v.0);
        self.votes.retain(|(view, step), votes| {
            let quorum_may_grow = *step == Step::Precommit && votes.values().any(is_for_a_value);
            *view >= oldest || Some(*view) == valid || quorum_may_grow
        });
    }

    fn wait_ms(&self) -> u64 {
        self.timeout_ms.saturating_mul(1 + u64::from(self.view.min(GROWTH_END)))
    }

    /// Votes, unless this peer has no vote or has voted (before a crash, say).
    fn say(&mut self, step: Step, value: Option<Hash>) {
        let voted = self.known_vote(self.view, step, &self.me).is_some();
        if !voted && self.voters.weight(&self.me) > 0 {
            self.out.push(Output::Vote { view: self.view, step, value });
        }
    }

    /// Weight of the votes of those that are still waited for.
    fn count(&self, view: u32, step: Step, fits: impl Fn(&Vote) -> bool) -> u64 {
        let votes = self.votes.get(&(view, step)).into_iter().flat_map(|v| v.values());
        let fitting = votes.filter(|v| fits(v.body())).map(Signed::author);
        self.voters.weight_of(fitting.filter(|author| !self.discounted.contains(author)))
    }

    /// How much weight of votes for anything is enough to go on to the next stage or view. No
    /// decision rests on it.
    fn enough(&self) -> u64 {
        let gone = self.voters.weight_of(self.discounted.iter().copied());
        quorum(self.voters.total() - gone)
    }

    fn has_quorum(&self, view: u32, step: Step, hash: &Hash) -> bool {
        let Some(ruling) = self.values.get(hash).and_then(|v| v.ruling.as_ref()) else {
            return false;
        };
        let votes = self.votes.get(&(view, step)).into_iter().flat_map(|v| v.values());
        let for_it = votes.filter(|v| v.body().value == Some(*hash)).map(Signed::author);
        let weight = self.voters.weight_of(for_it.filter(|a| !ruling.excluded.contains(a)));
        weight > 0 && weight >= ruling.needed
    }
}

fn is_for_a_value(vote: &Signed<Vote>) -> bool {
    vote.body().value.is_some()
}

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod tests;
