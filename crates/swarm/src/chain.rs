//! What records lead to, and which record may follow: the same check for a proposal, for a record
//! fetched from a stranger, and for somebody who reads a finished run.
//!
//! Nothing is counted by what a record claims. Who decides, and how much of it, comes from the
//! state before; a record is checked whole before anything in it counts.

mod check;
mod evidence;

use crate::{
    Certificate, Commit, Contribution, Electorate, Finding, Included, Join, Kind, Member, Record,
    Run, Sample, Scope, Show, Signed, SignedRecord, State, Verdict,
    draw::{Draw, Drawable, draws_of, link_of, stand_in},
    envelope::SignatureCache,
    members::{Audited, Changes, member, members_after},
    standing::{Voters, sum_weights},
};
pub(crate) use check::{is_invited, members_of_genesis, order_of_verdicts};
use ids::{DecodeError, Hash, PeerId};
use std::collections::{BTreeMap, BTreeSet};

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

/// After a repair that newcomers caused, their work weighs nothing for so many rounds.
const WARY_ROUNDS: u32 = 8;

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
    pub last: Option<Advance>,
    /// The advance before it: its confirmations may be made again, and a mismatch in it may still
    /// come to light.
    pub previous: Option<Advance>,
    /// Newcomers' work weighs nothing in the sum before this round: some of it took a repair.
    pub wary_until: u32,
    /// Who decides on the next record.
    pub(crate) voters: Voters,
}

/// What later records need to know of an advance.
#[derive(Clone, Debug)]
pub struct Advance {
    /// Its height.
    pub height: u64,
    /// Hash of its record: draws with the auditors' links.
    pub record: Hash,
    /// The state its contributions started from.
    pub base: State,
    /// The beacon that drew their data.
    pub base_beacon: Hash,
    /// The members before it.
    pub base_members: Vec<Member>,
    /// Whether newcomers' work weighed nothing in it, whatever their standing.
    pub wary: bool,
    /// The contributions that still count, in the order of their authors' keys.
    pub contributions: Vec<Signed<Commit>>,
    /// Those of who is out since: whoever confirmed what was wrong in them is to go too.
    pub condemned: Vec<Signed<Commit>>,
    /// The members after it, whose standing says who audits how much of it.
    pub members: Vec<Member>,
    /// Verdicts that the next ordinary record has: empty until then.
    pub verdicts: Vec<Signed<Verdict>>,
    /// Who is out since. What was drawn stays drawn: shares are those of the day of the record.
    pub gone: BTreeSet<PeerId>,
    /// Who audits it: made from the members when it is first asked for.
    pub voters: Voters,
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
    let mut chain = Vec::new();
    walk_chain(run, records, |record, _| chain.push(record))?;
    Ok(chain)
}

/// The same, handing each record and what it leads to to `each` as it is found right.
///
/// Errors: as [`verify_chain`]; the records before have been handed over.
pub fn walk_chain<'a>(
    run: &Run,
    records: impl Iterator<Item = &'a [u8]>,
    mut each: impl FnMut(SignedRecord, &ChainState),
) -> Result<(), ChainError> {
    let cache = SignatureCache::default();
    let mut state: Option<ChainState> = None;
    for (height, bytes) in (0..).zip(records) {
        let record = SignedRecord::from_bytes(bytes)
            .map_err(|source| ChainError::Decode { height, source })?;
        let after = ChainState::follow(state.as_ref(), run, &record, &cache)?;
        each(record, &after);
        state = Some(after);
    }
    Ok(())
}

/// The first beacon: nobody knows it before everybody's nonce is known.
pub fn first_beacon(run: &Run, joins: &[Signed<Join>]) -> Hash {
    let mut parts: Vec<&[u8]> = vec![&run.id.0];
    for join in joins {
        parts.push(&join.envelope().author.0);
        parts.push(&join.body().nonce.0);
    }
    Hash::of_parts("understory swarm 2 first beacon", &parts)
}

