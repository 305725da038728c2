//! Questions, ballots, and what their results change.

use super::{Count, Cutoff, Detail, Electorate, Round, State, VoidReason, force::Undo};
use crate::{
    Body, Statement,
    statement::{Effect, House, Method, ProposalType, Propose, Vote, VoteBody},
};
use decide::Ballot;
use ids::{Hash, PeerId};
use std::{collections::BTreeMap, sync::Arc};

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
    /// When it was asked: the time of the last mark then.
    pub asked: u64,
    /// The time of the first mark that covers it: so long everybody can have known of it.
    pub opened: Option<u64>,
    /// When voting ends: as asked for, or the notice after it was opened where that is later; in a
    /// draw, in its present round.
    pub close: u64,
    /// When secret ballots must have been revealed.
    pub reveal: Option<u64>,
    /// Seats of the same body that are held already.
    pub held: Vec<Held>,
    /// The rounds of a draw that are over.
    pub rounds: Vec<Round>,
    /// The index from which secrets count in the present round of a draw.
    pub(super) since: u64,
    /// Ballots by member, in the log's order.
    pub casts: BTreeMap<PeerId, Vec<Cast>>,
    /// How it stands.
    pub status: Status,
    /// The count, once it is closed; none where a lot decides.
    pub count: Option<Count>,
    /// The panel, once it is drawn.
    pub panel: Option<decide::Panel>,
    /// What the result replaced, in case it is overturned.
    pub(super) undo: Option<Undo>,
    /// Appeals against it that are open.
    pub(super) appeals: u32,
    /// Whether it was decided in the log that this one was forked from.
    pub(super) inherited: bool,
}

/// A seat that is held already and not up for election.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// By a steward, whose employer is looked up when votes are counted.
    Steward(PeerId),
    /// By somebody on a list that the members decided: the name and the organisation.
    Listed(String, Option<String>),
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

/// Questions of one member that may be open at a time: each keeps who may vote on it.
const MAX_OPEN: u32 = 16;

impl Proposal {
    /// When nothing more is taken.
    pub fn end(&self) -> u64 {
        self.reveal.unwrap_or(self.close)
    }

    /// Whether nothing more comes of it by itself.
    pub(super) fn is_settled(&self) -> bool {
        !matches!(
            self.status,
            Status::Open | Status::Withheld { .. } | Status::Passed { in_force: false, .. }
        )
    }

    /// The houses that vote, the users' first; none for all members together.
    pub fn houses(&self) -> Vec<Option<House>> {
        match self.body.houses.as_slice() {
            [] => vec![None],
            &[house] => vec![Some(house)],
            _ => vec![Some(House::Users), Some(House::Contributors)],
        }
    }
}

impl State {
    pub(super) fn take_proposal(
        &mut self,
        index: u64,
        member: PeerId,
        statement: Hash,
        body: &Propose,
    ) -> Result<(), VoidReason> {
        self.check_proposal(body)?;
        self.check_times(body)?;
        let open = self.open.get(&member).copied().unwrap_or_default();
        if open >= MAX_OPEN {
            return Err(VoidReason::TooManyQuestions { open });
        }
        let electorate = match body.appeals {
            Some(appealed) => self.panel_for(&appealed, body)?,
            None => self.shared_electorate(),
        };
        let (seats, members) = (usize::from(body.seats), electorate.electors.len());
        let held = self.held_seats(body, members)?;
        if body.method == Method::Lot && seats > members {
            return Err(VoidReason::PanelTooLarge { seats: seats as u64, members: members as u64 });
        }
        if body.topic == ProposalType::Stewards {
            self.check_stewards(body, &held, members)?;
        }
        let proposal = Proposal {
            statement,
            index,
            member,
            body: body.clone(),
            electorate,
            asked: self.now(),
            opened: None,
            close: body.close,
            reveal: body.reveal,
            held,
            rounds: Vec::new(),
            since: index,
            casts: BTreeMap::new(),
            status: Status::Open,
            count: None,
            panel: None,
            undo: None,
            appeals: 0,
            inherited: false,
        };
        if body.method == Method::Lot {
            self.check_quotas(&proposal)?;
        } else {
            // What can be counted without ballots can be counted with whatever ballots come.
            self.check_countable(&proposal).map_err(|why| VoidReason::NotCountable { why })?;
        }
        self.proposals.insert(statement, proposal);
        self.asked(statement);
        Ok(())
    }

    pub(super) fn take_vote(
        &mut self,
        index: u64,
        member: PeerId,
        statement: &Statement,
        vote: &Vote,
    ) -> Result<(), VoidReason> {
        let proposal = self.proposals.get(&vote.proposal).ok_or(VoidReason::VotesOnNothing)?;
        if proposal.status != Status::Open {
            return Err(VoidReason::QuestionClosed);
        }
        if proposal.electorate.position(&member).is_none() {
            return Err(VoidReason::MayNotVote);
        }
        let commits = matches!(vote.ballot, VoteBody::Commit(_));
        if commits && let Some(until) = self.barred_from(&vote.proposal, &member) {
            return Err(VoidReason::Barred { until });
        }
        let proposal = self.proposals.get_mut(&vote.proposal).ok_or(VoidReason::VotesOnNothing)?;
        let secret = proposal.body.reveal.is_some();
        let fits = match &vote.ballot {
            VoteBody::Commit(_) | VoteBody::Reveal { .. } => secret,
            VoteBody::Approve(_) => {
                !secret && proposal.body.method.counts_by(decide::Method::Approval)
            }
            VoteBody::Ranking(_) => {
                !secret && !proposal.body.method.counts_by(decide::Method::Approval)
            }
        };
        if !fits {
            return Err(VoidReason::WrongBallot);
        }
        let cast =
            Cast { index, key: statement.author, seq: statement.seq, ballot: vote.ballot.clone() };
        proposal.casts.entry(member).or_default().push(cast);
        Ok(())
    }

