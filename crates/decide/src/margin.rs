//! How many ballots, and whose, would have to be missing for another result.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::bound::Bound;
use super::election::{Ballot, DecideError, Election, Voter};
use super::field::{Field, set};
use super::left::Left;

/// The effort that all members spend, so that all get the same answer, on each of the searches for
/// voters, an employer and a voucher; the unit is some ten nanoseconds.
///
/// Measured with `bench_decide margins` (12 to 5000 electors, 3 to 10 options, impartial and Mallows
/// ballots): by approval and Schulze all of 360 margins by voters are exact, of committees 178 and of
/// changes by two houses 175 of 180; a tenth of the effort would nearly do. Transferable votes have
/// no bound to search with: all are exact up to 30 electors, two thirds at 100, 40 % at 300. Ten times
/// the effort makes that 77 % and 47 %. The whole margin takes some milliseconds, 0.7 s at most on a
/// busy machine; with ten times the effort up to 3.8 s.
pub const MARGIN_EFFORT: u64 = 10_000_000;

/// What would flip a result, that is: elect other options, whatever their order. The number of
/// electors, and with it a quorum, stays what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Margin {
    /// The fewest voters.
    pub voters: VoterMargin,
    /// The single employer of the fewest voters, if there is one without whom the result is another.
    pub employer: Option<Bloc<String>>,
    /// The same for all voters vouched for by one.
    pub voucher: Option<Bloc<u32>>,
    /// How many of these blocs were not tried for want of effort, the largest ones: only if it is not
    /// zero, there may be one that flips the result and is not named.
    pub untried: u64,
}

/// The fewest voters without whom the result is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum VoterMargin {
    /// This many; no smaller set does it.
    Exact(Removal),
    /// At least so many, which is proven; these do it, if any were found. Between the two the search
    /// ended for want of effort.
    Between {
        /// No smaller set flips the result.
        at_least: u64,
        /// The smallest set found.
        found: Option<Removal>,
    },
    /// The result is the same whoever is missing.
    Never,
}

/// Voters whose absence flips the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Who, in order.
    pub voters: Vec<u32>,
    /// Who is then elected.
    pub winners: Vec<u32>,
}

/// Voters who have one thing in common, and whose absence flips the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bloc<T> {
    /// What they have in common.
    pub who: T,
    /// How many of them have a ballot that counts.
    pub voters: u64,
    /// Who is elected without them.
    pub winners: Vec<u32>,
}

impl VoterMargin {
    /// The number of voters that is proven: fewer do not flip the result. `None`: no number does.
    pub fn proven(&self) -> Option<u64> {
        match self {
            VoterMargin::Exact(removal) => Some(removal.voters.len() as u64),
            VoterMargin::Between { at_least, .. } => Some(*at_least),
            VoterMargin::Never => None,
        }
    }
}

/// Finds the margins of an election. `voters` are indexed as in the ballots; whoever is missing there
/// has no employer and no voucher. Blocs that are large enough to matter are tried one by one, the
/// smallest first. Each search ends at `effort` (see [`MARGIN_EFFORT`]).
///
/// Errors: as for [`super::tally`].
pub fn margin(
    election: &Election,
    ballots: &[Ballot],
    voters: &[Voter],
    effort: u64,
) -> Result<Margin, DecideError> {
    let field = Field::new(election, ballots)?;
    let bound = Bound::new(&field);
    let found = fewest(&field, &bound, Wanted::Others, effort);
    let safe = safe(&field, &bound, Wanted::Others);
    let decide = |left: &[Left]| field.decide(&left[0]);
    Ok(blocs(&[&field], safe, voters, found, effort, decide))
}

/// The margin by voters alone.
///
/// Errors: as for [`super::tally`].
pub fn voters_margin(
    election: &Election,
    ballots: &[Ballot],
    effort: u64,
) -> Result<VoterMargin, DecideError> {
    let field = Field::new(election, ballots)?;
    Ok(fewest(&field, &Bound::new(&field), Wanted::Others, effort))
}

/// Adds the margins by blocs, of one field or several, to the margin by voters.
pub(super) fn blocs(
    fields: &[&Field],
    safe: u64,
    voters: &[Voter],
    found: VoterMargin,
    effort: u64,
    decide: impl Fn(&[Left]) -> Vec<u32>,
) -> Margin {
    let employer = |voter| voters.get(voter as usize).map(|v: &Voter| v.employer.as_slice());
    let vouchers = |voter| voters.get(voter as usize).map(|v: &Voter| v.vouchers.as_slice());
    let (employer, some) = smallest_bloc(fields, safe, employer, effort, &decide);
    let (voucher, others) = smallest_bloc(fields, safe, vouchers, effort, &decide);
    Margin { voters: found, employer, voucher, untried: some + others }
}

