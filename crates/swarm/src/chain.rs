//! What records lead to, and which record may follow: the same check for a proposal, for a record
//! fetched from a stranger, and for somebody who reads a finished run.

use crate::{
    Certificate, Commit, Contribution, Ejection, Evidence, Finding, Join, Kind, Member, PeerId,
    Record, Run, Scope, Signed, SignedRecord, State, Verdict,
    draw::{Draw, draw_audits},
    envelope::SignatureCache,
    members::{Changes, fresh_member, member, members_after, voters},
    message::secret_hash,
    quorum,
};
use commons::DecodeError;
use std::collections::BTreeSet;
use store::Hash;

/// Why a record cannot follow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChainError {
    /// Its bytes are no record.
    #[error("record {height} does not decode")]
    Decode {
        /// Which, counted from genesis.
        height: u64,
        /// What is wrong with the bytes.
        source: DecodeError,
    },
    /// It breaks a rule.
    #[error("record {height}: {why}")]
    Invalid {
        /// Its height.
        height: u64,
        /// Which rule.
        why: String,
    },
}

/// Everything that follows from the records up to some height.
#[derive(Clone, Debug)]
pub struct ChainState {
    /// Height of the newest record.
    pub height: u64,
    /// Its hash.
    pub hash: Hash,
    /// Its kind.
    pub kind: Kind,
    /// Rounds done.
    pub round: u32,
    /// The newest state.
    pub state: State,
    /// The newest beacon.
    pub beacon: Hash,
    /// Everybody who belongs to the run, in the order of their keys.
    pub members: Vec<Member>,
    /// Keys that are out for good.
    pub ejected: BTreeSet<PeerId>,
    /// The newest advance.
    pub last: Option<LastAdvance>,
}

/// What later records need to know of the newest advance.
#[derive(Clone, Debug)]
pub struct LastAdvance {
    /// Its height.
    pub height: u64,
    /// The state its contributions started from.
    pub base: State,
    /// The beacon that drew their data.
    pub base_beacon: Hash,
    /// The contributions that still count, in the order of their authors' keys.
    pub contributions: Vec<Signed<Commit>>,
    /// The audits its beacon drew.
    pub draws: Vec<Draw>,
}

/// Checks a whole chain from genesis on: every signature, quorum, link, membership change,
/// verdict and beacon. Not whether the states are what the contributions lead to: that takes
/// their objects.
///
/// Errors: [`ChainError`] for the first record that cannot follow the ones before.
pub fn verify_chain<'a>(
    run: &Run,
    records: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<SignedRecord>, ChainError> {
    let cache = SignatureCache::default();
    let mut state: Option<ChainState> = None;
    let mut chain = Vec::new();
    for (height, bytes) in (0..).zip(records) {
        let record = SignedRecord::from_bytes(bytes)
            .map_err(|source| ChainError::Decode { height, source })?;
        state = Some(ChainState::follow(state.as_ref(), run, &record, &cache)?);
        chain.push(record);
    }
    Ok(chain)
}

/// The first beacon: nobody knows it before everybody's nonce is known.
pub fn first_beacon(run: &Run, joins: &[Signed<Join>]) -> Hash {
    let mut parts: Vec<&[u8]> = vec![&run.id.0];
    for join in joins {
        parts.push(&join.envelope().author.0);
        parts.push(&join.body().nonce.0);
    }
    Hash::of_parts("understory swarm 1 first beacon", &parts)
}

/// The beacon after an advance.
fn next_beacon(beacon: &Hash, contributions: &[Contribution]) -> Hash {
    let mut parts: Vec<&[u8]> = vec![&beacon.0];
    for contribution in contributions {
        parts.push(&contribution.commit.envelope().author.0);
        parts.push(&contribution.secret.0);
    }
    Hash::of_parts("understory swarm 1 beacon", &parts)
}

