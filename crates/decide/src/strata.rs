//! Panels by lot from members who differ in two things, at a cost that does not grow with their number.
//!
//! People are sorted once by house and employer. Whom a quota speaks of is then a range of that order,
//! and everybody else is what lies between the ranges: a draw looks at quotas and seats, not at
//! people. Whether any panel meets the quotas is found by a flow, and how much is counted and drawn is
//! bounded by counted steps, so that a question which many would have to work on costs little or is
//! refused when it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::flow::feasible;
use super::lot::Lot;
use super::quotas::{Quotas, Share};
use super::sortition::SortitionError;
use super::ways::{Cell, Uncounted, Ways};

/// How much counting a draw may do, in the unit of [`Ways::count`]: some milliseconds.
const COUNTING: u64 = 4_000_000;
/// How many numbers may be looked at while panels are drawn until one meets all quotas.
const DRAWING: u64 = 200_000;
/// How many are drawn to stand in.
const STAND_INS: usize = 16;

/// People by place, sorted by house and employer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strata {
    /// Places, sorted by house, employer and place.
    order: Vec<u32>,
    /// Where in `order` each place is.
    at: Vec<u32>,
    houses: BTreeMap<String, Range<usize>>,
    employers: BTreeMap<(String, String), Range<usize>>,
}

/// Who was drawn, by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The members, in order.
    pub members: Vec<u32>,
    /// Some of the others, in the order in which they are asked to stand in.
    pub stand_ins: Vec<u32>,
    /// How many panels were possible, in decimal, as far as the quotas were counted.
    pub possible: String,
    /// How many of house and employer were counted; the others were met by drawing again.
    pub counted: usize,
    /// How many panels were drawn until all quotas were met.
    pub tries: u32,
}

/// People whom the same quotas speak of.
struct Group {
    /// Numbers of the quotas, those of houses first.
    quotas: Vec<usize>,
    /// Parts of the order.
    parts: Vec<Range<usize>>,
}