/// The most ballots that are proven not to matter, whichever they are.
pub(super) fn safe(field: &Field, bound: &Bound, wanted: Wanted) -> u64 {
    let certain = |most| wanted.is_out_of_reach(bound, &field.all, &field.all, most);
    let (mut low, mut high) = (0, field.all.ballots);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if certain(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

/// Members of one bloc, and their ballots by field and pile.
#[derive(Default)]
struct Members {
    voters: BTreeSet<u32>,
    ballots: BTreeMap<(usize, usize), u64>,
}

/// The smallest bloc of which more than `safe` voted, and without which others are elected; and how
/// many blocs were left untried.
fn smallest_bloc<'a, T: Ord + Clone + 'a>(
    fields: &[&Field],
    safe: u64,
    of: impl Fn(u32) -> Option<&'a [T]>,
    mut effort: u64,
    decide: impl Fn(&[Left]) -> Vec<u32>,
) -> (Option<Bloc<T>>, u64) {
    let all: Vec<Left> = fields.iter().map(|field| field.all.clone()).collect();
    let before = set(&decide(&all));
    let mut blocs: Vec<(&T, Members)> = all_blocs(fields, of).into_iter().collect();
    blocs.retain(|(_, members)| members.voters.len() as u64 > safe);
    blocs.sort_by_key(|(who, members)| (members.voters.len(), *who));
    let cost = fields.iter().map(|field| field.cost()).sum();
    let mut tried = BTreeSet::new();
    let count = blocs.len();
    for (at, (who, members)) in blocs.into_iter().enumerate() {
        if !tried.insert(members.ballots.clone()) {
            continue;
        }
        effort = match effort.checked_sub(cost) {
            Some(effort) => effort,
            None => return (None, (count - at) as u64),
        };
        let mut left = all.clone();
        for (&(field, pile), &times) in &members.ballots {
            fields[field].take(&mut left[field], pile, times);
        }
        let winners = decide(&left);
        if set(&winners) != before {
            let voters = members.voters.len() as u64;
            return (Some(Bloc { who: who.clone(), voters, winners }), 0);
        }
    }
    (None, 0)
}

fn all_blocs<'a, T: Ord + 'a>(
    fields: &[&Field],
    of: impl Fn(u32) -> Option<&'a [T]>,
) -> BTreeMap<&'a T, Members> {
    let mut blocs: BTreeMap<&T, Members> = BTreeMap::new();
    for (field, at) in fields.iter().zip(0..) {
        for (pile, number) in field.piles.iter().zip(0..) {
            for &voter in &pile.voters {
                let groups: BTreeSet<&T> = of(voter).into_iter().flatten().collect();
                for who in groups {
                    let members = blocs.entry(who).or_default();
                    members.voters.insert(voter);
                    *members.ballots.entry((at, number)).or_default() += 1;
                }
            }
        }
    }
    blocs
}

/// What is wanted of the ballots that are left.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    /// That they elect others than all ballots do.
    Others,
    /// That they elect this option alone, which all ballots do not.
    Only(u32),
}

impl Wanted {
    fn is_met(self, field: &Field, left: &Left) -> bool {
        match self {
            Wanted::Others => field.flipped(left),
            Wanted::Only(option) => field.decide(left) == [option],
        }
    }

    /// Whether it is proven that no `most` ballots of `removable` make it so.
    fn is_out_of_reach(self, bound: &Bound, left: &Left, removable: &Left, most: u64) -> bool {
        let excluded = match self {
            Wanted::Others => false,
            Wanted::Only(option) => bound.excludes(option, left, removable, most),
        };
        excluded || bound.certain(left, removable, most)
    }
}

/// The fewest voters without whom what is left is as `wanted`.
pub(super) fn fewest(field: &Field, bound: &Bound, wanted: Wanted, effort: u64) -> VoterMargin {
    let safe = safe(field, bound, wanted);
    if safe == field.all.ballots {
        return VoterMargin::Never;
    }
    let found = attack(field, wanted, effort);
    let enough =
        found.as_ref().map_or(field.all.ballots + 1, |left| field.all.ballots - left.ballots);
    let mut search = Search::new(field, bound, wanted, effort);
    for size in safe + 1..enough {
        match search.exactly(size) {
            Ok(None) => {}
            Ok(Some(left)) => return VoterMargin::Exact(removal(field, &left)),
            Err(OutOfEffort) => {
                let found = found.map(|left| removal(field, &left));
                return VoterMargin::Between { at_least: size, found };
            }
        }
    }
    match found {
        Some(left) => VoterMargin::Exact(removal(field, &left)),
        None => VoterMargin::Never,
    }
}

fn removal(field: &Field, left: &Left) -> Removal {
    let gone = |(pile, &count): (&super::pile::Pile, &u64)| {
        // The last of the pile, as good as any other of them.
        pile.voters[count as usize..].to_vec()
    };
    let mut voters: Vec<u32> = field.piles.iter().zip(&left.counts).flat_map(gone).collect();
    voters.sort_unstable();
    Removal { voters, winners: field.decide(left) }
}