/// The beacon after a repair: fresh data for the round that starts over.
fn repaired_beacon(beacon: &Hash, culprits: &BTreeSet<PeerId>) -> Hash {
    let mut parts: Vec<&[u8]> = vec![&beacon.0];
    parts.extend(culprits.iter().map(|c| c.0.as_slice()));
    Hash::of_parts("understory swarm 2 repaired beacon", &parts)
}

type Check = Result<(), String>;

fn demand(holds: bool, why: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(why()) }
}

/// Whether keys ascend strictly: sorted, and nobody twice.
fn ascends<K: Ord>(keys: impl Iterator<Item = K>) -> bool {
    keys.is_sorted_by(|a, b| a < b)
}

/// How much decides on a record, and whose word on it does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Voters without a say on it: those that a repair ejects.
    pub excluded: BTreeSet<PeerId>,
    /// Weight of the others' votes that decides.
    pub needed: u64,
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

    /// The state after `record`, whether certified or only proposed: every rule but the
    /// certificate is checked.
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

    /// Who decides on the record after this state, and what each one weighs.
    pub fn electorate(&self, run: &Run) -> Electorate {
        self.voters.of(&run.rules, &self.members)
    }

    /// What decides on a record, once it was checked whole.
    ///
    /// Errors: why it may not follow.
    pub(crate) fn ruling_on(
        &self,
        run: &Run,
        record: &Record,
        hash: Hash,
        cache: &SignatureCache,
    ) -> Result<Ruling, String> {
        Self::after(Some(self), run, record, hash, cache)?;
        Ok(self.ruling(run, record))
    }

    /// What it takes to decide on a record that was checked whole.
    fn ruling(&self, run: &Run, record: &Record) -> Ruling {
        let electorate = self.electorate(run);
        let excluded: BTreeSet<PeerId> = match record.kind {
            Kind::Repair => record.culprits().collect(),
            _ => BTreeSet::new(),
        };
        let culprits = electorate.weight_of(excluded.iter().copied());
        Ruling { excluded, needed: electorate.repair_quorum(culprits) }
    }

    /// Whether `id` has a vote on the record after this state.
    pub(crate) fn votes(&self, run: &Run, id: &PeerId) -> bool {
        self.electorate(run).weight(id) > 0
    }

    /// Voters that a round waits for, in the order of their keys: settled ones that are not away;
    /// while nobody is settled, all that are not away. Newcomers are waited for a little longer, if
    /// at all, so that whatever they do costs the others little.
    pub fn awaited(&self, run: &Run) -> Vec<PeerId> {
        let settled = self.present(run, |m| m.is_settled(&run.rules));
        match settled.is_empty() {
            true => self.present(run, |_| true),
            false => settled,
        }
    }

    /// Whether rounds wait for what this member says: it is settled, or nobody is.
    pub(crate) fn is_listened_to(&self, run: &Run, id: &PeerId) -> bool {
        let settled = |m: &Member| m.is_settled(&run.rules);
        self.member(id).is_some_and(settled) || !self.members.iter().any(settled)
    }

    /// Voters that are not away and of whom `which` holds, in the order of their keys.
    pub(crate) fn present(&self, run: &Run, which: impl Fn(&Member) -> bool) -> Vec<PeerId> {
        let here =
            |id: &PeerId| self.member(id).is_some_and(|m| !m.is_away(&run.rules) && which(m));
        self.electorate(run).voters().filter(here).collect()
    }

    /// Voters whose links and verdicts a round waits for: those of the above that have shown a link
    /// for the advance before. Whoever does not audit holds up one round, and the next no more.
    pub fn auditing(&self, run: &Run) -> Vec<PeerId> {
        let since = self.previous.as_ref().map_or(0, |previous| previous.height);
        let audits = |id: &PeerId| self.member(id).is_some_and(|m| m.link_at >= since);
        self.awaited(run).into_iter().filter(audits).collect()
    }

    /// A member's line.
    pub fn member(&self, id: &PeerId) -> Option<&Member> {
        member(&self.members, id)
    }

    /// The advance at this height, if it is one of the last two.
    pub fn advance_at(&self, height: u64) -> Option<&Advance> {
        self.last.iter().chain(&self.previous).find(|a| a.height == height)
    }

    /// Whether so many hold an update that somebody honest does, or as many as deciding takes
    /// beside the author; three are enough in any case, for whoever votes has the update too.
    pub fn enough_hold(
        &self,
        run: &Run,
        author: &PeerId,
        holders: impl IntoIterator<Item = PeerId>,
    ) -> bool {
        let electorate = self.electorate(run);
        let holders: BTreeSet<PeerId> = holders.into_iter().filter(|h| h != author).collect();
        let count = holders.iter().filter(|h| electorate.weight(h) > 0).count();
        let weight = electorate.weight_of(holders);
        let beside = electorate.quorum().saturating_sub(electorate.weight(author));
        weight > electorate.faults() || weight >= beside || count >= 3
    }

    /// Whether any of these contributions to the record after this state weighs something.
    pub(crate) fn weighs(&self, run: &Run, contributions: &[Contribution]) -> bool {
        let commits: Vec<_> = contributions.iter().map(|c| c.commit.clone()).collect();
        self.included(run, &commits).iter().any(|i| i.weight > 0)
    }

    /// The updates of these contributions to the record after this state, with their weights.
    pub fn included(&self, run: &Run, commits: &[Signed<Commit>]) -> Vec<Included> {
        included(run, &self.members, self.is_wary(), commits)
    }

    /// Whether newcomers' work weighs nothing in the next advance.
    fn is_wary(&self) -> bool {
        self.round < self.wary_until
    }

    /// [`ChainState::wary_until`] after a record: a repair that newcomers caused is the last one
    /// they cause for some rounds, however many of them there are.
    fn wary_after(&self, run: &Run, record: &Record) -> u32 {
        let is_new = |id: PeerId| self.member(&id).is_some_and(|m| !m.is_settled(&run.rules));
        match record.kind == Kind::Repair && record.culprits().any(is_new) {
            true => self.round + WARY_ROUNDS,
            false => self.wary_until,
        }
    }

    fn check_certificate(
        before: Option<&Self>,
        run: &Run,
        record: &SignedRecord,
        cache: &SignatureCache,
    ) -> Check {
        let Certificate { view, signatures } = record.certificate();
        demand(ascends(signatures.iter().map(|s| s.0)), || {
            "its certificate's signers are not in order".to_owned()
        })?;
        demand(before.is_some() || *view == 0, || "genesis has a view".to_owned())?;
        let founder = || Electorate::from_weights(vec![(run.founder, 1)]);
        let electorate = before.map_or_else(founder, |b| b.electorate(run));
        let whole = || Ruling { excluded: BTreeSet::new(), needed: electorate.quorum() };
        let ruling = before.map_or_else(whole, |b| b.ruling(run, record.record()));
        for vote in record.votes() {
            let author = vote.author();
            let counts = electorate.weight(&author) > 0 && !ruling.excluded.contains(&author);
            demand(counts, || format!("{author} has no vote on it"))?;
            demand(cache.is_right(&vote, &run.id), || {
                format!("the signature of {author} under it is wrong")
            })?;
        }
        let weight = electorate.weight_of(signatures.iter().map(|s| s.0));
        demand(weight >= ruling.needed && weight > 0, || {
            let total = electorate.total();
            format!("signed by a weight of {weight}, needs {} of {total}", ruling.needed)
        })
    }

    /// The state after a record, from everything in it but `members`, `beacon` and `round`:
    /// a proposer fills those in from here.
    pub(crate) fn expected(&self, run: &Run, record: &Record) -> Self {
        let culprits: BTreeSet<PeerId> = record.culprits().collect();
        let advance = record.kind == Kind::Advance;
        let ordinary = matches!(record.kind, Kind::Advance | Kind::Close);
        let audited = self.last.as_ref().filter(|_| ordinary);
        let changes = Changes {
            height: record.height,
            ejected: &culprits,
            joins: &record.joins,
            contributions: advance
                .then(|| record.contributions.iter().map(|c| &c.commit).collect()),
            audited: audited.map(|last| self.audited(run, last, record)),
        };
        let members = members_after(&run.rules, &self.members, &changes);
        let beacon = match record.kind {
            Kind::Advance => self.next_beacon(run, record),
            Kind::Repair => repaired_beacon(&self.beacon, &culprits),
            Kind::Genesis | Kind::Close => self.beacon,
        };
        let mut last = self.last.clone();
        if let (true, Some(last)) = (ordinary, &mut last) {
            last.verdicts = record.verdicts.clone();
        }
        let (last, previous) = match advance {
            true => (Some(self.advanced(record, &members)), last),
            false => (last, self.previous.clone()),
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
            wary_until: self.wary_after(run, record),
            last: last.map(|last| last.without(&culprits)),
            previous: previous.map(|previous| previous.without(&culprits)),
            voters: Voters::default(),
        }
    }

    /// Fills in what follows from the rest of a record: members, beacon and round.
    pub fn complete(&self, run: &Run, record: &mut Record) {
        let expected = self.expected(run, record);
        record.members = expected.members;
        record.beacon = expected.beacon;
        record.round = expected.round;
    }

    /// The beacon after an advance. What it draws is data; nobody knew the links when the work
    /// before was committed to, and one honest voter among those that show theirs is enough.
    /// Newcomers hold links back at no cost, so theirs have no part in it.
    fn next_beacon(&self, run: &Run, record: &Record) -> Hash {
        let settled = |show: &&Signed<Show>| {
            self.member(&show.author()).is_some_and(|m| m.is_settled(&run.rules))
        };
        let any = record.shows.iter().any(|show| settled(&show));
        let height = record.height.to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![&self.beacon.0, &height];
        for show in record.shows.iter().filter(|show| !any || settled(show)) {
            parts.push(&show.envelope().author.0);
            parts.push(&show.body().link.0);
        }
        Hash::of_parts("understory swarm 2 beacon", &parts)
    }

    fn advanced(&self, record: &Record, members: &[Member]) -> Advance {
        Advance {
            height: record.height,
            // Set once the record's bytes are known.
            record: Hash::default(),
            base: self.state,
            base_beacon: self.beacon,
            base_members: self.members.clone(),
            wary: self.is_wary(),
            contributions: record.contributions.iter().map(|c| c.commit.clone()).collect(),
            members: members.to_vec(),
            condemned: Vec::new(),
            verdicts: Vec::new(),
            gone: BTreeSet::new(),
            voters: Voters::default(),
        }
    }

    /// What came of the audits that an ordinary record closes.
    fn audited<'a>(&self, run: &Run, last: &'a Advance, record: &'a Record) -> Audited<'a> {
        let shown = shown(&record.shows);
        let auditors = last.electorate(run);
        let said = |draw: &Draw| {
            let about = |v: &Signed<Verdict>| (v.author(), v.body().contributor, v.body().scope);
            let key = (draw.auditor, draw.contributor, Scope::Drawn);
            record.verdicts.iter().any(|v| about(v) == key)
        };
        let still =
            |id: &PeerId| !self.ejected.contains(id) && !record.culprits().any(|c| c == *id);
        let own_draws = last.draws(run, &shown, false);
        let owed =
            |d: &&Draw| still(&d.contributor) && last.is_audited_in_time(run, &d.contributor);
        let silent = own_draws.iter().filter(owed).filter(|d| !said(d));
        let mut slack: BTreeSet<PeerId> = silent.map(|d| d.auditor).collect();
        slack.extend(auditors.voters().filter(|v| !shown.contains_key(v) && still(v)));
        let missed = |contributor: &PeerId| {
            let about = record.verdicts.iter().filter(|v| v.body().contributor == *contributor);
            let without = about.filter(|v| matches!(v.body().finding, Finding::Unavailable { .. }));
            auditors.weight_of(without.map(Signed::author)) > auditors.faults()
        };
        let authors = last.contributions.iter().map(Signed::author);
        Audited {
            height: last.height,
            contributions: &last.contributions,
            links: shown.into_iter().collect(),
            verdicts: &record.verdicts,
            slack,
            unavailable: authors.filter(missed).collect(),
        }
    }

    /// What who signed `confirmation` had drawn of that work by its own link, if the records have
    /// the link and the work is of one of the last two advances.
    pub(crate) fn looked_at(&self, run: &Run, confirmation: &Signed<Verdict>) -> Option<LookedAt> {
        let (auditor, body) = (confirmation.author(), confirmation.body());
        let advance = self.advance_at(body.height)?;
        let claimed = advance.claimed(&body.contributor)?;
        let link = link_of(self.member(&auditor)?, body.height)?;
        let sample = advance.own_sample(run, &auditor, &link, claimed)?;
        let (height, contributor) = (body.height, body.contributor);
        Some(LookedAt { height, contributor, sample, steps: claimed.body().steps })
    }

    /// Whether a verdict may go into the record after this state: what its author had drawn (see
    /// [`Advance::draws`]), or that it could not get what a dispute asked for.
    pub(crate) fn counts(&self, run: &Run, draws: &[Draw], verdict: &Signed<Verdict>) -> bool {
        let (author, body) = (verdict.author(), verdict.body());
        let Some(last) = &self.last else { return false };
        let known = last.commit(&body.contributor).is_some_and(|c| in_range(c, body));
        let voter = author != body.contributor && last.electorate(run).weight(&author) > 0;
        let drawn = |d: &Draw| (d.auditor, d.contributor) == (author, body.contributor);
        let asked = match body.scope {
            Scope::Drawn => draws.iter().any(|d| drawn(d) && d.sample.allows(&body.finding)),
            Scope::Dispute { .. } => matches!(body.finding, Finding::Unavailable { .. }),
            Scope::Recheck { .. } => false,
        };
        body.height == last.height && known && voter && asked
    }
}

