//! Questions, ballots, and what their results change.

use super::{Count, Cutoff, Electorate, Refused, Roots, State};
use crate::{
    ArchiveError, PeerId, Statement, decide,
    statement::{Effect, House, Method, ProposalType, Propose, Rules, Vote, VoteBody, Witnesses},
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
    /// The count, once it is closed; none where a lot decides.
    pub count: Option<Count>,
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

#[derive(Clone, Debug)]
struct Undo {
    charter: Hash,
    rules: Rules,
    witnesses: Witnesses,
    stewards: Vec<super::Steward>,
    removed: Vec<PeerId>,
}

impl Proposal {
    /// When nothing more is taken.
    pub fn end(&self) -> u64 {
        self.body.reveal.unwrap_or(self.body.close)
    }

    /// The houses that vote, the users' first; none for all members together.
    pub fn houses(&self) -> Vec<Option<House>> {
        match self.body.houses.as_slice() {
            [] => vec![None],
            &[house] => vec![Some(house)],
            _ => vec![Some(House::Users), Some(House::Contributors)],
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
            count: None,
            panel: None,
            undo: None,
        };
        if body.method != Method::Lot {
            // What can be counted without ballots can be counted with whatever ballots come.
            self.count_at(&proposal, Cutoff::START).map_err(|e| e.to_string())?;
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
        let decides = body.topic.is_constitutional() || body.topic == ProposalType::Removal;
        if decides && (body.default.is_none() || body.method != Method::Schulze) {
            return Err("it needs a default option and the Schulze method".into());
        }
        if body.topic == ProposalType::Appeal && !is_fair_appeal(body) {
            return Err(
                "an appeal asks, by Schulze and a simple majority, whether to overturn or not"
                    .into(),
            );
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
            match self.count_at(&proposal, cutoff) {
                Ok(count) => {
                    let status = self.judge(&proposal, &count, closed);
                    proposal.count = Some(count);
                    status
                }
                // Nothing an elector can send makes a question uncountable: `take_proposal`
                // checked it. If it is one all the same, nothing is decided.
                Err(_) => Status::Failed { closed },
            }
        };
        self.proposals.insert(hash, proposal);
        Ok(())
    }

    /// What the count decides.
    fn judge(&self, proposal: &Proposal, count: &Count, closed: u64) -> Status {
        let topic = proposal.body.topic;
        let mut winners = count.adopted.clone();
        if topic == ProposalType::Appeal && count.heard() {
            // Who does not overturn upholds, also by the default option.
            winners = count.winners().to_vec();
        }
        if winners.is_empty() {
            return Status::Failed { closed };
        }
        if topic != ProposalType::Appeal && self.rules.margin_floor > 0 {
            let margin = count.margin(&proposal.electorate).voters.proven();
            let margin = u32::try_from(margin.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
            if margin < self.rules.margin_floor {
                return Status::Withheld { winners, closed, margin };
            }
        }
        let wait = match topic {
            topic if topic.is_constitutional() => self.rules.exit_period,
            ProposalType::Removal => self.rules.appeal_period,
            _ => 0,
        };
        let due = closed.saturating_add(wait);
        Status::Passed { winners, closed, due, in_force: false }
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

/// Whether a panel can say either, and neither is made harder than the other.
fn is_fair_appeal(body: &Propose) -> bool {
    let overturns: Vec<bool> = body.options.iter().map(|o| o.effect == Effect::Overturn).collect();
    let default = body.default.is_some_and(|default| overturns[usize::from(default)]);
    let simple = body.options.iter().all(|option| option.ratio.0 == option.ratio.1);
    let both = overturns.contains(&true) && overturns.contains(&false);
    both && simple && !default && body.method == Method::Schulze
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
