//! Questions, ballots, and what their results change.

use super::{Count, Cutoff, Electorate, Refused, State, force::Undo};
use crate::{
    PeerId, Statement,
    decide::{self, Ballot},
    statement::{Effect, House, Method, ProposalType, Propose, Vote, VoteBody},
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
    pub(super) undo: Option<Undo>,
    /// Appeals against it that are open.
    pub(super) appeals: u32,
    /// Whether it was decided in the log that this one was forked from.
    pub(super) inherited: bool,
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
        self.body.reveal.unwrap_or(self.body.close)
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
    ) -> Result<(), Refused> {
        self.check_proposal(body)?;
        let open = self.open.get(&member).copied().unwrap_or_default();
        if open >= MAX_OPEN {
            return Err(format!("its author has asked {open} questions that are open"));
        }
        let electorate = match body.appeals {
            Some(appealed) => self.panel_for(&appealed, body)?,
            None => self.shared_electorate(),
        };
        let (seats, members) = (usize::from(body.seats), electorate.electors.len());
        if body.method == Method::Lot && seats > members {
            return Err(format!("a panel of {seats} cannot be drawn from {members} members"));
        }
        if body.topic == ProposalType::Stewards {
            self.check_stewards(body, members)?;
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
            appeals: 0,
            inherited: false,
        };
        if body.method != Method::Lot {
            // What can be counted without ballots can be counted with whatever ballots come.
            self.count_at(&proposal, Cutoff::START).map_err(|e| e.to_string())?;
        }
        self.proposals.insert(statement, proposal);
        self.asked(statement);
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
        let window = body.reveal.map_or(u64::MAX, |reveal| reveal - body.close);
        if window < self.rules.notice {
            return Err(format!(
                "its ballots can be revealed for {window} s, less than the notice of {} s",
                self.rules.notice
            ));
        }
        if body.topic.is_constitutional() && body.houses.len() != 2 {
            return Err(
                "a change of charter, rules, licence, rights or witnesses needs both houses".into(),
            );
        }
        if body.houses.len() == 1 && body.topic != ProposalType::Question {
            return Err("one house alone decides nothing for all".into());
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
        let default = body.default.and_then(|at| body.options.get(usize::from(at)));
        if default.is_some_and(|option| option.effect != Effect::None) {
            return Err(
                "its default option, which stands for none of the others, does something".into()
            );
        }
        body.options.iter().try_for_each(|option| fits(body.topic, &option.effect))
    }

    /// All seats at once, so that the cap means something, and a way to want none of the candidates.
    fn check_stewards(&self, body: &Propose, members: usize) -> Result<(), Refused> {
        let seats = usize::from(self.rules.steward_seats).min(members);
        if usize::from(body.seats) != seats || !body.houses.is_empty() {
            return Err(format!("all members together elect all {seats} stewards"));
        }
        let none = body.options.iter().any(|option| option.effect == Effect::None);
        if !none || (body.method != Method::Stv && body.default.is_none()) {
            return Err("an election of stewards has an option for none of them".into());
        }
        Ok(())
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
        proposal.casts.entry(member).or_default().push(cast);
        Ok(())
    }

    /// Closes what has ended, and puts into force what is due. Called at each mark.
    pub(super) fn settle_proposals(&mut self) {
        let now = self.now();
        while let Some(&(time, index, hash)) = self.agenda.first()
            && time <= now
        {
            self.agenda.remove(&(time, index, hash));
            let proposal = &self.proposals[&hash];
            if proposal.status == Status::Open && proposal.end() < now {
                self.close(hash);
            }
            self.enforce(hash);
        }
    }

    /// When something is next to be done about a question.
    pub(super) fn schedule(&mut self, hash: Hash) {
        let proposal = &self.proposals[&hash];
        let time = match proposal.status {
            Status::Open => proposal.end().saturating_add(1),
            Status::Passed { due, in_force: false, .. } => due,
            _ => return,
        };
        self.agenda.insert((time, proposal.index, hash));
    }

    fn close(&mut self, hash: Hash) {
        let mut proposal = self.proposals[&hash].clone();
        // The first mark after the last ballot or commitment: nobody knew its root before, and who
        // made it knew nothing of what is revealed after it.
        let after = self.marks.partition_point(|mark| mark.time <= proposal.body.close);
        let seed = self.marks[after].root;
        let ballots = self.size_by(proposal.body.close);
        let cutoff = Cutoff { ballots, reveals: self.size_by(proposal.end()), seed };
        let closed = self.now();
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
}

/// Whether more than half of the ballots in an election of stewards by transferable vote, which has
/// no default option, put "none of them" first.
fn wants_none(body: &Propose, count: &Count) -> bool {
    if body.topic != ProposalType::Stewards || body.method != Method::Stv {
        return false;
    }
    let is_none = |option: &u32| {
        body.options.get(*option as usize).is_some_and(|option| option.effect == Effect::None)
    };
    let first = |ballot: &&Ballot| ballot.groups.first().is_some_and(|g| g.iter().all(is_none));
    let mut houses = count.houses.iter();
    houses.any(|house| 2 * house.ballots.iter().filter(first).count() > house.ballots.len())
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
