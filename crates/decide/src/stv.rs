//! The single transferable vote by the rules of Scottish local elections (SSI 2007/42, rules 46–52):
//! weighted inclusive Gregory. All of a winner's papers go on, each at its value times
//! surplus ÷ votes, truncated to five decimals, so all arithmetic is in whole 1/100,000 votes.

use super::election::Election;
use super::outcome::{Log, Step, TiePurpose};
use super::pile::Pile;
use super::schulze::members;
use super::seats::Seats;
use super::tie::TieOrder;

/// One vote.
const UNIT: u64 = 100_000;

/// The winners, in the order of their election. `counts` has how many ballots of each pile count.
pub(super) fn elect(
    election: &Election,
    piles: &[Pile],
    counts: &[u64],
    ties: &TieOrder,
    log: &mut Log,
) -> Vec<u32> {
    let mut count = Count::new(election, piles, counts, ties);
    log.say(|| Step::Quota { ballots: count.ballots, quota: count.quota / UNIT });
    count.stage(log);
    while count.step(log) {}
    count.seats.winners
}

/// Papers of one pile in one hand.
#[derive(Clone, Copy)]
struct Parcel<'a> {
    ranking: &'a [Vec<u32>],
    /// The next place of the ranking to look at.
    next: usize,
    papers: u64,
    /// Of each paper.
    value: u64,
}

struct Count<'a> {
    ties: &'a TieOrder,
    seats: Seats<'a>,
    ballots: u64,
    quota: u64,
    /// Neither elected nor out.
    continuing: u64,
    /// Elected, with a surplus not yet transferred.
    surplus: u64,
    hands: Vec<Vec<Parcel<'a>>>,
    votes: Vec<u64>,
    /// The votes after each stage.
    history: Vec<Vec<u64>>,
}

impl<'a> Count<'a> {
    fn new(election: &'a Election, piles: &'a [Pile], counts: &[u64], ties: &'a TieOrder) -> Self {
        let options = election.options.len();
        let mut count = Self {
            ties,
            seats: Seats::new(election),
            ballots: 0,
            quota: 0,
            continuing: u64::MAX >> (64 - options.clamp(1, 64)),
            surplus: 0,
            hands: vec![Vec::new(); options],
            votes: vec![0; options],
            history: Vec::new(),
        };
        for (pile, &papers) in piles.iter().zip(counts).filter(|(_, papers)| **papers > 0) {
            let parcel = Parcel { ranking: &pile.groups, next: 0, papers, value: UNIT };
            if count.give(parcel) {
                count.ballots += papers;
            }
        }
        count.quota = (count.ballots / (u64::from(election.seats) + 1) + 1) * UNIT;
        count
    }

    /// One stage; whether there may be another.
    fn step(&mut self, log: &mut Log) -> bool {
        self.elect_at_quota(log);
        if self.seats.left() == 0 {
            return false;
        }
        if self.exclude_capped(log) {
            return true;
        }
        let left: Vec<u32> = members(self.continuing).collect();
        if left.len() <= self.seats.left() as usize {
            self.elect_rest(left, log);
            // Where that fills an employer's cap, whoever is over it stays out.
            return false;
        }
        if self.surplus == 0 {
            let out = self.extreme(self.continuing, TiePurpose::Exclude, log);
            self.exclude(out, log);
        } else {
            let from = self.extreme(self.surplus, TiePurpose::Surplus, log);
            self.transfer_surplus(from, log);
        }
        true
    }

    /// Elects whoever has the quota, most votes first.
    fn elect_at_quota(&mut self, log: &mut Log) {
        loop {
            let at_quota = members(self.continuing)
                .filter(|&c| self.votes[c as usize] >= self.quota && !self.seats.capped(c))
                .fold(0, |set, c| set | 1 << c);
            if at_quota == 0 || self.seats.left() == 0 {
                return;
            }
            let next = self.extreme(at_quota, TiePurpose::First, log);
            self.continuing &= !(1 << next);
            self.seats.give(next, log);
            if self.votes[next as usize] > self.quota {
                self.surplus |= 1 << next;
            }
        }
    }

