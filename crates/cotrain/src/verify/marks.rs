//! The history beside what members of a commons have marked of it.

use super::{
    found::{Finding, Found},
    history::History,
};
use crate::marks::{Mark, Marks, contradictions};
use ids::Hash;
use serde::Serialize;

/// What came of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkFound {
    /// The history has this record.
    Confirmed,
    /// It has another one.
    Mismatch,
    /// It ends before.
    Beyond,
}

/// A mark beside the history.
#[derive(Debug, Serialize)]
pub struct MarkChecked {
    /// The mark.
    #[serde(flatten)]
    pub mark: Mark,
    /// What came of it.
    pub found: MarkFound,
}

/// All marks of the run.
#[derive(Debug, Serialize)]
pub struct MarksFound {
    /// The commons' id.
    pub commons: Hash,
    /// Statements that enough witnesses have cosigned.
    pub size: u64,
    /// When.
    pub witnessed: Option<u64>,
    /// Marks beyond those, which do not count.
    pub later: usize,
    /// Those that count.
    pub checked: Vec<MarkChecked>,
}

/// Compares the history with the marks of the run.
pub(super) fn check(marks: Marks, history: &History, found: &mut Found) {
    let Marks { commons, size, time, records, unwitnessed } = marks;
    if size == 0 {
        found.find(Finding::Unwitnessed { commons });
    } else if records.is_empty() {
        found.find(Finding::NoMarks { commons });
    }
    for (height, said) in contradictions(&records) {
        found.find(Finding::Contradiction { height, said });
    }
    let checked = records.into_iter().map(|mark| compare(mark, history, found)).collect();
    found.marks = Some(MarksFound { commons, size, witnessed: time, later: unwitnessed, checked });
}

fn compare(mark: Mark, history: &History, found: &mut Found) -> MarkChecked {
    let result = match history.record(mark.height) {
        Some(record) if record == mark.record => MarkFound::Confirmed,
        Some(record) => {
            found.find(Finding::OtherRecord { mark: mark.clone(), record });
            MarkFound::Mismatch
        }
        None => {
            found.find(Finding::BeyondHistory { mark: mark.clone(), records: history.len() });
            MarkFound::Beyond
        }
    };
    MarkChecked { mark, found: result }
}
