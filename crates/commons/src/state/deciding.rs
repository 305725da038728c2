//! Questions, ballots, and what their results change.

use super::{Electorate, Refused, Roots, State};
use crate::{
    ArchiveError, PeerId, Statement,
    decide::{self, Ballot, DecideError, Election, Outcome, Quorum, Ratio, TieRule, Unranked},
    statement::{
        Effect, House, Method, ProposalType, Propose, Rules, TieBreak, UnrankedRule, Vote,
        VoteBody, Witnesses,
    },
    tlog::Hash as TreeHash,
};
use std::{collections::BTreeMap, sync::Arc};
use store::Hash;

/// A question and what became of it.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Its statement.
    pub statement: Hash,
    /// Its index: who was a member there may vote.
    pub index: u64,
    /// Who asked.
    pub member: PeerId,
    /// What.
    pub body: Propose,
    /// Who may vote.
    pub electorate: Arc<Electorate>,
    /// Ballots by member, in the log's order.
    pub casts: BTreeMap<PeerId, Vec<Cast>>,
    /// How it stands.
    pub status: Status,
    /// The count, once it is closed; one for each house.
    pub counts: Vec<HouseCount>,
    /// The panel, once it is drawn.
    pub panel: Option<decide::Panel>,
    /// What the result replaced, in case it is overturned.
    undo: Option<Undo>,
}

/// A ballot in the log.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Its index.
    pub index: u64,
    /// The key that signed it.
    pub key: PeerId,
    /// Its place in the key's chain.
    pub seq: u64,
    /// What it says.
    pub ballot: VoteBody,
}

/// How a question stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// Ballots are taken.
    Open,
    /// Decided; in force when its time has come and nobody overturned it.
    Passed {
        /// The winning options, or on a panel the members, by place in the electorate.
        winners: Vec<u32>,
        /// When it was closed.
        closed: u64,
        /// From when on it is in force.
        due: u64,
        /// Whether it is.
        in_force: bool,
    },
    /// So close that a panel has to look at it: it is in force only once an appeal has upheld it.
    Withheld {
        /// The winning options.
        winners: Vec<u32>,
        /// When it was closed.
        closed: u64,
        /// So few voters decide.
        margin: u32,
    },
    /// The default option, or nothing, won.
    Failed {
        /// When it was closed.
        closed: u64,
    },
    /// A panel overturned it.
    Overturned {
        /// When.
        at: u64,
    },
}

/// The count of one house.
#[derive(Clone, Debug)]
pub struct HouseCount {
    /// Which; none where all members vote together.
    pub house: Option<House>,
    /// The question as it was counted.
    pub election: Election,
    /// The ballots that were counted, by place in the electorate.
    pub ballots: Vec<Ballot>,
    /// What came out.
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
struct Undo {
    charter: Hash,
    rules: Rules,
    witnesses: Witnesses,
    stewards: Vec<super::Steward>,
    removed: Vec<PeerId>,
}

/// Up to where ballots count.
#[derive(Clone, Copy, Debug)]
pub struct Cutoff {
    /// Ballots and commitments before this index.
    pub ballots: u64,
    /// Reveals before this index.
    pub reveals: u64,
    /// What draws are made from: the root of the first mark after the end.
    pub seed: TreeHash,
}

/// How hard the search for the smallest set of voters tries: tallies that it may count.
const MARGIN_EFFORT: u64 = 20_000;

impl HouseCount {
    /// Who would have to be missing for another result: the fewest voters, one employer's people,
    /// those who stand or fall with one voucher.
    ///
    /// Errors: the question cannot be counted.
    pub fn margin(&self, electorate: &Electorate) -> Result<decide::Margin, DecideError> {
        let mut voters: Vec<decide::Voter> = electorate
            .electors
            .iter()
            .map(|e| decide::Voter { employer: e.employer.clone(), vouchers: Vec::new() })
            .collect();
        for (at, elector) in electorate.electors.iter().enumerate() {
            if !elector.vouches.is_empty() {
                for fallen in electorate.dependants(at) {
                    voters[fallen as usize].vouchers.push(at as u32);
                }
            }
        }
        decide::margin(&self.election, &self.ballots, &voters, MARGIN_EFFORT)
    }
}

impl Proposal {
    /// When nothing more is taken.
    pub fn end(&self) -> u64 {
        self.body.reveal.unwrap_or(self.body.close)
    }

