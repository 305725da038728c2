//! From the ballots in the log to what they decide, and who could make it otherwise.

use super::{Cast, Electorate, Held, Proposal, State, Status};
use crate::statement::{Effect, House, Method, ProposalType, Propose, VoteBody};
use decide::{Ballot, DecideError, Election, MARGIN_EFFORT, Outcome, Quorum, Ratio, TieRule};
use ids::{Hash, PeerId};
use std::sync::{Arc, OnceLock};
use tlog::Hash as TreeHash;

/// What everybody spends to see whether so few voters decide that a panel has to look: some
/// milliseconds, and some microseconds for each ballot (the unit is that of [`MARGIN_EFFORT`]).
const FLOOR_EFFORT: u64 = 200_000;
const FLOOR_EFFORT_PER_BALLOT: u64 = 2_000;

/// The count of a question.
#[derive(Clone, Debug)]
pub struct Count {
    /// Of each house that votes, the users' first; of all members where they vote together.
    pub houses: Vec<HouseCount>,
    /// The options that are adopted or elected, in order: none where the default option stands, or
    /// two houses do not agree.
    pub adopted: Vec<u32>,
    /// Searched for once, when somebody asks; copies of a state share it.
    margin: Arc<OnceLock<decide::Margin>>,
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

/// Up to where ballots count.
#[derive(Clone, Copy, Debug)]
pub struct Cutoff {
    /// Ballots and commitments before this index.
    pub ballots: u64,
    /// Reveals before this index.
    pub reveals: u64,
    /// What draws are made from: the root of the first mark after the last ballot or commitment.
    pub seed: TreeHash,
}

/// A house, what it is asked, and what it says.
type Asked = (Option<House>, Election, Vec<Ballot>);

impl Count {
    fn new(asked: Vec<Asked>) -> Result<Self, DecideError> {
        let (outcomes, adopted) = match asked.as_slice() {
            [(_, election, ballots), (_, other, others)] => {
                let users = decide::House { election, ballots };
                let contributors = decide::House { election: other, ballots: others };
                let both = decide::two_houses(users, contributors)?;
                (vec![both.users, both.contributors], both.passed.into_iter().collect())
            }
            [(_, election, ballots)] => {
                let outcome = decide::tally(election, ballots)?;
                let mut adopted = outcome.winners.clone();
                adopted.retain(|&option| election.default != Some(option));
                (vec![outcome], adopted)
            }
            _ => unreachable!("one house votes, or two do"),
        };
        let count = |((house, election, ballots), outcome): (Asked, Outcome)| HouseCount {
            house,
            election,
            ballots,
            outcome,
        };
        let houses = asked.into_iter().zip(outcomes).map(count).collect();
        Ok(Self { houses, adopted, margin: Arc::default() })
    }

    /// The winners in which a margin is put: those of all who vote together, the default option
    /// among them, or what two houses adopt.
    pub fn winners(&self) -> &[u32] {
        match self.houses.as_slice() {
            [all] => &all.outcome.winners,
            _ => &self.adopted,
        }
    }

    /// The margin by voters alone, as far as this effort proves it.
    fn voters_margin(&self, effort: u64) -> Option<u64> {
        let found = match self.houses.as_slice() {
            [users, contributors] => {
                decide::two_houses_voters(users.as_house(), contributors.as_house(), effort)
            }
            [all] => decide::voters_margin(&all.election, &all.ballots, effort),
            _ => unreachable!("one house votes, or two do"),
        };
        found.expect("what was counted can be counted with fewer ballots").proven()
    }

    /// Whether as many voted as the quorum asks, in every house.
    pub(super) fn heard(&self) -> bool {
        self.houses.iter().all(|house| {
            let election = &house.election;
            election.quorum.met(house.outcome.ballots, election.electors)
        })
    }

    /// Who would have to be missing for another result: the fewest voters, one employer's people,
    /// those who stand or fall with one voucher. `electorate` is the question's.
    pub fn margin(&self, electorate: &Electorate) -> &decide::Margin {
        self.margin.get_or_init(|| {
            let voters = voters(electorate);
            let found = match self.houses.as_slice() {
                [users, contributors] => decide::two_houses_margin(
                    users.as_house(),
                    contributors.as_house(),
                    &voters,
                    MARGIN_EFFORT,
                ),
                [all] => decide::margin(&all.election, &all.ballots, &voters, MARGIN_EFFORT),
                _ => unreachable!("one house votes, or two do"),
            };
            found.expect("what was counted can be counted with fewer ballots")
        })
    }
}

impl HouseCount {
    fn as_house(&self) -> decide::House<'_> {
        decide::House { election: &self.election, ballots: &self.ballots }
    }
}