/// What an auditor says that it has looked at.
pub(crate) struct LookedAt {
    height: u64,
    contributor: PeerId,
    sample: Sample,
    steps: u32,
}

impl LookedAt {
    /// Whether `found` says that a part of it is wrong: then its confirmation was blind. So every
    /// cheat that is found is a trap for whoever confirms without a re-run.
    pub fn is_belied_by(&self, found: &Verdict) -> bool {
        let Finding::Mismatch { part } = found.finding else { return false };
        (found.height, found.contributor) == (self.height, self.contributor)
            && found.scope.is_of_work()
            && self.sample.covers(part, self.steps)
    }
}

/// Links by who has shown them.
pub(crate) fn shown(shows: &[Signed<Show>]) -> BTreeMap<PeerId, Hash> {
    shows.iter().map(|s| (s.author(), s.body().link)).collect()
}

/// Whether the part that a verdict names is one of the contribution's.
pub(crate) fn in_range(commit: &Signed<Commit>, verdict: &Verdict) -> bool {
    let is_part = |part: u32| part <= commit.body().steps;
    let found = match verdict.finding {
        Finding::Confirmed { .. } => true,
        Finding::Mismatch { part } | Finding::Unavailable { part, .. } => is_part(part),
    };
    found && !matches!(verdict.scope, Scope::Dispute { part } if !is_part(part))
}

