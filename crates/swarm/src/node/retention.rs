//! What this node has put into its store for the work of a round, so that it can be removed when
//! the round is over.
//!
//! Nothing is removed because somebody named it: only what this node stored for that purpose, that
//! was not there before, and that nothing names which has to stay.

use ids::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Objects by the height of the advance they were stored for.
#[derive(Debug, Default)]
pub struct Retention {
    stored: BTreeMap<u64, BTreeSet<Hash>>,
}

impl Retention {
    /// This node has stored `objects` for the advance at `height`; they were not there before.
    /// Returns those that are new to it.
    pub fn note(&mut self, height: u64, objects: impl IntoIterator<Item = Hash>) -> Vec<Hash> {
        let set = self.stored.entry(height).or_default();
        objects.into_iter().filter(|hash| set.insert(*hash)).collect()
    }

    /// The advances before `height` are over: what may go now. `named` stays, and so does what was
    /// stored for a later advance as well.
    pub fn close_before(&mut self, height: u64, named: &BTreeSet<Hash>) -> Vec<Hash> {
        let later = self.stored.split_off(&height);
        let over = std::mem::replace(&mut self.stored, later);
        let kept: BTreeSet<Hash> = self.stored.values().flatten().copied().collect();
        let all: BTreeSet<Hash> = over.into_values().flatten().collect();
        all.into_iter().filter(|hash| !named.contains(hash) && !kept.contains(hash)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(names: &[u8]) -> Vec<Hash> {
        names.iter().map(|n| Hash([*n; 32])).collect()
    }

    #[test]
    fn only_what_was_stored_for_an_advance_goes_with_it() {
        let mut retention = Retention::default();
        assert_eq!(retention.note(1, hashes(&[1, 2, 3])).len(), 3);
        assert_eq!(retention.note(1, hashes(&[3])), []);
        retention.note(2, hashes(&[3, 4]));
        let named = hashes(&[2]).into_iter().collect();
        assert_eq!(retention.close_before(2, &named), hashes(&[1]), "2 is named, 3 used again");
        assert_eq!(retention.close_before(2, &named), []);
        assert_eq!(retention.close_before(9, &BTreeSet::new()), hashes(&[3, 4]));
    }
}