    /// The houses that vote, or none for all members together.
    pub fn houses(&self) -> Vec<Option<House>> {
        match self.body.houses.as_slice() {
            [] => vec![None],
            houses => houses.iter().copied().map(Some).collect(),
        }
    }

    /// What kept a member's ballot secret: the last commitment in time and its reveal.
    pub(super) fn revealed(
        &self,
        voter: &PeerId,
        casts: &[Cast],
        cutoff: Cutoff,
    ) -> Option<(Vec<Vec<u16>>, Hash)> {
        let committed = casts.iter().rev().find_map(|cast| match cast.ballot {
            VoteBody::Commit(digest) if cast.index < cutoff.ballots => Some(digest),
            _ => None,
        })?;
        casts.iter().filter(|cast| cast.index < cutoff.reveals).find_map(|cast| {
            let VoteBody::Reveal { groups, salt } = &cast.ballot else { return None };
            let ballot = crate::canonical::encode(groups);
            decide::reveals(&committed.0, &self.statement.0, &voter.0, &salt.0, &ballot)
                .then(|| (groups.clone(), *salt))
        })
    }
}

impl State {
    pub(super) fn take_proposal(
        &mut self,
        index: u64,
        member: PeerId,
        statement: Hash,
        body: &Propose,
    ) -> Result<(), Refused> {
        self.check_proposal(body)?;
        let electorate = match body.appeals {
            Some(appealed) => self.panel_for(&appealed)?,
            None => self.shared_electorate(),
        };
        let (seats, members) = (usize::from(body.seats), electorate.electors.len());
        if body.method == Method::Lot && seats > members {
            return Err(format!("a panel of {seats} cannot be drawn from {members} members"));
        }
        let proposal = Proposal {
            statement,
            index,
            member,
            body: body.clone(),
            electorate,
            casts: BTreeMap::new(),
            status: Status::Open,
            counts: Vec::new(),
            panel: None,
            undo: None,
        };
        for house in proposal.houses().into_iter().filter(|_| body.method != Method::Lot) {
            let election = self.election(&proposal, house, TreeHash::EMPTY_TREE);
            election.check().map_err(|e| e.to_string())?;
        }
        self.open.insert(statement);
        self.proposals.insert(statement, proposal);
        Ok(())
    }

    fn check_proposal(&self, body: &Propose) -> Result<(), Refused> {
        let earliest = self.now().saturating_add(self.rules.notice);
        if body.close < earliest {
            return Err(format!(
                "it closes at {}, before the notice of {} s is over",
                body.close, self.rules.notice
            ));
        }
        if body.topic.is_constitutional() && body.houses.len() != 2 {
            return Err(
                "a change of charter, rules, licence, rights or witnesses needs both houses".into(),
            );
        }
        if (body.topic == ProposalType::Panel) != (body.method == Method::Lot) {
            return Err("panels, and only they, are drawn by lot".into());
        }
        if body.method != Method::Lot && !body.quotas.is_empty() {
            return Err("only a panel has quotas".into());
        }
        let single = matches!(body.method, Method::Schulze) || body.houses.len() == 2;
        if single && body.seats != 1 && body.method != Method::Lot {
            return Err("one option wins where both houses vote, and by Schulze".into());
        }
        let decides = body.topic.is_constitutional() || body.topic == ProposalType::Removal;
        if decides && (body.default.is_none() || body.method != Method::Schulze) {
            return Err("it needs a default option and the Schulze method".into());
        }
        body.options.iter().try_for_each(|option| fits(body.topic, &option.effect))
    }