    /// A secret that its author could not get into the log, brought by another member.
    pub(super) fn take_missing(&mut self, index: u64, bytes: &[u8]) -> Result<(), VoidReason> {
        let missing =
            self.read(bytes).map_err(|e| VoidReason::BadStatement { why: Detail::of(e) })?;
        let Body::Vote(vote) = &missing.body else { return Ok(()) };
        if missing.log != self.id {
            return Err(VoidReason::OfOtherCommons { commons: missing.log });
        }
        match (&vote.ballot, self.member_of(&missing.author)) {
            (VoteBody::Reveal { .. }, Some(voter)) => self.take_vote(index, voter, &missing, vote),
            _ => Ok(()),
        }
    }

    /// Opens what the last mark covers: nobody loses the notice because no mark was made for long.
    fn open_covered(&mut self) {
        let (covered, now) = (self.marks.last().map_or(0, |mark| mark.size), self.now());
        while let Some(&(index, hash)) = self.unopened.first()
            && index < covered
        {
            self.unopened.remove(&(index, hash));
            let earliest = now.saturating_add(self.rules.notice);
            if let Some(proposal) = self.proposals.get_mut(&hash) {
                let late = earliest.saturating_sub(proposal.close);
                proposal.opened = Some(now);
                proposal.close = proposal.close.saturating_add(late);
                proposal.reveal = proposal.reveal.map(|reveal| reveal.saturating_add(late));
                self.schedule(hash);
            }
        }
    }

    /// Opens what is covered, closes what has ended, and puts into force what is due. Called at each
    /// mark.
    pub(super) fn settle_proposals(&mut self) {
        let now = self.now();
        self.cost.operator_wanted = true;
        self.open_covered();
        while let Some(&(time, index, hash)) = self.agenda.first()
            && time <= now
        {
            self.agenda.remove(&(time, index, hash));
            let proposal = &self.proposals[&hash];
            if proposal.status == Status::Open && proposal.end() < now {
                self.close(hash);
            }
            self.lapse(hash);
            self.enforce(hash);
        }
    }

    /// When something is next to be done about a question.
    pub(super) fn schedule(&mut self, hash: Hash) {
        let proposal = &self.proposals[&hash];
        let time = match proposal.status {
            Status::Open => proposal.end().saturating_add(1),
            Status::Passed { due, in_force: false, .. } => due,
            Status::Withheld { closed, .. } if self.version > 1 => {
                self.appeal_until(closed).saturating_add(1)
            }
            _ => return,
        };
        self.agenda.insert((time, proposal.index, hash));
    }

    fn close(&mut self, hash: Hash) {
        let mut proposal = self.proposals[&hash].clone();
        self.cost.steps += proposal.casts.values().map(|casts| casts.len() as u64).sum::<u64>();
        // The first mark after the last ballot or commitment: nobody knew its root before, and who
        // made it knew nothing of what is revealed after it.
        let after = self.marks.partition_point(|mark| mark.time <= proposal.close);
        let seed = self.marks[after].root;
        let ballots = self.size_by(proposal.close);
        let cutoff = Cutoff { ballots, reveals: self.size_by(proposal.end()), seed };
        let closed = self.now();
        proposal.status = if proposal.body.method == Method::Lot {
            match self.draw(&mut proposal, cutoff, closed) {
                Some(status) => status,
                None => return self.draw_again(proposal),
            }
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
        self.ended(&proposal, closed);
        self.proposals.insert(hash, proposal);
        self.schedule(hash);
    }

    /// What the count decides.
    fn judge(&self, proposal: &Proposal, count: &Count, closed: u64) -> Status {
        let topic = proposal.body.topic;
        let mut winners = count.adopted.clone();
        if topic == ProposalType::Appeal && count.heard() {
            // Who does not overturn upholds, also by the default option.
            winners = count.winners().to_vec();
        }
        if winners.is_empty() || wants_none(&proposal.body, count) {
            return Status::Failed { closed };
        }
        if topic != ProposalType::Appeal && self.rules.margin_floor > 0 {
            let margin = self.proven_margin(proposal, count);
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
}

/// Whether more than half of the ballots in an election of stewards by transferable vote, which has
/// no default option, put "none of them" first.
fn wants_none(body: &Propose, count: &Count) -> bool {
    if body.topic != ProposalType::Stewards || !body.method.counts_by(decide::Method::Stv) {
        return false;
    }
    let is_none = |option: &u32| {
        body.options.get(*option as usize).is_some_and(|option| option.effect == Effect::None)
    };
    let first = |ballot: &&Ballot| ballot.groups.first().is_some_and(|g| g.iter().all(is_none));
    let mut houses = count.houses.iter();
    houses.any(|house| 2 * house.ballots.iter().filter(first).count() > house.ballots.len())
}