impl Strata {
    /// Sorts people, given by house and employer in the order of their places.
    pub fn new<'a>(people: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut sorted: Vec<(&str, &str, u32)> =
            people.zip(0..).map(|((house, employer), place)| (house, employer, place)).collect();
        sorted.sort_unstable();
        let mut strata = Self { at: vec![0; sorted.len()], ..Self::default() };
        for (at, &(house, employer, place)) in sorted.iter().enumerate() {
            let (house, key) = (house.to_owned(), (house.to_owned(), employer.to_owned()));
            strata.houses.entry(house).or_insert(at..at).end = at + 1;
            strata.employers.entry(key).or_insert(at..at).end = at + 1;
            strata.order.push(place);
            strata.at[place as usize] = at as u32;
        }
        strata
    }

    /// Whether a panel of these people meets the quotas.
    ///
    /// Errors: [`SortitionError::BadQuota`], or [`SortitionError::Impossible`].
    pub fn check(&self, quotas: &Quotas) -> Result<(), SortitionError> {
        self.feasible_groups(quotas, &BTreeSet::new()).map(drop)
    }

    /// People by the quotas that speak of them, if a panel of them meets the quotas.
    fn feasible_groups(
        &self,
        quotas: &Quotas,
        without: &BTreeSet<u32>,
    ) -> Result<Vec<Group>, SortitionError> {
        quotas.check()?;
        let groups = self.groups(quotas, without);
        let cells: Vec<Cell> = groups.iter().map(Group::cell).collect();
        if feasible(&cells, quotas) { Ok(groups) } else { Err(SortitionError::Impossible) }
    }

    /// Draws the panel that `seed` says, without the people of these places; and how many numbers
    /// were looked at for it.
    ///
    /// Errors: no panel meets the quotas, or none was found within the bound.
    pub fn draw(
        &self,
        quotas: &Quotas,
        without: &BTreeSet<u32>,
        seed: &[u8; 32],
    ) -> Result<(Drawn, u64), SortitionError> {
        let groups = self.feasible_groups(quotas, without)?;
        let shares: Vec<&Share> = quotas.houses.iter().chain(&quotas.employers).collect();
        let houses = quotas.houses.len();
        let mut spent = 0;
        // With both counted, with houses, with nothing: what is not counted is met by drawing again.
        for (counted, first) in [(2, shares.len()), (1, houses), (0, 0)] {
            let groups = merged(&groups, first);
            let cells: Vec<Cell> = groups.iter().map(Group::cell).collect();
            // Without quotas there is one cell, and counting is as many steps as seats.
            let effort = if counted == 0 { u64::MAX } else { COUNTING };
            let ways = match Ways::count(&cells, &shares[..first], quotas.size, effort) {
                Ok(ways) => ways,
                Err(Uncounted::NoPanel) => return Err(SortitionError::Impossible),
                Err(Uncounted::Effort) => {
                    spent += COUNTING / 200;
                    continue;
                }
            };
            let draw = Draw { strata: self, groups: &groups, cells: &cells, ways: &ways };
            let (drawn, steps) = draw.until_met(quotas, counted, seed)?;
            return Ok((drawn, spent + steps));
        }
        Err(SortitionError::NotFound)
    }

    /// People by the quotas that speak of them.
    fn groups(&self, quotas: &Quotas, without: &BTreeSet<u32>) -> Vec<Group> {
        let known = without.iter().filter_map(|&place| self.at.get(place as usize));
        let mut gone: Vec<usize> = known.map(|&at| at as usize).collect();
        gone.sort_unstable();
        let mut groups = Vec::new();
        for (house, all) in &self.houses {
            let of_house = quotas.houses.iter().position(|share| share.value == *house);
            let mut named: Vec<(Range<usize>, usize)> = Vec::new();
            for (number, share) in quotas.employers.iter().enumerate() {
                let key = (house.clone(), share.value.clone());
                named.extend(self.employers.get(&key).map(|range| (range.clone(), number)));
            }
            named.sort_unstable_by_key(|(range, _)| range.start);
            let holes: Vec<Range<usize>> = named.iter().map(|(range, _)| range.clone()).collect();
            let others = without_holes(all.clone(), &holes);
            let mut add = |parts: Vec<Range<usize>>, employer: Option<usize>| {
                let parts: Vec<_> =
                    parts.into_iter().flat_map(|p| without_points(p, &gone)).collect();
                let employer = employer.map(|number| quotas.houses.len() + number);
                let quotas = of_house.into_iter().chain(employer).collect();
                groups.push(Group { quotas, parts });
            };
            add(others, None);
            named.into_iter().for_each(|(range, number)| add(vec![range], Some(number)));
        }
        groups
    }
}

impl Quotas {
    fn check(&self) -> Result<(), SortitionError> {
        for (attribute, shares) in [("house", &self.houses), ("employer", &self.employers)] {
            let mut values = BTreeSet::new();
            for Share { value, min, max } in shares {
                if !values.insert(value) || min > max {
                    let (attribute, value) = (attribute.to_owned(), value.clone());
                    return Err(SortitionError::BadQuota { attribute, value });
                }
            }
        }
        Ok(())
    }

    /// Whether the quotas from number `first` on are met by so many people of each.
    fn met(&self, counts: &[u32], first: usize) -> bool {
        let shares = self.houses.iter().chain(&self.employers);
        let mut pairs = shares.zip(counts).skip(first);
        pairs.all(|(share, count)| (share.min..=share.max).contains(count))
    }
}

impl Group {
    fn people(&self) -> usize {
        self.parts.iter().map(ExactSizeIterator::len).sum()
    }

    fn cell(&self) -> Cell {
        Cell { quotas: self.quotas.clone(), people: self.people() }
    }

    /// Where in the order its person number `at` is.
    fn get(&self, mut at: usize) -> usize {
        for part in &self.parts {
            if at < part.len() {
                return part.start + at;
            }
            at -= part.len();
        }
        unreachable!("the number is below the number of people")
    }
}

/// The groups by their quotas below number `first` alone, each with its people.
fn merged(groups: &[Group], first: usize) -> Vec<Group> {
    let mut merged: BTreeMap<Vec<usize>, Vec<Range<usize>>> = BTreeMap::new();
    for group in groups {
        let quotas = group.quotas.iter().copied().filter(|&quota| quota < first).collect();
        merged.entry(quotas).or_default().extend(group.parts.iter().cloned());
    }
    merged.into_iter().map(|(quotas, parts)| Group { quotas, parts }).collect()
}

