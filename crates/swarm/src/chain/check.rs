//! Which record may follow: everything in it, from what the chain says alone.

use super::*;
use crate::{
    draw::is_link,
    members::{first_seats, joined, seated, seats},
    message::Have,
};

/// A join counts for so many heights: later somebody else may have said it again.
const JOIN_LIFE: u64 = 16;

impl ChainState {
    /// Genesis: whoever the founder found in the lobby, all founding voters among them.
    pub(super) fn open(
        run: &Run,
        record: &Record,
        hash: Hash,
        cache: &SignatureCache,
    ) -> Result<Self, String> {
        let Record { joins, .. } = record;
        let plain = record.kind == Kind::Genesis
            && (record.height, record.round, record.prev) == (0, 0, Hash::default())
            && record.contributions.is_empty()
            && record.shows.is_empty()
            && record.verdicts.is_empty()
            && record.ejected.is_empty();
        demand(plain, || "is not a genesis record".to_owned())?;
        demand(record.state == run.initial, || "opens with another state".to_owned())?;
        let allowed = run.rules.min_members as usize..=run.rules.max_members as usize;
        demand(allowed.contains(&joins.len()), || {
            format!("opens with {} members, must be {allowed:?}", joins.len())
        })?;
        demand(ascends(joins.iter().map(Signed::author)), || "joins are not in order".to_owned())?;
        for join in joins {
            demand(cache.is_right(join, &run.id), || {
                format!("the join of {} is not signed by it", join.author())
            })?;
        }
        check_founding(run, joins)?;
        let members = members_of_genesis(run, joins);
        let newcomers = seated(&run.rules, &members);
        let places = first_seats(&run.rules, &members);
        demand(newcomers <= places, || format!("{newcomers} newcomers, at most {places}"))?;
        demand(record.members == members, || "members do not follow from joins".to_owned())?;
        let beacon = first_beacon(run, joins);
        demand(record.beacon == beacon, || "the beacon does not follow".to_owned())?;
        Ok(Self {
            height: 0,
            hash,
            kind: record.kind,
            round: 0,
            state: record.state,
            beacon,
            members,
            ejected: BTreeSet::new(),
            last: None,
            previous: None,
            wary_until: 0,
            voters: Voters::default(),
        })
    }

    pub(super) fn next(
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
        self.check_shows(run, record, cache)?;
        self.check_verdicts(run, record, cache)?;
        match record.kind {
            Kind::Genesis => return Err("a run has one genesis".to_owned()),
            Kind::Advance => self.check_advance(run, record, cache)?,
            Kind::Repair => self.check_repair(run, record)?,
            Kind::Close => self.check_close(run, record)?,
        }
        let mut expected = self.expected(run, record);
        demand(record.members == expected.members, || "members do not follow".to_owned())?;
        demand(record.beacon == expected.beacon, || "the beacon does not follow".to_owned())?;
        demand(record.round == expected.round, || {
            format!("ends round {}, expected {}", record.round, expected.round)
        })?;
        if let (Kind::Advance, Some(last)) = (record.kind, &mut expected.last) {
            last.record = hash;
        }
        Ok(Self { hash, ..expected })
    }

    fn check_advance(&self, run: &Run, record: &Record, cache: &SignatureCache) -> Check {
        demand(self.round < run.rules.rounds, || "all rounds are done".to_owned())?;
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
        demand(self.weighs(run, &record.contributions), || {
            "has no contribution of any weight".to_owned()
        })
    }

    fn check_contribution(
        &self,
        run: &Run,
        contribution: &Contribution,
        cache: &SignatureCache,
    ) -> Check {
        let Contribution { commit, haves } = contribution;
        self.check_commit(run, commit)?;
        demand(ascends(haves.iter().map(Signed::author)), || "holders not in order".to_owned())?;
        demand(cache.is_right(commit, &run.id), || "not signed".to_owned())?;
        let (hash, electorate) = (commit.hash(), self.electorate(run));
        for have in haves {
            let holder = have.author();
            let Have { height, commit: held } = *have.body();
            let fits = holder != commit.author()
                && (height, held) == (commit.body().height, hash)
                && electorate.weight(&holder) > 0
                && cache.is_right(have, &run.id);
            demand(fits, || format!("the receipt of holder {holder} does not count"))?;
        }
        demand(self.enough_hold(run, &commit.author(), haves.iter().map(Signed::author)), || {
            format!("{} holders are too few, or have too little standing", haves.len())
        })
    }

    /// Whether a commit fits the height after this state; its signature is not looked at.
    pub(crate) fn check_commit(&self, run: &Run, commit: &Signed<Commit>) -> Check {
        let (rules, body) = (&run.rules, commit.body());
        let Some(author) = self.member(&commit.author()) else {
            return Err("is not a member's".to_owned());
        };
        demand((body.height, body.round) == (self.height + 1, self.round), || {
            format!("is for height {}, round {}", body.height, body.round)
        })?;
        demand(body.base == self.state.hash(), || "starts from another state".to_owned())?;
        // What a newcomer in probation does is checked whole, so it is little.
        let most = if author.votes(rules) { rules.steps_max } else { rules.steps_min };
        demand((rules.steps_min..=most).contains(&body.steps), || {
            format!("{} steps are not allowed, {} to {most} are", body.steps, rules.steps_min)
        })?;
        let sizes = body.trail.len == rules.trail_len(body.steps)
            && body.update.len == rules.update_len
            && body.carry.len == rules.carry_len;
        demand(sizes, || "an object has the wrong length".to_owned())?;
        demand(body.carry_before == author.carry, || "wrong carry before".to_owned())
    }