fn included(
    run: &Run,
    members: &[Member],
    wary: bool,
    commits: &[Signed<Commit>],
) -> Vec<Included> {
    let electorate = Electorate::of(&run.rules, members);
    let settled = |m: &Member| m.is_settled(&run.rules);
    let author = |c: &Signed<Commit>| member(members, &c.author());
    // Where only newcomers have worked, there is nothing to keep from them.
    let wary = wary && commits.iter().filter_map(author).any(settled);
    let line = |c: &Signed<Commit>| (author(c).filter(|m| !wary || settled(m)), c.body().steps);
    let steps: Vec<_> = commits.iter().map(line).collect();
    let weights = sum_weights(&run.rules, &steps);
    let one = |(commit, weight): (&Signed<Commit>, u64)| Included {
        worker: commit.author(),
        weight,
        standing: electorate.weight(&commit.author()),
        update: commit.body().update,
    };
    commits.iter().zip(weights).map(one).collect()
}

impl Advance {
    /// Who audits it, and what each one weighs.
    pub fn electorate(&self, run: &Run) -> Electorate {
        self.voters.of(&run.rules, &self.members)
    }

    /// Whether the next record has to say what came of audits of this work.
    pub(crate) fn is_audited_in_time(&self, run: &Run, contributor: &PeerId) -> bool {
        let line = member(&self.members, contributor);
        line.is_none_or(|m| m.is_audited_in_time(&run.rules))
    }