    /// Excludes one candidate whose employer has all it may have.
    fn exclude_capped(&mut self, log: &mut Log) -> bool {
        let capped = members(self.continuing)
            .filter(|&c| self.seats.capped(c))
            .fold(0, |set, c| set | 1 << c);
        if capped == 0 {
            return false;
        }
        let out = self.extreme(capped, TiePurpose::Exclude, log);
        self.seats.say_capped(out, log);
        self.exclude(out, log);
        true
    }

    /// As many are left as seats, or fewer.
    fn elect_rest(&mut self, rest: Vec<u32>, log: &mut Log) {
        log.say(|| Step::RestElected { options: rest });
        while self.continuing != 0 {
            let next = self.extreme(self.continuing, TiePurpose::First, log);
            self.continuing &= !(1 << next);
            self.seats.offer(next, log);
        }
    }

    fn exclude(&mut self, out: u32, log: &mut Log) {
        log.say(|| Step::Excluded { option: out, votes: self.votes[out as usize] });
        self.continuing &= !(1 << out);
        self.votes[out as usize] = 0;
        for parcel in std::mem::take(&mut self.hands[out as usize]) {
            self.give(parcel);
        }
        self.stage(log);
    }

    fn transfer_surplus(&mut self, from: u32, log: &mut Log) {
        let votes = self.votes[from as usize];
        let surplus = votes - self.quota;
        log.say(|| Step::Surplus { option: from, surplus, votes });
        self.surplus &= !(1 << from);
        self.votes[from as usize] = self.quota;
        for parcel in std::mem::take(&mut self.hands[from as usize]) {
            let value = u128::from(parcel.value) * u128::from(surplus) / u128::from(votes);
            let value = u64::try_from(value).expect("a surplus is a part of the votes");
            self.give(Parcel { value, ..parcel });
        }
        self.stage(log);
    }

    /// Gives the papers to the next continuing candidate they name, if any.
    fn give(&mut self, mut parcel: Parcel<'a>) -> bool {
        while let Some(rank) = parcel.ranking.get(parcel.next) {
            parcel.next += 1;
            let Some(&candidate) = rank.first() else { continue };
            if self.continuing >> candidate & 1 == 1 {
                self.votes[candidate as usize] += parcel.papers * parcel.value;
                self.hands[candidate as usize].push(parcel);
                return true;
            }
        }
        false
    }

    fn stage(&mut self, log: &mut Log) {
        self.history.push(self.votes.clone());
        let lost = self.ballots * UNIT - self.votes.iter().sum::<u64>();
        let (number, votes) = (self.history.len() as u32, &self.votes);
        log.say(|| Step::Stage { number, votes: votes.clone(), lost });
    }

    /// Who of `among` has the most votes (to exclude: the fewest). Equals are told apart by the
    /// latest stage at which they were not equal, then by the tie rule.
    fn extreme(&self, among: u64, purpose: TiePurpose, log: &mut Log) -> u32 {
        let mut tied: Vec<u32> = members(among).collect();
        for (at, votes) in self.history.iter().enumerate().rev() {
            let of = |c: &u32| votes[*c as usize];
            let wanted = match purpose {
                TiePurpose::Exclude => tied.iter().map(of).min(),
                TiePurpose::First | TiePurpose::Surplus => tied.iter().map(of).max(),
            };
            let before = tied.clone();
            tied.retain(|c| Some(of(c)) == wanted);
            if let &[chosen] = tied.as_slice() {
                if at + 1 < self.history.len() {
                    let stage = at as u32 + 1;
                    log.say(|| Step::EarlierStage { among: before, stage, chosen });
                }
                return chosen;
            }
        }
        self.ties.pick(tied, purpose, log)
    }
}