    /// The panel that hears an appeal: the last one drawn since the result.
    fn panel_for(&self, appealed: &Hash) -> Result<Arc<Electorate>, Refused> {
        let target = self.proposals.get(appealed).ok_or("it appeals against no question")?;
        let closed = match &target.status {
            Status::Passed { closed, .. } | Status::Withheld { closed, .. } => *closed,
            _ => return Err("what it appeals against is not decided".into()),
        };
        if self.now() > closed.saturating_add(self.rules.appeal_period) {
            return Err("the time to appeal is over".into());
        }
        let drawn = |p: &&Proposal| match &p.status {
            Status::Passed { closed: at, .. } => p.body.method == Method::Lot && *at >= closed,
            _ => false,
        };
        let panel = self.proposals.values().filter(drawn).max_by_key(|p| p.index);
        let panel = panel.ok_or("no panel was drawn since the result")?;
        let Status::Passed { winners, .. } = &panel.status else { unreachable!("filtered above") };
        let seats = winners.iter().filter_map(|&at| panel.electorate.electors.get(at as usize));
        let mut electors: Vec<_> = seats.cloned().collect();
        electors.iter_mut().for_each(|e| e.vouches.clear());
        electors.sort_by_key(|e| e.member);
        Ok(Arc::new(Electorate { electors, vouches_needed: self.rules.vouches_needed }))
    }

    pub(super) fn take_vote(
        &mut self,
        index: u64,
        member: PeerId,
        statement: &Statement,
        vote: &Vote,
    ) -> Result<(), Refused> {
        let proposal = self.proposals.get_mut(&vote.proposal).ok_or("it votes on no question")?;
        if proposal.status != Status::Open {
            return Err("the question is closed".into());
        }
        if proposal.electorate.position(&member).is_none() {
            return Err("its author may not vote on this question".into());
        }
        let secret = proposal.body.reveal.is_some();
        let fits = match &vote.ballot {
            VoteBody::Commit(_) | VoteBody::Reveal { .. } => secret,
            VoteBody::Approve(_) => !secret && proposal.body.method == Method::Approval,
            VoteBody::Ranking(_) => !secret && proposal.body.method != Method::Approval,
        };
        if !fits {
            return Err("it is not the kind of ballot that the question asks for".into());
        }
        let cast =
            Cast { index, key: statement.author, seq: statement.seq, ballot: vote.ballot.clone() };
        let casts = proposal.casts.entry(member).or_default();
        if casts.len() >= 256 {
            return Err("its author has cast 256 ballots on this question".into());
        }
        casts.push(cast);
        Ok(())
    }

    /// Counts the ballots that the log has, as if the question closed here: what members see
    /// while it is open.
    ///
    /// Errors: it cannot be counted.
    pub fn count_so_far(&self, proposal: &Proposal) -> Result<Vec<HouseCount>, DecideError> {
        let seed = self.marks.last().map_or(TreeHash::EMPTY_TREE, |mark| mark.root);
        let cutoff = Cutoff { ballots: self.size, reveals: self.size, seed };
        self.count(proposal, cutoff)
    }

    fn count(&self, proposal: &Proposal, cutoff: Cutoff) -> Result<Vec<HouseCount>, DecideError> {
        let ballots = self.ballots(proposal, cutoff);
        let count = |house| {
            let election = self.election(proposal, house, cutoff.seed);
            let electors = &proposal.electorate.electors;
            let in_house =
                |b: &&Ballot| house.is_none() || electors[b.voter as usize].house == house;
            let ballots: Vec<Ballot> = ballots.iter().filter(in_house).cloned().collect();
            let outcome = decide::tally(&election, &ballots)?;
            Ok(HouseCount { house, election, ballots, outcome })
        };
        proposal.houses().into_iter().map(count).collect()
    }