/// The beacon after a repair: fresh data for the round that starts over.
fn repaired_beacon(beacon: &Hash, culprits: &BTreeSet<PeerId>) -> Hash {
    let mut parts: Vec<&[u8]> = vec![&beacon.0];
    parts.extend(culprits.iter().map(|c| c.0.as_slice()));
    Hash::of_parts("understory swarm 1 repaired beacon", &parts)
}

type Check = Result<(), String>;

fn demand(holds: bool, why: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(why()) }
}

/// Whether keys ascend strictly: sorted, and nobody twice.
fn ascends<K: Ord>(keys: impl Iterator<Item = K>) -> bool {
    keys.is_sorted_by(|a, b| a < b)
}

impl ChainState {
    /// The state after `record`, which must be certified and follow `before` (nothing, if it is
    /// genesis).
    ///
    /// Errors: [`ChainError::Invalid`].
    pub fn follow(
        before: Option<&Self>,
        run: &Run,
        record: &SignedRecord,
        cache: &SignatureCache,
    ) -> Result<Self, ChainError> {
        let height = record.record().height;
        let invalid = |why| ChainError::Invalid { height, why };
        Self::check_certificate(before, run, record, cache).map_err(invalid)?;
        Self::after(before, run, record.record(), record.hash(), cache).map_err(invalid)
    }

    /// The state after `record`, whether certified or only proposed.
    pub(crate) fn after(
        before: Option<&Self>,
        run: &Run,
        record: &Record,
        hash: Hash,
        cache: &SignatureCache,
    ) -> Result<Self, String> {
        demand(record.run == run.id, || "is of another run".to_owned())?;
        match before {
            None => Self::open(run, record, hash, cache),
            Some(before) => before.next(run, record, hash, cache),
        }
    }

    /// The voters on the record after this state.
    pub fn voters(&self, run: &Run) -> Vec<PeerId> {
        voters(&run.rules, &self.members)
    }