    /// A contribution that still counts.
    pub fn commit(&self, contributor: &PeerId) -> Option<&Signed<Commit>> {
        self.contributions.iter().find(|c| c.author() == *contributor)
    }

    /// A contribution that was in its record, whether it still counts or not.
    pub(crate) fn claimed(&self, contributor: &PeerId) -> Option<&Signed<Commit>> {
        self.commit(contributor)
            .or_else(|| self.condemned.iter().find(|c| c.author() == *contributor))
    }

    /// The updates that still count, with their weights.
    pub fn included(&self, run: &Run) -> Vec<Included> {
        included(run, &self.base_members, self.wary, &self.contributions)
    }

    /// Authors of the contributions that weigh something in the sum. A lie in another one changed
    /// nothing: its author goes, and nothing has to be repaired.
    pub fn weighty(&self, run: &Run) -> BTreeSet<PeerId> {
        let included = self.included(run).into_iter();
        included.filter(|i| i.weight > 0).map(|i| i.worker).collect()
    }

    /// What `auditor`'s link for this advance draws of one contribution, whether this still counts
    /// or not.
    fn own_sample(
        &self,
        run: &Run,
        auditor: &PeerId,
        link: &Hash,
        claimed: &Signed<Commit>,
    ) -> Option<Sample> {
        let work = [Drawable { contributor: claimed.author(), steps: claimed.body().steps }];
        let (all, record) = (self.electorate(run), &self.record);
        let drawn =
            draws_of(&run.rules, &all, &self.members, record, auditor, Some(link), &work).pop();
        drawn.map(|draw| draw.sample)
    }

