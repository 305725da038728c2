//! Counting panels by the people they take from each cell.

use std::collections::BTreeMap;

use num_bigint::BigUint;

use super::lot::Lot;
use super::quotas::Share;

/// People whom the same quotas count.
pub(super) struct Cell {
    /// Which, by number.
    pub(super) quotas: Vec<usize>,
    /// How many.
    pub(super) people: usize,
}

/// Why there is nothing to draw from.
pub(super) enum Uncounted {
    /// It is too much work.
    Effort,
    /// No panel meets the quotas.
    NoPanel,
}

/// How many people each quota has, and last how many there are.
type Counts = Vec<u32>;

/// In how many ways people of the first cells give such counts.
pub(super) struct Ways {
    /// After each cell; the first is before any.
    after: Vec<BTreeMap<Counts, BigUint>>,
    /// For each cell, the number of ways to take 0, 1, 2 … of it.
    choices: Vec<Vec<BigUint>>,
}

impl Ways {
    /// Counts panels of `size` that meet the quotas, with no more than `effort` (about one for each
    /// multiplication of machine words).
    pub(super) fn count(
        cells: &[Cell],
        quotas: &[&Share],
        size: u32,
        mut effort: u64,
    ) -> Result<Self, Uncounted> {
        let start = BTreeMap::from([(vec![0; quotas.len() + 1], BigUint::from(1u8))]);
        let mut ways = Self { after: vec![start], choices: Vec::new() };
        for cell in cells {
            let choices = binomials(cell.people, size);
            let before = ways.after.last().expect("there is a start");
            let mut after: BTreeMap<Counts, BigUint> = BTreeMap::new();
            for (counts, so_far) in before {
                for (taken, choices) in (0u32..).zip(&choices) {
                    let counts = cell.take(counts, taken);
                    let over = quotas.iter().zip(&counts).any(|(share, count)| *count > share.max);
                    if over || counts[quotas.len()] > size {
                        break;
                    }
                    let words = |number: &BigUint| number.bits() / 64 + 1;
                    let cost = words(so_far) * words(choices) + 200;
                    effort = effort.checked_sub(cost).ok_or(Uncounted::Effort)?;
                    *after.entry(counts).or_default() += so_far * choices;
                }
            }
            ways.choices.push(choices);
            ways.after.push(after);
        }
        let last = ways.after.last_mut().expect("there is a start");
        last.retain(|counts, _| {
            counts[quotas.len()] == size
                && quotas.iter().zip(counts).all(|(share, count)| *count >= share.min)
        });
        if last.is_empty() { Err(Uncounted::NoPanel) } else { Ok(ways) }
    }

    /// What a draw costs, in numbers that are looked at.
    pub(super) fn cost(&self) -> u64 {
        let last = self.after.last().map_or(0, BTreeMap::len);
        (last + self.choices.iter().map(Vec::len).sum::<usize>()) as u64
    }

    /// How many panels there are.
    pub(super) fn total(&self) -> BigUint {
        self.after.last().into_iter().flat_map(BTreeMap::values).sum()
    }

    /// One of all panels, each with the same chance: of each member the cell and the place in it.
    pub(super) fn draw(&self, cells: &[Cell], lot: &mut Lot) -> Vec<(usize, usize)> {
        let last = self.after.last().expect("there is a start");
        let mut counts =
            lot.weighted(last.iter().map(|(counts, ways)| (counts.clone(), ways.clone())));
        let mut members = Vec::new();
        for (at, cell) in cells.iter().enumerate().rev() {
            let ways = |taken: usize| {
                let before = cell.give_back(&counts, taken as u32)?;
                Some((taken, self.after[at].get(&before)? * &self.choices[at][taken]))
            };
            let taken = lot.weighted((0..self.choices[at].len()).filter_map(ways));
            counts = cell.give_back(&counts, taken as u32).expect("a way that was counted");
            let picked = lot.pick(cell.people, taken);
            members.extend(picked.into_iter().map(|place| (at, place)));
        }
        members
    }
}

impl Cell {
    fn take(&self, counts: &Counts, taken: u32) -> Counts {
        let mut counts = counts.clone();
        self.quotas.iter().for_each(|&quota| counts[quota] += taken);
        *counts.last_mut().expect("the number of people") += taken;
        counts
    }

    fn give_back(&self, counts: &Counts, taken: u32) -> Option<Counts> {
        let mut counts = counts.clone();
        for &quota in &self.quotas {
            counts[quota] = counts[quota].checked_sub(taken)?;
        }
        let people = counts.last_mut().expect("the number of people");
        *people = people.checked_sub(taken)?;
        Some(counts)
    }
}

/// n over 0, 1, 2 … up to `most`.
fn binomials(n: usize, most: u32) -> Vec<BigUint> {
    let mut all = vec![BigUint::from(1u8)];
    for k in 1..=n.min(most as usize) {
        let next = &all[k - 1] * (n - k + 1) / k;
        all.push(next);
    }
    all
}