    /// The last ballot of each elector that came in time and is not void.
    fn ballots(&self, proposal: &Proposal, cutoff: Cutoff) -> Vec<Ballot> {
        let mut ballots = Vec::new();
        for (member, casts) in &proposal.casts {
            let Some(voter) = proposal.electorate.position(member) else { continue };
            let sound: Vec<Cast> =
                casts.iter().filter(|c| self.counts(c.key, c.seq)).cloned().collect();
            let groups = if proposal.body.reveal.is_some() {
                proposal.revealed(member, &sound, cutoff).map(|(groups, _)| groups)
            } else {
                let last = sound.iter().rev().find(|cast| cast.index < cutoff.ballots);
                last.map(|cast| match &cast.ballot {
                    VoteBody::Ranking(groups) => groups.clone(),
                    VoteBody::Approve(options) if options.is_empty() => Vec::new(),
                    VoteBody::Approve(options) => vec![options.clone()],
                    VoteBody::Commit(_) | VoteBody::Reveal { .. } => {
                        unreachable!("an open question takes no secret ballots")
                    }
                })
            };
            if let Some(groups) = groups {
                let groups = groups.into_iter().map(|g| g.into_iter().map(u32::from).collect());
                ballots.push(Ballot { voter: voter as u32, groups: groups.collect() });
            }
        }
        ballots
    }

    fn election(&self, proposal: &Proposal, house: Option<House>, seed: TreeHash) -> Election {
        let body = &proposal.body;
        let electors = proposal.electorate.count(house) as u64;
        let least = self.rules.super_majority;
        let raised = |ratio: (u32, u32)| {
            let wants = body.topic.is_constitutional();
            let lower =
                u64::from(ratio.0) * u64::from(least.1) < u64::from(least.0) * u64::from(ratio.1);
            if wants && lower { least } else { ratio }
        };
        let choice = |(at, option): (usize, &crate::statement::Choice)| {
            let default = body.default.map(usize::from) == Some(at);
            let (num, den) = if default { (1, 1) } else { raised(option.ratio) };
            let employer = match &option.effect {
                Effect::Seat(member) => {
                    self.members.get(member).and_then(|m| m.employer(self.now()))
                }
                _ => None,
            };
            let employer = employer.map(str::to_owned);
            decide::Choice { name: option.name.clone(), ratio: Ratio::new(num, den), employer }
        };
        Election {
            options: body.options.iter().enumerate().map(choice).collect(),
            default: body.default.map(u32::from),
            method: match body.method {
                Method::Approval => decide::Method::Approval,
                Method::Committee => decide::Method::Committee,
                Method::Stv => decide::Method::Stv,
                Method::Schulze | Method::Lot => decide::Method::Schulze,
            },
            unranked: match body.unranked {
                UnrankedRule::Last => Unranked::Last,
                UnrankedRule::NoOpinion => Unranked::NoOpinion,
            },
            tie: match body.tie {
                TieBreak::Listed => TieRule::Listed,
                TieBreak::Lot => TieRule::Lot { seed: seed.0 },
                TieBreak::Casting(member) => match proposal.electorate.position(&member) {
                    Some(at) => TieRule::Casting { voter: at as u32 },
                    None => TieRule::Listed,
                },
            },
            seats: u32::from(body.seats),
            employer_cap: self.cap(body),
            quorum: self.quorum(body, electors),
            electors,
        }
    }

    /// The cap of the question; for stewards the rules' at most.
    fn cap(&self, body: &Propose) -> Option<Ratio> {
        let own = body.cap.map(|(num, den)| Ratio::new(num, den));
        if body.topic != ProposalType::Stewards {
            return own;
        }
        let (num, den) = self.rules.employer_cap;
        let seats = u32::from(body.seats);
        let least = Ratio::new(num, den).floor_of(seats).max(1);
        let rule = Ratio::new(least, seats);
        Some(own.filter(|own| own.floor_of(seats) <= least).unwrap_or(rule))
    }

    /// The rules' multiple of √N / 2; all of them where that is more than there are. An election
    /// of people asks it of the number of ballots.
    fn quorum(&self, body: &Propose, electors: u64) -> Quorum {
        let (num, den) = self.rules.quorum;
        let quorum = Quorum::Root { times: Ratio::new(num, den) };
        let persons = body.topic == ProposalType::Stewards;
        match quorum.least(electors) {
            _ if persons && body.method == Method::Approval => Quorum::None,
            least if least > electors => Quorum::Votes(electors),
            _ => quorum,
        }
    }

