//! Who is preferred to whom, by how many.

use serde::Serialize;

use super::election::{DecideError, Election, MAX_OPTIONS, Method, Unranked};

/// How many ballots prefer each option to each other one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pairwise {
    options: u32,
    /// Row by row: `votes[a * options + b]` prefer a to b.
    votes: Vec<u64>,
}

impl Pairwise {
    /// No votes yet.
    pub fn new(options: usize) -> Self {
        let options = options.min(MAX_OPTIONS);
        Self { options: options as u32, votes: vec![0; options * options] }
    }

    /// A matrix published by others: `rows[a][b]` prefer a to b; the diagonal is ignored.
    ///
    /// Errors: [`DecideError::Options`], or [`DecideError::MatrixSize`] where a row has another length.
    pub fn from_rows(rows: &[Vec<u64>]) -> Result<Self, DecideError> {
        if rows.is_empty() || rows.len() > MAX_OPTIONS {
            return Err(DecideError::Options(rows.len()));
        }
        let mut matrix = Self::new(rows.len());
        for (a, row) in rows.iter().enumerate() {
            if row.len() != rows.len() {
                return Err(DecideError::MatrixSize(row.len(), rows.len()));
            }
            for (b, &votes) in row.iter().enumerate().filter(|&(b, _)| b != a) {
                matrix.votes[a * rows.len() + b] = votes;
            }
        }
        Ok(matrix)
    }

    /// The number of options.
    pub fn options(&self) -> usize {
        self.options as usize
    }

    /// V(a, b): how many prefer `a` to `b`.
    pub fn votes(&self, a: usize, b: usize) -> u64 {
        self.votes[a * self.options() + b]
    }

    /// The rows, for printing.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.votes.chunks(self.options().max(1))
    }

    /// Counts `times` ballots of these preferences (see [`preferences`]).
    pub(super) fn add(&mut self, prefers: &[u64], times: u64) {
        self.each(prefers, |votes| *votes += times);
    }

    /// Takes `times` counted ballots of these preferences out again.
    pub(super) fn take(&mut self, prefers: &[u64], times: u64) {
        self.each(prefers, |votes| *votes -= times);
    }

    fn each(&mut self, prefers: &[u64], change: impl Fn(&mut u64)) {
        let options = self.options();
        for (row, &below) in self.votes.chunks_mut(options.max(1)).zip(prefers) {
            let mut rest = below;
            while rest != 0 {
                change(&mut row[rest.trailing_zeros() as usize]);
                rest &= rest - 1;
            }
        }
    }
}

/// For each option, the set of options that a ballot of these groups puts below it.
///
/// By approval, the first group is put above all else, whatever the rule for the unranked.
pub(super) fn preferences(election: &Election, groups: &[Vec<u32>]) -> Vec<u64> {
    let options = election.options.len();
    let all = u64::MAX >> (64 - options.clamp(1, 64));
    let groups = match election.method {
        Method::Approval => &groups[..groups.len().min(1)],
        _ => groups,
    };
    let named = groups.iter().flatten().fold(0, |set, &option| set | 1 << option);
    let counts_all = election.method == Method::Approval || election.unranked == Unranked::Last;
    let mut below = if counts_all { all } else { named };
    let mut prefers = vec![0; options];
    for group in groups {
        below &= !group.iter().fold(0, |set, &option| set | 1 << option);
        for &option in group {
            prefers[option as usize] = below;
        }
    }
    prefers
}