/// The electors with their employers and those they stand or fall with.
fn voters(electorate: &Electorate) -> Vec<decide::Voter> {
    let voter =
        |e: &super::Elector| decide::Voter { employer: e.employer.clone(), vouchers: Vec::new() };
    let mut voters: Vec<_> = electorate.electors.iter().map(|e| voter(e)).collect();
    for (at, elector) in electorate.electors.iter().enumerate() {
        if !elector.vouches.is_empty() {
            for fallen in electorate.dependants(at) {
                voters[fallen as usize].vouchers.push(at as u32);
            }
        }
    }
    voters
}

impl State {
    /// The count of a question as it was closed; of an open one, as if it closed here. None where a
    /// lot decides.
    ///
    /// Errors: it cannot be counted.
    pub fn count(&self, proposal: &Proposal) -> Result<Option<Count>, DecideError> {
        if proposal.status != Status::Open || proposal.body.method == Method::Lot {
            return Ok(proposal.count.clone());
        }
        let seed = self.marks.last().map_or(TreeHash::EMPTY_TREE, |mark| mark.root);
        let cutoff = Cutoff { ballots: self.size, reveals: self.size, seed };
        self.count_at(proposal, cutoff).map(Some)
    }

    /// How many committed to a ballot of a question, or to a secret of a draw, and have not opened it:
    /// so far, or before its end.
    pub fn unopened(&self, proposal: &Proposal) -> usize {
        if proposal.body.reveal.is_none() || proposal.inherited {
            return 0;
        }
        let is_open = proposal.status == Status::Open;
        let until = |time| if is_open { self.size } else { self.size_by(time) };
        let (ballots, reveals) = (until(proposal.body.close), until(proposal.end()));
        let cutoff = Cutoff { ballots, reveals, seed: TreeHash::EMPTY_TREE };
        let is_commitment = |ballot: &VoteBody| matches!(ballot, VoteBody::Commit(_));
        let sealed = |casts: &[Cast]| self.last_before(casts, ballots, is_commitment).is_some();
        let unopened = |voter, casts: &[Cast]| {
            sealed(casts) && self.revealed(proposal, voter, cutoff).is_none()
        };
        proposal.casts.iter().filter(|(voter, casts)| unopened(voter, casts.as_slice())).count()
    }

    /// Whether a question can be counted, whatever ballots come.
    ///
    /// Errors: why not.
    pub(super) fn check_countable(&self, proposal: &Proposal) -> Result<(), DecideError> {
        let houses = proposal.houses();
        let elections: Vec<Election> =
            houses.into_iter().map(|house| self.election(proposal, house, None)).collect();
        if let [users, contributors] = elections.as_slice() {
            let house = |election| decide::House { election, ballots: &[] };
            decide::check_houses(house(users), house(contributors))?;
        }
        elections.iter().try_for_each(Election::check)
    }

    /// How many voters at least would have to be missing for another result, as far as an effort
    /// proves that is bounded by the number of ballots; none if no number of them would.
    pub(super) fn proven_margin(&self, proposal: &Proposal, count: &Count) -> Option<u64> {
        if self.version == 1 {
            return count.margin(&proposal.electorate).voters.proven();
        }
        let ballots: usize = count.houses.iter().map(|house| house.ballots.len()).sum();
        count.voters_margin(FLOOR_EFFORT + FLOOR_EFFORT_PER_BALLOT * ballots as u64)
    }

    /// Counts the ballots up to a place in the log.
    pub(super) fn count_at(
        &self,
        proposal: &Proposal,
        cutoff: Cutoff,
    ) -> Result<Count, DecideError> {
        let ballots = self.ballots(proposal, cutoff);
        let seed = self.tie_seed(proposal, cutoff);
        let electors = &proposal.electorate.electors;
        let asked = |house: Option<House>| {
            let in_house =
                |b: &&Ballot| house.is_none() || electors[b.voter as usize].house == house;
            let ballots = ballots.iter().filter(in_house).cloned().collect();
            (house, self.election(proposal, house, seed), ballots)
        };
        Count::new(proposal.houses().into_iter().map(asked).collect())
    }