    /// Closes what has ended, and puts into force what is due. Called at each mark.
    pub(super) fn settle_proposals(&mut self, log: &impl Roots) -> Result<(), ArchiveError> {
        let now = self.now();
        let open: Vec<Hash> = self.open.iter().copied().collect();
        let mut ended: Vec<(u64, Hash)> =
            open.iter().map(|hash| (self.proposals[hash].index, *hash)).collect();
        ended.sort_unstable();
        for (_, hash) in ended {
            let proposal = &self.proposals[&hash];
            if proposal.status == Status::Open && proposal.end() < now {
                self.close(hash, log)?;
            }
            self.enforce(hash);
        }
        Ok(())
    }

    fn close(&mut self, hash: Hash, log: &impl Roots) -> Result<(), ArchiveError> {
        let mark = self.marks.last().expect("a mark closes it").clone();
        let mut proposal = self.proposals[&hash].clone();
        let seed = log.root_at(mark.size)?;
        let ballots = self.size_by(proposal.body.close);
        let cutoff = Cutoff { ballots, reveals: self.size_by(proposal.end()), seed };
        let closed = mark.time;
        proposal.status = if proposal.body.method == Method::Lot {
            let (status, panel) = self.draw(&proposal, cutoff, closed);
            proposal.panel = panel;
            status
        } else {
            match self.count(&proposal, cutoff) {
                Ok(counts) => {
                    proposal.counts = counts;
                    self.judge(&proposal, closed)
                }
                // Nothing an elector can send makes a question uncountable: `take_proposal`
                // checked it. If it is one all the same, nothing is decided.
                Err(_) => Status::Failed { closed },
            }
        };
        self.proposals.insert(hash, proposal);
        Ok(())
    }

    /// The fewest voters without whom the result of some house is another, as far as proven; none
    /// if no removal changes it.
    fn margin_of(&self, proposal: &Proposal) -> Option<u32> {
        if self.rules.margin_floor == 0 {
            return None;
        }
        let margins = proposal.counts.iter().filter_map(|count| {
            let margin = count.margin(&proposal.electorate).ok()?;
            margin.voters.proven()
        });
        margins.min().map(|margin| u32::try_from(margin).unwrap_or(u32::MAX))
    }

    /// What the counts decide.
    fn judge(&self, proposal: &Proposal, closed: u64) -> Status {
        let default = proposal.body.default.map(u32::from);
        let mut houses = proposal.counts.iter().map(|count| &count.outcome.winners);
        let first = houses.next().cloned().unwrap_or_default();
        let agreed = houses.all(|winners| *winners == first);
        if !agreed || first.is_empty() || (default.is_some() && first == default.as_slice()) {
            return Status::Failed { closed };
        }
        let margin = self.margin_of(proposal);
        if margin.is_some_and(|margin| margin < self.rules.margin_floor)
            && proposal.body.topic != ProposalType::Appeal
        {
            return Status::Withheld { winners: first, closed, margin: margin.unwrap_or(0) };
        }
        let wait = match proposal.body.topic {
            topic if topic.is_constitutional() => self.rules.exit_period,
            ProposalType::Removal => self.rules.appeal_period,
            _ => 0,
        };
        let due = closed.saturating_add(wait);
        Status::Passed { winners: first, closed, due, in_force: false }
    }