    /// The audits that these links draw; with `all`, also those that the rule draws for voters
    /// that have shown none, each done by a stand-in.
    pub fn draws(&self, run: &Run, shown: &BTreeMap<PeerId, Hash>, all: bool) -> Vec<Draw> {
        let electorate = self.electorate(run);
        let drawable =
            |c: &Signed<Commit>| Drawable { contributor: c.author(), steps: c.body().steps };
        let work: Vec<Drawable> = self.contributions.iter().map(drawable).collect();
        let mut draws = Vec::new();
        for voter in electorate.voters().filter(|v| !self.gone.contains(v)) {
            let link = shown.get(&voter);
            if link.is_none() && !all {
                continue;
            }
            let of = |link| {
                draws_of(&run.rules, &electorate, &self.members, &self.record, &voter, link, &work)
            };
            let drawn = of(link);
            let stand_in = || stand_in(&electorate, &self.record, &voter);
            let by = if link.is_some() { Some(voter) } else { stand_in() };
            let Some(by) = by.filter(|by| !self.gone.contains(by)) else { continue };
            let mine = drawn.into_iter().filter(|d| d.contributor != by);
            draws.extend(mine.map(|d| Draw { auditor: by, ..d }));
        }
        draws
    }

    /// What is left of it once somebody is out: the one place that says what still stands after a
    /// repair, or after a mismatch that came to light too late for one.
    pub(crate) fn without(mut self, culprits: &BTreeSet<PeerId>) -> Self {
        let theirs = |c: &mut Signed<Commit>| culprits.contains(&c.author());
        self.condemned.extend(self.contributions.extract_if(.., theirs));
        self.gone.extend(culprits);
        self.verdicts.retain(|v| {
            !culprits.contains(&v.author()) && !culprits.contains(&v.body().contributor)
        });
        self
    }
}

#[cfg(test)]
mod tests;
