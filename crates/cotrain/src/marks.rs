//! Records of a run that members of a commons say are the run's.

use ids::Hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use swarm::Checkpoint;

/// A record of the run, and the members of a commons who say that it is the run's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub record: Hash,
    /// What the members are called.
    pub by: Vec<String>,
}

/// What the witnessed part of a commons' log says of a run's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The commons' id.
    pub commons: Hash,
    /// Statements that enough witnesses have seen; 0 if they have seen none.
    pub size: u64,
    /// When they saw them.
    pub time: Option<u64>,
    /// In the order of heights: of one height more than one where members contradict each other.
    pub records: Vec<Mark>,
    /// Marks beyond that part: they count for nothing yet.
    pub unwitnessed: usize,
}

impl Marks {
    /// The records, for a peer to hold against the history that it is shown.
    ///
    /// Errors: members contradict each other, or the record that a ticket names.
    pub fn checkpoints(&self, named: Option<Checkpoint>) -> Result<Vec<Checkpoint>, TwoHistories> {
        agree(&self.records, named)?;
        let known = self.records.iter().map(|m| Checkpoint { height: m.height, record: m.record });
        Ok(known.collect())
    }
}

/// Two histories are told of one run, and only people can tell which is false.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TwoHistories {
    /// Members say different things.
    #[error("members of the commons say two things of record {height}: {}", words(said))]
    Members {
        /// Of the record at this height.
        height: u64,
        /// What they say.
        said: Vec<Mark>,
    },
    /// The ticket says one thing and a member another.
    #[error(
        "record {} is {} by the ticket, and {} in the commons",
        named.height,
        named.record.short(),
        mark.words()
    )]
    Ticket {
        /// What the ticket says.
        named: Checkpoint,
        /// What the member says.
        mark: Mark,
    },
}

impl TwoHistories {
    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        match self {
            Self::Members { .. } => {
                "one of the histories is false, and only people can tell which: ask them; what a \
                 member said counts no more once the members have removed it"
            }
            Self::Ticket { .. } => {
                "one of the two is of another history: ask whoever gave you the ticket"
            }
        }
    }
}

impl Mark {
    /// Who says what of this record, in words.
    pub fn words(&self) -> String {
        format!("{} by {}", self.record.short(), self.by.join(" and "))
    }
}

/// Who says what, in words.
pub fn words(said: &[Mark]) -> String {
    said.iter().map(Mark::words).collect::<Vec<_>>().join(", ")
}

/// Heights of which members say different things, and what.
pub fn contradictions(marks: &[Mark]) -> Vec<(u64, Vec<Mark>)> {
    let mut at: BTreeMap<u64, Vec<Mark>> = BTreeMap::new();
    for mark in marks {
        at.entry(mark.height).or_default().push(mark.clone());
    }
    at.into_iter().filter(|(_, said)| said.len() > 1).collect()
}

/// Whether there is one record of each height.
fn agree(marks: &[Mark], named: Option<Checkpoint>) -> Result<(), TwoHistories> {
    if let Some((height, said)) = contradictions(marks).into_iter().next() {
        return Err(TwoHistories::Members { height, said });
    }
    let other = named.and_then(|named| {
        let mut same = marks.iter().filter(|mark| mark.height == named.height);
        same.find(|mark| mark.record != named.record).map(|mark| (named, mark.clone()))
    });
    match other {
        None => Ok(()),
        Some((named, mark)) => Err(TwoHistories::Ticket { named, mark }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(height: u64, record: &[u8], by: &str) -> Mark {
        Mark { height, record: Hash::of(record), by: vec![by.to_owned()] }
    }

    #[test]
    fn two_records_for_one_height_are_refused_with_names() {
        let marks = [mark(16, b"a", "Anna"), mark(32, b"a", "Anna"), mark(32, b"b", "Bert")];
        let refused = agree(&marks, None).expect_err("a contradiction").to_string();
        let said = ["record 32", "by Anna", "by Bert", &Hash::of(b"a").short()];
        assert!(said.iter().all(|part| refused.contains(part)), "{refused}");
        assert!(agree(&marks[..2], None).is_ok());
    }

    #[test]
    fn a_ticket_that_names_another_record_is_refused() {
        let marks = [mark(16, b"a", "Anna")];
        let named = |height, record: &[u8]| Some(Checkpoint { height, record: Hash::of(record) });
        assert!(agree(&marks, named(16, b"a")).is_ok());
        assert!(agree(&marks, named(17, b"b")).is_ok());
        let refused = agree(&marks, named(16, b"b")).expect_err("two histories").to_string();
        assert!(refused.contains("by the ticket") && refused.contains("Anna"), "{refused}");
    }
}
