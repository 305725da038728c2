//! When no removal of so many ballots can change the result.
//!
//! Removing m ballots lowers each V(a, b) by at most m, and by no more than there are removable
//! ballots that prefer a to b. If the same options are elected whatever the matrix inside these bounds,
//! then no removal flips the result. That proves lower bounds; it finds no flip.

use super::election::{Election, Method};
use super::field::Field;
use super::left::Left;
use super::outcome::Log;
use super::schulze::{self, Paths, link, members};
use super::tie::TieOrder;

/// What does not change while ballots are removed.
pub(super) struct Bound<'a> {
    field: &'a Field<'a>,
    ties: TieOrder,
    /// Options in the order in which seats were offered, with all ballots; the elected ones first
    /// where no cap lets anybody be skipped.
    offered: Vec<u32>,
}

impl<'a> Bound<'a> {
    pub(super) fn new(field: &'a Field<'a>) -> Self {
        let casting = field.piles.iter().find(|pile| pile.casting);
        let ties = TieOrder::new(field.election, casting.map(|pile| pile.groups.as_slice()));
        let offered = match field.election.employer_cap {
            None => field.winners.clone(),
            Some(_) => offered(field, &ties),
        };
        Self { field, ties, offered }
    }

    /// Whether the elected stay the same if any `most` ballots, or fewer, are taken from `left`, all of
    /// them among those that `removable` counts. False is no proof of anything.
    pub(super) fn certain(&self, left: &Left, removable: &Left, most: u64) -> bool {
        let election = self.field.election;
        if self.asks_turnout() {
            if !election.quorum.met(left.ballots, election.electors) {
                return true;
            }
            if !election.quorum.met(left.ballots.saturating_sub(most), election.electors) {
                return false;
            }
        }
        if election.method == Method::Stv {
            return false;
        }
        let limits = Limits::new(self.field, left, removable, most);
        if election.default.is_some_and(|default| self.field.elected == 1 << default) {
            return limits.possible == 0;
        }
        self.same_seats(&limits)
    }

    /// Whether this option is surely not elected if any `most` ballots of `removable`, or fewer, are
    /// taken from `left`, for want of its quorum or its majority. False is no proof of anything.
    pub(super) fn excludes(&self, option: u32, left: &Left, removable: &Left, most: u64) -> bool {
        let (_, possible) = admission(self.field.election, &Reach { left, removable, most });
        possible >> option & 1 == 0
    }

    /// Whether the quorum is asked of the number of ballots.
    fn asks_turnout(&self) -> bool {
        let election = self.field.election;
        election.default.is_none() && election.method != Method::Approval
    }

    /// Everybody who was offered a seat is surely admitted, and surely before all who come later.
    fn same_seats(&self, limits: &Limits) -> bool {
        let mut later = limits.possible;
        let vacant = (self.field.winners.len() as u32) < self.field.election.seats;
        for &option in &self.offered {
            later &= !(1 << option);
        }
        if vacant && later != 0 {
            return false;
        }
        // Without a cap the order among the elected is free; with one, it decides who is skipped.
        let ordered = self.field.election.employer_cap.is_some();
        for (at, &option) in self.offered.iter().enumerate() {
            let rest = if ordered { &self.offered[at + 1..] } else { &[] };
            let mut others = members(later).chain(rest.iter().copied());
            let before = |other| limits.surely_before(option, other, &self.ties);
            if limits.sure >> option & 1 == 0 || !others.all(before) {
                return false;
            }
        }
        true
    }
}

/// The order in which seats are offered until all are given.
fn offered(field: &Field, ties: &TieOrder) -> Vec<u32> {
    let (election, all) = (field.election, &field.all);
    let mut log = Log::silent();
    let default = election.default.map_or(0, |default| 1 << default);
    let mut order = Vec::new();
    match election.method {
        Method::Approval => {
            order = members(everything(election) & !default).collect();
            ties.sort(&mut order);
            order.sort_by_key(|&option| u64::MAX - all.approvals[option as usize]);
            let limits = Limits::new(field, all, all, 0);
            order.retain(|&option| limits.sure >> option & 1 == 1);
        }
        _ => {
            let left = schulze::admitted(election, election.quorum, &all.matrix, &mut log);
            schulze::walk(&all.matrix, left & !default, ties, &mut log, |option, _| {
                order.push(option);
                true
            });
        }
    }
    if field.winners.len() as u32 == election.seats {
        let last = order.iter().rposition(|option| field.winners.contains(option));
        order.truncate(last.map_or(0, |at| at + 1));
    }
    order
}