struct Draw<'a> {
    strata: &'a Strata,
    groups: &'a [Group],
    cells: &'a [Cell],
    ways: &'a Ways,
}

impl Draw<'_> {
    /// Draws panels until one meets the quotas that were not counted.
    fn until_met(
        &self,
        quotas: &Quotas,
        counted: usize,
        seed: &[u8; 32],
    ) -> Result<(Drawn, u64), SortitionError> {
        let first = [0, quotas.houses.len(), quotas.houses.len() + quotas.employers.len()][counted];
        let each = self.ways.cost() + 8 * u64::from(quotas.size) + 1;
        let mut lot = Lot::new(seed);
        let mut tries = 0;
        while u64::from(tries) * each < DRAWING {
            tries += 1;
            let picked = self.ways.draw(self.cells, &mut lot);
            let at = picked.iter().map(|&(group, at)| self.groups[group].get(at));
            let mut members: Vec<u32> = at.map(|at| self.strata.order[at]).collect();
            if !quotas.met(&self.counts(quotas, &members), first) {
                continue;
            }
            members.sort_unstable();
            let stand_ins = self.stand_ins(&members, &mut lot);
            let possible = self.ways.total().to_string();
            let drawn = Drawn { members, stand_ins, possible, counted, tries };
            return Ok((drawn, u64::from(tries) * each));
        }
        Err(SortitionError::NotFound)
    }

    /// How many of these people each quota speaks of.
    fn counts(&self, quotas: &Quotas, members: &[u32]) -> Vec<u32> {
        let at: Vec<usize> =
            members.iter().map(|&place| self.strata.at[place as usize] as usize).collect();
        let inside =
            |range: &Range<usize>| at.iter().filter(|at| range.contains(at)).count() as u32;
        let (houses, employers) = (&self.strata.houses, &self.strata.employers);
        let of_house = |share: &Share| houses.get(&share.value).map_or(0, inside);
        let of_employer = |share: &Share| {
            let key = |house: &String| (house.clone(), share.value.clone());
            houses.keys().filter_map(|house| employers.get(&key(house))).map(inside).sum()
        };
        let counts = quotas.houses.iter().map(of_house);
        counts.chain(quotas.employers.iter().map(of_employer)).collect()
    }

    /// Some of those who were not drawn, in a drawn order.
    fn stand_ins(&self, members: &[u32], lot: &mut Lot) -> Vec<u32> {
        let all = Group {
            quotas: Vec::new(),
            parts: self.groups.iter().flat_map(|group| group.parts.iter().cloned()).collect(),
        };
        let people = all.people();
        let picked = lot.pick(people, people.min(members.len() + STAND_INS));
        let places = picked.into_iter().map(|at| self.strata.order[all.get(at)]);
        let others = places.filter(|place| members.binary_search(place).is_err());
        others.take(STAND_INS).collect()
    }
}

/// What is left of a range without others inside it, which are in order.
fn without_holes(all: Range<usize>, holes: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut parts, mut start) = (Vec::new(), all.start);
    for hole in holes {
        parts.push(start..hole.start);
        start = hole.end;
    }
    parts.push(start..all.end);
    parts.retain(|part| !part.is_empty());
    parts
}