    /// Who takes part, in the order of their keys.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|m| m.active)
    }

    /// Who audits a drawn contribution: the first two that were not ejected since.
    pub fn auditors(&self, draw: &Draw) -> Vec<PeerId> {
        draw.auditors.iter().filter(|a| !self.ejected.contains(a)).take(2).copied().collect()
    }

    /// Receipts of holders other than the author that a contribution needs: two, or as many as
    /// there are in a quorum, so that it does not take more peers than deciding does.
    pub fn haves_needed(&self) -> usize {
        (quorum(self.active().count()) - 1).min(2)
    }

    /// Verdicts on a false accusation's contradiction that it takes to prove it: a quorum of the
    /// active members that are neither accuser nor contributor, two at least.
    pub fn contradictions_needed(&self, accuser: &PeerId, contributor: &PeerId) -> usize {
        let others = self.active().filter(|m| m.id != *accuser && m.id != *contributor).count();
        quorum(others).max(2)
    }

    fn check_certificate(
        before: Option<&Self>,
        run: &Run,
        record: &SignedRecord,
        cache: &SignatureCache,
    ) -> Check {
        let Certificate { view, signatures } = record.certificate();
        let mut electorate = before.map_or_else(|| vec![run.founder], |b| b.voters(run));
        if record.record().kind == Kind::Repair {
            electorate.retain(|v| !record.record().culprits().any(|c| c == *v));
        }
        let needed = quorum(electorate.len());
        demand(ascends(signatures.iter().map(|s| s.0)), || {
            "its certificate's signers are not in order".to_owned()
        })?;
        demand(signatures.len() >= needed, || {
            format!("has {} signatures, needs {needed} of {}", signatures.len(), electorate.len())
        })?;
        demand(before.is_some() || *view == 0, || "genesis has a view".to_owned())?;
        for vote in record.votes() {
            let author = vote.author();
            demand(electorate.contains(&author), || format!("{author} has no vote on it"))?;
            demand(cache.is_right(&vote, &run.id), || {
                format!("the signature of {author} under it is wrong")
            })?;
        }
        Ok(())
    }

    /// Genesis: whoever the founder found in the lobby.
    fn open(
        run: &Run,
        record: &Record,
        hash: Hash,
        cache: &SignatureCache,
    ) -> Result<Self, String> {
        let Record { joins, .. } = record;
        let plain = record.kind == Kind::Genesis
            && (record.height, record.round, record.prev) == (0, 0, Hash::default())
            && record.contributions.is_empty()
            && record.verdicts.is_empty()
            && record.ejected.is_empty();
        demand(plain, || "is not a genesis record".to_owned())?;
        demand(record.state == run.initial, || "opens with another state".to_owned())?;
        let allowed = run.rules.min_members as usize..=run.rules.max_members as usize;
        demand(allowed.contains(&joins.len()), || {
            format!("opens with {} members, must be {allowed:?}", joins.len())
        })?;
        demand(ascends(joins.iter().map(Signed::author)), || "joins are not in order".to_owned())?;
        demand(joins.iter().any(|j| j.author() == run.founder), || {
            "opens without the founder".to_owned()
        })?;
        for join in joins {
            demand(cache.is_right(join, &run.id), || {
                format!("the join of {} is not signed by it", join.author())
            })?;
        }
        let members: Vec<Member> = joins.iter().map(|j| fresh_member(j.author(), 0)).collect();
        demand(record.members == members, || "members do not follow from joins".to_owned())?;
        let beacon = first_beacon(run, joins);
        demand(record.beacon == beacon, || "the beacon does not follow".to_owned())?;
        let (kind, state) = (record.kind, record.state);
        let ejected = BTreeSet::new();
        Ok(Self { height: 0, hash, kind, round: 0, state, beacon, members, ejected, last: None })
    }

    fn next(
        &self,
        run: &Run,
        record: &Record,
        hash: Hash,
        cache: &SignatureCache,
    ) -> Result<Self, String> {
        demand(self.kind != Kind::Close, || "follows the end of the run".to_owned())?;
        demand(record.height == self.height + 1 && record.prev == self.hash, || {
            format!("does not follow record {} {}", self.height, self.hash.short())
        })?;
        self.check_ejections(run, record, cache)?;
        self.check_joins(run, record, cache)?;
        self.check_verdicts(run, record, cache)?;
        match record.kind {
            Kind::Genesis => return Err("a run has one genesis".to_owned()),
            Kind::Advance => self.check_advance(run, record, cache)?,
            Kind::Repair => self.check_repair(record)?,
            Kind::Close => self.check_close(run, record)?,
        }
        let expected = self.expected(run, record);
        demand(record.members == expected.members, || "members do not follow".to_owned())?;
        demand(record.beacon == expected.beacon, || "the beacon does not follow".to_owned())?;
        demand(record.round == expected.round, || {
            format!("ends round {}, expected {}", record.round, expected.round)
        })?;
        Ok(Self { hash, ..expected })
    }

    /// The state after a record, from everything in it but `members`, `beacon` and `round`:
    /// a proposer fills those in from here.
    pub(crate) fn expected(&self, run: &Run, record: &Record) -> Self {
        let culprits: BTreeSet<PeerId> = record.culprits().collect();
        let advance = record.kind == Kind::Advance;
        let changes = Changes {
            height: record.height,
            ejected: &culprits,
            joins: &record.joins,
            contributions: advance
                .then(|| record.contributions.iter().map(|c| &c.commit).collect()),
            verdicts: &record.verdicts,
        };
        let members = members_after(&run.rules, &self.members, &changes);
        let beacon = match record.kind {
            Kind::Advance => next_beacon(&self.beacon, &record.contributions),
            Kind::Repair => repaired_beacon(&self.beacon, &culprits),
            Kind::Genesis | Kind::Close => self.beacon,
        };
        let last = if advance {
            Some(self.advanced(run, record, &members, &beacon))
        } else {
            self.last.clone().map(|last| last.without(&culprits))
        };
        Self {
            height: record.height,
            hash: self.hash,
            kind: record.kind,
            round: self.round + u32::from(advance),
            state: record.state,
            beacon,
            members,
            ejected: self.ejected.union(&culprits).copied().collect(),
            last,
        }
    }

    fn advanced(
        &self,
        run: &Run,
        record: &Record,
        members: &[Member],
        beacon: &Hash,
    ) -> LastAdvance {
        let contributions: Vec<_> = record.contributions.iter().map(|c| c.commit.clone()).collect();
        let draws = draw_audits(&run.rules, beacon, members, &contributions);
        LastAdvance {
            height: record.height,
            base: self.state,
            base_beacon: self.beacon,
            contributions,
            draws,
        }
    }

    fn check_advance(&self, run: &Run, record: &Record, cache: &SignatureCache) -> Check {
        demand(self.round < run.rules.rounds, || "all rounds are done".to_owned())?;
        demand(!record.contributions.is_empty(), || "has no contribution".to_owned())?;
        demand(ascends(record.contributions.iter().map(|c| c.commit.author())), || {
            "contributions are not in order".to_owned()
        })?;
        for contribution in &record.contributions {
            let author = contribution.commit.author();
            demand(!record.culprits().any(|c| c == author), || {
                format!("includes {author}, which it ejects")
            })?;
            self.check_contribution(run, contribution, cache)
                .map_err(|why| format!("contribution of {author}: {why}"))?;
        }
        Ok(())
    }

    fn check_contribution(
        &self,
        run: &Run,
        contribution: &Contribution,
        cache: &SignatureCache,
    ) -> Check {
        let Contribution { commit, secret, haves } = contribution;
        self.check_commit(run, commit)?;
        demand(secret_hash(secret) == commit.body().secret_hash, || "wrong secret".to_owned())?;
        demand(ascends(haves.iter().map(Signed::author)), || "holders not in order".to_owned())?;
        demand(haves.len() >= self.haves_needed(), || {
            format!("{} holders, needs {}", haves.len(), self.haves_needed())
        })?;
        demand(cache.is_right(commit, &run.id), || "not signed".to_owned())?;
        let hash = commit.hash();
        for have in haves {
            let holder = have.author();
            let fits = holder != commit.author()
                && have.body().height == commit.body().height
                && have.body().commit == hash
                && member(&self.members, &holder).is_some_and(|m| m.active)
                && cache.is_right(have, &run.id);
            demand(fits, || format!("the receipt of holder {holder} does not count"))?;
        }
        Ok(())
    }

    /// Whether a commit fits the height after this state; its signature is not looked at.
    pub(crate) fn check_commit(&self, run: &Run, commit: &Signed<Commit>) -> Check {
        let (rules, body) = (&run.rules, commit.body());
        let author = member(&self.members, &commit.author()).filter(|m| m.active);
        let Some(author) = author else { return Err("is not an active member's".to_owned()) };
        demand((body.height, body.round) == (self.height + 1, self.round), || {
            format!("is for height {}, round {}", body.height, body.round)
        })?;
        demand(body.base == self.state.root(), || "starts from another state".to_owned())?;
        let steps = (rules.steps_min..=rules.steps_max).contains(&body.steps)
            && body.steps.is_multiple_of(rules.leaf_every);
        demand(steps, || format!("{} steps are not allowed", body.steps))?;
        let leaves = (body.steps / rules.leaf_every) as usize;
        demand(body.leaves.len() == leaves, || {
            format!("{} leaves, expected {leaves}", body.leaves.len())
        })?;
        let sizes = body.leaves.iter().all(|l| l.len == rules.leaf_len)
            && body.update.len == rules.update_len
            && body.carry.len == rules.carry_len;
        demand(sizes, || "an object has the wrong length".to_owned())?;
        demand(body.carry_before == author.carry, || "wrong carry before".to_owned())
    }

    fn check_repair(&self, record: &Record) -> Check {
        let Some(last) = &self.last else { return Err("repairs nothing".to_owned()) };
        let bare = record.contributions.is_empty()
            && record.joins.is_empty()
            && record.verdicts.is_empty()
            && !record.ejected.is_empty();
        demand(bare, || "a repair ejects and nothing else".to_owned())?;
        for ejection in &record.ejected {
            let proven = matches!(ejection.evidence, Evidence::Mismatch { height, .. } if height == last.height)
                && last.contributions.iter().any(|c| c.author() == ejection.peer);
            demand(proven, || format!("{} has no part in the last advance", ejection.peer))?;
        }
        let nothing_left =
            last.contributions.iter().all(|c| record.culprits().any(|p| p == c.author()));
        demand(!nothing_left || record.state == last.base, || {
            "without any contribution the state must be the base".to_owned()
        })
    }

    fn check_close(&self, run: &Run, record: &Record) -> Check {
        demand(self.round == run.rules.rounds, || {
            format!("{} of {} rounds are done", self.round, run.rules.rounds)
        })?;
        let bare = record.contributions.is_empty() && record.joins.is_empty();
        demand(bare && record.state == self.state, || "the end changes nothing".to_owned())
    }

    fn check_joins(&self, run: &Run, record: &Record, cache: &SignatureCache) -> Check {
        demand(ascends(record.joins.iter().map(Signed::author)), || {
            "joins are not in order".to_owned()
        })?;
        let fresh = record.joins.iter().filter(|j| member(&self.members, &j.author()).is_none());
        let members = self.members.len() + fresh.count();
        demand(record.joins.is_empty() || members <= run.rules.max_members as usize, || {
            format!("{members} members, at most {}", run.rules.max_members)
        })?;
        for join in &record.joins {
            let author = join.author();
            let allowed = self.may_join(join)
                && !record.culprits().any(|c| c == author)
                && cache.is_right(join, &run.id);
            demand(allowed, || format!("{author} may not join"))?;
        }
        Ok(())
    }

    /// Whether a join may go into the next record; its signature is not looked at.
    pub(crate) fn may_join(&self, join: &Signed<Join>) -> bool {
        let (author, height) = (join.author(), join.body().height);
        let fits = match member(&self.members, &author) {
            Some(member) => !member.active && height >= member.since,
            None => !self.ejected.contains(&author),
        };
        fits && height <= self.height
    }

    fn check_verdicts(&self, run: &Run, record: &Record, cache: &SignatureCache) -> Check {
        let order = record.verdicts.iter().map(|v| (v.body().contributor, v.author()));
        demand(ascends(order), || "verdicts are not in order".to_owned())?;
        for verdict in &record.verdicts {
            let counts = self.is_drawn(verdict) && cache.is_right(verdict, &run.id);
            demand(counts, || format!("the verdict of {} does not count", verdict.author()))?;
        }
        Ok(())
    }

    /// Whether a verdict is one that the beacon asked its author for.
    pub(crate) fn is_drawn(&self, verdict: &Signed<Verdict>) -> bool {
        let body = verdict.body();
        let Some(last) = &self.last else { return false };
        let draw = last.draws.iter().find(|d| d.contributor == body.contributor);
        body.height == last.height
            && body.scope == Scope::Drawn
            && draw.is_some_and(|d| self.auditors(d).contains(&verdict.author()))
    }

    fn check_ejections(&self, run: &Run, record: &Record, cache: &SignatureCache) -> Check {
        demand(ascends(record.culprits()), || "ejections are not in order".to_owned())?;
        for Ejection { peer, evidence } in &record.ejected {
            demand(member(&self.members, peer).is_some(), || format!("ejects stranger {peer}"))?;
            self.check_evidence(run, peer, evidence, cache)
                .map_err(|why| format!("ejects {peer}, but {why}"))?;
        }
        Ok(())
    }

    /// Whether `evidence` proves that `peer` has to go.
    pub(crate) fn check_evidence(
        &self,
        run: &Run,
        peer: &PeerId,
        evidence: &Evidence,
        cache: &SignatureCache,
    ) -> Check {
        match evidence {
            Evidence::Mismatch { height, verdicts } => {
                demand(verdicts.len() >= 2, || "one verdict is no proof".to_owned())?;
                demand(self.last.as_ref().is_some_and(|l| *height <= l.height), || {
                    "the evidence is not about an advance".to_owned()
                })?;
                let (height, contributor) = (*height, *peer);
                let about = About { height, contributor, refuted: None, not: vec![*peer] };
                self.check_witnesses(run, &about, verdicts, cache)
            }
            Evidence::FalseAccusation { accusation, contradictions } => {
                let body = accusation.body();
                let Finding::Mismatch { segment } = body.finding else {
                    return Err("it accused nobody".to_owned());
                };
                demand(accusation.author() == *peer, || "it accused nobody".to_owned())?;
                demand(cache.is_right(accusation, &run.id), || {
                    "the accusation is not signed".to_owned()
                })?;
                let needed = self.contradictions_needed(peer, &body.contributor);
                demand(contradictions.len() >= needed, || {
                    format!("{} contradict it, needs {needed}", contradictions.len())
                })?;
                let (height, contributor) = (body.height, body.contributor);
                let not = vec![*peer, contributor];
                let about = About { height, contributor, refuted: Some(segment), not };
                self.check_witnesses(run, &about, contradictions, cache)
            }
            Evidence::Equivocation { first, second } => {
                demand(evidence.equivocator() == Some(*peer), || {
                    "it did not contradict itself".to_owned()
                })?;
                let signed = cache.is_signed(first, &run.id) && cache.is_signed(second, &run.id);
                demand(signed, || "the evidence is not signed".to_owned())
            }
        }
    }

    /// Verdicts of distinct members, all about one contribution and with one finding.
    fn check_witnesses(
        &self,
        run: &Run,
        about: &About,
        verdicts: &[Signed<Verdict>],
        cache: &SignatureCache,
    ) -> Check {
        demand(ascends(verdicts.iter().map(Signed::author)), || {
            "the verdicts are not in order".to_owned()
        })?;
        for verdict in verdicts {
            let (author, body) = (verdict.author(), verdict.body());
            let fits = (body.height, body.contributor) == (about.height, about.contributor)
                && about.finds(body)
                && !about.not.contains(&author)
                && member(&self.members, &author).is_some()
                && cache.is_right(verdict, &run.id);
            demand(fits, || format!("the verdict of {author} does not count"))?;
        }
        Ok(())
    }
}

/// What verdicts have to agree on to be evidence.
struct About {
    height: u64,
    contributor: PeerId,
    /// The segment in which no mismatch was found; `None` if a mismatch was.
    refuted: Option<u32>,
    /// Whose word does not count.
    not: Vec<PeerId>,
}

impl About {
    /// A mismatch counts however it was found and wherever: one is enough to tell a cheat. A
    /// confirmation counts only as an answer to the dispute, since a drawn audit may have looked
    /// at other segments.
    fn finds(&self, verdict: &Verdict) -> bool {
        match self.refuted {
            None => matches!(verdict.finding, Finding::Mismatch { .. }),
            Some(segment) => {
                verdict.finding == Finding::Confirmed && verdict.scope == Scope::Dispute { segment }
            }
        }
    }
}

impl LastAdvance {
    /// What is left of it once somebody is out.
    fn without(mut self, culprits: &BTreeSet<PeerId>) -> Self {
        self.contributions.retain(|c| !culprits.contains(&c.author()));
        self.draws.retain(|d| !culprits.contains(&d.contributor));
        self
    }
}