    /// Puts a decided question into force when it is due.
    fn enforce(&mut self, hash: Hash) {
        let now = self.now();
        let proposal = &self.proposals[&hash];
        let winners = match &proposal.status {
            Status::Passed { winners, due, in_force: false, .. } if *due <= now => winners.clone(),
            Status::Open | Status::Passed { in_force: false, .. } | Status::Withheld { .. } => {
                return;
            }
            _ => {
                self.open.remove(&hash);
                return;
            }
        };
        let effects: Vec<Effect> = winners
            .iter()
            .filter_map(|&w| proposal.body.options.get(w as usize))
            .map(|option| option.effect.clone())
            .collect();
        let (topic, appeals) = (proposal.body.topic, proposal.body.appeals);
        let undo = self.put_into_force(topic, appeals, &effects);
        self.open.remove(&hash);
        let proposal = self.proposals.get_mut(&hash).expect("it was just looked at");
        proposal.undo = Some(undo);
        if let Status::Passed { in_force, .. } = &mut proposal.status {
            *in_force = true;
        }
    }

    fn put_into_force(
        &mut self,
        topic: ProposalType,
        appeals: Option<Hash>,
        effects: &[Effect],
    ) -> Undo {
        let mut undo = Undo {
            charter: self.charter,
            rules: self.rules.clone(),
            witnesses: self.witnesses.clone(),
            stewards: self.stewards.clone(),
            removed: Vec::new(),
        };
        if topic == ProposalType::Stewards {
            let until = self.now().saturating_add(self.rules.steward_term);
            let seat = |effect: &Effect| match effect {
                Effect::Seat(member) => Some(super::Steward { member: *member, until }),
                _ => None,
            };
            self.stewards = effects.iter().filter_map(seat).collect();
        }
        for effect in effects {
            match effect {
                Effect::Charter(charter) => self.charter = *charter,
                Effect::Rules(rules) => self.rules = rules.clone(),
                Effect::Witnesses(witnesses) => self.witnesses = witnesses.clone(),
                Effect::Remove(member, _) => {
                    undo.removed.push(*member);
                    self.remove(member);
                }
                Effect::None | Effect::Seat(_) | Effect::Overturn => {}
            }
        }
        if let Some(appealed) = appeals {
            if effects.contains(&Effect::Overturn) {
                self.overturn(appealed);
            } else {
                self.uphold(appealed);
            }
        }
        self.electorate = None;
        undo
    }

    /// Takes back what a result changed.
    fn overturn(&mut self, hash: Hash) {
        let at = self.now();
        let Some(proposal) = self.proposals.get_mut(&hash) else { return };
        proposal.status = Status::Overturned { at };
        let (topic, undo) = (proposal.body.topic, proposal.undo.take());
        self.open.remove(&hash);
        let Some(undo) = undo else { return };
        match topic {
            ProposalType::Charter => self.charter = undo.charter,
            ProposalType::Rules => self.rules = undo.rules,
            ProposalType::Witnesses => self.witnesses = undo.witnesses,
            ProposalType::Stewards => self.stewards = undo.stewards,
            _ => {}
        }
        for member in undo.removed {
            self.members.entry(member).and_modify(|m| m.removed = false);
        }
        self.settle_members();
    }

    /// Lets a withheld result pass.
    fn uphold(&mut self, hash: Hash) {
        let now = self.now();
        if let Some(proposal) = self.proposals.get_mut(&hash)
            && let Status::Withheld { winners, closed, .. } = &proposal.status
        {
            let wait =
                if proposal.body.topic.is_constitutional() { self.rules.exit_period } else { 0 };
            proposal.status = Status::Passed {
                winners: winners.clone(),
                closed: *closed,
                due: now.saturating_add(wait),
                in_force: false,
            };
            self.open.insert(hash);
        }
    }
}

/// Whether an option of a question on `topic` may have this effect.
fn fits(topic: ProposalType, effect: &Effect) -> Result<(), Refused> {
    let fits = match effect {
        Effect::None => true,
        Effect::Charter(_) => topic == ProposalType::Charter,
        Effect::Rules(_) => topic == ProposalType::Rules,
        Effect::Witnesses(_) => topic == ProposalType::Witnesses,
        Effect::Seat(_) => topic == ProposalType::Stewards,
        Effect::Remove(..) => topic == ProposalType::Removal,
        Effect::Overturn => topic == ProposalType::Appeal,
    };
    if fits {
        Ok(())
    } else {
        Err("an option has an effect that its kind of question cannot".into())
    }
}