fn everything(election: &Election) -> u64 {
    u64::MAX >> (64 - election.options.len().clamp(1, 64))
}

/// What can be said of every matrix within reach. Neither set has the default option.
struct Limits {
    /// Surely admitted.
    sure: u64,
    /// Possibly admitted.
    possible: u64,
    compare: Compare,
}

enum Compare {
    /// The least and the greatest strength of paths.
    Paths(Paths, Paths),
    /// The least and the greatest approvals.
    Approvals(Vec<u64>, Vec<u64>),
}

impl Limits {
    fn new(field: &Field, left: &Left, removable: &Left, most: u64) -> Self {
        let reach = Reach { left, removable, most };
        let (sure, possible) = admission(field.election, &reach);
        let compare = match field.election.method {
            Method::Approval => {
                let least = (0..left.approvals.len()).map(|o| reach.least_approvals(o)).collect();
                Compare::Approvals(least, left.approvals.clone())
            }
            _ => {
                let count = field.election.options.len();
                let (least, most) = reach.links(count, possible);
                Compare::Paths(
                    Paths::widest(count, least, sure),
                    Paths::widest(count, most, possible),
                )
            }
        };
        Self { sure, possible, compare }
    }

    /// Whether `a` gets the seat rather than `b`, or before it, whatever is removed.
    fn surely_before(&self, a: u32, b: u32, ties: &TieOrder) -> bool {
        let order = match &self.compare {
            Compare::Paths(least, most) => least.strongest(a, b).cmp(&most.strongest(b, a)),
            Compare::Approvals(least, most) => least[a as usize].cmp(&most[b as usize]),
        };
        order.is_gt() || (order.is_eq() && ties.surely_ahead(a, b))
    }
}

/// At most `most` of the ballots `removable` are removed from `left`.
struct Reach<'a> {
    left: &'a Left,
    removable: &'a Left,
    most: u64,
}

impl Reach<'_> {
    /// The least that V(a, b) can become.
    fn least(&self, a: usize, b: usize) -> u64 {
        self.left.matrix.votes(a, b) - self.removable.matrix.votes(a, b).min(self.most)
    }

    fn least_approvals(&self, option: usize) -> u64 {
        self.left.approvals[option] - self.removable.approvals[option].min(self.most)
    }

    /// The least and the greatest strength of each link among the options `possible`.
    fn links(
        &self,
        count: usize,
        possible: u64,
    ) -> (Vec<schulze::Strength>, Vec<schulze::Strength>) {
        let mut least = vec![(0, 0); count * count];
        let mut most = least.clone();
        for a in members(possible).map(|option| option as usize) {
            for b in members(possible & !(1 << a)).map(|option| option as usize) {
                let votes = &self.left.matrix;
                least[a * count + b] = link(self.least(a, b), votes.votes(b, a));
                most[a * count + b] = link(votes.votes(a, b), self.least(b, a));
            }
        }
        (least, most)
    }
}

/// Who is surely and who is possibly admitted.
fn admission(election: &Election, reach: &Reach) -> (u64, u64) {
    let all = everything(election) & !election.default.map_or(0, |default| 1 << default);
    let (mut sure, mut possible) = (all, all);
    for option in members(all) {
        let at = option as usize;
        let mut limit = |least: bool, most: bool| {
            sure &= !(u64::from(!least) << option);
            possible &= !(u64::from(!most) << option);
        };
        let met = |votes| election.quorum.met(votes, election.electors);
        if election.method == Method::Approval {
            limit(met(reach.least_approvals(at)), met(reach.left.approvals[at]));
        }
        let Some(default) = election.default.map(|default| default as usize) else { continue };
        let (most_for, most_against) =
            (reach.left.matrix.votes(at, default), reach.left.matrix.votes(default, at));
        let (least_for, least_against) = (reach.least(at, default), reach.least(default, at));
        if election.method != Method::Approval {
            limit(met(least_for), met(most_for));
        }
        let ratio = election.options[at].ratio;
        let passes = |votes, against| votes > against && ratio.reached(votes, against);
        limit(passes(least_for, most_against), passes(most_for, least_against));
    }
    (sure, possible)
}
