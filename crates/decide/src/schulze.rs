//! Schulze as Debian's constitution defines it (A.5), and the order it gives.

use super::election::{Election, Quorum};
use super::outcome::{Defeat, Log, Step, TiePurpose};
use super::pairwise::Pairwise;
use super::tie::TieOrder;

/// The winner by A.5 among `left` (a set of options, not empty).
pub(super) fn winner(matrix: &Pairwise, left: u64, ties: &TieOrder, log: &mut Log) -> u32 {
    let mut defeats = defeats(matrix, left);
    log.say(|| Step::Defeats { defeats: defeats.clone() });
    loop {
        let set = schwartz(&defeats, left, matrix.options());
        log.say(|| Step::Schwartz { set: members(set).collect() });
        let inside = |d: &Defeat| set >> d.winner & 1 == 1 && set >> d.loser & 1 == 1;
        let Some(weakest) = defeats.iter().filter(|d| inside(d)).map(strength).min() else {
            return ties.pick(members(set).collect(), TiePurpose::First, log);
        };
        let drop = |d: &Defeat| inside(d) && strength(d) == weakest;
        log.say(|| Step::WeakestDropped {
            defeats: defeats.iter().filter(|d| drop(d)).copied().collect(),
        });
        defeats.retain(|d| !drop(d));
    }
}

/// Drops options below `quorum` or without their majority over the default option. Without a default
/// option all stay.
pub(super) fn admitted(
    election: &Election,
    quorum: Quorum,
    matrix: &Pairwise,
    log: &mut Log,
) -> u64 {
    let mut left = u64::MAX >> (64 - matrix.options().clamp(1, 64));
    let Some(default) = election.default else { return left };
    let d = default as usize;
    for option in members(left & !(1 << default)) {
        let (votes, against) = (matrix.votes(option as usize, d), matrix.votes(d, option as usize));
        let ratio = election.options[option as usize].ratio;
        if !quorum.met(votes, election.electors) {
            left &= !(1 << option);
            log.say(|| {
                let least = quorum.least(election.electors);
                Step::BelowQuorum { option, votes, least }
            });
        } else if votes <= against || !ratio.reached(votes, against) {
            left &= !(1 << option);
            log.say(|| Step::BelowMajority { option, votes, against, ratio });
        }
    }
    left
}

/// Walks down the Schulze order by winning votes of the options `left`: `take` is offered one after
/// another and says whether to go on.
pub(super) fn walk(
    matrix: &Pairwise,
    mut left: u64,
    ties: &TieOrder,
    log: &mut Log,
    mut take: impl FnMut(u32, &mut Log) -> bool,
) {
    let paths = Paths::new(matrix.options(), &defeats(matrix, left));
    while left != 0 {
        let unbeaten = |&x: &u32| members(left).all(|y| !paths.beats(y, x));
        let first: Vec<u32> = members(left).filter(unbeaten).collect();
        let next = ties.pick(first, TiePurpose::First, log);
        log.say(|| Step::Next { option: next });
        left &= !(1 << next);
        if !take(next, log) {
            return;
        }
    }
}

/// The strength of the strongest path of defeats between any two options. A path is as strong as its
/// weakest defeat; a defeat is stronger by more votes for it, then by fewer against.
pub(super) struct Paths {
    options: usize,
    strength: Vec<Strength>,
}

/// Votes for, and what is left of the largest number after the votes against. Zero is no path.
pub(super) type Strength = (u64, u64);

/// The strength of a link of `votes` for and `against` against.
pub(super) fn link(votes: u64, against: u64) -> Strength {
    if votes > against { (votes, u64::MAX - against) } else { (0, 0) }
}

impl Paths {
    pub(super) fn new(options: usize, defeats: &[Defeat]) -> Self {
        let mut strength = vec![(0, 0); options * options];
        for defeat in defeats {
            let at = defeat.winner as usize * options + defeat.loser as usize;
            strength[at] = self::strength(defeat);
        }
        Self::widest(options, strength, u64::MAX)
    }

    /// The strongest paths over links of the given strengths, by way of options of `through` only.
    pub(super) fn widest(options: usize, mut strength: Vec<Strength>, through: u64) -> Self {
        for middle in members(through).map(|option| option as usize).take_while(|&m| m < options) {
            for from in 0..options {
                let first = strength[from * options + middle];
                if first == (0, 0) || from == middle {
                    continue;
                }
                for to in 0..options {
                    let path = first.min(strength[middle * options + to]);
                    let known = &mut strength[from * options + to];
                    *known = path.max(*known);
                }
            }
        }
        Self { options, strength }
    }

    /// The strongest path from `a` to `b`.
    pub(super) fn strongest(&self, a: u32, b: u32) -> Strength {
        self.strength[a as usize * self.options + b as usize]
    }

    /// Whether the strongest path from `a` to `b` is stronger than that from `b` to `a`.
    pub(super) fn beats(&self, a: u32, b: u32) -> bool {
        a != b && self.strongest(a, b) > self.strongest(b, a)
    }
}

/// The members of a set of options, in order.
pub(super) fn members(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |&option| set >> option & 1 == 1)
}

fn strength(defeat: &Defeat) -> Strength {
    link(defeat.votes, defeat.against)
}

/// All pairs of which one is preferred by more.
fn defeats(matrix: &Pairwise, left: u64) -> Vec<Defeat> {
    let mut found = Vec::new();
    for winner in members(left) {
        for loser in members(left) {
            let votes = matrix.votes(winner as usize, loser as usize);
            let against = matrix.votes(loser as usize, winner as usize);
            if winner != loser && votes > against {
                found.push(Defeat { winner, loser, votes, against });
            }
        }
    }
    found
}

/// The options that transitively defeat whoever transitively defeats them.
fn schwartz(defeats: &[Defeat], left: u64, options: usize) -> u64 {
    let mut reach = vec![0u64; options];
    for defeat in defeats {
        reach[defeat.winner as usize] |= 1 << defeat.loser;
    }
    for middle in 0..options {
        let through = reach[middle];
        for row in &mut reach {
            if *row >> middle & 1 == 1 {
                *row |= through;
            }
        }
    }
    let answered = |&a: &u32| {
        members(left & !(1 << a))
            .all(|b| reach[b as usize] >> a & 1 == 0 || reach[a as usize] >> b & 1 == 1)
    };
    members(left).filter(answered).fold(0, |set, a| set | 1 << a)
}