    /// The ballot of each elector.
    fn ballots(&self, proposal: &Proposal, cutoff: Cutoff) -> Vec<Ballot> {
        let mut ballots = Vec::new();
        for (member, casts) in &proposal.casts {
            let Some(voter) = proposal.electorate.position(member) else { continue };
            let groups = if proposal.body.reveal.is_some() {
                self.revealed(proposal, member, cutoff).map(|(groups, _)| groups.clone())
            } else {
                self.last_before(casts, cutoff.ballots, |_| true).map(|cast| match &cast.ballot {
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

    /// What a member committed to and revealed: the ballot and what kept it secret.
    pub(super) fn revealed<'a>(
        &self,
        proposal: &'a Proposal,
        voter: &PeerId,
        cutoff: Cutoff,
    ) -> Option<(&'a Vec<Vec<u16>>, Hash)> {
        let casts = proposal.casts.get(voter)?;
        let committed = self.committed(proposal, casts, cutoff)?;
        let sound = |c: &&Cast| c.index < cutoff.reveals && self.counts(c.key, c.seq);
        let in_round = |c: &&Cast| c.index >= proposal.since && sound(c);
        casts.iter().filter(in_round).find_map(|cast| {
            let VoteBody::Reveal { groups, salt } = &cast.ballot else { return None };
            let ballot = ids::canonical::encode(groups);
            decide::reveals(&committed.0, &proposal.statement.0, &voter.0, &salt.0, &ballot)
                .then_some((groups, *salt))
        })
    }

    /// What a member committed to, in the present round of a draw.
    pub(super) fn committed(
        &self,
        proposal: &Proposal,
        casts: &[Cast],
        cutoff: Cutoff,
    ) -> Option<Hash> {
        let is_commitment = |ballot: &VoteBody| matches!(ballot, VoteBody::Commit(_));
        let last = self.last_before(casts, cutoff.ballots, is_commitment)?;
        match last.ballot {
            VoteBody::Commit(digest) if last.index >= proposal.since => Some(digest),
            _ => None,
        }
    }

    /// The last of a member's casts of some kind before `end`, of those that counted then. If it
    /// turned out void since, the member has none, and not the one before it: else somebody with
    /// two devices could choose between two ballots after it has seen all others.
    fn last_before<'a>(
        &self,
        casts: &'a [Cast],
        end: u64,
        kind: impl Fn(&VoteBody) -> bool,
    ) -> Option<&'a Cast> {
        let in_time =
            |c: &&Cast| c.index < end && kind(&c.ballot) && self.counted_before(end, c.key, c.seq);
        casts.iter().rev().find(in_time).filter(|c| self.counts(c.key, c.seq))
    }

    /// What the lot for ties is drawn from: the secrets of enough members, who did not know each
    /// other's, after a root that nobody knew when they committed to them. None where there are too
    /// few.
    fn tie_seed(&self, proposal: &Proposal, cutoff: Cutoff) -> Option<[u8; 32]> {
        if self.version == 1 {
            return Some(cutoff.seed.0);
        }
        if !matches!(proposal.body.tie, TieRule::Lot { .. }) {
            return None;
        }
        let secret = |member| self.revealed(proposal, member, cutoff).map(|(_, salt)| salt.0);
        let secrets: Vec<[u8; 32]> = proposal.casts.keys().filter_map(secret).collect();
        if secrets.len() < self.secrets_needed(proposal, 0) {
            return None;
        }
        Some(decide::tie_seed(&proposal.statement.0, &cutoff.seed.0, &secrets))
    }

    fn election(
        &self,
        proposal: &Proposal,
        house: Option<House>,
        seed: Option<[u8; 32]>,
    ) -> Election {
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
                Method::Counted(method) => method,
                // Nobody asks for the count of a draw.
                Method::Lot => decide::Method::Schulze,
            },
            unranked: body.unranked,
            tie: body.tie.with(
                |()| seed,
                |member| proposal.electorate.position(&member).map(|at| at as u32),
            ),
            seats: u32::from(body.seats),
            employer_cap: self.cap(proposal),
            held: self.held_employers(proposal),
            quorum: self.quorum(body, electors),
            electors,
        }
    }

    /// The employers of those who hold a seat already and keep it.
    fn held_employers(&self, proposal: &Proposal) -> Vec<Option<String>> {
        let employer = |held: &Held| match held {
            Held::Steward(member) => {
                self.members.get(member)?.employer(self.now()).map(str::to_owned)
            }
            Held::Listed(_, org) => org.clone(),
        };
        proposal.held.iter().map(employer).collect()
    }

    /// The cap of the question; for stewards the rules' at most.
    fn cap(&self, proposal: &Proposal) -> Option<Ratio> {
        let body = &proposal.body;
        let own = body.cap.map(|(num, den)| Ratio::new(num, den));
        if body.topic != ProposalType::Stewards {
            return own;
        }
        let (num, den) = self.rules.employer_cap;
        let seats = u32::from(body.seats) + proposal.held.len() as u32;
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
            _ if persons && body.method.counts_by(decide::Method::Approval) => Quorum::None,
            least if least > electors => Quorum::Votes(electors),
            _ => quorum,
        }
    }
}
