//! Whether any panel meets quotas of houses and of employers together: a flow with bounds.

use super::quotas::{Quotas, Share};
use super::ways::Cell;

/// A network of a few nodes.
struct Network {
    /// How much more can flow from one node to another.
    free: Vec<Vec<u32>>,
}

/// Whether as many people as the panel has seats can be taken from the cells so that each quota is
/// met. Each cell has at most one quota of a house and one of an employer; numbers of employers'
/// quotas follow those of houses.
pub(super) fn feasible(cells: &[Cell], quotas: &Quotas) -> bool {
    let (houses, size) = (quotas.houses.len(), quotas.size);
    let least = |shares: &[Share]| shares.iter().map(|s| u64::from(s.min)).sum::<u64>();
    if least(&quotas.houses).max(least(&quotas.employers)) > u64::from(size) {
        return false;
    }
    // Source, sink, a source and a sink for what has to flow, then houses and employers with one
    // node each for those without a quota.
    let house = |number: Option<usize>| 4 + number.unwrap_or(houses);
    let employer = |number: Option<usize>| 5 + houses + number.unwrap_or(quotas.employers.len());
    let mut network = Network::new(6 + houses + quotas.employers.len());
    for (number, share) in quotas.employers.iter().enumerate() {
        network.bounded(SOURCE, employer(Some(number)), share.min, share.max.min(size));
    }
    network.bounded(SOURCE, employer(None), 0, size);
    for (number, share) in quotas.houses.iter().enumerate() {
        network.bounded(house(Some(number)), SINK, share.min, share.max.min(size));
    }
    network.bounded(house(None), SINK, 0, size);
    for cell in cells {
        let of_house = cell.quotas.iter().copied().find(|&quota| quota < houses);
        let of_employer = cell.quotas.iter().find_map(|quota| quota.checked_sub(houses));
        let people = u32::try_from(cell.people).unwrap_or(u32::MAX).min(size);
        network.bounded(employer(of_employer), house(of_house), 0, people);
    }
    network.bounded(SINK, SOURCE, size, size);
    let wanted = network.free[MUST].iter().map(|&free| u64::from(free)).sum::<u64>();
    network.flow() == wanted
}

const SOURCE: usize = 0;
const SINK: usize = 1;
/// From here flows what an edge's lower bound asks for.
const MUST: usize = 2;
/// And to here.
const DONE: usize = 3;

impl Network {
    fn new(nodes: usize) -> Self {
        Self { free: vec![vec![0; nodes]; nodes] }
    }

    /// Adds an edge on which between `min` and `max` must flow.
    fn bounded(&mut self, from: usize, to: usize, min: u32, max: u32) {
        self.free[from][to] += max.saturating_sub(min);
        self.free[MUST][to] += min;
        self.free[from][DONE] += min;
    }

    /// The most that flows from [`MUST`] to [`DONE`], along shortest ways.
    fn flow(&mut self) -> u64 {
        let mut total = 0;
        while let Some(way) = self.way() {
            let edges = || way.windows(2).map(|edge| (edge[0], edge[1]));
            let Some(most) = edges().map(|(a, b)| self.free[a][b]).min() else { break };
            for (from, to) in edges() {
                self.free[from][to] -= most;
                self.free[to][from] += most;
            }
            total += u64::from(most);
        }
        total
    }

    /// A shortest way from [`MUST`] to [`DONE`] on which something can flow.
    fn way(&self) -> Option<Vec<usize>> {
        let mut before: Vec<Option<usize>> = vec![None; self.free.len()];
        let mut open = std::collections::VecDeque::from([MUST]);
        while let Some(node) = open.pop_front() {
            for (next, &free) in self.free[node].iter().enumerate() {
                if free > 0 && next != MUST && before[next].is_none() {
                    before[next] = Some(node);
                    open.push_back(next);
                }
            }
        }
        let mut way = vec![DONE];
        while let Some(node) = before[*way.last()?] {
            way.push(node);
        }
        way.reverse();
        (way[0] == MUST).then_some(way)
    }
}