    fn check_repair(&self, run: &Run, record: &Record) -> Check {
        let Some(last) = &self.last else { return Err("repairs nothing".to_owned()) };
        let bare = record.contributions.is_empty()
            && record.joins.is_empty()
            && record.shows.is_empty()
            && record.verdicts.is_empty()
            && !record.ejected.is_empty();
        demand(bare, || "a repair ejects and nothing else".to_owned())?;
        let weighty = last.weighty(run);
        for ejection in &record.ejected {
            let peer = &ejection.peer;
            let fits = evidence::is_of(&ejection.evidence, last, peer) && weighty.contains(peer);
            demand(fits, || format!("{peer} has no part in the last advance that weighs"))?;
        }
        let left = last.clone().without(&record.culprits().collect()).included(run);
        let nothing_left = left.iter().all(|i| i.weight == 0);
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
        let most = self.room(run);
        demand(record.joins.len() <= most, || {
            format!("{} come, there is room for {most}", record.joins.len())
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

    /// How many may come with the next record: no more newcomers at a time than can be audited
    /// whole, and no more members than the run has places.
    pub(crate) fn room(&self, run: &Run) -> usize {
        let seats = seats(&run.rules, &self.members);
        let free = seats.saturating_sub(seated(&run.rules, &self.members));
        free.min((run.rules.max_members as usize).saturating_sub(self.members.len()))
    }

    /// Whether a join may go into the next record; its signature is not looked at.
    pub(crate) fn may_join(&self, join: &Signed<Join>) -> bool {
        let (author, height) = (join.author(), join.body().height);
        self.member(&author).is_none()
            && !self.ejected.contains(&author)
            && height <= self.height
            && height.saturating_add(JOIN_LIFE) > self.height
    }

    fn check_shows(&self, run: &Run, record: &Record, cache: &SignatureCache) -> Check {
        demand(ascends(record.shows.iter().map(Signed::author)), || {
            "links are not in order".to_owned()
        })?;
        for show in &record.shows {
            let counts = self.may_show(run, show) && cache.is_right(show, &run.id);
            demand(counts, || format!("the link of {} does not count", show.author()))?;
        }
        Ok(())
    }

    /// Whether a link is its author's for the newest advance; its signature is not looked at.
    pub(crate) fn may_show(&self, run: &Run, show: &Signed<Show>) -> bool {
        let (author, Show { height, link }) = (show.author(), *show.body());
        let Some(last) = self.last.as_ref().filter(|l| l.height == height) else { return false };
        let member = self.member(&author);
        last.electorate(run).weight(&author) > 0
            && member.is_some_and(|m| is_link(&run.rules, m, height, &link))
    }

    fn check_verdicts(&self, run: &Run, record: &Record, cache: &SignatureCache) -> Check {
        let order = record.verdicts.iter().map(order_of_verdicts);
        demand(ascends(order), || "verdicts are not in order".to_owned())?;
        let disputes = record.verdicts.iter().filter(|v| v.body().scope != Scope::Drawn);
        demand(ascends(disputes.map(|v| (v.body().contributor, v.author()))), || {
            "somebody says twice that something is not to be had".to_owned()
        })?;
        let draws = self.last.as_ref().map(|last| last.draws(run, &shown(&record.shows), true));
        let draws = draws.unwrap_or_default();
        for verdict in &record.verdicts {
            let counts = self.counts(run, &draws, verdict) && cache.is_right(verdict, &run.id);
            demand(counts, || format!("the verdict of {} does not count", verdict.author()))?;
        }
        Ok(())
    }

    fn check_ejections(&self, run: &Run, record: &Record, cache: &SignatureCache) -> Check {
        demand(ascends(record.culprits()), || "ejections are not in order".to_owned())?;
        let culprits: BTreeSet<PeerId> = record.culprits().collect();
        for ejection in &record.ejected {
            let peer = &ejection.peer;
            demand(self.member(peer).is_some(), || format!("ejects stranger {peer}"))?;
            self.check_evidence(run, peer, &ejection.evidence, &culprits, cache)
                .map_err(|why| format!("ejects {peer}, but {why}"))?;
        }
        Ok(())
    }
}

/// The order of verdicts in a record.
pub(crate) fn order_of_verdicts(verdict: &Signed<Verdict>) -> (PeerId, PeerId, Scope) {
    (verdict.body().contributor, verdict.author(), verdict.body().scope)
}

/// Whether all founding voters are there, and each invitation was used by one key.
fn check_founding(run: &Run, joins: &[Signed<Join>]) -> Check {
    for founder in &run.founders {
        demand(joins.iter().any(|j| j.author() == *founder), || {
            format!("opens without {founder}, which votes from the beginning")
        })?;
    }
    let mut used = BTreeSet::new();
    for join in joins {
        let Some(invitation) = join.body().invitation else { continue };
        let fits = is_invited(run, join) && used.insert(invitation.key);
        demand(fits, || format!("the invitation of {} does not count", join.author()))?;
    }
    demand(used == run.invitations, || {
        format!("{} of {} invitations are used", used.len(), run.invitations.len())
    })
}

/// Whether a join uses one of the run's invitations.
pub(crate) fn is_invited(run: &Run, join: &Signed<Join>) -> bool {
    join.body().invitation.is_some_and(|i| {
        run.invitations.contains(&i.key)
            && !run.founders.contains(&join.author())
            && i.invites(&run.id, &join.author())
    })
}

/// The members that these joins make.
pub(crate) fn members_of_genesis(run: &Run, joins: &[Signed<Join>]) -> Vec<Member> {
    let founds = |join: &Signed<Join>| {
        run.founders.contains(&join.author()) || join.body().invitation.is_some()
    };
    let grant = |join: &Signed<Join>| if founds(join) { run.rules.grant() } else { 0 };
    joins.iter().map(|j| joined(j, 0, grant(j))).collect()
}