/// Tries to get what is wanted by removing those who prefer one option to another, for each elected
/// option (and the default option) and each other one, until the effort is spent. What is left after
/// the best try.
fn attack(field: &Field, wanted: Wanted, mut effort: u64) -> Option<Left> {
    let options = field.election.options.len();
    let from = field.elected | field.election.default.map_or(0, |default| 1 << default);
    let mut best: Option<Left> = None;
    for a in super::schulze::members(from).map(|option| option as usize) {
        for b in (0..options).filter(|&b| b != a) {
            let most =
                best.as_ref().map_or(field.all.ballots, |l| field.all.ballots - l.ballots - 1);
            let order = order_of_removal(field, a, b);
            best = remove_until(field, &order, wanted, most, &mut effort).or(best);
        }
    }
    best
}

/// The piles that prefer `a` to `b`; first those that like `a` best and `b` least.
fn order_of_removal(field: &Field, a: usize, b: usize) -> Vec<usize> {
    let prefers = |pile: usize| &field.piles[pile].prefers;
    let mut order: Vec<usize> =
        (0..field.piles.len()).filter(|&pile| prefers(pile)[a] >> b & 1 == 1).collect();
    order.sort_by_key(|&pile| {
        (prefers(pile)[b].count_ones(), 64 - prefers(pile)[a].count_ones(), pile)
    });
    order
}

/// Removes ballots in this order until the result is as wanted, at most `most`: doubles the number, then
/// halves the last stretch. What is found is real, whether or not fewer of the same order would do.
fn remove_until(
    field: &Field,
    order: &[usize],
    wanted: Wanted,
    most: u64,
    effort: &mut u64,
) -> Option<Left> {
    let mut kept = field.all.clone();
    let mut step = 1;
    let flipped = loop {
        *effort = effort.checked_sub(field.cost())?;
        let gone = field.all.ballots - kept.ballots;
        let next = remove(field, &kept, order, step.min(most.saturating_sub(gone)));
        if next.ballots == kept.ballots {
            return None;
        }
        if wanted.is_met(field, &next) {
            break next;
        }
        kept = next;
        step *= 2;
    };
    let mut flipped = flipped;
    while kept.ballots - flipped.ballots > 1 && *effort > field.cost() {
        *effort -= field.cost();
        let middle = remove(field, &kept, order, (kept.ballots - flipped.ballots) / 2);
        if wanted.is_met(field, &middle) { flipped = middle } else { kept = middle }
    }
    Some(flipped)
}

/// `left` without the next `times` ballots of the order, or what there is.
fn remove(field: &Field, left: &Left, order: &[usize], mut times: u64) -> Left {
    let mut left = left.clone();
    for &pile in order {
        let now = left.counts[pile].min(times);
        field.take(&mut left, pile, now);
        times -= now;
        if times == 0 {
            break;
        }
    }
    left
}

struct OutOfEffort;

/// How many piles a search takes ballots from at once. A search that wants more would not end.
const MAX_DEPTH: u32 = 64;

/// Tries all removals of a size, but for those that the bound excludes.
struct Search<'a> {
    field: &'a Field<'a>,
    bound: &'a Bound<'a>,
    /// Piles, those that speak most for the elected first.
    order: Vec<usize>,
    wanted: Wanted,
    effort: u64,
    /// Of one step.
    cost: u64,
}

impl<'a> Search<'a> {
    fn new(field: &'a Field<'a>, bound: &'a Bound<'a>, wanted: Wanted, effort: u64) -> Self {
        let voice = |pile: usize| {
            let prefers = &field.piles[pile].prefers;
            let over_others =
                |&option: &u32| (prefers[option as usize] & !field.elected).count_ones();
            field.winners.iter().map(over_others).sum::<u32>()
        };
        let mut order: Vec<usize> = (0..field.piles.len()).collect();
        order.sort_by_key(|&pile| (u32::MAX - voice(pile), pile));
        Self { field, bound, order, wanted, effort, cost: field.cost() }
    }

    /// What is left after a removal of exactly `size` ballots that does what is wanted, if there is one.
    /// All smaller ones are known not to.
    fn exactly(&mut self, size: u64) -> Result<Option<Left>, OutOfEffort> {
        let all = &self.field.all;
        self.from(0, all, all.clone(), size, 0)
    }

    /// Removes `size` ballots of the piles from place `at` on, which are those `removable`.
    fn from(
        &mut self,
        at: usize,
        left: &Left,
        mut removable: Left,
        size: u64,
        depth: u32,
    ) -> Result<Option<Left>, OutOfEffort> {
        if depth > MAX_DEPTH {
            return Err(OutOfEffort);
        }
        for at in at..self.order.len() {
            self.effort = self.effort.checked_sub(self.cost).ok_or(OutOfEffort)?;
            if removable.ballots < size
                || self.wanted.is_out_of_reach(self.bound, left, &removable, size)
            {
                return Ok(None);
            }
            let pile = self.order[at];
            let here = removable.counts[pile];
            self.field.take(&mut removable, pile, here);
            for times in (1..=here.min(size)).rev() {
                self.effort = self.effort.checked_sub(self.cost).ok_or(OutOfEffort)?;
                let mut next = left.clone();
                self.field.take(&mut next, pile, times);
                if times == size {
                    if self.wanted.is_met(self.field, &next) {
                        return Ok(Some(next));
                    }
                    continue;
                }
                let found = self.from(at + 1, &next, removable.clone(), size - times, depth + 1)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }
}