/// What is left of a range without points, which are in order.
fn without_points(all: Range<usize>, points: &[usize]) -> Vec<Range<usize>> {
    let first = points.partition_point(|point| *point < all.start);
    let last = points.partition_point(|point| *point < all.end);
    let holes: Vec<Range<usize>> = points[first..last].iter().map(|&at| at..at + 1).collect();
    without_holes(all, &holes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(value: &str, min: u32, max: u32) -> Share {
        Share { value: value.to_owned(), min, max }
    }

    /// Nine people: houses a (0 to 4) and b (5 to 8), of whom every third works for Acme.
    fn people() -> Strata {
        let house = |n: u32| if n < 5 { "a" } else { "b" };
        Strata::new((0..9).map(|n| (house(n), if n % 3 == 0 { "Acme" } else { "" })))
    }

    fn feasible_panels(quotas: &Quotas, without: &BTreeSet<u32>) -> BTreeSet<Vec<u32>> {
        let panel = |set: u32| (0..9).filter(|at| set >> at & 1 == 1).collect::<Vec<u32>>();
        let fits = |panel: &Vec<u32>| {
            let a = panel.iter().filter(|n| **n < 5).count() as u32;
            let acme = panel.iter().filter(|n| **n % 3 == 0).count() as u32;
            panel.len() as u32 == quotas.size
                && panel.iter().all(|n| !without.contains(n))
                && quotas.houses.iter().all(|s| (s.min..=s.max).contains(&a))
                && quotas.employers.iter().all(|s| (s.min..=s.max).contains(&acme))
        };
        (0..1 << 9).map(panel).filter(fits).collect()
    }

    /// Mean n, deviation √2n: five deviations.
    #[test]
    fn all_feasible_panels_are_equally_likely() {
        let strata = people();
        let quotas = Quotas {
            houses: vec![share("a", 1, 2)],
            employers: vec![share("Acme", 1, 1)],
            size: 4,
        };
        for without in [BTreeSet::new(), BTreeSet::from([1, 6])] {
            let feasible = feasible_panels(&quotas, &without);
            let mut seen: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
            for number in 0..50 * feasible.len() as u32 {
                let seed = *blake3::hash(&number.to_le_bytes()).as_bytes();
                let (drawn, _) = strata.draw(&quotas, &without, &seed).expect("there are panels");
                assert_eq!((drawn.counted, drawn.tries), (2, 1));
                assert_eq!(drawn.possible, feasible.len().to_string());
                let others = 9 - without.len() - 4;
                assert_eq!(drawn.stand_ins.len(), others);
                let out = |n: &u32| drawn.members.contains(n) || without.contains(n);
                assert!(!drawn.stand_ins.iter().any(out));
                *seen.entry(drawn.members).or_default() += 1.0;
            }
            assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), feasible);
            let chi: f64 = seen.values().map(|count| (count - 50.0).powi(2) / 50.0).sum();
            let freedom = feasible.len() as f64 - 1.0;
            assert!(chi < freedom + 5.0 * (2.0 * freedom).sqrt(), "{chi} of {freedom}");
        }
    }

    /// What the flow says is what trying all panels says.
    #[test]
    fn quotas_are_refused_exactly_if_no_panel_meets_them() {
        let strata = people();
        let mut counts = [0, 0];
        for (a, acme) in (0..6).flat_map(|a| (0..6).map(move |acme| (a, acme))) {
            for size in 0..9 {
                for slack in 0..2 {
                    let quotas = Quotas {
                        houses: vec![share("a", a, a + slack)],
                        employers: vec![share("Acme", acme, acme + slack)],
                        size,
                    };
                    let none = feasible_panels(&quotas, &BTreeSet::new()).is_empty();
                    assert_eq!(strata.check(&quotas).is_err(), none, "{quotas:?}");
                    counts[usize::from(none)] += 1;
                }
            }
        }
        assert!(counts[0] > 50 && counts[1] > 50, "{counts:?}");
    }

    #[test]
    fn what_a_draw_looks_at_does_not_grow_with_the_people() {
        let employer: Vec<String> = (0..40).map(|n| format!("company {n}")).collect();
        let shares: Vec<Share> = employer[..30].iter().map(|e| share(e, 0, 3)).collect();
        let houses = ["users", "contributors"];
        let quotas = Quotas { houses: vec![share("users", 1, 60)], employers: shares, size: 64 };
        let mut cost = Vec::new();
        for people in [1_000usize, 100_000] {
            let person = |n: usize| (houses[n % 2], employer[n % 40].as_str());
            let strata = Strata::new((0..people).map(person));
            let (drawn, steps) = strata.draw(&quotas, &BTreeSet::new(), &[7; 32]).expect("drawn");
            assert_eq!(drawn.members.len(), 64);
            cost.push(steps);
        }
        assert!(
            cost.iter().all(|steps| *steps <= DRAWING + 2 * COUNTING / 200 + 2_000),
            "{cost:?}"
        );
    }
}
